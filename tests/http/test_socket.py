"""The same behaviour through a real server and real sockets: framing, early refusals, memory."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import orjson
import pytest

from tests.http.scripted import sha256_of_zeros

ROOT = Path(__file__).resolve().parents[2]
MIB = 1 << 20

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX process groups")]


class Server:
    """granian with one worker and the scripted application."""

    def __init__(self, access: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        command = [sys.executable, "-m", "granian", "--interface", "wsgi", "--port", str(self.port), "--no-ws"]
        self.process = subprocess.Popen(
            [
                *command,
                "--blocking-threads",
                "2",
                "--backpressure",
                "64",
                "--log-level",
                "error",
                "tests.http.scripted:application",
            ],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT), "SCRIPTED_ACCESS": access},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 30
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError:
                assert time.monotonic() < deadline, "the server did not start"
                time.sleep(0.05)

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(20)

    @contextmanager
    def connection(self) -> Iterator[http.client.HTTPConnection]:
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)) as connection:
            yield connection

    def told(self, response: http.client.HTTPResponse) -> dict[str, object]:
        told: dict[str, object] = orjson.loads(orjson.loads(response.read())["text"]["div"])
        return told


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    running = Server("open")
    yield running
    running.stop()


def test_requests_share_a_connection(server: Server) -> None:
    with server.connection() as connection:
        for path in ("/fhir/Patient/a?x=1", "/fhir/Patient/b"):
            connection.request("GET", path)
            response = connection.getresponse()
            assert (response.status, server.told(response)["path"]) == (200, ["Patient", path[14]])
        connection.request("HEAD", "/fhir/Patient/c")
        head = connection.getresponse()
        assert (head.status, head.read()) == (200, b"")
        assert int(head.headers["Content-Length"]) > 0
        connection.request("GET", "/health/ready")
        assert connection.getresponse().read() == b'{"status":"up","store":"up"}\n'


def test_percent_encoded_urls_are_decoded_once(server: Server) -> None:
    with server.connection() as connection:
        connection.request("GET", "/fhir/Patient/%C3%A9?name=a+b")
        told = server.told(connection.getresponse())
        assert (told["path"], told["query"]) == (["Patient", "é"], [["name", "a b"]])


@pytest.mark.statement("fhir-rest A25")
def test_a_chunked_body_above_the_limit_is_413_not_cut(server: Server) -> None:
    with server.connection() as connection:
        block = bytes(MIB)

        def chunks() -> Iterator[bytes]:
            for _ in range(60):
                yield block

        connection.request("POST", "/fhir/Binary", chunks(), {"Content-Type": "application/pdf"}, encode_chunked=True)
        response = connection.getresponse()
        assert (response.status, orjson.loads(response.read())["issue"][0]["code"]) == (413, "too-long")


@pytest.mark.statement("fhir-rest A25")
def test_a_client_that_sends_too_much_can_read_the_refusal(server: Server) -> None:
    with server.connection() as connection:
        connection.request("POST", "/fhir/Patient", bytes(60 * MIB), {"Content-Type": "application/fhir+json"})
        assert connection.getresponse().status == 413


def test_a_client_without_token_can_read_the_refusal_of_a_large_body() -> None:
    strict = Server("enforced")
    try:
        with strict.connection() as connection:
            connection.request("POST", "/fhir/Binary", bytes(40 * MIB), {"Content-Type": "application/pdf"})
            response = connection.getresponse()
            assert response.status == 401
            assert response.headers["WWW-Authenticate"].startswith("Bearer")
    finally:
        strict.stop()


@pytest.mark.statement("fhir-rest I201")
def test_a_large_download_streams(server: Server) -> None:
    with server.connection() as connection:
        connection.request("GET", f"/fhir/Binary/{200 * MIB}")
        response = connection.getresponse()
        assert (response.status, response.headers["Content-Length"]) == (200, str(200 * MIB))
        received = 0
        while chunk := response.read(MIB):
            received += len(chunk)
        assert received == 200 * MIB
        connection.request("GET", "/fhir/Patient/a")
        assert int(str(server.told(connection.getresponse())["peak"])) < 200 * MIB


@pytest.mark.statement("fhir-rest I201")
def test_a_large_content_in_a_bundle_does_not_grow_the_worker() -> None:
    server = Server("open")
    try:
        with server.connection() as connection:
            connection.request("GET", "/fhir/Patient/a")
            before = int(str(server.told(connection.getresponse())["peak"]))
            size = 30 * MIB
            body = (
                b'{"resourceType":"Bundle","entry":[{"resource":{"resourceType":"Binary","data":"'
                + b"A" * (size // 3 * 4)
                + b'"}}]}'
            )
            connection.request("POST", "/fhir/", body, {"Content-Type": "application/fhir+json"})
            told = server.told(connection.getresponse())
            assert told["staged"] == [sha256_of_zeros(size)]
            # The store in memory of this test keeps the content: one time its size is unavoidable here.
            assert int(str(told["peak"])) - before < 3 * size
    finally:
        server.stop()


def test_garbage_on_the_wire_leaves_the_worker_alive(server: Server) -> None:
    for garbage in (
        b"\x00\x01\x02\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST /fhir HTTP/1.1\r\nContent-Length: x\r\n\r\n",
    ):
        with socket.create_connection(("127.0.0.1", server.port), timeout=5) as raw:
            raw.sendall(garbage)
            raw.settimeout(5)
            answer = raw.recv(100)
            assert answer == b"" or answer.startswith(b"HTTP/1.1 4")
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as raw:
        raw.sendall(b"POST /fhir/Patient HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nshort")
    with server.connection() as connection:
        connection.request("GET", "/fhir/Patient/a")
        assert connection.getresponse().status == 200
