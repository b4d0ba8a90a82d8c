"""`fhir-dmp audit`: is the trail whole, what does it say, and proofs for others."""

from __future__ import annotations

import csv
import io
import json
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from fhir_dmp.audit.signing import PublicKeys
    from fhir_dmp.bootstrap import Wired
    from fhir_dmp.ports import ResourceStore
    from fhir_dmp.settings import Settings

_PUB = click.option(
    "--pub",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Public keys (JWK Set, JWK or PEM).  [those of this server]",
)


@click.group("audit")
def command() -> None:
    """Prove that the audit trail is whole; export it.

    Example: fhir-dmp audit verify
    """


@command.command()
@click.option("--from", "start", type=click.IntRange(1), metavar="SEQ", help="Start at the checkpoint of this record.")
@click.option("--to", "end", type=click.IntRange(1), metavar="SEQ", help="Stop after the checkpoint of this record.")
@click.option(
    "--checkpoints",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Checkpoints kept outside of the store.  [audit.checkpoints]",
)
@_PUB
def verify(start: int | None, end: int | None, checkpoints: Path | None, pub: Path | None) -> None:
    """Check every record against the chain and its signed checkpoints; exit status 1 for any defect.

    Example: fhir-dmp audit verify --from 250000 --pub audit-key.json
    """
    from fhir_dmp import background, bootstrap, configuration
    from fhir_dmp.cli.progress import Progress
    from fhir_dmp.interactions import verifying

    settings = configuration.load()
    keys = _public_keys(settings, pub)
    kept = checkpoints or bootstrap.witness_of(settings)
    outside = list(background.witnessed(kept)) if kept is not None and kept.exists() else []
    with closing(bootstrap.open_store(settings.store)) as store:
        progress = Progress("records", _newest(store))
        try:
            verdict = verifying.verify_trail(
                store.ledger, keys, outside, start=start, end=end, advance=progress.advance
            )
        except ValueError as error:
            raise click.ClickException(f"a checkpoint in the store is damaged ({error})") from error
        progress.finish()
    for finding in verdict.findings:
        click.echo(str(finding))
    last = verdict.last
    click.echo(
        f"{verdict.checked} records in {verdict.checkpoints} checkpoints checked, {verdict.unsealed} not sealed yet"
    )
    if last is not None:
        click.echo(f"next time from: --from {last.last + 1} (checkpoint {last.number}, {last.head.hex()})")
    if not verdict.whole:
        raise click.ClickException(f"{len(verdict.findings)} defects: the trail is not whole")


@command.command()
@click.argument("seq", type=click.IntRange(1), required=False)
@click.option(
    "--check", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Check a proof instead of making one."
)
@_PUB
def prove(seq: int | None, check: Path | None, pub: Path | None) -> None:
    """Print a proof that a record is part of the trail, or check one with the public key alone.

    Example: fhir-dmp audit prove 918273
    """
    from fhir_dmp import bootstrap, configuration
    from fhir_dmp.audit.proof import proven
    from fhir_dmp.interactions import verifying

    settings = configuration.load()
    if check is not None:
        try:
            sound = proven(json.loads(check.read_bytes()), _public_keys(settings, pub))
        except ValueError as error:
            raise click.ClickException(f"{check}: {error}") from error
        if not sound:
            raise click.ClickException(f"{check}: the proof does not hold")
        click.echo("the proof holds")
        return
    if seq is None:
        raise click.UsageError("name the number of a record, or a proof with --check")
    with closing(bootstrap.open_store(settings.store)) as store:
        found = verifying.proof(store.ledger, seq)
    if found is None:
        raise click.ClickException(f"no sealed record has the number {seq}")
    click.echo(json.dumps(found))


@command.command()
@click.option("--rotate", is_flag=True, help="Sign with a new key from the next start of the server on.")
def key(rotate: bool) -> None:
    """Print the public keys of checkpoints, to be handed to whoever verifies.

    Example: fhir-dmp audit key > audit-key.json
    """
    from fhir_dmp import configuration, keyring

    folder = keyring.folder_of(configuration.load())
    keys = keyring.rotate_checkpoint_key(folder) if rotate else keyring.checkpoint_keys(folder)
    click.echo(json.dumps(keys.public()))


@command.command()
@click.option("--out", required=True, type=click.Path(dir_okay=False, path_type=Path), help="File to write.")
@click.option("--patient", metavar="INS", help="Only the accesses to this record.")
@click.option("--from", "start", metavar="DATE", help="Not before this day or instant.")
@click.option("--to", "end", metavar="DATE", help="Not after this day or instant.")
@click.option(
    "--form",
    type=click.Choice(["ndjson", "tde", "csv"]),
    default="ndjson",
    show_default=True,
    help="AuditEvents, those of the national trace model, or one line a record for a spreadsheet.",
)
def export(out: Path, patient: str | None, start: str | None, end: str | None, form: str) -> None:
    """Export the trail, oldest first; the export is itself recorded.

    Example: fhir-dmp audit export --patient 285047511200314 --form tde --out accesses.ndjson
    """
    from fhir_dmp import configuration
    from fhir_dmp.bootstrap import build
    from fhir_dmp.cli.files import whole
    from fhir_dmp.errors import BadRequest
    from fhir_dmp.interactions import verifying

    with closing(build(configuration.load())) as services:
        named = _patient(services, patient)
        try:
            span = verifying.span(start, end, services.zone)
        except BadRequest as error:
            raise click.UsageError(str(error)) from error
        verifying.note_export(named, services)
        count = 0
        with whole(out) as target, io.TextIOWrapper(target, encoding="utf-8", newline="") as file:
            table = csv.writer(file)
            if form == "csv":
                table.writerow(verifying.COLUMNS)
            for record in verifying.records(named, span, services):
                if form == "csv":
                    table.writerow(verifying.row_of(record))
                else:
                    file.write(verifying.line_of(record, services, national=form == "tde"))
                count += 1
    click.echo(f"{out}: {count} records")


def _patient(services: Wired, ins: str | None) -> str | None:
    if ins is None:
        return None
    system, _, value = ins.rpartition("|")
    found = services.patient_id(system or None, value)
    if found is None:
        raise click.ClickException("no record holds this INS: check the number and the store (DMP_STORE_URL)")
    return f"Patient/{found}"


def _newest(store: ResourceStore) -> int:
    from fhir_dmp.audit.chain import decode

    last = store.ledger.last_seal()
    return 0 if last is None else decode(last).checkpoint.last


def _public_keys(settings: Settings, pub: Path | None) -> PublicKeys:
    from fhir_dmp import keyring
    from fhir_dmp.audit import signing

    if pub is None:
        folder = keyring.folder_of(settings)
        if not (folder / keyring.CHECKPOINTS).exists():
            raise click.UsageError(f"no key in {folder}: name the public key with --pub (fhir-dmp audit key prints it)")
        return keyring.checkpoint_keys(folder).verifiers()
    content = pub.read_bytes()
    try:
        if content.lstrip().startswith(b"-----"):
            return signing.public_key_of_pem(content)
        return signing.public_keys(json.loads(content))
    except (ValueError, AttributeError) as error:
        raise click.UsageError(f"{pub}: {error}; give what `fhir-dmp audit key` prints") from error
