"""A CDA document as a FHIR document Bundle, and what was lost on the way. [cda 4]"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from datetime import tzinfo
from zoneinfo import ZoneInfo

from fhir_dmp.cda.care_plan import plan_of
from fhir_dmp.cda.datatypes import ABSENT, identifier, instant
from fhir_dmp.cda.elements import ACT_TAGS, children, first, name_of, place_of, text_in
from fhir_dmp.cda.header import header_of
from fhir_dmp.cda.knowledge import Knowledge
from fhir_dmp.cda.places import EXTENSIONS
from fhir_dmp.cda.reading import Counted, Reading
from fhir_dmp.cda.reading_acts import read_act
from fhir_dmp.cda.rules import BODY, REST, read_children, source_extension
from fhir_dmp.cda.xml import MAX_BYTES, Element, clinical_document, parse
from fhir_dmp.errors import Issue
from fhir_dmp.fhir.resource import Json
from fhir_dmp.terminology.ins_key import has_valid_key
from fhir_dmp.terminology.national import INS_SYSTEMS

SECTION = f"{EXTENSIONS}/cda-section"
#: Of every document the same: not worth keeping.
_FIXED_TEMPLATES = ("2.16.840.1.113883.2.8.2.1", "1.2.250.1.213.1.1.1.1")
_PARTICIPANT = "http://terminology.hl7.org/CodeSystem/provenance-participant-type"


@dataclass(frozen=True, slots=True)
class Converted:
    """A document in FHIR. issues: what was lost, or kept without meaning in FHIR, with its place in the CDA."""

    bundle: Json
    issues: tuple[Issue, ...]
    counted: Counted


def to_fhir(data: bytes, knowledge: Knowledge, zone: tzinfo | None = None, max_bytes: int = MAX_BYTES) -> Converted:
    """Return the FHIR document of a CDA file. The same bytes give the same bundle.

    Raises:
        BadRequest: no well-formed XML, no single ClinicalDocument, no id or patient.
    """
    document = clinical_document(parse(data, max_bytes))
    return convert(document, data, knowledge, zone or ZoneInfo("Europe/Paris"))


def statements(document: Element, knowledge: Knowledge, zone: tzinfo) -> Json:
    """Return the Bundle of a ClinicalDocument element for those who want the resources of its statements alone.

    Everything else is left out: what the way back to CDA needs, narratives, provenance, the report. The resources of
    statements and parties are those of `convert`.

    Raises:
        BadRequest: no id or patient.
    """
    return _read(document, knowledge, zone, whole=False)[0]


def convert(document: Element, data: bytes, knowledge: Knowledge, zone: tzinfo) -> Converted:
    """Return the FHIR document of a ClinicalDocument element; `data` is its file."""
    bundle, reader = _read(document, knowledge, zone, whole=True)
    _source_of(bundle, data, reader)
    return Converted(bundle, tuple(reader.issues), reader.counted)


def _read(document: Element, knowledge: Knowledge, zone: tzinfo, *, whole: bool) -> tuple[Json, Reading]:
    header = header_of(document)
    seed = f"{header.id.root.lower()}^{header.id.extension or ''}"
    reader = Reading(document, knowledge, zone, seed, whole=whole)
    root: Json = {"Bundle": {"identifier": identifier(header.id)}, "Composition": {"resourceType": "Composition"}}
    composition = root["Composition"]
    url = reader.put(reader.url("Composition"), composition)
    keep: list[tuple[str, str]] = []
    mapping = knowledge.mappings["document"]
    reader.patient = _patient(document, reader)
    _ins_key(document, reader)
    leftover = read_children(document, mapping, reader, root, keep)
    for child in leftover:
        name = name_of(child)
        if name == "component" or (name == "templateId" and child.get("root") in _FIXED_TEMPLATES):
            continue
        if name in ("realmCode", "typeId"):
            continue
        keep.append((REST, reader.kept(child)))
        if name != "templateId":
            reader.lose(child, "no element of the Composition says this", kept=True)
    source = source_extension(keep)
    if source is not None:
        composition.setdefault("extension", []).append(source)
    _body(document, composition, reader)
    if not any(entry["resource"]["resourceType"] == "Provenance" for entry in reader.entries):
        _provenance(document, [url], reader)
    _completed(composition, document, zone)
    entries = [entry for entry in reader.entries if entry["fullUrl"] != url]
    _unreachable(entries, reader)
    bundle = {
        "resourceType": "Bundle",
        "identifier": root["Bundle"]["identifier"],
        "type": "document",
        "timestamp": instant(header.created, zone) or "1970-01-01T00:00:00Z",
        "entry": [{"fullUrl": url, "resource": composition}, *entries],
    }
    return bundle, reader


def _patient(document: Element, reader: Reading) -> str | None:
    """Return the URL of the patient, who is read before everything that refers to him or her."""
    rule = next(one for one in reader.knowledge.mappings["document"].rules if one.key == "recordTarget")
    role = first(document, "recordTarget", "patientRole")
    if role is None:
        return None
    from fhir_dmp.cda.rules import read_value

    silent = len(reader.issues)
    read = read_value([role], rule.part, reader)
    del reader.issues[silent:]
    return read.value["reference"] if read is not None and read.value else None


def _ins_key(document: Element, reader: Reading) -> None:
    role = first(document, "recordTarget", "patientRole")
    for one in children(role, "id") if role is not None else ():
        if f"urn:oid:{one.get('root')}" in INS_SYSTEMS and not has_valid_key(one.get("extension") or ""):
            reader.note(one, "The key of the INS is wrong.")


def _completed(composition: Json, document: Element, zone: tzinfo) -> None:
    """Give the Composition what FHIR demands and the CDA does not say in these words."""
    status = next((one.get("code") for one in document.iter("{urn:oid:1.3.6.1.4.1.19376.1.3.2}statusCode")), None)
    ordered: Json = {"resourceType": "Composition", "id": composition["id"]}
    for name in ("language", "extension", "identifier"):
        if name in composition:
            ordered[name] = composition.pop(name)
    ordered["status"] = "preliminary" if status == "active" else "final"
    for name in ("type", "subject", "encounter", "date", "author", "title"):
        if name in composition:
            ordered[name] = composition[name]
    ordered.setdefault("type", dict(ABSENT))
    if not ordered.get("author"):
        ordered["author"] = [{"display": "-"}]
    if "title" not in ordered:
        display = next((one.get("display") for one in ordered["type"].get("coding", ())), None)
        ordered["title"] = display or "-"
    if "date" not in ordered:
        ordered["_date"] = dict(ABSENT)
    code = composition.get("confidentiality")
    if code is not None and code not in ("U", "L", "M", "N", "R", "V"):
        composition.pop("confidentiality")
    rest = {key: value for key, value in composition.items() if key not in ordered}
    composition.clear()
    composition.update(ordered | rest)


def _body(document: Element, composition: Json, reader: Reading) -> None:
    text = first(document, "component", "nonXMLBody", "text")
    if text is not None:
        composition["section"] = [_unstructured(text, composition, reader)]
        return
    body = first(document, "component", "structuredBody")
    sections = (
        [section for component in children(body, "component") for section in children(component, "section")]
        if body is not None
        else []
    )
    found = [_section(section, reader) for section in sections]
    if found:
        composition["section"] = found
    confidential = [
        child for child in (body if body is not None else ()) if name_of(child) not in ("component", "templateId")
    ]
    for child in confidential:
        reader.lose(child, "what is said of the body as a whole has no place")


def _unstructured(text: Element, composition: Json, reader: Reading) -> Json:
    """Level 1: one section whose entry is the content."""
    media = (text.get("mediaType") or "application/octet-stream").strip()
    broken = None
    if text.get("representation") == "B64":
        data = "".join((text.text or "").split())
        try:
            base64.b64decode(data, validate=True)
        except ValueError:
            reader.lose(text, "the content is not base64", kept=True)
            data, broken = "", source_extension([(BODY, reader.kept(text))])
    else:
        data = base64.b64encode("".join(str(part) for part in text.itertext()).encode()).decode()
    binary: Json = {"resourceType": "Binary", "contentType": media}
    if data:
        binary["data"] = data
    url = reader.put(reader.url("Binary"), binary)
    found: Json = {"extension": [broken]} if broken is not None else {}
    if composition.get("type"):
        found["code"] = composition["type"]
    return {**found, "entry": [{"reference": url}]}


def _section(section: Element, reader: Reading) -> Json:
    found: Json = {}
    keep: list[tuple[str, str]] = []
    mapping = reader.knowledge.mappings["section"]
    title = first(section, "title")
    if title is not None and title.get("nullFlavor"):
        reader.note(title, "the section has no title")
    leftover = read_children(section, mapping, reader, found, keep)
    entries: list[Json] = []
    inner: list[Json] = []
    for child in leftover:
        name = name_of(child)
        if name == "entry":
            act = next(child.iterchildren(*ACT_TAGS), None)
            if act is None:
                reader.lose(child, "an entry without a statement")
                continue
            urls = read_act(act, child, reader)
            entries += [{"reference": url} for url in urls]
            _provenance(child, urls, reader)
        elif name == "component":
            inner += [_section(one, reader) for one in children(child, "section")]
        else:
            keep.append((REST, reader.kept(child)))
            if name not in ("templateId", "id") and (child.attrib or text_in(child)):
                reader.lose(child, "no element of the section says this", kept=True)
    attributes = {str(key): str(value) for key, value in section.attrib.items() if key == "ID"}
    if attributes:
        found["id"] = attributes["ID"]
    source = source_extension(keep)
    if source is not None:
        found.setdefault("extension", []).append(source)
    plan = plan_of(found, entries, reader)
    if plan is not None:
        entries.append({"reference": reader.put(reader.url(f"CarePlan/{place_of(section)}"), plan)})
    if entries:
        found["entry"] = entries
    if inner:
        found["section"] = inner
    if not entries and not inner and "text" not in found:
        # cmp-1 of FHIR: a section says something; this one says that it is empty.
        found["text"] = {"status": "empty", "div": '<div xmlns="http://www.w3.org/1999/xhtml">-</div>'}
        reason = {"system": "http://terminology.hl7.org/CodeSystem/list-empty-reason", "code": "unavailable"}
        found["emptyReason"] = {"coding": [reason]}
    order = ("id", "extension", "title", "code", "author", "focus", "text", "entry", "emptyReason", "section")
    return {name: found[name] for name in order if name in found}


def _provenance(entry: Element, urls: list[str], reader: Reading) -> None:
    """Say of the resources of an entry where they come from."""
    targets = [{"reference": url} for url in urls]
    if not targets or not reader.whole:
        return
    reader.put(
        reader.url(f"Provenance/{urls[0]}"),
        {
            "resourceType": "Provenance",
            "target": targets,
            "recorded": PENDING,
            "agent": [
                {"type": {"coding": [{"system": _PARTICIPANT, "code": "assembler"}]}, "who": {"display": "fhir-dmp"}}
            ],
            "entity": [{"role": "source", "what": {"display": place_of(entry)}}],
        },
    )


PENDING = "1970-01-01T00:00:00Z"


def _source_of(bundle: Json, data: bytes, reader: Reading) -> None:
    """Complete each Provenance: the document it names, with its hash, and its time."""
    digest = base64.b64encode(hashlib.sha1(data, usedforsecurity=False).digest()).decode()
    master = bundle["identifier"]
    for entry in bundle["entry"]:
        resource = entry["resource"]
        if resource["resourceType"] == "Provenance":
            resource["recorded"] = bundle["timestamp"]
            resource["entity"][0]["what"]["identifier"] = master
            resource["entity"][0]["what"]["extension"] = [
                {"url": f"{EXTENSIONS}/cda-hash", "valueBase64Binary": digest}
            ]


def _unreachable(entries: list[Json], reader: Reading) -> None:
    """Take out references whose target did not become a resource of its own, and say so."""
    known = {entry["fullUrl"] for entry in reader.entries}
    for entry in entries:
        resource = entry["resource"]
        for key in ("reasonReference",):
            values = resource.get(key)
            if not isinstance(values, list):
                continue
            kept = [one for one in values if one.get("reference") in known or "reference" not in one]
            if len(kept) < len(values):
                reader.issues.append(
                    Issue(
                        "informational",
                        "a reason that is a part of another resource",
                        "information",
                        (resource["resourceType"],),
                    )
                )
                if kept:
                    resource[key] = kept
                else:
                    del resource[key]


def patient_of_bundle(bundle: Json) -> Json | None:
    """Return the Patient of a document."""
    return next((one["resource"] for one in bundle["entry"] if one["resource"]["resourceType"] == "Patient"), None)
