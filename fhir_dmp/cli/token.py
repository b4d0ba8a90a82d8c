"""`fhir-dmp token`: an operator's tool that signs an access token with this server's key."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import replace
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from fhir_dmp.bootstrap import Wired
    from fhir_dmp.identity.applicants import Application

_MODES = ("normal", "bris_de_glace", "centre_15")


@click.command("token")
@click.option("--as", "who", required=True, metavar="KIND[:ID]", help="patient, representative, delegate (INS); ps "
              "(RPPS); org (FINESS); feeder; auditor; admin.")  # fmt: skip
@click.option(
    "--profession", default="", metavar="CODE", help="Profession of a ps: CODE (TRE_G15) or SYSTEM|CODE.  [10]"
)
@click.option("--structure", default="", metavar="FINESS", help="Structure acted for.")
@click.option("--patient", default="", metavar="INS", help="Patient in context.")
@click.option("--scope", default=None, metavar="SCOPES", help="SMART scopes.  [the maximum of the kind]")
@click.option("--mode", type=click.Choice(_MODES), default="normal", show_default=True, help="Access mode.")
@click.option("--reason", default=None, metavar="TEXT", help="Motive of an emergency access.")
@click.option("--regulator", is_flag=True, help="Accredited regulator (mode centre_15).")
@click.option("--secret", is_flag=True, help="Secret connection.")
@click.option(
    "--ttl", type=click.IntRange(1, 86_400 * 365), default=None, metavar="S", help="Lifetime in seconds.  [3600]"
)
def command(
    who: str,
    profession: str,
    structure: str,
    patient: str,
    scope: str | None,
    mode: str,
    reason: str | None,
    regulator: bool,
    secret: bool,
    ttl: int | None,
) -> None:
    """Print an access token signed with this server's key.

    Example: fhir-dmp token --as ps:10001234567 --structure 750000001 --patient 285047511200314
    """
    from fhir_dmp import configuration
    from fhir_dmp.cli.opening import known_profession, opened
    from fhir_dmp.identity.applicants import KINDS, Application
    from fhir_dmp.identity.caller import Mode

    kind, _, id_ = who.partition(":")
    if kind not in KINDS:
        raise click.UsageError(f"--as {kind}: the kind must be one of {', '.join(KINDS)}")
    asked = Application(
        kind, id_, "", None, known_profession(profession), structure, scope, Mode(mode), reason, regulator, secret
    )
    with opened(configuration.load()) as services:
        click.echo(_signed(identified(asked, patient, services), services, ttl))


def identified(asked: Application, patient: str, services: Wired) -> Application:
    """Replace national health identities by what a token may hold: the record's id, or a pseudonym."""
    from fhir_dmp.identity.applicants import PERSONS

    context = services.patient_id(None, patient) if patient else None
    if patient and context is None:
        raise click.ClickException("no patient of this store has the INS of --patient: open the dossier first")
    if asked.kind not in PERSONS:
        return replace(asked, patient=context)
    if not asked.id:
        raise click.UsageError(f"--as {asked.kind}: give the INS, as {asked.kind}:INS")
    own = services.patient_id(None, asked.id)
    if asked.kind == "patient":
        if own is None:
            raise click.ClickException("no patient of this store has this INS: open the dossier first")
        return replace(asked, id="", subject=own, patient=own)
    return replace(asked, id="", subject=own or _pseudonym(asked.id, services), patient=context)


def _pseudonym(ins: str, services: Wired) -> str:
    """Name a person without telling who it is: the same INS gives the same name on this server only."""
    from fhir_dmp import keyring

    key = keyring.secret(keyring.folder_of(services.settings), "pseudonym")
    return hmac.new(key, ins.encode(), hashlib.sha256).hexdigest()[:32]


def _signed(asked: Application, services: Wired, ttl: int | None) -> str:
    from fhir_dmp.errors import BadRequest
    from fhir_dmp.identity.applicants import caller_of
    from fhir_dmp.identity.caller import EMERGENCY_TTL_S, Mode
    from fhir_dmp.identity.tokens import Validity, claims_of, sign

    try:
        caller = caller_of(asked, services.settings.access.regulation_centres)
    except BadRequest as error:
        raise click.UsageError(str(error)) from error
    lifetime = ttl or services.settings.security.token_ttl_s
    if caller.mode is Mode.BREAK_GLASS:
        lifetime = min(lifetime, EMERGENCY_TTL_S)
    now = services.clock.now_ms() // 1000
    claims = claims_of(
        caller,
        issuer=services.issuer,
        audience=services.base,
        validity=Validity(now, now + lifetime),
        jti=services.ids.token(),
    )
    return sign(claims, services.verifier.keys)
