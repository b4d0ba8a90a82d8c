"""A world on a real socket: two callers that speak HTTP at the same moment."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from threading import Barrier

from werkzeug.serving import WSGIRequestHandler, make_server

from tests.samples import Json
from tests.world import Client, Response, World


class _Quiet(WSGIRequestHandler):
    """Writes no line for a request."""

    protocol_version = "HTTP/1.1"

    def log(self, type: str, message: str, *args: object) -> None:
        """Nothing."""


@contextmanager
def listening(world: World) -> Iterator[int]:
    """Serve a world on a free port, each connection in a thread of its own; give the port."""
    server = make_server("127.0.0.1", 0, world.app, threaded=True, request_handler=_Quiet)
    running = threading.Thread(target=server.serve_forever, daemon=True)
    running.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        running.join(10)
        server.server_close()


def send(port: int, client: Client, method: str, path: str, body: Json | list[Json]) -> Response:
    """Send one request over a connection of its own."""
    kind = "application/json-patch+json" if isinstance(body, list) else "application/fhir+json"
    headers = {"Authorization": f"Bearer {client.token}", "Content-Type": kind}
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
        connection.request(method, f"/fhir{path}", json.dumps(body).encode(), headers)
        answer = connection.getresponse()
        return Response(answer.status, dict(answer.getheaders()), answer.read())


def together(work: Sequence[Callable[[], Response]]) -> list[Response]:
    """Start everything at the same moment; return the answers in order."""
    ready = Barrier(len(work))

    def run(each: Callable[[], Response]) -> Response:
        ready.wait(30)
        return each()

    with ThreadPoolExecutor(len(work)) as pool:
        return list(pool.map(run, work))
