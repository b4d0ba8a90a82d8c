"""`fhir-dmp profiles`: the conformance resources of this project, for other FHIR tools."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from fhir_dmp.fhir.resource import Json
    from fhir_dmp.settings import Settings


@click.group("profiles")
def command() -> None:
    """List the profiles of this server, or write them as a FHIR package.

    Example: fhir-dmp profiles package fhir-dmp.tgz
    """


@command.command("list")
def list_() -> None:
    """List the URL of every profile that the server can judge by, added packages included."""
    from fhir_dmp import configuration, keyring, packages
    from fhir_dmp.bootstrap import LiveProfiles

    settings = configuration.load()
    folder = packages.folder_of(settings, keyring.folder_of(settings))
    for url in sorted(LiveProfiles(settings.canonical_base, folder)().urls()):
        click.echo(url)


@command.command("package")
@click.argument("path", type=click.Path(path_type=Path), default=Path("fhir-dmp.tgz"))
def package(path: Path) -> None:
    """Write the profiles, extensions, value sets, search parameters, operations and capabilities as a package."""
    from fhir_dmp import __version__, configuration, definitions, packages
    from fhir_dmp.cli.files import whole

    settings = configuration.load()
    statement = _statement(settings)
    resources = [*definitions.conformance(settings.canonical_base), statement]
    guide = definitions.implementation_guide(settings.canonical_base, __version__, resources)
    about = {
        "name": guide["packageId"],
        "version": guide["version"],
        "canonical": settings.canonical_base,
        "title": guide["title"],
        "description": guide["description"],
        "type": "IG",
        "author": "fhir-dmp",
        "license": "Apache-2.0",
        "fhirVersions": ["4.0.1"],
        "dependencies": {"hl7.fhir.r4.core": "4.0.1"},
    }
    with whole(path, 0o644) as file:
        count = packages.write_package(file, about, [guide, *resources])
    click.echo(f"{path}: {count} resources")


def _statement(settings: Settings) -> Json:
    """Return the CapabilityStatement of a server with these settings; nothing of it is opened or left behind."""
    from fhir_dmp.bootstrap import build
    from fhir_dmp.interactions import capabilities
    from fhir_dmp.store.memory import MemoryStore

    with tempfile.TemporaryDirectory() as keys:
        elsewhere = replace(settings, security=replace(settings.security, keys_dir=keys))
        return capabilities.published(build(elsewhere, store=MemoryStore()))
