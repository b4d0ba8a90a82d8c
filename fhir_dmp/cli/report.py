"""`fhir-dmp report`: what the record is used for, in figures and without a word about anybody."""

from __future__ import annotations

import csv
import json
import sys
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fhir_dmp.interactions.mandatory import Row

_DAY = click.DateTime(["%Y-%m-%d"])


@click.group("report")
def command() -> None:
    """Figures about what is stored.

    Example: fhir-dmp report mandatory-types --since 2026-01-01
    """


@command.command("mandatory-types")
@click.option("--since", type=_DAY, help="First day of the documents that count.  [all]")
@click.option("--until", type=_DAY, help="Last day of the documents that count.  [all]")
@click.option("--structure", metavar="ID", help="Only documents of this structure (FINESS, or 1 and FINESS).")
@click.option("--format", "form", type=click.Choice(["text", "csv", "json"]), default="text", show_default=True)
def mandatory_types(since: datetime | None, until: datetime | None, structure: str | None, form: str) -> None:
    """Count the documents whose deposit is compulsory (order of 26 April 2022), element by element.

    Example: fhir-dmp report mandatory-types --since 2026-01-01 --until 2026-03-31 --structure 1750100125
    """
    from fhir_dmp import configuration, definitions
    from fhir_dmp.cli.opening import opened
    from fhir_dmp.interactions.mandatory import Asked, report

    first, last = since.date() if since else None, until.date() if until else None
    if first and last and last < first:
        raise click.UsageError("--until lies before --since")
    finess = f"1{structure}" if structure and len(structure) == 9 else structure
    with opened(configuration.load()) as services:
        table = definitions.load_json("mappings/mandatory-types.json")
        _print(list(report(table, Asked(first, last, finess), services)), form)


def _print(rows: Sequence[Row], form: str) -> None:
    if form == "json":
        click.echo(json.dumps([asdict(row) for row in rows], ensure_ascii=False, indent=1))
        return
    if form == "csv":
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(("element", "label", "since", "types", "documents"))
        writer.writerows((row.code, row.label, row.since, " ".join(row.types), row.documents) for row in rows)
        return
    wide = max(len(row.label) for row in rows)
    for row in rows:
        types = f"{' '.join(row.types)}  " if row.types else ""
        click.echo(f"{row.label:<{wide}}  {row.documents:>9}  {types}{row.since and f'since {row.since}'}".rstrip())
