"""Units of measure: is it UCUM? [cda 4.4]"""

from __future__ import annotations

import re

_ATOM = re.compile(r"\{[^{}]*\}|\[[^\[\]]+\]|10[*^]|[A-Za-z%'\"][A-Za-z%'\"_]*(?:\[[^\[\]]+\])?")
_PREFIXES = ("da", "Y", "Z", "E", "P", "T", "G", "M", "k", "h", "d", "c", "m", "u", "n", "p", "f", "a", "z", "y")


def is_ucum(unit: str, atoms: frozenset[str]) -> bool:
    """Say whether a unit reads as UCUM: atoms of the table, prefixed or not, with exponents, joined by `.` and `/`.

    >>> is_ucum("mmol/L", frozenset({"mol", "L"})), is_ucum("30067000", frozenset()), is_ucum("10*9/L", frozenset("L"))
    (True, False, True)
    """
    if unit == "1":
        return True
    if not unit or re.search(r"\s", re.sub(r"\{[^{}]*\}", "", unit)):
        return False
    position, expects = 0, True
    text = unit.replace("(", "").replace(")", "") if unit.count("(") == unit.count(")") else ""
    if text.startswith("/"):
        position = 1
    while position < len(text):
        if not expects:
            if text[position] in "./":
                position, expects = position + 1, True
                continue
            if text[position] == "{":
                match = _ATOM.match(text, position)
                if match is None:
                    return False
                position = match.end()
                continue
            return False
        match = _ATOM.match(text, position)
        if match is None:
            digits = re.compile(r"\d+").match(text, position)
            if digits is None or digits.end() == len(text):
                return False
            position, expects = digits.end(), False
            continue
        if not _is_atom(match[0], atoms):
            return False
        position, expects = match.end(), False
        exponent = re.compile(r"[+-]?\d+").match(text, position)
        if exponent:
            position = exponent.end()
    return not expects


def _is_atom(atom: str, atoms: frozenset[str]) -> bool:
    if atom[0] == "{" or atom in ("10*", "10^") or atom in atoms:
        return True
    return any(atom.startswith(prefix) and atom[len(prefix) :] in atoms for prefix in _PREFIXES)
