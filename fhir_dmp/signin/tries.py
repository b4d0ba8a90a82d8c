"""Failed sign-ins: after five the account is locked for a while that doubles; the same for an account that nobody has.

[security 8.2/TH32, 8.4]. The counter belongs to what was typed, not to an account, so that a lock tells nothing about
who exists; a second counter belongs to the network address. Only failures count.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Final

from fhir_dmp.identity.accounts import TRIES, folded
from fhir_dmp.oauth.codes import secret_key
from fhir_dmp.signin.desk import Desk

KIND: Final = "tries"
FIRST_LOCK_MS: Final = 60_000
LONGEST_LOCK_MS: Final = 3_600_000
#: Failures older than this are forgotten.
FORGOTTEN_MS: Final = 24 * 3_600_000
#: One address may be a whole hospital.
ADDRESS_TRIES: Final = 50


def locked_s(login: str, address: str, desk: Desk) -> int:
    """Return for how many seconds more nobody may sign in with this login from this address; 0 when they may."""
    now = desk.now_ms()
    until = max(int((desk.read(KIND, key) or {}).get("until_ms", 0)) for key, _ in _counters(login, address))
    return max(0, -(-(until - now) // 1000))


def failed(login: str, address: str, desk: Desk) -> bool:
    """Count a failure; return whether this one locked the login."""
    locked = False
    for key, allowed in _counters(login, address):
        body = desk.change(KIND, key, FORGOTTEN_MS, partial(_one_more, allowed=allowed, now_ms=desk.now_ms()))
        locked = locked or (body is not None and body["failures"] == allowed == TRIES)
    return locked


def forgiven(login: str, desk: Desk) -> None:
    """Forget the failures of a login that has signed in."""
    desk.state.remove(KIND, _of_login(login))


def _one_more(old: dict[str, Any], allowed: int, now_ms: int) -> dict[str, Any]:
    failures = int(old.get("failures", 0)) + 1
    beyond = failures - allowed
    wait = min(FIRST_LOCK_MS << min(beyond, 10), LONGEST_LOCK_MS) if beyond >= 0 else 0
    return {"failures": failures, "until_ms": now_ms + wait if wait else int(old.get("until_ms", 0))}


def _counters(login: str, address: str) -> tuple[tuple[str, int], ...]:
    return (_of_login(login), TRIES), (secret_key(f"address:{address}"), ADDRESS_TRIES)


def _of_login(login: str) -> str:
    return secret_key(f"login:{folded(login)}")
