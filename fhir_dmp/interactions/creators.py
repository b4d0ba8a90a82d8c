"""Who created a content: an index term, so that it stays readable to its creator until a document points to it."""

from __future__ import annotations

import hashlib

from fhir_dmp.identity.caller import Caller


def creator_term(caller: Caller) -> str:
    """Return the index term that marks what a caller created, without naming the caller."""
    text = f"{caller.actor.value}|{caller.issuer}|{caller.subject}|{caller.client}"
    return f"~creator={hashlib.sha256(text.encode()).hexdigest()[:32]}"
