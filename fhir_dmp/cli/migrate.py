"""`fhir-dmp migrate`: bring the store's schema up to date, and clear what aborted uploads left.

Restartable: doing it twice changes nothing.
"""

from __future__ import annotations

import click


@click.command("migrate")
def command() -> None:
    """Bring the store's schema up to date, and remove contents that nothing refers to.

    Example: fhir-dmp migrate && fhir-dmp reindex
    """
    from fhir_dmp import configuration
    from fhir_dmp.cli.opening import opened

    settings = configuration.load()
    # Opening a store creates or upgrades what it needs, under its own lock.
    with opened(settings) as services:
        services.store.ping()
        click.echo(f"{settings.store.url.partition(':')[0]}: up to date")
        click.echo(f"contents that nothing refers to: {services.store.sweep()} removed")
