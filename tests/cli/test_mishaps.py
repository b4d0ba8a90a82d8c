"""What goes wrong at night: each mishap is one line that says what to do, and loses nothing."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from fhir_dmp.cli import check
from fhir_dmp.cli.files import whole
from fhir_dmp.ports import Commit, Write
from tests.cli.calling import CommandLine, Done

ROOT = Path(__file__).parents[2]
FULL = Path("/dev/full")
needs_full = pytest.mark.skipif(not FULL.is_char_device(), reason="no /dev/full on this machine")


def one_line(done: Done, status: int, *words: str) -> None:
    """Check that a command failed in one line that holds these words."""
    assert (done.status, len(done.err.splitlines())) == (status, 1), done.err
    for each in words:
        assert each in done.err


def test_without_a_command_the_help_is_shown_as_it_is_meant_to_be_read(cli: CommandLine) -> None:
    done = cli()
    assert (done.status, done.out) == (2, "")
    assert "\n  serve " in done.err


def test_check_makes_nothing_where_nothing_is(cli: CommandLine) -> None:
    done = cli("check", DMP_STORE_URL=f"sqlite:///{cli.folder}/other/name.sqlite3")
    assert done.status == 0
    assert "name.sqlite3 is not there yet: the first start makes it" in done.out
    assert list(cli.folder.iterdir()) == []


def test_check_refuses_a_place_where_no_file_can_be(cli: CommandLine) -> None:
    (cli.folder / "note").write_text("a file")
    done = cli("check", DMP_STORE_URL=f"sqlite:///{cli.folder}/note/record.sqlite3")
    assert (done.status, "correct store.url" in done.out) == (1, True)


def test_check_sees_a_clock_that_went_back(cli: CommandLine) -> None:
    with cli.services() as services:
        ahead = services.clock.now_ms() + 3_600_000
        body = b'{"resourceType":"Basic","id":"b1","meta":{"versionId":"1"}}'
        services.store.commit(Commit(writes=(Write("Basic", "b1", 1, ahead, body),)))
    done = cli("check")
    assert (done.status, "set the clock" in done.out) == (1, True)


def test_check_says_when_the_disk_is_nearly_full(cli: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    cli("migrate")
    assert " MB free" in cli("check").out
    monkeypatch.setattr(check, "_LEAST_FREE", 2**62)
    done = cli("check")
    assert (done.status, "make room" in done.out) == (1, True)


def test_a_file_that_is_no_database_and_a_damaged_one_are_told_apart(cli: CommandLine) -> None:
    path = cli.folder / "record.sqlite3"
    path.write_text("a letter" * 1000)
    one_line(cli("token", "--as", "admin"), 2, "store.url", "no database")
    path.unlink()
    cli("migrate")
    with sqlite3.connect(path) as con:
        con.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xde\xad" * 4096 * 5)
    one_line(cli("export", "--patient", "1", "--out", "x.zip"), 1, "SQLITE_CORRUPT", "Restore a backup.")


def test_a_restored_file_that_everybody_may_read_is_closed_to_others(cli: CommandLine) -> None:
    cli("migrate")
    path = cli.folder / "record.sqlite3"
    path.chmod(0o644)
    cli("token", "--as", "admin")
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_a_database_that_is_away_is_named_with_what_to_do(cli: CommandLine) -> None:
    url = "mongodb://127.0.0.1:9/dmp?serverSelectionTimeoutMS=100"
    one_line(cli("migrate", DMP_STORE_URL=url), 1, "cannot be reached", "Start the database, or correct store.url")


def test_an_unknown_profession_is_refused_and_one_with_its_system_is_not(cli: CommandLine) -> None:
    asked = ("token", "--as", "ps:10001234567", "--structure", "750000001", "--profession")
    one_line(cli(*asked, "999"), 2, "--profession 999")
    assert cli(*asked, "urn:oid:1.2.250.1.71.4.2.5|SM26").status == 0


@pytest.mark.parametrize("asked", [("client", "disable"), ("client", "rotate"), ("account", "disable")])
def test_who_is_not_registered_is_looked_up_in_the_list(cli: CommandLine, asked: tuple[str, str]) -> None:
    one_line(cli(*asked, "nobody"), 1, "'nobody'", f"fhir-dmp {asked[0]} list")


def test_an_import_tells_its_first_refusal_at_once(cli: CommandLine) -> None:
    path = cli.write("note.json", "no json")
    one_line(cli.imported(path), 1, "import-report.ndjson", "note.json", "not JSON")


def test_what_fails_in_the_middle_leaves_the_former_file(tmp_path: Path) -> None:
    out = tmp_path / "record.zip"
    out.write_bytes(b"former")

    def broken_off() -> None:
        with whole(out) as file:
            file.write(b"half")
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        broken_off()
    assert [(each.name, each.read_bytes()) for each in tmp_path.iterdir()] == [("record.zip", b"former")]
    with whole(out) as file:
        file.write(b"whole")
    assert (out.read_bytes(), stat.S_IMODE(out.stat().st_mode)) == (b"whole", 0o600)


@needs_full
def test_a_device_is_written_to_and_never_replaced(cli: CommandLine) -> None:
    source = ROOT / "tests/files/cda/consultation-level3.xml"
    one_line(cli("cda", "to-fhir", source, "--out", FULL), 1, "No space left on device")
    assert FULL.is_char_device()


@needs_full
def test_a_full_output_is_one_line_and_status_1(cli: CommandLine) -> None:
    with FULL.open("wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "fhir_dmp.cli", "audit", "key"],
            cwd=cli.folder,
            env={**os.environ, **cli.environ, "PYTHONPATH": str(ROOT)},
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert (done.returncode, done.stderr) == (1, "fhir-dmp: No space left on device\n")
