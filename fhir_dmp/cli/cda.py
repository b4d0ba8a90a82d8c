"""`fhir-dmp cda`: conversion and check of CDA documents, without a server or a store."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fhir_dmp.errors import Issue

_FILE = click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path))
_OUT = click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Where to write; default: stdout.")


@click.group("cda")
def command() -> None:
    """Convert and check CDA documents, without a server.

    Example: fhir-dmp cda to-fhir report.xml --out report.json
    """


@command.command("to-fhir")
@_FILE
@_OUT
def to_fhir_(file: Path, out: Path | None) -> None:
    """Write the FHIR document (a Bundle, JSON) of a CDA file; what is lost goes to stderr, one line each.

    Example: fhir-dmp cda to-fhir report.xml --out report.json
    """
    from fhir_dmp import definitions
    from fhir_dmp.cda.to_fhir import to_fhir
    from fhir_dmp.fhir.resource import dump

    found = to_fhir(_bytes(file), definitions.cda_knowledge())
    _write(dump(found.bundle) + b"\n", out)
    _tell(found.issues)


@command.command("from-fhir")
@_FILE
@_OUT
def from_fhir_(file: Path, out: Path | None) -> None:
    """Write the CDA of a FHIR document (JSON), or of a DocumentReference with its content.

    Example: fhir-dmp cda from-fhir report.json --out report.xml
    """
    from fhir_dmp import definitions
    from fhir_dmp.cda.from_fhir import from_fhir
    from fhir_dmp.cda.level1 import document_of
    from fhir_dmp.errors import DmpError
    from fhir_dmp.fhir.resource import parse

    resource = parse(_bytes(file))
    try:
        if resource.get("resourceType") == "DocumentReference":
            resource = document_of(resource)
        found = from_fhir(resource, definitions.cda_knowledge())
    except DmpError as error:
        _tell(error.issues)
        raise
    _write(found.data, out)
    _tell(found.issues)


@command.command("to-html")
@_FILE
@_OUT
@click.option("--language", type=click.Choice(["fr", "en"]), default="fr", help="Of the labels.")
def to_html(file: Path, out: Path | None, language: str) -> None:
    """Write the page of a CDA file, to read and print; nothing of the file acts in it.

    Example: fhir-dmp cda to-html report.xml --out report.html
    """
    from fhir_dmp.cda.page import page

    _write(page(_bytes(file), language), out)


@command.command("check")
@_FILE
def check(file: Path) -> None:
    """Read a CDA file, convert it both ways and say what is wrong with it; exit status 1 when something is.

    Example: fhir-dmp cda check report.xml
    """
    from fhir_dmp import definitions
    from fhir_dmp.cda.from_fhir import from_fhir
    from fhir_dmp.cda.header import read_header
    from fhir_dmp.cda.to_fhir import to_fhir
    from fhir_dmp.fhir.resource import dump, parse
    from fhir_dmp.fhir.structure import TABLE, Structures
    from fhir_dmp.validation.validate import errors_in, validate

    data, knowledge = _bytes(file), definitions.cda_knowledge()
    header = read_header(data)
    found = to_fhir(data, knowledge)
    wrong = errors_in(validate(found.bundle, Structures(definitions.load_json(TABLE))))
    back = from_fhir(parse(dump(found.bundle)), knowledge)
    lost = [issue for issue in found.issues if issue.severity != "information"]
    click.echo(f"model       {header.model or 'unknown'}")
    click.echo(f"statements  {found.counted.acts}, {found.counted.specific} of them by a template of their own")
    click.echo(f"resources   {len(found.bundle['entry'])}, {len(wrong)} faults")
    click.echo(f"losses      {len(lost)}")
    click.echo(f"way back    {len(back.data)} bytes, {len(back.issues)} remarks")
    _tell([*found.issues, *wrong, *back.issues])
    sys.exit(1 if lost or wrong or back.issues else 0)


def _bytes(file: Path) -> bytes:
    return sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()


def _write(data: bytes, out: Path | None) -> None:
    from fhir_dmp.cli.files import whole

    if out is None:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    else:
        with whole(out) as file:
            file.write(data)


def _tell(issues: Iterable[Issue]) -> None:
    for issue in issues:
        place = issue.expression[0] if issue.expression else "-"
        click.echo(f"{place}: {issue.text or '-'}: {issue.diagnostics}", err=True)
