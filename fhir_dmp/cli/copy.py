"""`fhir-dmp copy`: a whole store into another one, of another kind or encrypted."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import click


@click.command("copy")
@click.option("--to", "url", required=True, metavar="URL", help="The new store, as in store.url.")
@click.option(
    "--encryption-keys",
    default="",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Encrypt it: file of the master keys, as in store.encryption_keys.",
)
@click.option("--data-keys-url", default="", metavar="URL", help="As in store.data_keys_url.")
def command(url: str, encryption_keys: Path | str, data_keys_url: str) -> None:
    """Copy every version, content, access, notice and account into a new, empty store. Stop the servers before.

    Interrupted, start it again. The old store is only read; checkpoints of its trail stay with it.

    Example: fhir-dmp copy --to sqlite:///var/encrypted.sqlite3 --encryption-keys /etc/fhir-dmp/master.json
    """
    from dataclasses import replace

    from fhir_dmp import bootstrap, configuration
    from fhir_dmp.cli.opening import opened
    from fhir_dmp.cli.progress import Progress
    from fhir_dmp.interactions.copying import copy

    settings = configuration.load()
    if url == settings.store.url:
        raise click.UsageError("--to is the store of the settings: name a new one")
    keys = str(encryption_keys) if encryption_keys else ""
    new = replace(settings.store, url=url, encryption_keys=keys, data_keys_url=data_keys_url)
    with opened(settings) as services, closing(bootstrap.open_store(new)) as target:
        counts: dict[str, Progress] = {}

        def advance(what: str, count: int) -> None:
            counts.setdefault(what, Progress(what, 0)).advance(count)

        copy(services, target, advance)
        missing = {name for name, count in services.store.types().items() if target.types().get(name) != count}
    for what, progress in counts.items():
        progress.finish()
        click.echo(f"{what}: {progress.done}")
    if missing:
        raise click.ClickException(f"not as many of {', '.join(sorted(missing))} as in the source: start it again")
    click.echo(f"name {url} in store.url now, and keep the old store for its checkpoints")
