"""securityLabel as a set: one base confidentiality (N, R, V) and the visibility labels of TRE_A07.

Stored order: visibility labels, most recently set first, then everything else, the base code last. The spelling of
each label stays as it was sent. [dmp-fhir 3.7.2, 6.3]
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fhir_dmp.documents.rules import Rules
from fhir_dmp.errors import Issue
from fhir_dmp.fhir.elements import codings_of, objects_of
from fhir_dmp.fhir.resource import Json
from fhir_dmp.terminology.aliases import TRE_A07_VISIBILITY, TRE_A08_CONFIDENTIALITY, canonical_system
from fhir_dmp.terminology.visibility import (
    BASE,
    HIDDEN_FROM_PATIENT,
    HIDDEN_FROM_REPRESENTATIVES,
    KNOWN_VISIBILITY,
    MASKED,
    VISIBILITY,
)


@dataclass(frozen=True, slots=True)
class Label:
    """One label: `visibility`, `base` or `other`, its code, and the CodeableConcept as it was sent."""

    kind: str
    code: str
    concept: Json


def read(concept: Json) -> Label:
    """Recognise one CodeableConcept. N written under the visibility system is the base code (a PDSm example)."""
    found = [(canonical_system(system or ""), code) for system, code in codings_of(concept)]
    for system, code in found:
        if system == TRE_A07_VISIBILITY and code not in BASE:
            return Label("visibility", code, concept)
    for system, code in found:
        if system in (TRE_A08_CONFIDENTIALITY, TRE_A07_VISIBILITY) and code in BASE:
            return Label("base", code, concept)
    return Label("other", found[0][1] if found else "", concept)


def labels_of(resource: Json) -> list[Label]:
    """Return the labels of a DocumentReference in their order."""
    return [read(concept) for concept in objects_of(resource.get("securityLabel"))]


def visibility_of(resource: Json) -> tuple[str, ...]:
    """Return the visibility codes of a DocumentReference in their order."""
    return tuple(label.code for label in labels_of(resource) if label.kind == "visibility")


def visibility_label(code: str, display: str | None = None) -> Json:
    """Return a visibility label in the canonical spelling."""
    coding = {"system": TRE_A07_VISIBILITY, "code": code}
    return {"coding": [{**coding, "display": display} if display else coding]}


def base_label(code: str = "N") -> Json:
    """Return a base label in the canonical spelling."""
    return {"coding": [{"system": TRE_A08_CONFIDENTIALITY, "code": code}]}


def ordered(concepts: Sequence[Json], recent: Sequence[str] = (), before: Sequence[Json] = ()) -> list[Json]:
    """Return the labels as the set is stored: no duplicate, visibility first (`recent` before the others), one base.

    A missing base is the one of `before` (what is stored: leaving it out lowers nothing), else N. The first spelling
    of a label stays.
    """
    found: dict[tuple[str, str], Label] = {}
    for concept in concepts:
        label = read(concept)
        found.setdefault((label.kind, label.code), label)
    visible = [label for label in found.values() if label.kind == "visibility"]
    rank = {code: position for position, code in enumerate(recent)}
    visible.sort(key=lambda label: rank.get(label.code, len(rank)))
    base = [label.concept for label in found.values() if label.kind == "base"][:1]
    base = base or [label.concept for label in map(read, before) if label.kind == "base"][:1]
    other = [label.concept for label in found.values() if label.kind == "other"]
    return [label.concept for label in visible] + other + (base or [base_label()])


@dataclass(frozen=True, slots=True)
class LabelContext:
    """minor: whether the patient is under age today; None when the birth date is not known."""

    rules: Rules
    minor: bool | None


def set_issues(resource: Json, context: LabelContext, place: str) -> list[Issue]:
    """Return what is wrong with a document's labels, errors and warnings."""
    found: list[Issue] = []
    labels = labels_of(resource)
    for index, label in enumerate(labels):
        found.extend(_label_issues(label, f"{place}.securityLabel[{index}]"))
    if len({label.code for label in labels if label.kind == "base"}) > 1:
        found.append(_error(f"{place}.securityLabel", "A document has exactly one base confidentiality (N, R or V)."))
    return found + _combination_issues({label.code for label in labels if label.kind == "visibility"}, context, place)


def _label_issues(label: Label, place: str) -> list[Issue]:
    if label.kind == "visibility" and label.code not in KNOWN_VISIBILITY:
        return [Issue("code-invalid", "This code does not exist in TRE_A07.", expression=(place,))]
    if label.kind == "visibility" and label.code not in VISIBILITY:
        return [_warning(place, "The DMP does not use this visibility label.")]
    if label.kind == "other":
        return [_warning(place, "This confidentiality is not in JDV_J08.")]
    systems = {canonical_system(system or "") for system, code in codings_of(label.concept) if code == label.code}
    if label.kind == "base" and TRE_A08_CONFIDENTIALITY not in systems:
        return [_warning(place, "N belongs to the confidentiality system (TRE_A08); it was read as the base code.")]
    return []


def _combination_issues(codes: set[str], context: LabelContext, place: str) -> list[Issue]:
    where = f"{place}.securityLabel"
    found = []
    if {MASKED, HIDDEN_FROM_PATIENT} <= codes and not context.rules.mask_plus_invisible:
        found.append(_error(where, "MASQUE_PS and INVISIBLE_PATIENT cannot be combined on this server."))
    if HIDDEN_FROM_REPRESENTATIVES in codes:
        if not context.rules.minors:
            found.append(_error(where, "This server does not manage INVISIBLE_REPRESENTANTS_LEGAUX."))
        elif context.minor is False:
            found.append(_error(where, "INVISIBLE_REPRESENTANTS_LEGAUX is for minors; the patient is of age."))
    return found


def _error(place: str, text: str) -> Issue:
    return Issue("business-rule", text, expression=(place,))


def _warning(place: str, text: str) -> Issue:
    return Issue("code-invalid", text, severity="warning", expression=(place,))
