"""$cda-to-fhir and $fhir-to-cda through HTTP: raw files and Binaries in, bundles and files out."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

import pytest

from tests import samples
from tests.cda.making import code, document, entry, observation, section, unstructured
from tests.cda.test_header import LEVEL_3
from tests.cda.test_writing import bundle, reference
from tests.flows.steps import Dossier
from tests.world import Client, Response, World

XML = "application/xml"
RESULT = document(
    section(
        entry(
            observation(
                code("2339-0") + '<statusCode code="completed"/><effectiveTime value="20260611"/>'
                '<value xsi:type="PQ" value="5.10" unit="mmol/L"/>',
                "1.3.6.1.4.1.19376.1.3.1.6",
                "E80",
            )
        )
    )
)
LOSSY = document(section(text='<paragraph>x</paragraph><renderMultiMedia referencedObject="F9"/>'))


def to_fhir(client: Client, data: bytes, type_: str = XML, **headers: str) -> Response:
    """Call the operation with a file."""
    return client.post("/Binary/$cda-to-fhir", data, Content_Type=type_, **headers)


@pytest.mark.parametrize("type_", ["application/xml", "text/xml"])
def test_a_file_gives_its_document_bundle(world: World, type_: str) -> None:
    answer = to_fhir(world.doctor(), RESULT, type_)
    assert answer.status == 200, answer.body
    kinds = [one["resource"]["resourceType"] for one in answer.json["entry"]]
    assert (answer.json["type"], kinds[0]) == ("document", "Composition")
    (result,) = (one["resource"] for one in answer.json["entry"] if one["resource"]["resourceType"] == "Observation")
    assert result["valueQuantity"]["value"] == 5.1
    assert b'"value":5.10' in answer.body


def test_a_binary_gives_the_same_as_its_file(world: World) -> None:
    binary = {"resourceType": "Binary", "contentType": XML, "data": base64.b64encode(RESULT).decode()}
    parameters = {"resourceType": "Parameters", "parameter": [{"name": "resource", "resource": binary}]}
    plain = to_fhir(world.doctor(), RESULT).body
    for body in (binary, parameters):
        assert world.doctor().post("/Binary/$cda-to-fhir", body).body == plain


def test_a_long_binary_is_read_from_where_it_was_set_aside(world: World) -> None:
    data = document(section(text=f"<paragraph>{'mot ' * 400_000}</paragraph>"))
    binary = {"resourceType": "Binary", "contentType": XML, "data": base64.b64encode(data).decode()}
    answer = world.doctor().post("/Binary/$cda-to-fhir", binary)
    assert (answer.status, answer.json["resourceType"]) == (200, "Bundle")


@pytest.mark.statement("cda A4", "cda A5")
def test_a_stored_self_presenting_file_is_returned_as_it_came_and_converted(world: World, dossier: Dossier) -> None:
    inside = RESULT.partition(b"?>\n")[2]
    data = b'<x:stylesheet xmlns:x="http://www.w3.org/1999/XSL/Transform">' + inside + b"</x:stylesheet>"
    stored = dossier.document(content=data, content_type=XML)
    path = "/" + "/".join(stored["content"][0]["attachment"]["url"].split("/")[-2:])
    assert world.admin.get(path, Accept=XML).body == data
    answer = dossier.holder.post(f"{path}/$cda-to-fhir", b"")
    assert answer.status == 200, answer.body
    assert answer.json["entry"][0]["resource"]["resourceType"] == "Composition"


def test_a_stored_content_is_converted_for_those_alone_who_may_read_it(world: World, dossier: Dossier) -> None:
    masked = ((samples.CONFIDENTIALITY, "N"), (samples.VISIBILITY, "MASQUE_PS"))
    stored = dossier.document(content=RESULT, content_type=XML, labels=masked)
    path = "/" + "/".join(stored["content"][0]["attachment"]["url"].split("/")[-2:])
    world.authorise(dossier.ins, samples.OTHER_DOCTOR)
    other = world.doctor(samples.OTHER_DOCTOR, samples.CLINIC)
    refused = other.post(f"{path}/$cda-to-fhir", b"")
    absent = other.post("/Binary/0190aaaa-0000-7000-8000-000000000000/$cda-to-fhir", b"")
    assert (refused.status, refused.codes) == (absent.status, absent.codes)
    assert refused.status == 404


@pytest.mark.statement("cda F106")
def test_losses_stand_beside_the_bundle_unless_the_client_wants_little(world: World) -> None:
    answer = to_fhir(world.doctor(), LOSSY)
    parts = {one["name"]: one["resource"] for one in answer.json["parameter"]}
    assert parts["bundle"]["type"] == "document"
    (issue,) = (one for one in parts["losses"]["issue"] if one["severity"] == "warning")
    assert issue["expression"] == ["/ClinicalDocument/component/structuredBody/component/section/text/renderMultiMedia"]
    assert to_fhir(world.doctor(), LOSSY, Prefer="return=minimal").json["resourceType"] == "Bundle"


@pytest.mark.statement("cda A18", "cda A22")
@pytest.mark.parametrize(
    "data",
    [
        b"<a/>",
        b"not xml",
        RESULT[: len(RESULT) // 2],
        RESULT.replace(b"<Clin", b"<!DOCTYPE a><Clin", 1),
        b"<!DOCTYPE a>" + RESULT,
        b" ",
    ],
)
def test_what_is_no_cda_is_refused_with_an_outcome(world: World, data: bytes) -> None:
    answer = to_fhir(world.doctor(), data)
    assert answer.status == 400
    assert answer.json["resourceType"] == "OperationOutcome"


@pytest.mark.statement("cda A17")
def test_a_document_over_the_limit_is_413(make: Any) -> None:
    world = make(DMP_SERVER_MAX_BODY_BYTES="10000")
    answer = to_fhir(world.doctor(), RESULT + b" " * 10_000)
    assert answer.status == 413


def test_a_caller_without_a_token_converts_nothing(world: World) -> None:
    assert to_fhir(world.nobody, RESULT).status == 401
    assert world.nobody.post("/Bundle/$fhir-to-cda", bundle()).status == 401


@pytest.mark.statement("cda F94")
def test_a_document_reference_gives_a_file_that_is_read_again(world: World) -> None:
    answer = world.doctor().post("/DocumentReference/$fhir-to-cda", reference())
    assert (answer.status, answer.headers["Content-Type"].partition(";")[0]) == (200, XML)
    again = to_fhir(world.doctor(), answer.body)
    assert again.status == 200
    found = again.json if again.json["resourceType"] == "Bundle" else again.json["parameter"][0]["resource"]
    (binary,) = (one["resource"] for one in found["entry"] if one["resource"]["resourceType"] == "Binary")
    assert base64.b64decode(binary["data"]) == b"%PDF-1.4 fictif"


def test_a_bundle_gives_a_binary_when_fhir_is_asked_for(world: World) -> None:
    raw = world.doctor().post("/Bundle/$fhir-to-cda", bundle(), Accept=XML)
    answer = world.doctor().post("/Bundle/$fhir-to-cda", bundle(), Accept="application/fhir+json")
    assert base64.b64decode(answer.json["data"]) == raw.body


@pytest.mark.statement("cda F96")
def test_what_is_missing_is_named(world: World) -> None:
    poor = json.loads(json.dumps(bundle()))
    del poor["entry"][0]["resource"]["title"]
    answer = world.doctor().post("/Bundle/$fhir-to-cda", poor)
    assert answer.status == 422
    assert answer.expressions == ["Composition.title"]


@pytest.mark.statement("cda F104")
def test_there_and_back_through_http_keeps_every_fact(world: World) -> None:
    from fhir_dmp.cda.xml import clinical_document, parse
    from tests.cda.invariants import facts

    for data in (RESULT, LEVEL_3, unstructured()):
        found = to_fhir(world.doctor(), data, Prefer="return=minimal")
        back = world.doctor().post("/Bundle/$fhir-to-cda", found.body, Content_Type="application/fhir+json")
        assert back.status == 200, back.body
        assert facts(clinical_document(parse(back.body))) == facts(clinical_document(parse(data)))


def test_the_operations_are_announced(world: World) -> None:
    rest = world.nobody.get("/metadata").json["rest"][0]
    offered = {one["type"]: {op["name"] for op in one.get("operation", ())} for one in rest["resource"]}
    assert {"cda-to-fhir", "fhir-to-cda"} <= offered["Binary"]
    assert "fhir-to-cda" in offered["Bundle"]


@pytest.mark.statement("cda B34")
def test_the_stored_document_has_the_hash_and_size_of_its_file(dossier: Dossier) -> None:
    stored = dossier.document(content=RESULT, content_type=XML)
    attachment = stored["content"][0]["attachment"]
    assert base64.b64decode(attachment["hash"]) == hashlib.sha1(RESULT).digest()
    assert attachment["size"] == len(RESULT)


@pytest.mark.parametrize("path", ["Bundle/$fhir-to-cda", "DocumentReference/$generate-metadata"])
@pytest.mark.parametrize(
    "inside",
    [
        {"resourceType": "Composition", "type": {"coding": [{"code": {"a": 1}}]}, "section": [7]},
        {"resourceType": "Composition", "subject": {"reference": {"x": 1}}, "date": []},
        {"resourceType": {"a": 1}},
    ],
    ids=["code", "reference", "type"],
)
def test_a_document_without_the_structure_of_r4_is_refused_with_its_places(
    world: World, path: str, inside: dict[str, Any]
) -> None:
    bundle = {"resourceType": "Bundle", "type": "document", "entry": [{"resource": inside}]}
    answer = world.doctor().post(f"/{path}", bundle)
    assert answer.status == 422
    assert any(place.startswith("Bundle.entry[0].resource") for place in answer.expressions)


@pytest.mark.parametrize("name", ["http://x", "a b", "", "<i>"])
def test_the_part_of_an_address_never_becomes_an_element_of_another_name(world: World, name: str) -> None:
    sent = json.dumps(bundle()).replace('"url": "houseNumber"', f'"url": {json.dumps(name)}')
    assert sent != json.dumps(bundle())
    assert world.doctor().post("/Bundle/$fhir-to-cda", json.loads(sent)).status in (200, 422)
