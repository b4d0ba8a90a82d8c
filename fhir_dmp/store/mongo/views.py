"""What a reader sees: the two layouts of rows, and the filter that hides what is not decided yet.

In place (replica set): `_id` is the address of a row (the logical id of a resource, the key of a claim), replaced
inside a transaction. Versioned (server without transactions): `_id` is `address@attempt` and `i` the address; a new
row lies beside the one it replaces until one single-document write decides (docs/adr/0004-mongo-standalone-commits.md).

Fields of versioned rows:  s  sequence that made it     c  attempt that wrote it, until the commit is settled
                           e  sequence that ended it    w  when it ended (ms), for the sweep of dead rows
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

Doc = dict[str, Any]
#: A filter of MongoDB.
Filter = dict[str, Any]

IN_PLACE = "in-place"
VERSIONED = "versioned"


@dataclass(frozen=True, slots=True)
class View:
    """One reader's position. horizon: the last visible sequence of the versioned layout, None in place.

    session: of the driver; None outside transactions and snapshots.
    """

    horizon: int | None = None
    session: Any = None

    @property
    def address(self) -> str:
        """The field that holds the address of a row."""
        return "_id" if self.horizon is None else "i"

    def visible(self) -> Filter:
        """Return the conditions that limit a query to the rows this reader may see."""
        if self.horizon is None:
            return {}
        return {"s": {"$lte": self.horizon}, "c": None, "e": {"$not": {"$lte": self.horizon}}}

    def address_of(self, doc: Doc) -> str:
        """Return the address of a row that was read."""
        address: str = doc["_id" if self.horizon is None else "i"]
        return address


def everything_of(*conditions: Filter) -> Filter:
    """Return the conjunction of filters, without empty ones."""
    parts = [condition for condition in conditions if condition]
    if not parts:
        return {}
    return parts[0] if len(parts) == 1 else {"$and": parts}
