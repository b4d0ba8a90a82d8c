"""The accounts and applications of the demonstration: known passwords, for fictitious people only.

The second factor is real (TOTP); `fhir-dmp account code LOGIN` shows the code of the moment, and so does any
authenticator that is given the secret below.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from fhir_dmp.demo.people import ANOUK, DOCTOR, HOSPITAL, MINOR, NURSE, REGULATOR, STRUCTURES, Professional
from fhir_dmp.errors import Conflict
from fhir_dmp.identity.accounts import AccountClass
from fhir_dmp.identity.upstream import Practice
from fhir_dmp.oauth.authenticate import hash_secret
from fhir_dmp.oauth.clients import (
    AUTHORIZATION_CODE,
    CLIENT_CREDENTIALS,
    REFRESH_TOKEN,
    Client,
    Finality,
    Kind,
    Method,
    Referencing,
    UserClass,
)
from fhir_dmp.signin import accounts
from fhir_dmp.signin.desk import Desk
from fhir_dmp.signin.enrolling import Enrolment, enrol
from fhir_dmp.signin.visits import Visit
from fhir_dmp.terminology.aliases import PROFESSION

PASSWORD = "demonstration"  # noqa: S105 - everybody knows it, and nobody lives behind it
TOTP = "KRUGS4ZANFZSAYJAMRSW23ZAONSWG4TF"
BACKEND_SECRET = "demonstration-of-a-backend"  # noqa: S105
#: On a loopback address the port is free (RFC 8252).
CALLBACK = "http://127.0.0.1/callback"
LAUNCH = "http://127.0.0.1:9002/launch"
_VISIT = Visit("demo", "127.0.0.1")

APP = Client(
    client_id="demo-app",
    name="Carnet de démonstration",
    kind=Kind.APP,
    user_classes=frozenset({UserClass.PATIENT}),
    grant_types=(AUTHORIZATION_CODE, REFRESH_TOKEN),
    scope="openid fhirUser profile launch/patient offline_access online_access patient/*.rs",
    redirect_uris=(CALLBACK,),
    post_logout_redirect_uris=(CALLBACK,),
    legal_entity="Carnet, société fictive",
    referencing=Referencing("DEMO-1", "2026-01-05", Finality.FOLLOW_UP),
)
LPS = Client(
    client_id="demo-lps",
    name="Logiciel de cabinet de démonstration",
    kind=Kind.LPS,
    user_classes=frozenset({UserClass.PROFESSIONAL}),
    grant_types=(AUTHORIZATION_CODE, REFRESH_TOKEN),
    scope="openid fhirUser profile launch launch/patient launch/encounter offline_access online_access patient/*.rs "
    "user/*.rs user/DocumentReference.cruds user/Binary.cr user/List.crs __access_mode.normal "
    "__access_mode.bris_de_glace __access_mode.centre_15",
    redirect_uris=(CALLBACK,),
    launch_uris=(LAUNCH,),
)
BACKEND = Client(
    client_id="demo-backend",
    name="Système hospitalier de démonstration",
    kind=Kind.LPS,
    method=Method.BASIC,
    grant_types=(CLIENT_CREDENTIALS,),
    scope="system/DocumentReference.cus system/Binary.c system/List.c system/Patient.rs __launch.create",
    structure=HOSPITAL,
    structure_name=STRUCTURES[HOSPITAL],
)


def load(desk: Desk) -> None:
    """Add the accounts and applications that are not there yet; what people changed stays.

    Raises:
        DmpError: the record does not hold the people of the demonstration.
    """
    for client in (APP, LPS, replace(BACKEND, secret_hash=hash_secret(BACKEND_SECRET))):
        if desk.clients.get(client.client_id) is None:
            _add(client, desk)
    own = Enrolment("anouk", PASSWORD, patient=ANOUK.ins, represents=(MINOR.ins,))
    for asked in (own, *(_professional(each) for each in (DOCTOR, NURSE, REGULATOR))):
        if accounts.of_login(asked.login, desk) is None:
            account = enrol(asked, desk, _VISIT)
            accounts.change(account.id, lambda one: replace(one, totp=TOTP), desk)


def _add(client: Client, desk: Desk) -> None:
    try:
        desk.clients.add(client)
    except Conflict:
        return  # another process was faster


def _professional(one: Professional) -> Enrolment:
    practice = Practice((PROFESSION, one.profession), f"{one.profession}C", None, one.structure,
                        STRUCTURES[one.structure])  # fmt: skip
    return Enrolment(
        one.family.lower(), PASSWORD, AccountClass.PROFESSIONAL, family=one.family, given=one.given,
        number=one.number, practices=(practice,), regulator=one is REGULATOR,
    )  # fmt: skip


def lines() -> Iterator[str]:
    """Yield how to sign in."""
    yield f"Sign in   anouk, carlier, oudart, fouquet; password {PASSWORD}; code: fhir-dmp account code LOGIN"
    yield f"Software  client_id {APP.client_id} (patients), {LPS.client_id} (professionals), redirect_uri {CALLBACK}"
