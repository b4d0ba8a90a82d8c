"""The constraints of data types that base validity needs, written by hand and named as in the definitions.

https://hl7.org/fhir/R4/datatypes.html. Each takes an object of its type and returns a Fault or None. Constraints of
resources and profiles, which are FHIRPath expressions, are not here.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from fhir_dmp.validation.primitives import Fault

Invariant = Callable[[dict[str, Any]], Fault | None]

_EXT_1 = Fault("invariant", "ext-1: an extension has either a value or extensions of its own, not both, not neither.")
_PER_1 = Fault("invariant", "per-1: a period must not end before it starts.")
_ATT_1 = Fault("invariant", "att-1: an attachment with data must state its contentType.")
_QTY_3 = Fault("invariant", "qty-3: a quantity with a coded unit must state the system of the unit.")
_CPT_2 = Fault("invariant", "cpt-2: a contact point with a value must state its system.")


def _extension(node: dict[str, Any]) -> Fault | None:
    has_value = any(name.startswith(("value", "_value")) for name in node)
    return _EXT_1 if has_value == ("extension" in node) else None


def _moment(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None  # a leap second, or a fault that the primitive check reports
    return moment if moment.tzinfo else None


def _period(node: dict[str, Any]) -> Fault | None:
    """Two moments are compared exactly; otherwise the precision that both sides share decides."""
    start, end = node.get("start"), node.get("end")
    if start.__class__ is not str or end.__class__ is not str:
        return None
    if len(start) > 10 and len(end) > 10:
        first, last = _moment(start), _moment(end)
        return _PER_1 if first and last and first > last else None
    shared = min(len(start), len(end), 10)
    return _PER_1 if start[:shared] > end[:shared] else None


def _needs(present: str, required: str, fault: Fault) -> Invariant:
    def check(node: dict[str, Any]) -> Fault | None:
        return fault if present in node and required not in node and f"_{required}" not in node else None

    return check


_quantity = _needs("code", "system", _QTY_3)

#: Type -> its constraints.
INVARIANTS: dict[str, tuple[Invariant, ...]] = {
    "Age": (_quantity,),
    "Attachment": (_needs("data", "contentType", _ATT_1),),
    "ContactPoint": (_needs("value", "system", _CPT_2),),
    "Count": (_quantity,),
    "Distance": (_quantity,),
    "Duration": (_quantity,),
    "Extension": (_extension,),
    "Period": (_period,),
    "Quantity": (_quantity,),
}
