"""Block W of the decision table, row by row over HTTP: who may write what. [security 4.3, dmp-fhir 3.7.1]"""

from __future__ import annotations

import base64
from typing import Any

import pytest

from fhir_dmp.identity.caller import Actor, Caller, Mode
from fhir_dmp.identity.scopes import parse
from fhir_dmp.store.memory import MemoryStore
from tests import samples
from tests.corridor.stage import (
    CLINIC,
    MASKED,
    NOT_PARENTS,
    NOT_PATIENT,
    NURSE,
    STRANGER,
    Stage,
    refused,
)
from tests.corridor.test_rows_documents import assert_absent
from tests.corridor.test_rows_record import UNKNOWN, minor
from tests.samples import Json
from tests.world import Client, make_world


def submission(**more: Any) -> Json:
    number = more.pop("number", 0)
    return samples.submission(f"1.2.250.1.999.6.7{number:02d}", **more)


@pytest.mark.statement("security P-1 W1", "security P-47")
def test_w1_a_deposit_needs_the_caller_or_its_structure_among_the_authors(stage: Stage) -> None:
    forged = submission(professional=samples.DOCTOR, structure=samples.HOSPITAL)
    refused(stage.ps().post("", forged), 403, "author-forged")
    assert stage.world.services.store.types().get("DocumentReference", 0) == 0
    assert stage.ps(NURSE, samples.HOSPITAL).post("", forged).status == 200


@pytest.mark.statement("security P-1 W1", "security P-14")
def test_w1_labels_that_contradict_each_other_are_422() -> None:
    stage = Stage(make_world(MemoryStore(), None, DMP_DOCUMENTS_MASK_PLUS_INVISIBLE="false"))
    stage.world.open()
    both = (MASKED, NOT_PATIENT, (samples.CONFIDENTIALITY, "N"))
    refused(stage.author.post("", submission(labels=both)), 422)
    id_ = stage.submit(MASKED)
    refused(stage.relabel(stage.author, id_, "MASQUE_PS", "INVISIBLE_PATIENT"), 422)


@pytest.mark.statement("security P-1 W1", "security P-15")
def test_w1_the_label_against_representatives_is_for_minors(stage: Stage) -> None:
    labels = (NOT_PARENTS, (samples.CONFIDENTIALITY, "N"))
    refused(stage.author.post("", submission(labels=labels)), 422)
    child = minor(stage)
    assert child.author.post("", submission(ins=child.ins, labels=labels, number=1)).status == 200


def deposit(stage: Stage, author: Json, *labels: str, class_: str = "90", type_: str = "EXPPAT_1") -> Json:
    """Return what a patient publishes: an own document, with its content inside."""
    made = samples.document("1.2.250.1.999.6.799", ins=stage.ins, class_=class_)
    made.pop("authenticator", None)  # the profile knows no patient there
    attachment = made["content"][0]["attachment"]
    attachment["data"] = base64.b64encode(samples.TEXT).decode()
    types = f"{samples.NOS}/TRE_A05-TypeDocComplementaire/FHIR/TRE-A05-TypeDocComplementaire"
    coded = [{"coding": [{"system": samples.VISIBILITY, "code": code}]} for code in labels]
    return {
        **made,
        "meta": {"profile": [f"{samples.PDSM}/pdsm-simplified-publish"]},
        "contained": [each for each in made["contained"] if each["id"] == "source"],
        "author": [author],
        "type": {"coding": [{"system": types, "code": type_}]},
        "securityLabel": [*coded, {"coding": [{"system": samples.CONFIDENTIALITY, "code": "N"}]}],
    }


@pytest.mark.statement("security P-1 W2", "security P-46")
def test_w2_a_patient_deposits_own_documents_and_hides_them_from_professionals_only(stage: Stage) -> None:
    own = {"reference": "#source"}
    for labels in (("INVISIBLE_PATIENT",), ("INVISIBLE_PATIENT", "MASQUE_PS")):
        refused(stage.holder().post("/DocumentReference", deposit(stage, own, *labels)), 403, "label-forbidden")
    report = deposit(stage, own, class_="10")
    report["type"] = {"coding": [{"system": samples.LOINC, "code": "11488-4"}]}
    refused(stage.holder().post("/DocumentReference", report), 403, "patient-deposit")
    foreign = {"identifier": {"system": "urn:oid:1.2.250.1.71.4.2.1", "value": samples.DOCTOR}}
    refused(stage.holder().post("/DocumentReference", deposit(stage, foreign)), 403)
    made = stage.holder().post("/DocumentReference", deposit(stage, own, "MASQUE_PS"))
    assert made.status == 201, made.body
    assert stage.found(stage.holder()) == {made.json["id"]}
    stage.authorise()
    assert stage.found(stage.ps()) == set()
    assert stage.status(stage.holder(), made.json["id"], "entered-in-error").status == 200


