"""The public R4 examples: each is taken and returned unchanged, or refused for a stated reason."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.rest.conftest import EMBEDDED, opened
from tests.rest.shapes import bare, named
from tests.structures import R4_EXAMPLES, exact
from tests.world import Client, Json, World

#: Examples that this server refuses, with the status and the place of the reason.
REFUSED: dict[str, tuple[int, str]] = {
    # an item without linkId, which R4 demands
    "bundle-questionnaire": (422, "Questionnaire.item[0].item[11].item[1].linkId"),
    # two concepts with one code, which the constraint csd-1 of R4 forbids
    "codesystem-example": (422, "CodeSystem"),
    # a consent to research, in a record whose consents say who may see it
    "consent-example": (422, "Consent.category"),
    # a document whose content lies elsewhere
    "documentreference-example": (422, "DocumentReference.content[0].attachment.url"),
}

HEAD = {"Content-Type": "application/fhir+json"}


@pytest.fixture(scope="module", params=EMBEDDED)
def shared(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One server for all the examples."""
    yield from opened(request.param, tmp_path_factory.mktemp("examples"))


def _exactly(body: bytes) -> Any:
    from fhir_dmp.fhir.resource import parse_stored

    resource = bare(parse_stored(body))
    if resource["resourceType"] == "Binary":  # base64 may be broken into lines on the way in
        resource["data"] = base64.b64decode(resource["data"])
    return exact(resource)


def _id(path: Path) -> str:
    return path.stem


@pytest.mark.statement("fhir-rest A15", "fhir-rest A17", "fhir-rest B33")
@pytest.mark.skipif(not R4_EXAMPLES, reason="shared/data/r4-examples is not beside the repository")
@pytest.mark.parametrize("path", R4_EXAMPLES, ids=_id)
def test_an_official_example_comes_back_unchanged(shared: World, path: Path) -> None:
    admin, sent = shared.admin, path.read_bytes()
    resource: Json = json.loads(sent)
    type_ = resource["resourceType"]
    created = admin.call("POST", f"/{type_}", sent, HEAD)
    if path.stem in REFUSED:
        status, place = REFUSED[path.stem]
        assert (created.status, place in created.expressions) == (status, True), created.body
        return
    assert created.status == 201, created.body
    location = created.headers["Location"].partition("/fhir")[2].partition("/_history")[0]
    read = admin.get(location, Accept="application/fhir+json")
    assert _exactly(read.body) == _exactly(sent)
    _through_xml(admin, location, type_, sent)
    if type_ != "AuditEvent":
        _updated(admin, {"id": f"own-{path.stem}"[:64], **resource}, sent)
    if type_ != "Binary":
        found = admin.get(f"/{type_}?_id={location.rpartition('/')[2]}")
        assert len(found.entries) == 1
        assert found.entries[0] == read.json


def _through_xml(admin: Client, location: str, type_: str, sent: bytes) -> None:
    as_xml = admin.get(location, Accept="application/fhir+xml")
    assert as_xml.status == 200
    again = admin.call("POST", f"/{type_}", as_xml.body, {"Content-Type": "application/fhir+xml"})
    assert again.status == 201, again.body
    place = again.headers["Location"].partition("/fhir")[2].partition("/_history")[0]
    back = admin.get(place, Accept="application/fhir+json")
    assert _exactly(back.body) == _exactly(sent)


def _updated(admin: Client, resource: Json, sent: bytes) -> None:
    """An update creates it under its own id; the same again changes nothing."""
    path = f"/{named(resource)}"
    body = sent if b'"id"' in sent and json.loads(sent).get("id") else json.dumps(resource).encode()
    first = admin.call("PUT", path, body, HEAD)
    assert first.status in (200, 201), first.body  # two examples share one id
    second = admin.call("PUT", path, body, HEAD)
    assert (second.status, second.headers["ETag"]) == (200, first.headers["ETag"])
    assert _exactly(admin.get(path, Accept="application/fhir+json").body) == _exactly(sent)
