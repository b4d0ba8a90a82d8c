"""Numbers and quantities as half-open intervals. https://hl7.org/fhir/R4/search.html#number and #quantity

A stored number is a point, kept as the narrowest interval that doubles can hold; an asked number covers the precision
with which it was written. Units of measure that matter in medicine are brought to one canonical unit each.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Any

from fhir_dmp.errors import BadRequest
from fhir_dmp.search.query import MINUS_INFINITY, PLUS_INFINITY

Range = tuple[float, float]

_NUMBER = re.compile(r"([+-]?)(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d{1,3}))?", re.ASCII)

#: Metric prefixes, base units that take them, and units that do not (canonical unit, factor).
_PREFIXES = {
    "": Decimal(1),
    "k": Decimal("1e3"),
    "h": Decimal("1e2"),
    "d": Decimal("1e-1"),
    "c": Decimal("1e-2"),
    "m": Decimal("1e-3"),
    "u": Decimal("1e-6"),
    "n": Decimal("1e-9"),
    "p": Decimal("1e-12"),
    "f": Decimal("1e-15"),
    "M": Decimal("1e6"),
}
_METRIC = (
    "mol",
    "eq",
    "[IU]",
    "osm",
    "Pa",
    "cal",
    "kat",
    "Hz",
    "Bq",
    "Gy",
    "Sv",
    "g",
    "L",
    "l",
    "m",
    "s",
    "J",
    "W",
    "V",
    "U",
    "A",
)
_FIXED = {
    "min": ("s", Decimal(60)),
    "h": ("s", Decimal(3600)),
    "d": ("s", Decimal(86400)),
    "wk": ("s", Decimal(604800)),
    "mo": ("s", Decimal(2629800)),
    "a": ("s", Decimal(31557600)),
    "t": ("g", Decimal(1_000_000)),
    "m[Hg]": ("Pa", Decimal("133322")),
    "mm[Hg]": ("Pa", Decimal("133.322")),
    "bar": ("Pa", Decimal(100_000)),
    "mbar": ("Pa", Decimal(100)),
    "[in_i]": ("m", Decimal("0.0254")),
    "[ft_i]": ("m", Decimal("0.3048")),
    "[lb_av]": ("g", Decimal("453.59237")),
    "[oz_av]": ("g", Decimal("28.349523125")),
    "%": ("1", Decimal("0.01")),
    "1": ("1", Decimal(1)),
    "10*3": ("1", Decimal(1000)),
    "10*6": ("1", Decimal(1_000_000)),
    "10*9": ("1", Decimal(1_000_000_000)),
    "10*12": ("1", Decimal(1_000_000_000_000)),
}
_CUBES = {
    "m3": ("L", Decimal(1000)),
    "dm3": ("L", Decimal(1)),
    "cm3": ("L", Decimal("0.001")),
    "mm3": ("L", Decimal("1e-6")),
}


def written(text: str) -> tuple[Decimal, Decimal]:
    """Return a number and half a unit of its last written digit.

    An exponent implies one decimal, as in the example of the specification: 1e2 is 1.0e2, so [95, 105).

    >>> written("100"), written("-0.50"), written("1e2")
    ((Decimal('100'), Decimal('0.5')), (Decimal('-0.50'), Decimal('0.005')), (Decimal('1E+2'), Decimal('5')))

    Raises:
        BadRequest: not a decimal number.
    """
    match = _NUMBER.fullmatch(text)
    if match is None or len(text) > 40:
        raise BadRequest("Not a number: expected digits with an optional sign, decimals and exponent.", code="value")
    decimals = len(match[3] or "")
    if match[4] is not None:
        decimals = max(decimals, 1)
    return Decimal(text), Decimal("0.5").scaleb(int(match[4] or 0) - decimals).normalize()


def around(text: str) -> Range:
    """Return the interval that an asked number covers for `eq` and `ne`.

    >>> around("100"), around("100.00"), around("1e2"), around("-1")
    ((99.5, 100.5), (99.995, 100.005), (95.0, 105.0), (-1.5, -0.5))
    """
    number, half = written(text)
    return float(number - half), float(number + half)


def point(number: Decimal | float) -> Range:
    """Return the narrowest half-open interval that holds a number: stored numbers and asked ones with an order."""
    low = float(number)
    if not math.isfinite(low) or abs(low) > PLUS_INFINITY:
        low = math.copysign(PLUS_INFINITY, low) if low == low else 0.0
    return low, math.nextafter(low, math.inf)


def near(number: Decimal) -> Range:
    """Return the interval of `ap`: ten per cent on both sides."""
    margin = abs(number) / 10
    return float(number - margin), math.nextafter(float(number + margin), math.inf)


def _atom(unit: str) -> tuple[str, Decimal] | None:
    """Return the canonical unit and factor of one unit without operators."""
    if unit in _FIXED:
        return _FIXED[unit]
    if unit in _CUBES:
        return _CUBES[unit]
    for base in _METRIC:
        prefix = _PREFIXES.get(unit.removesuffix(base)) if unit.endswith(base) else None
        if prefix is not None:
            if base == "g":
                return "g", prefix
            return ("L" if base == "l" else base), prefix
    if unit[-1:] == "2" and (length := _atom(unit[:-1])) is not None and length[0] == "m":
        return "m2", length[1] ** 2
    return None


@lru_cache(maxsize=512)  # an Observation asks for its unit six times, and records use few units
def canonical_unit(code: str) -> tuple[str, Decimal, Decimal] | None:
    """Return (canonical unit, factor, offset) of a UCUM code, or None when it is not in the table.

    value in the canonical unit = value * factor + offset. Annotations in braces carry no meaning.

    >>> canonical_unit("mg/dL"), canonical_unit("Cel")
    (('g/L', Decimal('0.01'), Decimal('0')), ('K', Decimal('1'), Decimal('273.15')))
    >>> canonical_unit("{score}"), canonical_unit("furlong")
    (('1', Decimal('1'), Decimal('0')), None)
    """
    if code in ("Cel", "K"):
        return "K", Decimal(1), Decimal("273.15" if code == "Cel" else 0)
    if code == "[degF]":
        return "K", Decimal(5) / 9, Decimal("459.67") * 5 / 9
    parts = [re.sub(r"\{[^{}]*\}", "", part) or "1" for part in code.split("/")]
    if parts[0] == "1" and code.startswith("/"):
        parts = ["1", *parts[1:]]
    units = [_atom(part) for part in parts]
    if len(units) > 3 or any(unit is None for unit in units):
        return None
    names, factor = [], Decimal(1)
    for index, unit in enumerate(units):
        assert unit is not None
        names.append(unit[0])
        factor = factor * unit[1] if index == 0 else factor / unit[1]
    name = names[0] + "".join(f"/{part}" for part in names[1:] if part != "1")
    return name, factor.normalize() if factor != 1 else Decimal(1), Decimal(0)


def in_canonical_unit(bounds: tuple[Decimal, ...], code: str) -> tuple[str, tuple[Decimal, ...]]:
    """Return the unit to compare in and the numbers in it: the canonical unit, or the code itself when unknown."""
    unit = canonical_unit(code)
    if unit is None:
        return code, bounds
    name, factor, offset = unit
    return name, tuple(bound * factor + offset for bound in bounds)


def decimal_of(value: Any) -> Decimal | None:
    """Return a JSON number as Decimal, None when it is none."""
    if isinstance(value, bool):
        return None
    if isinstance(value, Decimal):
        return value
    if isinstance(value, int | float):
        try:
            return Decimal(str(value))
        except InvalidOperation:
            return None
    return None


def stored_bounds(quantity: Mapping[str, Any]) -> tuple[Decimal | None, Decimal | None, str] | None:
    """Return (low, high, comparator) of a Quantity, Money or Range; None when it holds no number.

    For a Quantity low and high are its value. A missing bound of a Range is None.
    """
    value = decimal_of(quantity.get("value"))
    if value is not None:
        return value, value, str(quantity.get("comparator", ""))
    low, high = quantity.get("low"), quantity.get("high")
    bottom = decimal_of(low.get("value")) if isinstance(low, dict) else None
    top = decimal_of(high.get("value")) if isinstance(high, dict) else None
    return None if bottom is None and top is None else (bottom, top, "")


def stored_range(low: Decimal | None, high: Decimal | None, comparator: str) -> Range:
    """Return the interval of a stored quantity; a comparator opens it on one side.

    >>> stored_range(Decimal(5), Decimal(5), "<")[1], stored_range(Decimal(5), Decimal(5), ">=")[0]
    (5.0, 5.0)
    """
    if comparator in ("<", "<=") and high is not None:
        return float(MINUS_INFINITY), float(high) if comparator == "<" else point(high)[1]
    if comparator in (">", ">=") and low is not None:
        return point(low)[1] if comparator == ">" else float(low), float(PLUS_INFINITY)
    return (
        float(MINUS_INFINITY) if low is None else point(low)[0],
        float(PLUS_INFINITY) if high is None else point(high)[1],
    )
