"""What happened becomes notices: the step between an audit record and the outbox, in the commit of both.

Which accesses and changes are told follows [security 7]; what people chose not to be told is left out when messages are
sent, so that a choice holds for what is queued already. A notice's id is made of its cause: the same cause tells once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256

from fhir_dmp.access.consent import ConsentKind, consent_kind
from fhir_dmp.audit.record import AuditRecord
from fhir_dmp.documents.labels import visibility_of
from fhir_dmp.fhir.resource import Json, parse_stored
from fhir_dmp.identity.caller import Actor, Mode
from fhir_dmp.interactions.services import Services
from fhir_dmp.notices.events import POLICIES, Event, Way
from fhir_dmp.notices.schedule import DAY_MS, day_of, digest_ms
from fhir_dmp.ports import Key, Notice, Version, Write
from fhir_dmp.terminology.visibility import HIDDEN_FROM_PATIENT, HIDDEN_FROM_REPRESENTATIVES

#: Detail of an audit record: the professional keeps this from the representatives of a minor.
SECRET = "secret-connection"  # noqa: S105 - the name of a detail
#: Variables of a notice: how many things it stands for; that representatives must not learn of it.
COUNT, KEPT_SECRET = "count", "secret"

_READS = frozenset(
    {"read", "vread", "history", "history-type", "history-system", "search-type", "search-system", "iti-66", "iti-67",
     "iti-68", "operation"}
)  # fmt: skip
#: Asking whether a dossier exists, or finding a patient, is no consultation.
_LOOKING_UP = "#TD0."
#: No local day begins within a quarter of an hour.
_QUARTER_MS = 900_000
_HOLDERS = frozenset({Actor.PATIENT.value, Actor.REPRESENTATIVE.value, Actor.DELEGATE.value})
_CONSENTS: Mapping[ConsentKind, Event] = {
    ConsentKind.OPENING: Event.DOSSIER,
    ConsentKind.APP: Event.APPLICATION,
    ConsentKind.DELEGATION: Event.REPRESENTATION,
}


def notice_id(event: Event, *cause: str) -> str:
    """Return the id of the notice that this cause makes."""
    return f"{event}-{sha256('|'.join(cause).encode()).hexdigest()[:40]}"


def notice(event: Event, patient: str, cause: Sequence[str], services: Services, **variables: str) -> Notice:
    """Return a notice to the holder of `Patient/id`; a digest waits for its hour."""
    settings, now = services.settings.notices, services.clock.now_ms()
    due = 0
    if POLICIES[event].way is not Way.AT_ONCE:
        due = digest_ms(now, settings.digest_hour, services.zone)
    elif event is Event.REGULATION and settings.delay_centre15:
        due = now + DAY_MS
    return Notice(notice_id(event, patient, *cause), event.value, patient, now, tuple(variables.items()), due)


def of_accesses(records: Sequence[AuditRecord], services: Services) -> tuple[Notice, ...]:
    """Return the notices of accesses by professionals that were not told yet."""
    found = (_access(record, services) for record in records)
    return tuple(each for each in found if each is not None)


def _access(record: AuditRecord, services: Services) -> Notice | None:
    if record.actor != Actor.PROFESSIONAL or record.outcome != "0" or record.patient is None:
        return None
    if record.kind.partition("#")[0] not in _READS or _LOOKING_UP in record.kind:
        return None
    who, quarter = record.professional or record.subject, record.recorded_ms // _QUARTER_MS
    usual = record.mode not in (Mode.BREAK_GLASS, Mode.REGULATION)
    if usual and services.told.is_settled(record.patient, who, quarter):
        return None
    for event, cause in _causes(record, who, services):
        id_ = notice_id(event, record.patient, *cause)
        if not services.told.knows(id_):
            if services.store.outbox.find(id_) is None:
                secret = {KEPT_SECRET: "1"} if any(name == SECRET for name, _ in record.details) else {}
                return notice(event, record.patient, cause, services, **secret)
            services.told.remember((id_,))
    if usual:
        services.told.settle(record.patient, who, quarter)
    return None


def _causes(record: AuditRecord, who: str, services: Services) -> Iterator[tuple[Event, tuple[str, ...]]]:
    """Yield what an access may be told as; the first that was not told yet counts."""
    if record.mode == Mode.BREAK_GLASS:
        yield Event.BREAK_GLASS, (who, record.jti or record.request_id)
    elif record.mode == Mode.REGULATION:
        yield Event.REGULATION, (who, record.jti or record.request_id)
    else:
        yield Event.FIRST_ACCESS, (who,)
        yield Event.LATER_ACCESS, (who, day_of(record.recorded_ms, services.zone))


def of_changes(
    records: Sequence[AuditRecord], writes: Sequence[Write], previous: Mapping[Key, Version], services: Services
) -> tuple[Notice, ...]:
    """Return the notices of a commit: documents that came or changed, rights that changed, the state of the dossier."""
    if not records or records[0].kind == "import" or not writes:
        return ()
    maker = records[0]
    replaced = any(write.type == "DocumentReference" and write.version > 1 for write in writes)
    told: dict[tuple[str, Event, bool], int] = {}
    for write in writes:
        before = previous.get(Key(write.type, write.id))
        patient = write.terms.patient or (before.patient if before is not None else None)
        if patient is None:
            continue
        for event, secret in _changes(write, before, maker, replaced=replaced, base=services.canonical):
            told[patient, event, secret] = told.get((patient, event, secret), 0) + 1
    # Opening and closing move many rights at once: that the dossier was opened or closed says it all.
    whole = {patient for patient, event, _ in told if event is Event.DOSSIER}
    told = {key: n for key, n in told.items() if key[0] not in whole or key[1] is not Event.RIGHTS_CHANGED}
    return tuple(
        notice(event, patient, (maker.id, str(secret)), services, **_variables(count, secret=secret))
        for (patient, event, secret), count in told.items()
    )


def _variables(count: int, *, secret: bool) -> dict[str, str]:
    return {COUNT: str(count), **({KEPT_SECRET: "1"} if secret else {})}


def _changes(
    write: Write, before: Version | None, maker: AuditRecord, *, replaced: bool, base: str
) -> Iterator[tuple[Event, bool]]:
    """Yield (event, kept from representatives) of one write."""
    if write.type == "DocumentReference":
        yield from _document(write, before, maker, replaced=replaced)
    elif write.type == "Consent" and not write.deleted:
        kind = consent_kind(parse_stored(write.body), base)
        if kind is not None:
            yield _CONSENTS.get(kind, Event.RIGHTS_CHANGED), kind is ConsentKind.TEAM_INFORMATION
    elif write.type == "RelatedPerson":
        yield Event.REPRESENTATION, False


def _document(
    write: Write, before: Version | None, maker: AuditRecord, *, replaced: bool
) -> Iterator[tuple[Event, bool]]:
    if maker.actor in _HOLDERS:
        return
    if write.deleted or not write.body:
        yield Event.DOCUMENT_CHANGED, False
        return
    document = parse_stored(write.body)
    labels = visibility_of(document)
    if HIDDEN_FROM_PATIENT in labels:
        return
    secret = HIDDEN_FROM_REPRESENTATIVES in labels
    if before is None and not replaced:
        yield Event.DOCUMENT_ADDED, secret
    elif before is not None and _differs(document, parse_stored(before.body) if before.body else {}):
        yield Event.DOCUMENT_CHANGED, secret


def _differs(one: Json, other: Json) -> bool:
    """Say whether something changed that people are told of: status or visibility."""
    return one.get("status") != other.get("status") or set(visibility_of(one)) != set(visibility_of(other))
