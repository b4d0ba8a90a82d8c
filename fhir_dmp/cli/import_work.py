"""What one process of an import does: files cut in units, each unit read, written and reported."""

from __future__ import annotations

import base64
import json
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fhir_dmp.bootstrap import Wired, build
from fhir_dmp.cda.actors import ins_of
from fhir_dmp.cda.header import read_header
from fhir_dmp.cda.submission import Wrapping, patient_of, wrap
from fhir_dmp.errors import BadRequest, DmpError, Unprocessable
from fhir_dmp.fhir.resource import Json, parse
from fhir_dmp.fhir.xml import from_xml
from fhir_dmp.identity.caller import Actor, Caller, Scope
from fhir_dmp.interactions import importing
from fhir_dmp.interactions.bundle_entries import payload_of
from fhir_dmp.interactions.exchange import Call
from fhir_dmp.interactions.importing import Outcome
from fhir_dmp.ports import RequestInfo
from fhir_dmp.settings import Settings
from fhir_dmp.terminology.national import INS_NIR

#: NDJSON files are cut in pieces of about so many bytes, at line ends.
PIECE = 4 * 1024 * 1024
KINDS = (".json", ".ndjson", ".xml", ".zip")
_OPERATOR = Caller(Actor.ADMIN, "import", client="fhir-dmp", scopes=(Scope("system", "*", frozenset("cruds")),))


@dataclass(frozen=True, slots=True)
class Rules:
    """patient: INS of CDA documents that state none. open: open dossiers that do not exist."""

    patient: str | None
    open: bool


@dataclass(frozen=True, slots=True)
class Unit:
    """A file, or the bytes [start, end) of an NDJSON file; `line` is the number of its first line."""

    path: Path
    start: int = 0
    end: int | None = None
    line: int = 1


@dataclass(frozen=True, slots=True)
class Done:
    """Outcomes of a unit: how many of each status, and a JSON line for each refusal."""

    counts: dict[str, int]
    refusals: list[str]


def units(paths: Iterable[Path]) -> Iterator[Unit]:
    """Yield the work: every known file below the paths, large NDJSON files in pieces."""
    for path in paths:
        if path.is_dir():
            yield from units(sorted(each for each in path.rglob("*") if each.suffix in KINDS and each.is_file()))
        elif path.suffix == ".ndjson":
            yield from _pieces(path)
        else:
            yield Unit(path)


def _pieces(path: Path) -> Iterator[Unit]:
    start, line = 0, 1
    with path.open("rb") as file:
        while chunk := file.read(PIECE):
            rest = file.readline()
            end = start + len(chunk) + len(rest)
            yield Unit(path, start, end, line)
            line += chunk.count(b"\n") + rest.count(b"\n")
            start = end


@dataclass
class _Process:
    """What this process works with."""

    services: Wired
    rules: Rules


_here: list[_Process] = []


def prepare(settings: Settings, rules: Any) -> None:
    """Build the services of this process. A replaced document that is absent does not stop an import."""
    services = build(settings)
    lenient = replace(services, documents=replace(services.documents, absent_targets=True, traits_check="warn"))
    _here[:] = [_Process(lenient, rules)]


def finish() -> None:
    """Close the store of this process."""
    for process in _here:
        process.services.store.close()
    _here.clear()


def run(unit: Unit) -> Done:
    """Import one unit."""
    process = _here[0]
    counts: Counter[str] = Counter()
    refusals = []
    for outcome in _outcomes(unit, process):
        counts[outcome.status] += 1
        if outcome.status == "refused":
            told = {"name": outcome.name, "code": outcome.code, "reason": outcome.reason}
            refusals.append(json.dumps(told, ensure_ascii=False))
    return Done(dict(counts), refusals)


def _call(process: _Process) -> Call:
    info = RequestInfo(request_id="import", address="127.0.0.1", base=process.services.base)
    return Call("POST", (), _OPERATOR, info)


def _outcomes(unit: Unit, process: _Process) -> Iterator[Outcome]:
    services = process.services
    name = unit.path.name
    try:
        if unit.path.suffix == ".xml" and _is_cda(unit.path):
            yield _cda(unit.path, process)
            return
        if unit.path.suffix == ".zip":
            named: Iterable[tuple[str, Json]] = _archive(unit.path, process)
        elif unit.path.suffix == ".ndjson":
            named = _lines(unit)
        else:
            named = [(name, _resource(unit.path, process))]
        yield from importing.resources(_call(process), named, services, services.handle)
    except DmpError as error:
        yield importing.refused(name, error)


def _resource(path: Path, process: _Process) -> Json:
    body = path.read_bytes()
    return from_xml(body, process.services.structures) if path.suffix == ".xml" else parse(body)


def _lines(unit: Unit) -> Iterator[tuple[str, Json]]:
    with unit.path.open("rb") as file:
        file.seek(unit.start)
        body = file.read(None if unit.end is None else unit.end - unit.start)
    for number, line in enumerate(body.split(b"\n"), unit.line):
        if line.strip():
            yield f"{unit.path.name}:{number}", _line(line)


def _line(line: bytes) -> Json:
    try:
        return parse(line)
    except BadRequest as error:
        # The writer refuses it by its missing type, with the line's name; the others go on.
        return {"resourceType": "", "_error": str(error)}


def _archive(path: Path, process: _Process) -> Iterator[tuple[str, Json]]:
    """Yield the resources of an exported record; contents go back into their Binary."""
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        for name in sorted(names, key=lambda each: (not each.startswith("Patient"), each)):
            if name.endswith(".ndjson"):
                for number, line in enumerate(archive.read(name).split(b"\n"), 1):
                    if line.strip():
                        yield f"{path.name}/{name}:{number}", _line(line)
            elif name.endswith(".json"):
                resource = parse(archive.read(name))
                content = f"contents/{resource.get('id')}"
                if resource.get("resourceType") == "Binary" and content in names:
                    resource["data"] = base64.b64encode(archive.read(content)).decode()
                yield f"{path.name}/{name}", resource


def _is_cda(path: Path) -> bool:
    with path.open("rb") as file:
        return b"http://hl7.org/fhir" not in file.read(4096)


def _cda(path: Path, process: _Process) -> Outcome:
    """Store a CDA: the header makes the submission, and the dossier when asked."""
    services, rules = process.services, process.rules
    data = path.read_bytes()
    header = read_header(data)
    ins = (INS_NIR, rules.patient) if rules.patient else ins_of(header.patient)
    if ins is None:
        raise Unprocessable("The CDA states no INS; name its patient with --patient.", code="required")
    known = services.patient_id(None if rules.patient else ins[0], ins[1])
    if known is None and rules.open:
        _open(patient_of(header, ins, services.zone), process)
    submitted = services.clock.now_ms()
    wrapping = Wrapping(ins, _instant(submitted), services.documents.operator_oid, services.zone)
    bundle = wrap(data, services.documents.codes, wrapping, header)
    return importing.submission(_call(process), path.name, bundle, services.handle)


def _instant(ms: int) -> str:
    from fhir_dmp.fhir.dates import instant

    return instant(ms)


def _open(patient: Json, process: _Process) -> None:
    parameters: Json = {
        "resourceType": "Parameters",
        "parameter": [
            {"name": "patient", "resource": patient},
            {"name": "consentement", "valueBoolean": True},
        ],
    }
    asked = replace(_call(process), path=("Patient", "$dmp-ouvrir"), payload=payload_of(parameters, {}))
    try:
        process.services.handle(asked)
    except DmpError as error:
        # Another process may have opened it in between; the submission tells whether a dossier is there.
        if error.status != 409:
            raise
