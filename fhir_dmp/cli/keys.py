"""`fhir-dmp keys`: the keys that sign access tokens and id_tokens."""

from __future__ import annotations

import sys
import time
from datetime import UTC, datetime

import click


@click.group("keys")
def command() -> None:
    """List or rotate the keys that sign tokens. Running servers take a change up within seconds.

    Example: fhir-dmp keys rotate
    """


@command.command("list")
def list_() -> None:
    """List the keys: purpose, key id, since when it signs, and whether it signs now.

    Example: fhir-dmp keys list
    """
    from fhir_dmp import configuration, keyring

    folder = keyring.folder_of(configuration.load())
    now_s = time.time()
    for purpose in keyring.PURPOSES:
        filed = keyring.key_file(folder, purpose)
        current = filed.at(now_s).current.kid
        for key in filed.keys:
            since = filed.since(key)
            state = "signs" if key.kid == current else "published" if since > now_s else "verifies"
            when = datetime.fromtimestamp(since, UTC).isoformat() if since else "the beginning"
            click.echo(f"{purpose:14} {key.kid}  {state:9} since {when}")


@command.command("rotate")
@click.option("--purpose", type=click.Choice(["access-token", "id-token"]), multiple=True, help="Which keys.  [both]")
@click.option("--now", "at_once", is_flag=True, help="Sign with the new key at once, not after a day of publication.")
@click.option("--emergency", is_flag=True, help="Remove every other key: no token issued until now is good any more.")
def rotate(purpose: tuple[str, ...], at_once: bool, emergency: bool) -> None:
    """Make a new key. It is published at once and signs after 24 hours; the old one verifies for two hours more.

    Example: fhir-dmp keys rotate
    """
    from fhir_dmp import configuration, keyring
    from fhir_dmp.cli.opening import opened
    from fhir_dmp.oauth.authority import Request

    settings = configuration.load()
    folder = keyring.folder_of(settings)
    with opened(settings) as services:
        for each in purpose or keyring.PURPOSES:
            filed = keyring.rotate(folder, each, time.time(), at_once=at_once, alone=emergency)
            details = (("keys", f"{each} {filed.keys[0].kid}{' emergency' if emergency else ''}"),)
            services.authority.record(Request({}), "configuration", client_id="fhir-dmp", details=details)
            click.echo(f"{each}: {filed.keys[0].kid}")
    if emergency:
        click.echo("fhir-dmp: every token issued until now is refused from now on", file=sys.stderr)
