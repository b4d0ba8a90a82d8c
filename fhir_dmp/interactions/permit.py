"""Access to lone writes: who may create, change or delete what, and what a change of a document may touch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from fhir_dmp.access.consent import Reading
from fhir_dmp.access.consent_rules import check_consent, may_write_consent
from fhir_dmp.access.decision import Op
from fhir_dmp.access.document import document_facts
from fhir_dmp.access.facts import PatientFacts
from fhir_dmp.access.refusal import refusal
from fhir_dmp.access.types import Kind, patient_of, type_access
from fhir_dmp.access.writing import Change, may_write
from fhir_dmp.audit.record import AuditRecord
from fhir_dmp.documents.labels import visibility_of
from fhir_dmp.documents.lifecycle import Circumstances, settle, settle_list
from fhir_dmp.errors import Forbidden, Issue, MethodNotAllowed, Unprocessable
from fhir_dmp.fhir.resource import Json, parse_stored, same_content
from fhir_dmp.identity.caller import Actor
from fhir_dmp.interactions import authorise, gather, granular
from fhir_dmp.interactions.exchange import Call
from fhir_dmp.interactions.offer import allow_instance
from fhir_dmp.interactions.remembered import MATRIX_KEY
from fhir_dmp.interactions.services import Services
from fhir_dmp.notices.schedule import DAY_MS
from fhir_dmp.patients.contact import settle_contact
from fhir_dmp.ports import AuditQuery, HistoryQuery, Version
from fhir_dmp.search.query import Term, both
from fhir_dmp.terminology.sharing import is_archived
from fhir_dmp.terminology.visibility import HIDDEN_FROM_REPRESENTATIVES, MASKED

LETTERS = {"create": "c", "update": "u", "patch": "u", "delete": "d"}


@dataclass(frozen=True, slots=True)
class Permit:
    """A permitted write. patient: `Patient/id` of the record. resource: what to store instead of what was sent, when a
    rule completes it. issues: warnings. details: what the audit keeps (labels before and after). transactions: numbers
    of the DMP's transactions that the write is (`TD3.3a`).
    """

    patient: str | None = None
    resource: Json | None = None
    issues: tuple[Issue, ...] = ()
    details: tuple[tuple[str, str], ...] = ()
    transactions: tuple[str, ...] = ()

    def kind(self, interaction: str) -> str:
        """Return the kind of the audit record: the interaction and its transactions."""
        return "#".join((interaction, *self.transactions))


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
    letter = LETTERS[interaction]
    authorise.need(call.caller, letter, type_, services)
    if not all(granular.covers_content(call.caller, letter, each, services) for each in (before, after) if each):
        raise granular.insufficient(letter, type_)
    intent = _Intent(interaction, type_, before, after, current)
    if type_ == "DocumentReference":
        return _document(call, intent, services)
    if type_ == "List":
        return _list(call, intent, services)
    if type_ == "Consent":
        return _consent(call, intent, services)
    if type_ == "Binary":
        return _binary(call, intent, services)
    if type_ == MATRIX_KEY.type:
        _no_matrix(intent)
    if call.caller.is_admin:
        return Permit(patient=_patient(intent))
    if type_ == "Patient":
        return _contact(call, intent, services)
    if type_access(type_).kind is not Kind.PATIENT:
        raise Forbidden(f"{type_} is written by administrators only.")
    return _clinical(call, intent, services)


def _no_matrix(intent: _Intent) -> None:
    """Keep the habilitation matrix to its own door, which checks it and reports what it changes."""
    named = {each.get("id") for each in (intent.before, intent.after) if each is not None}
    if MATRIX_KEY.id in named or (intent.current is not None and intent.current.key == MATRIX_KEY):
        raise Forbidden("The habilitation matrix is changed by `fhir-dmp access matrix activate`.")


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
    decision, facts = gather.decided(call.caller, Op.CONSENT_WRITE, patient, services)
    decision = may_write_consent(call.caller, decision, intent.after, intent.before, facts, reading)
    if not decision.permitted:
        raise refusal(decision, services.canonical, intent.type)
    return Permit(patient=patient)


def _document(call: Call, intent: _Intent, services: Services) -> Permit:
    """Change the attributes of a document: status, labels, archive flag, and nothing else (dmp-fhir 3.7)."""
    if intent.before is None or intent.after is None:
        return _administered(call, intent)
    patient = _patient(intent)
    if patient is None:  # of no record: whoever stored it by its id
        return _administered(call, intent)
    past = _past(intent, patient, services)
    circumstances = Circumstances(
        services.documents,
        minor=_is_minor(gather.facts_of(patient, services), services),
        successor=_is_replaced(intent, services),
        consulted=past.read_by_patient,
    )
    settled = settle(intent.before, intent.after, circumstances)
    for op in _ops(intent.before, settled):
        _decide(call, replace(past, op=op, after=document_facts(settled)), patient, services)
    return Permit(
        patient=patient,
        resource=settled,
        details=_label_details(intent.before, settled),
        transactions=tuple(_transactions(intent.before, settled)),
    )


def _transactions(before: Json, after: Json) -> Iterator[str]:
    """Yield the numbers of the transactions that a change of attributes is (dmp-fhir 3.0)."""
    changed = set(visibility_of(before)) ^ set(visibility_of(after))
    if MASKED in changed:
        yield "TD3.3a"
    if changed - {MASKED}:
        yield "TD3.3b"
    if before.get("status") != after.get("status") == "entered-in-error":
        yield "TD3.3c"
    if is_archived(before) != is_archived(after):
        yield "TD3.3d"


def _ops(before: Json, after: Json) -> tuple[Op, ...]:
    """Return what a change does, in the words of the access decision.

    A change of meta or of the base label alone is none of the acts, yet it needs a hand on the labels.
    """
    acts = tuple(_acts(before, after))
    return acts if acts or same_content(before, after) else (Op.UPDATE_LABEL,)


def _acts(before: Json, after: Json) -> Iterator[Op]:
    if before.get("status") != after.get("status"):
        yield Op.DELETE if after.get("status") == "entered-in-error" else Op.REPLACE
    if visibility_of(before) != visibility_of(after):
        yield Op.UPDATE_LABEL
    if is_archived(before) != is_archived(after):
        yield Op.ARCHIVE


def _label_details(before: Json, after: Json) -> tuple[tuple[str, str], ...]:
    old, new = visibility_of(before), visibility_of(after)
    return () if old == new else (("labels-before", " ".join(old) or "N"), ("labels-after", " ".join(new) or "N"))


def _past(intent: _Intent, patient: str, services: Services) -> Change:
    """Return the change as far as it depends on what was before. Only a new hiding label makes the past matter."""
    assert intent.before is not None
    assert intent.after is not None
    added = set(visibility_of(intent.after)) - set(visibility_of(intent.before)) - {MASKED}
    return Change(
        Op.UPDATE_LABEL,
        before=document_facts(intent.before),
        shown_before=HIDDEN_FROM_REPRESENTATIVES in added and _was_shown(intent, services),
        read_by_patient=bool(added) and _is_consulted(intent, patient, services),
        announced=bool(added) and _is_announced(intent, services),
    )


def _was_shown(intent: _Intent, services: Services) -> bool:
    """Say whether the document was hidden from the representatives once, and then made visible to them (W8)."""
    assert intent.current is not None
    key, before = intent.current.key, None
    while True:
        page = services.store.history(HistoryQuery(type=key.type, id=key.id, count=100, before_seq=before))
        for version in page.versions:
            if version.body and HIDDEN_FROM_REPRESENTATIVES in visibility_of(parse_stored(version.body)):
                return True
        if page.next_seq is None:
            return False
        before = page.next_seq


def _is_announced(intent: _Intent, services: Services) -> bool:
    """Say whether the document was deposited longer ago than `access.announce_days` (W7)."""
    assert intent.current is not None
    first = services.store.read_version(intent.current.key, 1)
    deposited_ms = (first or intent.current).updated_ms
    return services.clock.now_ms() - deposited_ms > services.access.announce_days * DAY_MS


def _is_consulted(intent: _Intent, patient: str, services: Services) -> bool:
    """Say whether the trail holds a consultation of the document by the patient."""
    assert intent.current is not None
    name = str(intent.current.key)

    def by_patient(entry: AuditRecord) -> bool:
        read = entry.kind in ("read", "vread", "history", "iti-68") and entry.outcome == "0"
        seen = any(each.split("/_history/")[0] == name for each in entry.what)
        return read and seen and entry.actor == Actor.PATIENT.value

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


def _decide(call: Call, wanted: Change, patient: str, services: Services) -> None:
    decision, facts = gather.decided(call.caller, wanted.op, patient, services, documents=True)
    if decision.permitted:
        decision = may_write(call.caller, decision, wanted, facts, services.access)
    if not decision.permitted:
        raise refusal(decision, services.canonical, "DocumentReference")
