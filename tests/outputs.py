"""What the server answers must be right by the rules that it applies itself: every FHIR body is judged.

A body counts with all that is inside it: entries of Bundles, parameters, contained resources, each by base R4 and by
the profiles that it declares, less the statements that the server does not insist on (docs/validation.md). What was cut
down for a client (SUBSETTED) is judged as base R4, and may lack what is mandatory.
"""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from fhir_dmp import definitions
from fhir_dmp.errors import Issue
from fhir_dmp.fhir.elements import objects_of
from fhir_dmp.fhir.resource import Json, parse_stored
from fhir_dmp.fhir.subset import SUBSETTED
from fhir_dmp.fhir.xml_reader import from_xml
from fhir_dmp.interactions.services import Services
from fhir_dmp.interactions.write import as_stored, is_lenient
from fhir_dmp.validation.conformance import Profiles, judge


def check(asked: str, headers: Mapping[str, str], body: bytes, services: Services) -> None:
    """Fail when the body of an answer is a FHIR resource with an error."""
    resource = body_of(headers, body, services)
    wrong = faults(resource, services) if resource is not None else ()
    assert not wrong, (asked, resource, [(each.code, each.expression, each.diagnostics) for each in wrong])


def body_of(headers: Mapping[str, str], body: bytes, services: Services) -> Json | None:
    """Return the resource that an answer carries, None when it carries none."""
    named = {name.lower(): value for name, value in headers.items()}
    kind = named.get("content-type", "").partition(";")[0]
    if named.get("content-encoding") == "gzip":
        body = gzip.decompress(body)
    if not body or not kind.startswith("application/fhir+"):
        return None
    return from_xml(body, services.structures) if kind.endswith("xml") else parse_stored(body)


@lru_cache(maxsize=4)
def _released(canonical: str) -> Profiles:
    """Return the profiles of the release, compiled once for all servers of the tests."""
    return definitions.profiles(definitions.conformance(canonical))


def faults(resource: Json, services: Services) -> tuple[Issue, ...]:
    """Return the errors of a resource that the server answered."""
    added = services.settings.validation.packages
    profiles = services.profiles() if added else _released(services.canonical)
    found = judge(_declaring(resource), profiles, (), as_stored)
    return tuple(
        each
        for each in found
        if each.severity in ("error", "fatal") and not is_lenient(each) and not _cut(each, resource)
    )


def _cut(issue: Issue, resource: Json) -> bool:
    """Say whether an issue is that an excerpt lacks something."""
    return issue.code == "required" and any(_is_excerpt(at) for at in _on_the_way(issue, resource))


def _on_the_way(issue: Issue, resource: Json) -> list[Any]:
    """Return what stands on the path of an issue, from the outside to the inside."""
    at: Any = resource
    passed = [at]
    for step in (issue.expression[0] if issue.expression else "").split(".")[1:]:
        name, _, index = step.rstrip("]").partition("[")
        at = at.get(name) if isinstance(at, dict) else None
        at = at[int(index)] if index and isinstance(at, list) and int(index) < len(at) else at
        passed.append(at)
    return passed


def _is_excerpt(value: Any) -> bool:
    meta = value.get("meta") if isinstance(value, dict) else None
    return isinstance(meta, dict) and any(tag.get("code") == SUBSETTED for tag in objects_of(meta.get("tag")))


def _declaring(value: Any) -> Any:
    """Return a copy in which excerpts declare no profile."""
    if isinstance(value, list):
        return [_declaring(each) for each in value]
    if not isinstance(value, dict):
        return value
    made = {name: _declaring(part) for name, part in value.items()}
    if _is_excerpt(made):
        made["meta"] = {name: part for name, part in made["meta"].items() if name != "profile"}
    return made
