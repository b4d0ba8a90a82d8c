"""How an import runs: folders, processes, broken files, dead workers, the report and the exit status."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fhir_dmp.ports import Key
from tests.cli.calling import CommandLine
from tests.cli.test_commands import ROOT

CDA = Path(__file__).resolve().parents[1] / "files/cda"


def basic(id_: str) -> dict[str, object]:
    return {"resourceType": "Basic", "id": id_, "code": {"text": "x"}}


def test_folders_are_searched_through_and_one_broken_file_does_not_stop_the_others(cli: CommandLine) -> None:
    cli.write("in/a/one.json", basic("one"))
    cli.write("in/a/TWO.JSON", basic("two"))
    cli.write("in/b/three.ndjson", json.dumps(basic("three")))
    cli.write("in/b/broken.json", "{")
    cli.write("in/b/broken.xml", "<Basic xmlns='http://hl7.org/fhir'><code></Basic>")
    cli.write("in/b/broken.zip", "PK")
    cli.write("in/b/empty.json", "")
    cli.write("in/b/notes.txt", "not looked at")
    cli.write("in/c/cda.xml", (CDA / "biology-level1.xml").read_bytes())
    done = cli.imported("--open", "--jobs", 2, cli.folder / "in")
    assert (done.status, done.counts["stored"], done.counts["refused"]) == (1, 4, 4)
    assert sorted(Path(refusal["name"]).name for refusal in cli.refusals) == [
        "broken.json",
        "broken.xml",
        "broken.zip",
        "empty.json",
    ]
    assert all(refusal["reason"] and refusal["code"] for refusal in cli.refusals)


def test_several_processes_store_what_one_does(cli: CommandLine) -> None:
    rows = [json.dumps(basic(f"b{number}")) for number in range(1500)]
    path = cli.write("rows.ndjson", "\n".join(rows))
    for copy in range(4):
        cli.write(f"more/{copy}.ndjson", "\n".join(rows[copy::4]))
    done = cli.imported("--jobs", 3, path, cli.folder / "more")
    assert (done.status, done.counts["refused"]) == (0, 0)
    assert done.counts["stored"] + done.counts["unchanged"] == 3000
    with cli.services() as services:
        assert services.store.types() == {"Basic": 1500}
        assert all(version == 1 for version in _versions(services, 1500))


def _versions(services: object, count: int) -> list[int]:
    keys = [Key("Basic", f"b{number}") for number in range(count)]
    found = services.store.read_many(keys)  # type: ignore[attr-defined]
    assert len(found) == count
    return [version.version for version in found.values()]


def test_an_unreadable_file_is_reported(cli: CommandLine) -> None:
    if os.geteuid() == 0:
        pytest.skip("root reads everything")
    for name in ("secret.json", "secret.ndjson"):
        cli.write(name, basic("x")).chmod(0)
        assert cli.imported(cli.folder / name).status == 1
        assert cli.refusals[0]["reason"] == "The file cannot be read: Permission denied."


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        ([], 2, "PATH"),
        (["missing.json"], 2, "missing.json"),
        (["one.json", "--jobs", "0"], 2, "--jobs"),
        (["one.json", "--report", "nowhere/report"], 2, "choose another file"),
        (["empty"], 1, "nothing to import"),
    ],
)
def test_bad_usage_is_two_and_nothing_to_do_is_one(
    cli: CommandLine, arguments: list[str], status: int, words: str
) -> None:
    cli.write("one.json", basic("one"))
    (cli.folder / "empty").mkdir()
    done = cli("import", *arguments)
    assert (done.status, done.out, len(done.err.splitlines())) == (status, "", 1)
    assert words in done.err


def test_a_store_that_does_not_open_stops_the_import(cli: CommandLine) -> None:
    path = cli.write("one.json", basic("one"))
    store = cli.write("not-a-database.sqlite3", "not a database at all, " * 100)
    for jobs in (1, 2):
        done = cli.imported("--jobs", jobs, path, path, DMP_STORE_URL=f"sqlite:///{store}")
        assert (done.status, done.out) == (2, ""), done
        assert done.err.startswith("fhir-dmp: store.url: cannot be opened")


def test_a_store_in_memory_takes_an_import_in_one_process(cli: CommandLine) -> None:
    path = cli.write("one.json", basic("one"))
    assert cli("import", path, path, DMP_STORE_URL="memory:").counts == {"stored": 1, "unchanged": 1, "refused": 0}


def test_the_report_of_an_import_without_refusals_is_empty(cli: CommandLine) -> None:
    cli.write("import-report.ndjson", "old\n")
    assert cli.imported(cli.write("one.json", basic("one"))).status == 0
    assert cli.refusals == []


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes")
def test_a_worker_that_dies_costs_only_the_file_it_was_at(tmp_path: Path) -> None:
    """A file that keeps its reader waiting is the file whose reader is killed: together, and once more alone."""
    pipe = tmp_path / "endless.json"
    os.mkfifo(pipe)
    for number in range(6):
        (tmp_path / f"{number}.json").write_text(json.dumps(basic(f"b{number}")))
    kept = {key: value for key, value in os.environ.items() if not key.startswith("DMP_")}
    process = subprocess.Popen(
        [sys.executable, "-m", "fhir_dmp.cli", "import", "--jobs", "2", str(pipe), *map(str, tmp_path.glob("?.json"))],
        cwd=tmp_path,
        env={**kept, "PYTHONPATH": str(ROOT), "DMP_STORE_URL": "sqlite:///record.sqlite3"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        deadline = time.monotonic() + 60
        while process.poll() is None:
            assert time.monotonic() < deadline
            for worker in _readers(process.pid, pipe):
                os.kill(worker, signal.SIGKILL)
            time.sleep(0.1)
        out, err = process.communicate(timeout=10)
    finally:
        process.kill()
    assert (process.returncode, out) == (1, "stored: 6\nunchanged: 0\nrefused: 1\n"), err
    (refusal,) = [json.loads(line) for line in (tmp_path / "import-report.ndjson").read_text().splitlines()]
    assert refusal["name"] == str(pipe)
    assert refusal["reason"].startswith("The process that imported this died")


def _readers(parent: int, pipe: Path) -> list[int]:
    """Return the children that wait for a pipe to be opened; they sleep in the kernel, in its open."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rpartition(")")[2].split()
            waits_in = status.with_name("wchan").read_text()
        except OSError:
            continue
        if int(fields[1]) == parent and (
            "fifo" in waits_in or "pipe_wait" in waits_in or "wait_for_partner" in waits_in
        ):
            found.append(int(status.parent.name))
    return found