@pytest.mark.statement("security P-1 W1", "security P-15")
def test_w1_a_secret_connection_of_a_minor_forces_the_label_against_representatives(stage: Stage) -> None:
    child = minor(stage)
    secret = child.ps(samples.DOCTOR, samples.HOSPITAL, secret=True)
    refused(secret.post("", submission(ins=child.ins)), 422, "label-conflict")
    labels = (NOT_PARENTS, (samples.CONFIDENTIALITY, "N"))
    assert secret.post("", submission(ins=child.ins, labels=labels)).status == 200


@pytest.mark.statement("security P-1 W3", "security P-17")
def test_w3_only_an_author_or_the_structure_replaces(stage: Stage) -> None:
    id_ = stage.submit()
    stage.authorise()
    relation = [{"code": "replaces", "target": {"reference": f"DocumentReference/{id_}"}}]
    mine = submission(professional=STRANGER, structure=CLINIC, relatesTo=relation, content=b"autre")
    refused(stage.ps().post("", mine), 403, "pas-auteur")
    colleague = submission(professional=NURSE, relatesTo=relation, content=b"autre", number=1)
    assert stage.ps(NURSE, samples.HOSPITAL).post("", colleague).status == 200


@pytest.mark.statement("security P-1 W3", "security P-41")
def test_w3_a_hidden_document_cannot_be_replaced_because_it_is_unknown(stage: Stage) -> None:
    id_ = stage.submit(MASKED)
    stage.authorise()
    answers = []
    for number, target in enumerate((id_, UNKNOWN)):
        relation = [{"code": "replaces", "target": {"reference": f"DocumentReference/{target}"}}]
        bundle = submission(professional=STRANGER, structure=CLINIC, relatesTo=relation, number=number)
        answer = stage.ps().post("", bundle, X_Request_Id="same")
        answers.append((answer.status, answer.body.replace(target.encode(), b""), answer.headers))
    assert answers[0] == answers[1]
    assert answers[0][0] == 422


@pytest.mark.statement("security P-1 W5", "security P-17")
def test_w5_only_an_author_or_the_structure_deletes_and_the_patient_own_deposits(stage: Stage) -> None:
    id_ = stage.submit()
    stage.authorise()
    stage.doctor("899700218946")
    for client in (stage.ps(), stage.ps("899700218946"), stage.holder()):
        refused(stage.status(client, id_, "entered-in-error"), 403, "pas-auteur", "author-only")
    assert stage.last.reason == "pas-auteur"
    assert stage.status(stage.ps(NURSE, samples.HOSPITAL), id_, "entered-in-error").status == 200
    again = stage.submit(client=stage.world.structure())
    assert stage.status(stage.world.structure(), again, "entered-in-error").status == 200


@pytest.mark.statement("security P-1 W6")
@pytest.mark.parametrize(
    ("who", "status"), [("author", 200), ("doctor", 200), ("authorised", 403), ("patient", 200), ("parent", 404)]
)
def test_w6_who_masks(stage: Stage, who: str, status: int) -> None:
    id_ = stage.submit()
    stage.doctor("899700218946")
    stage.authorise()
    client = {
        "author": stage.author,
        "doctor": stage.ps("899700218946"),
        "authorised": stage.ps(),
        "patient": stage.holder(),
        "parent": stage.holder(Actor.REPRESENTATIVE),
    }[who]
    assert stage.relabel(client, id_, "MASQUE_PS").status == status
    if status == 200:
        assert dict(stage.last.details)["labels-after"] == "MASQUE_PS"
        assert stage.found(stage.ps()) == set()
        assert stage.relabel(client, id_).status == 200
        assert stage.found(stage.ps()) == {id_}


@pytest.mark.statement("security P-1 W6")
def test_w6_the_representative_of_a_minor_masks(stage: Stage) -> None:
    child = minor(stage)
    id_ = child.submit()
    assert child.relabel(child.holder(Actor.REPRESENTATIVE), id_, "MASQUE_PS").status == 200


@pytest.mark.statement("security P-1 W7", "security P-46")
def test_w7_only_professionals_hide_from_the_patient(stage: Stage) -> None:
    id_ = stage.submit()
    stage.authorise()
    refused(stage.relabel(stage.holder(), id_, "INVISIBLE_PATIENT"), 403, "label-forbidden")
    refused(stage.relabel(stage.ps(), id_, "INVISIBLE_PATIENT"), 403, "label-forbidden")
    assert stage.relabel(stage.author, id_, "INVISIBLE_PATIENT").status == 200
    assert_absent(stage.holder(), id_, stage.content(id_))
    refused(stage.relabel(stage.holder(), id_), 404)
    assert stage.relabel(stage.ps(), id_).status == 200
    assert stage.found(stage.holder()) == {id_}


