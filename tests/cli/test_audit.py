"""`fhir-dmp audit`: the trail of a real store, and what somebody with the file in hands can do to it."""

from __future__ import annotations

import csv
import json
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from fhir_dmp.interactions import sealing
from tests import samples
from tests.cli.calling import CommandLine

Attack = Callable[[sqlite3.Connection], object]

_DISARM = "DROP TRIGGER audit_update; DROP TRIGGER audit_delete; DROP TRIGGER seal_update; DROP TRIGGER seal_delete;"


@pytest.fixture
def lived(cli: CommandLine, monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    """A record with a life: two sessions of the server, with several checkpoints."""
    monkeypatch.setattr(sealing, "MOST", 4)
    for session in range(2):
        with cli.world() as world:
            if session == 0:
                world.open()
                world.authorise()
                world.submit("1.2.250.1.999.71")
            else:
                world.patients[samples.ANOUK] = world.services.patient_id(samples.INS, samples.ANOUK) or ""
            for _ in range(4):
                assert world.patient().get("/DocumentReference?patient.identifier=" + samples.ANOUK).status == 200
    return cli


def tampered(cli: CommandLine, attack: str | Attack) -> None:
    """Do something to the file as its owner can, the triggers being no obstacle to an owner."""
    con = sqlite3.connect(cli.folder / "record.sqlite3")
    con.executescript(_DISARM)
    if isinstance(attack, str):
        con.executescript(attack)
    else:
        attack(con)
    con.commit()
    con.close()


def flip(con: sqlite3.Connection) -> None:
    (rec,) = con.execute("SELECT rec FROM audit WHERE seq = 3").fetchone()
    con.execute("UPDATE audit SET rec = ? WHERE seq = 3", (rec[:-3] + bytes([rec[-3] ^ 1]) + rec[-2:],))


def test_a_trail_nobody_touched_is_whole_and_goes_on_from_any_record(lived: CommandLine) -> None:
    done = lived("audit", "verify")
    assert done.status == 0, done.err
    assert "checkpoints checked, 0 not sealed yet" in done.out
    checked = int(done.out.split()[0])
    assert checked > 10
    later = lived("audit", "verify", "--from", 6)
    assert later.status == 0
    assert 0 < int(later.out.split()[0]) < checked
    upto = lived("audit", "verify", "--to", 6)
    assert upto.status == 0
    assert 0 < int(upto.out.split()[0]) < checked


@pytest.mark.statement("security L-11", "security L-12")
@pytest.mark.parametrize(
    ("attack", "line"),
    [
        (flip, "edited: seq 3, position 3: "),
        ("DELETE FROM audit WHERE seq = 5", "removed: seq 5, position 5: "),
        ("UPDATE audit SET seq = -9 WHERE seq = 2; UPDATE audit SET seq = 2 WHERE seq = 3;"
         "UPDATE audit SET seq = 3 WHERE seq = -9", "reordered: seq 2, position 2: "),
        ("INSERT INTO audit (seq, id, ts, pat, rec) SELECT -5, 'x', ts, pat, rec FROM audit WHERE seq = 1",
         "added: position -5: "),
        ("UPDATE audit SET pat = NULL WHERE seq = 4", "misplaced: seq 4, position 4: "),
        ("UPDATE audit SET ts = 0 WHERE seq = 4", "misplaced: seq 4, position 4: "),
        ("DELETE FROM seal WHERE number = 2", "gap: seq 8, checkpoint 3: "),
        ("DELETE FROM seal WHERE number = (SELECT max(number) FROM seal)", "truncated: "),
    ],
)  # fmt: skip
def test_whatever_is_done_to_the_file_is_found_and_named(lived: CommandLine, attack: str | Attack, line: str) -> None:
    tampered(lived, attack)
    done = lived("audit", "verify")
    assert done.status == 1
    assert any(each.startswith(line) for each in done.out.splitlines()), done.out
    assert "the trail is not whole" in done.err


def test_a_damaged_checkpoint_is_named(lived: CommandLine) -> None:
    tampered(lived, "UPDATE seal SET body = x'00' WHERE number = 2")
    done = lived("audit", "verify")
    assert done.status == 1
    assert "the checkpoint after 1" in done.err


def test_the_end_of_the_trail_cannot_be_cut_off_beside_the_checkpoints_kept_outside(lived: CommandLine) -> None:
    outside = lived.folder / "record.sqlite3-checkpoints.jsonl"
    copy = lived.write("elsewhere.jsonl", outside.read_bytes())
    tampered(lived, "DELETE FROM audit WHERE seq > 7; DELETE FROM seal WHERE last > 7")
    outside.unlink()
    assert lived("audit", "verify").status == 0  # nobody can tell from the file alone
    done = lived("audit", "verify", "--checkpoints", copy)
    assert done.status == 1
    assert "truncated: seq 8, checkpoint 3" in done.out
    assert "line 1 is not a checkpoint" in lived("audit", "verify", "--checkpoints", lived.write("x", "nonsense\n")).err


@pytest.mark.statement("security L-13")
def test_the_public_key_is_enough_to_verify_and_another_one_is_not(lived: CommandLine, tmp_path: Path) -> None:
    public = lived.write("audit-key.json", lived("audit", "key").out)
    assert '"d"' not in public.read_text()
    without = {"DMP_SECURITY_KEYS_DIR": str(tmp_path / "nothing")}
    assert lived("audit", "verify", "--pub", public, **without).status == 0
    assert "--pub" in lived("audit", "verify", **without).err
    assert not (tmp_path / "nothing").exists()
    other = lived.write("other.json", lived("audit", "key", DMP_SECURITY_KEYS_DIR=str(tmp_path / "other")).out)
    done = lived("audit", "verify", "--pub", other)
    assert done.status == 1
    assert "signature: seq 1, checkpoint 1" in done.out
    assert lived("audit", "verify", "--pub", lived.write("no.json", "{}")).status == 2


def test_a_rotated_key_signs_from_then_on_and_the_old_checkpoints_stay_good(lived: CommandLine) -> None:
    assert len(json.loads(lived("audit", "key", "--rotate").out)["keys"]) == 2
    with lived.world() as world:
        assert world.admin.get("/Patient").status == 200
    assert lived("audit", "verify").status == 0


@pytest.mark.statement("security L-14")
def test_a_proof_of_inclusion_convinces_somebody_who_has_the_public_key(lived: CommandLine, tmp_path: Path) -> None:
    public = lived.write("audit-key.json", lived("audit", "key").out)
    made = lived("audit", "prove", 7)
    proof = lived.write("proof.json", made.out)
    without = {"DMP_SECURITY_KEYS_DIR": str(tmp_path / "nothing")}
    assert lived("audit", "prove", "--check", proof, "--pub", public, **without).out == "the proof holds\n"
    forged = json.loads(made.out) | {"record": "AAAA"}
    assert lived("audit", "prove", "--check", lived.write("forged.json", forged), "--pub", public).status == 1
    assert lived("audit", "prove", 99999).status == 1
    assert lived("audit", "prove").status == 2


@pytest.mark.statement("security L-15")
@pytest.mark.parametrize("table", ["audit", "seal"])
@pytest.mark.parametrize("change", ["UPDATE {} SET {} = 0", "DELETE FROM {}", "REPLACE INTO {} SELECT * FROM {}"])
def test_the_connection_of_the_application_cannot_change_the_trail(lived: CommandLine, table: str, change: str) -> None:
    with lived.services() as services:
        writer = services.store._writer  # type: ignore[attr-defined]
        column = "ts" if table == "audit" else "last"
        sql = change.format(table, column if "SET" in change else table)
        with pytest.raises(Exception, match="CONSTRAINT"):
            writer.commit(lambda applier: applier.connection.execute(sql) and ())
    assert lived("audit", "verify").status == 0


def test_an_export_tells_everything_once_and_is_recorded(lived: CommandLine) -> None:
    out = lived.folder / "trail.ndjson"
    done = lived("audit", "export", "--out", out, "--patient", samples.ANOUK)
    assert done.status == 0, done.err
    assert out.stat().st_mode & 0o077 == 0
    events = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert [each["resourceType"] for each in events] == ["AuditEvent"] * len(events)
    assert [each["recorded"] for each in events] == sorted(each["recorded"] for each in events)
    assert len({each["id"] for each in events}) == len(events) > 8
    assert events[-1]["subtype"][0]["code"] == "disclose"  # this export
    patient = {e["what"]["reference"] for each in events for e in each["entity"] if "Patient/" in str(e.get("what"))}
    assert len({"/".join(each.split("/")[:2]) for each in patient}) == 1
    days = lived("audit", "export", "--out", out, "--from", "2001", "--to", "2002-02-03")
    assert "0 records" in days.out
    assert lived("audit", "export", "--out", out, "--from", "yesterday").status == 2
    assert lived("audit", "export", "--out", out, "--patient", samples.BASILE).status == 1


@pytest.mark.statement("security L-17")
def test_an_export_for_the_national_trace_model_has_two_agents(lived: CommandLine) -> None:
    out = lived.folder / "tde.ndjson"
    assert lived("audit", "export", "--out", out, "--form", "tde").status == 0
    for line in out.read_text(encoding="utf-8").splitlines():
        event = json.loads(line)
        assert event["meta"]["profile"][0].endswith("tde/StructureDefinition/tde-auditevent")
        assert 1 <= len(event["agent"]) <= 2
        assert all("who" in agent for agent in event["agent"])
        assert len(event["subtype"]) <= 1
        assert event["period"]["start"]


def test_an_export_for_a_spreadsheet_holds_no_formula(lived: CommandLine) -> None:
    with lived.world() as world:
        world.doctor(professional="=1+1").get("/Patient/x")
    out = lived.folder / "trail.csv"
    assert lived("audit", "export", "--out", out, "--form", "csv").status == 0
    rows = list(csv.DictReader(out.read_text(encoding="utf-8").splitlines()))
    assert "'=1+1" in {row["professional"] for row in rows}
    assert {row["outcome"] for row in rows} >= {"0"}
