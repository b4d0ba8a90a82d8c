"""`fhir-dmp encryption`: the master keys of encryption at rest."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from fhir_dmp.ports import ResourceStore
    from fhir_dmp.settings import Settings
    from fhir_dmp.store.sealed import SealedStore


@click.group("encryption")
def command() -> None:
    """Make, rotate and look at the master keys that an encrypted store stands under.

    Example: fhir-dmp encryption new-key
    """


@command.command("new-key")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="File to write.  [store.encryption_keys]")
def new_key(out: Path | None) -> None:
    """Write a file with a new master key, for a new store. Keep a copy of it apart: without it everything is lost.

    Example: fhir-dmp encryption new-key --out /etc/fhir-dmp/master.json
    """
    from fhir_dmp import configuration, keyring

    path = out or _path(configuration.load())
    kid = keyring.new_master_keys(path)
    click.echo(f"{path}: master key {kid}")


@command.command("status")
def status() -> None:
    """Tell the master keys of the file, and how many data keys each of them wraps.

    Example: fhir-dmp encryption status
    """
    from fhir_dmp import configuration

    with closing(_opened(configuration.load())) as store:
        wrapped = store.keys.masters_in_use()
        for number, (kid, _) in enumerate(store.keys.masters.keys):
            role = "wraps new ones" if number == 0 else "only unwraps"
            click.echo(f"master key {kid}  {wrapped.pop(kid, 0)} data keys, {role}")


@command.command("rotate")
@click.option("--drop-old", is_flag=True, help="The second step: remove the older master keys from the file.")
def rotate(drop_old: bool) -> None:
    """Add a master key to the file and wrap every data key with it; no data is rewritten.

    Running servers follow by reading the file again, which must be the same for all machines. Start it again if it was
    interrupted.

    Example: fhir-dmp encryption rotate && sleep 60 && fhir-dmp encryption rotate --drop-old
    """
    from fhir_dmp import configuration, keyring
    from fhir_dmp.cli.opening import opened
    from fhir_dmp.oauth.authority import Request

    settings = configuration.load()
    path = _path(settings)
    if not drop_old:
        with closing(_opened(settings)):  # a file that is not this store's is not touched
            kid = keyring.add_master_key(path)
        click.echo(f"{path}: master key {kid} added")
    with opened(settings) as services:
        keys = _sealed(services.store).keys
        count = sum(1 for _ in keys.rewrap())
        kid = keys.masters.keys[0][0]
        left = {name for name in keys.masters_in_use() if name != kid}
        details = (("keys", f"master {kid}{' alone' if drop_old and not left else ''}"),)
        services.authority.record(Request({}), "configuration", client_id="fhir-dmp", details=details)
    click.echo(f"{count} data keys wrapped by {kid}")
    if drop_old:
        if left:
            raise click.ClickException(f"data keys are still wrapped by {', '.join(sorted(left))}: start it again")
        keyring.keep_master_key(path, kid)
        click.echo(f"{path}: older master keys removed")


def _path(settings: Settings) -> Path:
    if not settings.store.encryption_keys:
        raise click.UsageError("store.encryption_keys is not set: name the file of the master keys")
    return Path(settings.store.encryption_keys)


def _opened(settings: Settings) -> SealedStore:
    from fhir_dmp import bootstrap

    _path(settings)
    return _sealed(bootstrap.open_store(settings.store))


def _sealed(store: ResourceStore) -> SealedStore:
    from fhir_dmp.store.sealed import SealedStore

    assert isinstance(store, SealedStore)
    return store
