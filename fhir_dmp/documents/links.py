"""How a submission names other resources, and how those names become literal references.

A reference may be a bundle entry's fullUrl, `Type/id`, an absolute URL on this base, or conditional (`Type?query`).
https://hl7.org/fhir/R4/http.html#trules, https://hl7.org/fhir/R4/bundle.html#references
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import parse_qsl

from fhir_dmp.fhir.resource import Json, is_id
from fhir_dmp.terminology.aliases import canonical_identifier

_LITERAL = re.compile(r"([A-Z][A-Za-z]{2,63})/([A-Za-z0-9\-.]{1,64})(?:/_history/[A-Za-z0-9\-.]{1,64})?")
_CONDITIONAL = re.compile(r"([A-Z][A-Za-z]{2,63})\?(.+)", re.DOTALL)
_ABSOLUTE = re.compile(r"(https?://.+)/[A-Z][A-Za-z]+/[A-Za-z0-9\-.]{1,64}")
_LINK = re.compile(r"""((?:href|src)\s*=\s*)(["'])(.*?)\2""")
#: Elements whose string is a link; an identifier's value, an id or a profile never is one.
_LINK_ELEMENTS = frozenset(
    (
        *("reference", "url", "uri", "source", "valueUri", "valueUrl", "valueCanonical", "valueOid", "valueUuid"),
        *("instantiatesUri", "instantiatesCanonical", "targetUri", "targetCanonical"),
    )
)
#: Elements whose string may be changed.
_REWRITTEN = _LINK_ELEMENTS | {"div"}


def relative(text: str, fhir_base: str) -> str:
    """Return a reference without this server's base."""
    return text[len(fhir_base) + 1 :] if text.startswith(fhir_base + "/") else text


def literal(text: str, fhir_base: str) -> tuple[str, str] | None:
    """Return (type, id) of a reference to this server, a version suffix ignored; None for any other form."""
    match = _LITERAL.fullmatch(relative(text, fhir_base))
    return (match[1], match[2]) if match else None


def conditional(text: str, fhir_base: str) -> tuple[str, str] | None:
    """Return (type, query) of a conditional reference."""
    match = _CONDITIONAL.fullmatch(relative(text, fhir_base))
    return (match[1], match[2]) if match else None


def identifier_query(query: str) -> tuple[str, str] | None:
    """Return the canonical (system, value) of a query that is one `identifier=system|value`, else None.

    >>> identifier_query("identifier=urn:oid:1.2.250.1.213.1.4.8|285047511200314")
    ('urn:oid:1.2.250.1.213.1.4.8', '285047511200314')
    """
    pairs = parse_qsl(query, keep_blank_values=True)
    if len(pairs) != 1 or pairs[0][0] != "identifier":
        return None
    system, bar, value = pairs[0][1].partition("|")
    if not bar or not system or not value or "," in value or "\\" in value:
        return None
    return canonical_identifier(system, value)


def root_of(full_url: str | None) -> str | None:
    """Return the base of an absolute fullUrl, by which relative references of its resource are completed."""
    match = _ABSOLUTE.fullmatch(full_url or "")
    return match[1] if match else None


Resolve = Callable[[str], str | None]


def resolver(links: Mapping[str, str], fhir_base: str, full_url: str | None) -> Resolve:
    """Return a function that gives the literal form of a link, None to leave it as it is.

    links: fullUrl, conditional reference or anything else known by its exact text -> `Type/id`.
    """
    root = root_of(full_url)

    def resolve(text: str) -> str | None:
        found = links.get(text)
        if found is None and text[:9].lower() == "urn:uuid:":
            found = links.get(text.lower())
        if found is None and root is not None and _LITERAL.fullmatch(text):
            found = links.get(f"{root}/{text}")
        if found is not None:
            return found
        plain = relative(text, fhir_base)
        if plain == text:
            return None
        return links.get(plain, plain if literal(plain, fhir_base) else None)

    return resolve


def rewrite(value: Any, resolve: Resolve, element: str = "") -> Any:
    """Return a copy of a resource with every link in its literal form, narrative included.

    Local ids (`#x`) stay, and so does everything inside a Bundle of type document, which is a sealed document. A
    `urn:` inside a contained resource stays too: what a producer knew of its people is kept as it came.
    """
    if isinstance(value, str):
        if element in _LINK_ELEMENTS and not value.startswith("#"):
            return resolve(value) or value
        return _narrative(value, resolve) if element == "div" else value
    if isinstance(value, list):
        inner = _outside_contained(resolve) if element == "contained" else resolve
        return [rewrite(part, inner, element) for part in value]
    if isinstance(value, dict):
        if value.get("resourceType") == "Bundle":
            return value
        return {
            key: rewrite(part, resolve, key) if key in _REWRITTEN or isinstance(part, _CONTAINERS) else part
            for key, part in value.items()
        }
    return value


def _outside_contained(resolve: Resolve) -> Resolve:
    return lambda text: None if text[:4].lower() == "urn:" else resolve(text)


def _narrative(div: str, resolve: Resolve) -> str:
    return _LINK.sub(lambda m: f"{m[1]}{m[2]}{resolve(m[3]) or m[3]}{m[2]}", div)


def link_values(value: Any, path: str) -> Iterator[tuple[str, str]]:
    """Yield (text, FHIRPath) of every Reference.reference, contained resources included."""
    found: list[tuple[str, _Steps]] = []
    _collect(value, (), found)
    for text, steps in found:
        yield text, path + "".join(_shown(steps))


#: The way to an element: the last step, and the way before it. Only the few that end at a link are written out.
_Steps = tuple[Any, ...]


def _collect(value: Any, steps: _Steps, found: list[tuple[str, _Steps]]) -> None:
    if isinstance(value, dict):
        reference = value.get("reference")
        if isinstance(reference, str):
            found.append((reference, ("reference", steps)))
        for key, part in value.items():
            if isinstance(part, _CONTAINERS):
                _collect(part, (key, steps), found)
    elif isinstance(value, list):
        for index, part in enumerate(value):
            if isinstance(part, _CONTAINERS):
                _collect(part, (index, steps), found)


_CONTAINERS = (dict, list)


def _shown(steps: _Steps) -> list[str]:
    shown: list[str] = []
    while steps:
        step, steps = steps
        shown.append(f"[{step}]" if isinstance(step, int) else f".{step}")
    return shown[::-1]


def uuid_id(identifier: tuple[str, str]) -> str | None:
    """Return the logical id behind an entryUUID (`urn:uuid:<id>`), None when the value cannot be one."""
    value = identifier[1]
    found = value.removeprefix("urn:uuid:") if value.startswith("urn:uuid:") else ""
    return found if is_id(found) else None


def without_unreferenced(resource: Json, local: str) -> Json:
    """Return the resource without this contained one, unless something else still refers to it."""
    if any(text == f"#{local}" for text, _ in link_values(resource, "")):
        return resource
    kept = [part for part in resource.get("contained", []) if not (isinstance(part, dict) and part.get("id") == local)]
    bare = {key: part for key, part in resource.items() if key != "contained"}
    return {**bare, "contained": kept} if kept else bare
