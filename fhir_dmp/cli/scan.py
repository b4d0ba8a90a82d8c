"""`fhir-dmp scan`: shows the contents that wait in quarantine to the scanner, and releases what is clean."""

from __future__ import annotations

import sys

import click


@click.command("scan")
def command() -> None:
    """Scan the contents that wait in quarantine; exit status 1 when malware was found or the scanner does not answer.

    Example: fhir-dmp scan
    """
    from fhir_dmp import configuration
    from fhir_dmp.cli.opening import opened
    from fhir_dmp.errors import ConfigurationError, Forbidden, Problem, Unavailable
    from fhir_dmp.interactions.inspection import release, waiting

    settings = configuration.load()
    with opened(settings) as services:
        held = waiting(services)
        if services.scanner is None:
            raise ConfigurationError(
                Problem("documents.scanner_url", f"no scanner is named, {len(held)} contents wait in quarantine")
            )
        released, infected = 0, []
        for number, sha256 in enumerate(held):
            try:
                release(sha256, services)
                released += 1
            except Forbidden:
                infected.append(sha256)
            except Unavailable as error:
                click.echo(f"{released} released, {len(infected)} infected, {len(held) - number} still wait")
                raise click.ClickException(str(error)) from error
    click.echo(f"{released} released, {len(infected)} infected")
    for sha256 in infected:
        click.echo(f"malware: {sha256}", err=True)
    sys.exit(1 if infected else 0)
