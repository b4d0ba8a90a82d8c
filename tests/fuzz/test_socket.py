"""Clients that do not even speak HTTP properly, or go away in the middle: the workers live on."""

from __future__ import annotations

import json
import socket
import urllib.request
from pathlib import Path
from random import Random

import pytest

from tests import samples
from tests.benchmarks.processes import HOST, Process, server

HEAD = b"POST /fhir HTTP/1.1\r\nHost: x\r\nContent-Type: application/fhir+json\r\n"


def _bytes(dice: Random) -> bytes:
    """Return what a broken client might send."""
    body = json.dumps(samples.submission(f"1.2.250.1.999.{dice.getrandbits(60)}")).encode()
    whole = HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body
    return dice.choice(
        (
            dice.randbytes(300),
            b"GET / HTTP/9.9\r\n\r\n",
            b"GET /fhir/metadata HTTP/1.1\r\nHost: x\r\nX-Long: " + b"a" * 200_000 + b"\r\n\r\n",
            b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
            whole[: dice.randrange(len(whole))],
            HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
            HEAD + b"Transfer-Encoding: chunked\r\n\r\nffffffff\r\n" + body,
            HEAD + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n" % len(body) + body,
            HEAD + b"Content-Length: 5\r\nContent-Length: 9\r\n\r\n{}",
            HEAD + b"Content-Length: 999999\r\nExpect: 100-continue\r\n\r\n",
        )
    )


def _send(process: Process, data: bytes, dice: Random) -> None:
    with socket.create_connection((HOST, process.port), timeout=5) as connection:
        connection.settimeout(0.05)
        try:
            connection.sendall(data)
            if dice.random() < 0.5:
                connection.recv(4096)
        except OSError:
            return


@pytest.mark.slow
def test_broken_clients_kill_no_worker(tmp_path: Path) -> None:
    dice = Random(20261122)
    with server(tmp_path, "--access", "open") as process:
        before = process.workers
        for _ in range(150):
            _send(process, _bytes(dice), dice)
        assert process.workers == before
        for _ in range(20):  # both workers answer
            with urllib.request.urlopen(f"{process.url}/fhir/metadata", timeout=10) as answer:
                assert json.load(answer)["resourceType"] == "CapabilityStatement"
        assert b"Traceback" not in process.log.read_bytes()
