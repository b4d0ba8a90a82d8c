"""The fragments of changelog.d can be read, and become a section of CHANGELOG.md."""

from __future__ import annotations

import runpy
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "scripts/changelog"


def test_every_fragment_can_be_gathered() -> None:
    done = subprocess.run([sys.executable, SCRIPT, "--check"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_fragments_are_added_to_the_section_of_their_version_and_to_no_other() -> None:
    page = (
        "# Changelog\n\nWords.\n\n## [0.2.0] - unreleased\n\n### Added\n\n- One.\n\n## [0.1.0] - 2026-01-01\n\n- Old.\n"
    )
    first = "### Changed\n\n* Two,\n  in two lines.\n\n### Added\n\n- Three ([page](../docs/page.md)).\n"
    expected = """\
# Changelog

Words.

## [0.2.0] - 2026-12-01

### Added

- One.
- Three ([page](docs/page.md)).
- Four.

### Changed

- Two, in two lines.

## [0.1.0] - 2026-01-01

- Old.
"""
    gathered = runpy.run_path(str(SCRIPT))["gathered"]
    assert gathered(page, "0.2.0", "2026-12-01", [first, "Four.\n"]) == expected
    assert gathered(expected, "0.2.0", "2026-12-01", []) == expected


def test_a_heading_that_nobody_knows_is_refused() -> None:
    with pytest.raises(ValueError, match="'Misc' is none of Added"):
        runpy.run_path(str(SCRIPT))["items"]("### Misc\n- x\n")
