"""A server around a scripted use case: what comes in is kept, what goes out is chosen by the test."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from types import SimpleNamespace
from typing import Any

import orjson
from joserfc.jwk import RSAKey

from fhir_dmp import definitions
from fhir_dmp.errors import DmpError
from fhir_dmp.fhir.resource import Json
from fhir_dmp.fhir.structure import TABLE, Structures
from fhir_dmp.http.access_log import AccessLog
from fhir_dmp.http.fhir import FhirApplication
from fhir_dmp.http.metrics import Metrics
from fhir_dmp.identity.caller import Actor, Caller
from fhir_dmp.identity.keys import SigningKeys
from fhir_dmp.identity.scopes import maximum
from fhir_dmp.identity.tokens import Validity, Verifier, claims_of, sign
from fhir_dmp.interactions.exchange import Answer, Call
from fhir_dmp.oauth.guard import Guard
from fhir_dmp.oauth.registry import Registry
from fhir_dmp.oauth.standing import Standing
from fhir_dmp.settings import Settings
from fhir_dmp.store.memory import MemoryStore

BASE = "http://127.0.0.1:8000/fhir"
ISSUER = "http://127.0.0.1:8000/auth"
#: 2026-01-01T10:00:00Z
NOW_S = 1_767_261_600
PATIENT: Json = {
    "resourceType": "Patient",
    "id": "p-1",
    "meta": {"versionId": "3", "lastUpdated": "2026-01-01T10:00:00.123Z"},
    "name": [{"family": "Essai", "given": ["Zoé", "Anne"]}],
}


@cache
def signing_keys() -> SigningKeys:
    """One key for all tests: making one takes a while."""
    return SigningKeys((RSAKey.generate_key(2048, auto_kid=True),))


@cache
def structures() -> Structures:
    """The R4 table."""
    return Structures(definitions.load_json(TABLE))


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.ms = NOW_S * 1000

    def now_ms(self) -> int:
        return self.ms


@dataclass
class Reply:
    """What came out of the wire."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str:
        """Return all values of a header, joined."""
        return ", ".join(value for key, value in self.headers if key.lower() == name.lower())

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)

    @property
    def issue(self) -> Any:
        """The first issue of the OperationOutcome that this must be."""
        assert self.json["resourceType"] == "OperationOutcome", self.json
        return self.json["issue"][0]


def resource(content: Json | None = None, status: int = 200, **fields: Any) -> Answer:
    """Return an answer with a resource, by default version 3 of a patient."""
    body = orjson.dumps(PATIENT if content is None else content)
    return Answer(**{"status": status, "body": body, "version": 3, "updated_ms": NOW_S * 1000 + 123, **fields})


@dataclass
class World:
    """The fake services."""

    settings: Settings = field(default_factory=Settings)
    base: str = BASE
    issuer: str = ISSUER
    answer: Answer | Callable[[Call], Answer] | BaseException = field(default_factory=resource)
    calls: list[Call] = field(default_factory=list)
    turned: list[str] = field(default_factory=list)
    refusals: list[tuple[Call, DmpError]] = field(default_factory=list)
    store: MemoryStore = field(default_factory=lambda: MemoryStore(inline_limit=64 * 1024))
    clock: Clock = field(default_factory=Clock)
    structures: Structures = field(default_factory=structures)
    #: Nobody signs in in these tests: tests/signin does.
    desk: Any = None
    #: These tests ask nothing of the authorization server: tests/oauth does.
    authority: Any = field(default_factory=lambda: SimpleNamespace(id_keys=signing_keys()))
    log: io.StringIO = field(default_factory=io.StringIO)
    metrics: Metrics = field(default_factory=Metrics)

    def __post_init__(self) -> None:
        self.verifier = Verifier(signing_keys(), self.issuer, self.base)
        self.clients = Registry(self.store.state, self.clock)
        self.standing = Standing(self.store.state, self.clients, self.clock)
        self.guard = Guard(self.verifier, self.store.state, self.standing, self.clock)
        self.admin_guard = self.guard
        self.app = FhirApplication(self, self.metrics, AccessLog(self.log, background=False))

    def handle(self, call: Call) -> Answer:
        self.calls.append(call)
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer if isinstance(self.answer, Answer) else self.answer(call)

    def refused(self, call: Call, error: DmpError) -> None:
        self.refusals.append((call, error))

    def capability(self) -> Json:
        return CAPABILITY

    @property
    def call(self) -> Call:
        """The last call that reached the use case."""
        return self.calls[-1]

    def token(self, caller: Caller | None = None, *, start: int = NOW_S, ttl: int = 3600, **changed: Any) -> str:
        """Return a token of this server, with some claims changed."""
        who = caller or Caller(Actor.PATIENT, "p-1", patient="p-1", scopes=maximum(Actor.PATIENT))
        validity = Validity(start, start + ttl)
        claims = claims_of(who, issuer=self.issuer, audience=self.base, validity=validity, jti="j-1")
        return sign({**claims, **changed}, signing_keys())

    def send(
        self,
        method: str,
        path: str,
        body: bytes | Iterable[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        peer: str = "127.0.0.1",
        token: str | None = "",
    ) -> Reply:
        """Send one request straight through WSGI. token: None sends none; a body of chunks has no length."""
        path, _, query = path.partition("?")
        environ: dict[str, Any] = {
            "REQUEST_METHOD": method,
            "SCRIPT_NAME": "/fhir",
            "PATH_INFO": path.encode().decode("latin-1"),
            "QUERY_STRING": query,
            "SERVER_PROTOCOL": "HTTP/1.1",
            "REMOTE_ADDR": peer,
            "wsgi.input": io.BytesIO(b""),
        }
        if token is not None:
            environ["HTTP_AUTHORIZATION"] = f"Bearer {token or self.token()}"
        if isinstance(body, bytes):
            environ.update({"CONTENT_LENGTH": str(len(body)), "wsgi.input": io.BytesIO(body)})
        elif body is not None:
            environ.update({"HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input": io.BytesIO(b"".join(body))})
        for name, value in (headers or {}).items():
            key = name.upper().replace("-", "_")
            environ[key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}"] = value
        return run(self.app, environ)

    def get(self, path: str, **headers: str) -> Reply:
        """Send a GET; header names use underscores."""
        return self.send("GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()})


def run(app: Callable[..., Iterable[bytes]], environ: dict[str, Any]) -> Reply:
    """Run one request through a WSGI application."""
    started: list[Any] = []

    def start_response(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> None:
        started[:] = [status, headers]

    result = app(environ, start_response)
    try:
        content = b"".join(result)
    finally:
        close = getattr(result, "close", None)
        if close:
            close()
    status, headers = started
    for name, value in headers:
        assert "\n" not in value, f"{name} breaks the line"
        assert "\r" not in value, f"{name} breaks the line"
    return Reply(int(status.split()[0]), headers, content)


CAPABILITY: Json = {
    "resourceType": "CapabilityStatement",
    "rest": [
        {
            "mode": "server",
            "interaction": [{"code": "transaction"}],
            "resource": [
                {
                    "type": "Patient",
                    "interaction": [{"code": "read"}, {"code": "search-type"}, {"code": "create"}, {"code": "patch"}],
                    "searchParam": [{"name": "identifier", "type": "token"}],
                    "operation": [{"name": "dmp-ouvrir", "definition": "https://dmp-fhir.example/ig/dmp-ouvrir"}],
                }
            ],
        }
    ],
}
