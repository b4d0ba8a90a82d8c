"""`fhir-dmp retention purge`: destroys what the law lets a closed dossier keep for a time only."""

from __future__ import annotations

import json
from pathlib import Path

import click


@click.group("retention")
def command() -> None:
    """The end of the time for which closed dossiers are kept.

    Example: fhir-dmp retention purge --dry-run
    """


@command.command("purge")
@click.option("--dry-run", is_flag=True, help="Say what would be destroyed, and destroy nothing.")
@click.option(
    "--report",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("retention-report.ndjson"),
    show_default=True,
    help="Where each dossier is told, one JSON object a line.",
)
def purge(dry_run: bool, report: Path) -> None:
    """Destroy the content of dossiers closed longer ago than documents.retention_years.

    Every version, index row and content goes, the Patient last; the trail keeps that it was done, and by whom the
    dossier had been read. Interrupted, it is simply started again. Run it daily.

    Example: fhir-dmp retention purge
    """
    from fhir_dmp import configuration
    from fhir_dmp.cli.files import written
    from fhir_dmp.cli.opening import opened
    from fhir_dmp.cli.progress import Progress
    from fhir_dmp.interactions import retention

    dossiers = resources = 0
    with opened(configuration.load()) as services, written(report) as lines:
        progress = Progress("purge", 0)
        for found in retention.due(services):
            count = retention.extent(found, services) if dry_run else retention.destroy(found, services)
            dossiers, resources = dossiers + 1, resources + count
            told = {"dossier": found.reference, "closed": found.closed.isoformat(), "resources": count}
            lines.write(json.dumps({"status": "due" if dry_run else "destroyed", **told}) + "\n")
            lines.flush()
            progress.advance(1)
        progress.finish()
    click.echo(f"{'due' if dry_run else 'destroyed'}: {dossiers}")
    click.echo(f"resources: {resources}")
