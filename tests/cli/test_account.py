"""`fhir-dmp account`: adding, listing, disabling accounts, and the code of the moment."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pyotp
import pytest

from tests import samples
from tests.cli.calling import CommandLine

PASSWORD = "une phrase de passe"


@pytest.fixture
def secret(tmp_path: Path) -> str:
    file = tmp_path / "password"
    file.write_text(PASSWORD + "\n")
    return str(file)


@pytest.fixture
def with_record(cli: CommandLine) -> CommandLine:
    with cli.world() as world:
        world.open(samples.ANOUK)
    return cli


def test_an_account_is_added_listed_and_disabled(with_record: CommandLine, secret: str) -> None:
    line = with_record
    added = line("account", "add", "--login", "anouk", "--patient", samples.ANOUK, "--password-file", secret)
    assert added.status == 0, added.err
    told = json.loads(added.out)
    assert (told["login"], told["second_factor"]) == ("anouk", "totp")
    shown = pyotp.parse_uri(told["totp"])
    assert isinstance(shown, pyotp.TOTP)
    assert line("account", "code", "anouk").out.strip() in {shown.now(), shown.at(time.time() - 30)}
    assert PASSWORD not in added.out
    assert "anouk" in line("account", "list").out
    assert line("account", "disable", "anouk").out.strip() == "anouk disabled"
    assert line("account", "list").out.split()[-1] == "disabled"
    assert line("account", "disable", "anouk", "--again").out.strip() == "anouk active"


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("--patient", "168017218137243"), 1, "no patient"),
        ((), 2, "one account is for"),
        (("--ps", "x"), 2, "RPPS"),
        (("--auditor", "--email", "a@example.org"), 1, "time-based"),
        (("--represents", samples.ANOUK), 1, "family"),
        (("--patient", samples.ANOUK, "--delegation", "nothing"), 1, "delegation"),
    ],
)
def test_what_is_missing_is_said_in_one_line(
    with_record: CommandLine, secret: str, arguments: tuple[str, ...], status: int, said: str
) -> None:
    done = with_record("account", "add", "--login", "x", "--password-file", secret, *arguments)
    assert (done.status, len(done.err.splitlines())) == (status, 1)
    assert said.lower() in done.err.lower()
    assert with_record("account", "list").out == ""


def test_a_login_belongs_to_one_account(with_record: CommandLine, secret: str) -> None:
    first = ("account", "add", "--patient", samples.ANOUK, "--password-file", secret, "--login")
    assert with_record(*first, "anouk").status == 0
    again = with_record(*first, "ANOUK")
    assert (again.status, "already" in again.err) == (1, True)


def test_a_short_password_is_refused(with_record: CommandLine, tmp_path: Path) -> None:
    file = tmp_path / "short"
    file.write_text("short")
    done = with_record("account", "add", "--login", "x", "--patient", samples.ANOUK, "--password-file", str(file))
    assert (done.status, "12" in done.err) == (1, True)


def test_codes_by_mail_are_not_shown(with_record: CommandLine, secret: str) -> None:
    asked = ("--patient", samples.ANOUK, "--email", "a@example.org", "--password-file", secret)
    assert with_record("account", "add", "--login", "anouk", *asked).status == 0
    assert with_record("account", "code", "anouk").status == 1
    assert with_record("account", "code", "nobody").status == 1
    assert with_record("account", "disable", "nobody").status == 1
