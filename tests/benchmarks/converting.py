"""CDA documents there and back: what is mapped, what is lost, what is valid, what comes back, how long it takes."""

from __future__ import annotations

import statistics
import time
import tracemalloc
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC
from pathlib import Path
from typing import Any

from lxml import etree

from fhir_dmp import definitions
from fhir_dmp.cda.elements import acts_in
from fhir_dmp.cda.from_fhir import from_fhir
from fhir_dmp.cda.header import Header, read_header
from fhir_dmp.cda.metadata import document_reference
from fhir_dmp.cda.to_fhir import to_fhir
from fhir_dmp.cda.xml import clinical_document, parse
from fhir_dmp.fhir.resource import dump
from fhir_dmp.fhir.resource import parse as parse_json
from fhir_dmp.fhir.structure import TABLE, Structures
from fhir_dmp.terminology.codes import Codes
from fhir_dmp.validation.validate import errors_in, validate
from tests.benchmarks.processes import ROOT
from tests.cda.invariants import facts

PAGE = ROOT / "docs/cda-coverage.md"
#: What the figures of time are about: documents of about this size.
_SIZE = (150_000, 260_000)


@dataclass(slots=True)
class Model:
    """The figures of the documents of one model."""

    documents: int = 0
    statements: int = 0
    unknown: int = 0
    lost: Counter[str] = field(default_factory=Counter)
    kept: int = 0
    invalid_fhir: int = 0
    invalid_cda: int = 0
    different: int = 0


def measure(folder: Path, schema: Path | None) -> str:
    """Return the page of figures."""
    knowledge = definitions.cda_knowledge()
    structures = Structures(definitions.load_json(TABLE))
    xsd = etree.XMLSchema(etree.parse(str(schema), etree.XMLParser(no_network=True))) if schema else None
    models: dict[str, Model] = {}
    times: dict[str, list[float]] = {"header": [], "there": [], "back": []}
    memory: list[float] = []
    codes = Codes.load(definitions.load_json)
    for path in sorted(folder.glob("*.xml")):
        data = path.read_bytes()
        header = read_header(data)
        model = models.setdefault(header.model or "none", Model())
        found = to_fhir(data, knowledge)
        bundle = parse_json(dump(found.bundle))
        back = from_fhir(bundle, knowledge)
        source, again = clinical_document(parse(data)), clinical_document(parse(back.data))
        model.documents += 1
        model.statements += sum(1 for _ in acts_in([source]))
        model.unknown += sum(found.counted.by_class.values())
        model.lost.update(issue.diagnostics for issue in found.issues if issue.severity == "warning")
        model.kept += sum(issue.severity == "information" for issue in found.issues)
        model.invalid_fhir += bool(errors_in(validate(bundle, structures)))
        model.different += facts(source) != facts(again)
        if xsd is not None:
            model.invalid_cda += not xsd.validate(etree.fromstring(back.data, etree.XMLParser(huge_tree=True)))
        if _SIZE[0] < len(data) < _SIZE[1]:
            times["header"].append(_best(lambda data=data: _metadata(read_header(data), codes)))  # type: ignore[misc]
            times["there"].append(_best(lambda data=data: to_fhir(data, knowledge)))  # type: ignore[misc]
            times["back"].append(_best(lambda bundle=bundle: from_fhir(bundle, knowledge)))  # type: ignore[misc]
        memory.append(_memory(data, knowledge) / len(data))
    return _page(models, times, memory, checked=xsd is not None)


def _metadata(header: Header, codes: Codes) -> None:
    document_reference(header, {}, {}, codes, UTC)


def _best(work: Callable[[], object], rounds: int = 3) -> float:
    found = []
    for _ in range(rounds):
        begun = time.process_time()
        work()
        found.append((time.process_time() - begun) * 1000)
    return min(found)


def _memory(data: bytes, knowledge: Any) -> float:
    """Return the peak of what Python allocates during a conversion, in bytes; libxml2's own tree is not in it."""
    tracemalloc.start()
    to_fhir(data, knowledge)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "-"


def _page(models: dict[str, Model], times: dict[str, list[float]], memory: list[float], *, checked: bool) -> str:
    total = [sum(getattr(one, name) for one in models.values()) for name in
             ("documents", "statements", "unknown", "kept", "invalid_fhir", "invalid_cda", "different")]  # fmt: skip
    documents, statements, unknown, kept, invalid_fhir, invalid_cda, different = total
    reasons = sum((one.lost for one in models.values()), Counter[str]())
    lines = [
        "# CDA: what is converted",
        "",
        "Made by `scripts/bench cda --documents FOLDER --schema CDA_extended.xsd --page` over the public examples",
        "of the Agence du Numérique en Santé. A statement is *mapped* when its template, or a parent of it, has a",
        "mapping, or when it is a part of another resource; else it is read by the class of its act. *Lost* is what",
        "stands nowhere in FHIR; *kept* what FHIR has no element for and an extension carries, so that it comes back.",
        "",
        f"* documents: {documents}, all of them converted",
        f"* statements: {statements}, mapped: {_share(statements - unknown, statements)}",
        f"* FHIR documents valid in base R4: {documents - invalid_fhir} of {documents}",
        f"* CDA written valid against the schema: {documents - invalid_cda} of {documents}" if checked else "",
        f"* equal after CDA, FHIR, CDA under the invariants: {documents - different} of {documents}",
        f"* kept: {kept}; lost: {sum(reasons.values())}",
        "",
        "| processor time of a document of about 200 KB | median | slowest |",
        "|---|---|---|",
    ]
    names = {"header": "header to DocumentReference", "there": "CDA to FHIR", "back": "FHIR to CDA"}
    for name, found in times.items():
        if found:
            lines.append(f"| {names[name]} | {statistics.median(found):.1f} ms | {max(found):.1f} ms |")
    middle, most = statistics.median(memory), max(memory)
    lines += ["", f"Peak of Python's memory in a conversion: median {middle:.1f}, at most {most:.1f} times the file."]
    lines += ["", "| what is lost | times |", "|---|---|"]
    lines += [f"| {reason} | {count} |" for reason, count in reasons.most_common()]
    lines += ["", "| model (template) | documents | statements | mapped | kept | lost | differ |"]
    lines += ["|---|---|---|---|---|---|---|"]
    for root, one in sorted(models.items()):
        cells = (
            root,
            one.documents,
            one.statements,
            _share(one.statements - one.unknown, one.statements),
            one.kept,
            sum(one.lost.values()),
            one.different,
        )
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(line for line in lines if line is not None) + "\n"
