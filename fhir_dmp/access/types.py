"""How access to each resource type is decided: one table, and the gate of searches without a patient (A4).

`patient`: entry to the record is enough (R4 Patient compartment). `document`: entry and block D for each document.
`directory`: anyone with the scope reads, the operator writes. `conformance`: anyone reads. `consent`, `audit`: own
rules. `admin`: the operator only. https://hl7.org/fhir/R4/compartmentdefinition-patient.html
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from fhir_dmp.access.decision import Decision, Effect, Op
from fhir_dmp.access.parties import local
from fhir_dmp.fhir.elements import objects_of
from fhir_dmp.fhir.resource import Json
from fhir_dmp.identity.caller import Actor, Caller
from fhir_dmp.search.query import AnyTerm, Everything, Node, Nothing, PatientCriterion, Term
from fhir_dmp.terminology.aliases import PROFESSIONAL, STRUCTURE


class Kind(StrEnum):
    """How access to a type is decided."""

    PATIENT = "patient"
    DOCUMENT = "document"
    DIRECTORY = "directory"
    CONFORMANCE = "conformance"
    CONSENT = "consent"
    AUDIT = "audit"
    ADMIN = "admin"


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_PATIENT = _names(
    """Account AllergyIntolerance Appointment Basic BodyStructure CarePlan CareTeam ChargeItem Claim ClaimResponse
    ClinicalImpression Communication CommunicationRequest Composition Condition CoverageEligibilityRequest
    CoverageEligibilityResponse DetectedIssue DeviceRequest DeviceUseStatement DiagnosticReport DocumentManifest
    Encounter EpisodeOfCare ExplanationOfBenefit FamilyMemberHistory Flag Goal ImagingStudy Immunization
    ImmunizationEvaluation ImmunizationRecommendation Invoice MeasureReport Media MedicationAdministration
    MedicationDispense MedicationRequest MedicationStatement MolecularSequence NutritionOrder Observation Person
    Procedure Provenance QuestionnaireResponse RelatedPerson RequestGroup RiskAssessment ServiceRequest Specimen
    SupplyDelivery VisionPrescription"""
)
#: Type -> search parameter that names the record it belongs to.
_COMPARTMENT = {
    **dict.fromkeys(_PATIENT, "patient"),
    **dict.fromkeys(("AdverseEvent", "EnrollmentRequest", "SupplyRequest"), "subject"),
    "AppointmentResponse": "actor",
    "Coverage": "beneficiary",
    "Group": "member",
    "Patient": "_id",
    "ResearchSubject": "individual",
    "Schedule": "actor",
}
#: Medication, Substance and Slot describe no patient and are what orders and appointments refer to.
_DIRECTORY = _names(
    """Practitioner PractitionerRole Organization Location Device HealthcareService Endpoint
    Medication Substance Slot"""
)
_CONFORMANCE = _names(
    """ActivityDefinition CapabilityStatement CodeSystem CompartmentDefinition ConceptMap GraphDefinition
    ImplementationGuide Library MessageDefinition NamingSystem OperationDefinition PlanDefinition Questionnaire
    SearchParameter StructureDefinition StructureMap TerminologyCapabilities ValueSet"""
)


@dataclass(frozen=True, slots=True)
class TypeAccess:
    """The row of one type. parameter: the search parameter that names its record, None when it has none."""

    kind: Kind
    parameter: str | None = None


_ADMIN = TypeAccess(Kind.ADMIN)
TYPES: dict[str, TypeAccess] = {
    **{name: TypeAccess(Kind.PATIENT, parameter) for name, parameter in _COMPARTMENT.items()},
    **{name: TypeAccess(Kind.DIRECTORY) for name in _DIRECTORY},
    **{name: TypeAccess(Kind.CONFORMANCE) for name in _CONFORMANCE},
    **{name: TypeAccess(Kind.DOCUMENT, "patient") for name in ("DocumentReference", "List")},
    **{name: TypeAccess(Kind.DOCUMENT) for name in ("Binary", "Bundle")},
    "Consent": TypeAccess(Kind.CONSENT, "patient"),
    "AuditEvent": TypeAccess(Kind.AUDIT, "patient"),
}


def type_access(type_: str) -> TypeAccess:
    """Return how access to a type is decided; a type that the table does not know is the operator's."""
    return TYPES.get(type_, _ADMIN)


_SUBJECTS = ("subject", "patient", "beneficiary", "individual", "for")


