"""`fhir-dmp check`: is this installation ready to serve? One line for each part."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from fhir_dmp.ports import ResourceStore
    from fhir_dmp.settings import Settings

#: Before this moment (2025-01-01) a clock cannot be right.
_EARLIEST_S = 1_735_689_600
#: How far the last change may be ahead: clocks of several machines differ.
_SKEW_S = 60
#: Less room than this on the disk of a SQLite file is a fault, in bytes.
_LEAST_FREE = 100_000_000
#: Faults that are named before the rest is counted.
_SHOWN = 5


@click.command("check")
@click.option("--deep", is_flag=True, help="Compare every index row with its resource, too (SQLite; takes a while).")
def command(deep: bool) -> None:
    """Check configuration, store, keys, clock and mail; exit status 1 when one of them fails.

    Nothing is made or changed, but for a mark that the store can be written.

    Example: fhir-dmp check
    """
    from fhir_dmp import configuration
    from fhir_dmp.bootstrap import refuse_development_switches
    from fhir_dmp.errors import ConfigurationError, DmpError

    try:
        settings = configuration.load()
        refuse_development_switches(os.environ)
    except ConfigurationError as error:
        click.echo(f"configuration  failed: {error}")
        sys.exit(1)
    click.echo("configuration  ok")
    parts: dict[str, Callable[[Settings], str]] = {
        "store": _store,
        "keys": _keys,
        "clock": _clock,
        "mail": _mail,
    }
    if settings.store.encryption_keys:
        parts["at rest"] = _at_rest
    if settings.documents.scanner_url:
        parts["scanner"] = _scanner
    if deep:
        parts["contents"] = _contents
    failed = False
    for name, examine in parts.items():
        try:
            click.echo(f"{name:14} ok: {examine(settings)}")
        except (ConfigurationError, DmpError, OSError) as error:
            failed = True
            click.echo(f"{name:14} failed: {' '.join(str(error).split())}")
    sys.exit(1 if failed else 0)


def _store(settings: Settings) -> str:
    from fhir_dmp.cli.opening import opened
    from fhir_dmp.http.health import look

    kind = settings.store.url.partition(":")[0]
    if _absent(settings):
        _to_be_made(Path(settings.store.file))
        return f"{kind}, {settings.store.file} is not there yet: the first start makes it"
    with opened(settings) as services:
        now_ms = services.clock.now_ms()
        _clock_follows(services.store, now_ms)
        look(services.store, now_ms)
        stored = sum(services.store.types().values())
        transactions = "transactions" if services.store.transactional else "no transactions"
        return f"{kind}, {stored} resources, {transactions}{_room(settings)}"


def _absent(settings: Settings) -> bool:
    """Say whether the SQLite file is still to be made: a look must not make it, or a wrong name would go unnoticed."""
    return bool(settings.store.file) and not Path(settings.store.file).exists()


def _to_be_made(path: Path) -> None:
    """Check that a file can be made.

    Raises:
        OSError: its folder is not one that may be written.
    """
    folder = next(each for each in path.absolute().parents if each.exists())
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise OSError(f"{path} cannot be made in {folder}: correct store.url, or the rights of the folder")


def _clock_follows(store: ResourceStore, now_ms: int) -> None:
    """Check that the last change of the store is not of tomorrow.

    Raises:
        OSError: the clock went back, or was wrong when that change was made.
    """
    from fhir_dmp.ports import HistoryQuery

    newest = store.history(HistoryQuery(count=1)).versions
    ahead_s = (newest[0].updated_ms - now_ms) // 1000 if newest else 0
    if ahead_s > _SKEW_S:
        raise OSError(f"its last change is {ahead_s} s after this machine's time: set the clock, and keep it by NTP")


def _room(settings: Settings) -> str:
    """Look at the room beside the SQLite file, which its log, the contents and the keys need too.

    Raises:
        OSError: too little of it.
    """
    if not settings.store.file:
        return ""
    folder = next(each for each in Path(settings.store.file).absolute().parents if each.exists())
    free = shutil.disk_usage(folder).free
    if free < _LEAST_FREE:
        raise OSError(f"{free // 1_000_000} MB free in {folder}: make room, or every request will be refused")
    return f", {free // 1_000_000} MB free"


def _at_rest(settings: Settings) -> str:
    from fhir_dmp import keyring
    from fhir_dmp.cli.opening import opened
    from fhir_dmp.store.sealed import SealedStore

    if _absent(settings):
        kid, _ = keyring.master_keys(Path(settings.store.encryption_keys))[0]
        return f"the store will be encrypted, master key {kid}"
    with opened(settings) as services:
        store = services.store
        if not isinstance(store, SealedStore):
            return "the store is not encrypted by this server"
        where = settings.store.data_keys_url or "the store itself"
        return f"encrypted, master key {store.keys.masters.keys[0][0]}, data keys in {where}"


def _contents(settings: Settings) -> str:
    """Verify a SQLite file from end to end.

    Raises:
        OSError: naming the first things that are wrong.
    """
    from fhir_dmp.cli.opening import opened
    from fhir_dmp.store.sealed import SealedStore
    from fhir_dmp.store.sqlite.store import SqliteStore

    if _absent(settings):
        return "nothing is stored yet"
    with opened(settings) as services:
        store = services.store
        below = store.inner if isinstance(store, SealedStore) else store
        if not isinstance(below, SqliteStore):
            return "not offered for this store"
        wrong = below.verify(store.sealed_as(services.terms) if isinstance(store, SealedStore) else services.terms)
    if wrong:
        more = f" (and {len(wrong) - _SHOWN} more)" if len(wrong) > _SHOWN else ""
        raise OSError(f"{'; '.join(wrong[:_SHOWN])}{more}: restore a backup; after an upgrade, run reindex first")
    return "every index row agrees with its resource"


def _keys(settings: Settings) -> str:
    from fhir_dmp import keyring

    folder = keyring.folder_of(settings)
    if not keyring.path_of(folder, "access-token").exists():
        return f"none in {folder} yet: the first start makes them"
    keys = keyring.signing_keys(folder)
    return f"{len(keys.keys)} in {folder}, signing with {keys.current.kid}"


def _clock(settings: Settings) -> str:
    now = time.time()
    if now < _EARLIEST_S:
        raise OSError("the clock of this machine is in the past: set it, and keep it by NTP")
    zone = settings.server.timezone
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise OSError(f"server.timezone: no zone is called '{zone}'") from error
    return f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime(now))}, dates without offset in {zone}"


def _scanner(settings: Settings) -> str:
    from fhir_dmp.upstream.clamd import clamd_of

    return clamd_of(settings.documents.scanner_url).version()


def _mail(settings: Settings) -> str:
    if not settings.mail.smtp_url:
        return "not configured, notices stay queued"
    from fhir_dmp.mail.smtp import smtp_of

    server = smtp_of(settings.mail.smtp_url)
    server.check()
    return f"{server.host} answers"
