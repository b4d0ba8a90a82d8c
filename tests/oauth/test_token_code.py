"""Redeeming codes and renewing tokens: the answer, the bindings, and what kills an authorization."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any, cast

import pytest
from joserfc import jwt
from joserfc.jwk import KeySet

from fhir_dmp.identity.caller import Actor, Caller, Mode
from fhir_dmp.oauth.clients import Status
from tests import samples
from tests.oauth.people import APP, CALLBACK, PORTAL, SECRET, VERIFIER, Auth, basic, claims_of

Json = dict[str, Any]


def refused(answer: Any, error: str, status: int = 400) -> None:
    """Check a refusal of the token endpoint, whole."""
    assert (answer.status, answer.json["error"]) == (status, error), answer.body
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Pragma"] == "no-cache"
    assert answer.headers["Content-Type"] == "application/json"
    assert set(answer.json) <= {"error", "error_description", "error_uri"}


@pytest.mark.statement("security T-1", "security T-2", "security T-3", "security T-4", "security T-23", "security T-24")
def test_a_code_gives_a_token_with_its_context(auth: Auth) -> None:
    answer = auth.redeem(auth.code())
    assert answer.status == 200
    assert (answer.headers["Cache-Control"], answer.headers["Pragma"]) == ("no-store", "no-cache")
    body = answer.json
    assert (body["token_type"], body["expires_in"], type(body["expires_in"])) == ("Bearer", 900, int)
    assert set(body["scope"].split()) == set(auth.authorization().scope.split())
    assert (body["patient"], body["need_patient_banner"]) == (auth.patient, True)
    assert "fhirContext" not in body
    assert auth.read(body["access_token"]).status == 200


def test_the_context_of_a_launch_is_answered_as_objects(auth: Auth) -> None:
    context = {"fhirContext": [{"reference": "ImagingStudy/1"}], "encounter": "e1", "intent": "reconcile", "tenant": ""}
    body = auth.signed_in(context=context)
    assert (body["fhirContext"], body["encounter"], body["intent"]) == (context["fhirContext"], "e1", "reconcile")
    assert "tenant" not in body


@pytest.mark.statement("security O-1", "security O-2", "security O-5")
def test_the_id_token_says_who_signed_in(auth: Auth) -> None:
    body = auth.signed_in()
    keys = KeySet.import_key_set(cast(Any, auth.world.request("GET", "/auth/jwks", b"", {}).json))
    token = jwt.decode(body["id_token"], keys, algorithms=["RS256"])
    claims = token.claims
    assert token.header["alg"] == "RS256"
    assert (claims["iss"], claims["aud"], claims["azp"]) == (auth.world.services.issuer, "carnet", "carnet")
    assert 0 < len(claims["sub"]) <= 255
    assert claims["exp"] - claims["iat"] == 600
    assert (claims["nonce"], claims["acr"], claims["amr"], claims["sid"]) == ("n-1", "mfa", ["pwd", "otp"], "login-1")
    assert claims["auth_time"] <= claims["iat"]
    assert claims["fhirUser"] == f"{auth.world.services.base}/Patient/{auth.patient}"
    assert claims["name"] == "Anouk Bellanger"


@pytest.mark.statement("security O-3", "security O-4")
def test_the_fhir_user_is_readable_even_without_a_resource_scope(auth: Auth) -> None:
    body = auth.signed_in(scope="openid fhirUser")
    url = claims_of(body["id_token"])["fhirUser"]
    assert url.rsplit("/", 2)[-2] in ("Patient", "Practitioner", "RelatedPerson", "Person")
    assert auth.read(body["access_token"]).status == 200
    other = auth.bearer(body["access_token"]).get(f"/DocumentReference?patient={auth.patient}")
    assert (other.status, other.codes) == (403, {"forbidden", "scope"})


@pytest.mark.statement("security O-6")
def test_without_openid_there_is_no_id_token_and_no_fhir_user(auth: Auth) -> None:
    body = auth.signed_in(scope="fhirUser launch/patient patient/*.rs")
    assert "id_token" not in body


@pytest.mark.statement("security T-29")
def test_a_token_holds_nothing_of_the_person(auth: Auth) -> None:
    body = auth.signed_in()
    for token in (body["access_token"], body["id_token"]):
        text = json.dumps(claims_of(token))
        assert samples.ANOUK not in text
        assert "1985-04-17" not in text


@pytest.mark.parametrize("missing", ["code", "redirect_uri", "code_verifier"])
def test_a_missing_parameter_is_named(auth: Auth, missing: str) -> None:
    form = {
        "grant_type": "authorization_code",
        "code": auth.code(),
        "redirect_uri": CALLBACK,
        "code_verifier": VERIFIER,
    }
    answer = auth.token({"client_id": "carnet", **form, missing: ""})
    refused(answer, "invalid_request")
    assert missing in answer.json["error_description"]


@pytest.mark.statement("security T-5", "security TH20", "security H-18")
@pytest.mark.parametrize("verifier", ["w" * 43, "v" * 42, "v" * 129, VERIFIER + "\n", "ü" * 43])
def test_a_wrong_verifier_kills_the_code(auth: Auth, verifier: str) -> None:
    code = auth.code()
    refused(auth.redeem(code, code_verifier=verifier), "invalid_grant")
    refused(auth.redeem(code), "invalid_grant")


@pytest.mark.statement("security T-6")
def test_a_second_use_of_a_code_kills_what_came_of_the_first(auth: Auth) -> None:
    code = auth.code()
    body = auth.redeem(code).json
    assert auth.read(body["access_token"]).status == 200
    refused(auth.redeem(code), "invalid_grant")
    auth.wait(4)
    assert auth.read(body["access_token"]).status == 401
    refused(auth.refresh(body["refresh_token"]), "invalid_grant")


@pytest.mark.statement("security T-7")
def test_a_code_is_bound_to_its_redirect_uri(auth: Auth) -> None:
    refused(auth.redeem(auth.code(), redirect_uri=CALLBACK + "/"), "invalid_grant")


@pytest.mark.statement("security T-8")
def test_a_code_is_bound_to_its_client(auth: Auth) -> None:
    refused(auth.redeem(auth.code(), client_id="tension"), "invalid_grant")


@pytest.mark.statement("security A-24")
def test_a_code_is_good_for_sixty_seconds(auth: Auth) -> None:
    code = auth.code()
    auth.wait(61)
    refused(auth.redeem(code), "invalid_grant")


@pytest.mark.statement("security T-9", "security T-13")
def test_a_refresh_replaces_the_refresh_token_and_keeps_the_rest(auth: Auth) -> None:
    first = auth.signed_in()
    second = auth.refresh(first["refresh_token"])
    assert second.status == 200
    body = second.json
    assert body["refresh_token"] != first["refresh_token"]
    assert (set(body["scope"].split()), body["patient"]) == (set(first["scope"].split()), auth.patient)
    assert "nonce" not in claims_of(body["id_token"])
    assert claims_of(body["id_token"])["sub"] == claims_of(first["id_token"])["sub"]
    assert auth.read(body["access_token"]).status == 200
    assert auth.refresh(body["refresh_token"]).status == 200


@pytest.mark.statement("security T-10", "security TH27", "security H-18")
def test_a_refresh_token_that_comes_twice_ends_the_family(auth: Auth) -> None:
    first = auth.signed_in()
    second = auth.refresh(first["refresh_token"]).json
    refused(auth.refresh(first["refresh_token"]), "invalid_grant")
    refused(auth.refresh(second["refresh_token"]), "invalid_grant")
    auth.wait(4)
    assert auth.read(second["access_token"]).status == 401
    events = auth.world.admin.get("/AuditEvent?date=ge2026-01-01&_count=50").json
    assert "refresh-reused" in json.dumps(events)


def test_the_refresh_token_of_another_client_is_refused_and_stays_good(auth: Auth) -> None:
    first = auth.signed_in()
    refused(auth.refresh(first["refresh_token"], client_id="tension"), "invalid_grant")
    assert auth.refresh(first["refresh_token"]).status == 200


@pytest.mark.statement("security T-11")
def test_a_refresh_narrows_and_never_widens(auth: Auth) -> None:
    first = auth.signed_in(scope="openid offline_access patient/Observation.rs patient/DocumentReference.read")
    narrow = auth.refresh(first["refresh_token"], scope="patient/Observation.r")
    assert (narrow.status, narrow.json["scope"]) == (200, "patient/Observation.r")
    wide = auth.refresh(narrow.json["refresh_token"], scope="patient/*.rs")
    refused(wide, "invalid_scope")
    again = auth.refresh(narrow.json["refresh_token"])
    assert set(again.json["scope"].split()) == set(first["scope"].split())


@pytest.mark.statement("security T-12")
def test_a_withdrawn_consent_ends_the_renewal(auth: Auth) -> None:
    role = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ParticipationType", "code": "IRCP"}]}
    actor = [{"role": role, "reference": {"reference": "Device/carnet"}}]
    consent = auth.world.consent(samples.ANOUK, "app-grant", actor=actor)
    first = auth.signed_in(consents=(consent,))
    second = auth.refresh(first["refresh_token"])
    assert second.status == 200
    stored = auth.world.admin.get(f"/Consent/{consent}")
    ended = auth.world.admin.put(
        f"/Consent/{consent}", {**stored.json, "status": "inactive"}, If_Match=stored.headers["ETag"]
    )
    assert ended.status == 200, ended.body
    refused(auth.refresh(second.json["refresh_token"]), "invalid_grant")


@pytest.mark.statement("security T-14")
def test_an_emergency_is_never_renewed(auth: Auth) -> None:
    caller = Caller(
        Actor.PROFESSIONAL,
        "ps-1",
        professional=samples.DOCTOR,
        patient=auth.patient,
        mode=Mode.BREAK_GLASS,
        reason="coma",
    )
    body = auth.signed_in(caller=caller)
    assert "refresh_token" not in body
    assert body["expires_in"] == 600
    claims = claims_of(body["access_token"])
    assert "coma" not in json.dumps(claims)
    assert len(claims["dmp"]["btg_reason_hash"]) == 64
    auth.read(body["access_token"])
    assert "coma" in json.dumps(auth.world.admin.get(f"/AuditEvent?patient=Patient/{auth.patient}").json)


def test_a_renewal_ends_after_its_time(auth: Auth) -> None:
    body = auth.signed_in()
    auth.wait(31 * 24 * 3600)
    refused(auth.refresh(body["refresh_token"]), "invalid_grant")


def test_a_renewal_ends_for_good_after_180_days(auth: Auth) -> None:
    token = auth.signed_in()["refresh_token"]
    for _ in range(6):
        auth.wait(29 * 24 * 3600)
        token = auth.refresh(token).json["refresh_token"]
    auth.wait(10 * 24 * 3600)
    refused(auth.refresh(token), "invalid_grant")


def test_a_professional_signs_in_again_after_twelve_hours(auth: Auth) -> None:
    caller = Caller(Actor.PROFESSIONAL, "ps-1", professional=samples.DOCTOR)
    body = auth.signed_in(caller=caller)
    auth.wait(11 * 3600)
    second = auth.refresh(body["refresh_token"])
    assert second.status == 200
    auth.wait(2 * 3600)
    refused(auth.refresh(second.json["refresh_token"]), "invalid_grant")


def test_a_refresh_token_needs_a_scope_and_a_registration(auth: Auth) -> None:
    assert "refresh_token" not in auth.signed_in(scope="openid patient/*.rs")
    auth.register(replace(APP, grant_types=("authorization_code",)))
    assert "refresh_token" not in auth.signed_in()


def test_within_the_grace_time_a_late_client_gets_the_same_successor(auth: Auth) -> None:
    settings = auth.world.services.settings
    graceful = replace(settings, security=replace(settings.security, refresh_grace_s=5))
    first = auth.signed_in()
    object.__setattr__(auth.world.services, "settings", graceful)
    try:
        second, again = (auth.refresh(first["refresh_token"]).json for _ in range(2))
        assert second["refresh_token"] == again["refresh_token"]
        auth.wait(6)
        refused(auth.refresh(first["refresh_token"]), "invalid_grant")
    finally:
        object.__setattr__(auth.world.services, "settings", settings)


@pytest.mark.statement("security T-30")
def test_a_suspended_client_loses_its_tokens_within_five_seconds(auth: Auth) -> None:
    body = auth.signed_in()
    auth.register(replace(APP, status=Status.SUSPENDED))
    auth.wait(4)
    refused_read = auth.read(body["access_token"])
    assert (refused_read.status, 'error="invalid_token"' in refused_read.headers["WWW-Authenticate"]) == (401, True)
    refused(auth.refresh(body["refresh_token"]), "invalid_client", 401)


@pytest.mark.statement("security T-28")
def test_an_expired_token_is_told_so(auth: Auth) -> None:
    body = auth.signed_in()
    auth.wait(931)
    answer = auth.read(body["access_token"])
    assert answer.status == 401
    assert 'error="invalid_token"' in answer.headers["WWW-Authenticate"]


@pytest.mark.statement("security T-27")
def test_a_token_in_the_url_is_refused(auth: Auth) -> None:
    body = auth.signed_in()
    answer = auth.world.nobody.get(f"/Patient/{auth.patient}?access_token={body['access_token']}")
    assert answer.status == 400
    form = {"content-type": "application/x-www-form-urlencoded"}
    asked = auth.world.request("POST", "/auth/token?grant_type=authorization_code", b"", form)
    refused(asked, "invalid_request")


@pytest.mark.statement("security T-26")
def test_a_very_long_scope_is_kept_beside_the_token(auth: Auth) -> None:
    types = ("Condition", "Encounter", "Immunization", "MedicationRequest", "Observation", "Procedure", "Goal")
    long = " ".join(f"patient/{type_}.rs?category=c{number:03}" for type_ in types for number in range(13))
    auth.register(replace(APP, scope=f"openid patient/Patient.r {long}"))
    body = auth.signed_in(scope=f"openid patient/Patient.r {long}")
    claims = claims_of(body["access_token"])
    assert len(body["access_token"]) <= 4096
    assert claims["scope_ref"] == claims["jti"]
    assert "scope" not in claims
    assert auth.read(body["access_token"]).status == 200


@pytest.mark.statement("security T-25")
def test_the_page_of_a_registered_client_may_ask_for_tokens(auth: Auth) -> None:
    here = auth.redeem(auth.code(), headers={"origin": "https://carnet.example"})
    assert here.headers["Access-Control-Allow-Origin"] == "https://carnet.example"
    other = auth.redeem(auth.code(), headers={"origin": "https://evil.example"})
    assert "Access-Control-Allow-Origin" not in other.headers
    asked = auth.world.request("OPTIONS", "/auth/token", b"", {"origin": "https://carnet.example"})
    assert (asked.status, asked.headers["Access-Control-Allow-Origin"]) == (204, "https://carnet.example")
    token = auth.signed_in()["access_token"]
    assert (
        auth.read(token, origin="https://carnet.example").headers["Access-Control-Allow-Origin"]
        == "https://carnet.example"
    )


@pytest.mark.statement("security T-15")
@pytest.mark.parametrize("client_id", ["carnet", "nobody"])
@pytest.mark.parametrize(
    "grant", ["password", "implicit", "urn:ietf:params:oauth:grant-type:jwt-bearer", "AUTHORIZATION_CODE"]
)
def test_an_unknown_grant_is_told_before_anything_about_the_client(auth: Auth, client_id: str, grant: str) -> None:
    refused(auth.token({"grant_type": grant, "client_id": client_id}), "unsupported_grant_type")


def test_a_client_uses_the_grants_it_is_registered_for(auth: Auth) -> None:
    refused(
        auth.token({"grant_type": "client_credentials", "client_id": "carnet", "scope": "x"}), "unauthorized_client"
    )


@pytest.mark.parametrize("name", ["resource", "audience"])
def test_another_target_is_refused(auth: Auth, name: str) -> None:
    refused(auth.redeem(auth.code(), **{name: "https://other.example/fhir"}), "invalid_target")
    assert auth.redeem(auth.code(), **{name: auth.world.services.base}).status == 200


@pytest.mark.parametrize(
    "form",
    [
        "grant_type=authorization_code&grant_type=authorization_code&code=x",
        "grant_type=authorization_code&code=x&code=y",
        "&".join(f"p{number}=1" for number in range(101)),
        "grant_type=%FF%FE",
        "code=x",
        "",
        "grant_type=",
        "grant_type=authorization_code&pad=" + "x" * 70_000,
    ],
)
def test_a_form_that_is_not_clear_is_refused(auth: Auth, form: str) -> None:
    refused(auth.token(form), "invalid_request")


def test_only_a_form_is_read(auth: Auth) -> None:
    for media_type in ("application/json", "multipart/form-data; boundary=x", ""):
        refused(auth.token('{"grant_type": "x"}', content_type=media_type), "invalid_request")
    assert auth.world.request("GET", "/auth/token", b"", {}).status == 405


@pytest.mark.statement("security K-17")
def test_a_secret_proves_a_client(auth: Auth) -> None:
    code = auth.code(client_id="portail")
    assert auth.redeem(code, "portail", {"authorization": basic("portail", SECRET)}).status == 200
    for secret in ("wrong", "", SECRET + "s"):
        answer = auth.redeem(auth.code(client_id="portail"), "portail", {"authorization": basic("portail", secret)})
        refused(answer, "invalid_client", 401)
        assert answer.headers["WWW-Authenticate"].startswith("Basic ")


def test_a_secret_is_never_taken_from_the_form(auth: Auth) -> None:
    refused(auth.redeem(auth.code(client_id="portail"), "portail", client_secret=SECRET), "invalid_client", 401)


@pytest.mark.parametrize("header", ["Basic", "Basic !!!", "Basic Og==", basic("portail", SECRET)[:-4], "Basic /w=="])
def test_a_broken_basic_header_proves_nothing(auth: Auth, header: str) -> None:
    answer = auth.redeem(auth.code(client_id="portail"), "portail", {"authorization": header})
    assert (answer.status, answer.json["error"]) == (401, "invalid_client")


@pytest.mark.statement("security K-19")
def test_a_confidential_client_without_proof_is_refused(auth: Auth) -> None:
    refused(auth.redeem(auth.code(client_id="portail"), "portail"), "invalid_client", 401)
    refused(auth.token({"grant_type": "client_credentials", "client_id": "sih", "scope": "x"}), "invalid_client", 401)


@pytest.mark.statement("security K-18")
def test_two_proofs_at_once_are_refused(auth: Auth) -> None:
    form = {"grant_type": "client_credentials", "scope": "system/Patient.rs", **auth.proof()}
    refused(auth.token(form, authorization=basic("portail", SECRET)), "invalid_request")
    assert PORTAL.client_id == "portail"


@pytest.mark.statement("security L-7")
def test_a_token_request_is_audited_without_its_secrets(auth: Auth) -> None:
    proof = auth.proof()
    assert auth.token({"grant_type": "client_credentials", "scope": "system/Patient.rs", **proof}).status == 200
    code = auth.code()
    body = auth.redeem(code).json
    auth.refresh(body["refresh_token"])
    records = auth.world.services.store.audit(_everything()).records
    text = repr(records)
    for secret in (code, VERIFIER, body["access_token"], body["refresh_token"], SECRET, proof["client_assertion"]):
        assert secret not in text
    assert any(record.kind == "token" and "authorization_code" in (record.query or "") for _, record in records)


def _everything() -> Any:
    from fhir_dmp.ports import AuditQuery

    return AuditQuery(count=1000)


def test_a_client_that_asks_too_often_is_told_to_wait() -> None:
    from fhir_dmp.store.memory import MemoryStore
    from tests.world import make_world

    busy = Auth(make_world(MemoryStore(), None, DMP_LIMITS_TOKENS_PER_MINUTE="3", DMP_LIMITS_FAILURES_PER_MINUTE="2"))
    busy.register(APP)
    answers = [busy.refresh("unknown") for _ in range(5)]
    assert [answer.status for answer in answers] == [400, 400, 400, 429, 429]
    assert (answers[-1].json["error"], int(answers[-1].headers["Retry-After"]) > 0) == ("slow_down", True)
    assert answers[-1].headers["Cache-Control"] == "no-store"
    strangers = [busy.refresh("unknown", client_id="nobody").status for _ in range(4)]
    assert strangers == [401, 401, 429, 429]
    busy.wait(61)
    assert busy.refresh("unknown").status == 400
