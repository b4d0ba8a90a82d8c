"""The settings of what the law and the national texts leave open, each through HTTP. [security 10]"""

from __future__ import annotations

import base64
from collections.abc import Callable

import pytest

from fhir_dmp.identity.caller import Actor, Caller, Mode
from fhir_dmp.interactions import habilitation
from fhir_dmp.notices.schedule import DAY_MS
from tests import samples
from tests.flows.acts import call, done, identifier
from tests.flows.steps import Dossier, assert_refused, next_ins, next_oid, nothing_stored
from tests.samples import Json
from tests.world import Client, Response, World

Make = Callable[..., World]
TRAINING = "urn:oid:1.2.250.1.71.1.2.8"


def student(world: World) -> Client:
    """A doctor in training who may consult."""
    roles = ((TRAINING, "10"),)
    return world.as_(
        Caller(Actor.PROFESSIONAL, "student", professional=samples.OTHER_DOCTOR, structure=samples.CLINIC, roles=roles)
    )


def opened(world: World) -> Dossier:
    return Dossier.open(world, next_ins())


@pytest.mark.parametrize(("value", "status"), [("true", 200), ("false", 404)])
def test_whether_an_author_sees_the_own_masked_document(make: Make, value: str, status: int) -> None:
    world = make(DMP_ACCESS_AUTHOR_SEES_MASKED=value)
    dossier = opened(world)
    id_ = dossier.submit()
    dossier.authorise()
    dossier.label(id_, "MASQUE_PS")
    assert world.doctor().get(f"/DocumentReference/{id_}").status == status
    assert dossier.found(world.doctor()) == ([id_] if status == 200 else [])


@pytest.mark.parametrize(("value", "blocked"), [("false", True), ("true", False)])
def test_whether_break_glass_is_open_to_a_blocked_professional(make: Make, value: str, blocked: bool) -> None:
    world = make(DMP_ACCESS_BTG_OVERRIDES_BLOCK=value)
    dossier = opened(world)
    id_ = dossier.submit()
    world.consent(dossier.ins, "block", deny=True, actor=[samples.consent_actor(samples.OTHER_DOCTOR)])
    urgent = world.doctor(samples.OTHER_DOCTOR, samples.CLINIC, mode=Mode.BREAK_GLASS, reason="Patient inconscient")
    if blocked:
        assert_refused(dossier.search(urgent), 403, "blocked")
    else:
        assert dossier.found(urgent) == [id_]
    assert_refused(dossier.search(world.doctor(samples.OTHER_DOCTOR, samples.CLINIC)), 403, "blocked")


@pytest.mark.parametrize(("value", "status"), [("false", 404), ("true", 200)])
def test_whether_masked_documents_are_shown_in_an_emergency(make: Make, value: str, status: int) -> None:
    world = make(DMP_ACCESS_MASK_VISIBLE_IN_BTG=value)
    dossier = opened(world)
    id_ = dossier.submit()
    dossier.label(id_, "MASQUE_PS")
    urgent = world.doctor(samples.OTHER_DOCTOR, samples.CLINIC, mode=Mode.BREAK_GLASS, reason="Patient inconscient")
    assert urgent.get(f"/DocumentReference/{id_}").status == status
    assert dossier.found(urgent) == ([id_] if status == 200 else [])


@pytest.mark.parametrize(("value", "seen"), [("true", True), ("false", False)])
def test_whether_a_profession_in_training_reads_like_the_profession(make: Make, value: str, seen: bool) -> None:
    world = make(DMP_ACCESS_TRAINING_LIKE_PROFESSION=value)
    dossier = opened(world)
    id_ = dossier.submit()
    dossier.authorise(samples.OTHER_DOCTOR)
    expected = [id_] if seen else []
    assert dossier.found(student(world)) == expected
    text = "row_kind,profession_system,profession_code,class_code,type_code,read\n"
    habilitation.activate((text + "class,urn:oid:1.2.250.1.71.1.2.7,10,10,,Y\n").encode(), world.services)
    assert dossier.found(student(world)) == expected  # an activated matrix is read by the same setting


def hidden(dossier: Dossier, id_: str) -> Response:
    """Ask for a document to be hidden from the patient, as its author."""
    value = {"coding": [{"system": samples.VISIBILITY, "code": "INVISIBLE_PATIENT"}]}
    patch = [{"op": "add", "path": "/securityLabel/-", "value": value}]
    return dossier.world.doctor().patch(f"/DocumentReference/{id_}", patch)


@pytest.mark.parametrize("days", [30, 3])
def test_how_long_a_document_may_still_be_hidden_from_the_patient(make: Make, days: int) -> None:
    world = make(DMP_ACCESS_ANNOUNCE_DAYS=str(days))
    dossier = opened(world)
    early, late = dossier.submit(), dossier.submit(content=b"Une annonce qui attend.")
    world.clock.time_ms += days * DAY_MS - 60_000
    assert hidden(dossier, early).status == 200
    world.clock.time_ms += 120_000
    with nothing_stored(world):
        assert_refused(hidden(dossier, late), 422, "announce-delay")
    assert late in dossier.found(dossier.holder)
    dossier.submit(labels=((samples.CONFIDENTIALITY, "N"), (samples.VISIBILITY, "INVISIBLE_PATIENT")), content=b"Neuf.")


