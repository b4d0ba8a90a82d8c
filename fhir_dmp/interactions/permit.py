"""Access to lone writes: who may create, change or delete what, and what a change of a document may touch."""

from __future__ import annotations

from dataclasses import dataclass

from fhir_dmp.access.consent import Reading
from fhir_dmp.access.consent_rules import check_consent, may_write_consent
from fhir_dmp.access.decide import enter
from fhir_dmp.access.decision import Decision, Op
from fhir_dmp.access.document import document_facts
from fhir_dmp.access.facts import PatientFacts
from fhir_dmp.access.refusal import refusal
from fhir_dmp.access.types import Kind, patient_of, type_access
from fhir_dmp.access.writing import Change, may_write
from fhir_dmp.documents.attributes import Act, changed_document, changed_list
from fhir_dmp.documents.labels import LabelContext
from fhir_dmp.errors import Forbidden, Issue, MethodNotAllowed, Unprocessable
from fhir_dmp.fhir.resource import Json, same_content
from fhir_dmp.interactions import authorise, gather
from fhir_dmp.interactions.exchange import Call
from fhir_dmp.interactions.offer import allow_instance
from fhir_dmp.interactions.services import Services
from fhir_dmp.ports import Version
from fhir_dmp.search.query import Term, both

LETTERS = {"create": "c", "update": "u", "patch": "u", "delete": "d"}


@dataclass(frozen=True, slots=True)
class Permit:
    """A permitted write. patient: `Patient/id` of the record. resource: what to store instead of what was sent, when a
    rule completes it. issues: warnings. details: what the audit keeps (labels before and after).
    """

    patient: str | None = None
    resource: Json | None = None
    issues: tuple[Issue, ...] = ()
    details: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class _Intent:
    """One intended write: what is stored now, and what is to be stored (None: nothing)."""

    interaction: str
    type: str
    before: Json | None
    after: Json | None
    current: Version | None


def to_write(
    call: Call,
    interaction: str,
    type_: str,
    before: Json | None,
    after: Json | None,
    services: Services,
    *,
    current: Version | None = None,
) -> Permit:
    """Decide on one write.

    Raises:
        Forbidden, NotFound: the caller may not. Unprocessable: nobody may change that.
    """
    authorise.need(call.caller, LETTERS[interaction], type_, services)
    intent = _Intent(interaction, type_, before, after, current)
    if type_ == "DocumentReference":
        return _document(call, intent, services)
    if type_ == "List":
        return _list(call, intent, services)
    if type_ == "Consent":
        return _consent(call, intent, services)
    if type_ == "Binary":
        return _binary(call, intent, services)
    if call.caller.is_admin:
        return Permit(patient=_patient(intent))
    if type_access(type_).kind is not Kind.PATIENT or type_ == "Patient":
        raise Forbidden(f"{type_} is written by administrators only.")
    return _clinical(call, intent, services)


def _patient(intent: _Intent) -> str | None:
    """Return the record that a write belongs to, as its own words say."""
    if intent.type == "Patient":
        return f"Patient/{intent.current.id}" if intent.current else None
    for resource in (intent.after, intent.before):
        if resource is not None and (found := patient_of(resource)) is not None:
            return found
    return intent.current.patient if intent.current else None


def _clinical(call: Call, intent: _Intent, services: Services) -> Permit:
    """A clinical resource beside the documents: fed like them, changed by those who may enter the record."""
    patient = _patient(intent)
    if patient is None:
        raise Forbidden("Only administrators write resources that belong to no patient.")
    if intent.current is not None and intent.current.patient not in (None, patient):
        raise Unprocessable("The patient of a resource cannot change.", code="business-rule")
    op = Op.CREATE if intent.before is None else Op.UPDATE_LABEL
    authorise.entered(call.caller, op, patient, services)
    return Permit(patient=patient)


