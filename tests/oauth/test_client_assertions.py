"""client_credentials with private_key_jwt: what proves a client, and everything that does not."""

from __future__ import annotations

import hashlib
import hmac
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from joserfc.errors import SecurityWarning
from joserfc.jwk import ECKey, RSAKey

from fhir_dmp.errors import Unavailable
from fhir_dmp.oauth.jwks import Fetched
from fhir_dmp.store.memory import MemoryStore
from tests import samples
from tests.oauth.people import ASSERTION_TYPE, Auth, backend, claims_of, ec_key, encoded, jwks, rsa_key
from tests.world import make_world

Json = dict[str, Any]


def refused(answer: Any) -> None:
    """Check that a proof was not accepted."""
    assert (answer.status, answer.json["error"]) == (401, "invalid_client"), answer.body
    assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.statement("security K-1", "security K-15", "security T-17")
def test_software_proves_itself_with_rs384(auth: Auth) -> None:
    answer = auth.by_client("system/DocumentReference.c system/Binary.c")
    body = answer.json
    assert (answer.status, body["expires_in"], body["token_type"]) == (200, 300, "Bearer")
    assert body["scope"] == "system/DocumentReference.c system/Binary.c"
    assert body.keys() == {"access_token", "token_type", "expires_in", "scope"}
    claims = claims_of(body["access_token"])
    assert (claims["sub"], claims["client_id"], claims["dmp"]["actor"]) == ("sih", "sih", "ORG")
    assert claims["extensions"]["ihe_iua"]["subject_organization_id"].endswith(samples.HOSPITAL)
    assert claims["dmp"]["lps"] == {"nom": "SIH", "version": "3"}


@pytest.mark.statement("security K-2")
def test_software_proves_itself_with_es384(auth: Auth) -> None:
    assert auth.by_client(key=ec_key()).status == 200


def test_a_token_of_software_deposits_and_does_not_read(auth: Auth) -> None:
    token = auth.by_client("system/DocumentReference.c system/Binary.c system/List.c").json["access_token"]
    assert auth.bearer(token).post("", samples.submission("1.2.250.1.999.7.1")).status == 200
    assert auth.read(token).status == 403


@pytest.mark.statement("security K-3", "security TH24", "security H-18")
def test_other_algorithms_are_refused(auth: Auth) -> None:
    for algorithm in ("RS256", "PS256"):
        refused(auth.by_client(header={"alg": algorithm}))
    # The public key as the secret of an HMAC, and no signature at all.
    secret = rsa_key().as_pem(private=False)
    for algorithm in ("HS384", "none"):
        head = encoded(json.dumps({"typ": "JWT", "alg": algorithm, "kid": "rsa-1"}).encode())
        text = f"{head}.{auth.assertion().split('.')[1]}"
        tag = hmac.new(secret, text.encode(), hashlib.sha384).digest() if algorithm == "HS384" else b""
        refused(auth.by_client(assertion=f"{text}.{encoded(tag)}"))


@pytest.mark.statement("security K-4", "security TH24", "security H-18")
def test_a_kid_is_required(auth: Auth) -> None:
    refused(auth.by_client(header={"kid": None}))
    refused(auth.by_client(header={"kid": ""}))
    refused(auth.by_client(header={"kid": 7}))


@pytest.mark.statement("security TH24", "security H-18")
@pytest.mark.parametrize(
    "header",
    [
        {"kid": "../../etc/passwd"},
        {"kid": "rsa-1' OR '1'='1"},
        {"kid": "RSA-1"},
        {"jwk": {"kty": "RSA"}},
        {"x5u": "https://evil.example/cert"},
        {"x5c": ["MII"]},
        {"crit": ["exp"], "exp": 1},
        {"typ": "at+jwt"},
        {"typ": None},
        {"typ": "jwt"},
        {"cty": "JWT"},
        {"b64": False},
    ],
    ids=str,
)
def test_a_header_cannot_choose_how_it_is_judged(auth: Auth, header: Json) -> None:
    refused(auth.by_client(header=header))


@pytest.mark.statement("security K-6")
def test_two_keys_of_one_id_are_no_key(auth: Auth) -> None:
    other = RSAKey.generate_key(2048, {"kid": "rsa-1"})
    auth.register(backend(jwks=jwks(rsa_key(), other)))
    refused(auth.by_client())


@pytest.mark.parametrize(
    "key",
    [
        {"kty": "EC"},
        {"use": "enc"},
        {"alg": "RS256"},
        {"n": "not base64!"},
        {"n": ""},
    ],
    ids=str,
)
def test_a_registered_key_that_does_not_fit_is_no_key(auth: Auth, key: Json) -> None:
    auth.register(backend(jwks={"keys": [{**rsa_key().as_dict(private=False), **key}]}))
    refused(auth.by_client())