@pytest.mark.parametrize(("least", "allowed"), [("16", False), ("12", True)])
def test_from_which_age_a_minor_has_access_of_the_own(make: Make, least: str, allowed: bool) -> None:
    world = make(DMP_ACCESS_MINOR_OWN_ACCESS_MIN_AGE=least)
    minor = Dossier.open(world, next_ins(), birthDate="2013-05-04")  # thirteen
    id_ = minor.submit()
    if allowed:
        assert minor.found(minor.holder) == [id_]
        return
    for answer in (minor.search(minor.holder), minor.holder.get(f"/Patient/{minor.id}/$access-history")):
        assert_refused(answer, 403, "minor-access")
    assert minor.holder.get(f"/DocumentReference/{id_}").status == 403
    world.clock.time_ms += 3 * 366 * DAY_MS  # sixteen
    assert minor.found(minor.holder) == [id_]


@pytest.mark.parametrize("days", [0, 10])
def test_how_long_an_authorisation_without_an_end_holds(make: Make, days: int) -> None:
    world = make(DMP_ACCESS_AUTHORISATION_DEFAULT_DAYS=str(days))
    dossier = opened(world)
    id_ = dossier.submit()
    other = world.doctor(samples.OTHER_DOCTOR, samples.CLINIC)
    consent = done(call(other, dossier, "dmp-autoriser"))["consent"]
    assert ("end" in consent["provision"].get("period", {})) is (days > 0)
    assert dossier.found(other) == [id_]
    world.clock.time_ms += 12 * DAY_MS
    if days:
        assert_refused(dossier.search(other), 403, "authorisation-expired")
    else:
        assert dossier.found(other) == [id_]


@pytest.mark.parametrize(("professions", "allowed"), [("10,21", True), ("10", False)])
def test_which_professions_break_the_glass(make: Make, professions: str, allowed: bool) -> None:
    world = make(DMP_ACCESS_BTG_PROFESSIONS=professions)
    dossier = opened(world)
    dossier.submit()
    pharmacist = world.doctor(
        samples.OTHER_DOCTOR, samples.CLINIC, "21", mode=Mode.BREAK_GLASS, reason="Patient inconscient"
    )
    answer = dossier.search(pharmacist)
    if allowed:
        assert answer.status == 200
    else:
        assert_refused(answer, 403, "btg-not-allowed")


@pytest.mark.parametrize(("required", "allowed"), [("true", False), ("false", True)])
def test_whether_a_care_team_needs_the_patients_first_consent(make: Make, required: str, allowed: bool) -> None:
    world = make(DMP_ACCESS_CARE_TEAM_INITIAL_CONSENT_REQUIRED=required)
    dossier = opened(world)
    id_ = dossier.submit()
    member = {"identifier": identifier(samples.OTHER_DOCTOR)}
    subject = {"reference": f"Patient/{dossier.id}"}
    team = {"resourceType": "CareTeam", "status": "active", "subject": subject, "participant": [{"member": member}]}
    assert world.admin.post("/CareTeam", team).status == 201
    other = world.doctor(samples.OTHER_DOCTOR, samples.CLINIC)
    if allowed:
        assert dossier.found(other) == [id_]
    else:
        assert_refused(dossier.search(other), 403, "authorisation-missing")


def own_document(dossier: Dossier, class_: str = "90") -> Json:
    """A document that the patient deposits."""
    made = samples.document(
        next_oid(), ins=dossier.ins, class_=class_, type_=("urn:oid:1.2.250.1.213.1.1.4.12", "DOCPAT01")
    )
    made["meta"] = {"profile": [f"{samples.PDSM}/pdsm-simplified-publish"]}
    made["author"] = [{"reference": "#source"}]
    made["content"][0]["attachment"]["data"] = base64.b64encode(samples.TEXT).decode()
    return made


@pytest.mark.parametrize(("classes", "allowed"), [(None, True), (("90",), True), (("42",), False), ((), False)])
def test_an_application_writes_the_classes_that_it_is_referenced_for(
    world: World, classes: tuple[str, ...] | None, allowed: bool
) -> None:
    dossier = opened(world)
    world.consent(
        dossier.ins,
        "app-grant",
        actor=[{"role": samples.consent_actor("x")["role"], "reference": {"reference": "Device/carnet"}}],
    )
    app = world.as_(
        Caller(Actor.PATIENT, "anouk", client="carnet", patient=dossier.id, app="carnet", app_write_classes=classes)
    )
    answer = app.post("/DocumentReference", own_document(dossier))
    if allowed:
        assert answer.status == 201, answer.body
    else:
        assert_refused(answer, 403, "app-classes")
        assert dossier.found(dossier.holder) == []
    report = dossier.submit()  # of class 10, which the patient masks by another way
    mask = [
        {
            "op": "add",
            "path": "/securityLabel/-",
            "value": {"coding": [{"system": samples.VISIBILITY, "code": "MASQUE_PS"}]},
        }
    ]
    masked = app.patch(f"/DocumentReference/{report}", mask)
    if classes is None:
        assert masked.status == 200, masked.body
    else:
        assert_refused(masked, 403, "app-classes")
        assert dossier.holder.patch(f"/DocumentReference/{report}", mask).status == 200
