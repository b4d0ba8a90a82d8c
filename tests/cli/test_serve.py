"""`fhir-dmp serve` as a process: it starts, says where, survives a dead worker, stops cleanly."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TextIO

import pytest

from tests.cli.test_commands import ROOT, refused, run

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")]


def _start(folder: Path, log: TextIO, *arguments: str) -> subprocess.Popen[str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith("DMP_")}
    return subprocess.Popen(
        [sys.executable, "-u", "-m", "fhir_dmp.cli", "serve", "--port", "0", *arguments],
        cwd=folder,
        env={**kept, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=log,
        text=True,
    )


@contextmanager
def serving(folder: Path, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], int, list[str]]]:
    """Run a server on a free port; yields the process, the port and what it printed."""
    with (folder / "stderr").open("w") as log:
        process = _start(folder, log, *arguments)
    try:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(3)]
        port = int(lines[0].rpartition(":")[2].partition("/")[0])
        wait_until_ready(port)
        yield process, port, lines
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)
        assert process.stdout is not None
        process.stdout.close()


def get(port: int, path: str, **headers: str) -> tuple[int, bytes]:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
        connection.request("GET", path, headers=headers)
        response = connection.getresponse()
        return response.status, response.read()


def wait_until_ready(port: int) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            if get(port, "/health/ready")[0] == 200:
                return
        except OSError:
            pass
        assert time.monotonic() < deadline, "the server did not start"
        time.sleep(0.05)


def children(pid: int) -> list[int]:
    listed = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=False)
    return [int(word) for word in listed.stdout.split()]


def test_it_serves_with_tokens_and_stops_cleanly(tmp_path: Path) -> None:
    with serving(tmp_path, "--workers", "2") as (process, port, lines):
        assert lines[0] == f"FHIR      http://127.0.0.1:{port}/fhir\n"
        assert get(port, "/fhir/metadata")[0] == 200
        assert get(port, "/fhir/Patient/x")[0] == 401
        # The token is printed by a process that knows nothing of the port.
        token = run(tmp_path, "token", "--as", "admin", DMP_STORE_URL="sqlite:///var/dmp.sqlite3").stdout.strip()
        assert get(port, "/fhir/Patient/x", Authorization=f"Bearer {token}")[0] == 404
        served = get(port, "/metrics")[1].decode()
        assert 'dmp_http_requests_total{interaction="capabilities",status="200"} 1.0' in served
        assert "dmp_store_up 1" in served
    assert process.returncode == 0
    log = [json.loads(line) for line in (tmp_path / "stderr").read_text().splitlines() if line.startswith("{")]
    assert [(line["path"], line["status"]) for line in log] == [
        ("metadata", 200),
        ("Patient/[id]", 401),
        ("Patient/[id]", 404),
    ]


def test_a_dead_worker_is_replaced(tmp_path: Path) -> None:
    with serving(tmp_path, "--workers", "1", "--access", "open") as (process, port, _):
        (worker,) = [pid for pid in children(process.pid) if _is_python(pid)]
        os.kill(worker, signal.SIGKILL)
        time.sleep(0.2)
        wait_until_ready(port)
        assert get(port, "/fhir/Patient/x")[0] == 404


def test_a_taken_port_is_said_in_words(tmp_path: Path) -> None:
    with serving(tmp_path) as (_, port, _lines):
        refused(run(tmp_path, "serve", "--port", str(port)), 1, "choose another --host or --port")


def test_the_curl_line_that_it_prints_works_from_any_folder(tmp_path: Path) -> None:
    folder = tmp_path / "with space"
    folder.mkdir()
    with serving(folder, "--demo", "--workers", "1", "--store", "sqlite:///own.sqlite3") as (process, port, _):
        assert process.stdout is not None
        while not (line := process.stdout.readline()).startswith("Try "):
            assert line, "no line to try"
        command = line[line.index("$(") + 2 : line.rindex(")")]
        variables = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
        token = subprocess.run(
            ["/bin/sh", "-c", command], cwd="/", env=variables, capture_output=True, text=True, check=True
        )
        assert f"'http://127.0.0.1:{port}/fhir/Patient?_pretty=true'" in line
        status, body = get(port, "/fhir/Patient?_pretty=true", Authorization=f"Bearer {token.stdout.strip()}")
        assert status == 200
        assert len(json.loads(body)["entry"]) >= 5


def _is_python(pid: int) -> bool:
    line = Path(f"/proc/{pid}/cmdline").read_text()
    return "python" in line and "resource_tracker" not in line