def test_a_short_or_foreign_key_is_no_key(auth: Auth) -> None:
    with pytest.warns(SecurityWarning):
        short = RSAKey.generate_key(1024, {"kid": "short"})
    curve = ECKey.generate_key("P-256", {"kid": "p256"})
    auth.register(backend(jwks=jwks(short, curve)))
    refused(auth.by_client(key=short))
    refused(auth.by_client(key=curve))
    refused(auth.by_client(key=curve, header={"alg": "ES256"}))


@pytest.mark.statement("security K-7", "security TH26", "security H-18")
@pytest.mark.parametrize("audience", ["https://other.example/auth/token", "", None, [], ["x"], 7, {"a": 1}], ids=str)
def test_an_assertion_for_somebody_else_is_refused(auth: Auth, audience: Any) -> None:
    refused(auth.by_client(aud=audience))


def test_the_audience_is_the_token_endpoint_or_the_issuer(auth: Auth) -> None:
    issuer = auth.world.services.issuer
    for audience in (auth.endpoint, [auth.endpoint, "x"], issuer):
        assert auth.by_client(aud=audience).status == 200
    refused(auth.by_client(aud=auth.endpoint + "/"))
    refused(auth.by_client(aud=auth.endpoint.upper()))


def test_an_operator_may_insist_on_the_token_endpoint_as_audience() -> None:
    strict = Auth(make_world(MemoryStore(), None, DMP_SECURITY_ASSERTION_AUD_ISSUER="false"))
    strict.register(backend())
    refused(strict.by_client(aud=strict.world.services.issuer))
    assert strict.by_client(aud=strict.endpoint).status == 200


@pytest.mark.statement("security K-8")
@pytest.mark.parametrize(
    "claims", [{"sub": "portail"}, {"iss": "portail"}, {"iss": None}, {"sub": None}, {"iss": 7}], ids=str
)
def test_issuer_and_subject_are_both_the_client(auth: Auth, claims: Json) -> None:
    refused(auth.by_client(**claims))


def test_a_client_id_beside_it_must_be_the_same(auth: Auth) -> None:
    form = {"grant_type": "client_credentials", "scope": "system/Patient.rs", **auth.proof()}
    assert auth.token({**form, "client_id": "sih"}).status == 200
    refused(auth.token({**form, **auth.proof(), "client_id": "portail"}))


@pytest.mark.statement("security K-9", "security K-10", "security TH26", "security H-18")
def test_an_assertion_lives_five_minutes_at_most(auth: Auth) -> None:
    now = auth.now_s
    for ahead, fine in ((300, True), (325, True), (400, False), (-29, True), (-31, False), (10_000_000, False)):
        answer = auth.by_client(exp=now + ahead)
        assert (answer.status == 200) is fine, ahead
    for exp in (None, "soon", True, -1, 1e300):
        refused(auth.by_client(exp=exp))
    refused(auth.by_client(nbf=now + 100))
    refused(auth.by_client(iat=now + 100))
    assert auth.by_client(iat=now, nbf=now).status == 200


@pytest.mark.statement("security K-11", "security TH26", "security H-18")
def test_an_assertion_is_good_once(auth: Auth) -> None:
    assertion = auth.assertion()
    assert auth.by_client(assertion=assertion).status == 200
    refused(auth.by_client(assertion=assertion))


@pytest.mark.statement("security K-11", "security TH26", "security H-18")
def test_an_assertion_is_good_once_in_parallel_too(auth: Auth) -> None:
    assertion = auth.assertion()
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: auth.by_client(assertion=assertion).status, range(8)))
    assert sorted(answers) == [200] + [401] * 7


@pytest.mark.parametrize("jti", [None, "", "j" * 257, 7, ["x"]], ids=str)
def test_an_assertion_has_an_id(auth: Auth, jti: Any) -> None:
    refused(auth.by_client(jti=jti))


def test_a_forged_assertion_takes_no_id(auth: Auth) -> None:
    good = auth.assertion(jti="one-and-only")
    stranger = RSAKey.generate_key(2048, {"kid": "rsa-1"})
    refused(auth.by_client(assertion=auth.assertion(key=stranger, jti="one-and-only")))
    assert auth.by_client(assertion=good).status == 200


@pytest.mark.statement("security K-13")
@pytest.mark.parametrize("kind", ["", "urn:ietf:params:oauth:client-assertion-type:saml2-bearer"])
def test_another_assertion_type_is_refused(auth: Auth, kind: str) -> None:
    form = {
        "grant_type": "client_credentials",
        "scope": "system/Patient.rs",
        **auth.proof(),
        "client_assertion_type": kind,
    }
    refused(auth.token(form))


@pytest.mark.statement("security TH24", "security H-18")
@pytest.mark.parametrize("assertion", ["", "x", "a.b.c", "é.b.c", "." * 20, "e30.e30.e30", "x" * 9000])
def test_what_is_no_jwt_is_refused(auth: Auth, assertion: str) -> None:
    refused(auth.by_client(assertion=assertion))


