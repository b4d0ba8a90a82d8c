"""`fhir-dmp retention purge`: what is due is told, then destroyed, with a report. [dmp-fhir 3.8.2]"""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta

import pytest

from tests import samples
from tests.cli.calling import CommandLine
from tests.flows.acts import call, done, motive
from tests.flows.steps import Dossier


@pytest.fixture
def closed(cli: CommandLine) -> str:
    """The id of a patient whose dossier was closed today, beside one that is open."""
    with cli.world() as world:
        Dossier.open(world, samples.BASILE).submit()
        dossier = Dossier.open(world, samples.ANOUK)
        dossier.submit()
        done(call(dossier.holder, dossier, "dmp-fermer", motif=motive()))
        return dossier.id


def report(cli: CommandLine) -> list[dict[str, object]]:
    lines = (cli.folder / "retention-report.ndjson").read_text().splitlines()
    return [json.loads(line) for line in lines]


def test_nothing_is_due_before_the_years_are_over(cli: CommandLine, closed: str) -> None:
    told = cli("retention", "purge")
    assert (told.status, told.counts) == (0, {"destroyed": 0, "resources": 0})
    assert report(cli) == []


def test_a_dry_run_tells_and_destroys_nothing_and_a_run_destroys(cli: CommandLine, closed: str) -> None:
    for _ in range(2):
        told = cli("retention", "purge", "--dry-run", DMP_DOCUMENTS_RETENTION_YEARS="0")
        assert (told.status, told.counts["due"], told.err) == (0, 1, "")
    (line,) = report(cli)
    assert (line["status"], line["dossier"]) == ("due", f"Patient/{closed}")
    today = datetime.now(tz=UTC).date()
    assert today - date.fromisoformat(str(line["closed"])) <= timedelta(days=1)
    gone = cli("retention", "purge", DMP_DOCUMENTS_RETENTION_YEARS="0")
    assert gone.counts == {"destroyed": 1, "resources": told.counts["resources"]}
    assert report(cli)[0]["status"] == "destroyed"
    assert samples.ANOUK not in gone.out + (cli.folder / "retention-report.ndjson").read_text()
    assert cli("retention", "purge", DMP_DOCUMENTS_RETENTION_YEARS="0").counts["destroyed"] == 0
    with cli.world() as world:
        assert world.services.store.types()["DocumentReference"] == 1
        assert len(world.admin.get("/Patient?active=true").entries) == 1


def test_a_report_that_cannot_be_written_stops_before_anything_is_destroyed(cli: CommandLine, closed: str) -> None:
    told = cli("retention", "purge", "--report", "/nowhere/report", DMP_DOCUMENTS_RETENTION_YEARS="0")
    assert told.status == 2
    assert "choose another file" in told.err
    with cli.world() as world:
        assert world.admin.get(f"/Patient/{closed}").status == 200
