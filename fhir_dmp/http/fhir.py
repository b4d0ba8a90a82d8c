"""FHIR over HTTP as one WSGI function, free of any framework: environ -> Call -> Answer -> wire.

Mounted directly at /fhir in production, and under Flask beside the pages: one code path, two mounts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from time import perf_counter
from typing import Any

from fhir_dmp.errors import BadRequest, DmpError
from fhir_dmp.http import brands, cors, discovery
from fhir_dmp.http.access_log import AccessLog
from fhir_dmp.http.authenticate import NOBODY, PUBLIC, anyone, bearer
from fhir_dmp.http.body import Body
from fhir_dmp.http.calls import bare, call_of
from fhir_dmp.http.errors import crashed, refused
from fhir_dmp.http.limits import RateLimits
from fhir_dmp.http.meter import shared_meters
from fhir_dmp.http.metrics import Metrics
from fhir_dmp.http.negotiation import DEFAULT, negotiate
from fhir_dmp.http.payload import Intake
from fhir_dmp.http.render import Headers, Reply, render
from fhir_dmp.http.request import Request, method_of, proxies, query_of, request_id_of, segments_of
from fhir_dmp.http.routes import interaction
from fhir_dmp.http.services import Services
from fhir_dmp.identity.caller import Caller
from fhir_dmp.interactions.exchange import Answer, Call

StartResponse = Callable[..., Any]
_PUBLIC_HEADS = frozenset((segment,) for segment in PUBLIC)
_ONE_YEAR = [("Strict-Transport-Security", "max-age=31536000")]


class FhirApplication:
    """The FHIR API of one server. Thread safe."""

    def __init__(self, services: Services, metrics: Metrics | None = None, log: AccessLog | None = None) -> None:
        server = services.settings.server
        self._services = services
        self._handle = services.handle
        self._now_ms = services.clock.now_ms
        self._metrics = metrics
        self._log = log
        self._structures = services.structures
        self._intake = Intake(services.store.blobs, services.structures, server.max_body_bytes)
        self._origins = cors.Origins(server.allowed_origins, services.clients.has_origin)
        self._proxies = proxies(server.trusted_proxies, services.base, base_follows_host=not server.base_url)
        certificate = self._proxies.certificate_from(services.settings.security.client_certificate_header)
        judged = bearer(services.guard, services.clock, certificate)
        self._authenticate = anyone if server.access == "open" else judged
        self._limits = RateLimits(services.settings.limits, shared_meters())
        self._brands = brands.Brands(services)
        self._secure: Headers = _ONE_YEAR if services.base.startswith("https:") else []

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request (PEP 3333)."""
        started = perf_counter()
        request = Request(
            environ,
            request_id_of(environ),
            self._proxies.client(environ),
            self._proxies.public_base(environ),
            environ["REQUEST_METHOD"] == "HEAD",
        )
        reply = self._reply(request)
        if self._secure:
            reply.headers += self._secure
        if "HTTP_ORIGIN" in environ and request.method != "OPTIONS":
            reply.headers += cors.shared_with(environ, self._origins, request.segments[:1] in _PUBLIC_HEADS)
        start_response(reply.status_line, reply.headers)
        self._note(request, reply.status, perf_counter() - started)
        return reply.body if isinstance(reply.body, list) else _watched(reply.body, request.request_id)

    def _note(self, request: Request, status: int, seconds: float) -> None:
        if self._metrics is not None:
            self._metrics.observe(interaction(request.method, request.segments), status, seconds)
        if self._log is not None:
            self._log.write(self._now_ms() / 1000, request, status, seconds * 1000)

    def _reply(self, request: Request) -> Reply:
        try:
            return self._answered(request)
        except DmpError as error:
            answer = refused(error, request.header("ACCEPT_LANGUAGE"))
        except Exception as error:
            answer = crashed(error, request.request_id)
        self._drain(request)
        return self._excused(answer, request)

    def _answered(self, request: Request) -> Reply:
        environ = request.environ
        request.segments = segments = segments_of(environ.get("PATH_INFO", ""))
        if environ["REQUEST_METHOD"] == "OPTIONS":
            return self._options(request)
        method = method_of(environ)
        request.method = "GET" if request.head else method
        request.raw_query, request.query = query_of(environ)
        request.wanted = negotiate(environ.get("HTTP_ACCEPT", ""), request.query)
        if segments and segments[0] in PUBLIC:
            if segments[0] == ".well-known":
                return discovery.smart(request, self._services)
            if segments == (brands.PATH,):
                return self._brands.answer(request)
            caller = NOBODY
        else:
            caller = self._caller(request)
        return render(self._handle(self._call(request, caller)), request, self._structures)

    def _caller(self, request: Request) -> Caller:
        """Tell who is asking; a refusal is recorded before it leaves."""
        now_s = self._now_ms() / 1000
        try:
            caller = self._authenticate(request.environ)
        except DmpError as error:
            self._limits.failed(request.address, now_s)
            self._services.refused(bare(request, NOBODY), error)
            raise
        if self._limits.active:
            self._limited(caller, request, now_s)
        return caller

    def _limited(self, caller: Caller, request: Request, now_s: float) -> None:
        """Count the request; the first refusal of a caller in a minute is recorded."""
        try:
            self._limits.check(caller, request.method, request.segments, now_s)
        except DmpError as error:
            if self._limits.is_first(caller, request.address, now_s):
                self._services.refused(bare(request, caller), error)
            raise

    def _call(self, request: Request, caller: Caller) -> Call:
        """Read the rest of the request; a refusal is recorded before it leaves."""
        try:
            return call_of(request, caller, self._intake)
        except DmpError as error:
            if caller is not NOBODY:
                self._services.refused(bare(request, caller), error)
            raise

    def _options(self, request: Request) -> Reply:
        request.method = "OPTIONS"
        public = request.segments[:1] in _PUBLIC_HEADS
        allowed = cors.preflight(request.environ, self._origins, public)
        return Reply(204, [("X-Request-Id", request.request_id), *allowed], [])

    def _drain(self, request: Request) -> None:
        """Read what the client is still sending, so that it can read our refusal."""
        try:
            (request.body or Body(request.environ, self._intake.max_body_bytes)).drain()
        except BadRequest:
            return

    def _excused(self, answer: Answer, request: Request) -> Reply:
        """Render an error; it is always sent, whatever the client accepts."""
        if request.wanted.format is None:
            request.wanted = DEFAULT
        try:
            return render(answer, request, self._structures)
        except Exception as error:
            request.wanted = DEFAULT
            request.query = ()
            return render(crashed(error, request.request_id), request, self._structures)


def _watched(chunks: Iterable[bytes], request_id: str) -> Iterator[bytes]:
    """Pass a stream on; when it breaks, log where and cut the connection, because the status is gone already."""
    try:
        yield from chunks
    except Exception as error:
        crashed(error, request_id)
        raise ConnectionAbortedError("the answer was cut short") from None
