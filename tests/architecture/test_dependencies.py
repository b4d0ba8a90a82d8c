"""What the product is made of: the verdict of scripts/audit-dependencies, and the scan itself where it can be made."""

from __future__ import annotations

import datetime as dt
import runpy
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "scripts/audit-dependencies"
TODAY = dt.date(2026, 6, 12)


@pytest.fixture(scope="module")
def script() -> dict[str, Any]:
    return runpy.run_path(str(SCRIPT))


def told(**vulnerability: Any) -> dict[str, Any]:
    vulns = [{"id": "PYSEC-1", "aliases": ["CVE-2026-1"], "fix_versions": ["2.1"], **vulnerability}]
    return {
        "dependencies": [
            {"name": "sound", "version": "1", "vulns": []},
            {"name": "ill", "version": "2", "vulns": vulns},
        ]
    }


def test_an_advisory_is_told_with_the_release_that_ends_it(script: dict[str, Any]) -> None:
    assert script["judged"](told(), ()) == (["ill 2: PYSEC-1, fixed in 2.1"], [])
    assert script["judged"](told(fix_versions=[]), ())[0] == ["ill 2: PYSEC-1, fixed in no release yet"]


@pytest.mark.parametrize("id_", ["PYSEC-1", "CVE-2026-1"])
def test_an_advisory_that_does_not_apply_is_accepted_with_a_reason_until_its_day(
    script: dict[str, Any], id_: str
) -> None:
    text = f'[[accepted]]\nid = "{id_}"\nreason = "not used"\nuntil = 2026-06-13\n'
    assert script["judged"](told(), script["accepted"](text, TODAY))[0] == []
    assert script["judged"](told(), script["accepted"](text, TODAY + dt.timedelta(1)))[0] != []
    assert script["accepted"](text.replace("not used", ""), TODAY) == set()


def test_a_dependency_that_nobody_could_be_asked_about_is_not_called_sound(script: dict[str, Any]) -> None:
    assert script["judged"]({"dependencies": [{"name": "x", "skip_reason": "not found"}]}, ()) == ([], ["x"])
    assert script["unproved"](["x"]) == 3


def test_every_dependency_is_locked_with_its_hashes() -> None:
    for lock in ("requirements.lock", "requirements-test.lock"):
        blocks = (ROOT / lock).read_text("utf-8").replace("\\\n", "").splitlines()
        assert blocks
        assert all("==" in line and "--hash=sha256:" in line for line in blocks if line.strip() and line[0] != "#")


@pytest.mark.statement("security H-30")
@pytest.mark.slow
def test_nothing_is_known_against_any_dependency() -> None:
    if shutil.which("pip-audit") is None and not (ROOT / "build/audit/bin/pip-audit").exists():
        pytest.skip("no pip-audit: scripts/audit-dependencies installs it")
    done = subprocess.run([sys.executable, str(SCRIPT)], capture_output=True, text=True, check=False)
    if done.returncode == 3:
        pytest.skip("the advisories cannot be reached from here")
    assert done.returncode == 0, done.stdout
