"""`fhir-dmp validate`: judge files as R4 and as profiles, without a server."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from fhir_dmp.errors import Issue
    from fhir_dmp.validation.conformance import Profiles


@click.command("validate")
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--profile", "profiles", multiple=True, metavar="URL", help="Judge by this profile, too (repeatable).")
@click.option("--json", "as_json", is_flag=True, help="Print an OperationOutcome for each file.")
def command(files: tuple[Path, ...], profiles: tuple[str, ...], as_json: bool) -> None:
    """Judge FHIR resources in JSON or XML; exit status 1 when one has an error.

    Example: fhir-dmp validate document.json --profile https://example.org/StructureDefinition/mine
    """
    from fhir_dmp import configuration, keyring, packages
    from fhir_dmp.bootstrap import LiveProfiles

    settings = configuration.load()
    folder = packages.folder_of(settings, keyring.folder_of(settings))
    known = LiveProfiles(settings.canonical_base, folder)()
    failed = False
    for path in files:
        issues = _judged(path, profiles, known)
        failed = failed or any(issue.severity in ("error", "fatal") for issue in issues)
        _tell(path, issues, as_json)
    sys.exit(1 if failed else 0)


def _judged(path: Path, asked: tuple[str, ...], known: Profiles) -> tuple[Issue, ...]:
    """Return the issues of a file; what cannot be read is one."""
    from fhir_dmp.errors import DmpError
    from fhir_dmp.fhir.resource import parse
    from fhir_dmp.fhir.xml_reader import from_xml
    from fhir_dmp.validation.conformance import judge

    try:
        body = path.read_bytes()
        resource = from_xml(body, known.base.structures) if body.lstrip()[:1] == b"<" else parse(body)
    except DmpError as error:
        return error.issues
    return judge(resource, known, asked)


def _tell(path: Path, issues: tuple[Issue, ...], as_json: bool) -> None:
    from fhir_dmp.fhir.outcome import operation_outcome
    from fhir_dmp.fhir.resource import dump

    if as_json:
        click.echo(dump(operation_outcome(issues)).decode())
        return
    errors = sum(issue.severity in ("error", "fatal") for issue in issues)
    click.echo(f"{path}: {_number(errors, 'error')}, {_number(len(issues) - errors, 'other remark')}")
    for issue in issues:
        click.echo(f"  {issue.severity:11} {', '.join(issue.expression) or '-'}: {issue.diagnostics}")


def _number(count: int, what: str) -> str:
    """Return `1 error`, `2 errors`."""
    return f"{count} {what}" if count == 1 else f"{count} {what}s"
