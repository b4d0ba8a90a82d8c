"""An identity provider that lies, stalls or babbles: the sign-in fails in words, and nothing of it is believed."""

from __future__ import annotations

import gzip
import json
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fhir_dmp.errors import Unavailable
from fhir_dmp.identity.upstream import UpstreamIdentity, pivot_of, professional_of
from fhir_dmp.ports import SignInFailed, SignInSecrets
from fhir_dmp.upstream import openid
from fhir_dmp.upstream.openid import OpenIdProvider, Relation
from tests.signin.browser import HOST, Browser, Page
from tests.signin.scene import LPS, Scene, make_scene
from tests.upstream.hostile import SUBJECT, Hostile, Raw, hostile, person
from tests.upstream.test_openid import Watch

CALLBACK = "http://127.0.0.1:1/auth/psc/callback"
SECRETS = SignInSecrets(nonce="n" * 43, verifier="v" * 43)
DEEP = Raw(b'{"a":' * 50_000 + b"1" + b"}" * 50_000)
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@pytest.fixture(scope="module")
def running() -> Iterator[Hostile]:
    with hostile() as one:
        yield one


@pytest.fixture
def psc(running: Hostile) -> Hostile:
    running.reset(SECRETS.nonce)
    return running


def party(psc: Hostile) -> OpenIdProvider:
    relation = Relation("psc", f"{psc.issuer}/discovery", "dmp", "secret", "openid scope_all", "eidas1")
    return OpenIdProvider(relation, Watch())


def complete(psc: Hostile) -> UpstreamIdentity:
    return party(psc).complete({"code": "c"}, CALLBACK, SECRETS)


def test_the_provider_of_these_tests_lets_in_when_it_behaves(psc: Hostile) -> None:
    assert complete(psc).subject == SUBJECT


NO_ANSWER = {
    "empty": Raw(b""),
    "html": Raw(b"<html><script>alert(1)</script></html>", headers={"Content-Type": "text/html"}),
    "list": [1, 2],
    "text": "text",
    "null": None,
    "deep": DEEP,
    "cut": Raw(b'{"sub":"f:psc:8101'),
    "latin": Raw('{"sub":"é"}'.encode("latin-1")),
    "large": Raw(b'{"a":"' + b"x" * openid.MAX_ANSWER_BYTES + b'"}'),
    "bomb": Raw(gzip.compress(b" " * 50_000_000), headers={"Content-Encoding": "gzip"}),
    "moved": Raw(b"", 302, {"Location": "http://127.0.0.1:1/"}),
    "error": Raw(b"{}", 500),
    "shorter": Raw(b"{}", headers={"Content-Length": "9"}),
}


@pytest.mark.statement("security TH56", "security H-19")
@pytest.mark.parametrize("path", ["/discovery", "/certs", "/token", "/userinfo"])
@pytest.mark.parametrize("name", sorted(NO_ANSWER))
def test_what_is_no_answer_fails_the_sign_in(psc: Hostile, path: str, name: str) -> None:
    psc.answers[path] = NO_ANSWER[name]
    started = time.process_time()
    with pytest.raises(SignInFailed) as failed:
        complete(psc)
    assert time.process_time() - started < 1
    assert "script" not in str(failed.value)


@pytest.mark.statement("security TH56", "security H-19")
@pytest.mark.parametrize("path", ["/discovery", "/userinfo"])
def test_an_answer_that_trickles_in_is_given_up(psc: Hostile, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openid, "TIMEOUT_S", 1)  # five seconds in earnest
    psc.answers[path] = Raw(json.dumps(psc.answers[path]).encode(), pause_s=0.2)
    started = time.monotonic()
    with pytest.raises(SignInFailed, match="slowly"):
        complete(psc)
    assert time.monotonic() - started < 4


@pytest.mark.statement("security TH56", "security H-19")
@pytest.mark.parametrize("url", ["http://evil.example/x", "https://[", "https://a:b@evil.example/", "file:///etc/passwd",
                                 "https://evil.example:99999/", "//evil.example", "", 7, None, ["x"]])  # fmt: skip
@pytest.mark.parametrize(
    "name", ["issuer", "authorization_endpoint", "token_endpoint", "userinfo_endpoint", "jwks_uri"]
)
def test_a_discovery_document_leads_to_safe_places_only(psc: Hostile, name: str, url: Any) -> None:
    psc.answers["/discovery"][name] = url
    with pytest.raises(SignInFailed, match=f"no usable {name}"):
        party(psc).begin(CALLBACK, "state", SECRETS)


@pytest.mark.statement("security TH56", "security H-19")
@pytest.mark.parametrize(
    "keys", [{}, {"keys": {}}, {"keys": [5]}, {"keys": [{"kty": "RSA"}]}, {"keys": [{"kty": "oct", "k": "c2VjcmV0"}]},
             {"keys": [{"kty": "RSA", "n": "!", "e": "AQAB"}]}, {"keys": [None]}])  # fmt: skip
