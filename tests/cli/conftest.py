"""A command line of its own for each test."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.calling import CommandLine


@pytest.fixture
def cli(tmp_path: Path) -> CommandLine:
    """`fhir-dmp` in an empty folder."""
    return CommandLine(
        tmp_path, {"DMP_STORE_URL": f"sqlite:///{tmp_path}/record.sqlite3", "DMP_SERVER_ACCESS_LOG": "false"}
    )
