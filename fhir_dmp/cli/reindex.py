"""`fhir-dmp reindex`: recompute index terms, beside a running server.

An interruption loses nothing: what was done stays done.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from fhir_dmp.ports import ResourceStore, Version
    from fhir_dmp.search.terms import Terms

_BATCH = 500


@click.command("reindex")
@click.option("--type", "type_", default=None, metavar="TYPE", help="Only this resource type.  [all]")
def command(type_: str | None) -> None:
    """Recompute the search index from the stored resources.

    Example: fhir-dmp reindex --type DocumentReference
    """
    from fhir_dmp import configuration
    from fhir_dmp.cli.opening import opened

    with opened(configuration.load()) as services:
        stored = services.store.types()
        if type_ is not None and type_ not in stored:
            raise click.ClickException(f"nothing of type {type_} is stored: known are {', '.join(sorted(stored))}")
        for each in sorted(stored) if type_ is None else [type_]:
            count = reindex(services.store, each, services.terms, stored[each])
            click.echo(f"{each}: {count} resources")


def reindex(store: ResourceStore, type_: str, terms: Callable[[Version], Terms], total: int) -> int:
    """Recompute one type in batches; return how many resources there were."""
    from fhir_dmp.cli.progress import Progress

    progress = Progress(type_, total)
    counted = 0

    def counting(version: Version) -> Terms:
        nonlocal counted
        counted += 1
        return terms(version)

    after: str | None = None
    while True:
        before = counted
        after = store.reindex(type_, counting, after, _BATCH)
        progress.advance(counted - before)
        if after is None:
            progress.finish()
            return counted
