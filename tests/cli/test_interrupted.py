"""Commands on a whole population are killed in the middle, and simply started again."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from fhir_dmp.ports import HistoryQuery
from tests import samples
from tests.benchmarks.processes import children
from tests.cda.making import document, entry, observation, section
from tests.cli.calling import CommandLine
from tests.cli.test_commands import ROOT
from tests.flows.acts import call, done, motive
from tests.flows.steps import Dossier, next_content, next_ins

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform == "win32", reason="kills a process")]


def killed_after(cli: CommandLine, report: str, lines: int, *arguments: str, **environ: str) -> int:
    """Run a command in a process of its own and kill it when its report has so many lines; return how many it had."""
    file = cli.folder / report
    process = subprocess.Popen(
        [sys.executable, "-m", "fhir_dmp.cli", *arguments],
        cwd=cli.folder,
        env={**os.environ, **cli.environ, **environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 60
    while (reached := _lines(file)) < lines and process.poll() is None:
        assert time.monotonic() < deadline, "the command does nothing"
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait(10)
    return reached


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="looks for processes in /proc")
def test_an_import_whose_first_process_was_killed_leaves_nobody_behind_and_is_finished_by_the_next_one(
    cli: CommandLine,
) -> None:
    folder = cli.folder / "documents"
    folder.mkdir()
    measured = observation('<code code="2339-0" codeSystem="2.16.840.1.113883.6.1"/><statusCode code="completed"/>')
    for number in range(40):
        data = document(section(entry(measured)), id=f'<id root="1.2.250.1.999.51.{number}"/>')
        (folder / f"{number}.xml").write_bytes(data)
    asked = ("import", "--open", "--jobs", "2", str(folder))
    environ = {**cli.environ, "DMP_DOCUMENTS_EXTRACT": "true"}
    process = subprocess.Popen(
        [sys.executable, "-m", "fhir_dmp.cli", *asked],
        cwd=cli.folder,
        env={**os.environ, **environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 60
    while _documents(cli) < 3 and process.poll() is None:
        assert time.monotonic() < deadline, "the command does nothing"
        time.sleep(0.01)
    others = children(process.pid)
    process.send_signal(signal.SIGKILL)
    process.wait(10)
    while any(_runs(each) for each in others):
        assert time.monotonic() < deadline, "a process of the import was left behind"
        time.sleep(0.1)
    told = cli(*asked, DMP_DOCUMENTS_EXTRACT="true")
    assert told.status == 0, told.err
    assert told.counts["unchanged"] >= 3
    assert told.counts["stored"] + told.counts["unchanged"] == 40
    with cli.services() as services:
        counted = services.store.types()
        assert (counted["Patient"], counted["DocumentReference"], counted["Observation"]) == (1, 40, 40)


def _documents(cli: CommandLine) -> int:
    """Return how many documents are stored by now."""
    file = cli.folder / "record.sqlite3"
    if not file.exists():
        return 0
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as con:
        try:
            return int(con.execute("SELECT count(*) FROM res WHERE type = 'DocumentReference'").fetchone()[0])
        except sqlite3.OperationalError:
            return 0  # the tables are not there yet


def _runs(pid: int) -> bool:
    """Say whether a process has not ended; of one that nobody has asked about since, nothing is left but its number."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes() != b""
    except OSError:
        return False


def _lines(file: Path) -> int:
    return file.read_bytes().count(b"\n") if file.exists() else 0


def test_a_campaign_that_was_killed_is_finished_by_the_next_one(cli: CommandLine) -> None:
    people = [samples.patient(next_ins()) for _ in range(700)]
    file = cli.write("insured.ndjson", "".join(json.dumps(person) + "\n" for person in people))
    asked = ("dossiers", "open-all", "--from", str(file), "--opposition-weeks", "0")
    killed_after(cli, "open-all-report.ndjson", 150, *asked)
    told = cli(*asked)
    assert told.status == 0, told.err
    assert told.counts["open"] >= 150
    assert sum(told.counts.values()) == 700
    with cli.services() as services:
        counted = services.store.types()
        assert (counted["Patient"], counted["Consent"]) == (700, 700)
    assert cli(*asked).counts == {"open": 700}


def test_a_purge_that_was_killed_is_finished_by_the_next_one(cli: CommandLine) -> None:
    with cli.world() as world:
        kept = Dossier.open(world, next_ins())
        document = kept.submit(content=next_content())
        for _ in range(25):
            dossier = Dossier.open(world, next_ins())
            dossier.submit(content=next_content())
            done(call(dossier.holder, dossier, "dmp-fermer", motif=motive()))
    due = {"DMP_DOCUMENTS_RETENTION_YEARS": "0"}
    before = killed_after(cli, "retention-report.ndjson", 5, "retention", "purge", **due)
    told = cli("retention", "purge", **due)
    assert told.status == 0, told.err
    assert told.counts["destroyed"] in (25 - before, 24 - before, 26 - before)
    with cli.services() as services:
        left = services.store.types()
        assert {type_: left[type_] for type_ in ("Patient", "DocumentReference", "List", "Binary")} == dict.fromkeys(
            ("Patient", "DocumentReference", "List", "Binary"), 1
        )
        whose = {version.type for version in services.store.history(HistoryQuery(count=500)).versions}
        assert whose == {"Patient", "Consent", "DocumentReference", "List", "Binary"}
        assert services.store.types()["Consent"] == 1
    assert cli("retention", "purge", **due).counts["destroyed"] == 0
    with cli.world() as world:
        assert world.admin.get(f"/DocumentReference/{document}").status == 200
