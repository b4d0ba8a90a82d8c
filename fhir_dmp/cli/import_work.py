"""What one process of an import does: each unit read, written under the rules of the API, and reported."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from traceback import extract_tb

from fhir_dmp.bootstrap import Wired, build
from fhir_dmp.cda.actors import ins_of
from fhir_dmp.cda.header import read_header
from fhir_dmp.cda.submission import Wrapping, patient_of, wrap
from fhir_dmp.cda.xdm import Document, Stated, documents, is_xdm
from fhir_dmp.cli import import_archive
from fhir_dmp.cli.import_files import Unit, kind_of, lines
from fhir_dmp.errors import DmpError, StoreUnavailable, Unprocessable
from fhir_dmp.fhir.dates import instant
from fhir_dmp.fhir.resource import Json, parse
from fhir_dmp.fhir.xml import from_xml
from fhir_dmp.identity.caller import Actor, Caller, Scope
from fhir_dmp.interactions.bundle_entries import payload_of
from fhir_dmp.interactions.exchange import Call
from fhir_dmp.interactions.import_bundles import submission
from fhir_dmp.interactions.import_outcome import Importer, Outcome, refused
from fhir_dmp.interactions.importing import Item, resources
from fhir_dmp.ports import RequestInfo
from fhir_dmp.settings import Settings
from fhir_dmp.terminology.national import INS_FORMAT, INS_NIR, INS_SYSTEMS

_OPERATOR = Caller(Actor.ADMIN, "import", client="fhir-dmp", scopes=(Scope("system", "*", frozenset("cruds")),))


@dataclass(frozen=True, slots=True)
class Rules:
    """patient: INS of CDA documents that state none. open: open dossiers that do not exist."""

    patient: str | None
    open: bool


@dataclass(frozen=True, slots=True)
class Done:
    """Outcomes of a unit: how many of each status, and a JSON line for each refusal and each warning."""

    counts: dict[str, int]
    refusals: list[str]
    warnings: list[str] = field(default_factory=list)


@dataclass
class _Process:
    """What this process works with."""

    services: Wired
    rules: Rules

    @property
    def importer(self) -> Importer:
        info = RequestInfo(request_id="import", address="127.0.0.1", base=self.services.base)
        return Importer(Call("POST", (), _OPERATOR, info), self.services, self.services.handle)


_here: list[_Process] = []


def prepare(settings: Settings, rules: Rules) -> None:
    """Build the services of this process.

    What an operator imports has a history: a replaced document may be absent, and traits may have changed since.
    """
    services = build(settings)
    lenient = replace(services, documents=replace(services.documents, absent_targets=True, traits_check="warn"))
    _here[:] = [_Process(lenient, rules)]


def finish() -> None:
    """Close the store of this process."""
    for process in _here:
        process.services.close()
    _here.clear()


def run(unit: Unit) -> Done:
    """Import one unit.

    Raises:
        StoreUnavailable: nothing can be imported now.
    """
    counts: Counter[str] = Counter()
    refusals: list[str] = []
    warnings: list[str] = []
    for outcome in _safely(unit, _here[0]):
        counts[outcome.status] += 1
        if outcome.status == "refused":
            refusals.append(line_of(outcome.name, outcome.code, outcome.reason))
        warnings += [line_of(outcome.name, code, text) for code, text in outcome.warnings]
    return Done(dict(counts), refusals, warnings)


def line_of(name: str, code: str, reason: str) -> str:
    """Return a refusal or a warning as a report tells it."""
    return json.dumps({"name": name, "code": code, "reason": reason}, ensure_ascii=False)


def _safely(unit: Unit, process: _Process) -> Iterator[Outcome]:
    """Yield the outcomes of a unit. Whatever one file does to this program, the others are imported."""
    try:
        yield from _outcomes(unit, process)
    except StoreUnavailable:
        raise
    except DmpError as error:
        yield refused(unit.name, error)
    except OSError as error:
        reason = f"The file cannot be read: {error.strerror or type(error).__name__}."
        yield Outcome(unit.name, "refused", reason=reason, code="no-store")
    except Exception as error:  # a defect of this program; its place in the code tells no patient data
        place = extract_tb(error.__traceback__)[-1]
        reason = f"internal error: {type(error).__name__} at {Path(place.filename).name}:{place.lineno}; please report"
        yield Outcome(unit.name, "refused", reason=reason, code="exception")


def _outcomes(unit: Unit, process: _Process) -> Iterator[Outcome]:
    kind = kind_of(unit.path)
    if kind == "cda":
        yield _cda(str(unit.path), unit.path.read_bytes(), process)
    elif kind == "zip":
        yield from _archive(unit.path, process)
    elif kind == "ndjson":
        yield from resources(process.importer, (_item(name, found) for name, found in lines(unit)))
    else:
        yield from resources(process.importer, [Item(unit.name, _resource(unit.path, kind, process))])


def _item(name: str, found: Json | DmpError) -> Item:
    return Item(name, error=found) if isinstance(found, DmpError) else Item(name, found)


def _resource(path: Path, kind: str, process: _Process) -> Json:
    body = path.read_bytes()
    return from_xml(body, process.services.structures) if kind == "xml" else parse(body)


def _archive(path: Path, process: _Process) -> Iterator[Outcome]:
    """Import an exported record, or the documents of an IHE_XDM.ZIP."""
    with import_archive.opened(path) as archive:
        if not is_xdm(archive):
            yield from import_archive.record(process.importer, path)
            return
        for document in documents(archive):
            yield _transmitted(f"{path}/{document.name}", document, process)


def _transmitted(name: str, document: Document, process: _Process) -> Outcome:
    """Store one document of an archive under the labels that its metadata give it."""
    try:
        if document.error is not None:
            raise document.error
        outcome = _cda(name, document.data, process, document.stated)
    except StoreUnavailable:
        raise
    except DmpError as error:
        return refused(name, error)
    return replace(outcome, warnings=(*outcome.warnings, *(("value", text) for text in document.warnings)))


def _cda(name: str, data: bytes, process: _Process, metadata: Stated | None = None) -> Outcome:
    """Store a CDA: the header makes the submission, and the dossier when asked."""
    services = process.services
    header = read_header(data)
    stated = ins_of(header.patient)
    beside = _ins_beside(metadata)
    if stated and beside and stated[1] != beside[1]:
        raise Unprocessable("METADATA.XML names another patient than the document does.", code="conflict")
    ins = stated or beside or _given(process)
    if ins is None:
        raise Unprocessable("The CDA states no INS; say whose it is with --patient.", code="required")
    if services.patient_id(*ins) is None:
        if not process.rules.open:
            text = "No dossier holds the INS of this document; open it first, or import with --open."
            raise Unprocessable(text, code="not-found", details=services.documents.erreur("dmp-inexistant"))
        _open(patient_of(header, ins, services.zone), process)
    submitted = instant(services.clock.now_ms())
    visibility = metadata.visibility if metadata else ()
    wrapping = Wrapping(ins, submitted, services.documents.operator_oid, services.zone, visibility)
    blob = services.store.blobs.stage(iter((data,)))
    bundle = wrap(data, services.documents.codes, wrapping, header, content=blob.sha256)
    return submission(process.importer, name, bundle, {blob.sha256: blob})


def _ins_beside(metadata: Stated | None) -> tuple[str, str] | None:
    """Return the INS of the metadata, None when they name the patient otherwise."""
    if metadata is None or metadata.patient is None:
        return None
    oid, number = metadata.patient
    system = f"urn:oid:{oid}"
    return (system, number) if system in INS_SYSTEMS and INS_FORMAT.fullmatch(number) else None


def _given(process: _Process) -> tuple[str, str] | None:
    """Return the INS of --patient (`INS` or `SYSTEM|INS`), under the authority that this store knows it by."""
    if process.rules.patient is None:
        return None
    system, separator, value = process.rules.patient.rpartition("|")
    if separator:
        return system, value
    known = process.services.ins_of(value)
    return known or (INS_NIR, value)


def _open(patient: Json, process: _Process) -> None:
    parameters: Json = {
        "resourceType": "Parameters",
        "parameter": [
            {"name": "patient", "resource": patient},
            {"name": "consentement", "valueBoolean": True},
        ],
    }
    importer = process.importer
    asked = replace(importer.call, path=("Patient", "$dmp-ouvrir"), payload=payload_of(parameters, {}))
    try:
        importer.handle(asked)
    except DmpError as error:
        # Another process may have opened it in between; the submission tells whether a dossier is there.
        if error.status != 409:
            raise
