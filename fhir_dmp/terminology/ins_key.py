"""The matricule of the national health identity (INS): its format and its control key. [dmp-fhir 2.1]"""

from __future__ import annotations

from fhir_dmp.terminology.national import INS_FORMAT

_CORSICA = {"2A": "19", "2B": "18"}


def is_well_formed(matricule: str) -> bool:
    """Say whether the text is a matricule of 15 characters, key included; the key itself is not checked."""
    return INS_FORMAT.fullmatch(matricule) is not None


def key_of(number: str) -> str:
    """Return the two digits that control a 13-character number.

    >>> key_of("2850475112003")
    '14'
    >>> key_of("185032A123456")
    '01'
    """
    department = number[5:7]
    return f"{97 - int(number[:5] + _CORSICA.get(department, department) + number[7:]) % 97:02d}"


def has_valid_key(matricule: str) -> bool:
    """Say whether a matricule is well formed and its key is right."""
    return is_well_formed(matricule) and key_of(matricule[:13]) == matricule[13:]
