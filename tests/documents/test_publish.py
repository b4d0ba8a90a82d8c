"""ITI-105: one document alone, with its content inside."""

from __future__ import annotations

import base64
import contextlib
import hashlib

import pytest

from fhir_dmp.documents.metadata import unique_key
from fhir_dmp.errors import Conflict, DmpError
from fhir_dmp.fhir.resource import Json
from fhir_dmp.patients.dossier import Status
from tests.documents import build
from tests.documents.record import OTHER_DOCTOR, Record


@pytest.fixture
def record() -> Record:
    known = Record()
    known.dossier(build.INS, "anouk", birthDate="1985-04-17")
    return known


def refused(record: Record, docref: Json) -> DmpError:
    with pytest.raises(DmpError) as caught:
        record.plan_publication(docref)
    return caught.value


@pytest.mark.statement("dmp-fhir 9.4/41", "dmp-fhir 9.4/42", "dmp-fhir 9.4/43", "dmp-fhir 9.4/44")
def test_a_publication_stores_the_document_and_its_content_apart(record: Record) -> None:
    plan = record.publish(build.publication())
    document, binary, _ = plan.drafts
    (reply,) = plan.replies
    assert (reply.status, reply.draft, reply.id) == (201, 0, document.id)
    attachment = document.resource["content"][0]["attachment"]
    assert "data" not in attachment
    assert attachment["url"] == f"Binary/{binary.id}"
    assert attachment["size"] == len(build.CDA)
    assert attachment["hash"] == base64.b64encode(hashlib.sha1(build.CDA).digest()).decode()
    assert (attachment["creation"], attachment["language"]) == ("2026-06-12T10:00:00+02:00", "fr-FR")
    assert document.resource["content"][0]["format"]["code"] == "urn:ihe:iti:xds:2017:mimeTypeSufficient"
    assert binary.blob is not None
    assert binary.blob.data == build.CDA
    assert binary.resource == {
        "resourceType": "Binary",
        "contentType": "application/xml",
        "securityContext": {"reference": f"DocumentReference/{document.id}"},
    }


@pytest.mark.statement("dmp-fhir 9.4/45")
@pytest.mark.parametrize("stated", [{"hash": "2jmj7l5rSw0yVb/vlWAYkK/YBwk="}, {"size": 4}])
def test_a_stated_hash_or_size_is_verified(record: Record, stated: Json) -> None:
    document = build.publication()
    document["content"][0]["attachment"].update(stated)
    error = refused(record, document)
    assert (error.status, error.issues[0].details[0].code) == (422, "empreinte-incorrecte")
    assert error.issues[0].expression == (f"DocumentReference.content[0].attachment.{next(iter(stated))}",)


@pytest.mark.statement("dmp-fhir 9.4/46")
def test_an_attachment_url_is_refused(record: Record) -> None:
    document = build.publication()
    document["content"][0]["attachment"]["url"] = "Binary/1"
    error = refused(record, document)
    assert (error.status, error.issues[0].expression) == (422, ("DocumentReference.content[0].attachment.url",))


@pytest.mark.statement("dmp-fhir 9.4/47")
@pytest.mark.parametrize("status", ["superseded", "entered-in-error"])
def test_a_status_other_than_current_is_refused(record: Record, status: str) -> None:
    error = refused(record, build.publication(status=status))
    assert (error.status, error.issues[0].expression) == (422, ("DocumentReference.status",))


@pytest.mark.statement("dmp-fhir 9.4/48")
def test_an_entry_uuid_is_refused(record: Record) -> None:
    system = "https://profiles.ihe.net/ITI/MHD/CodeSystem/IHE.MHD.MHDIdentifierType"
    identifier = [{"type": {"coding": [{"system": system, "code": "entryUUID"}]}, "value": "urn:uuid:1"}]
    error = refused(record, build.publication(identifier=identifier))
    assert (error.status, error.issues[0].expression) == (422, ("DocumentReference.identifier[0]",))


@pytest.mark.statement("dmp-fhir 9.4/49")
@pytest.mark.parametrize("element", ["subject", "author", "date", "masterIdentifier", "contentType", "data", "title"])
def test_a_missing_element_is_named(record: Record, element: str) -> None:
    document = build.publication()
    holder = document if element in document else document["content"][0]["attachment"]
    del holder[element]
    error = refused(record, document)
    assert error.status == 422
    assert error.issues[0].code == "required"
    assert element in error.issues[0].expression[0]


@pytest.mark.statement("dmp-fhir 9.4/50", "dmp-fhir 9.4/51")
@pytest.mark.parametrize(
    "subject",
    [
        {"reference": f"Patient?identifier={build.INS_SYSTEM}|{build.INS}"},
        {"reference": f"Patient?identifier={build.INS_SYSTEM.replace(':', '%3A')}%7C{build.INS}"},
        {"identifier": {"system": build.INS_SYSTEM, "value": build.INS}},
    ],
)
def test_the_subject_is_resolved(record: Record, subject: Json) -> None:
    plan = record.publish(build.publication(subject=subject))
    assert plan.drafts[0].resource["subject"] == {
        "reference": "Patient/anouk",
        "identifier": {"system": build.INS_SYSTEM, "value": build.INS},
    }


@pytest.mark.statement("dmp-fhir 9.4/52", "dmp-fhir 9.4/53")
@pytest.mark.parametrize(("status", "code"), [(Status.NONE, "dmp-inexistant"), (Status.CLOSED, "dmp-ferme")])
def test_the_dossier_must_be_open(record: Record, status: Status, code: str) -> None:
    record.statuses["Patient/anouk"] = status
    error = refused(record, build.publication())
    assert (error.status, error.issues[0].details[0].code) == (422, code)


