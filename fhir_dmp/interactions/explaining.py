"""Why a caller may do something with a record or a document, or may not: the decision with all it rests on.

For operators and auditors (`fhir-dmp access explain`). It asks the same functions as the corridor, tells nothing of
what documents say, and leaves a trace. [security 4.7]
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from fhir_dmp.access.consent import Reading, Statement, statements
from fhir_dmp.access.consent_rules import names_caller
from fhir_dmp.access.decide import gate
from fhir_dmp.access.decision import CHANGES, Decision, Effect, Op, Verdict
from fhir_dmp.access.facts import PatientFacts
from fhir_dmp.access.refusal import absent
from fhir_dmp.access.relation import authorisation_status
from fhir_dmp.access.rows import ROWS
from fhir_dmp.access.visibility import visible
from fhir_dmp.access.writing import Change, may_write
from fhir_dmp.audit.record import AuditRecord
from fhir_dmp.fhir.dates import ALWAYS, NEVER, instant
from fhir_dmp.fhir.held import Held
from fhir_dmp.identity.caller import Actor, Caller
from fhir_dmp.interactions import gather
from fhir_dmp.interactions.services import Services
from fhir_dmp.ports import Key

#: What a token must allow for an operation: letters, and on which type.
_SCOPES: dict[Op, tuple[str, str]] = {
    Op.EXIST: ("s", "Patient"),
    Op.READ: ("r", "DocumentReference"),
    Op.SEARCH: ("s", "DocumentReference"),
    Op.FIND_OWN: ("s", "DocumentReference"),
    Op.RETRIEVE: ("r", "Binary"),
    Op.CREATE: ("c", "DocumentReference"),
    Op.UPDATE_LABEL: ("u", "DocumentReference"),
    Op.REPLACE: ("u", "DocumentReference"),
    Op.ARCHIVE: ("u", "DocumentReference"),
    Op.DELETE: ("u", "DocumentReference"),
    Op.CONSENT_WRITE: ("c", "Consent"),
    Op.HISTORY: ("s", "AuditEvent"),
}


@dataclass(frozen=True, slots=True)
class Ground:
    """One thing that a Consent says of the caller. period: as `start..end`, `-` where it is open.

    counted: the decision rests on it.
    """

    consent: str
    kind: str
    type: str
    period: str
    counted: bool


@dataclass(frozen=True, slots=True)
class Explanation:
    """A decision and what it rests on. rows: of the table, in order; status: of the HTTP answer.

    reason: code of dmp-denial, None when permitted. authorisation: status that TD0.2 tells the professional.
    """

    op: Op
    patient: str
    document: str | None
    effect: Effect
    rows: tuple[str, ...]
    status: int
    reason: str | None
    dossier: str
    relation: str
    authorisation: str | None
    obligations: tuple[str, ...]
    warnings: tuple[str, ...]
    grounds: tuple[Ground, ...]
    matrix: str

    @property
    def words(self) -> tuple[str, ...]:
        """What each row means."""
        return tuple(ROWS[row] for row in self.rows)


def explain(caller: Caller, op: Op, patient: str, services: Services, *, document: str | None = None) -> Explanation:
    """Explain whether the caller may do `op` in the record of `Patient/id`, with one document when its id is given.

    Raises:
        NotFound: there is no document of this id in the record.
    """
    services.trail((_trace(patient, document, services),))
    facts = gather.facts_of(patient, services)
    decision, verdict = _decided(caller, op, patient, document, services)
    # What the document says comes first: hidden, it stays hidden whatever shuts the record or the change.
    final = decision if verdict is None or verdict.permitted > decision.permitted else verdict
    rows = [decision.row] if verdict is None else list(dict.fromkeys((decision.row, verdict.row)))
    return Explanation(
        op=op,
        patient=patient,
        document=document,
        effect=final.effect,
        rows=tuple(rows),
        status=final.status,
        reason=None if final.effect is Effect.PERMIT else final.reason,
        dossier=facts.dossier.value,
        relation=decision.relation.value,
        authorisation=_authorisation(caller, facts, services),
        obligations=decision.obligations,
        warnings=() if verdict is None else verdict.warnings,
        grounds=tuple(_grounds(caller, patient, decision, services)),
        matrix=services.matrix.version,
    )


def _trace(patient: str, document: str | None, services: Services) -> AuditRecord:
    return AuditRecord(
        id=services.ids.resource(patient),
        kind="explain",
        recorded_ms=services.clock.now_ms(),
        patient=patient,
        what=(patient, *((f"DocumentReference/{document}",) if document else ())),
        actor=Actor.ADMIN.value,
        subject="operator",
        client="fhir-dmp",
    )


def _decided(
    caller: Caller, op: Op, patient: str, document: str | None, services: Services
) -> tuple[Decision, Verdict | None]:
    """Return the decision on the record or on the change, and the verdict on the document."""
    refused = gate(caller, *_SCOPES[op], services.access) if op in _SCOPES else None
    if refused is not None:
        return refused, None
    # Without a document, reading is about the record: that authors keep their own documents (C17) opens it to nobody.
    of_documents = document is not None or op not in (Op.READ, Op.RETRIEVE)
    decision, facts = gather.decided(caller, op, patient, services, documents=of_documents)
    if document is None:
        return decision, None
    version = services.store.read(Key("DocumentReference", document))
    if version is None or version.deleted or version.patient != patient:
        raise absent("DocumentReference")
    known = services.seen.of(version)
    verdict = visible(caller, decision, known, facts, services.access, services.matrix)
    if op in CHANGES and decision.permitted and verdict.permitted:
        after = None if op is Op.REPLACE else known
        decision = may_write(caller, decision, Change(op, before=known, after=after), facts, services.access)
    return decision, verdict


def _authorisation(caller: Caller, facts: PatientFacts, services: Services) -> str | None:
    if caller.actor is not Actor.PROFESSIONAL:
        return None
    return authorisation_status(caller, facts, services.access).value


def _grounds(caller: Caller, patient: str, decision: Decision, services: Services) -> Iterator[Ground]:
    """Yield what the Consents of the record say of the caller, and whatever else the decision rests on."""
    found = gather.record_of(patient, services.clock.now_ms(), services)
    if found is None:
        return
    reading = Reading(found.directory, services.zone, services.canonical)
    for consent in found.consents:
        name = f"Consent/{consent.id}"
        counted = name in decision.consent_ids
        if counted or names_caller(consent.resource, caller, reading):
            yield from _said(consent, name, reading, counted=counted)


def _said(consent: Held, name: str, reading: Reading, *, counted: bool) -> Iterator[Ground]:
    status = consent.resource.get("status")
    told: Sequence[Statement] = tuple(statements({**consent.resource, "status": "active"}, reading))
    for statement in told:
        kind = "permit" if statement.permit else "deny"
        shown = kind if status == "active" else f"{kind} ({status})"
        yield Ground(name, statement.kind.value, shown, _period(statement), counted)


def _period(statement: Statement) -> str:
    start = "-" if statement.low_ms == ALWAYS else instant(int(statement.low_ms))
    end = "-" if statement.high_ms == NEVER else instant(int(statement.high_ms))
    return f"{start}..{end}"
