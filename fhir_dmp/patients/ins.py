"""The national health identity (INS): systems, format and control key of the matricule, and what keys a dossier.

Not here: whether the national INSi service knows the person. [dmp-fhir 2.1, 2.2]
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from fhir_dmp.errors import Issue
from fhir_dmp.fhir.elements import codings_of, objects_of, text_of
from fhir_dmp.fhir.resource import Json
from fhir_dmp.terminology.ins_key import has_valid_key as has_valid_key
from fhir_dmp.terminology.ins_key import is_well_formed as is_well_formed
from fhir_dmp.terminology.ins_key import key_of as key_of
from fhir_dmp.terminology.national import INS_DEMO, INS_NIA, INS_NIR, INS_SYSTEMS, INS_TEST, erreur

#: (system, matricule): the key of a dossier.
Ins = tuple[str, str]

_BILLING = "NH"


class Authority(StrEnum):
    """Who gave the matricule."""

    PRODUCTION = "production"
    TEST = "test"
    DEMONSTRATION = "demonstration"


@dataclass(frozen=True, slots=True)
class InsRules:
    """What is asked of an INS. base: canonical base of the error codes; key_check: strict, warn or off."""

    base: str
    key_check: str = "strict"
    test_allowed: bool = False


def authority_of(system: str) -> Authority | None:
    """Return which authority an INS system belongs to; None when the system is no INS system."""
    if system in (INS_NIR, INS_NIA):
        return Authority.PRODUCTION
    return {INS_TEST: Authority.TEST, INS_DEMO: Authority.DEMONSTRATION}.get(system)


def ins_in(identifier: Json) -> Ins | None:
    """Return the INS that an Identifier states.

    None for other systems, for a billing number (type NH: it shares the OID of the INS-NIR), and without value.
    """
    system, value = text_of(identifier.get("system")), text_of(identifier.get("value"))
    if system not in INS_SYSTEMS or value is None:
        return None
    if any(code == _BILLING for _, code in codings_of(identifier.get("type"))):
        return None
    return system, value


def every_ins(patient: Json) -> tuple[Ins, ...]:
    """Return the INS in force of a Patient (deactivated ones, use `old`, left out), best key first."""
    found = [
        ins
        for identifier in objects_of(patient.get("identifier"))
        if identifier.get("use") != "old" and (ins := ins_in(identifier)) is not None
    ]
    return tuple(dict.fromkeys(sorted(found, key=lambda ins: INS_SYSTEMS.index(ins[0]))))


def ins_of(patient: Json) -> Ins | None:
    """Return the INS that keys the dossier of a Patient: NIR before NIA before test before demonstration."""
    return next(iter(every_ins(patient)), None)


def verdicts(ins: Ins, rules: InsRules, expression: str, *, creates: bool) -> tuple[Issue, ...]:
    """Return what is wrong with an INS.

    creates: an identity is being created, so that a fault is an error (a wrong key only when key_check is strict);
    in a document's references a fault is only worth a warning.
    """
    system, matricule = ins
    hard = "error" if creates else "warning"
    found: list[Issue] = []
    if authority_of(system) is not Authority.PRODUCTION and not rules.test_allowed:
        found.append(
            Issue(
                "business-rule",
                "INS of the test and demonstration authorities are not accepted by this server.",
                severity=hard,
                expression=(expression,),
            )
        )
    if not is_well_formed(matricule):
        found.append(
            Issue(
                "value",
                "The INS must be 15 characters: sex, year, month, birthplace (2A and 2B for Corsica), order and key.",
                severity=hard,
                expression=(expression,),
                details=(erreur(rules.base, "ins-format-invalide"),),
            )
        )
    elif rules.key_check != "off" and not has_valid_key(matricule):
        found.append(
            Issue(
                "value",
                "The control key of the INS is wrong.",
                severity=hard if rules.key_check == "strict" else "warning",
                expression=(expression,),
                details=(erreur(rules.base, "ins-cle-invalide"),),
            )
        )
    return tuple(found)