def patient_of(resource: Json) -> str | None:
    """Return `Patient/id` of the record that a resource belongs to, None when it names none literally.

    A Patient is its own record; an Appointment or Schedule belongs to the patient among its actors.
    """
    if resource.get("resourceType") == "Patient":
        return f"Patient/{resource['id']}" if isinstance(resource.get("id"), str) else None
    for name in _SUBJECTS:
        place = local(resource.get(name))
        if place is not None and place.startswith("Patient/"):
            return place
    actors = [part.get("actor") for part in objects_of(resource.get("participant"))]
    for reference in [
        *actors,
        *objects_of(resource.get("actor")),
        *objects_of(resource.get("target")),
        *_members(resource),
    ]:
        place = local(reference)
        if place is not None and place.startswith("Patient/"):
            return place
    return None


def _members(resource: Json) -> list[object]:
    links = [link.get("target") for link in objects_of(resource.get("link"))]
    return [*(member.get("entity") for member in objects_of(resource.get("member"))), *links]


def of_record(type_: str, patient: str) -> Node:
    """Return the node "belongs to this record" (`Patient/id`) for a type of the patient compartment."""
    from_table = type_access(type_)
    if from_table.parameter is None:
        return Nothing()
    if from_table.parameter == "_id":
        return Term(f"_compartment=r:{patient}")
    return Term(f"{from_table.parameter}=r:{patient}")


def open_to(caller: Caller, type_: str, *, write: bool) -> bool | None:
    """Say whether a type that belongs to no record is open to the caller; None when the record decides."""
    kind = type_access(type_).kind
    if caller.is_admin:
        return True
    if kind in (Kind.DIRECTORY, Kind.CONFORMANCE):
        return not write
    if kind is Kind.ADMIN:
        return False
    return None


def _refuse(reason: str, status: int, row: str = "A4") -> Decision:
    return Decision(Effect.DENY, row, Op.SEARCH, status, reason)


def gate_search(
    caller: Caller, type_: str, criteria: Sequence[PatientCriterion], parameters: Collection[str]
) -> Decision | None:
    """Return the refusal of a search that is not limited to a patient (A4), None when it may go on.

    criteria: the patient criteria that the parser understood; parameters: names of all parameters asked. No patient
    criterion at all is 400 `required`; one that limits the search to nobody in particular is 403 `mass-search`.
    """
    kind = type_access(type_).kind
    if caller.is_admin or kind in (Kind.DIRECTORY, Kind.CONFORMANCE):
        return None
    if kind is Kind.ADMIN:
        return _refuse("default-deny", 403, "C21")
    if kind is Kind.AUDIT and caller.actor is Actor.AUDITOR:
        return None
    if any(criterion.references or criterion.identifiers for criterion in criteria):
        return None
    names = {name.split(":", 1)[0] for name in parameters}
    if type_ == "Patient":
        return None if _is_patient_search(names, caller) else _refuse("required", 400)
    if kind is Kind.CONSENT and names & {"actor", "actor.identifier"} and caller.actor is Actor.PROFESSIONAL:
        return None  # "the records that I may enter": restrict_consents keeps those that name the caller
    if kind is Kind.PATIENT and caller.actor is Actor.PATIENT:
        return None  # the caller's own record is the criterion
    named = any(name.split(".", 1)[0] in ("patient", "subject", "_has") for name in names)
    return _refuse("mass-search", 403) if named else _refuse("required", 400)


def _is_patient_search(names: Iterable[str], caller: Caller) -> bool:
    """An identifier, an id, or the traits that single a person out (family name and birth date)."""
    found = set(names)
    if caller.actor in (Actor.PATIENT, Actor.REPRESENTATIVE, Actor.DELEGATE):
        return True
    return bool(found & {"identifier", "_id"}) or ("birthdate" in found and bool(found & {"family", "name"}))


def restrict_consents(caller: Caller, patient: str | None, own_refs: Iterable[str] = ()) -> Node:
    """Return which Consents a search may find; `patient` is `Patient/id` when the search is limited to a record.

    own_refs: directory resources that are the caller.
    """
    if caller.is_admin:
        return Everything()
    if caller.actor in (Actor.PATIENT, Actor.REPRESENTATIVE):
        return Term(f"patient=r:Patient/{caller.patient}") if patient == f"Patient/{caller.patient}" else Nothing()
    if caller.actor not in (Actor.PROFESSIONAL, Actor.STRUCTURE, Actor.DELEGATE):
        return Nothing()
    keys: list[str] = []
    if caller.professional:
        keys.append(f"{PROFESSIONAL}|{caller.professional}")
    if caller.structure:
        keys.append(f"{STRUCTURE}|{caller.structure}")
    tokens = [f"actor.identifier=s:{key}" for key in keys] + [f"actor=d:{key}" for key in keys]
    refs = {*own_refs, *((caller.fhir_user,) if caller.fhir_user else ())}
    tokens.extend(f"actor=r:{place}" for place in sorted(refs))
    return AnyTerm(tuple(tokens)) if tokens else Nothing()
