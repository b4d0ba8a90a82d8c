"""`fhir-dmp import`: FHIR resources, NDJSON, Bundles, CDA documents and exports, from files and folders.

Work is spread over processes; each writes in batches through the ordinary rules. Running it again is safe: what is
there already is left alone, so an interrupted import is simply started again.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from fhir_dmp.cli.import_work import Done, Unit
    from fhir_dmp.settings import Settings


@click.command("import")
@click.argument("paths", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path), metavar="PATH...")
@click.option("--patient", metavar="INS", help="Whose record CDA documents without INS belong to.")
@click.option("--open", "open_", is_flag=True, help="Open a dossier for a CDA whose patient has none.")
@click.option(
    "--report",
    type=click.Path(path_type=Path),
    default=Path("import-report.ndjson"),
    show_default=True,
    help="Where refusals are written, one JSON object a line.",
)
@click.option("--jobs", type=click.IntRange(1), help="Processes.  [one for each processor]")
def command(paths: tuple[Path, ...], patient: str | None, open_: bool, report: Path, jobs: int | None) -> None:
    """Import FHIR JSON, NDJSON, Bundles, CDA files and exported records.

    Acts as administrator: no author check. Exit status 1 when something was refused.

    Example: fhir-dmp import --open ./documents
    """
    from fhir_dmp import configuration
    from fhir_dmp.cli.import_work import Rules, units

    settings = configuration.load()
    found = list(units(paths))
    if not found:
        raise click.ClickException("nothing to import: no .json, .ndjson, .xml or .zip file was found")
    totals: Counter[str] = Counter()
    with report.open("w", encoding="utf-8") as file:
        for done in _run(found, settings, Rules(patient, open_), jobs or os.cpu_count() or 1):
            totals.update(done.counts)
            file.writelines(line + "\n" for line in done.refusals)
    for status in ("stored", "unchanged", "refused"):
        click.echo(f"{status}: {totals[status]}")
    if totals["refused"]:
        click.echo(f"fhir-dmp: {totals['refused']} refused; the reasons are in {report}", err=True)
        raise click.exceptions.Exit(1)


def _run(found: list[Unit], settings: Settings, rules: object, jobs: int) -> Iterator[Done]:
    from fhir_dmp.cli import import_work
    from fhir_dmp.cli.progress import Progress

    progress = Progress("import", len(found))
    with _workers(settings, rules, min(jobs, len(found))) as results:
        for done in results(import_work.run, found):
            progress.advance(1)
            yield done
    progress.finish()


@contextmanager
def _workers(settings: Settings, rules: object, jobs: int) -> Iterator[Callable[..., Iterable[Done]]]:
    """Yield a mapping function: over processes, or in this one when there is little to do or a store in memory."""
    from fhir_dmp.cli import import_work

    if jobs == 1 or settings.store.url.startswith("memory:"):
        import_work.prepare(settings, rules)
        try:
            yield map
        finally:
            import_work.finish()
        return
    with ProcessPoolExecutor(jobs, initializer=import_work.prepare, initargs=(settings, rules)) as pool:
        yield pool.map
