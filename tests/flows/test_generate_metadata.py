"""`DocumentReference/$generate-metadata` (ITI-106): what a document says of itself, as metadata."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from tests.cda.making import INS, document, unstructured
from tests.cda.test_writing import bundle
from tests.flows.steps import sha1
from tests.world import Client, Response, World

PATH = "/DocumentReference/$generate-metadata"
CDA = document()


def asked(client: Client, body: object, type_: str = "application/xml") -> Response:
    """Call the operation."""
    return client.post(PATH, body, **({"Content_Type": type_} if isinstance(body, bytes) else {}))


@pytest.mark.parametrize("type_", ["application/xml", "text/xml"])
def test_a_cda_gives_its_metadata(world: World, type_: str) -> None:
    answer = asked(world.doctor(), CDA, type_)
    assert answer.status == 200, answer.body
    found = answer.json
    attachment = found["content"][0]["attachment"]
    assert (attachment["size"], attachment["hash"], "url" in attachment) == (len(CDA), sha1(CDA), False)
    assert found["masterIdentifier"] == {"system": "urn:oid:1.2.250.1.999.7.1", "value": "2026-1"}
    assert found["subject"]["identifier"]["value"] == INS
    assert found["content"][0]["format"]["code"] == "urn:asip:ci-sis:vsm:2012"


def test_the_class_comes_from_the_type(world: World) -> None:
    letter = document(code='<code code="11488-4" codeSystem="2.16.840.1.113883.6.1" displayName="CR"/>')
    for data, class_ in ((CDA, "11"), (letter, "10")):
        found = asked(world.doctor(), data).json
        assert [one["code"] for one in found["category"][0]["coding"]] == [class_]


def test_a_binary_or_parameters_give_the_same(world: World) -> None:
    binary = {"resourceType": "Binary", "contentType": "application/xml", "data": base64.b64encode(CDA).decode()}
    parameters = {"resourceType": "Parameters", "parameter": [{"name": "resource", "resource": binary}]}
    plain = asked(world.doctor(), CDA).body
    assert asked(world.doctor(), binary).body == asked(world.doctor(), parameters).body == plain


def test_a_self_presenting_file_and_an_embedded_body_have_metadata_too(world: World) -> None:
    inside = CDA.partition(b"?>\n")[2]
    wrapped = b'<x:stylesheet xmlns:x="http://www.w3.org/1999/XSL/Transform">' + inside + b"</x:stylesheet>"
    assert asked(world.doctor(), wrapped).json["content"][0]["attachment"]["hash"] == sha1(wrapped)
    found = asked(world.doctor(), unstructured()).json
    assert found["content"][0]["format"]["code"] == "urn:ihe:iti:xds-sd:pdf:2008"


def test_a_fhir_document_gives_the_same_facts(world: World) -> None:
    sent: Any = bundle()
    answer = asked(world.doctor(), sent)
    assert answer.status == 200, answer.body
    found = answer.json
    content = found["content"][0]
    assert content["attachment"]["contentType"] == "application/fhir+json"
    assert content["format"]["code"] == "urn:ihe:iti:xds:2017:mimeTypeSufficient"
    assert found["masterIdentifier"] == sent["identifier"]
    assert found["type"]["coding"][0]["code"] == sent["entry"][0]["resource"]["type"]["coding"][0]["code"]


def test_a_fhir_document_that_lacks_metadata_is_told_which(world: World) -> None:
    sent: Any = bundle()
    del sent["entry"][0]["resource"]["type"]
    answer = asked(world.doctor(), sent)
    assert answer.status in (400, 422)
    assert any("type" in str(issue) for issue in answer.json["issue"])


@pytest.mark.parametrize(
    "body", [{"resourceType": "Bundle", "type": "batch"}, {"resourceType": "Patient"}, b"<a/>", b"x"]
)
def test_what_is_no_document_has_no_metadata(world: World, body: object) -> None:
    answer = asked(world.doctor(), body)
    assert answer.status in (400, 422)
    assert answer.json["resourceType"] == "OperationOutcome"
