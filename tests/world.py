"""The whole server for a test: the real application over a store, called through WSGI, with tokens for anybody.

`World.as_(...)` returns a client of one caller; every request goes through the wire format, authentication and the
corridor, as over a socket. tests/http has the tests that need a real socket.
"""

from __future__ import annotations

import io
import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from fhir_dmp.bootstrap import Wired, build
from fhir_dmp.http.app import application
from fhir_dmp.identity.caller import Actor, Caller, Mode
from fhir_dmp.identity.scopes import maximum
from fhir_dmp.identity.tokens import Validity, claims_of, sign
from fhir_dmp.ports import ResourceStore
from fhir_dmp.settings import Settings
from fhir_dmp.terminology.aliases import PROFESSION

from . import samples
from .outputs import check

Json = dict[str, Any]


class FixedClock:
    """A clock that the test sets; each reading moves it on by one millisecond."""

    def __init__(self, now_ms: int = 1_781_260_000_000) -> None:  # 2026-06-12
        self.time_ms = now_ms

    def now_ms(self) -> int:
        """Return the time."""
        self.time_ms += 1
        return self.time_ms


@dataclass
class Response:
    """One HTTP answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    cookies: tuple[str, ...] = ()

    @property
    def json(self) -> Json:
        """The body as JSON."""
        parsed: Json = json.loads(self.body)
        return parsed

    @property
    def codes(self) -> set[str]:
        """Every issue code and details code of an OperationOutcome."""
        found: set[str] = set()
        for issue in self.json.get("issue", []):
            found.add(issue["code"])
            found.update(coding["code"] for coding in issue.get("details", {}).get("coding", []))
        return found

    @property
    def expressions(self) -> list[str]:
        """Every place that an OperationOutcome names."""
        return [place for issue in self.json.get("issue", []) for place in issue.get("expression", [])]

    @property
    def entries(self) -> list[Json]:
        """The resources of a searchset's matches."""
        return [
            e["resource"] for e in self.json.get("entry", []) if e.get("search", {}).get("mode", "match") == "match"
        ]


@dataclass
class Client:
    """One caller of the server."""

    world: World
    token: str | None

    def call(self, method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None) -> Response:
        """Send one request below /fhir; a dict or list becomes JSON."""
        given = {name.lower(): value for name, value in (headers or {}).items()}
        if isinstance(body, (dict, list)):
            given.setdefault("content-type", "application/fhir+json")
            body = json.dumps(body).encode()
        if self.token is not None:
            given.setdefault("authorization", f"Bearer {self.token}")
        return self.world.request(method, "/fhir" + path, body if isinstance(body, bytes) else b"", given)

    def get(self, path: str, **headers: str) -> Response:
        """GET."""
        return self.call("GET", path, headers=_names(headers))

    def post(self, path: str, body: object, **headers: str) -> Response:
        """POST."""
        return self.call("POST", path, body, _names(headers))

    def put(self, path: str, body: object, **headers: str) -> Response:
        """PUT."""
        return self.call("PUT", path, body, _names(headers))

    def patch(self, path: str, body: object, **headers: str) -> Response:
        """PATCH; a list is a JSON Patch."""
        given = _names(headers)
        if isinstance(body, list):
            given.setdefault("Content-Type", "application/json-patch+json")
        return self.call("PATCH", path, body, given)

    def delete(self, path: str, **headers: str) -> Response:
        """DELETE."""
        return self.call("DELETE", path, headers=_names(headers))


def _names(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}


