"""National identifiers of professionals and structures: from the usual short forms to the canonical ones.

CI-SIS, annexe "Source des données métier": a type digit stands before the number. 8 + RPPS (11 digits) for a
professional; 1 + FINESS (9 characters), 3 + SIRET (14 digits) for a structure.
"""

from __future__ import annotations

import re

_RPPS = re.compile(r"\d{11}")
_ADELI = re.compile(r"[\dA-Za-z]{9}")
_FINESS = re.compile(r"[\dA-Za-z]{9}")
_SIRET = re.compile(r"\d{14}")
_CANONICAL = re.compile(r"\d[0-9A-Za-z/]{5,40}")


def professional_id(text: str) -> str | None:
    """Return the PSIdNat, or None when the text cannot be one.

    >>> professional_id("10001234567")
    '810001234567'
    >>> professional_id("810001234567")
    '810001234567'
    >>> professional_id("Claire") is None
    True
    """
    if _RPPS.fullmatch(text):
        return "8" + text
    if _ADELI.fullmatch(text):
        return "0" + text
    return text if _CANONICAL.fullmatch(text) else None


def structure_id(text: str) -> str | None:
    """Return the StructIdNat, or None when the text cannot be one.

    >>> structure_id("750000001")
    '1750000001'
    >>> structure_id("36030011223344")
    '336030011223344'
    >>> structure_id("1750000001")
    '1750000001'
    """
    if _FINESS.fullmatch(text):
        return "1" + text
    if _SIRET.fullmatch(text):
        return "3" + text
    return text if _CANONICAL.fullmatch(text) else None


def has_rpps_key(professional: str) -> bool:
    """Say whether a PSIdNat made of an RPPS number has the right last digit (Luhn); others have none to check.

    >>> has_rpps_key("899700218896"), has_rpps_key("899700218897"), has_rpps_key("3750100125/1453")
    (True, False, True)
    """
    if not (professional[:1] == "8" and professional[1:].isdigit() and len(professional) == 12):
        return True
    digits = [int(digit) for digit in reversed(professional[1:])]
    return sum(d if place % 2 == 0 else 2 * d - 9 * (d > 4) for place, d in enumerate(digits)) % 10 == 0
