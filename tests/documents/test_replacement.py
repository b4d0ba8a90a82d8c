"""TD2.1: X is the stored document, Y replaces it, by a bundle or alone."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from fhir_dmp.errors import Conflict, DmpError, Forbidden
from fhir_dmp.fhir.resource import Json
from fhir_dmp.identity.caller import Actor, Caller
from tests.documents import build
from tests.documents.record import ADMIN, BASE, DOCTOR, OTHER_DOCTOR, Record

X_UID, Y_UID = "1.2.250.1.999.1.1", "1.2.250.1.999.1.2"
COLLEAGUE = Caller(Actor.PROFESSIONAL, "morel", professional="810000000012", structure="1750100125")


@pytest.fixture
def record() -> Record:
    known = Record()
    known.dossier(build.INS, "anouk", birthDate="1985-04-17")
    known.dossier(build.OTHER_INS, "paul")
    known.submit(build.submission(build.docref(X_UID)))
    return known


def stored_x(record: Record) -> str:
    uid = f"urn:oid:{X_UID}"
    return next(h.id for h in record.held.values() if h.resource.get("masterIdentifier", {}).get("value") == uid)


def replacement(target: Json | str, *more: Json, **elements: Any) -> Json:
    return build.submission(build.docref(Y_UID, relatesTo=build.replaces(target), **elements), *more)


def patch_of(id_: str, parameters: Json | None = None, **request: str) -> Json:
    body = parameters or build.superseding_patch()
    return build.entry(body, method="PATCH", target=f"DocumentReference/{id_}", **request)


def refused(record: Record, bundle: Json, caller: Caller = DOCTOR) -> DmpError:
    before = dict(record.held)
    with pytest.raises(DmpError) as caught:
        record.submit(bundle, caller)
    assert record.held == before
    return caught.value


def code_of(error: DmpError) -> str:
    return error.issues[0].details[0].code


@pytest.mark.statement("dmp-fhir 9.6/87", "dmp-fhir 9.6/88", "dmp-fhir 9.6/101")
def test_a_replacement_supersedes_x_and_keeps_it_readable(record: Record) -> None:
    x = stored_x(record)
    before = record.held[f"DocumentReference/{x}"].resource
    plan = record.submit(replacement(f"DocumentReference/{x}", patch_of(x)))
    assert [(reply.status, reply.type) for reply in plan.replies] == [
        (201, "List"),
        (201, "DocumentReference"),
        (201, "Binary"),
        (200, "DocumentReference"),
    ]
    old = record.held[f"DocumentReference/{x}"]
    assert old.version == 2
    assert {**old.resource, "meta": 0} == {**before, "meta": 0, "status": "superseded"}
    new = record.held[f"DocumentReference/{plan.replies[1].id}"].resource
    assert (new["status"], new["relatesTo"]) == ("current", build.replaces(f"DocumentReference/{x}"))
    assert before["content"][0]["attachment"]["url"] in record.held


@pytest.mark.statement("dmp-fhir 9.6/89")
@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_the_parts_of_the_patch_come_in_any_order(record: Record, order: tuple[int, ...]) -> None:
    body = build.superseding_patch()
    parts = body["parameter"][0]["part"]
    body["parameter"][0]["part"] = [parts[i] for i in order]
    x = stored_x(record)
    assert record.submit(replacement(f"DocumentReference/{x}", patch_of(x, body))).replies[3].status == 200


@pytest.mark.statement("dmp-fhir 9.6/90")
@pytest.mark.parametrize(
    "target",
    [
        "DocumentReference/{x}",
        BASE + "/DocumentReference/{x}",
        f"DocumentReference?identifier=urn:ietf:rfc:3986|urn:oid:{X_UID}",
        "DocumentReference?identifier=urn:ietf:rfc:3986|urn:uuid:{x}",
        f"DocumentReference?status=current&identifier=urn:ietf:rfc:3986|urn:oid:{X_UID}",
        {"identifier": {"system": "urn:ietf:rfc:3986", "value": f"urn:oid:{X_UID}"}},
        {"identifier": {"system": "urn:ietf:rfc:3986", "value": X_UID}},
    ],
)
def test_the_target_is_named_in_every_form(record: Record, target: Json | str) -> None:
    x = stored_x(record)
    sent = target.format(x=x) if isinstance(target, str) else target
    plan = record.submit(replacement(sent))
    stored = record.held[f"DocumentReference/{plan.replies[1].id}"].resource["relatesTo"][0]["target"]
    assert stored["reference"] == f"DocumentReference/{x}"
    assert stored.get("identifier") == (sent.get("identifier") if isinstance(sent, dict) else None)
    assert record.held[f"DocumentReference/{x}"].resource["status"] == "superseded"


def test_the_patch_names_x_by_its_unique_id_too(record: Record) -> None:
    x = stored_x(record)
    target = f"DocumentReference?identifier=urn:ietf:rfc:3986|urn:oid:{X_UID}"
    patch = build.entry(build.superseding_patch(), method="PATCH", target=target)
    assert record.submit(replacement(target, patch)).replies[3].id == x


@pytest.mark.statement("dmp-fhir 9.6/91")
@pytest.mark.parametrize(
    "target", ["DocumentReference/unknown", {"identifier": {"system": "urn:ietf:rfc:3986", "value": "urn:oid:1.9"}}]
)
def test_an_unknown_target_is_refused(record: Record, target: Json | str) -> None:
    error = refused(record, replacement(target))
    assert (error.status, code_of(error)) == (422, "cible-inconnue")
    assert error.issues[0].expression == ("Bundle.entry[1].resource.relatesTo[0].target",)


def test_an_import_keeps_an_absent_target_as_a_logical_reference(record: Record) -> None:
    target = {"identifier": {"system": "urn:ietf:rfc:3986", "value": "urn:oid:1.9"}}
    plan = record.submit(replacement(target), ADMIN, absent_targets=True)
    assert plan.drafts[1].resource["relatesTo"] == build.replaces(target)
    assert [(i.severity, i.details[0].code) for i in plan.replies[1].issues] == [("warning", "cible-inconnue")]


@pytest.mark.statement("dmp-fhir 9.6/92")
def test_a_target_of_another_patient_is_refused(record: Record) -> None:
    record.put(build.docref("1.2.3", subject={"reference": "Patient/paul"}), "other")
    error = refused(record, replacement("DocumentReference/other"))
    assert (error.status, code_of(error)) == (422, "patient-discordant")


@pytest.mark.statement("dmp-fhir 9.6/93")
def test_a_superseded_target_is_refused_and_its_successor_named(record: Record) -> None:
    x = stored_x(record)
    successor = record.submit(replacement(f"DocumentReference/{x}")).replies[1].id
    again = build.docref("1.2.3", relatesTo=build.replaces(f"DocumentReference/{x}"))
    error = refused(record, build.submission(again))
    assert (type(error), code_of(error)) == (Conflict, "cible-deja-remplacee")
    assert f"DocumentReference/{successor}" in error.issues[0].diagnostics


def test_x_is_replaced_once_in_a_submission(record: Record) -> None:
    relation = build.replaces(f"DocumentReference/{stored_x(record)}")
    second = build.entry(build.docref("1.2.3", relatesTo=relation), "urn:uuid:2")
    sent = build.submission(build.docref(Y_UID, relatesTo=relation), second)
    sent["entry"][0]["resource"]["entry"].append({"item": {"reference": "urn:uuid:2"}})
    assert code_of(refused(record, sent)) == "cible-deja-remplacee"


@pytest.mark.statement("dmp-fhir 9.6/94")
def test_a_deleted_target_is_refused(record: Record) -> None:
    x = stored_x(record)
    record.put({**record.held[f"DocumentReference/{x}"].resource, "status": "entered-in-error"}, x, 2)
    error = refused(record, replacement(f"DocumentReference/{x}"))
    assert (error.status, code_of(error)) == (422, "transition-interdite")


@pytest.mark.statement("dmp-fhir 9.6/95")
def test_y_has_its_own_unique_id(record: Record) -> None:
    document = build.docref(X_UID, relatesTo=build.replaces(f"DocumentReference/{stored_x(record)}"))
    assert refused(record, build.submission(document)).status == 409


@pytest.mark.statement("dmp-fhir 9.6/96")
def test_without_patch_the_server_supersedes_x_and_says_so(record: Record) -> None:
    x = stored_x(record)
    plan = record.submit(replacement(f"DocumentReference/{x}"))
    assert record.held[f"DocumentReference/{x}"].resource["status"] == "superseded"
    assert [issue.severity for issue in plan.replies[1].issues] == ["information"]
    assert len(plan.replies) == 3


@pytest.mark.statement("dmp-fhir 9.6/97")
def test_a_patch_without_relation_is_refused(record: Record) -> None:
    error = refused(record, build.submission(build.docref(Y_UID), patch_of(stored_x(record))))
    assert (error.status, error.issues[0].expression) == (422, ("Bundle.entry[3]",))


@pytest.mark.parametrize(
    "part", [{"name": "path", "valueString": "DocumentReference.type"}, {"name": "value", "valueCode": "current"}]
)
def test_a_patch_changes_the_status_to_superseded_only(record: Record, part: Json) -> None:
    x = stored_x(record)
    body = build.superseding_patch()
    parts = body["parameter"][0]["part"]
    body["parameter"][0]["part"] = [one for one in parts if one["name"] != part["name"]] + [part]
    error = refused(record, replacement(f"DocumentReference/{x}", patch_of(x, body)))
    assert (error.status, code_of(error)) == (422, "metadonnee-non-modifiable")


def test_y_replaces_one_document(record: Record) -> None:
    relation = build.replaces(f"DocumentReference/{stored_x(record)}")
    error = refused(record, build.submission(build.docref(Y_UID, relatesTo=[*relation, *relation])))
    assert error.issues[0].expression == ("Bundle.entry[1].resource.relatesTo[1]",)


def test_y_cannot_replace_a_document_of_its_own_submission(record: Record) -> None:
    second = build.entry(build.docref("1.2.3", relatesTo=build.replaces(build.DOCUMENT_URL)), "urn:uuid:2")
    sent = build.submission(build.docref(Y_UID), second)
    sent["entry"][0]["resource"]["entry"].append({"item": {"reference": "urn:uuid:2"}})
    assert code_of(refused(record, sent)) == "cible-inconnue"


def test_the_old_form_is_an_update_of_the_status_alone(record: Record) -> None:
    x = stored_x(record)
    shown = copy.deepcopy(record.held[f"DocumentReference/{x}"].resource)
    attachment = shown["content"][0]["attachment"]
    attachment["url"] = f"{BASE}/{attachment['url']}"
    update = build.entry({**shown, "status": "superseded"}, method="PUT", target=f"DocumentReference/{x}")
    plan = record.plan(replacement(f"DocumentReference/{x}", update))
    assert (plan.replies[3].status, plan.replies[3].id) == (200, x)
    other = build.entry(
        {**shown, "status": "superseded", "description": "autre"}, method="PUT", target=f"DocumentReference/{x}"
    )
    assert code_of(refused(record, replacement(f"DocumentReference/{x}", other))) == "metadonnee-non-modifiable"


@pytest.mark.statement("dmp-fhir 9.6/98")
def test_a_simplified_publication_replaces_too(record: Record) -> None:
    x = stored_x(record)
    record.publish(build.publication(Y_UID, relatesTo=build.replaces(f"DocumentReference/{x}")))
    assert record.held[f"DocumentReference/{x}"].resource["status"] == "superseded"


@pytest.mark.statement("dmp-fhir 9.6/99")
def test_only_an_author_or_a_colleague_replaces(record: Record) -> None:
    x = stored_x(record)
    document = build.docref(Y_UID, relatesTo=build.replaces(f"DocumentReference/{x}"))
    document["contained"][1]["identifier"][0]["value"] = "810000000004"
    document["contained"][2]["identifier"][0]["value"] = "690000001"
    error = refused(record, build.submission(document), OTHER_DOCTOR)
    assert (type(error), code_of(error)) == (Forbidden, "pas-auteur")
    assert record.plan(replacement(f"DocumentReference/{x}"), COLLEAGUE).replies[1].status == 201


def test_the_patient_replaces_own_documents(record: Record) -> None:
    anouk = Caller(Actor.PATIENT, "anouk", patient="anouk")
    x = record.held["DocumentReference/" + stored_x(record)].resource
    assert code_of(refused(record, replacement(f"DocumentReference/{x['id']}"), anouk)) == "pas-auteur"
    own = build.docref("1.2.3", author=[{"reference": "#source"}], authenticator={"reference": "#auteur"})
    old = record.submit(build.submission(own), anouk).replies[1].id
    newer = build.docref(Y_UID, author=[{"reference": "#source"}], relatesTo=build.replaces(f"DocumentReference/{old}"))
    assert record.submit(build.submission(newer), anouk).replies[1].status == 201


def with_labels(record: Record, *labels: Json) -> str:
    x = stored_x(record)
    record.put({**record.held[f"DocumentReference/{x}"].resource, "securityLabel": list(labels)}, x, 2)
    return f"DocumentReference/{x}"


@pytest.mark.statement("dmp-fhir 9.6/100")
def test_visibility_labels_are_inherited_unless_y_carries_one(record: Record) -> None:
    hidden = build.visibility("INVISIBLE_PATIENT")
    x = with_labels(record, build.visibility("MASQUE_PS"), hidden, build.base_label("R"))
    plan = record.plan(replacement(x))
    assert plan.drafts[1].resource["securityLabel"] == [build.visibility("MASQUE_PS"), hidden, build.base_label()]
    assert "warning" in [issue.severity for issue in plan.replies[1].issues]
    own = record.plan(replacement(x, securityLabel=[build.base_label(), hidden]))
    assert own.drafts[1].resource["securityLabel"] == [hidden, build.base_label()]


def test_y_starts_unarchived(record: Record) -> None:
    x = stored_x(record)
    archived = {"url": f"{build.PDSM}/pdsm-ext-is-archived", "valueBoolean": True}
    record.put({**record.held[f"DocumentReference/{x}"].resource, "extension": [archived]}, x, 2)
    plan = record.submit(replacement(f"DocumentReference/{x}"))
    assert "extension" not in plan.drafts[1].resource


@pytest.mark.statement("dmp-fhir 9.6/102")
@pytest.mark.parametrize("code", ["transforms", "appends", "signs"])
def test_other_relations_leave_the_target_alone(record: Record, code: str) -> None:
    x = stored_x(record)
    relation = [{"code": code, "target": {"reference": f"DocumentReference/{x}"}}]
    record.submit(build.submission(build.docref(Y_UID, relatesTo=relation)))
    assert record.held[f"DocumentReference/{x}"].version == 1


def test_a_signature_may_point_to_a_document_of_the_same_submission(record: Record) -> None:
    relation = [{"code": "signs", "target": {"reference": build.DOCUMENT_URL}}]
    second = build.entry(build.docref("1.2.3", relatesTo=relation), "urn:uuid:2")
    sent = build.submission(build.docref(Y_UID), second)
    sent["entry"][0]["resource"]["entry"].append({"item": {"reference": "urn:uuid:2"}})
    plan = record.submit(sent)
    target = plan.drafts[3].resource["relatesTo"][0]["target"]
    assert target == {"reference": f"DocumentReference/{plan.replies[1].id}"}


def test_folders_that_hold_x_are_completed_with_y(record: Record) -> None:
    x = stored_x(record)
    reference = f"DocumentReference/{x}"
    record.put(build.folder(reference, subject={"reference": "Patient/anouk"}), "folder")
    plan = record.submit(replacement(reference))
    folder = record.held["List/folder"]
    assert folder.version == 2
    items = [entry["item"]["reference"] for entry in folder.resource["entry"]]
    assert items == [reference, f"DocumentReference/{plan.replies[1].id}"]


def test_a_folder_that_the_submission_updates_is_completed_in_the_same_version(record: Record) -> None:
    reference = f"DocumentReference/{stored_x(record)}"
    record.put(build.folder(reference, subject={"reference": "Patient/anouk"}), "folder")
    update = build.entry(build.folder(reference, title="Autre"), method="PUT", target="List/folder")
    plan = record.submit(replacement(reference, update))
    assert len([draft for draft in plan.drafts if draft.id == "folder"]) == 1
    assert record.held["List/folder"].resource["title"] == "Autre"
    assert len(record.held["List/folder"].resource["entry"]) == 2


def test_a_replayed_replacement_changes_nothing(record: Record) -> None:
    x = stored_x(record)
    record.submit(replacement(f"DocumentReference/{x}", patch_of(x)))
    replay = replacement(f"DocumentReference/{x}", patch_of(x))
    replay["entry"][1]["request"]["ifNoneExist"] = f"identifier=urn:ietf:rfc:3986|urn:oid:{Y_UID}"
    plan = record.submit(replay)
    assert [reply.status for reply in plan.replies] == [201, 200, 200, 200]
    assert [draft.type for draft in plan.drafts] == ["List"]


@pytest.mark.parametrize(
    "target", ["DocumentReference/{x}", f"DocumentReference?identifier=urn:ietf:rfc:3986|urn:oid:{X_UID}"]
)
def test_a_hidden_target_is_like_an_unknown_one_but_its_unique_id_stays_in_use(record: Record, target: str) -> None:
    x = stored_x(record)
    record.hidden = frozenset((f"DocumentReference/{x}",))
    error = refused(record, replacement(target.format(x=x)))
    assert (error.status, code_of(error)) == (422, "cible-inconnue")
    duplicate = refused(record, build.submission(build.docref(X_UID)))
    assert code_of(duplicate) == "doublon-uniqueid"
    assert x not in duplicate.issues[0].diagnostics
