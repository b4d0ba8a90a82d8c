"""Token exchange: professionals whom Pro Santé Connect or their institution vouches for."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import Any

import pytest

from fhir_dmp.oauth.clients import Client
from fhir_dmp.store.memory import MemoryStore
from tests import samples
from tests.oauth.conftest import PROXY
from tests.oauth.people import (
    ACCESS_TOKEN,
    EXCHANGE,
    JWT,
    Auth,
    certificate,
    claims_of,
    exchanger,
    header_of,
    rsa_key,
    signed,
)
from tests.provider.running import Running, provider
from tests.world import make_world

Json = dict[str, Any]
DOCTOR_ROLE = [{"system": "urn:oid:1.2.250.1.71.1.2.7", "code": "10"}]
OURS = header_of(certificate())


def vouched(auth: Auth, header: Json | None = None, **claims: Any) -> str:
    """Return a JWT in which the hospital vouches for its doctor."""
    body = {
        "iss": "sih-ps",
        "sub": samples.DOCTOR,
        "aud": auth.endpoint,
        "exp": auth.now_s + 200,
        "jti": secrets.token_hex(8),
        "auth_time": auth.now_s - 600,
        "subject_name": "CARLIER Hippolyte",
        "subject_role": DOCTOR_ROLE,
        "acr": "APPPRIP3",
        **claims,
    }
    told = {name: value for name, value in body.items() if value is not None}
    return signed({"typ": "JWT", "alg": "RS384", "kid": "rsa-1", **(header or {})}, told, rsa_key())


def exchanged(auth: Auth, cert: str | None = OURS, **form: Any) -> Any:
    """Ask for the token of the doctor."""
    sent = {
        "grant_type": EXCHANGE,
        "client_id": "sih-ps",
        "scope": "user/*.rs",
        "subject_token_type": JWT,
        **form,
    }
    sent.setdefault("subject_token", vouched(auth))
    headers = {"client_cert": cert} if cert else {}
    return auth.token({name: value for name, value in sent.items() if value is not None}, **headers)


def refused(answer: Any, error: str, status: int = 400) -> None:
    """Check a refusal."""
    assert (answer.status, answer.json["error"]) == (status, error), answer.body


def test_an_institution_vouches_for_its_professional(auth: Auth) -> None:
    answer = exchanged(auth)
    body = answer.json
    assert (answer.status, body["token_type"], body["issued_token_type"]) == (200, "Bearer", ACCESS_TOKEN)
    assert body["scope"] == "user/*.rs"
    assert 0 < body["expires_in"] <= 300
    assert "refresh_token" not in body
    claims = claims_of(body["access_token"])
    iua = claims["extensions"]["ihe_iua"]
    assert (claims["dmp"]["actor"], claims["dmp"]["auth_mode"], claims["acr"]) == ("PS", "INDIRECTE", "APPPRIP3")
    assert iua["national_provider_identifier"] == samples.DOCTOR
    assert iua["subject_organization_id"].endswith(samples.HOSPITAL)
    assert iua["subject_role"] == DOCTOR_ROLE
    assert samples.DOCTOR not in claims["sub"]
    again = claims_of(exchanged(auth).json["access_token"])
    assert again["sub"] == claims["sub"]


@pytest.mark.statement("security T-22")
def test_the_token_is_bound_to_the_certificate_of_the_connection(auth: Auth) -> None:
    auth.world.authorise(professional=samples.DOCTOR)
    token = exchanged(auth).json["access_token"]
    assert claims_of(token)["cnf"]["x5t#S256"]
    path = f"/Patient/{auth.patient}"
    assert auth.bearer(token).get(path, client_cert=OURS).status == 200
    for other in (header_of(certificate("other")), "", "garbage"):
        answer = auth.bearer(token).get(path, client_cert=other)
        assert (answer.status, 'error="invalid_token"' in answer.headers["WWW-Authenticate"]) == (401, True)
    assert auth.bearer(token).get(path).status == 401


@pytest.mark.statement("security T-20")
def test_an_exchange_needs_the_registered_certificate(auth: Auth) -> None:
    refused(exchanged(auth, cert=None), "invalid_client", 401)
    refused(exchanged(auth, cert=header_of(certificate("other"))), "invalid_client", 401)
    refused(exchanged(auth, cert="garbage"), "invalid_client", 401)


def test_a_certificate_that_expired_proves_nothing(auth: Auth) -> None:
    before = auth.world.clock.time_ms
    auth.wait(250 * 24 * 3600)
    try:
        refused(exchanged(auth), "invalid_client", 401)
    finally:
        auth.world.clock.time_ms = before


@pytest.mark.statement("security TH31", "security H-18")
def test_a_certificate_is_believed_of_a_trusted_proxy_only(tmp_path: Any) -> None:
    world = make_world(MemoryStore(), None, DMP_SECURITY_CLIENT_CERTIFICATE_HEADER="Client-Cert")
    alone = Auth(world)
    alone.register(exchanger())
    refused(exchanged(alone), "invalid_client", 401)


@pytest.mark.parametrize(
    "claims",
    [
        {"sub": "nobody"}, {"sub": None}, {"sub": samples.ANOUK + "X" * 60}, {"auth_time": None}, {"auth_time": 5},
        {"auth_time": True}, {"subject_role": None}, {"subject_role": "10"}, {"subject_role": [{"code": "10"}]},
        {"structure": samples.CLINIC}, {"aud": "https://other.example"}, {"exp": 5}, {"jti": None},
        {"exp": 99_999_999_999},
    ],
    ids=str,
)  # fmt: skip
def test_what_does_not_identify_a_professional_is_refused(auth: Auth, claims: Json) -> None:
    refused(exchanged(auth, subject_token=vouched(auth, **claims)), "invalid_grant")


def test_a_sign_in_of_the_future_or_of_yesterday_is_refused(auth: Auth) -> None:
    for auth_time in (auth.now_s + 100, auth.now_s - 13 * 3600):
        refused(exchanged(auth, subject_token=vouched(auth, auth_time=auth_time)), "invalid_grant")


def test_an_assertion_is_exchanged_once(auth: Auth) -> None:
    assertion = vouched(auth)
    assert exchanged(auth, subject_token=assertion).status == 200
    refused(exchanged(auth, subject_token=assertion), "invalid_grant")


@pytest.mark.statement("security TH24", "security H-18")
@pytest.mark.parametrize(
    "header", [{"alg": "RS256"}, {"alg": "none"}, {"kid": "other"}, {"typ": "at+jwt"}, {"jwk": {}}], ids=str
)
def test_a_badly_signed_assertion_is_refused(auth: Auth, header: Json) -> None:
    answer = exchanged(auth, subject_token=vouched(auth, header=header))
    assert (answer.status, answer.json["error"]) in ((400, "invalid_grant"), (400, "invalid_request"))


@pytest.mark.parametrize(
    ("form", "error"),
    [
        ({"subject_token": ""}, "invalid_request"),
        ({"subject_token_type": None}, "invalid_request"),
        ({"subject_token_type": "urn:ietf:params:oauth:token-type:saml2"}, "invalid_request"),
        ({"requested_token_type": "urn:ietf:params:oauth:token-type:refresh_token"}, "invalid_request"),
        ({"scope": None}, "invalid_scope"),
        ({"scope": "system/*.rs"}, "invalid_scope"),
        ({"patient": "../x"}, "invalid_request"),
        ({"actor_token": "x"}, "invalid_request"),
        ({"actor_token": "x", "actor_token_type": JWT}, "invalid_grant"),
        ({"scope": "patient/*.rs __access_mode.bris_de_glace"}, "invalid_request"),
        ({"scope": "patient/*.rs __access_mode.bris_de_glace __access_mode.centre_15"}, "invalid_scope"),
        ({"scope": "patient/*.rs __access_mode.other"}, "invalid_scope"),
        ({"scope": "patient/*.rs __access_mode.centre_15", "patient": "p1"}, "invalid_scope"),
    ],
    ids=str,
)
def test_an_exchange_that_is_not_clear_is_refused(auth: Auth, form: Json, error: str) -> None:
    refused(exchanged(auth, **form), error)


def test_breaking_the_glass_needs_a_patient_and_a_reason(auth: Auth) -> None:
    asked = {"scope": "patient/*.rs user/*.rs __access_mode.bris_de_glace", "patient": auth.patient}
    refused(exchanged(auth, **asked), "invalid_request")
    body = exchanged(auth, **asked, __access_reason="inconscient").json
    assert set(body["scope"].split()) == {"patient/*.rs", "__access_mode.bris_de_glace"}
    claims = claims_of(body["access_token"])
    purposes = {each["code"] for each in claims["extensions"]["ihe_iua"]["purpose_of_use"]}
    assert purposes == {"BTG", "bris_de_glace"}
    assert auth.bearer(body["access_token"]).get(f"/Patient/{auth.patient}", client_cert=OURS).status == 200
    nurse_aide = vouched(auth, subject_role=[{"system": "urn:oid:1.2.250.1.71.1.2.7", "code": "91"}])
    refused(exchanged(auth, **asked, __access_reason="x", subject_token=nurse_aide), "invalid_scope")


# --- Pro Santé Connect -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def psc() -> Iterator[Running]:
    """An OpenID provider that plays Pro Santé Connect."""
    with provider() as running:
        yield running


@pytest.fixture(scope="module")
def connected(psc: Running) -> Auth:
    """A server that knows the provider."""
    return Auth(make_world(MemoryStore(), None, **PROXY, **psc.settings("psc")))


def by_psc(connected: Auth, psc: Running, login: str, client: Client | None = None, **form: Any) -> Any:
    """Exchange the token of somebody who signed in at Pro Santé Connect."""
    connected.register(client or exchanger(structure="1750999013"))
    connected.wait(3)
    form.setdefault("subject_token", psc.token_of(login))
    return exchanged(connected, subject_token_type=ACCESS_TOKEN, **form)


def test_a_token_of_pro_sante_connect_is_exchanged(connected: Auth, psc: Running) -> None:
    body = by_psc(connected, psc, "carlier")
    assert body.status == 200, body.body
    claims = claims_of(body.json["access_token"])
    iua = claims["extensions"]["ihe_iua"]
    assert (iua["national_provider_identifier"], claims["dmp"]["secteur"]) == ("810100000016", "SA07")
    assert iua["subject_organization_id"].endswith("1750999013")
    assert [role["code"] for role in iua["subject_role"]] == ["10", "SM54"]
    assert (claims["acr"], claims["dmp"]["auth_mode"]) == ("eidas1", "DIRECTE")


@pytest.mark.statement("security T-21")
def test_an_inactive_token_of_pro_sante_connect_is_refused(connected: Auth, psc: Running) -> None:
    refused(by_psc(connected, psc, "carlier", subject_token="unknown"), "invalid_grant")


def test_a_weak_sign_in_is_refused(connected: Auth, psc: Running) -> None:
    token = psc.token_of("carlier")
    psc.misbehave("acr")
    try:
        refused(by_psc(connected, psc, "carlier", subject_token=token), "invalid_grant")
    finally:
        psc.misbehave()


def test_somebody_with_several_practices_says_which(connected: Auth, psc: Running) -> None:
    anywhere = exchanger(structure="")
    answer = by_psc(connected, psc, "tremblay", anywhere)
    refused(answer, "invalid_request")
    assert answer.json["error_description"] == "work_situation required"
    at_hospital = by_psc(connected, psc, "tremblay", exchanger(structure="1750999021"))
    assert at_hospital.status == 200


@pytest.mark.statement("security P-50")
def test_a_professional_of_another_structure_is_refused(connected: Auth, psc: Running) -> None:
    refused(by_psc(connected, psc, "maillard", exchanger(structure="1750999013")), "invalid_grant")
    refused(by_psc(connected, psc, "carlier", work_situation="60C"), "invalid_grant")


def test_a_server_without_pro_sante_connect_says_so(auth: Auth) -> None:
    refused(exchanged(auth, subject_token="x", subject_token_type=ACCESS_TOKEN), "invalid_request")
