"""Names of a code in other languages and for other uses."""

from __future__ import annotations

from collections.abc import Sequence

from fhir_dmp.fhir.elements import object_of
from fhir_dmp.fhir.resource import Json
from fhir_dmp.terminology.grammars import LANGUAGES


def in_language(designations: Sequence[Json], language: str | None) -> str | None:
    """Return the first designation in a language, None when there is none.

    `fr` is satisfied by `fr-FR`; `fr-CA` by `fr` when there is nothing nearer. Of several languages (`fr,en`) the first
    that is spoken counts.
    """
    for asked in (language or "").lower().split(","):
        found = _spoken(designations, asked.partition(";")[0].strip())
        if found is not None:
            return found
    return None


def _spoken(designations: Sequence[Json], asked: str) -> str | None:
    known = [(str(each.get("language", "")).lower(), str(each.get("value", ""))) for each in designations]
    while asked:
        for said, value in known:
            if said == asked or said.startswith(f"{asked}-"):
                return value
        asked = asked.rpartition("-")[0]
    return None


def wanted(designation: Json, tokens: Sequence[str]) -> bool:
    """Say whether a designation is one of those asked for: by its use (`system|code`) or its language
    (`urn:ietf:bcp:47|fr`). All are when nothing is asked.
    """
    return not tokens or any(_is(designation, *_split(token)) for token in tokens)


def _split(token: str) -> tuple[str, str]:
    system, bar, code = token.partition("|")
    return (system, code) if bar else ("", system)


def _is(designation: Json, system: str, code: str) -> bool:
    if system in ("", LANGUAGES) and _spoken([designation], code.lower()) is not None:
        return True
    use = object_of(designation.get("use"))
    return use.get("code") == code and system in ("", use.get("system"))
