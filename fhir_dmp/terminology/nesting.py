"""The codes of an expansion in the hierarchy of their code systems."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from fhir_dmp.terminology.aliases import canonical_system
from fhir_dmp.terminology.code_system import NotComputable
from fhir_dmp.terminology.listing import Row
from fhir_dmp.terminology.value_set import Pair

#: Deeper hierarchies are only given flat: few programs read them.
MAX_LEVELS = 50


@dataclass(eq=False)
class Branch:
    """A code and those below it."""

    row: Row
    below: list[Branch] = field(default_factory=list)


def nested(rows: Sequence[Row]) -> list[Branch]:
    """Return the codes that stand below none of the others, each with what is below it; the order stays.

    A code with several parents stands once, below the first of them that is there.

    Raises:
        NotComputable: deeper than MAX_LEVELS.
    """
    branches = {row.pair: Branch(row) for row in rows}
    over = {pair: _parent(branch.row, branches) for pair, branch in branches.items()}
    tops = []
    for pair, branch in branches.items():
        parent = over[pair]
        if parent is None or _leads_to(pair, parent, over):
            over[pair] = None
            tops.append(branch)
        else:
            branches[parent].below.append(branch)
    return tops


def _parent(row: Row, branches: dict[Pair, Branch]) -> Pair | None:
    system = canonical_system(row.system)
    parents = row.concept.parents if row.concept is not None else ()
    return next(((system, code) for code in parents if (system, code) in branches), None)


def _leads_to(pair: Pair, parent: Pair, over: dict[Pair, Pair | None]) -> bool:
    """Say whether a code stands above its own parent."""
    at: Pair | None = parent
    for _ in range(MAX_LEVELS):
        if at is None:
            return False
        if at == pair:
            return True
        at = over[at]
    raise NotComputable(f"The hierarchy has more than {MAX_LEVELS} levels; ask for it flat (excludeNested).")
