"""The command line as people use it: output, exit status, one line of error. interfaces.md 2."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fhir_dmp import keyring
from fhir_dmp.identity.caller import Actor, Mode
from fhir_dmp.identity.tokens import Grant, Verifier
from fhir_dmp.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
ISSUER, BASE = "http://127.0.0.1:8000/auth", "http://127.0.0.1:8000/fhir"

Done = subprocess.CompletedProcess[str]


def run(folder: Path, *arguments: str, **environ: str) -> Done:
    """Run `fhir-dmp` in an empty folder with its own store."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("DMP_")}
    variables = {**kept, "PYTHONPATH": str(ROOT), "DMP_STORE_URL": "sqlite:///record.sqlite3", **environ}
    return subprocess.run(
        [sys.executable, "-m", "fhir_dmp.cli", *arguments],
        cwd=folder,
        env=variables,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def refused(done: Done, status: int, words: str) -> None:
    """Check that the command failed in one line that says what to do."""
    assert (done.returncode, done.stdout) == (status, "")
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert words in done.stderr


def opened(folder: Path, token: str) -> Grant:
    keys = keyring.signing_keys(keyring.folder_of(Settings.load({"DMP_SECURITY_KEYS_DIR": str(folder / "keys")})))
    return Verifier(keys, ISSUER, BASE).open(token.strip())


def test_help_imports_nothing_heavy(tmp_path: Path) -> None:
    code = "import sys, fhir_dmp.cli as c\ntry: c.main(['--help'])\nexcept SystemExit: print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = set(done.stdout.split())
    assert not loaded & {"flask", "granian", "lxml", "pymongo", "joserfc", "fhir_dmp.bootstrap", "prometheus_client"}
    for command in ("serve", "token", "check", "migrate", "reindex"):
        assert command in done.stdout


@pytest.mark.parametrize("command", ["serve", "token", "check", "migrate", "reindex"])
def test_every_command_has_help_with_an_example(tmp_path: Path, command: str) -> None:
    done = run(tmp_path, command, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert f"Example: fhir-dmp {command}" in done.stdout


def test_the_help_of_serve_names_every_setting(tmp_path: Path) -> None:
    from fhir_dmp.configuration import rows

    text = run(tmp_path, "serve", "--help").stdout
    for row in rows():
        assert row.variable in text


def test_an_operator_gets_a_token_that_this_server_accepts(tmp_path: Path) -> None:
    before = int(time.time())
    done = run(tmp_path, "token", "--as", "admin", "--ttl", "120")
    assert (done.returncode, done.stderr) == (0, "")
    grant = opened(tmp_path, done.stdout)
    assert grant.caller.actor is Actor.ADMIN
    assert grant.caller.may("d", "Patient")
    assert before <= grant.validity.not_before <= int(time.time())
    assert grant.validity.expires - grant.validity.not_before == 120


def test_a_professional_in_an_emergency_gets_ten_minutes(tmp_path: Path) -> None:
    done = run(tmp_path, "token", "--as", "ps:10001234567", "--structure", "750000001", "--profession", "60",
               "--mode", "bris_de_glace", "--reason", "coma")  # fmt: skip
    grant = opened(tmp_path, done.stdout)
    caller = grant.caller
    assert (caller.mode, caller.reason, caller.professional, caller.structure) == (
        Mode.BREAK_GLASS,
        "coma",
        "810001234567",
        "1750000001",
    )
    assert caller.roles == (("urn:oid:1.2.250.1.71.1.2.7", "60"),)
    assert grant.validity.expires - grant.validity.not_before == 600


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["token"], 2, "--as"),
        (["token", "--as", "king"], 2, "patient, representative"),
        (["token", "--as", "ps:Claire"], 2, "RPPS"),
        (["token", "--as", "patient"], 2, "patient:INS"),
        (["token", "--as", "patient:285047511200314"], 1, "open the dossier first"),
        (["token", "--as", "delegate:285047511200314"], 2, "--patient"),
        (["token", "--as", "ps:10001234567", "--patient", "285047511200314"], 1, "--patient"),
        (["token", "--as", "ps:10001234567", "--mode", "centre_15"], 1, "not-regulator"),
        (["token", "--as", "auditor", "--scope", "user/Patient.rs"], 1, "invalid_scope"),
        (["serve", "--access", "open", "--host", "0.0.0.0"], 2, "--access open is refused"),
        (["serve", "--port", "99999"], 2, "--port"),
        (["serve", "--store", "memory:", "--workers", "2"], 2, "memory"),
        (["serve", "--store", "paper:"], 2, "store.url"),
        (["frobnicate"], 2, "frobnicate"),
        (["reindex", "--type", "Dossier"], 1, "Dossier"),
    ],
)
def test_failures_say_in_one_line_what_to_do(tmp_path: Path, arguments: list[str], status: int, words: str) -> None:
    refused(run(tmp_path, *arguments), status, words)


def test_a_wrong_setting_stops_every_command(tmp_path: Path) -> None:
    (tmp_path / "dmp.toml").write_text("[server]\nprot = 1\n")
    refused(run(tmp_path, "token", "--as", "admin"), 2, "server.prot")
    refused(run(tmp_path, "serve"), 2, "server.prot")


def test_check_says_one_line_for_each_part(tmp_path: Path) -> None:
    done = run(tmp_path, "check")
    assert (done.returncode, done.stderr) == (0, "")
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["configuration", "store", "keys", "clock", "mail"]
    assert all(" ok" in line for line in done.stdout.splitlines())


@pytest.mark.parametrize(
    ("environ", "part"),
    [
        ({"DMP_STORE_URL": "paper:"}, "store"),
        ({"DMP_MAIL_SMTP_URL": "smtp://127.0.0.1:9"}, "mail"),
        ({"DMP_MAIL_SMTP_URL": "nonsense"}, "mail"),
        ({"DMP_SERVER_PORT": "x"}, "configuration"),
    ],
)
def test_check_fails_when_a_part_fails(tmp_path: Path, environ: dict[str, str], part: str) -> None:
    done = run(tmp_path, "check", **environ)
    failed = [line.split()[0] for line in done.stdout.splitlines() if " failed: " in line]
    assert (done.returncode, failed) == (1, [part])


def test_maintenance_of_an_empty_store_does_nothing_twice(tmp_path: Path) -> None:
    for _ in range(2):
        migrated = run(tmp_path, "migrate")
        assert (migrated.returncode, migrated.stdout, migrated.stderr) == (
            0,
            "sqlite: up to date\ncontents that nothing refers to: 0 removed\n",
            "",
        )
        reindexed = run(tmp_path, "reindex")
        assert (reindexed.returncode, reindexed.stderr) == (0, "")
