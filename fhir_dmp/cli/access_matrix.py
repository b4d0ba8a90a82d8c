"""`fhir-dmp access matrix`: which habilitation matrix decides, what another one would change, and the change itself."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from fhir_dmp.access.matrix import Matrix

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.group("matrix")
def matrix() -> None:
    """Show, compare and activate the habilitation matrix: which profession reads which documents.

    Example: fhir-dmp access matrix diff annex-2027.csv
    """


@matrix.command("show")
@click.option("--profession", default="", metavar="CODE", help="What one profession reads: CODE or SYSTEM|CODE.")
@click.option("--csv", "as_csv", is_flag=True, help="The activated matrix itself, as CSV.")
@click.option("--json", "as_json", is_flag=True, help="JSON instead of text.")
def show(profession: str, as_csv: bool, as_json: bool) -> None:
    """Show which matrix is in force.

    Example: fhir-dmp access matrix show --profession 60
    """
    from fhir_dmp import configuration, definitions
    from fhir_dmp.cli.opening import opened
    from fhir_dmp.interactions import habilitation

    settings = configuration.load()
    with opened(settings) as services:
        found = habilitation.in_force(services)
        if as_csv:
            started = Path(settings.access.matrix).read_bytes() if settings.access.matrix else None
            text = started or habilitation.text_in_force(services)
            click.echo((text or definitions.read("mappings/habilitation-matrix.csv")).decode("utf-8-sig"), nl=False)
            return
        told: dict[str, object] = {
            "origin": found.origin,
            "version": found.number,
            "since": found.since or None,
            "checksum": found.matrix.version,
            "rows": found.matrix.rows,
            "professions": len(found.matrix.professions),
        }
        if found.shelved:
            told["note"] = "an activated matrix is out of force while access.matrix names a file"
        if profession:
            told |= _of_profession(found.matrix, profession)
    if as_json:
        click.echo(json.dumps(told, ensure_ascii=False))
        return
    for name, value in told.items():
        shown = " ".join(value) or "-" if isinstance(value, list) else "-" if value is None else value
        click.echo(f"{name:<16} {shown}")


def _of_profession(matrix: Matrix, profession: str) -> dict[str, object]:
    from fhir_dmp.terminology.aliases import PROFESSION

    system, bar, code = profession.rpartition("|")
    found = matrix.habilitation(((system if bar else PROFESSION, code),))
    return {
        "classes": sorted(found.classes),
        "refused classes": sorted(found.refused_classes),
        "types": sorted(found.types),
        "refused types": sorted(found.refused_types),
    }


@matrix.command("diff")
@click.argument("file", type=_FILE)
def diff(file: Path) -> None:
    """Report each cell that a matrix would change, and its checksum. Nothing is changed.

    Example: fhir-dmp access matrix diff annex-2027.csv
    """
    from fhir_dmp import configuration
    from fhir_dmp.cli.opening import opened
    from fhir_dmp.interactions import habilitation

    with opened(configuration.load()) as services:
        text = file.read_bytes()
        lines = habilitation.compared(text, services)
    _report(lines, text)


@matrix.command("activate")
@click.argument("file", type=_FILE)
@click.option("--checksum", default="", metavar="SHA256", help="The checksum that `diff` reported for this file.")
def activate(file: Path, checksum: str) -> None:
    """Put a matrix in force: report what it changes, ask, then activate it for every running worker.

    Without a terminal to ask on, --checksum says that the report of `diff` has been read.

    Example: fhir-dmp access matrix activate annex-2027.csv
    """
    from fhir_dmp import configuration
    from fhir_dmp.cli.opening import opened
    from fhir_dmp.interactions import habilitation

    with opened(configuration.load()) as services:
        text = file.read_bytes()
        lines = habilitation.compared(text, services)
        found = _report(lines, text)
        if checksum and checksum.lower() != found:
            raise click.ClickException(f"--checksum is not that of {file}: read the report of `diff` again")
        if not checksum and lines:
            if not sys.stdin.isatty():
                raise click.UsageError("give --checksum with the checksum that `access matrix diff` reported")
            click.confirm("Activate this matrix?", abort=True, err=True)
        done = habilitation.activate(text, services)
    click.echo(f"in force: {done.origin}, version {done.number}, checksum {done.matrix.version}")


def _report(lines: tuple[str, ...], text: bytes) -> str:
    """Print what changes; return the checksum of the new matrix."""
    import hashlib

    for line in lines:
        click.echo(line)
    checksum = hashlib.sha256(text).hexdigest()
    click.echo(f"{len(lines)} cells change; checksum {checksum}")
    return checksum
