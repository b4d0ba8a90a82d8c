"""The README, then the pages that go on from it, as a reader follows them: every `sh` block runs, in one shell.

A line `# -> text` says that the output since the block began, or since the line of this kind before it, holds the text.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.cli.test_commands import ROOT
from tests.cli.test_serve import serving

PAGES = ("README.md", "docs/integrator.md", "docs/application-author.md", "docs/practice-software.md",
         "docs/fr/logiciel-de-cabinet.md", "docs/feeder.md", "docs/operator.md")  # fmt: skip
LINKED = (*PAGES, "docs/README.md", "docs/developer.md", "docs/glossary.md", "docs/fr/presentation.md",
          "docs/architecture.md")  # fmt: skip
SERVER = "http://127.0.0.1:8000"
PROGRAM = ".venv/bin/fhir-dmp"
MARK = "@@ step "
_BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)

curl_is_here = pytest.mark.skipif(
    not (shutil.which("curl") and shutil.which("openssl")), reason="curl and openssl are not installed"
)


@dataclass(frozen=True)
class Step:
    """Commands up to a line that says what they print; nothing when they end with their block."""

    page: str
    commands: str
    printed: str | None


def blocks(page: str) -> list[str]:
    """Return the blocks of a page that a reader pastes."""
    return _BLOCK.findall((ROOT / page).read_text(encoding="utf-8"))


def steps() -> Iterator[Step]:
    """Cut the blocks of all pages where a page says what is printed."""
    for page in PAGES:
        for block in blocks(page):
            pending: list[str] = []
            for line in block.splitlines():
                if line.startswith("# -> "):
                    yield Step(page, "\n".join(pending), line.removeprefix("# -> "))
                    pending = []
                else:
                    pending.append(line)
            if pending:
                yield Step(page, "\n".join(pending), None)


def script(port: int) -> str:
    """Return one script of all steps, with a mark after each, for this server."""
    marked = [f"{step.commands}\nprintf '\\n{MARK}%s\\n' {number}" for number, step in enumerate(steps())]
    program = f'"{sys.executable}" -m fhir_dmp.cli'
    return "\n".join(marked).replace(SERVER, f"http://127.0.0.1:{port}").replace(PROGRAM, program)


@pytest.mark.slow
@pytest.mark.timeout(240)
@curl_is_here
def test_a_reader_who_pastes_every_block_sees_what_the_pages_say(tmp_path: Path) -> None:
    (tmp_path / "tests").symlink_to(ROOT / "tests")
    kept = {key: value for key, value in os.environ.items() if not key.startswith("DMP_")}
    with serving(tmp_path, "--demo", "--workers", "1") as (_, port, _lines):
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script(port)],
            cwd=tmp_path,
            env={**kept, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
            timeout=230,
        )
    printed = re.split(rf"\n{MARK}\d+\n", done.stdout)
    for step, output in zip(steps(), printed, strict=False):
        assert step.printed is None or step.printed in output, (step.page, step.commands[-300:], output, done.stderr)
    assert (done.returncode, len(printed)) == (0, len(list(steps())) + 1), done.stderr


def test_each_block_says_what_it_prints() -> None:
    assert len(blocks("README.md")) == 9
    assert [block for page in PAGES for block in blocks(page) if "\n# -> " not in block] == []


@pytest.mark.parametrize("page", LINKED)
def test_links_lead_somewhere(page: str) -> None:
    targets = re.findall(r"\]\(([^)#:]+)\)", (ROOT / page).read_text(encoding="utf-8"))
    assert [target for target in targets if not (ROOT / page).parent.joinpath(target).exists()] == []


@pytest.mark.parametrize("name", ["serve", "test"])
def test_the_two_commands_are_executable_shell(name: str) -> None:
    path = ROOT / "scripts" / name
    assert f"scripts/{name} " in (ROOT / "README.md").read_text(encoding="utf-8")
    assert os.access(path, os.X_OK)
    assert subprocess.run(["sh", "-n", str(path)], check=False).returncode == 0
