"""`fhir-dmp dossiers open-all`: a dossier for every person of a file, unless they object in time."""

from __future__ import annotations

import json
from collections import Counter
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fhir_dmp.bootstrap import Wired
    from fhir_dmp.interactions.exchange import Call
    from fhir_dmp.interactions.population import Outcome, Person

_STATES = ("announced", "waiting", "opened", "open", "closed", "opposed", "refused")


@click.group("dossiers")
def command() -> None:
    """Dossiers of a whole population.

    Example: fhir-dmp dossiers open-all --from insured.ndjson --opposition-weeks 6
    """


@command.command("open-all")
@click.option(
    "--from",
    "file",
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="NDJSON: one Patient (FR Core Patient INS) a line.",
)
@click.option("--opposition-weeks", type=click.IntRange(0, 520), default=6, show_default=True, help="Time to object.")
@click.option(
    "--announced",
    type=click.DateTime(["%Y-%m-%d"]),
    help="Day on which all these people were told by other means.  [noted by the first run]",
)
@click.option(
    "--report",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("open-all-report.ndjson"),
    show_default=True,
    help="What became of each line, one JSON object a line.",
)
def open_all(file: Path, opposition_weeks: int, announced: datetime | None, report: Path) -> None:
    """Open a dossier for every person of a file, once they were told and had time to object.

    The first run notes the announcement; a run after the weeks opens the dossiers of those who did not object. Whoever
    has a dossier, closed one or objected is left alone. Interrupted, it is simply started again. Exit status 1 when
    somebody was refused.

    Example: fhir-dmp dossiers open-all --from insured.ndjson --opposition-weeks 6
    """
    from fhir_dmp import configuration
    from fhir_dmp.cli.files import written
    from fhir_dmp.cli.opening import opened
    from fhir_dmp.cli.progress import Progress
    from fhir_dmp.fhir.dates import local_date
    from fhir_dmp.interactions.population import people
    from fhir_dmp.patients.population import Campaign

    counts: Counter[str] = Counter()
    with opened(configuration.load()) as services, written(report) as lines:
        today = date.fromisoformat(local_date(services.clock.now_ms(), services.zone))
        told = announced.date() if announced else None
        if told is not None and told > today:
            raise click.UsageError("--announced is a day to come: nobody was told yet")
        campaign = Campaign(today, opposition_weeks, told)
        progress = Progress("open-all", 0)
        for outcome in people(_call(services), _persons(file), campaign, services):
            counts[outcome.status] += 1
            lines.write(_line(outcome) + "\n")
            lines.flush()  # whoever watches sees how far it came
            progress.advance(1)
        progress.finish()
    for state in _STATES:
        if counts[state]:
            click.echo(f"{state}: {counts[state]}")
    if not counts:
        raise click.ClickException(f"{file} holds nobody: one Patient is expected on each line")
    if counts["refused"]:
        click.echo(f"fhir-dmp: {counts['refused']} refused; the reasons are in {report}", err=True)
        raise click.exceptions.Exit(1)


def _persons(file: Path) -> Iterator[Person]:
    from fhir_dmp.cli.import_files import Unit, lines
    from fhir_dmp.errors import DmpError
    from fhir_dmp.interactions.population import Person

    for name, found in lines(Unit(file)):
        yield Person(name, error=found) if isinstance(found, DmpError) else Person(name, found)


def _call(services: Wired) -> Call:
    from fhir_dmp.identity.caller import Actor, Caller, Scope
    from fhir_dmp.interactions.exchange import Call
    from fhir_dmp.ports import RequestInfo

    operator = Caller(Actor.ADMIN, "open-all", client="fhir-dmp", scopes=(Scope("system", "*", frozenset("cruds")),))
    info = RequestInfo(request_id="open-all", address="127.0.0.1", base=services.base)
    return Call("POST", ("Patient", "$dmp-ouvrir"), operator, info)


def _line(outcome: Outcome) -> str:
    told = {"name": outcome.name, "status": outcome.status, "dossier": outcome.dossier}
    told |= {
        "until": outcome.until.isoformat() if outcome.until else "",
        "code": outcome.code,
        "reason": outcome.reason,
    }
    return json.dumps({name: value for name, value in told.items() if value}, ensure_ascii=False)
