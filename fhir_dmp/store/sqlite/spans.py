"""Relations between spans, as SQL conditions and as ranges of the index. Pure; the meaning is `match.span_holds`.

The index of spans is sorted by (key, width class, lo). Within a class no span is wider than its width, so that a
condition on `hi` is also a range of `lo`: every prefix but `ne` becomes one short range for each class.
"""

from __future__ import annotations

from typing import assert_never

from fhir_dmp.search.query import MINUS_INFINITY, PLUS_INFINITY, Op
from fhir_dmp.store.sqlite.codec import WIDTHS, whole

Fragment = tuple[str, tuple[object, ...]]

#: Beyond every stored bound.
_LOWEST, _HIGHEST = 2 * MINUS_INFINITY, 2 * PLUS_INFINITY - 1


def condition(op: Op, low: float, high: float, lo: str, hi: str) -> Fragment:
    """Return the SQL condition that a stored span (columns `lo`, `hi`) stands in relation `op` to [low, high)."""
    low, high = whole(low), whole(high)
    inside = f"({lo} >= ? AND {hi} <= ?)"
    match op:
        case Op.EQ:
            return inside, (low, high)
        case Op.NE:
            return f"NOT {inside}", (low, high)
        case Op.GT:
            return f"{hi} > ?", (high,)
        case Op.LT:
            return f"{lo} < ?", (low,)
        case Op.GE:
            return f"({hi} > ? OR {inside})", (high, low, high)
        case Op.LE:
            return f"({lo} < ? OR {inside})", (low, low, high)
        case Op.SA:
            return f"{lo} >= ?", (high,)
        case Op.EB:
            return f"{hi} <= ?", (low,)
        case Op.AP:
            return f"({lo} < ? AND {hi} > ?)", (high, low)
        case _:
            assert_never(op)


def ranges(op: Op, low: float, high: float) -> list[tuple[int, float, float]] | None:
    """Return (class, least lo, greatest lo), both inclusive, that hold every matching span; None: no useful range."""
    if op is Op.NE:
        return None
    widths = (*WIDTHS, None)
    return [(number, *lo_range(op, low, high, width)) for number, width in enumerate(widths)]


def lo_range(op: Op, low: float, high: float, width: float | None) -> tuple[float, float]:
    """Return the least and the greatest `lo`, inclusive, of the matching spans that are at most `width` wide."""

    def back(bound: float) -> float:
        """Return the least `lo` of a span of this class that reaches beyond the bound."""
        return _LOWEST if width is None else whole(bound - width)

    match op:
        case Op.EQ:
            least, most = low, high
        case Op.GT:
            least, most = back(high), _HIGHEST
        case Op.GE:
            least, most = min(low, back(high)), _HIGHEST
        case Op.LT | Op.EB:
            least, most = _LOWEST, low
        case Op.LE:
            least, most = _LOWEST, max(low, high)
        case Op.SA:
            least, most = high, _HIGHEST
        case Op.AP:
            least, most = back(low), high
        case Op.NE:
            least, most = _LOWEST, _HIGHEST
        case _:
            assert_never(op)
    return whole(least), whole(most)
