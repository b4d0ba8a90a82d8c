"""The examples of the guide "PDSm for the DMP", read in place. [dmp-fhir 9.12]"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import samples
from tests.flows.steps import Dossier, attachment, next_oid, publication, sha1
from tests.samples import Json
from tests.world import World

EXAMPLES = Path(__file__).resolve().parents[2] / "../shared/data/pdsm4dmp-examples"
#: The INS of every example; its control key is wrong.
INS = "123456789012345"
SUBMISSION = "Bundle-example-td2-iti65-lot-soumission"
PUBLICATION = "DocumentReference-example-td2-iti105-publication-simplifiee"
FOUND = "Bundle-example-annexe-searchset-documentreferences"
DOCUMENT = "Bundle-example-annexe-fhir-document"
URI = "urn:ietf:rfc:3986"


def example(name: str) -> Json:
    """Return an example, or skip when the folder of examples is not here."""
    path = EXAMPLES / f"{name}.json"
    if not path.exists():
        pytest.skip(f"the public example {path.name} is not here")
    found: Json = json.loads(path.read_text())
    return found


@pytest.fixture
def lenient(world: World, make: Callable[..., World]) -> Dossier:
    """The dossier of the examples' patient on a server that only warns of a wrong control key."""
    return Dossier.open(make(DMP_IDENTITY_INS_KEY_CHECK="warn"), INS)


def warnings(outcome: Json) -> set[str]:
    """Return the severities of an outcome."""
    return {issue["severity"] for issue in outcome["issue"]}


def with_true_hash(body: Json) -> Json:
    """Return the example submission with the hash and size of its own content: the published ones are placeholders."""
    content = base64.b64decode(body["entry"][2]["resource"]["data"])
    attachment(body["entry"][1]["resource"]).update(hash=sha1(content), size=len(content))
    return body


@pytest.mark.statement("dmp-fhir 9.12/206")
def test_the_example_submission_is_accepted(lenient: Dossier) -> None:
    body = with_true_hash(example(SUBMISSION))
    answer = lenient.world.doctor().post("", body)
    assert answer.status == 200, answer.body
    entries = answer.json["entry"]
    assert [entry["response"]["status"] for entry in entries] == ["201 Created"] * 3
    assert all(warnings(e["response"]["outcome"]) <= {"warning", "information"} for e in entries if "outcome" in e)
    made, document, binary = (entry["response"]["location"].split("/_history")[0] for entry in entries)
    stored = lenient.read(document.split("/")[1])
    sent = body["entry"][1]["resource"]
    for name in ("contained", "masterIdentifier", "type", "category", "date", "author", "securityLabel", "context"):
        assert stored[name] == sent[name]
    assert lenient.world.admin.get(f"/{made}").json["extension"] == body["entry"][0]["resource"]["extension"]
    got = lenient.world.doctor().get(f"/{binary}", Accept="text/xml")
    assert got.body == base64.b64decode(body["entry"][2]["resource"]["data"])


@pytest.mark.statement("dmp-fhir 9.12/206")
def test_the_example_submission_as_published_is_accepted_where_hashes_only_warn(
    world: World, make: Callable[..., World]
) -> None:
    body = example(SUBMISSION)
    server = make(DMP_IDENTITY_INS_KEY_CHECK="warn", DMP_DOCUMENTS_VERIFY_HASH="warn")
    Dossier.open(server, INS)
    answer = server.doctor().post("", body)
    assert answer.status == 200, answer.body


@pytest.mark.statement("dmp-fhir 9.12/207")
def test_the_example_publication_is_accepted(lenient: Dossier) -> None:
    body = example(PUBLICATION)
    answer = lenient.world.doctor().post("/DocumentReference", body)
    assert answer.status == 201, answer.body
    stored = answer.json
    assert stored["id"] != body["id"]
    assert stored["subject"]["reference"] == f"Patient/{lenient.id}"
    assert [coding["code"] for label in stored["securityLabel"] for coding in label["coding"]] == ["N"]
    got = lenient.world.doctor().get(lenient.path(stored["id"]))
    assert got.body == base64.b64decode(attachment(body)["data"])
    assert got.headers["Content-Type"] == "application/xml"


@pytest.mark.statement("dmp-fhir 9.12/207")
def test_the_example_is_refused_for_an_ins_without_dossier(world: World) -> None:
    answer = world.doctor().post("/DocumentReference", example(PUBLICATION))
    assert answer.status == 422
    assert "dmp-inexistant" in answer.codes


@pytest.mark.statement("dmp-fhir 9.12/208")
def test_a_cda_and_a_fhir_document_are_found_in_one_searchset(lenient: Dossier) -> None:
    searchset, document = example(FOUND), example(DOCUMENT)
    cda = b'<ClinicalDocument xmlns="urn:hl7-org:v3"/>'
    contents: list[Json] = [
        {"resourceType": "Binary", "contentType": "application/xml", "data": base64.b64encode(cda).decode()},
        document,
    ]
    for index, (found, content) in enumerate(zip(searchset["entry"], contents, strict=True)):
        reference = {key: part for key, part in found["resource"].items() if key != "id"}
        body = samples.submission(next_oid(), ins=INS)
        attachment(reference).update(url=body["entry"][2]["fullUrl"], hash=sha1(cda), size=len(cda))
        body["entry"][1]["resource"] = reference
        body["entry"][2] |= {"resource": content, "request": {"method": "POST", "url": content["resourceType"]}}
        answer = lenient.world.doctor().post("", body)
        assert answer.status == 200, (index, answer.body)
    lenient.authorise()
    answer = lenient.search(lenient.world.doctor(), "status=current&_sort=date")
    assert answer.json["total"] == 2
    first, second = answer.entries
    assert [each["masterIdentifier"] for each in (first, second)] == [
        each["resource"]["masterIdentifier"] for each in searchset["entry"]
    ]
    base = lenient.world.services.base
    assert attachment(first)["url"].startswith(f"{base}/Binary/")
    assert attachment(second)["url"].startswith(f"{base}/Bundle/")
    got = lenient.world.doctor().get(attachment(second)["url"].removeprefix(base))
    assert got.json["type"] == "document"
    assert [e["resource"]["resourceType"] for e in got.json["entry"]] == ["Composition", "Patient", "Practitioner"]
    assert lenient.world.doctor().get(attachment(first)["url"].removeprefix(base)).body == cda


@pytest.mark.statement("dmp-fhir 9.12/209")
def test_an_administrator_loads_a_superseded_document_with_an_oid_as_address(lenient: Dossier) -> None:
    unique = "1.2.250.1.213.1.4.8.99999.101"
    body = publication(unique, ins=INS) | {"id": "doc-x-id", "status": "superseded"}
    body["subject"] = {"reference": f"Patient/{lenient.id}"}
    del attachment(body)["data"]
    attachment(body).update(url="urn:oid:1.2.250.1.213.1.4.8.99999.101", size=80, hash=sha1(b"x"))
    answer = lenient.world.admin.put("/DocumentReference/doc-x-id", body)
    assert answer.status == 201, answer.body
    assert attachment(answer.json)["url"] == "urn:oid:1.2.250.1.213.1.4.8.99999.101"
    lenient.authorise()
    for client in (lenient.world.admin, lenient.world.doctor()):
        (found,) = lenient.search(client, f"identifier={URI}|urn:oid:{unique}").entries
        assert (found["id"], found["status"]) == ("doc-x-id", "superseded")
