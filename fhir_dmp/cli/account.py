"""`fhir-dmp account`: local accounts of patients, of who acts for them, and of demonstrations."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from fhir_dmp.identity.accounts import Account
    from fhir_dmp.signin.desk import Desk

_ISSUER = "DMP"


@click.group("account")
def command() -> None:
    """Add, list or disable local accounts.

    Example: fhir-dmp account add --login anouk --patient 285047511200314 --email anouk@example.org
    """


@command.command("add")
@click.option("--login", required=True, help="What the holder types to sign in.")
@click.option("--patient", default="", metavar="INS", help="Own record.")
@click.option("--represents", multiple=True, metavar="INS", help="Record of a minor.")
@click.option("--protects", multiple=True, metavar="INS", help="Record of a protected adult.")
@click.option("--delegation", multiple=True, metavar="ID", help="Consent of a delegation to this person.")
@click.option("--ps", default="", metavar="RPPS", help="A professional (only with security.local_professionals).")
@click.option("--profession", default="10", show_default=True, metavar="CODE", help="Profession (TRE_G15).")
@click.option("--structure", multiple=True, metavar="FINESS=NAME", help="Place of work of a professional.")
@click.option("--regulator", is_flag=True, help="Accredited regulator.")
@click.option("--auditor", is_flag=True, help="An auditor.")
@click.option("--email", default="", help="Where codes are sent; without it a time-based code (TOTP) is used.")
@click.option("--family", default="", help="Family name, of somebody who has no record.")
@click.option("--given", default="", help="Given name, of somebody who has no record.")
@click.option("--language", type=click.Choice(["fr", "en"]), default="fr", show_default=True, help="Of messages.")
@click.option("--password-file", type=click.Path(exists=True, dir_okay=False), help="Read the password from this file.")
def add(
    login: str,
    patient: str,
    represents: tuple[str, ...],
    protects: tuple[str, ...],
    delegation: tuple[str, ...],
    ps: str,
    profession: str,
    structure: tuple[str, ...],
    regulator: bool,
    auditor: bool,
    email: str,
    family: str,
    given: str,
    language: str,
    password_file: str | None,
) -> None:
    """Add an account, and print what its holder needs as JSON.

    Example: fhir-dmp account add --login anouk --patient 285047511200314 --password-file secret.txt
    """
    from fhir_dmp.cli.opening import known_profession
    from fhir_dmp.identity.accounts import AccountClass, SecondFactor, totp_uri
    from fhir_dmp.identity.upstream import Practice
    from fhir_dmp.signin.enrolling import Enrolment, enrol
    from fhir_dmp.signin.visits import Visit
    from fhir_dmp.terminology.aliases import PROFESSION
    from fhir_dmp.terminology.numbers import professional_id, structure_id

    if sum(map(bool, (patient or represents or protects or delegation, ps, auditor))) != 1:
        raise click.UsageError("one account is for a patient (or who acts for one), a professional, or an auditor")
    number = professional_id(ps) if ps else ""
    if ps and number is None:
        raise click.UsageError("--ps takes the RPPS, 11 digits")
    practices = []
    for each in structure or (("",) if ps else ()):
        finess, _, name = each.partition("=")
        practices.append(
            Practice(
                (PROFESSION, known_profession(profession)), profession + "C", None, structure_id(finess), name.strip()
            )
        )
    kind = AccountClass.PROFESSIONAL if ps else AccountClass.AUDITOR if auditor else AccountClass.PATIENT
    asked = Enrolment(
        login=login, password=_password(password_file), kind=kind, email=email, family=family, given=given,
        patient=patient, represents=represents, protects=protects, delegations=delegation, number=number or "",
        practices=tuple(practices), regulator=regulator, language=language,
    )  # fmt: skip
    with _desk() as desk:
        account = enrol(asked, desk, Visit("account", ""))
    shown = {"login": account.login, "second_factor": account.second.value}
    if account.second is SecondFactor.TOTP:
        shown["totp"] = totp_uri(account, _ISSUER)
    click.echo(json.dumps(shown, indent=2))


@command.command("list")
def list_() -> None:
    """List the accounts: login, kind, second factor, state.

    Example: fhir-dmp account list
    """
    from fhir_dmp.signin import accounts

    with _desk() as desk:
        for account in sorted(accounts.every(desk), key=lambda each: each.login):
            state = "disabled" if account.disabled else "active"
            click.echo(f"{account.login:30} {account.kind.value:13} {account.second.value:6} {state}")


@command.command("disable")
@click.argument("login")
@click.option("--again", is_flag=True, help="Let the holder in again.")
def disable(login: str, again: bool) -> None:
    """Keep the holder of an account out, from now on: logins and tokens end.

    Example: fhir-dmp account disable anouk
    """
    from fhir_dmp import configuration
    from fhir_dmp.cli.opening import opened
    from fhir_dmp.errors import NotFound
    from fhir_dmp.oauth import revoke
    from fhir_dmp.signin import accounts, browsers

    with opened(configuration.load()) as services:
        try:
            account = accounts.disable(login, not again, services.desk)
        except NotFound as error:
            raise click.ClickException(f"{error} (see: fhir-dmp account list)") from error
        if not again:
            for each in browsers.logins_of(account.subject, services.desk):
                browsers.end(each.sid, services.desk)
            revoke.end_subject(services.authority, account.subject)
    click.echo(f"{account.login} {'active' if again else 'disabled'}")


@command.command("code")
@click.argument("login")
def code(login: str) -> None:
    """Print the time-based code of an account at this moment: for demonstrations and first steps.

    Example: fhir-dmp account code anouk
    """
    from fhir_dmp.identity.accounts import totp_now

    with _desk() as desk:
        click.echo(totp_now(_with_totp(login, desk), desk.now_ms()))


def _with_totp(login: str, desk: Desk) -> Account:
    from fhir_dmp.signin import accounts

    account = accounts.of_login(login, desk)
    if account is None:
        raise click.ClickException(f"there is no account '{login}': see fhir-dmp account list")
    if not account.totp:
        raise click.ClickException(f"the account '{login}' gets its codes by e-mail")
    return account


def _password(file: str | None) -> str:
    if file is not None:
        return Path(file).read_text(encoding="utf-8").rstrip("\r\n")
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\r\n")
    entered: str = click.prompt("Password", hide_input=True, confirmation_prompt=True)
    return entered


@contextmanager
def _desk() -> Iterator[Desk]:
    from fhir_dmp import configuration
    from fhir_dmp.cli.opening import opened

    with opened(configuration.load()) as services:
        yield services.desk
