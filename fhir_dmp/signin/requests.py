"""An authorization request: read, checked, and either refused or kept. Pure.

[security 2.3], RFC 6749 section 4.1.1, RFC 7636, RFC 9207, SMART App Launch 2.2. Until the client and its redirect_uri
are known to belong together nothing is ever redirected: those faults are pages.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any, Final
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

from fhir_dmp.oauth.clients import AUTHORIZATION_CODE, Client
from fhir_dmp.oauth.codes import is_challenge

MAX_REQUEST_BYTES: Final = 32 * 1024
STATE_LENGTH: Final = range(8, 513)
MAX_SCOPES: Final = 100
MAX_SCOPE_TEXT: Final = 8192
PROMPTS: Final = frozenset({"none", "login", "consent", "select_account"})
#: Parameters that are read; a repeated one is refused, whichever it is, and unknown ones are left alone (RFC 6749).
_SIMPLE: Final = ("scope", "state", "nonce", "login_hint", "acr_values", "ui_locales", "launch", "work_situation")


class NotRedirected(Exception):
    """A fault that is shown as a page, status 400: the client or the redirect_uri cannot be trusted.

    code: an error code of OAuth; reason: key of the sentence for people.
    """

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(f"{code}: {reason}")
        self.code = code
        self.reason = reason


class Redirected(Exception):
    """A fault that the application is told by a redirect: `error` and a description for developers."""

    def __init__(self, error: str, description: str) -> None:
        super().__init__(f"{error}: {description}")
        self.error = error
        self.description = description


@dataclass(frozen=True, slots=True)
class Reply:
    """Where the answer goes. state: as it was sent, None when none was."""

    redirect_uri: str
    state: str | None


@dataclass(frozen=True, slots=True)
class AuthorizationRequest:
    """A request that may be served, whoever signs in. scopes: in the order asked for, each once.

    max_age: seconds, -1 when not asked. launch: handle of an EHR launch. work_situation: profession and category, then
    optionally `|` and the StructIdNat, by which a situation is chosen without asking.
    """

    client_id: str
    redirect_uri: str
    state: str
    code_challenge: str
    scopes: tuple[str, ...]
    nonce: str = ""
    prompts: tuple[str, ...] = ()
    max_age: int = -1
    login_hint: str = ""
    acr_values: str = ""
    ui_locales: str = ""
    launch: str = ""
    work_situation: str = ""

    @property
    def reply(self) -> Reply:
        """Where the answer goes."""
        return Reply(self.redirect_uri, self.state)

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {item.name: getattr(self, item.name) for item in fields(self)}


def request_of(values: Mapping[str, Any]) -> AuthorizationRequest:
    """Read what `to_json` wrote."""
    lists = {name: tuple(values[name]) for name in ("scopes", "prompts")}
    return AuthorizationRequest(**{**values, **lists})


def parameters(encoded: bytes) -> list[tuple[str, str]]:
    """Decode a query or a form so that every byte comes back by `encoded_query`.

    Raises:
        NotRedirected: too long.
    """
    if len(encoded) > MAX_REQUEST_BYTES:
        raise NotRedirected("invalid_request", "too-long")
    text = encoded.decode("utf-8", "surrogateescape")
    return parse_qsl(text, keep_blank_values=True, errors="surrogateescape", max_num_fields=1000)


def encoded_query(pairs: Iterable[tuple[str, str]]) -> str:
    """Encode parameters; what `parameters` read comes back byte for byte.

    >>> encoded_query([("state", "a%b+c d")])
    'state=a%25b%2Bc%20d'
    """
    return urlencode(list(pairs), quote_via=quote, safe="", errors="surrogateescape")


def redirection(uri: str, pairs: Iterable[tuple[str, str]]) -> str:
    """Add parameters to a redirect_uri, whose own query stays as it is.

    >>> redirection("https://a.example/cb?x=1", [("code", "c")])
    'https://a.example/cb?x=1&code=c'
    """
    parts = urlsplit(uri)
    query = "&".join(each for each in (parts.query, encoded_query(pairs)) if each)
    return urlunsplit(parts._replace(query=query))


def answer_of(refused: Redirected, reply: Reply, issuer: str) -> str:
    """Return the URL that tells an application of a refusal."""
    pairs = [("error", refused.error), ("error_description", refused.description)]
    return redirection(reply.redirect_uri, [*pairs, *_common(reply, issuer)])


def success(code: str, reply: Reply, issuer: str) -> str:
    """Return the URL that brings the code to the application."""
    return redirection(reply.redirect_uri, [("code", code), *_common(reply, issuer)])


def _common(reply: Reply, issuer: str) -> list[tuple[str, str]]:
    return [*([("state", reply.state)] if reply.state is not None else []), ("iss", issuer)]


def recipient(pairs: Iterable[tuple[str, str]], find: Callable[[str], Client | None]) -> tuple[Client, Reply]:
    """Return the client and where it is answered: the first step, before which nothing is redirected.

    Raises:
        NotRedirected: unknown, not enabled, or a redirect_uri that is not registered.
    """
    given: dict[str, list[str]] = {}
    for name, value in pairs:
        if value:
            given.setdefault(name, []).append(value)
    ids, uris, states = (given.get(name, []) for name in ("client_id", "redirect_uri", "state"))
    client = find(ids[0]) if len(ids) == 1 else None
    if client is None:
        raise NotRedirected("invalid_request", "unknown-client")
    if len(uris) != 1 or not client.has_redirect(uris[0]):
        raise NotRedirected("invalid_request", "unknown-redirect")
    if not client.is_active:
        raise NotRedirected("unauthorized_client", "suspended-client")
    return client, Reply(uris[0], states[0] if len(states) == 1 else None)


def read(pairs: Iterable[tuple[str, str]], client: Client, reply: Reply, base: str) -> AuthorizationRequest:
    """Return the request of a client that is known; base: our FHIR base, the only audience.

    Raises:
        Redirected: with the error of the table in [security 2.3].
    """
    given = _single(pairs)
    _check_kind(given, client)
    if reply.state is None or len(reply.state) not in STATE_LENGTH:
        raise Redirected("invalid_request", "state is required: 8 to 512 characters")
    _check_audience(given, base)
    scopes = _scopes(given.get("scope", ""))
    if ("launch" in scopes) != ("launch" in given):
        raise Redirected("invalid_request", "the scope launch and the parameter launch come together")
    simple = {name: given[name] for name in _SIMPLE if name in given and name not in ("scope", "state")}
    return AuthorizationRequest(
        client_id=client.client_id,
        redirect_uri=reply.redirect_uri,
        state=reply.state,
        code_challenge=_challenge(given),
        scopes=scopes,
        prompts=_prompts(given.get("prompt", "")),
        max_age=_max_age(given.get("max_age")),
        **simple,
    )


def _single(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    given: dict[str, str] = {}
    for name, value in pairs:
        if name in given:
            raise Redirected("invalid_request", "a parameter is repeated")
        given[name] = value
    return {name: value for name, value in given.items() if value}


def _check_kind(given: Mapping[str, str], client: Client) -> None:
    if "response_type" not in given:
        raise Redirected("invalid_request", "response_type is required")
    if given["response_type"] != "code":
        raise Redirected("unsupported_response_type", "the only response_type is code")
    if not client.may_use(AUTHORIZATION_CODE):
        raise Redirected("unauthorized_client", "the client is not registered for the authorization code grant")
    for name in ("request", "request_uri"):
        if name in given:
            raise Redirected(f"{name}_not_supported", f"the parameter {name} is not supported")
    if given.get("response_mode", "query") != "query":
        raise Redirected("invalid_request", "the only response_mode is query")


def _check_audience(given: Mapping[str, str], base: str) -> None:
    named = {given[name].rstrip("/") for name in ("aud", "resource") if name in given}
    if not named:
        raise Redirected("invalid_request", "aud is required: the URL of the FHIR base")
    if named != {base.rstrip("/")}:
        raise Redirected("invalid_request", "aud is not the FHIR base of this server")


def _challenge(given: Mapping[str, str]) -> str:
    challenge = given.get("code_challenge")
    if challenge is None:
        raise Redirected("invalid_request", "code_challenge is required (PKCE)")
    if given.get("code_challenge_method") != "S256":
        raise Redirected("invalid_request", "the only code_challenge_method is S256")
    if not is_challenge(challenge):
        raise Redirected("invalid_request", "code_challenge is no base64url SHA-256")
    return challenge


def _scopes(text: str) -> tuple[str, ...]:
    scopes = tuple(dict.fromkeys(text.split(" ")))
    if len(text) > MAX_SCOPE_TEXT or len(scopes) > MAX_SCOPES:
        raise Redirected("invalid_scope", f"at most {MAX_SCOPES} scopes and {MAX_SCOPE_TEXT} characters")
    found = tuple(scope for scope in scopes if scope)
    if not found:
        raise Redirected("invalid_scope", "scope is required")
    return found


def _prompts(text: str) -> tuple[str, ...]:
    prompts = tuple(dict.fromkeys(text.split()))
    if not PROMPTS.issuperset(prompts) or ("none" in prompts and len(prompts) > 1):
        raise Redirected("invalid_request", "prompt is none, or of login, consent and select_account")
    return prompts


def _max_age(text: str | None) -> int:
    if text is None:
        return -1
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise Redirected("invalid_request", "max_age is a number of seconds")
    return int(text)
