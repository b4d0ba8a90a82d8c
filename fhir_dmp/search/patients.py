"""Which criteria of a search limit it to patients, for the access decision (dmp-fhir 3.4: one is required)."""

from __future__ import annotations

from fhir_dmp.fhir.resource import is_id
from fhir_dmp.search.chains import Hops
from fhir_dmp.search.grammar import Hop, alternatives, pieces, unescape
from fhir_dmp.search.query import PatientCriterion
from fhir_dmp.search.values import local_reference
from fhir_dmp.terminology.aliases import canonical_identifier, canonical_system

_REFERENCES = frozenset({"patient", "subject"})


def patient_criterion(types: tuple[str, ...], hops: Hops, value: str, base: str) -> PatientCriterion | None:
    """Return the patients that a parameter limits the search to, None when it does not.

    `patient=1`, `subject=Patient/1`, `patient.identifier=s|v`, `patient:identifier=s|v`, `patient._id=1`, and on
    Patient itself `identifier=s|v` and `_id=1`. Identifiers are in their canonical spelling; (None, v) is v in any
    system.
    """
    steps = [hop for hop in hops if isinstance(hop, Hop)]
    if len(steps) != len(hops):
        return None
    if types == ("Patient",) and len(steps) == 1 and steps[0].modifier is None:
        return _by_code(steps[0].code, value)
    if steps[0].code not in _REFERENCES or steps[0].modifier not in (None, "Patient", "identifier"):
        return None
    if len(steps) == 1:
        if steps[0].modifier == "identifier":
            return _by_code("identifier", value)
        return _by_reference(steps[0], value, base)
    if len(steps) == 2 and steps[1].modifier is None and steps[0].modifier != "identifier":
        return _by_code(steps[1].code, value)
    return None


def _by_code(code: str, value: str) -> PatientCriterion | None:
    if code == "_id":
        return PatientCriterion(references=tuple(f"Patient/{unescape(id_)}" for id_ in alternatives(value)))
    if code == "identifier":
        return PatientCriterion(identifiers=tuple(_identifier(text) for text in alternatives(value)))
    return None


def _identifier(text: str) -> tuple[str | None, str]:
    split = [unescape(piece) for piece in pieces(text, "|")]
    if len(split) == 1:
        return None, split[0]
    return canonical_identifier(canonical_system(split[0]), split[1])


def _by_reference(step: Hop, value: str, base: str) -> PatientCriterion | None:
    """Return the patients of a reference; None when another type is asked for, too."""
    found = []
    for text in map(unescape, alternatives(value)):
        local = local_reference(text, base)
        if local is not None:
            found.append(local[0])
        elif is_id(text):  # a bare id of `subject` may be a Group's: the same id is then no patient's
            found.append(f"Patient/{text}")
        else:
            found.append(text)
    if any(not reference.startswith("Patient/") and "://" not in reference for reference in found):
        return None
    return PatientCriterion(references=tuple(found))
