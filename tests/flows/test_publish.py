"""TD2, option A: one document in one request (ITI-105). [dmp-fhir 9.4]"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from typing import Any

import pytest

from fhir_dmp.fhir.xml import to_xml
from tests import samples
from tests.flows.steps import (
    ARCHIVED,
    Dossier,
    assert_refused,
    attachment,
    next_content,
    next_ins,
    next_oid,
    nothing_stored,
    publication,
    sha1,
)
from tests.samples import Json
from tests.world import Response, World

URI = "urn:ietf:rfc:3986"


def publish(dossier: Dossier, body: Json, **headers: str) -> Response:
    """Publish as the author."""
    return dossier.world.doctor().post("/DocumentReference", body, **headers)


@pytest.mark.statement("dmp-fhir 9.4/41")
def test_a_publication_gives_201_with_location_and_the_stored_body(world: World, dossier: Dossier) -> None:
    unique = next_oid()
    answer = publish(dossier, publication(unique, ins=dossier.ins))
    assert answer.status == 201, answer.body
    id_ = answer.json["id"]
    assert answer.headers["Location"] == f"{world.services.base}/DocumentReference/{id_}/_history/1"
    assert answer.headers["ETag"] == 'W/"1"'
    assert answer.json["masterIdentifier"]["value"] == f"urn:oid:{unique}"
    assert answer.json == dossier.read(id_)


@pytest.mark.statement("dmp-fhir 9.4/41")
def test_return_minimal_empties_the_answer(dossier: Dossier) -> None:
    answer = publish(dossier, publication(next_oid(), ins=dossier.ins), Prefer="return=minimal")
    assert (answer.status, answer.body) == (201, b"")
    assert "/DocumentReference/" in answer.headers["Location"]


@pytest.mark.statement("dmp-fhir 9.4/42", "dmp-fhir 9.4/43")
def test_the_content_moves_to_a_binary_that_returns_exactly_the_bytes_sent(world: World, dossier: Dossier) -> None:
    content = bytes(range(256)) * 3
    answer = publish(dossier, publication(next_oid(), ins=dossier.ins, content=content, content_type="application/pdf"))
    sent = attachment(answer.json)
    assert "data" not in sent
    assert sent["url"].startswith(f"{world.services.base}/Binary/")
    got = world.doctor().get(sent["url"].removeprefix(world.services.base))
    assert (got.status, got.body) == (200, content)
    assert got.headers["Content-Type"] == "application/pdf"


@pytest.mark.statement("dmp-fhir 9.4/44")
def test_missing_size_and_hash_are_computed(dossier: Dossier) -> None:
    content = "Numération formule sanguine".encode()
    sent = attachment(publish(dossier, publication(next_oid(), ins=dossier.ins, content=content)).json)
    assert sent["size"] == len(content)
    assert sent["hash"] == base64.b64encode(hashlib.sha1(content).digest()).decode()


@pytest.mark.statement("dmp-fhir 9.4/44")
def test_a_right_hash_and_size_are_accepted_and_kept(dossier: Dossier) -> None:
    body = publication(next_oid(), ins=dossier.ins)
    attachment(body).update(hash=sha1(samples.TEXT), size=len(samples.TEXT))
    answer = publish(dossier, body)
    assert answer.status == 201, answer.body
    assert (attachment(answer.json)["hash"], attachment(answer.json)["size"]) == (sha1(samples.TEXT), len(samples.TEXT))


@pytest.mark.statement("dmp-fhir 9.4/45")
@pytest.mark.parametrize(("element", "value"), [("hash", "2jmj7l5rSw0yVb/vlWAYkK/YBwk="), ("size", 1)])
def test_a_wrong_hash_or_size_is_422_and_stores_nothing(shared: Dossier, element: str, value: object) -> None:
    content = next_content()
    body = publication(next_oid(), ins=shared.ins, content=content)
    attachment(body)[element] = value
    with nothing_stored(shared.world, content):
        answer = publish(shared, body)
    where = f"DocumentReference.content[0].attachment.{element}"
    assert_refused(answer, 422, "empreinte-incorrecte", "XDSRepositoryMetadataError", at=where)


def with_url(body: Json) -> None:
    attachment(body)["url"] = "Binary/mine"


def superseded(body: Json) -> None:
    body["status"] = "superseded"


def entry_uuid(body: Json) -> None:
    coding = {"system": f"{samples.MHD}/CodeSystem/IHE.MHD.MHDIdentifierType", "code": "entryUUID"}
    value = "urn:uuid:0b1b1a3c-3b0a-4b52-9a51-a36d1a1f3c11"
    body["identifier"] = [{"type": {"coding": [coding]}, "system": URI, "value": value}]


@pytest.mark.parametrize(
    ("spoil", "place"),
    [
        pytest.param(
            with_url, "DocumentReference.content[0].attachment.url", marks=pytest.mark.statement("dmp-fhir 9.4/46")
        ),
        pytest.param(superseded, "DocumentReference.status", marks=pytest.mark.statement("dmp-fhir 9.4/47")),
        pytest.param(entry_uuid, "DocumentReference.identifier[0]", marks=pytest.mark.statement("dmp-fhir 9.4/48")),
    ],
)
def test_what_the_server_assigns_cannot_be_sent(shared: Dossier, spoil: Callable[[Json], None], place: str) -> None:
    content = next_content()
    body = publication(next_oid(), ins=shared.ins, content=content)
    spoil(body)
    with nothing_stored(shared.world, content):
        assert_refused(publish(shared, body), 422, at=place)


@pytest.mark.statement("dmp-fhir 9.4/49")
@pytest.mark.parametrize(
    "place",
    [
        "subject",
        "author",
        "date",
        "masterIdentifier",
        "content[0].attachment.contentType",
        "content[0].attachment.data",
        "content[0].attachment.title",
    ],
)
def test_a_missing_element_is_422_and_named(shared: Dossier, place: str) -> None:
    content = next_content()
    body = publication(next_oid(), ins=shared.ins, content=content)
    holder, element = (attachment(body) if "attachment" in place else body), place.rsplit(".", 1)[-1]
    del holder[element]
    with nothing_stored(shared.world, content):
        answer = publish(shared, body)
    # A content without type breaks the rule att-1 of the attachment, which is named as its place.
    assert_refused(answer, 422, at=f"DocumentReference.{place.removesuffix('.contentType')}")
    assert any(element in issue["diagnostics"] for issue in answer.json["issue"])


def subject_forms(dossier: Dossier) -> dict[str, Json]:
    """Every way to name the holder of the dossier."""
    identifier = {"system": samples.INS, "value": dossier.ins}
    return {
        "conditional": {"reference": f"Patient?identifier={samples.INS}|{dossier.ins}"},
        "logical": {"identifier": identifier},
        "literal": {"reference": f"Patient/{dossier.id}"},
        "absolute": {"reference": f"{dossier.world.services.base}/Patient/{dossier.id}"},
        "contained": {"reference": "#source"},
    }


@pytest.mark.statement("dmp-fhir 9.4/50", "dmp-fhir 9.4/51")
@pytest.mark.parametrize("form", ["conditional", "logical", "literal", "absolute", "contained"])
def test_every_form_of_the_subject_becomes_the_patient(dossier: Dossier, form: str) -> None:
    body = publication(next_oid(), ins=dossier.ins, subject=subject_forms(dossier)[form])
    answer = publish(dossier, body)
    assert answer.status == 201, answer.body
    assert answer.json["subject"]["reference"] == f"Patient/{dossier.id}"
    assert answer.json["subject"]["identifier"]["value"] == dossier.ins
    assert dossier.found(dossier.world.admin) == [answer.json["id"]]


@pytest.mark.statement("dmp-fhir 9.4/52")
@pytest.mark.parametrize("form", ["conditional", "logical", "literal"])
def test_an_unknown_subject_is_422_dmp_inexistant(world: World, form: str) -> None:
    nobody = Dossier(world, next_ins(), "0191a1b2-0000-7000-8000-000000000001")
    content = next_content()
    body = publication(next_oid(), ins=nobody.ins, content=content, subject=subject_forms(nobody)[form])
    with nothing_stored(world, content):
        answer = publish(nobody, body)
    assert_refused(answer, 422, "dmp-inexistant", at="DocumentReference.subject")


@pytest.mark.statement("dmp-fhir 9.4/53")
def test_a_closed_dossier_is_422_dmp_ferme(dossier: Dossier) -> None:
    dossier.close()
    content = next_content()
    with nothing_stored(dossier.world, content):
        answer = publish(dossier, publication(next_oid(), ins=dossier.ins, content=content))
    assert_refused(answer, 422, "dmp-ferme")


@pytest.mark.statement("dmp-fhir 9.4/54")
@pytest.mark.parametrize("whom", ["everybody", "this professional", "this structure"])
def test_an_opposition_to_feeding_is_403(dossier: Dossier, whom: str) -> None:
    actors: dict[str, dict[str, Any]] = {
        "everybody": {},
        "this professional": {"actor": [samples.consent_actor(samples.DOCTOR)]},
        "this structure": {"actor": [samples.consent_actor(samples.HOSPITAL, "urn:oid:1.2.250.1.71.4.2.2")]},
    }
    dossier.world.consent(dossier.ins, "feeding-opposition", deny=True, **actors[whom])
    content = next_content()
    with nothing_stored(dossier.world, content):
        answer = publish(dossier, publication(next_oid(), ins=dossier.ins, content=content))
    assert_refused(answer, 403, "feeding-opposition", "opposition-alimentation")


@pytest.mark.statement("dmp-fhir 9.4/55")
def test_feeding_needs_no_authorisation(world: World, dossier: Dossier) -> None:
    assert_refused(dossier.search(world.doctor()), 403, "non-autorise")
    assert publish(dossier, publication(next_oid(), ins=dossier.ins)).status == 201


@pytest.mark.statement("dmp-fhir 9.4/55")
def test_a_structure_publishes_what_its_people_wrote(world: World, dossier: Dossier) -> None:
    answer = world.structure().post("/DocumentReference", publication(next_oid(), ins=dossier.ins))
    assert answer.status == 201, answer.body


@pytest.mark.statement("dmp-fhir 9.4/56")
def test_the_same_publication_again_is_409_doublon(dossier: Dossier) -> None:
    body = publication(next_oid(), ins=dossier.ins, content=next_content())
    assert publish(dossier, body).status == 201
    with nothing_stored(dossier.world):
        answer = publish(dossier, body)
    place = "DocumentReference.masterIdentifier"
    assert_refused(answer, 409, "duplicate", "doublon-uniqueid", "XDSDuplicateUniqueIdInRegistry", at=place)


@pytest.mark.statement("dmp-fhir 9.4/57")
def test_the_same_unique_id_with_another_content_is_409_hash_different(dossier: Dossier) -> None:
    unique = next_oid()
    assert publish(dossier, publication(unique, ins=dossier.ins)).status == 201
    content = next_content()
    with nothing_stored(dossier.world, content):
        answer = publish(dossier, publication(unique, ins=dossier.ins, content=content))
    assert_refused(answer, 409, "hash-different", "XDSNonIdenticalHash")


@pytest.mark.statement("dmp-fhir 9.4/56")
def test_a_unique_id_of_a_hidden_document_is_409_and_tells_nothing(world: World, dossier: Dossier) -> None:
    unique = next_oid()
    hidden = dossier.submit(unique, labels=((samples.VISIBILITY, "MASQUE_PS"), (samples.CONFIDENTIALITY, "N")))
    other = world.doctor(samples.OTHER_DOCTOR, samples.CLINIC)
    body = publication(unique, ins=dossier.ins, professional=samples.OTHER_DOCTOR, structure=samples.CLINIC)
    with nothing_stored(world):
        answer = other.post("/DocumentReference", body)
    assert_refused(answer, 409)
    assert hidden.encode() not in answer.body


@pytest.mark.statement("dmp-fhir 9.4/58")
def test_if_none_exist_makes_the_second_call_answer_200_with_the_document(dossier: Dossier) -> None:
    unique = next_oid()
    body = publication(unique, ins=dossier.ins, content=next_content())
    criteria = f"identifier={URI}|urn:oid:{unique}"
    first = publish(dossier, body, If_None_Exist=criteria)
    assert first.status == 201
    with nothing_stored(dossier.world):
        again = publish(dossier, body, If_None_Exist=criteria)
    assert (again.status, again.json) == (200, first.json)
    assert again.headers["ETag"] == 'W/"1"'


@pytest.mark.statement("dmp-fhir 9.4/59")
def test_the_server_makes_a_submission_set_of_it(world: World, dossier: Dossier) -> None:
    id_ = publish(dossier, publication(next_oid(), ins=dossier.ins)).json["id"]
    (made,) = dossier.search(world.admin, "code=submissionset", "List").entries
    assert made["entry"] == [{"item": {"reference": f"DocumentReference/{id_}"}}]
    assert (made["status"], made["mode"]) == ("current", "working")
    assert made["code"]["coding"][0]["code"] == "submissionset"
    assert made["subject"]["reference"] == f"Patient/{dossier.id}"
    urls = {extension["url"].rsplit("/", 1)[1]: extension for extension in made["extension"]}
    assert urls["ihe-designationType"]["valueCodeableConcept"]["coding"][0]["code"] == "SA01"
    assert urls["ihe-sourceId"]["valueIdentifier"]["value"].startswith("urn:oid:")
    uniques = [each["value"] for each in made["identifier"] if "uniqueId" in str(each)]
    assert [value.startswith("urn:oid:2.25.") for value in uniques] == [True]
    assert made["source"] == {"reference": "#role"}


@pytest.mark.statement("dmp-fhir 9.4/60")
def test_a_missing_security_label_becomes_n(world: World, dossier: Dossier) -> None:
    body = publication(next_oid(), ins=dossier.ins)
    del body["securityLabel"]
    answer = publish(dossier, body)
    assert answer.status == 201, answer.body
    assert [coding["code"] for label in answer.json["securityLabel"] for coding in label["coding"]] == ["N"]
    assert dossier.found(world.admin, f"security-label={samples.CONFIDENTIALITY}|N") == [answer.json["id"]]


@pytest.mark.statement("dmp-fhir 9.4/61")
def test_a_missing_custodian_is_the_operator_and_reported(dossier: Dossier) -> None:
    body = publication(next_oid(), ins=dossier.ins)
    del body["custodian"]
    answer = publish(dossier, body, Prefer="return=OperationOutcome")
    assert answer.status == 201, answer.body
    told = [issue for issue in answer.json["issue"] if issue.get("expression") == ["DocumentReference.custodian"]]
    assert [issue["severity"] for issue in told] == ["information"]
    id_ = answer.headers["Location"].split("/DocumentReference/")[1].split("/")[0]
    assert dossier.read(id_)["custodian"]["display"] == "Opérateur du DMP"


@pytest.mark.statement("dmp-fhir 9.4/41")
def test_a_publication_in_xml_is_the_same_document(world: World, dossier: Dossier) -> None:
    content = next_content()
    xml = to_xml(publication(next_oid(), ins=dossier.ins, content=content), world.services.structures)
    answer = world.doctor().call("POST", "/DocumentReference", xml, {"content-type": "application/fhir+xml"})
    assert answer.status == 201, answer.body
    got = world.doctor().get(attachment(answer.json)["url"].removeprefix(world.services.base))
    assert got.body == content


@pytest.mark.statement("dmp-fhir 9.4/41")
def test_an_archived_flag_that_was_sent_is_kept(dossier: Dossier) -> None:
    body = publication(next_oid(), ins=dossier.ins, extension=[{"url": ARCHIVED, "valueBoolean": False}])
    assert publish(dossier, body).json["extension"] == [{"url": ARCHIVED, "valueBoolean": False}]
