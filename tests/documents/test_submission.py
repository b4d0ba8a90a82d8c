"""ITI-65 that is accepted: what is written, what is answered. Refusals: test_submission_refusals.py."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from fhir_dmp.documents.metadata import hash_of
from fhir_dmp.documents.slices import is_submission
from fhir_dmp.errors import Conflict, PreconditionFailed
from fhir_dmp.fhir.resource import Json
from tests.documents import build
from tests.documents.record import ADMIN, Record, X, blob_of

EXAMPLES = Path(__file__).resolve().parents[2] / "../shared/data/pdsm4dmp-examples"


@pytest.fixture
def record() -> Record:
    known = Record()
    known.dossier(build.INS, "anouk", birthDate="1985-04-17", gender="female")
    return known


def only(record: Record, type_: str) -> Json:
    found = record.of_type(type_)
    assert len(found) == 1
    return found[0]


@pytest.mark.statement("dmp-fhir 9.5/62", "dmp-fhir 9.5/63")
def test_a_list_a_document_and_a_binary_are_created_in_request_order(record: Record) -> None:
    plan = record.submit(build.submission())
    assert [(reply.status, reply.type) for reply in plan.replies] == [
        (201, "List"),
        (201, "DocumentReference"),
        (201, "Binary"),
    ]
    assert [plan.drafts[reply.draft or 0].id for reply in plan.replies] == [reply.id for reply in plan.replies]
    assert plan.patient == "Patient/anouk"
    assert [held.reference for held in plan.relied] == ["Patient/anouk"]


def test_a_clean_submission_raises_no_warning(record: Record) -> None:
    plan = record.submit(build.submission())
    assert plan.issues == ()
    assert [reply.issues for reply in plan.replies] == [(), (), ()]


@pytest.mark.statement("dmp-fhir 9.5/64")
def test_urn_references_become_server_ids_and_local_ones_stay(record: Record) -> None:
    narrative = f'<div xmlns="http://www.w3.org/1999/xhtml"><a href="{build.BINARY_URL}">document</a></div>'
    document = build.docref(
        text={"status": "generated", "div": narrative},
        extension=[{"url": "https://example.org/link", "valueUri": build.SET_URL}],
    )
    plan = record.submit(build.submission(document))
    stored, binary, set_ = only(record, "DocumentReference"), only(record, "Binary"), only(record, "List")
    assert stored["content"][0]["attachment"]["url"] == f"Binary/{binary['id']}"
    assert stored["extension"][0]["valueUri"] == f"List/{set_['id']}"
    assert f'href="Binary/{binary["id"]}"' in stored["text"]["div"]
    assert stored["author"] == [{"reference": "#auteur"}]
    assert [part["id"] for part in stored["contained"]] == ["auteur", "medecin", "cabinet", "source"]
    assert set_["entry"] == [{"item": {"reference": f"DocumentReference/{stored['id']}"}}]
    assert binary["securityContext"] == {"reference": f"DocumentReference/{stored['id']}"}
    assert "urn:uuid:0b3cb0a6" not in json.dumps([draft.resource for draft in plan.drafts])


def test_a_urn_inside_a_contained_resource_is_kept_as_it_came(record: Record) -> None:
    document = build.docref()
    document["contained"][0]["endpoint"] = [{"reference": build.SET_URL}]
    record.submit(build.submission(document))
    assert only(record, "DocumentReference")["contained"][0]["endpoint"] == [{"reference": build.SET_URL}]


def test_a_relative_reference_is_completed_with_the_root_of_its_full_url(record: Record) -> None:
    sent = build.submission()
    root = "https://software.example/fhir"
    for entry, path in zip(sent["entry"], ("List/1", "DocumentReference/2", "Binary/3"), strict=True):
        entry["fullUrl"] = f"{root}/{path}"
    sent["entry"][0]["resource"]["entry"][0]["item"]["reference"] = "DocumentReference/2"
    sent["entry"][1]["resource"]["content"][0]["attachment"]["url"] = "Binary/3"
    record.submit(sent)
    assert (
        only(record, "DocumentReference")["content"][0]["attachment"]["url"] == f"Binary/{only(record, 'Binary')['id']}"
    )


def test_the_subject_becomes_literal_and_carries_the_ins(record: Record) -> None:
    record.submit(build.submission())
    expected = {
        "reference": "Patient/anouk",
        "identifier": {"system": build.INS_SYSTEM, "value": build.INS},
    }
    assert only(record, "DocumentReference")["subject"] == expected
    assert only(record, "List")["subject"] == expected


@pytest.mark.parametrize(
    "subject",
    [
        {"reference": "Patient/anouk"},
        {"reference": "https://dmp.example.org/fhir/Patient/anouk"},
        {"reference": f"https://dmp.example.org/fhir/Patient?identifier={build.INS_SYSTEM}|{build.INS}"},
        {"identifier": {"system": build.INS_SYSTEM, "value": build.INS}, "display": "A. B."},
    ],
)
def test_the_subject_may_be_named_in_every_form(record: Record, subject: Json) -> None:
    record.submit(build.submission(build.docref(subject=subject), subject=subject))
    assert only(record, "DocumentReference")["subject"]["reference"] == "Patient/anouk"
    assert only(record, "DocumentReference")["subject"].get("display") == subject.get("display")


def test_a_contained_patient_that_was_only_the_subject_leaves(record: Record) -> None:
    document = build.docref(subject={"reference": "#sujet"})
    document["contained"].append(build.source_patient(id="sujet"))
    record.submit(build.submission(document))
    stored = only(record, "DocumentReference")
    assert [part["id"] for part in stored["contained"]] == ["auteur", "medecin", "cabinet", "source"]


def test_the_subject_may_be_the_patient_entry_of_the_bundle(record: Record) -> None:
    url = "urn:uuid:0b3cb0a6-5b1f-4b7e-9a52-000000000009"
    subject = {"reference": url}
    read = {"fullUrl": url, "request": {"method": "GET", "url": "Patient/anouk"}}
    plan = record.submit(build.submission(build.docref(subject=subject), read, subject=subject))
    assert only(record, "List")["subject"]["reference"] == "Patient/anouk"
    assert (plan.replies[3].status, plan.replies[3].type, plan.replies[3].id) == (200, "Patient", "anouk")


def test_the_server_assigns_the_entry_uuid_and_replaces_the_clients(record: Record) -> None:
    mhd = "https://profiles.ihe.net/ITI/MHD/CodeSystem/IHE.MHD.MHDIdentifierType"
    sent = {
        "type": {"coding": [{"system": mhd, "code": "entryUUID"}]},
        "system": "urn:ietf:rfc:3986",
        "value": "urn:uuid:1",
    }
    other = {"system": "https://example.org/ids", "value": "17"}
    record.submit(build.submission(build.docref(identifier=[sent, other])))
    stored = only(record, "DocumentReference")
    assert [identifier["value"] for identifier in stored["identifier"]] == ["17", f"urn:uuid:{stored['id']}"]


def test_content_goes_to_the_blob_and_not_to_the_binary_resource(record: Record) -> None:
    plan = record.submit(build.submission())
    draft = plan.drafts[2]
    assert "data" not in draft.resource
    assert draft.blob == blob_of(build.CDA)


def test_a_missing_custodian_is_the_operator_and_is_reported(record: Record) -> None:
    document = build.docref()
    del document["custodian"]
    plan = record.submit(build.submission(document))
    assert only(record, "DocumentReference")["custodian"]["display"] == "Opérateur du DMP"
    (issue,) = plan.replies[1].issues
    assert (issue.severity, issue.expression) == ("information", ("Bundle.entry[1].resource.custodian",))


def test_a_missing_security_label_becomes_normal(record: Record) -> None:
    document = build.docref()
    del document["securityLabel"]
    record.submit(build.submission(document))
    assert only(record, "DocumentReference")["securityLabel"][0]["coding"][0]["code"] == "N"


def test_the_section_of_the_citizens_view_is_a_tag(record: Record) -> None:
    record.submit(build.submission())
    assert only(record, "DocumentReference")["meta"]["tag"] == [
        {"system": f"{X}/CodeSystem/mes-rubrique", "code": "comptes-rendus"}
    ]


@pytest.mark.statement("dmp-fhir 9.5/81", "dmp-fhir 9.5/82")
def test_source_patient_and_unknown_extensions_come_back_unchanged(record: Record) -> None:
    extension = {
        "url": "https://profiles.ihe.net/ITI/MHD/StructureDefinition/ihe-sourcePatientId",
        "valueReference": {"reference": "#patient"},
    }
    sent = build.submission(build.docref(extension=[{"url": "https://example.org/own", "valueString": "é"}]))
    sent["entry"][0]["resource"]["extension"].append(extension)
    sent["entry"][0]["resource"]["contained"].append(build.source_patient(id="patient"))
    record.submit(sent)
    stored = only(record, "DocumentReference")
    assert stored["contained"][3] == build.source_patient()
    assert stored["extension"] == [{"url": "https://example.org/own", "valueString": "é"}]
    assert only(record, "List")["extension"][2] == extension


def test_nothing_else_of_a_document_changes(record: Record) -> None:
    sent = build.docref()
    record.submit(build.submission(copy.deepcopy(sent)))
    stored = only(record, "DocumentReference")
    server_made = {"id", "meta", "identifier", "subject", "content"}
    assert {k: v for k, v in stored.items() if k not in server_made} == {
        k: v for k, v in sent.items() if k not in server_made
    }
    attachment = {k: v for k, v in sent["content"][0]["attachment"].items() if k != "url"}
    assert {k: v for k, v in stored["content"][0]["attachment"].items() if k != "url"} == attachment


def fhir_document() -> Json:
    return {
        "resourceType": "Bundle",
        "type": "document",
        "identifier": {"system": "urn:ietf:rfc:3986", "value": "urn:oid:1.2.250.1.999.1.7"},
        "timestamp": "2026-06-12T10:00:00+02:00",
        "entry": [
            {
                "fullUrl": "urn:uuid:4d1e0f26-0000-4000-8000-000000000001",
                "resource": {
                    "resourceType": "Composition",
                    "status": "final",
                    "subject": {"reference": "urn:uuid:4d1e0f26-0000-4000-8000-000000000002"},
                },
            }
        ],
    }


def fhir_submission() -> Json:
    document = build.docref()
    attachment = document["content"][0]["attachment"]
    attachment["contentType"] = "application/fhir+json"
    del attachment["hash"], attachment["size"]
    return build.bundle(
        build.entry(build.submission_set(), build.SET_URL),
        build.entry(document, build.DOCUMENT_URL),
        build.entry(fhir_document(), build.BINARY_URL),
    )


@pytest.mark.statement("dmp-fhir 9.5/79", "dmp-fhir 9.5/80")
def test_a_fhir_document_is_stored_as_a_sealed_bundle(record: Record) -> None:
    record.submit(fhir_submission())
    stored = only(record, "Bundle")
    assert {k: v for k, v in stored.items() if k not in ("id", "meta")} == fhir_document()
    assert only(record, "DocumentReference")["content"][0]["attachment"]["url"] == f"Bundle/{stored['id']}"


@pytest.mark.statement("dmp-fhir 9.5/76")
def test_if_none_exist_answers_with_the_stored_document_and_its_content(record: Record) -> None:
    record.submit(build.submission())
    stored = dict(record.held)
    criterion = "identifier=urn:ietf:rfc:3986|urn:oid:1.2.250.1.999.1.1"
    replay = build.submission()
    replay["entry"][1]["request"]["ifNoneExist"] = criterion
    plan = record.submit(replay)
    document = next(held for held in stored.values() if held.type == "DocumentReference")
    binary = next(held for held in stored.values() if held.type == "Binary")
    assert [(reply.status, reply.id) for reply in plan.replies[1:]] == [(200, document.id), (200, binary.id)]
    assert [draft.type for draft in plan.drafts] == ["List"]
    assert plan.drafts[0].resource["entry"] == [{"item": {"reference": document.reference}}]


def test_if_none_exist_with_several_matches_is_412(record: Record) -> None:
    for number in (1, 2):
        record.put(build.docref(identifier=[{"system": "https://example.org", "value": "1"}]), f"d{number}")
    replay = build.submission(build.docref("1.2.3"))
    replay["entry"][1]["request"]["ifNoneExist"] = "identifier=https://example.org|1"
    with pytest.raises(PreconditionFailed) as refusal:
        record.plan(replay)
    assert refusal.value.issues[0].expression == ("Bundle.entry[1].request.ifNoneExist",)


def test_a_conditional_reference_to_another_resource_is_resolved(record: Record) -> None:
    criterion = "Organization?identifier=https://finess.esante.gouv.fr|750100125"
    document = build.docref(custodian={"reference": criterion})
    with pytest.raises(PreconditionFailed) as refusal:
        record.plan(build.submission(document))
    assert refusal.value.issues[0].code == "not-found"
    identifier = [{"system": "https://finess.esante.gouv.fr", "value": "750100125"}]
    record.put({"resourceType": "Organization", "identifier": identifier}, "cabinet")
    document["custodian"] = {"reference": "Organization?_id=cabinet&identifier=urn:oid:1.2.250.1.71.4.2.2|1750100125"}
    record.held["Organization/cabinet"].resource["_id"] = "cabinet"
    record.submit(build.submission(document))
    assert only(record, "DocumentReference")["custodian"] == {"reference": "Organization/cabinet"}


def with_folder(*items: str) -> Json:
    return build.submission(None, build.entry(build.folder(*items or (build.DOCUMENT_URL,)), build.FOLDER_URL))


@pytest.mark.statement("dmp-fhir 9.5/78")
def test_a_folder_is_created_by_post_and_updated_by_put(record: Record) -> None:
    plan = record.submit(with_folder())
    folder_id = plan.replies[3].id
    assert record.held[f"List/{folder_id}"].resource["entry"] == [
        {"item": {"reference": f"DocumentReference/{plan.replies[1].id}"}}
    ]
    update = build.folder(f"DocumentReference/{plan.replies[1].id}", build.DOCUMENT_URL, title="Suivi")
    second = build.submission(
        build.docref("1.2.250.1.999.1.2"),
        build.entry(update, method="PUT", target=f"List/{folder_id}", ifMatch='W/"1"'),
    )
    again = record.submit(second)
    assert (again.replies[3].status, again.replies[3].id) == (200, folder_id)
    stored = record.held[f"List/{folder_id}"]
    assert (stored.version, stored.resource["title"], len(stored.resource["entry"])) == (2, "Suivi", 2)
    assert stored.resource["identifier"][0]["value"] == f"urn:uuid:{folder_id}"


def test_a_folder_update_with_a_stale_if_match_is_412(record: Record) -> None:
    folder_id = record.submit(with_folder()).replies[3].id
    update = build.entry(build.folder(build.DOCUMENT_URL), method="PUT", target=f"List/{folder_id}", ifMatch='W/"7"')
    with pytest.raises(PreconditionFailed):
        record.plan(build.submission(build.docref("1.2.250.1.999.1.2"), update))


@pytest.mark.statement("dmp-fhir 9.5/84", "dmp-fhir 9.5/85")
def test_odd_codes_raise_warnings_only(record: Record) -> None:
    document = build.docref(category=[{"coding": [{"system": build.CLASSES, "code": "11"}]}])
    document["context"]["facilityType"]["coding"][0]["code"] = "SA99"
    plan = record.submit(build.submission(document))
    assert {(issue.severity, issue.expression[0]) for issue in plan.replies[1].issues} == {
        ("warning", "Bundle.entry[1].resource.category"),
        ("warning", "Bundle.entry[1].resource.context.facilityType"),
    }


def test_an_unlisted_author_is_accepted_with_a_warning_when_the_setting_says_so(record: Record) -> None:
    document = build.docref()
    document["contained"][1]["identifier"][0]["value"] = "810100000016"
    document["contained"][2]["identifier"][0]["value"] = "690000001"
    plan = record.submit(build.submission(document), author_check="warn")
    (issue,) = plan.replies[1].issues
    assert (issue.severity, issue.details[0].code) == ("warning", "author-forged")


def test_an_administrator_submits_for_anybody(record: Record) -> None:
    document = build.docref()
    document["contained"][1]["identifier"][0]["value"] = "810100000016"
    assert record.submit(build.submission(document), ADMIN).replies[1].issues == ()


def test_a_wrong_hash_is_a_warning_when_the_setting_says_so(record: Record) -> None:
    document = build.docref()
    document["content"][0]["attachment"]["size"] = 3
    plan = record.submit(build.submission(document), verify_hash="warn")
    assert [issue.severity for issue in plan.replies[1].issues] == ["warning"]


@pytest.mark.parametrize("other", [{}, {"type": "batch"}, {"type": "collection"}])
def test_a_bundle_without_documents_is_no_submission(other: Json) -> None:
    bundle: Json = {"resourceType": "Bundle", "type": "transaction", "entry": [], **other}
    assert is_submission(bundle) is False


@pytest.mark.parametrize("keep", [0, 1])
def test_a_transaction_is_a_submission_by_its_profile_or_its_entries(keep: int) -> None:
    sent = build.submission()
    assert is_submission({**sent, "entry": []}) is True
    assert is_submission({**sent, "meta": {}, "entry": [sent["entry"][keep]]}) is True
    assert is_submission({**sent, "meta": {}, "entry": [sent["entry"][2]]}) is False


def test_a_bundle_without_profile_is_accepted_with_a_warning(record: Record) -> None:
    plan = record.submit(build.submission() | {"meta": {}})
    assert [issue.expression for issue in plan.issues] == [("Bundle.meta.profile",)]


def example(name: str) -> Any:
    path = EXAMPLES / name
    if not path.is_file():
        pytest.skip(f"the shared folder holds no {name}")
    return json.loads(path.read_bytes())


def open_example_dossier(record: Record) -> None:
    record.dossier("123456789012345", "exemple")


@pytest.mark.statement("dmp-fhir 9.12/206")
def test_the_published_submission_is_accepted(record: Record) -> None:
    open_example_dossier(record)
    plan = record.submit(example("Bundle-example-td2-iti65-lot-soumission.json"), key_check="warn")
    assert [reply.status for reply in plan.replies] == [201, 201, 201]
    keys = [issue.details[0].code for issue in plan.replies[1].issues if issue.details]
    assert keys == ["ins-cle-invalide"]
    with pytest.raises(Conflict):
        record.plan(example("Bundle-example-td2-iti65-lot-soumission.json"), key_check="warn")


@pytest.mark.statement("dmp-fhir 9.12/207")
def test_the_published_simplified_publication_is_accepted(record: Record) -> None:
    open_example_dossier(record)
    plan = record.publish(example("DocumentReference-example-td2-iti105-publication-simplifiee.json"), key_check="warn")
    assert [draft.type for draft in plan.drafts] == ["DocumentReference", "Binary", "List"]


def test_the_documents_of_the_published_search_result_can_be_submitted(record: Record) -> None:
    open_example_dossier(record)
    found = example("Bundle-example-annexe-searchset-documentreferences.json")
    document = example("Bundle-example-annexe-fhir-document.json")
    cda, fhir = (entry["resource"] for entry in found["entry"])
    cda["content"][0]["attachment"]["url"], fhir["content"][0]["attachment"]["url"] = "urn:uuid:1", "urn:uuid:2"
    subject = cda["subject"]
    plan = record.submit(
        build.bundle(
            build.entry(build.submission_set("urn:uuid:3", "urn:uuid:4", subject=subject), build.SET_URL),
            build.entry(cda, "urn:uuid:3"),
            build.entry(fhir, "urn:uuid:4"),
            build.entry(build.binary(), "urn:uuid:1"),
            build.entry(document, "urn:uuid:2"),
        ),
        key_check="warn",
        verify_hash="warn",  # the published hashes are placeholders
    )
    assert [reply.status for reply in plan.replies] == [201] * 5


def test_hash_is_the_base64_of_sha1() -> None:
    assert hash_of(blob_of(b"")) == "2jmj7l5rSw0yVb/vlWAYkK/YBwk="