def test_a_billing_number_designates_no_dossier(record: Record) -> None:
    billing = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "NH"}]}
    subject = {"identifier": {"type": billing, "system": build.INS_SYSTEM, "value": build.INS}}
    assert refused(record, build.publication(subject=subject)).issues[0].details[0].code == "dmp-inexistant"


@pytest.mark.statement("dmp-fhir 9.4/56")
def test_the_same_content_again_is_a_duplicate(record: Record) -> None:
    record.publish(build.publication())
    error = refused(record, build.publication())
    assert (type(error), error.issues[0].details[0].code) == (Conflict, "doublon-uniqueid")


@pytest.mark.statement("dmp-fhir 9.4/57")
def test_another_content_under_the_same_unique_id_is_refused(record: Record) -> None:
    record.publish(build.publication())
    error = refused(record, build.publication(data=b"<other/>"))
    assert (type(error), error.issues[0].details[0].code) == (Conflict, "hash-different")


@pytest.mark.statement("dmp-fhir 9.4/58")
def test_if_none_exist_answers_with_the_stored_document(record: Record) -> None:
    first = record.publish(build.publication())
    criterion = "identifier=urn:ietf:rfc:3986|urn:oid:1.2.250.1.999.1.1"
    plan = record.plan_publication(build.publication(), if_none_exist=criterion)
    assert plan.drafts == ()
    assert [(reply.status, reply.id, reply.version) for reply in plan.replies] == [(200, first.drafts[0].id, 1)]


@pytest.mark.statement("dmp-fhir 9.4/59")
def test_the_server_makes_the_submission_set(record: Record) -> None:
    document, _, set_ = record.publish(build.publication()).drafts
    made = set_.resource
    assert (made["status"], made["mode"], made["date"]) == ("current", "working", "2026-06-21T00:00:00.000Z")
    assert made["code"]["coding"][0]["code"] == "submissionset"
    assert made["entry"] == [{"item": {"reference": f"DocumentReference/{document.id}"}}]
    assert made["subject"] == document.resource["subject"]
    assert made["source"] == {"reference": "#auteur"}
    assert sorted(part["id"] for part in made["contained"]) == ["auteur", "cabinet", "medecin"]
    designation = made["extension"][0]["valueCodeableConcept"]["coding"][0]
    assert (designation["system"].rsplit("/", 1)[1], designation["code"]) == ("TRE-R02-SecteurActivite", "SA43")
    assert made["extension"][1]["valueIdentifier"]["value"].startswith("urn:oid:2.25.")
    unique, entry_uuid = (identifier["value"] for identifier in made["identifier"])
    assert entry_uuid == f"urn:uuid:{set_.id}"
    assert unique == f"urn:oid:2.25.{int(set_.id.replace('-', ''), 16)}"


def test_the_designation_is_the_facility_when_it_is_known(record: Record) -> None:
    context = {"facilityType": build.docref()["context"]["facilityType"]}
    set_ = record.publish(build.publication(context=context)).drafts[2].resource
    assert set_["extension"][0]["valueCodeableConcept"]["coding"][0]["code"] == "SA05"


@pytest.mark.statement("dmp-fhir 9.4/60", "dmp-fhir 9.4/61")
def test_missing_label_and_custodian_are_filled(record: Record) -> None:
    plan = record.publish(build.publication())
    document = plan.drafts[0].resource
    assert [label["coding"][0]["code"] for label in document["securityLabel"]] == ["N"]
    assert document["custodian"]["display"] == "Opérateur du DMP"
    assert [(i.severity, i.expression) for i in plan.replies[0].issues] == [
        ("information", ("DocumentReference.custodian",))
    ]


def test_an_incomplete_document_claims_the_simplified_profile_only(record: Record) -> None:
    claimed = {"profile": [f"{build.PDSM}/pdsm-comprehensive-document-reference", "https://example.org/own"]}
    document = record.publish(build.publication(meta=claimed)).drafts[0].resource
    assert document["meta"]["profile"] == ["https://example.org/own", f"{build.PDSM}/pdsm-simplified-publish"]


def test_a_complete_document_claims_both_profiles(record: Record) -> None:
    full = build.docref()
    elements = {key: full[key] for key in ("category", "context", "authenticator")}
    sent = build.publication(contained=full["contained"], **elements)
    document = record.publish(sent).drafts[0].resource
    assert document["meta"]["profile"] == [
        f"{build.PDSM}/pdsm-simplified-publish",
        f"{build.PDSM}/pdsm-comprehensive-document-reference",
    ]


def test_the_caller_is_an_author(record: Record) -> None:
    with pytest.raises(DmpError) as caught:
        record.plan_publication(build.publication(), OTHER_DOCTOR)
    assert (caught.value.status, caught.value.issues[0].details[0].code) == (403, "author-forged")


def test_the_unique_key_is_held_from_then_on(record: Record) -> None:
    record.publish(build.publication())
    key = unique_key("DocumentReference", ("urn:ietf:rfc:3986", "urn:oid:1.2.250.1.999.1.1"))
    assert key == "DocumentReference|urn:ietf:rfc:3986|urn:oid:1.2.250.1.999.1.1"


@pytest.mark.parametrize(
    "wrong",
    [
        {"content": None},
        {"content": [3]},
        {"author": "x"},
        {"contained": [1, {"id": 3}], "subject": 7},
        {"relatesTo": [{"code": 3, "target": {"reference": ["x"]}}]},
        {"securityLabel": [3, {"coding": "x"}]},
        {"meta": "x"},
    ],
)
def test_shapes_that_no_fhir_resource_has_never_crash(record: Record, wrong: Json) -> None:
    with contextlib.suppress(DmpError):
        assert record.plan_publication(build.publication(**wrong)).replies[0].status == 201
