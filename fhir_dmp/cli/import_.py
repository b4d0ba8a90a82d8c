"""`fhir-dmp import`: FHIR resources, NDJSON, Bundles, CDA documents and exports, from files and folders.

Work is spread over processes; each writes in batches through the ordinary rules. Running it again is safe: what is
there already is left alone, so an interrupted import is simply started again.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from fhir_dmp.cli.import_files import Unit
    from fhir_dmp.cli.import_work import Done, Rules
    from fhir_dmp.settings import Settings


@click.command("import")
@click.argument("paths", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path), metavar="PATH...")
@click.option("--patient", metavar="INS", help="Whose record CDA documents without INS belong to.")
@click.option("--open", "open_", is_flag=True, help="Open a dossier for a CDA whose patient has none.")
@click.option(
    "--report",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("import-report.ndjson"),
    show_default=True,
    help="Where refusals are written, one JSON object a line.",
)
@click.option(
    "--warnings",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where to write what was stored with a warning, in the same form.  [nowhere]",
)
@click.option("--jobs", type=click.IntRange(1), help="Processes.  [one for each processor, and one]")
def command(
    paths: tuple[Path, ...], patient: str | None, open_: bool, report: Path, warnings: Path | None, jobs: int | None
) -> None:
    """Import FHIR JSON and XML, NDJSON, Bundles, CDA files and exported records; folders of these.

    Acts as administrator: no author check. Exit status 1 when something was refused. Importing again changes nothing.

    Example: fhir-dmp import --open ./documents
    """
    from fhir_dmp import configuration
    from fhir_dmp.cli.files import written
    from fhir_dmp.cli.import_files import units
    from fhir_dmp.cli.import_work import Rules

    settings = configuration.load()
    found = list(units(paths))
    if not found:
        raise click.ClickException("nothing to import: no .json, .ndjson, .xml or .zip file was found")
    totals: Counter[str] = Counter()
    with written(report) as refused, written(warnings or Path(os.devnull)) as warned:
        for done in _run(found, settings, Rules(patient, open_), jobs or _processes()):
            totals.update({**done.counts, "warnings": len(done.warnings)})
            refused.writelines(line + "\n" for line in done.refusals)
            warned.writelines(line + "\n" for line in done.warnings)
    for status in ("stored", "unchanged", "refused", "warnings"):
        if status != "warnings" or totals[status]:
            click.echo(f"{status}: {totals[status]}")
    if totals["refused"]:
        click.echo(f"fhir-dmp: {totals['refused']} refused; the reasons are in {report}{_first(report)}", err=True)
        raise click.exceptions.Exit(1)


def _processes() -> int:
    """Return how many processes are worth starting: while one waits for the disk, another uses its processor."""
    return (os.cpu_count() or 1) + 1


def _first(report: Path) -> str:
    """Return the first refusal of a report, in words."""
    with report.open(encoding="utf-8") as file:
        told = json.loads(next(file, "{}"))
    return f"; the first: {told['name']}: {told['reason']}" if told else ""


def _run(found: list[Unit], settings: Settings, rules: Rules, jobs: int) -> Iterator[Done]:
    from fhir_dmp.cli.progress import Progress

    progress = Progress("import", len(found))
    for done in _results(found, settings, rules, min(jobs, len(found))):
        progress.advance(1)
        yield done
    progress.finish()


def _results(found: list[Unit], settings: Settings, rules: Rules, jobs: int) -> Iterator[Done]:
    """Import over processes, or in this one when there is little to do or the store is in memory."""
    from fhir_dmp.cli import import_pool
    from fhir_dmp.cli.opening import opened

    if jobs == 1 or settings.store.url.startswith("memory:"):
        return import_pool.here(found, settings, rules)
    with opened(settings) as services:  # what keeps a store from opening is told once, not by each process
        services.store.ping()
    return import_pool.spread(found, settings, rules, jobs)
