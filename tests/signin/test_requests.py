"""Every row of the table of errors of the authorization request, before anybody signs in."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_dmp.oauth.clients import Client, Kind, Status
from fhir_dmp.signin.requests import (
    NotRedirected,
    Redirected,
    Reply,
    answer_of,
    encoded_query,
    parameters,
    read,
    recipient,
    request_of,
    success,
)

BASE = "https://dmp.example/fhir"
CALLBACK = "https://app.example/callback?x=1"
CHALLENGE = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
APP = Client("app", "App", Kind.APP, grant_types=("authorization_code",), redirect_uris=(CALLBACK,))
GOOD = {
    "response_type": "code",
    "client_id": "app",
    "redirect_uri": CALLBACK,
    "scope": "openid launch/patient patient/*.rs",
    "state": "8-letters",
    "aud": BASE,
    "code_challenge": CHALLENGE,
    "code_challenge_method": "S256",
}


def refused(client: Client = APP, **changes: str | None) -> str:
    """Return the error that a changed request is redirected with."""
    values = {**GOOD, **changes}
    pairs = [(name, value) for name, value in values.items() if value is not None]
    _, reply = recipient(pairs, {"app": client}.get)
    with pytest.raises(Redirected) as found:
        read(pairs, client, reply, BASE)
    return found.value.error


def test_a_good_request_is_read_and_kept() -> None:
    client, reply = recipient(GOOD.items(), {"app": APP}.get)
    request = read([*GOOD.items(), ("nonce", "n"), ("prompt", "login consent"), ("max_age", "0")], client, reply, BASE)
    assert (request.scopes, request.prompts, request.max_age) == (
        ("openid", "launch/patient", "patient/*.rs"), ("login", "consent"), 0,
    )  # fmt: skip
    assert request_of(request.to_json()) == request


@pytest.mark.parametrize("base", [BASE, BASE + "/"])
def test_the_audience_may_end_with_a_slash_or_be_called_resource(base: str) -> None:
    pairs = [(k, v) for k, v in GOOD.items() if k != "aud"]
    for name in ("aud", "resource"):
        read([*pairs, (name, base)], APP, Reply(CALLBACK, "8-letters"), BASE)


@pytest.mark.statement("security A-2")
@pytest.mark.parametrize("client_id", [None, "", "nobody", "APP"])
def test_an_unknown_client_is_never_redirected(client_id: str | None) -> None:
    pairs = [(k, v) for k, v in {**GOOD, "client_id": client_id}.items() if v is not None]
    with pytest.raises(NotRedirected) as found:
        recipient(pairs, {"app": APP}.get)
    assert found.value.reason == "unknown-client"


@pytest.mark.statement("security A-3", "security A-4", "security TH21", "security H-18")
@pytest.mark.parametrize(
    "uri",
    [
        None, "https://evil.example/", "https://app.example/callback", "https://app.example/callback?x=2",
        "https://APP.example/callback?x=1", "https://app.example/callback/?x=1", "https://app.example/Callback?x=1",
        "https://app.example/callback?x=1&y=2", "https://app.example/callback?x=1#f", "//app.example/callback?x=1",
        "https://app.example@evil.example/callback?x=1", "https://app.example\\@evil.example/callback?x=1",
        "https://app.example/%63allback?x=1", "%2f%2fevil.example", "javascript:alert(1)",
    ],
)  # fmt: skip
def test_only_the_exact_registered_redirect_uri_is_used(uri: str | None) -> None:
    pairs = [(k, v) for k, v in {**GOOD, "redirect_uri": uri}.items() if v is not None]
    with pytest.raises(NotRedirected) as found:
        recipient(pairs, {"app": APP}.get)
    assert found.value.reason == "unknown-redirect"


@pytest.mark.parametrize("name", ["client_id", "redirect_uri"])
def test_a_repeated_client_or_redirect_uri_is_never_redirected(name: str) -> None:
    with pytest.raises(NotRedirected):
        recipient([*GOOD.items(), (name, GOOD[name])], {"app": APP}.get)


@pytest.mark.parametrize("status", [Status.SUSPENDED, Status.PENDING])
def test_a_client_that_is_not_enabled_is_never_redirected(status: Status) -> None:
    from dataclasses import replace

    with pytest.raises(NotRedirected) as found:
        recipient(GOOD.items(), {"app": replace(APP, status=status)}.get)
    assert found.value.code == "unauthorized_client"


@pytest.mark.statement("security A-5")
@pytest.mark.parametrize("state", [None, "", "short", "x" * 513])
def test_a_missing_or_odd_state_is_an_invalid_request(state: str | None) -> None:
    assert refused(state=state) == "invalid_request"


@pytest.mark.statement("security A-8", "security A-9")
@pytest.mark.parametrize("aud", [None, "https://other.example/fhir", "https://dmp.example", BASE + "/x", BASE.upper()])
def test_a_missing_or_foreign_audience_is_an_invalid_request(aud: str | None) -> None:
    assert refused(aud=aud) == "invalid_request"


@pytest.mark.statement("security A-10", "security A-12", "security TH20", "security H-18")
@pytest.mark.parametrize("challenge", [None, "", "x" * 42, "x" * 44, "x" * 42 + "=", "x" * 42 + "é", "x" * 42 + "+"])
def test_a_missing_or_odd_challenge_is_an_invalid_request(challenge: str | None) -> None:
    assert refused(code_challenge=challenge) == "invalid_request"


@pytest.mark.statement("security A-11", "security TH20", "security H-18")
@pytest.mark.parametrize("method", [None, "plain", "s256", "S512"])
def test_any_method_but_s256_is_an_invalid_request(method: str | None) -> None:
    assert refused(code_challenge_method=method) == "invalid_request"


@pytest.mark.statement("security A-13")
@pytest.mark.parametrize("kind", ["token", "id_token", "code token", "Code"])
def test_any_response_type_but_code_is_unsupported(kind: str) -> None:
    assert refused(response_type=kind) == "unsupported_response_type"
    assert refused(response_type=None) == "invalid_request"


@pytest.mark.statement("security A-14")
@pytest.mark.parametrize("name", ["state", "scope", "aud", "code_challenge", "response_type", "nonce", "unheard-of"])
def test_a_repeated_parameter_is_an_invalid_request(name: str) -> None:
    pairs = [*GOOD.items(), (name, GOOD.get(name, "x")), *([(name, "y")] if name not in GOOD else [])]
    client, reply = recipient(pairs, {"app": APP}.get)
    with pytest.raises(Redirected) as found:
        read(pairs, client, reply, BASE)
    assert found.value.error == "invalid_request"


def test_a_client_without_the_code_grant_is_unauthorized() -> None:
    assert refused(client=Client("app", "App", Kind.APP, redirect_uris=(CALLBACK,))) == "unauthorized_client"


@pytest.mark.parametrize(
    "scope", [None, "", " ", " ".join(f"patient/Observation.r?code={i}" for i in range(101)), "x" * 9000]
)
def test_no_scope_or_far_too_many_are_an_invalid_scope(scope: str | None) -> None:
    assert refused(scope=scope) == "invalid_scope"


@pytest.mark.parametrize(
    "changes",
    [{"prompt": "none login"}, {"prompt": "create"}, {"max_age": "-1"}, {"max_age": "x"}, {"max_age": "٣"},
     {"response_mode": "fragment"}, {"scope": "launch patient/*.rs"}, {"launch": "handle"}],
)  # fmt: skip
def test_other_malformed_parameters_are_an_invalid_request(changes: dict[str, str]) -> None:
    assert refused(APP, **changes) == "invalid_request"


def test_request_objects_are_refused_by_their_own_error() -> None:
    assert refused(request="ey.J.h") == "request_not_supported"
    assert refused(request_uri="https://app.example/r") == "request_uri_not_supported"


def test_a_request_of_more_than_32_kib_is_not_read() -> None:
    with pytest.raises(NotRedirected):
        parameters(b"state=" + b"x" * 33_000)


@pytest.mark.statement("security A-6", "security A-7")
@given(st.binary(min_size=8, max_size=60))
def test_the_state_comes_back_byte_for_byte_in_success_and_error(raw: bytes) -> None:
    encoded = "state=" + "".join(f"%{byte:02X}" for byte in raw)
    state = dict(parameters(encoded.encode())).get("state", "")
    reply = Reply(CALLBACK, state)
    for url in (success("c", reply, "https://dmp.example/auth"), answer_of(Redirected("x", "y"), reply, "https://i")):
        query = urlsplit(url).query
        sent = next(part for part in query.split("&") if part.startswith("state="))
        assert dict(parse_qsl(sent, encoding="latin-1")).get("state", "").encode("latin-1") == raw
        assert "iss" in dict(parse_qsl(query, errors="surrogateescape"))
        assert query.startswith("x=1&")


def test_an_answer_cannot_break_out_of_the_redirect_uri() -> None:
    assert "\r" not in encoded_query([("state", "a\r\nLocation: https://evil.example")])