@pytest.mark.statement("security P-1 W7")
@pytest.mark.parametrize("way", ["/DocumentReference/{id}", "{content}", "/DocumentReference/{id}/_history"])
def test_w7_what_the_patient_has_consulted_is_not_hidden_any_more(stage: Stage, way: str) -> None:
    id_ = stage.submit()
    assert stage.holder().get(way.format(id=id_, content=stage.content(id_))).status == 200
    refused(stage.relabel(stage.author, id_, "INVISIBLE_PATIENT"), 422, "transition-interdite")
    assert stage.relabel(stage.author, id_, "MASQUE_PS").status == 200


@pytest.mark.statement("security P-1 W7")
def test_w7_a_refused_attempt_of_the_patient_is_no_consultation(stage: Stage) -> None:
    id_ = stage.submit(NOT_PATIENT)
    assert stage.holder().get(f"/DocumentReference/{id_}").status == 404
    assert stage.relabel(stage.author, id_).status == 200
    assert stage.relabel(stage.author, id_, "INVISIBLE_PATIENT").status == 200


@pytest.mark.statement("security P-1 W8", "security P-16")
def test_w8_what_was_made_visible_to_representatives_is_not_hidden_from_them_again(stage: Stage) -> None:
    child = minor(stage)
    id_ = child.submit(NOT_PARENTS)
    assert child.relabel(child.author, id_, "MASQUE_PS").status == 200
    assert child.relabel(child.author, id_).status == 200
    refused(child.relabel(child.author, id_, "INVISIBLE_REPRESENTANTS_LEGAUX"), 422, "irreversible")
    first = child.submit()
    assert child.relabel(child.author, first, "INVISIBLE_REPRESENTANTS_LEGAUX").status == 200


@pytest.mark.statement("security P-1 W8")
def test_w8_parents_and_children_do_not_change_that_label(stage: Stage) -> None:
    child = minor(stage)
    id_ = child.submit(NOT_PARENTS)
    refused(child.relabel(child.holder(Actor.REPRESENTATIVE), id_), 404)
    refused(child.relabel(child.holder(), id_), 403, "label-forbidden")


@pytest.mark.statement("security P-1 W9")
def test_w9_author_medecin_traitant_authorised_and_patient_archive(stage: Stage) -> None:
    stage.doctor("899700218946")
    stage.authorise()
    for client in (stage.author, stage.ps("899700218946"), stage.ps(), stage.holder()):
        assert stage.archive(client, stage.submit()).status == 200
    refused(stage.archive(stage.ps(NURSE), stage.submit()), 403, "authorisation-missing")


@pytest.mark.statement("security P-1 W10", "security C-6", "security C-15")
def test_w10_professionals_speak_for_themselves_and_read_what_names_them(stage: Stage) -> None:
    def authorisation(number: str) -> Json:
        return samples.consent(stage.id, "ps-authorisation", actor=[samples.consent_actor(number)])

    refused(stage.ps().post("/Consent", authorisation(NURSE)), 403, "consent-writer")
    own = stage.ps().post("/Consent", authorisation(STRANGER))
    assert own.status == 201, own.body
    foreign = stage.authorise(NURSE)
    assert stage.ps().get(f"/Consent/{own.json['id']}").status == 200
    for suffix in ("", "/_history/1", "/_history", "/$meta"):
        hidden = stage.ps().get(f"/Consent/{foreign}{suffix}", X_Request_Id="same")
        unknown = stage.ps().get(f"/Consent/{UNKNOWN}{suffix}", X_Request_Id="same")
        assert (hidden.status, hidden.body, hidden.headers) == (404, unknown.body, unknown.headers)
    answer = stage.ps().get(f"/Consent?patient=Patient/{stage.id}&_total=accurate")
    assert [each["id"] for each in answer.entries] == [own.json["id"]]
    assert answer.json["total"] == 1
    assert stage.search(stage.holder(), "Consent", "&_total=accurate").json["total"] == 3  # and the opening
    refused(stage.ps().put(f"/Consent/{foreign}", {**authorisation(NURSE), "id": foreign}, If_Match='W/"1"'), 404)


