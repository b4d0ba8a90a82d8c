"""`fhir-dmp check`: is this installation ready to serve? One line for each part."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from fhir_dmp.settings import Settings

#: Before this moment (2025-01-01) a clock cannot be right.
_EARLIEST_S = 1_735_689_600
#: Faults that are named before the rest is counted.
_SHOWN = 5


@click.command("check")
@click.option("--deep", is_flag=True, help="Compare every index row with its resource, too (SQLite; takes a while).")
def command(deep: bool) -> None:
    """Check configuration, store, keys, clock and mail; exit status 1 when one of them fails.

    Example: fhir-dmp check
    """
    from fhir_dmp import configuration
    from fhir_dmp.errors import ConfigurationError, DmpError

    try:
        settings = configuration.load()
    except ConfigurationError as error:
        click.echo(f"configuration  failed: {error}")
        sys.exit(1)
    click.echo("configuration  ok")
    parts: dict[str, Callable[[Settings], str]] = {
        "store": _store,
        "at rest": _at_rest,
        "keys": _keys,
        "clock": _clock,
        "mail": _mail,
        "scanner": _scanner,
    }
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

    with opened(settings) as services:
        services.store.ping()
        stored = sum(services.store.types().values())
        kind = settings.store.url.partition(":")[0]
        return f"{kind}, {stored} resources, {'transactions' if services.store.transactional else 'no transactions'}"


def _at_rest(settings: Settings) -> str:
    from fhir_dmp.cli.opening import opened
    from fhir_dmp.store.sealed import SealedStore

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
    if not settings.documents.scanner_url:
        return "not configured, contents are not scanned here"
    from fhir_dmp.upstream.clamd import clamd_of

    return clamd_of(settings.documents.scanner_url).version()


def _mail(settings: Settings) -> str:
    if not settings.mail.smtp_url:
        return "not configured, notices stay queued"
    from fhir_dmp.mail.smtp import smtp_of

    server = smtp_of(settings.mail.smtp_url)
    server.check()
    return f"{server.host} answers"
