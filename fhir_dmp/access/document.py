"""What a decision needs to know of one document, read from its DocumentReference. Pure.

Authorship counts any author or authenticator: by Reference.identifier, contained resource, or literal reference. The
organisation of a contained PractitionerRole, the owner of a contained Device, and the structure that an internal
identifier begins with (`3{FINESS}/{internal}`) make colleagues, not authors.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fhir_dmp.access.parties import codings, identifiers, local, target
from fhir_dmp.fhir.elements import objects_of
from fhir_dmp.fhir.resource import Json
from fhir_dmp.terminology import visibility
from fhir_dmp.terminology.aliases import (
    PROFESSIONAL,
    STRUCTURE,
    TRE_A00_PRODUCER,
    TRE_A07_VISIBILITY,
    TRE_A08_CONFIDENTIALITY,
    canonical_system,
)
from fhir_dmp.terminology.sharing import is_archived

#: The codes as they are compared: folded to lower case.
MASKED = visibility.MASKED.lower()
INVISIBLE_PATIENT = visibility.HIDDEN_FROM_PATIENT.lower()
INVISIBLE_REPRESENTATIVES = visibility.HIDDEN_FROM_REPRESENTATIVES.lower()
VISIBILITY = frozenset(code.lower() for code in visibility.VISIBILITY)
BASE = frozenset(code.lower() for code in visibility.BASE)
UNKNOWN_LABEL = "unknown"
#: Beside `unknown`: the code claims to be of TRE_A07 and does not exist there, which no writer may send.
INVALID_LABEL = "invalid"

#: First digit of an internal PSIdNat -> first digit of the StructIdNat that it begins with.
_INTERNAL = {"1": "0", "3": "1", "4": "2", "5": "3", "6": "4"}
#: The index token of a document with a label that is not understood.
UNKNOWN_TERM = "security-label.unknown=c:true"
_NOBODY: frozenset[tuple[str, str]] = frozenset()


@dataclass(frozen=True, slots=True)
class DocumentFacts:
    """One document as the decision sees it. Codes are folded to lower case.

    patient: logical id of the subject. labels: visibility labels, with `unknown` for a code that is not understood.
    authors: (system, value) of authors, authenticators: of authenticators; organisations: StructIdNat pairs of the
    structures they belong to; references: literal references among all of them. producers: TRE_A00 codes of the
    authors. by_patient: every author is a patient or a relative.
    """

    patient: str | None
    status: str = "current"
    labels: frozenset[str] = frozenset()
    types: frozenset[str] = frozenset()
    classes: frozenset[str] = frozenset()
    authors: frozenset[tuple[str, str]] = _NOBODY
    authenticators: frozenset[tuple[str, str]] = _NOBODY
    organisations: frozenset[tuple[str, str]] = _NOBODY
    references: frozenset[str] = frozenset()
    producers: frozenset[str] = frozenset()
    by_patient: bool = False
    archived: bool = False

    @property
    def deleted(self) -> bool:
        """Say whether the document was logically deleted."""
        return self.status == "entered-in-error"

    @property
    def masked(self) -> bool:
        """Say whether the document is masked to professionals; a label that is not understood masks too."""
        return MASKED in self.labels or UNKNOWN_LABEL in self.labels

    @property
    def hidden_from_patient(self) -> bool:
        """Say whether the document is invisible to the patient; so is one with a label that is not understood."""
        return INVISIBLE_PATIENT in self.labels or UNKNOWN_LABEL in self.labels

    @property
    def hidden_from_representatives(self) -> bool:
        """Say whether the document is invisible to the legal representatives."""
        return self.hidden_from_patient or INVISIBLE_REPRESENTATIVES in self.labels


def labels_of(security_label: Any) -> frozenset[str]:
    """Return the visibility labels among the codings of securityLabel.

    A visibility code counts whatever its system. Codes of TRE_A07, of the confidentiality system and codings without
    system must be known, else the label is `unknown`; codes of other systems do not speak of visibility.
    """
    found: set[str] = set()
    for system, written in codings(security_label):
        code, named = written.lower(), canonical_system(system)
        if code in VISIBILITY:
            found.add(code)
        elif _is_unknown(named, code):
            found.add(UNKNOWN_LABEL)
            if named == TRE_A07_VISIBILITY:
                found.add(INVALID_LABEL)
    return frozenset(found)


def _is_unknown(system: str, code: str) -> bool:
    if system == TRE_A07_VISIBILITY:
        return code != "n"  # the example of the guide writes base code N with this system
    return system in ("", TRE_A08_CONFIDENTIALITY) and code not in BASE


def _patient_id(subject: Any) -> str | None:
    place = local(subject)
    return place.split("/", 1)[1] if place and place.startswith("Patient/") else None


def _codes(value: Any) -> frozenset[str]:
    return frozenset(code.lower() for _, code in codings(value))


def _tells_producer(system: str) -> bool:
    return canonical_system(system) == TRE_A00_PRODUCER


class _People:
    """Who stands behind the author (or authenticator) references of one document."""

    __slots__ = ("identifiers", "organisations", "producers", "references", "types")

    def __init__(self, references: Any, holder: Json) -> None:
        self.identifiers: set[tuple[str, str]] = set()
        self.organisations: set[tuple[str, str]] = set()
        self.references: set[str] = set()
        self.producers: set[str] = set()
        self.types: set[str] = set()
        for reference in objects_of(references):
            resource = self._add(reference, holder)
            place = local(reference) or ""
            type_ = resource.get("resourceType") if resource else place.partition("/")[0] or reference.get("type")
            self.types.add(type_ if isinstance(type_, str) else "")
            if resource is not None:
                for name in ("organization", "owner"):
                    self._organisation(resource.get(name), holder)
                if isinstance(resource.get("practitioner"), dict):
                    self._add(resource["practitioner"], holder)

    def _add(self, reference: Json, holder: Json) -> Json | None:
        """Take one reference in, and what it contains; return the contained resource."""
        place = local(reference)
        if place and not place.startswith("#"):
            self.references.add(place)
        self._identified(reference)
        resource = target(reference, holder, {})
        if resource is not None:
            self._identified(resource)
            qualifications = [part.get("code") for part in objects_of(resource.get("qualification"))]
            for value in (resource.get("code"), resource.get("specialty"), resource.get("type"), *qualifications):
                self.producers.update(code for system, code in codings(value) if _tells_producer(system))
        return resource

    def _identified(self, holder: Json) -> None:
        for system, value in identifiers(holder.get("identifier")):
            self.identifiers.add((system, value))
            if system == PROFESSIONAL and "/" in value and value[0] in _INTERNAL:
                self.organisations.add((STRUCTURE, _INTERNAL[value[0]] + value[1:].split("/", 1)[0]))

    def _organisation(self, reference: Any, holder: Json) -> None:
        if not isinstance(reference, dict):
            return
        resource = target(reference, holder, {})
        for part in (reference, resource or {}):
            self.organisations.update(pair for pair in identifiers(part.get("identifier")) if pair[0] == STRUCTURE)


def document_facts(docref: Json) -> DocumentFacts:
    """Read the facts of a DocumentReference. Never raises: what is odd grants nothing."""
    authors, signers = _People(docref.get("author"), docref), _People(docref.get("authenticator"), docref)
    status = docref.get("status")
    return DocumentFacts(
        patient=_patient_id(docref.get("subject")),
        status=status if isinstance(status, str) else "",
        labels=labels_of(docref.get("securityLabel")),
        types=_codes(docref.get("type")),
        classes=_codes(docref.get("category")),
        authors=frozenset(authors.identifiers),
        authenticators=frozenset(signers.identifiers),
        organisations=frozenset(authors.organisations),
        references=frozenset(authors.references | signers.references),
        producers=frozenset(authors.producers),
        by_patient=bool(authors.types) and authors.types <= {"Patient", "RelatedPerson"},
        archived=is_archived(docref),
    )


def access_terms(docref: Json) -> tuple[str, ...]:
    """Return the index tokens that only the access decision needs, to be stored beside those of the extractor.

    `security-label.unknown=c:true` marks a label that is not understood; the structure of an internal identifier and
    the practitioner of a contained role are told too, which no path expression derives.
    """
    authors, signers = _People(docref.get("author"), docref), _People(docref.get("authenticator"), docref)
    found = [f"author.organization.identifier=s:{system}|{value}" for system, value in sorted(authors.organisations)]
    found.extend(f"author=r:{place}" for place in sorted(authors.references))
    found.extend(f"authenticator=r:{place}" for place in sorted(signers.references))
    if UNKNOWN_LABEL in labels_of(docref.get("securityLabel")):
        found.append(UNKNOWN_TERM)
    return tuple(found)
