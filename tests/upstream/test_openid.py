"""Our relying party against a real provider process: one good sign-in, and everything that must not pass."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fhir_dmp.errors import ConfigurationError
from fhir_dmp.identity.upstream import UpstreamIdentity, professional_of
from fhir_dmp.ports import SignInFailed, SignInSecrets
from fhir_dmp.upstream.openid import OpenIdProvider, Relation
from tests.provider.app import CLIENT_ID, CLIENT_SECRET
from tests.provider.running import Running, provider

CALLBACK = "http://127.0.0.1:1/auth/psc/callback"
SECRETS = SignInSecrets(nonce="n" * 43, verifier="v" * 43)


class Watch:
    """The time of this machine, moved on by the test."""

    ahead_ms = 0

    def now_ms(self) -> int:
        import time

        return time.time_ns() // 1_000_000 + self.ahead_ms


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    with provider() as one:
        yield one


@pytest.fixture
def psc(running: Running) -> Iterator[Running]:
    running.misbehave()
    yield running
    running.misbehave()


def party(psc: Running, clock: Watch | None = None, acr: str = "eidas1") -> OpenIdProvider:
    relation = Relation("psc", psc.discovery, CLIENT_ID, CLIENT_SECRET, "openid scope_all", acr)
    return OpenIdProvider(relation, clock or Watch())


def signed_in(psc: Running, party: OpenIdProvider, secrets: SignInSecrets = SECRETS) -> UpstreamIdentity:
    answer = psc.sign_in(party.begin(CALLBACK, "state-1", SECRETS), "carlier")
    assert answer["state"] == "state-1"
    return party.complete(answer, CALLBACK, secrets)


def test_a_professional_signs_in_with_class_and_claims(psc: Running) -> None:
    identity = signed_in(psc, party(psc))
    assert (identity.provider, identity.subject, identity.acr) == ("psc", "f:psc:810100000016", "eidas1")
    person = professional_of(identity.claims)
    assert person is not None
    assert (person.number, person.name) == ("810100000016", "CARLIER Hippolyte")
    assert [practice.structure for practice in person.practices] == ["1750999013"]


def test_the_request_asks_for_the_class_and_sends_a_challenge(psc: Running) -> None:
    url = party(psc).begin(CALLBACK, "state-1", SECRETS)
    assert "acr_values=eidas1" in url
    assert "code_challenge_method=S256" in url
    assert SECRETS.verifier not in url


def test_a_signed_userinfo_is_read_too(psc: Running) -> None:
    one = party(psc)
    psc.misbehave("jwt")
    assert signed_in(psc, one).claims["family_name"] == "CARLIER"


@pytest.mark.statement("security A-29")
def test_a_wrong_nonce_is_refused(psc: Running) -> None:
    one = party(psc)
    psc.misbehave("nonce")
    with pytest.raises(SignInFailed, match="does not fit"):
        signed_in(psc, one)


@pytest.mark.statement("security A-28")
def test_a_weaker_class_than_required_is_refused(psc: Running) -> None:
    one = party(psc)
    psc.misbehave("acr")
    with pytest.raises(SignInFailed, match="class") as refused:
        signed_in(psc, one)
    assert refused.value.refused


@pytest.mark.parametrize("fault", ["issuer", "audience", "expired", "alg", "userinfo", "large", "unknown-kid"])
def test_a_token_that_does_not_fit_is_refused(psc: Running, fault: str) -> None:
    one = party(psc)
    psc.misbehave(fault)
    with pytest.raises(SignInFailed):
        signed_in(psc, one)


@pytest.mark.statement("security A-30")
def test_an_unknown_key_causes_one_fetch_a_minute_and_no_more(psc: Running) -> None:
    clock = Watch()
    one = party(psc, clock)
    signed_in(psc, one)
    before = psc.misbehave("unknown-kid")
    for _ in range(3):
        with pytest.raises(SignInFailed, match="does not publish"):
            signed_in(psc, one)
    assert psc.misbehave() == before + 1
    clock.ahead_ms = 61_000
    psc.misbehave("unknown-kid")
    with pytest.raises(SignInFailed, match="does not publish"):
        signed_in(psc, one)
    assert psc.misbehave() == before + 2


def test_a_key_that_was_replaced_is_found_by_the_forced_fetch(psc: Running) -> None:
    one = party(psc)
    signed_in(psc, one)
    psc.misbehave("rotate")
    assert signed_in(psc, one).subject == "f:psc:810100000016"


def test_a_code_is_bound_to_the_verifier(psc: Running) -> None:
    with pytest.raises(SignInFailed, match="400"):
        signed_in(psc, party(psc), SignInSecrets(SECRETS.nonce, "w" * 43))


def test_a_refusal_at_the_provider_is_a_refusal(psc: Running) -> None:
    one = party(psc)
    answer = psc.sign_in(one.begin(CALLBACK, "state-1", SECRETS), "refuse")
    with pytest.raises(SignInFailed) as refused:
        one.complete(answer, CALLBACK, SECRETS)
    assert refused.value.refused


@pytest.mark.statement("security TH22", "security H-18")
def test_an_answer_that_names_another_issuer_is_refused(psc: Running) -> None:
    one = party(psc)
    answer = psc.sign_in(one.begin(CALLBACK, "state-1", SECRETS), "carlier")
    with pytest.raises(SignInFailed, match="another issuer"):
        one.complete({**answer, "iss": "https://evil.example"}, CALLBACK, SECRETS)


def test_the_logout_goes_to_the_provider_and_back(psc: Running) -> None:
    url = party(psc).end("the-id-token", "state-2", "http://127.0.0.1:1/auth/logout")
    assert url is not None
    assert url.startswith(f"{psc.issuer}/logout?id_token_hint=the-id-token&state=state-2&")


@pytest.mark.parametrize("url", ["http://psc.example/x", "ftp://psc.example/x", "https://user@psc.example/x", "x"])
def test_a_provider_without_https_stops_the_start(url: str) -> None:
    with pytest.raises(ConfigurationError, match="psc_discovery_url"):
        OpenIdProvider(Relation("psc", url, "a", "b", "openid", "eidas1"), Watch())


def test_a_provider_that_is_away_is_told_as_a_failure() -> None:
    away = OpenIdProvider(Relation("psc", "http://127.0.0.1:9/x", "a", "b", "openid", "eidas1"), Watch())
    with pytest.raises(SignInFailed, match="does not answer"):
        away.begin(CALLBACK, "s", SECRETS)


def test_a_secret_is_not_shown() -> None:
    assert "hidden" not in repr(Relation("psc", "https://x.example", "a", "hidden", "openid", "eidas1"))