@dataclass
class World:
    """A running server, its clock and its people. judged: every FHIR body that it answers must be valid."""

    services: Wired
    clock: FixedClock
    app: Any = None
    patients: dict[str, str] = field(default_factory=dict)
    judged: bool = True

    def __post_init__(self) -> None:
        self.app = application(self.services)
        rules = self.services.settings.validation
        # What clients may store wrong comes back wrong.
        self.judged &= rules.mode == "enforce" and not rules.types

    def request(self, method: str, target: str, body: bytes, headers: Mapping[str, str]) -> Response:
        """Send one request through WSGI."""
        path, _, query = target.partition("?")
        environ: dict[str, Any] = {
            "REQUEST_METHOD": method,
            "SCRIPT_NAME": "",
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "SERVER_NAME": "127.0.0.1",
            "SERVER_PORT": "8000",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "REMOTE_ADDR": "127.0.0.1",
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(body),
            "wsgi.errors": io.StringIO(),
            "wsgi.multithread": True,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
            "wsgi.version": (1, 0),
            "HTTP_HOST": "127.0.0.1:8000",
        }
        if body or method in ("POST", "PUT", "PATCH"):
            environ["CONTENT_LENGTH"] = str(len(body))
        for name, value in headers.items():
            key = name.upper().replace("-", "_")
            environ[key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}"] = value
        started: list[Any] = []

        def start_response(status: str, sent: list[tuple[str, str]], exc_info: Any = None) -> None:
            cookies = tuple(value for name, value in sent if name == "Set-Cookie")
            started[:] = [int(status.split()[0]), dict(sent), cookies]

        chunks = self.app(environ, start_response)
        try:
            content = b"".join(chunks)
        finally:
            close = getattr(chunks, "close", None)
            if close:
                close()
        answer = Response(started[0], started[1], content, started[2])
        if self.judged:
            check(f"{method} {target}", answer.headers, answer.body, self.services)
        return answer

    # --- people ------------------------------------------------------------------------------------------------------

    def as_(self, caller: Caller) -> Client:
        """Return a client with a signed token of this caller."""
        scoped = caller if caller.scopes else replace(caller, scopes=maximum(caller.actor, caller.mode))
        now = self.clock.time_ms // 1000
        claims = claims_of(
            scoped,
            issuer=self.services.issuer,
            audience=self.services.base,
            validity=Validity(now - 60, now + 10_000_000),
            jti=f"test-{caller.subject}-{caller.mode.value}",
        )
        return Client(self, sign(claims, self.services.verifier.keys))

    @property
    def nobody(self) -> Client:
        """A client without token."""
        return Client(self, None)

    @property
    def admin(self) -> Client:
        """The operator."""
        return self.as_(Caller(Actor.ADMIN, "operator", client="fhir-dmp"))

    def doctor(
        self,
        professional: str = samples.DOCTOR,
        structure: str = samples.HOSPITAL,
        profession: str = "10",
        mode: Mode = Mode.NORMAL,
        **more: Any,
    ) -> Client:
        """A health professional."""
        return self.as_(
            Caller(
                Actor.PROFESSIONAL,
                f"ps-{professional}",
                client="lps-test",
                name="CARLIER Hippolyte",
                professional=professional,
                structure=structure,
                roles=((PROFESSION, profession),),
                mode=mode,
                **more,
            )
        )

    def structure(self, structure: str = samples.HOSPITAL) -> Client:
        """An institution without identified person: it feeds, it never reads."""
        return self.as_(Caller(Actor.STRUCTURE, f"org-{structure}", client="sih-test", structure=structure))

    def patient(self, ins: str = samples.ANOUK, actor: Actor = Actor.PATIENT) -> Client:
        """The holder of a record, or somebody who acts for the holder."""
        id_ = self.patients[ins]
        return self.as_(Caller(actor, f"account-{ins[:3]}-{actor.value}", client="portal", patient=id_))

    # --- what tests need to exist ------------------------------------------------------------------------------------

    def open(self, ins: str = samples.ANOUK, **more: Any) -> str:
        """Open a dossier and return the Patient's id."""
        answer = self.doctor().post("/Patient/$dmp-ouvrir", samples.opening(samples.patient(ins, **more)))
        assert answer.status == 200, answer.body
        self.patients[ins] = answer.json["parameter"][0]["resource"]["id"]
        return self.patients[ins]

    def submit(self, unique: str, client: Client | None = None, **more: Any) -> str:
        """Submit one document by ITI-65 and return the DocumentReference's id."""
        answer = (client or self.doctor()).post("", samples.submission(unique, **more))
        assert answer.status == 200, answer.body
        location: str = answer.json["entry"][1]["response"]["location"]
        return location.split("/")[1]

    def consent(self, ins: str, kind: str, *, deny: bool = False, **provision: Any) -> str:
        """Record a Consent of a kind as the operator and return its id."""
        answer = self.admin.post("/Consent", samples.consent(self.patients[ins], kind, deny=deny, **provision))
        assert answer.status == 201, answer.body
        id_: str = answer.json["id"]
        return id_

    def authorise(self, ins: str = samples.ANOUK, professional: str = samples.DOCTOR, **period: str) -> str:
        """Give a professional access to a record."""
        extra: dict[str, Any] = {"period": period} if period else {}
        return self.consent(
            ins,
            "ps-authorisation",
            actor=[samples.consent_actor(professional)],
            purpose=[{"system": "http://terminology.hl7.org/CodeSystem/v3-ActReason", "code": "TREAT"}],
            **extra,
        )


def make_world(store: ResourceStore, clock: FixedClock | None = None, **environ: str) -> World:
    """Return a server over this store; settings as `DMP_*` variables."""
    keys = Path(tempfile.gettempdir()) / "fhir-dmp-test-keys"
    settings = Settings.load({"DMP_SECURITY_KEYS_DIR": str(keys), "DMP_SERVER_ACCESS_LOG": "false", **environ})
    ticking = clock or FixedClock()
    return World(build(settings, store=store, clock=ticking), ticking)
