"""Every command of the README, executed in order in a new folder, against a real server."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from socket import create_connection, socket

import pytest

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PORT = "8000"
_BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_MARK = "=== end of block"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed"),
    pytest.mark.skipif(sys.platform == "win32", reason="a POSIX shell"),
]


@dataclass(frozen=True)
class Block:
    """A shell block of the README and the answers it promises, in order."""

    commands: str
    answers: tuple[str, ...]


def blocks() -> list[Block]:
    """Return the shell blocks; the first starts the server."""
    found = []
    for text in _BLOCK.findall(README):
        lines = text.splitlines(keepends=True)
        answers = tuple(line.removeprefix("# -> ").rstrip("\n") for line in lines if line.startswith("# -> "))
        found.append(Block("".join(line for line in lines if not line.startswith("# -> ")), answers))
    return found


@contextmanager
def checkout(folder: Path) -> Iterator[dict[str, str]]:
    """Make what a newcomer has after `scripts/setup`: the scripts, and `fhir-dmp` in .venv/bin."""
    shutil.copytree(ROOT / "scripts", folder / "scripts")
    (folder / "scripts/setup").write_text("#!/bin/sh\n")
    program = folder / ".venv/bin/fhir-dmp"
    program.parent.mkdir(parents=True)
    program.write_text(f'#!{sys.executable}\nimport sys\nsys.path.insert(0, {str(ROOT)!r})\n'
                       'from fhir_dmp.cli import main\nmain()\n')  # fmt: skip
    program.chmod(0o755)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("DMP_")}
    yield {**kept, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}


@contextmanager
def serving(command: str, port: int, folder: Path, environ: dict[str, str]) -> Iterator[Path]:
    """Run the command that starts the server, until it answers; yield what it printed."""
    log = folder / "server.log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            ["sh", "-c", f"exec {command} --port {port}"], cwd=folder, env=environ, stdout=file, stderr=file
        )
    try:
        deadline = time.monotonic() + 60
        while True:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            try:
                create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                time.sleep(0.1)
        yield log
    finally:
        process.terminate()
        process.wait(30)


def free_port() -> int:
    with socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.mark.timeout(180)
def test_every_command_of_the_readme_answers_what_it_says(tmp_path: Path) -> None:
    start, *rest = blocks()
    assert start.commands.strip() == "scripts/serve"
    assert len(rest) >= 7
    port = free_port()
    script = "set -e\n" + "".join(f"{block.commands}\necho '{_MARK}'\n" for block in rest)
    with checkout(tmp_path) as environ, serving(start.commands.strip(), port, tmp_path, environ) as log:
        done = subprocess.run(
            ["sh", "-c", script.replace(f":{PORT}/", f":{port}/")],
            cwd=tmp_path,
            env=environ,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == 0, done.stdout + done.stderr + log.read_text()
    outputs = done.stdout.split(_MARK + "\n")
    for block, output in zip(rest, outputs, strict=False):
        at = 0
        for answer in block.answers:
            assert answer in output[at:], (block.commands[:80], answer, output)
            at = output.index(answer, at) + len(answer)
    assert all(block.answers for block in rest)


@pytest.mark.timeout(120)
def test_the_line_that_the_server_prints_works_from_any_folder(tmp_path: Path) -> None:
    port = free_port()
    with checkout(tmp_path) as environ, serving("scripts/serve", port, tmp_path, environ) as log:
        (line,) = [line for line in log.read_text().splitlines() if line.startswith("Try ")]
        done = subprocess.run(
            ["sh", "-c", line.removeprefix("Try").strip()],
            cwd="/",
            env=environ,
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    assert '"family": "BELLANGER"' in done.stdout


def test_every_link_of_the_readme_leads_somewhere() -> None:
    targets = [target for target in re.findall(r"\]\(([^)]+)\)", README) if not target.startswith("http")]
    assert [target for target in targets if not (ROOT / target).exists()] == []
    assert len(targets) > 10


@pytest.mark.parametrize("script", ["serve", "test"])
def test_the_scripts_of_the_readme_are_executable_shell(script: str) -> None:
    path = ROOT / "scripts" / script
    assert os.access(path, os.X_OK)
    assert subprocess.run(["sh", "-n", str(path)], check=False).returncode == 0