def test_keys_that_are_none_verify_nothing(psc: Hostile, keys: Any) -> None:
    psc.answers["/certs"] = keys
    with pytest.raises(SignInFailed):
        complete(psc)


@pytest.mark.statement("security TH56", "security H-19")
@settings(max_examples=60, deadline=None)
@given(name=st.sampled_from(["iss", "aud", "azp", "sub", "nonce", "acr", "amr", "iat", "exp", "nbf", "auth_time",
                             "at_hash", "jti"]), value=ANYTHING)  # fmt: skip
def test_a_claim_of_any_type_is_judged_or_refused(running: Hostile, name: str, value: Any) -> None:
    running.reset(SECRETS.nonce)
    running.answers["/token"]["id_token"] = running.id_token(SECRETS.nonce, **{name: value})
    try:
        found = complete(running)
    except SignInFailed:
        return
    assert (found.subject, found.acr, type(found.auth_time)) == (SUBJECT, "eidas1", int)
    assert all(isinstance(each, str) for each in found.amr)


@pytest.mark.statement("security TH56", "security H-19")
@settings(max_examples=100, deadline=None)
@given(
    claims=st.dictionaries(st.sampled_from(sorted(person())), ANYTHING)
    | st.fixed_dictionaries({"SubjectRefPro": st.fixed_dictionaries({"exercices": st.lists(
        st.dictionaries(st.sampled_from(["codeProfession", "codeSavoirFaire", "activities"]), ANYTHING))})})
)  # fmt: skip
def test_userinfo_of_any_types_is_read_or_names_nobody(claims: dict[str, Any]) -> None:
    found = professional_of(person(**claims))
    if found is not None:
        assert all(isinstance(text, str) for text in (found.number, found.family, found.given))
        assert all(len(each.structure_name) <= 200 for each in found.practices)
    pivot_of(claims)


@pytest.mark.statement("security TH56", "security H-19")
@pytest.mark.parametrize("answer", ["html", "deep", "large", "list", "error"])
def test_a_token_that_the_provider_cannot_speak_about_is_not_exchanged(psc: Hostile, answer: str) -> None:
    psc.answers["/introspect"] = NO_ANSWER[answer]
    with pytest.raises(Unavailable):
        party(psc).introspect("token")


@pytest.mark.statement("security TH56", "security H-19")
@pytest.mark.parametrize("expires", [float("nan"), float("inf"), -1, "soon", [], True])
def test_an_odd_expiry_never_extends_what_is_believed(psc: Hostile, expires: Any) -> None:
    psc.answers["/introspect"]["exp"] = expires
    one = party(psc)
    for _ in range(2):
        assert one.introspect("token") is not None
    assert psc.asked.count("/introspect") in (1, 2)


def signed_in(psc: Hostile, scene: Scene) -> tuple[Browser, Page]:
    """Go through our pages and come back from the provider."""
    browser = scene.browser()
    page = browser.open(scene.request(LPS, scope="openid fhirUser user/*.rs"))
    link = next(each for each in page.reader.links if "/psc/start" in each)
    query = parse_qs(urlsplit(browser.send("GET", link).headers["Location"]).query)
    psc.answers["/token"]["id_token"] = psc.id_token(query["nonce"][0])
    return browser, browser.open(f"{HOST}/auth/psc/callback?{urlencode({'code': 'c', 'state': query['state'][0]})}")


@pytest.mark.statement("security TH56", "security H-19")
def test_markup_in_the_names_of_people_and_places_is_text(psc: Hostile) -> None:
    markup = "<script>alert(1)</script>\u202e{{7*7}}"
    activity = {"numeroFinessSite": "750999013", "raisonSocialeSite": markup, "codeSecteurDactivite": "SA07"}
    other = {**activity, "numeroFinessSite": "750999021"}
    exercise = {"codeProfession": "10", "codeCategorieProfessionnelle": "C", "activities": [activity, other]}
    psc.answers["/userinfo"] = person(family_name=markup, SubjectRefPro={"exercices": [exercise]})
    _, page = signed_in(psc, make_scene(DMP_SECURITY_LOCAL_PROFESSIONALS="false", **psc.settings()))
    assert page.status == 200
    body = page.response.body.decode()
    assert "<script>alert" not in body
    assert "&lt;script&gt;alert(1)&lt;/script&gt;{{7*7}}" in body  # shown as it is written, and not turned around


@pytest.mark.statement("security TH56", "security H-19")
@pytest.mark.parametrize("answer", ["html", "deep", "list", "error"])
def test_a_failed_sign_in_is_a_page_that_says_so(psc: Hostile, answer: str) -> None:
    scene = make_scene(DMP_SECURITY_LOCAL_PROFESSIONALS="false", **psc.settings())
    psc.answers["/userinfo"] = NO_ANSWER[answer]
    _, page = signed_in(psc, scene)
    assert page.status == 403
    assert b"alert(1)" not in page.response.body
