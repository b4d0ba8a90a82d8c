"""Consents written directly: versions, history, and what an end of a right does to the next request. [security 5.1]"""

from __future__ import annotations

import pytest

from fhir_dmp.identity.caller import Actor, Caller, Mode
from tests import samples
from tests.flows.acts import call, consents, done, identifier
from tests.flows.steps import Dossier, assert_refused, next_ins
from tests.samples import Json
from tests.world import Client, World

DOCTOR = identifier(samples.DOCTOR)
APP = "carnet-de-sante"
ACT_REASON = "http://terminology.hl7.org/CodeSystem/v3-ActReason"


def stored(dossier: Dossier, kind: str = "emergency") -> Json:
    """Let the patient record a Consent by plain REST."""
    purpose = [{"system": ACT_REASON, "code": "BTG"}]
    answer = dossier.holder.post("/Consent", samples.consent(dossier.id, kind, deny=True, purpose=purpose))
    assert answer.status == 201, answer.body
    return answer.json


@pytest.mark.statement("security C-9", "fhir-rest C58")
def test_a_change_of_a_consent_names_the_version_it_was_made_on(dossier: Dossier) -> None:
    consent = stored(dossier)
    path, ended = f"/Consent/{consent['id']}", {**consent, "status": "inactive"}
    patch: list[Json] = [{"op": "replace", "path": "/status", "value": "inactive"}]
    for answer in (dossier.holder.put(path, ended), dossier.holder.patch(path, patch)):
        assert_refused(answer, 400, "required")
        assert answer.headers["ETag"] == 'W/"1"'
    bundle = {
        "resourceType": "Bundle",
        "type": "transaction",
        "entry": [{"resource": ended, "request": {"method": "PUT", "url": path[1:]}}],
    }
    assert_refused(dossier.holder.post("", bundle), 400, "required")
    assert dossier.holder.get(path).json["status"] == "active"
    assert_refused(dossier.holder.put(path, ended, If_Match='W/"7"'), 412)
    assert dossier.holder.put(path, ended, If_Match='W/"1"').status == 200
    assert_refused(dossier.holder.patch(path, patch, If_Match='W/"1"'), 412)


@pytest.mark.statement("security C-9")
def test_what_a_caller_may_not_see_asks_for_no_version(world: World, dossier: Dossier) -> None:
    consent = stored(dossier)
    stranger = world.doctor(samples.OTHER_DOCTOR, samples.CLINIC)
    hidden = stranger.put(f"/Consent/{consent['id']}", {**consent, "status": "inactive"}, X_Request_Id="one")
    assert hidden.status == 404
    unknown = stranger.get("/Consent/01900000-0000-7000-8000-000000000000", X_Request_Id="one")
    assert hidden.json["issue"] == unknown.json["issue"]


@pytest.mark.statement("security C-10")
def test_every_version_of_a_consent_is_kept_and_readable_to_its_patient(dossier: Dossier) -> None:
    consent = stored(dossier)
    path = f"/Consent/{consent['id']}"
    for version, status in enumerate(("inactive", "active", "inactive"), 1):
        answer = dossier.holder.put(path, {**consent, "status": status}, If_Match=f'W/"{version}"')
        assert answer.status == 200, answer.body
    history = dossier.holder.get(f"{path}/_history").json
    assert [entry["resource"]["status"] for entry in history["entry"]] == ["inactive", "active", "inactive", "active"]
    assert dossier.holder.get(f"{path}/_history/1").json["status"] == "active"


@pytest.mark.statement("security C-13")
@pytest.mark.parametrize("path", ["/Consent/{id}", "/Consent?_id={id}", "/Consent?patient=Patient/{patient}"])
def test_nobody_deletes_a_consent(dossier: Dossier, path: str) -> None:
    consent = stored(dossier)
    target = path.format(id=consent["id"], patient=dossier.id)
    for client in (dossier.holder, dossier.world.admin, dossier.world.doctor()):
        assert_refused(client.delete(target), 405)
    bundle = {
        "resourceType": "Bundle",
        "type": "transaction",
        "entry": [{"request": {"method": "DELETE", "url": target[1:]}}],
    }
    assert dossier.world.admin.post("", bundle).status in (405, 412)  # several match the last criteria
    assert dossier.holder.get(f"/Consent/{consent['id']}").json == consent


@pytest.mark.statement("security C-5")
def test_a_person_holds_the_role_of_medecin_traitant_once(world: World, dossier: Dossier) -> None:
    """Several doctors may be médecins traitants at once; each of them has one active consent."""
    done(call(world.doctor(), dossier, "dmp-autoriser"))
    for _ in range(2):
        done(call(dossier.holder, dossier, "dmp-medecin-traitant", professionnel=DOCTOR, action="ajouter"))
    assert len(consents(dossier, "mt")) == 1
    done(call(dossier.holder, dossier, "dmp-medecin-traitant", professionnel=DOCTOR, action="retirer"))
    assert consents(dossier, "mt") == []
    done(call(dossier.holder, dossier, "dmp-medecin-traitant", professionnel=DOCTOR, action="ajouter"))
    assert len(consents(dossier, "mt")) == 1


