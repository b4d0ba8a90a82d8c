"""Code systems whose codes are made by rules: units (UCUM), languages (BCP 47), media types (BCP 13).

Languages and media types are judged by their form: neither registry comes with the server.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from fhir_dmp.fhir.resource import Json
from fhir_dmp.terminology.aliases import UCUM
from fhir_dmp.terminology.ucum import is_unit

LANGUAGES = "urn:ietf:bcp:47"
MEDIA_TYPES = "urn:ietf:bcp:13"

#: RFC 5646, 2.1, less the grandfathered tags; each subtag has at most eight characters.
_LANGUAGE = re.compile(
    r"(?:[a-z]{2,3}(?:-[a-z]{3}){0,3}|[a-z]{4,8})"  # language, extended language
    r"(?:-[a-z]{4})?"  # script
    r"(?:-(?:[a-z]{2}|\d{3}))?"  # region
    r"(?:-(?:[a-z\d]{5,8}|\d[a-z\d]{3}))*"  # variants
    r"(?:-[a-wyz\d](?:-[a-z\d]{2,8})+)*"  # extensions
    r"(?:-x(?:-[a-z\d]{1,8})+)?"  # private use
    r"|x(?:-[a-z\d]{1,8})+",
    re.IGNORECASE,
)
#: RFC 6838, 4.2 (names), with the top-level types of its registry; parameters as in RFC 2045, 5.1.
_NAME = r"[a-z\d][a-z\d!#$&^_.+-]{0,126}"
_MEDIA_TYPE = re.compile(
    r"(?:application|audio|chemical|example|font|haptics|image|message|model|multipart|text|video|x-[a-z\d-]{1,60})"
    rf"/(?:{_NAME}|\*)"
    r"(?:\s*;\s*[!#$%&'*+.^_`|~\w-]{1,100}=(?:[!#$%&'*+.^_`|~\w-]{1,200}|\"[^\"\\\r\n]{0,200}\"))*",
    re.IGNORECASE,
)
_LONGEST = 300


def is_language(code: str) -> bool:
    """Say whether a code has the form of a language tag.

    >>> is_language("fr"), is_language("fr-FR"), is_language("zh-Hant-TW"), is_language("fr_FR"), is_language("f")
    (True, True, True, False, False)
    """
    return len(code) <= _LONGEST and _LANGUAGE.fullmatch(code) is not None


def is_media_type(code: str) -> bool:
    """Say whether a code has the form of a media type.

    >>> is_media_type("application/pdf"), is_media_type("text/plain; charset=utf-8"), is_media_type("pdf")
    (True, True, False)
    """
    return len(code) <= _LONGEST and _MEDIA_TYPE.fullmatch(code) is not None


GRAMMARS: Mapping[str, Callable[[str], bool]] = {
    UCUM: is_unit,
    LANGUAGES: is_language,
    MEDIA_TYPES: is_media_type,
}
_NAMES = {UCUM: "UCUM", LANGUAGES: "BCP 47", MEDIA_TYPES: "BCP 13"}
#: Value sets of R4 that are all codes of such a system.
_WHOLE = {"ucum-units": UCUM, "all-languages": LANGUAGES, "mimetypes": MEDIA_TYPES}
#: What R4 takes for a format beside media types. https://hl7.org/fhir/R4/http.html#mime-type
_SHORT_FORMS: Json = {"system": MEDIA_TYPES, "concept": [{"code": code} for code in ("json", "xml", "ttl")]}


def named(url: str) -> str:
    """Return the name of a code system of rules."""
    return _NAMES[url]


def value_sets() -> list[Json]:
    """Return the value sets of R4 that hold all codes of such a system."""
    return [
        {
            "resourceType": "ValueSet",
            "url": f"http://hl7.org/fhir/ValueSet/{name}",
            "name": name,
            "status": "active",
            "compose": {"include": [{"system": system}, *([_SHORT_FORMS] if system == MEDIA_TYPES else [])]},
        }
        for name, system in _WHOLE.items()
    ]
