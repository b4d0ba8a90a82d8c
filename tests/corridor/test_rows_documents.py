"""Block D of the decision table, row by row over HTTP: which documents exist for whom. [security 4.3, dmp-fhir 3.0]"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from fhir_dmp.identity.caller import Actor
from fhir_dmp.store.memory import MemoryStore
from fhir_dmp.terminology.aliases import PROFESSION
from tests import samples
from tests.corridor.stage import MASKED, NOT_PARENTS, NOT_PATIENT, NURSE, STRANGER, Stage, refused
from tests.corridor.test_rows_record import UNKNOWN, minor
from tests.world import Client, Response, make_world

PHARMACIST = "899700218920"
DENTIST = "899700218946"


def sees(stage: Stage, client: Client, id_: str) -> bool:
    """Ask by search, by id and for the content: the three must agree."""
    answers = {
        id_ in stage.found(client),
        client.get(f"/DocumentReference/{id_}").status == 200,
        client.get(stage.content(id_)).status == 200,
    }
    assert len(answers) == 1, answers
    return answers.pop()


def assert_absent(client: Client, id_: str, path: str) -> None:
    """Everything that names a document, or its content, answers as for an id that never was."""
    for suffix in ("", "/_history", "/_history/1", "/_history/7", "/$meta"):
        for target in (f"/DocumentReference/{id_}{suffix}", f"{path}{suffix}"):
            name = target.split("/")[2]
            hidden = client.get(target, X_Request_Id="same")
            unknown = client.get(target.replace(name, UNKNOWN), X_Request_Id="same")
            assert hidden.status == 404, (target, hidden.body)
            assert (hidden.body, hidden.headers) == (unknown.body, unknown.headers), target


@pytest.mark.statement("security P-1 D1", "dmp-fhir 9.7/121")
def test_d1_a_deleted_document_is_gone_but_for_author_and_patient(stage: Stage) -> None:
    id_ = stage.submit()
    path = stage.content(id_)
    stage.authorise()
    assert stage.status(stage.author, id_, "entered-in-error").status == 200
    refused(stage.ps().get(f"/DocumentReference/{id_}"), 410, "deleted")
    refused(stage.ps().get(f"/DocumentReference/{id_}/_history/1"), 410, "deleted")
    for client in (stage.author, stage.holder()):
        assert client.get(f"/DocumentReference/{id_}").status == 200
        refused(client.get(path), 410, "deleted")
    assert stage.found(stage.ps()) == stage.found(stage.holder()) == set()
    assert stage.found(stage.holder(), query="&status=entered-in-error") == {id_}
    assert stage.found(stage.ps(), query="&status=entered-in-error") == set()


@pytest.mark.statement("security P-1 D1", "security P-41")
def test_d1_a_deleted_document_that_was_hidden_stays_unknown(stage: Stage) -> None:
    id_ = stage.submit(MASKED)
    path = stage.content(id_)
    stage.authorise()
    assert stage.status(stage.author, id_, "entered-in-error").status == 200
    assert_absent(stage.ps(), id_, path)


@pytest.mark.statement("security P-1 D2", "security P-12", "security P-41", "security P-42")
def test_d2_a_document_hidden_from_the_patient_does_not_exist_for_the_patient(stage: Stage) -> None:
    shown, secret = stage.submit(), stage.submit(NOT_PATIENT)
    stage.authorise()
    assert stage.found(stage.holder()) == {shown}
    assert_absent(stage.holder(), secret, stage.content(secret))
    answer = stage.ps().get(f"/DocumentReference/{secret}")
    assert (answer.status, answer.headers["X-DMP-Warning"]) == (200, "hidden-from-patient")


@pytest.mark.statement("security P-1 D3", "security P-13", "security P-41")
def test_d3_documents_hidden_from_representatives_do_not_exist_for_them(stage: Stage) -> None:
    child = minor(stage)
    shown, secret, unseen = child.submit(), child.submit(NOT_PARENTS), child.submit(NOT_PATIENT)
    child.authorise()
    parent = child.holder(Actor.REPRESENTATIVE)
    assert child.found(parent) == {shown}
    for id_ in (secret, unseen):
        assert_absent(parent, id_, child.content(id_))
    assert child.found(child.holder()) == {shown, secret}
    answer = child.ps().get(child.content(secret))
    assert (answer.status, answer.headers["X-DMP-Warning"]) == (200, "hidden-from-representatives")


@pytest.mark.statement("security P-1 D5")
def test_d5_the_patient_sees_what_is_masked_to_professionals(stage: Stage) -> None:
    id_ = stage.submit(MASKED)
    assert sees(stage, stage.holder(), id_)


@pytest.mark.statement("security P-1 D6", "security P-18")
@pytest.mark.parametrize("labels", [(MASKED,), (NOT_PATIENT,), (MASKED, NOT_PATIENT)])
def test_d6_an_author_sees_the_own_document_whatever_its_labels(
    stage: Stage, labels: tuple[tuple[str, str], ...]
) -> None:
    id_ = stage.submit(*labels)
    stage.authorise(samples.DOCTOR)
    assert sees(stage, stage.author, id_)


@pytest.mark.statement("security P-1 D6")
def test_d6_colleagues_of_an_author_do_not_see_what_is_masked(stage: Stage) -> None:
    id_ = stage.submit(MASKED)
    stage.authorise(NURSE)
    colleague = stage.ps(NURSE, samples.HOSPITAL)
    assert stage.found(colleague) == set()
    assert_absent(colleague, id_, stage.content(id_))


@pytest.mark.statement("security P-1 D7", "security P-10")
def test_d7_the_medecin_traitant_sees_what_is_masked_and_is_told(stage: Stage) -> None:
    id_ = stage.submit(MASKED)
    stage.doctor()
    assert sees(stage, stage.ps(), id_)
    assert stage.ps().get(f"/DocumentReference/{id_}").headers["X-DMP-Warning"] == "masked"


@pytest.mark.statement("security P-1 D8", "security P-10", "security P-11", "security P-41", "security P-42")
def test_d8_a_masked_document_does_not_exist_for_others_in_any_mode(stage: Stage) -> None:
    shown, secret = stage.submit(), stage.submit(MASKED)
    stage.authorise()
    path = stage.content(secret)
    for client in (stage.ps(), stage.breaking_glass(), stage.regulator()):
        assert stage.found(client) == {shown}
        assert_absent(client, secret, path)


@pytest.mark.statement("security P-1 D8")
def test_d8_a_setting_lets_emergencies_see_what_is_masked() -> None:
    stage = Stage(make_world(MemoryStore(), None, DMP_ACCESS_MASK_VISIBLE_IN_BTG="true"))
    stage.world.open()
    id_ = stage.submit(MASKED)
    stage.authorise(NURSE)
    assert sees(stage, stage.breaking_glass(), id_)
    assert stage.found(stage.ps(NURSE)) == set()


@pytest.mark.statement("security P-10", "security P-41")
@pytest.mark.parametrize("shut", ["blocked", "expired", "closed", "none"])
def test_a_shut_record_gives_no_reason_for_what_would_be_hidden_in_it(stage: Stage, shut: str) -> None:
    shown, secret = stage.submit(), stage.submit(MASKED)
    path = stage.content(secret)
    acts: dict[str, Callable[[], object]] = {
        "blocked": stage.block,
        "expired": lambda: stage.authorise(start="2025-01-01", end="2025-02-01"),
        "closed": stage.close,
        "none": lambda: "",
    }
    acts[shut]()
    assert stage.ps().get(f"/DocumentReference/{shown}").status == 403
    assert_absent(stage.ps(), secret, path)


REPORT = {"type_": (samples.LOINC, "11488-4"), "class_": "10"}
PSYCHOLOGICAL = {"type_": (samples.LOINC, "83901-9"), "class_": "10"}
PSYCHIATRIC = {"type_": (samples.LOINC, "68599-0"), "class_": "11"}
BIOLOGY = {"type_": (samples.LOINC, "11502-2"), "class_": "10"}


@pytest.mark.statement("security P-1 D9", "security P-20", "security P-21", "security P-23", "security P-24")
@pytest.mark.parametrize(
    ("number", "profession", "kind", "visible"),
    [
        (NURSE, "60", BIOLOGY, True),
        (NURSE, "60", PSYCHOLOGICAL, False),
        (NURSE, "60", PSYCHIATRIC, False),
        (DENTIST, "40", PSYCHOLOGICAL, False),
        (DENTIST, "40", PSYCHIATRIC, False),
        (STRANGER, "10", PSYCHOLOGICAL, True),
        (STRANGER, "10", PSYCHIATRIC, True),
    ],
)
def test_d9_the_matrix_decides(stage: Stage, number: str, profession: str, kind: dict[str, Any], visible: bool) -> None:
    id_ = stage.submit(**kind)
    path = stage.content(id_)
    stage.authorise(number)
    client = stage.ps(number, profession=profession)
    if visible:
        assert sees(stage, client, id_)
    else:
        assert stage.found(client) == set()
        assert_absent(client, id_, path)


@pytest.mark.statement("security P-1 D10", "security P-25")
def test_d10_a_profession_without_a_row_sees_nothing(stage: Stage) -> None:
    id_ = stage.submit()
    path = stage.content(id_)
    stage.authorise()
    for roles in ((("urn:oid:1.2.250.1.213.1.6.1.140", "999"),), ((PROFESSION, "999"),), ()):
        client = stage.ps(roles=roles)
        assert stage.found(client) == set()
        assert_absent(client, id_, path)


@pytest.mark.statement("security P-26")
def test_the_version_of_the_matrix_is_recorded_with_what_it_decided(stage: Stage) -> None:
    id_ = stage.submit()
    stage.authorise()
    version = stage.world.services.matrix.version[:16]
    for path in (f"/DocumentReference/{id_}", stage.content(id_), f"/DocumentReference?patient=Patient/{stage.id}"):
        assert stage.ps().get(path).status == 200
        assert ("matrix", version) in stage.last.details
    assert dict(stage.last.details)["decision"] == "C15"
    stage.ps().get(f"/DocumentReference/{id_}")
    assert dict(stage.last.details)["decision"] == "C15 D14"


@pytest.mark.statement("security P-1 D11", "security P-1 D12")
def test_d11_professionals_see_with_a_warning_wherever_they_open_a_hidden_document(stage: Stage) -> None:
    id_ = stage.submit(NOT_PATIENT)
    stage.authorise()
    document = f"/DocumentReference/{id_}"
    for path in (document, f"{document}/_history", f"{document}/_history/1", f"{document}/$meta", stage.content(id_)):
        assert stage.ps().get(path).headers["X-DMP-Warning"] == "hidden-from-patient", path
    assert "X-DMP-Warning" not in stage.ps().get(f"/DocumentReference/{stage.submit()}").headers
    assert "X-DMP-Warning" not in stage.admin.get(document).headers


@pytest.mark.statement("security P-1 D13")
def test_d13_archived_documents_are_found_unless_they_are_left_out(stage: Stage) -> None:
    id_ = stage.submit()
    stage.authorise()
    assert stage.archive(stage.author, id_).status == 200
    assert sees(stage, stage.ps(), id_)
    assert stage.found(stage.ps(), query="&isArchived=false") == set()


@pytest.mark.statement("security P-1 D14")
def test_d14_everything_else_is_shown(stage: Stage) -> None:
    id_ = stage.submit()
    stage.authorise()
    assert sees(stage, stage.ps(), id_)


@pytest.mark.statement("security P-1 D15", "security P-40")
def test_d15_an_application_sees_what_its_user_and_its_classes_both_allow(stage: Stage) -> None:
    report, letter = stage.submit(), stage.submit(class_="42", type_=(samples.LOINC, "57833-6"))
    secret = stage.submit(NOT_PATIENT, class_="42", type_=(samples.LOINC, "57833-6"))
    device = stage.admin.post("/Device", {"resourceType": "Device"}).json["id"]
    app = stage.holder(app=device, app_classes=("42",))
    refused(stage.search(app), 403, "app-not-granted")
    role = samples.consent_actor("x")["role"]
    stage.consent("app-grant", actor=[{"role": role, "reference": {"reference": f"Device/{device}"}}])
    assert stage.found(app) == {letter}
    for id_ in (report, secret):
        refused(app.get(f"/DocumentReference/{id_}"), 404)


@pytest.mark.statement("security P-44")
def test_an_unknown_label_hides_from_patient_and_professionals(stage: Stage) -> None:
    id_ = stage.submit()
    stage.authorise()
    document = stage.admin.get(f"/DocumentReference/{id_}").json
    strange = [{"coding": [{"system": samples.VISIBILITY, "code": "SECRET_DEFENSE"}]}]
    answer = stage.admin.put(f"/DocumentReference/{id_}", {**document, "securityLabel": strange})
    if answer.status == 200:  # only a damaged import can bring one in
        assert stage.found(stage.ps()) == stage.found(stage.holder()) == set()
    else:
        refused(answer, 422)


# --- what surrounds documents ----------------------------------------------------------------------------------------


def list_of(stage: Stage, *items: str) -> str:
    made = stage.admin.post(
        "/List",
        {
            "resourceType": "List",
            "status": "current",
            "mode": "working",
            "title": "Séjour confidentiel",
            "subject": {"reference": f"Patient/{stage.id}"},
            "entry": [{"item": {"reference": f"DocumentReference/{id_}"}} for id_ in items],
        },
    )
    id_: str = made.json["id"]
    return id_


def test_a_list_of_nothing_but_hidden_documents_does_not_exist(stage: Stage) -> None:
    shown, secret = stage.submit(), stage.submit(MASKED)
    stage.authorise()
    stage.authorise(samples.DOCTOR)
    emptied, mixed = list_of(stage, secret), list_of(stage, shown, secret)
    found = stage.found(stage.ps(), "List")
    assert mixed in found
    assert emptied not in found
    assert len(found) == 2  # the submission set of the visible document, and the mixed list
    assert emptied in stage.found(stage.author, "List")
    for suffix in ("", "/_history", "/_history/1", "/$meta"):
        hidden = stage.ps().get(f"/List/{emptied}{suffix}", X_Request_Id="same")
        unknown = stage.ps().get(f"/List/{UNKNOWN}{suffix}", X_Request_Id="same")
        assert (hidden.status, hidden.body, hidden.headers) == (404, unknown.body, unknown.headers)
    bundle = stage.search(stage.ps(), query="&_revinclude=List:item").json
    assert emptied not in {entry["resource"]["id"] for entry in bundle["entry"]}


def masked_form(answer: Response) -> bool:
    return b'"valueCode":"masked"' in answer.body


def test_references_to_hidden_documents_are_masked_wherever_they_stand(stage: Stage) -> None:
    secret = stage.submit(MASKED)
    later = stage.submit(relatesTo=[{"code": "appends", "target": {"reference": f"DocumentReference/{secret}"}}])
    binary = stage.content(secret).split("/")[2]
    stage.authorise()
    observation = stage.observe(stage.admin, derivedFrom=[{"reference": f"DocumentReference/{secret}"}]).json["id"]
    report = stage.admin.post(
        "/DiagnosticReport",
        {
            "resourceType": "DiagnosticReport",
            "status": "final",
            "code": {"text": "Biologie"},
            "subject": {"reference": f"Patient/{stage.id}"},
            "presentedForm": [{"contentType": "text/plain", "url": f"Binary/{binary}", "title": "Psychiatrie"}],
        },
    ).json["id"]
    mixed = list_of(stage, later, secret)
    client = stage.ps()
    paths = (
        f"/DocumentReference/{later}",
        f"/DocumentReference/{later}/_history",
        f"/DocumentReference?patient=Patient/{stage.id}&_id={later}",
        f"/Observation/{observation}",
        f"/Observation?patient=Patient/{stage.id}",
        f"/DiagnosticReport/{report}/_history/1",
        f"/Patient/{stage.id}/*?_type=DiagnosticReport",
        f"/List/{mixed}",
    )
    for path in paths:
        answer = client.get(path)
        assert answer.status == 200, (path, answer.body)
        assert masked_form(answer), path
        for mark in (secret, binary, "Psychiatrie"):
            assert mark not in answer.body.decode(), path
        assert not masked_form(stage.holder().get(path)), path


Turn = Callable[[Stage, str], object]


@pytest.mark.parametrize(
    ("hide", "show"),
    [
        (
            lambda stage, id_: stage.relabel(stage.author, id_, "MASQUE_PS"),
            lambda stage, id_: stage.relabel(stage.author, id_),
        ),
        (lambda stage, id_: stage.block(), None),
    ],
)
def test_what_is_hidden_later_is_hidden_in_all_its_versions(stage: Stage, hide: Turn, show: Turn | None) -> None:
    id_ = stage.submit()
    stage.authorise()
    client = stage.ps()
    version = f"/DocumentReference/{id_}/_history/1"
    assert client.get(version).status == 200
    hide(stage, id_)
    assert client.get(version).status in (403, 404)
    if show is not None:
        assert_absent(client, id_, stage.content(id_))
        show(stage, id_)
        assert client.get(version).status == 200


@pytest.mark.statement("security TH6")
def test_a_published_document_cannot_lead_to_the_content_of_a_hidden_one(stage: Stage) -> None:
    secret = stage.submit(MASKED)
    path = stage.content(secret)
    stage.authorise()
    bundle = samples.submission("1.2.250.1.999.6.950", professional=STRANGER, structure="1690000151")
    document = bundle["entry"][1]["resource"]
    document["content"].append({"attachment": {"contentType": "text/plain", "url": path.lstrip("/")}})
    first = stage.ps().post("", bundle)
    document["content"] = [{"attachment": {**document["content"][0]["attachment"], "url": path.lstrip("/")}}]
    second = stage.ps().post("", bundle)
    assert (first.status, second.status) == (422, 422)
    refused(stage.ps().get(path), 404)
