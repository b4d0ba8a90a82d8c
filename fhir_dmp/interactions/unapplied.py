"""Parameters that mean nothing where they stand: refused by strict handling, else told in a header. fhir-rest 6.2

A read has no Bundle in which an outcome could stand, so the header says what was left out (RFC 7234, code 199).
"""

from __future__ import annotations

import re
from collections.abc import Collection

from fhir_dmp.errors import BadRequest, Issue
from fhir_dmp.interactions.exchange import Call

#: Parameters that concern the form of the answer only.
REPRESENTATION = frozenset({"_format", "_pretty", "_summary", "_elements"})
_UNFIT = re.compile(r"[^A-Za-z0-9_.:\-$]")
_MOST = 10


def headers(call: Call, known: Collection[str]) -> tuple[tuple[str, str], ...]:
    """Return the header that tells which parameters of a call were not applied, none when all were.

    Raises:
        BadRequest: strict handling; each of them is named.
    """
    names = list(dict.fromkeys(name for name, _ in call.query if name not in known))[:_MOST]
    if not names:
        return ()
    shown = [_UNFIT.sub("?", name)[:60] for name in names]
    if call.info.strict:
        raise BadRequest(
            issues=[
                Issue("not-supported", f"The parameter '{name}' means nothing here.", expression=(f"http.{name}",))
                for name in shown
            ]
        )
    return (("Warning", ", ".join(f'199 fhir-dmp "The parameter {name} was not applied"' for name in shown)),)
