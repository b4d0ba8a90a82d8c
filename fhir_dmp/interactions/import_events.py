"""The history of accesses on its way out of one server and into another.

An exported AuditEvent carries the record it was told from, in an extension. So the second server knows what the first
one knew, keeps ids and times, and tells the event as the first one did.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice

from fhir_dmp.audit.codec import decode, encode
from fhir_dmp.audit.record import AuditRecord
from fhir_dmp.errors import BadRequest, DmpError
from fhir_dmp.fhir.dates import moment
from fhir_dmp.fhir.resource import Json, dump, is_id
from fhir_dmp.interactions.audit_events import named_patient
from fhir_dmp.interactions.import_outcome import Importer, Outcome, derived_id, refused
from fhir_dmp.interactions.write import checked
from fhir_dmp.ports import Commit

#: Events kept in one commit.
BATCH = 200
_EXTENSION = "StructureDefinition/audit-record"


def with_record(event: Json, entry: AuditRecord, canonical: str) -> Json:
    """Return an AuditEvent with the record it was told from."""
    record = {"url": f"{canonical}/{_EXTENSION}", "valueBase64Binary": base64.b64encode(encode(entry)).decode("ascii")}
    return {**event, "extension": [*event.get("extension", ()), record]}


def one(importer: Importer, name: str, event: Json) -> Outcome:
    """Keep one AuditEvent.

    Raises:
        DmpError: it is no valid AuditEvent.
    """
    (outcome,) = _kept(importer, [(name, _record(importer, event))])
    return outcome


def every(importer: Importer, patient: str, lines: Iterable[tuple[str, Json | DmpError]]) -> Iterator[Outcome]:
    """Keep the AuditEvents of one patient, oldest first; lines are (where it stands, the event)."""
    rest = iter(lines)
    while batch := list(islice(rest, BATCH)):
        readable: list[tuple[str, AuditRecord]] = []
        for name, event in batch:
            try:
                readable.append((name, _of_patient(importer, event, patient)))
            except DmpError as error:
                yield refused(name, error)
        yield from _kept(importer, readable)


def _of_patient(importer: Importer, event: Json | DmpError, patient: str) -> AuditRecord:
    if isinstance(event, DmpError):
        raise event
    record = _record(importer, event)
    if record.patient != patient:
        raise BadRequest("This event belongs to another record than the archive's.", code="value")
    return record


def _record(importer: Importer, event: Json) -> AuditRecord:
    """Return what is kept of an event: its record when it carries one, else what the event itself says."""
    url = f"{importer.services.canonical}/{_EXTENSION}"
    extensions = event.get("extension", [])
    carried = [part for part in extensions if isinstance(part, dict) and part.get("url") == url]
    if not carried:
        checked(event, importer.services)
        return _received(event)
    others = [part for part in extensions if part not in carried]
    plain = {key: part for key, part in event.items() if key != "extension"} | ({"extension": others} if others else {})
    checked(plain, importer.services)
    record = _decoded(carried[0].get("valueBase64Binary"))
    if record.id != event.get("id"):
        raise BadRequest("The event carries the record of another one.", expression="AuditEvent.extension")
    return record if record.given is not None else replace(record, given=dump(plain))


def _decoded(value: object) -> AuditRecord:
    try:
        return decode(base64.b64decode(str(value), validate=True))
    except (binascii.Error, ValueError, LookupError, TypeError, AttributeError) as error:
        text = "The record of this event is damaged, or was written by a newer release."
        raise BadRequest(text, code="structure", expression="AuditEvent.extension") from error


def _received(event: Json) -> AuditRecord:
    recorded = moment(event.get("recorded"))
    if recorded is None:
        raise BadRequest("An AuditEvent names the instant of its recording.", expression="AuditEvent.recorded")
    id_ = event.get("id")
    kept = id_ if isinstance(id_, str) and is_id(id_) else derived_id(event)
    outcome = str(event.get("outcome", "0"))
    return AuditRecord(kept, "create", recorded, outcome, patient=named_patient(event), given=dump(event))


def _kept(importer: Importer, named: Sequence[tuple[str, AuditRecord]]) -> list[Outcome]:
    store = importer.services.store
    new: dict[str, AuditRecord] = {}
    outcomes = []
    for name, entry in named:
        known = entry.id in new or store.audit_record(entry.id) is not None
        if not known:
            new[entry.id] = entry
        outcomes.append(Outcome(name, "unchanged" if known else "stored", f"AuditEvent/{entry.id}"))
    if new:
        store.commit(Commit(audit=tuple(new.values())))
    return outcomes
