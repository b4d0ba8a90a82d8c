"""String folding: how two ways of writing a name or a word become one. https://hl7.org/fhir/R4/search.html#string

Both sides of a string search are folded, the stored text when it is indexed and the asked text when it is parsed.
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache

_APOSTROPHES_AND_HYPHENS = "'-`´‘’‛ʼ′‐‑‒–—―−"
_WHOLE_LETTERS = {"œ": "oe", "æ": "ae", "ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "ı": "i"}


def _ascii_table() -> dict[int, str]:
    table = {}
    for code in range(128):
        char = chr(code)
        if char.isalnum():
            table[code] = char.lower()
        else:
            table[code] = " " if char.isspace() or char in _APOSTROPHES_AND_HYPHENS else ""
    return table


_ASCII = _ascii_table()


def _folded(char: str) -> str:
    if char in _APOSTROPHES_AND_HYPHENS or char.isspace():
        return " "
    if unicodedata.combining(char):
        return ""
    return _WHOLE_LETTERS.get(char, char if char.isalnum() else "")


def fold(text: str) -> str:
    """Return the text without case, accents, punctuation and runs of space.

    Short texts are remembered, because names of codes come back all the time.

    >>> fold("Élodie"), fold("Jean-Pierre"), fold("d’Angelo"), fold("  Œuf   & Straße ")
    ('elodie', 'jean pierre', 'd angelo', 'oeuf strasse')
    >>> fold("Compte-rendu d'hospitalisation (C.H.U.)")
    'compte rendu d hospitalisation chu'
    """
    return _remembered(text) if len(text) <= 200 else _fold(text)


def _fold(text: str) -> str:
    if text.isascii():
        plain = text.translate(_ASCII)
    else:
        decomposed = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())
        plain = "".join(map(_folded, decomposed))
    return " ".join(plain.split())


_remembered = lru_cache(maxsize=4096)(_fold)


def starts(folded: str) -> tuple[str, ...]:
    """Return the folded text from the start of each of its words on: the places where a name may be found.

    >>> starts("de la fontaine")
    ('de la fontaine', 'la fontaine', 'fontaine')
    """
    found = [folded]
    position = folded.find(" ")
    while position >= 0:
        found.append(folded[position + 1 :])
        position = folded.find(" ", position + 1)
    return tuple(found)


def words(text: str) -> tuple[str, ...]:
    """Return the distinct folded words of a text, in order.

    >>> words("Lettre de liaison, lettre de sortie")
    ('lettre', 'de', 'liaison', 'sortie')
    """
    return tuple(dict.fromkeys(fold(text).split()))