@pytest.mark.statement("security T-16")
def test_software_says_which_scopes_it_wants(auth: Auth) -> None:
    answer = auth.token({"grant_type": "client_credentials", **auth.proof()})
    assert (answer.status, answer.json["error"]) == (400, "invalid_scope")


@pytest.mark.statement("security T-18")
def test_software_gets_no_more_than_was_registered(auth: Auth) -> None:
    assert auth.by_client("system/*.cruds").json["scope"] == (
        "system/DocumentReference.cus system/Binary.c system/List.c system/Patient.rs"
    )
    auth.register(backend(scope="system/Patient.r"))
    assert auth.by_client("system/DocumentReference.c system/Patient.rs").json["scope"] == "system/Patient.r"
    for scope in ("system/Consent.r", "user/*.rs", "patient/*.rs", "x", "system/Dossier.r", "system/Patient.sr"):
        answer = auth.by_client(scope)
        assert (answer.status, answer.json["error"]) == (400, "invalid_scope"), scope


def test_ten_thousand_scopes_are_refused_at_once(auth: Auth) -> None:
    for scope in (" ".join(["a b"] * 5_000)[:60_000], " ".join(f"s{n}" for n in range(101)), "x" * 8193):
        answer = auth.by_client(scope)
        assert (answer.status, answer.json["error"]) == (400, "invalid_scope")


# --- keys behind a URL -----------------------------------------------------------------------------------------------


class Host:
    """Serves key sets, and counts."""

    def __init__(self, keys: Json, cache_control: str = "") -> None:
        self.keys: Any = keys
        self.cache_control = cache_control
        self.fetched = 0
        self.down = False

    def __call__(self, url: str) -> Fetched:
        self.fetched += 1
        if self.down:
            raise Unavailable("down")
        return Fetched(self.keys, self.cache_control)


def hosted(auth: Auth, host: Host) -> Host:
    """Register the hospital's software with keys behind a URL."""
    auth.register(backend(jwks=None, jwks_uri="https://sih.example/jwks.json"))
    keys = auth.world.services.authority.client_keys
    keys.__init__(host)  # type: ignore[misc]  # another host, nothing remembered
    return host


def test_keys_are_fetched_once_and_remembered(auth: Auth) -> None:
    host = hosted(auth, Host(jwks(rsa_key())))
    assert [auth.by_client().status for _ in range(3)] == [200, 200, 200]
    assert host.fetched == 1


@pytest.mark.statement("security K-14")
@pytest.mark.parametrize(("cache_control", "wait", "fetched"), [("", 299, 1), ("", 301, 2), ("max-age=60", 61, 2),
                         ("max-age=600", 301, 1), ("no-store", 1, 2), ("max-age=999999999", 86_401, 2)])  # fmt: skip
def test_keys_are_kept_as_long_as_their_host_allows(auth: Auth, cache_control: str, wait: int, fetched: int) -> None:
    host = hosted(auth, Host(jwks(rsa_key()), cache_control))
    assert auth.by_client().status == 200
    auth.wait(wait)
    assert auth.by_client().status == 200
    assert host.fetched == fetched


@pytest.mark.statement("security K-5")
def test_an_unknown_kid_asks_again_once_a_minute(auth: Auth) -> None:
    host = hosted(auth, Host(jwks(rsa_key())))
    assert auth.by_client().status == 200
    for _ in range(3):
        refused(auth.by_client(key=ec_key()))
    assert host.fetched == 2
    host.keys = jwks(ec_key())
    auth.wait(61)
    assert auth.by_client(key=ec_key()).status == 200
    assert host.fetched == 3


def test_a_fresh_copy_serves_while_the_host_is_down(auth: Auth) -> None:
    host = hosted(auth, Host(jwks(rsa_key())))
    assert auth.by_client().status == 200
    host.down = True
    assert auth.by_client().status == 200
    refused(auth.by_client(key=ec_key()))
    auth.wait(301)
    refused(auth.by_client())


@pytest.mark.parametrize(
    "keys", [[], {}, {"keys": {}}, {"keys": "x"}, {"keys": [1, "x", None]}, None, {"keys": [{}] * 51}], ids=str
)
def test_what_is_no_key_set_proves_nothing(auth: Auth, keys: Any) -> None:
    hosted(auth, Host(keys))
    refused(auth.by_client())


@pytest.mark.statement("security K-12")
def test_a_jku_is_the_registered_url_or_nothing(auth: Auth) -> None:
    hosted(auth, Host(jwks(rsa_key())))
    assert auth.by_client(header={"jku": "https://sih.example/jwks.json"}).status == 200
    for jku in ("https://evil.example/jwks.json", "https://sih.example/jwks.json?x", "", 7):
        refused(auth.by_client(header={"jku": jku}))


def test_a_suspended_client_gets_nothing(auth: Auth) -> None:
    from fhir_dmp.oauth.clients import Status

    auth.register(replace(backend(), status=Status.SUSPENDED))
    refused(auth.by_client())
    assert ASSERTION_TYPE.endswith("jwt-bearer")