def app_of(dossier: Dossier, **more: str) -> Client:
    """Return the patient's catalogue application."""
    caller = Caller(Actor.PATIENT, "account", client=APP, patient=dossier.id, app=APP, **more)  # type: ignore[arg-type]
    return dossier.world.as_(caller)


def grant(dossier: Dossier, **extensions: str) -> Json:
    """Let the patient agree to the application, as the consent page does."""
    role = samples.consent_actor("x")["role"]
    consent = samples.consent(
        dossier.id,
        "app-grant",
        actor=[{"role": role, "reference": {"reference": f"Device/{APP}"}}],
        purpose=[{"system": ACT_REASON, "code": "PATRQT"}],
    )
    base = "https://dmp-fhir.example/ig/StructureDefinition/dmp-"
    consent["extension"] = [{"url": base + name, "valueString": value} for name, value in extensions.items()]
    answer = dossier.world.admin.post(
        "/Consent", consent if extensions else {k: v for k, v in consent.items() if k != "extension"}
    )
    assert answer.status == 201, answer.body
    return answer.json


@pytest.mark.statement("security C-8", "security P-1 D15")
def test_the_token_of_an_application_dies_with_the_patients_agreement(dossier: Dossier) -> None:
    id_ = dossier.submit()
    assert_refused(dossier.search(app_of(dossier)), 403, "app-not-granted")
    agreed = grant(dossier)
    app = app_of(dossier)
    assert dossier.found(app) == [id_]
    assert app.get(dossier.path(id_)).status == 200
    ended = {**agreed, "status": "inactive"}
    assert dossier.holder.put(f"/Consent/{agreed['id']}", ended, If_Match='W/"1"').status == 200
    for path in (f"/DocumentReference/{id_}", dossier.path(id_), f"/Observation?patient=Patient/{dossier.id}"):
        assert_refused(app.get(path), 403, "app-not-granted")
    assert dossier.found(dossier.holder) == [id_]


@pytest.mark.statement("security P-9")
def test_an_access_by_break_glass_ends_after_ten_minutes_whatever_its_token_says(world: World) -> None:
    """The token of these tests is signed for months; its life begins a minute before the first request."""
    dossier = Dossier.open(world, next_ins())
    id_ = dossier.submit()
    urgent = world.doctor(samples.OTHER_DOCTOR, samples.CLINIC, mode=Mode.BREAK_GLASS, reason="Patient inconscient")
    usual = world.doctor(samples.OTHER_DOCTOR, samples.CLINIC)
    assert dossier.found(urgent) == [id_]
    now = world.clock.time_ms
    try:
        world.clock.time_ms = now + (600 - 60 - 2) * 1000
        assert urgent.get(f"/DocumentReference/{id_}").status == 200
        leeway = world.services.settings.security.token_leeway_s
        world.clock.time_ms = now + (600 - 60 + leeway + 1) * 1000
        for path in (f"/DocumentReference/{id_}", dossier.path(id_), f"/Patient/{dossier.id}"):
            answer = urgent.get(path)
            assert_refused(answer, 401, "expired")
            assert 'error="invalid_token"' in answer.headers["WWW-Authenticate"]
        assert_refused(dossier.search(usual), 403, "authorisation-missing")  # other tokens live on
    finally:
        world.clock.time_ms = now


@pytest.mark.statement("security P-40", "security P-1 D15")
def test_an_application_keeps_to_the_scopes_and_the_purpose_that_were_agreed_to(dossier: Dossier) -> None:
    id_ = dossier.submit()
    scopes = "launch/patient patient/DocumentReference.rs patient/Binary.r"
    agreed = grant(dossier, **{"granted-scopes": scopes, "finality": "suivi"})
    app = app_of(dossier, finality="suivi")
    assert dossier.found(app) == [id_]
    for path in (f"/Observation?patient=Patient/{dossier.id}", f"/Consent?patient=Patient/{dossier.id}"):
        assert_refused(app.get(path), 403, "scope")
    answer = app.get(f"/DocumentReference?{dossier.criterion}&_revinclude=List:item")
    assert {each["resource"]["resourceType"] for each in answer.json["entry"]} == {"DocumentReference"}
    assert_refused(dossier.search(app_of(dossier, finality="recherche")), 403, "app-not-granted")
    # Narrowed by the patient: the token that is out is narrower from the next request on.
    extension = [each for each in agreed["extension"] if "granted" in each["url"]]
    narrowed = {**agreed, "extension": [{**extension[0], "valueString": "patient/Observation.rs"}]}
    assert dossier.holder.put(f"/Consent/{agreed['id']}", narrowed, If_Match='W/"1"').status == 200
    assert_refused(dossier.search(app), 403, "scope")
    assert app.get(f"/Observation?patient=Patient/{dossier.id}").status == 200
