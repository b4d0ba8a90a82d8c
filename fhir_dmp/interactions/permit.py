"""Access to lone writes: who may create, change or delete what, and what a change of a document may touch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from fhir_dmp.access.consent import Reading
from fhir_dmp.access.consent_rules import check_consent, may_write_consent
from fhir_dmp.access.decide import enter
from fhir_dmp.access.decision import Op
from fhir_dmp.access.document import document_facts
from fhir_dmp.access.facts import PatientFacts
from fhir_dmp.access.refusal import refusal
from fhir_dmp.access.types import Kind, patient_of, type_access
from fhir_dmp.access.writing import Change, may_write
from fhir_dmp.audit.record import AuditRecord
from fhir_dmp.documents.labels import visibility_of
from fhir_dmp.documents.lifecycle import Circumstances, settle, settle_list
from fhir_dmp.documents.metadata import is_archived
from fhir_dmp.errors import Forbidden, Issue, MethodNotAllowed, Unprocessable
from fhir_dmp.fhir.resource import Json
from fhir_dmp.identity.caller import Actor
from fhir_dmp.interactions import authorise, gather
from fhir_dmp.interactions.exchange import Call
from fhir_dmp.interactions.offer import allow_instance
from fhir_dmp.interactions.services import Services
from fhir_dmp.patients.contact import settle_contact
from fhir_dmp.ports import AuditQuery, Version
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
    if type_ == "Patient":
        return _contact(call, intent, services)
    if type_access(type_).kind is not Kind.PATIENT:
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


def _contact(call: Call, intent: _Intent, services: Services) -> Permit:
    """TD1.3: the patient and those who may consult change contact data, and nothing else."""
    if intent.before is None or intent.after is None or intent.current is None:
        raise Forbidden("A Patient is made by $dmp-ouvrir, or by administrators.")
    patient = f"Patient/{intent.current.id}"
    decision = authorise.entered(call.caller, Op.UPDATE_LABEL, patient, services)
    if not decision.whole_record:
        raise Forbidden("Contact data are changed by the patient and by those who may consult the record.")
    settled = settle_contact(intent.before, intent.after, services.canonical)
    return Permit(patient=patient, resource=settled)


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
        return Permit(patient=patient, resource=settle_list(intent.before, intent.after, services.documents))
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
    assert patient is not None
    circumstances = Circumstances(
        services.documents,
        minor=_is_minor(gather.facts_of(patient, services), services),
        successor=_is_replaced(intent, services),
        consulted=_is_consulted(intent, patient, services),
    )
    settled = settle(intent.before, intent.after, circumstances)
    for op in _ops(intent.before, settled):
        _decide(call, op, intent, settled, patient, services)
    return Permit(patient=patient, resource=settled, details=_label_details(intent.before, settled))


def _ops(before: Json, after: Json) -> Iterator[Op]:
    """Yield what a change of attributes does, in the words of the access decision."""
    if before.get("status") != after.get("status"):
        yield Op.DELETE if after.get("status") == "entered-in-error" else Op.REPLACE
    if visibility_of(before) != visibility_of(after):
        yield Op.UPDATE_LABEL
    if is_archived(before) != is_archived(after):
        yield Op.ARCHIVE


def _label_details(before: Json, after: Json) -> tuple[tuple[str, str], ...]:
    old, new = visibility_of(before), visibility_of(after)
    return () if old == new else (("labels-before", " ".join(old) or "N"), ("labels-after", " ".join(new) or "N"))


def _is_consulted(intent: _Intent, patient: str, services: Services) -> bool:
    """Say whether the trail holds a consultation of the document by the patient; only a new hiding label asks."""
    assert intent.before is not None
    assert intent.after is not None
    assert intent.current is not None
    if not set(visibility_of(intent.after)) - set(visibility_of(intent.before)) - {"MASQUE_PS"}:
        return False
    name = f"DocumentReference/{intent.current.id}/"

    def by_patient(entry: AuditRecord) -> bool:
        read = entry.kind in ("read", "vread", "iti-68") and entry.outcome == "0"
        return read and entry.actor == Actor.PATIENT.value and any(each.startswith(name) for each in entry.what)

    return bool(services.store.audit(AuditQuery(patient=patient, count=1, keep=by_patient)).records)


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


def _decide(call: Call, op: Op, intent: _Intent, after: Json, patient: str, services: Services) -> None:
    assert intent.before is not None
    facts = gather.facts_of(patient, services)
    decision = enter(call.caller, op, facts, services.access, documents=True)
    if decision.permitted:
        wanted = Change(op, document_facts(intent.before), document_facts(after))
        decision = may_write(call.caller, decision, wanted, facts, services.access)
    if not decision.permitted:
        raise refusal(decision, services.canonical, "DocumentReference")