def _binary(call: Call, intent: _Intent, services: Services) -> Permit:
    if intent.current is not None and not intent.current.deleted:
        if gather.documents_of_content("Binary", intent.current.id, services):
            raise MethodNotAllowed(
                "A content that a document points to cannot change.", headers={"Allow": "GET, HEAD, OPTIONS"}
            )
        if not call.caller.is_admin and not authorise.is_creator(call.caller, intent.current, services):
            raise Forbidden("A content is changed by who stored it, until a document points to it.")
    return Permit()


def _list(call: Call, intent: _Intent, services: Services) -> Permit:
    patient = _patient(intent)
    if patient is not None and not call.caller.is_admin:
        authorise.entered(call.caller, Op.CREATE if intent.before is None else Op.UPDATE_LABEL, patient, services)
    elif not call.caller.is_admin:
        raise Forbidden("Only administrators write lists that belong to no patient.")
    if intent.before is not None and intent.after is not None:
        changed_list(intent.before, intent.after, services.documents)
    return Permit(patient=patient)


def _consent(call: Call, intent: _Intent, services: Services) -> Permit:
    assert intent.after is not None
    patient = _patient(intent)
    reading = Reading(gather.directory_of([intent.after], services), services.zone, services.canonical)
    issues = check_consent(intent.after, reading)
    if issues and not call.caller.anonymous:
        raise Unprocessable(issues=issues)
    if patient is None:
        return Permit()
    facts = gather.facts_of(patient, services)
    decision = enter(call.caller, Op.CONSENT_WRITE, facts, services.access)
    decision = may_write_consent(call.caller, decision, intent.after, intent.before, facts, reading)
    if not decision.permitted:
        raise refusal(decision, services.canonical)
    return Permit(patient=patient)


def _document(call: Call, intent: _Intent, services: Services) -> Permit:
    """Change the attributes of a document: status, labels, archive flag, and nothing else (dmp-fhir 3.7)."""
    if intent.before is None or intent.after is None:
        return _administered(call, intent)
    patient = _patient(intent)
    if patient is None:  # of no record: whoever stored it by its id
        return _administered(call, intent)
    facts = gather.facts_of(patient, services)
    labels = LabelContext(services.documents, _is_minor(facts, services))
    replaced = _is_replaced(intent, services)
    change = changed_document(intent.before, intent.after, labels, services.documents, replaced=replaced)
    unnamed = () if change.acts or same_content(intent.before, change.resource) else (Act.LABEL,)
    for act in (*change.acts, *unnamed):  # a change of meta or of the base label alone needs a hand on labels too
        _decide(call, Op(act.value), intent.before, change.resource, patient, services)
    return Permit(patient=patient, resource=change.resource, issues=change.issues, details=change.details)


def _is_minor(facts: PatientFacts, services: Services) -> bool | None:
    age = facts.age()
    return None if age is None else age < services.documents.age_of_majority


def _administered(call: Call, intent: _Intent) -> Permit:
    if not call.caller.is_admin:
        raise MethodNotAllowed(
            "Documents are published by POST or by a submission; ids are the server's.",
            headers={"Allow": allow_instance("DocumentReference")},
        )
    return Permit(patient=_patient(intent))


def _is_replaced(intent: _Intent, services: Services) -> bool:
    """Say whether a current document replaces this one, which forbids to bring it back."""
    assert intent.current is not None
    node = both(Term("status=c:current"), Term(f"relatesto=r:DocumentReference/{intent.current.id}"))
    return bool(services.store.find("DocumentReference", node, 1))


def _decide(call: Call, op: Op, before: Json, after: Json, patient: str, services: Services) -> Decision:
    facts = gather.facts_of(patient, services)
    decision = enter(call.caller, op, facts, services.access, documents=True)
    if decision.permitted:
        wanted = Change(op, document_facts(before), document_facts(after))
        decision = may_write(call.caller, decision, wanted, facts, services.access)
    if not decision.permitted:
        raise refusal(decision, services.canonical)
    return decision
