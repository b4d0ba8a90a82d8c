"""The README as a reader follows it: every `sh` block runs, in order, in one shell, against a real server.

A line `# -> text` says that the output since the block began, or since the line of this kind before it, holds the text.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.cli.test_commands import ROOT
from tests.cli.test_serve import serving

README = ROOT / "README.md"
SERVER = "http://127.0.0.1:8000"
PROGRAM = ".venv/bin/fhir-dmp"
MARK = "@@ README "
_BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Step:
    """Commands up to a line that says what they print; nothing when they end with their block."""

    commands: str
    printed: str | None


def blocks() -> list[str]:
    """Return the blocks that a reader pastes."""
    return _BLOCK.findall(README.read_text(encoding="utf-8"))


def steps() -> list[Step]:
    """Cut the blocks where the README says what is printed."""
    found = []
    for block in blocks():
        pending: list[str] = []
        for line in block.splitlines():
            if line.startswith("# -> "):
                found.append(Step("\n".join(pending), line.removeprefix("# -> ")))
                pending = []
            else:
                pending.append(line)
        if pending:
            found.append(Step("\n".join(pending), None))
    return found


def script(port: int) -> str:
    """Return one script of all steps, with a mark after each, for this server."""
    marked = [f"{step.commands}\nprintf '\\n{MARK}%s\\n' {number}" for number, step in enumerate(steps())]
    program = f'"{sys.executable}" -m fhir_dmp.cli'
    return "\n".join(marked).replace(SERVER, f"http://127.0.0.1:{port}").replace(PROGRAM, program)


@pytest.mark.slow
@pytest.mark.skipif(not (shutil.which("curl") and shutil.which("openssl")), reason="curl and openssl are not installed")
def test_a_reader_who_pastes_every_block_sees_what_the_readme_says(tmp_path: Path) -> None:
    (tmp_path / "tests").symlink_to(ROOT / "tests")
    with serving(tmp_path, "--demo", "--workers", "1") as (_, port, _lines):
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script(port)],
            cwd=tmp_path,
            env=_environment(),
            capture_output=True,
            text=True,
            check=False,
            timeout=100,
        )
    printed = re.split(rf"\n{MARK}\d+\n", done.stdout)
    assert done.returncode == 0, f"step {len(printed) - 1}: {printed[-1]}{done.stderr}"
    for step, output in zip(steps(), printed, strict=False):
        assert step.printed is None or step.printed in output, (step.commands[-200:], output)
    assert len(printed) == len(steps()) + 1


def _environment() -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith("DMP_")}
    return {**kept, "PYTHONPATH": str(ROOT)}


def test_each_block_says_what_it_prints() -> None:
    assert len(blocks()) == 7
    for block in blocks():
        assert "\n# -> " in block


def test_links_of_the_readme_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", README.read_text(encoding="utf-8")):
        assert (ROOT / target).exists(), target
