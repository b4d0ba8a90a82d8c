"""Professionals as the tokens name them: an opaque, stable subject, and their resource in the directory."""

from __future__ import annotations

import hashlib
import hmac

from fhir_dmp.identity.caller import Actor, Caller
from fhir_dmp.interactions import gather
from fhir_dmp.interactions.services import Services


def professional_subject(pepper: bytes, number: str) -> str:
    """Return the `sub` of a professional (PSIdNat): the same for the same person, and telling nothing of the number."""
    return hmac.new(pepper, f"professional:{number}".encode(), hashlib.sha256).hexdigest()[:32]


def fhir_user_of(number: str, services: Services) -> str | None:
    """Return `Practitioner/id` of a professional (PSIdNat), None when the directory does not hold one."""
    refs = gather.own_refs(Caller(Actor.PROFESSIONAL, "", professional=number), services)
    return next((each for each in sorted(refs) if each.startswith("Practitioner/")), None)
