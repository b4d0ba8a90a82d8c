"""`fhir-dmp packages`: add, list and remove the FHIR packages that the server works with."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from fhir_dmp.packages import Package


@click.group("packages")
def command() -> None:
    """Add, list and remove FHIR packages.

    Example: fhir-dmp packages add hl7.fhir.fr.core.tgz
    """


@command.command("add")
@click.argument("path", type=click.Path(exists=True, path_type=Path))
def add(path: Path) -> None:
    """Add a package (.tgz or folder): its profiles and value sets count at once, its search parameters after a restart.

    Run `fhir-dmp reindex` when it brings search parameters.
    """
    from fhir_dmp import packages

    package = packages.read_package(path)
    _refuse_unusable(package)
    packages.keep(package, _folder())
    counts = ", ".join(f"{count} {type_}" for type_, count in package.counts.items())
    click.echo(f"{package.name} {package.version}: {counts}")
    if "SearchParameter" in package.counts:
        click.echo("It has search parameters: restart the server and run `fhir-dmp reindex`.")


@command.command("list")
def list_() -> None:
    """List the added packages."""
    from fhir_dmp import packages

    for each in packages.added(_folder()):
        counts = ", ".join(f"{count} {type_}" for type_, count in each.counts.items())
        click.echo(f"{each.name} {each.version}: {counts}")


@command.command("remove")
@click.argument("name")
def remove(name: str) -> None:
    """Remove an added package."""
    from fhir_dmp import packages

    if not packages.drop(name, _folder()):
        raise click.ClickException(f"no package {name} was added (see: fhir-dmp packages list)")
    click.echo(f"{name} removed")


def _folder() -> Path:
    from fhir_dmp import configuration, keyring, packages

    settings = configuration.load()
    return packages.folder_of(settings, keyring.folder_of(settings))


def _refuse_unusable(package: Package) -> None:
    """Refuse a package that the server could not start with, and name the profiles that will not be applied.

    Raises:
        ClickException: a search parameter cannot be used.
    """
    from fhir_dmp import definitions
    from fhir_dmp.fhir.path import compile_path

    for each in package.resources:
        if each["resourceType"] == "SearchParameter":
            try:
                definitions.search_parameters_with([each])
                if each.get("expression"):
                    compile_path(str(each["expression"]))
            except (ValueError, KeyError, TypeError) as error:
                raise click.ClickException(f"the search parameter {each.get('url')} cannot be used: {error}") from error
    known = definitions.profiles([*definitions.conformance(), *package.resources])
    for each in package.resources:
        if each["resourceType"] == "StructureDefinition" and each.get("kind") != "logical":
            reason = known.unusable(str(each["url"]))
            if reason:
                click.echo(f"not applied: {each['url']}: {reason}", err=True)