@pytest.mark.statement("security P-1 W11", "security P-8")
def test_w11_emergency_modes_write_nothing(stage: Stage) -> None:
    id_ = stage.submit()
    for mode in (stage.breaking_glass(), stage.regulator()):
        refused(mode.post("", submission(professional=STRANGER, structure=CLINIC)), 403, "scope")
        refused(stage.status(mode, id_, "superseded"), 403, "scope")


@pytest.mark.statement("security P-1 W11", "security P-8")
def test_w11_a_wider_token_would_not_help(stage: Stage) -> None:
    id_ = stage.submit()
    secret = stage.submit(MASKED)
    wide = stage.ps(mode=Mode.BREAK_GLASS, reason="coma", scopes=parse("user/*.cruds"))
    refused(wide.post("", submission(professional=STRANGER, structure=CLINIC)), 403, "read-only-mode")
    refused(stage.status(wide, id_, "superseded"), 403, "read-only-mode")
    refused(stage.observe(wide), 403, "read-only-mode")
    refused(stage.status(wide, secret, "superseded"), 404, "not-found")
    consent = samples.consent(stage.id, "ps-authorisation", actor=[samples.consent_actor(STRANGER)])
    refused(wide.post("/Consent", consent), 403, "read-only-mode")


EVENT: Json = {
    "resourceType": "AuditEvent",
    "type": {"system": "http://terminology.hl7.org/CodeSystem/audit-event-type", "code": "rest"},
    "recorded": "2026-06-10T08:00:00+02:00",
    "agent": [{"requestor": True, "who": {"display": "Portail"}}],
    "source": {"observer": {"display": "Portail"}},
}


@pytest.mark.statement("security P-1 W12", "security L-10")
def test_w12_only_trusted_feeders_report_events_and_nobody_changes_one(stage: Stage) -> None:
    feeder = stage.world.as_(
        Caller(Actor.FEEDER, "feeder", structure="1999999999", scopes=parse("system/AuditEvent.c"))
    )
    made = feeder.post("/AuditEvent", EVENT)
    assert made.status == 201, made.body
    for client in (stage.ps(scopes=parse("user/*.cruds")), stage.holder(scopes=parse("patient/*.cruds"))):
        refused(client.post("/AuditEvent", EVENT), 403)
    for client in (stage.admin, feeder):
        for method in ("PUT", "PATCH", "DELETE"):
            answer = client.call(method, f"/AuditEvent/{made.json['id']}", EVENT)
            refused(answer, 405)
            assert "Allow" in answer.headers


@pytest.mark.statement("security P-41")
def test_changes_of_hidden_documents_answer_like_changes_of_unknown_ones(stage: Stage) -> None:
    id_ = stage.submit(MASKED)
    oid = stage.admin.get(f"/DocumentReference/{id_}").json["masterIdentifier"]["value"]
    stage.authorise()
    client = stage.ps(scopes=parse("user/*.cruds"))
    body = stage.admin.get(f"/DocumentReference/{id_}").json

    def tried(name: str, number: str) -> list[object]:
        headers = {"X_Request_Id": "same"}
        patch = [{"op": "replace", "path": "/status", "value": "superseded"}]
        identifier = f"/DocumentReference?identifier=urn:ietf:rfc:3986|{number}"
        answers = [
            client.patch(f"/DocumentReference/{name}", patch, **headers),
            client.patch(f"/DocumentReference/{name}", [{"op": "remove", "path": "/nothing"}], **headers),
            client.patch(f"/DocumentReference/{name}", patch, If_Match='W/"9"', **headers),
            client.patch(identifier, patch, **headers),
            client.put(f"/DocumentReference/{name}", {**body, "id": name}, **headers),
            client.put(f"/DocumentReference/{name}", {**body, "id": name}, If_Match='W/"1"', **headers),
            client.delete(f"/DocumentReference/{name}", **headers),
            client.post(f"/DocumentReference/{name}/$meta", {}, **headers),
        ]
        return [(a.status, a.body.replace(name.encode(), b""), a.headers) for a in answers]

    assert tried(id_, oid) == tried(UNKNOWN, oid[:-1] + "999999")


@pytest.mark.statement("security TH1")
def test_without_the_scope_an_existing_id_answers_like_an_unknown_one(stage: Stage) -> None:
    made = stage.observe(stage.admin).json
    narrow: Client = stage.ps(scopes=parse("user/DocumentReference.rs"))
    for method in ("GET", "PUT", "PATCH", "DELETE"):
        answers = [
            narrow.call(method, f"/Observation/{name}", {**made, "id": name}, {"X-Request-Id": "same"})
            for name in (made["id"], UNKNOWN)
        ]
        assert len({(a.status, a.body) for a in answers}) == 1, method
        assert answers[0].status in (403, 400, 415)
