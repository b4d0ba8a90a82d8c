"""Big contents pass through a real worker without filling its memory. [fhir-rest 11, issue: streaming in and out]"""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import samples
from tests.benchmarks.processes import HOST, Process, memory_kib, server
from tests.benchmarks.wire import call

MEBIBYTE = 1 << 20
SIZE = 40_000_000
#: A body of FHIR JSON must stay below server.max_body_bytes, base64 included.
SIZE_IN_JSON = 38_000_000
TYPE = "application/pdf"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """One worker, so that it is known which process did the work."""
    with server(tmp_path_factory.mktemp("streams"), "--access", "open", "--workers", "1") as process:
        call(f"{process.url}/fhir/Patient/$dmp-ouvrir", samples.opening())
        for size in (10, 300_000):  # what is imported and allocated once is not what is measured
            headers = {"Content-Type": TYPE, "Content-Length": str(size)}
            exchange(process, "POST", "/Binary", pieces(size), headers).read()
        yield process


class Growth:
    """By how much the peak memory of the worker grew, in bytes."""

    def __init__(self, process: Process) -> None:
        (self._worker,) = process.workers
        Path(f"/proc/{self._worker}/clear_refs").write_text("5")  # the peak starts again from here
        self._before = memory_kib(self._worker, "VmRSS")

    @property
    def bytes(self) -> int:
        return (memory_kib(self._worker, "VmHWM") - self._before) * 1024


def pieces(size: int, seed: int = 1) -> Iterator[bytes]:
    """Yield a content that does not compress, the same for the same seed."""
    block = hashlib.shake_256(str(seed).encode()).digest(MEBIBYTE)
    while size > 0:
        yield block[:size]
        size -= len(block)


def digest(parts: Iterator[bytes]) -> str:
    found = hashlib.sha256()
    for part in parts:
        found.update(part)
    return found.hexdigest()


def exchange(
    process: Process, method: str, path: str, body: Iterator[bytes] | None = None, headers: dict[str, str] | None = None
) -> http.client.HTTPResponse:
    """Send a request whose body is not held in memory; the answer is still to be read, to its end."""
    connection = http.client.HTTPConnection(HOST, process.port, timeout=120)
    connection.request(method, f"/fhir{path}", body, {"Connection": "close", **(headers or {})})
    return connection.getresponse()


def received(answer: http.client.HTTPResponse) -> Iterator[bytes]:
    while chunk := answer.read(MEBIBYTE):
        yield chunk


def stored(process: Process) -> str:
    """Send a raw content of SIZE and return the path of its Binary."""
    headers = {"Content-Type": TYPE, "Content-Length": str(SIZE)}
    answer = exchange(process, "POST", "/Binary", pieces(SIZE), headers)
    body = answer.read()
    assert answer.status == 201, body[:500]
    return f"/Binary/{json.loads(body)['id']}"


def test_a_raw_content_comes_in_and_goes_out_raw(running: Process) -> None:
    growth = Growth(running)
    path = stored(running)
    answer = exchange(running, "GET", path, headers={"Accept": TYPE})
    assert answer.status == 200
    assert digest(received(answer)) == digest(pieces(SIZE))
    assert growth.bytes < 3 * SIZE


def test_a_raw_content_goes_out_as_fhir_json(running: Process) -> None:
    path = stored(running)
    growth = Growth(running)
    answer = exchange(running, "GET", path, headers={"Accept": "application/fhir+json"})
    assert answer.status == 200
    size = sum(len(part) for part in received(answer))
    assert 4 * SIZE / 3 < size < 4 * SIZE / 3 + 500
    assert growth.bytes < 3 * SIZE


def test_a_submission_with_a_big_content_is_stored(running: Process, tmp_path: Path) -> None:
    content = b"".join(pieces(SIZE_IN_JSON, seed=2))
    body = tmp_path / "body.json"
    body.write_bytes(json.dumps(samples.submission("1.2.250.1.999.7.1", content=content, content_type=TYPE)).encode())
    assert body.stat().st_size < 52_428_800
    growth = Growth(running)
    headers = {"Content-Type": "application/fhir+json", "Content-Length": str(body.stat().st_size)}
    with body.open("rb") as source:
        answer = exchange(running, "POST", "", iter(lambda: source.read(MEBIBYTE), b""), headers)
    told = answer.read()
    assert answer.status == 200, told[:500]
    assert growth.bytes < 3 * SIZE_IN_JSON
    location = json.loads(told)["entry"][2]["response"]["location"].partition("/_history")[0]
    answer = exchange(running, "GET", f"/{location}", headers={"Accept": TYPE})
    assert digest(received(answer)) == hashlib.sha256(content).hexdigest()


def test_a_binary_resource_in_json_is_taken_apart_while_it_arrives(running: Process) -> None:
    head, tail = b'{"resourceType":"Binary","contentType":"application/pdf","data":"', b'"}'
    size = SIZE_IN_JSON // 3 * 3
    length = len(head) + size // 3 * 4 + len(tail)

    def body() -> Iterator[bytes]:
        yield head
        block = base64.b64encode(bytes(3 << 18))
        left = size // 3 * 4
        while left > 0:
            yield block[:left]
            left -= len(block)
        yield tail

    growth = Growth(running)
    headers = {"Content-Type": "application/fhir+json", "Content-Length": str(length)}
    answer = exchange(running, "POST", "/Binary", body(), headers)
    told = answer.read()
    assert answer.status == 201, told[:500]
    assert growth.bytes < 3 * size
    answer = exchange(running, "GET", f"/Binary/{json.loads(told)['id']}", headers={"Accept": TYPE})
    assert sum(len(part) for part in received(answer)) == size


def test_a_client_that_sends_60_mb_is_refused_and_the_server_lives(running: Process) -> None:
    growth = Growth(running)
    size = 60_000_000
    for path, type_ in (("/Binary", TYPE), ("", "application/fhir+json")):
        headers = {"Content-Type": type_, "Content-Length": str(size)}
        answer = exchange(running, "POST", path, pieces(size), headers)
        outcome = json.loads(answer.read())
        assert (answer.status, outcome["issue"][0]["code"]) == (413, "too-long")
    assert growth.bytes < 3 * MEBIBYTE * 10
    answer = exchange(running, "GET", "/metadata")
    assert (answer.status, json.loads(answer.read())["resourceType"]) == (200, "CapabilityStatement")
