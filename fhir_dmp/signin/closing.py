"""Ending what people have: logins of a person, wherever they are."""

from __future__ import annotations

from fhir_dmp.signin import browsers
from fhir_dmp.signin.desk import Desk


def end_everything(subject: str, desk: Desk) -> None:
    """End every login of a person."""
    for login in browsers.logins_of(subject, desk):
        browsers.end(login.sid, desk)
