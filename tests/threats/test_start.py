"""What stops the start: a server that would run without its protections does not run."""

from __future__ import annotations

import pytest

from tests.cli.calling import CommandLine
from tests.cli.conftest import cli

__all__ = ["cli"]


@pytest.mark.statement("security H-21")
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("AUTHLIB_INSECURE_TRANSPORT", "1"),
        ("FLASK_DEBUG", "1"),
        ("PYTHONHTTPSVERIFY", "0"),
        ("WERKZEUG_DEBUG_PIN", "off"),
    ],
)
def test_a_variable_that_switches_a_protection_off_stops_the_start(cli: CommandLine, name: str, value: str) -> None:
    done = cli("check", **{name: value})
    assert done.status in (1, 2)
    assert name in done.err + done.out


@pytest.mark.statement("security H-21")
def test_secrets_are_made_at_random_for_each_installation(cli: CommandLine) -> None:
    assert cli("token", "--as", "admin").status == 0
    first = {path.name: path.read_bytes() for path in (cli.folder / "keys").iterdir() if path.is_file()}
    assert first
    other = str(cli.folder / "elsewhere")
    assert cli("token", "--as", "admin", DMP_SECURITY_KEYS_DIR=other).status == 0
    for path in (cli.folder / "elsewhere").iterdir():
        assert first.get(path.name) != path.read_bytes()
        assert path.stat().st_mode & 0o077 == 0


@pytest.mark.statement("security H-21")
def test_a_key_that_others_may_read_stops_the_start(cli: CommandLine) -> None:
    assert cli("token", "--as", "admin").status == 0
    for path in (cli.folder / "keys").iterdir():
        path.chmod(0o644)
    done = cli("token", "--as", "admin")
    assert done.status == 2
    assert "chmod 600" in done.err
