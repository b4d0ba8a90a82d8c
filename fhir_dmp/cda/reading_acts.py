"""Clinical statements as resources: which mapping, what it says, how statements hang together. [cda 4.2, 4.3]"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lxml import etree

from fhir_dmp.cda.elements import ACT_TAGS, children, make, name_of, written
from fhir_dmp.cda.knowledge import Mapping_
from fhir_dmp.cda.places import place, put
from fhir_dmp.cda.rules import REST, read_children, source_extension
from fhir_dmp.cda.shapes import (
    ACT,
    CLINICAL,
    CONCERN,
    IMPLIED_STATUS,
    NEGATION,
    PART,
    WRAPPER,
    dispatched,
    ranked,
    says_none,
)
from fhir_dmp.cda.values.codec import PLAIN
from fhir_dmp.cda.values.identifiers import read_id
from fhir_dmp.cda.xml import Element
from fhir_dmp.fhir.resource import Json

_LINKED = ("entryRelationship", "component", "entry")


@dataclass(frozen=True, slots=True)
class Wrapper:
    """What a statement was taken out of. text: as XML; first: the statement is the first there; ids: of the wrapper."""

    text: str
    first: bool
    ids: Sequence[Json]


def read_act(
    act: Element,
    holder: Element,
    reader: Any,
    wrapped: Wrapper | None = None,
    inside: Mapping_ | None = None,
) -> list[str]:
    """Read a statement and all below it; return the URLs of what stands for it in its parent.

    holder: the `entry`, `entryRelationship` or `component` that holds it. inside: the mapping of the statement that it
    is a part of.
    """
    mapping = dispatched(act, holder, reader)
    if mapping.wraps:
        if name_of(holder) == "entry" and any(True for child in act for _ in child.iterchildren(*ACT_TAGS)):
            return _unwrapped(act, holder, mapping, reader)
        mapping = reader.knowledge.by_act["act EVN"]
    reader.count(act, mapping, is_part=_is_named(holder, inside))
    resource: Json = {"resourceType": mapping.resource, **copy.deepcopy(dict(mapping.fixed))}
    url = reader.add(act, resource)
    for root in ranked(reader.templates(act) | reader.templates(holder)):
        for where, value in mapping.templates.get(root, {}).items():
            put(resource, place(where), copy.deepcopy(value))
    keep: list[tuple[str, str]] = []
    if mapping.patient and reader.patient:
        put(resource, place(mapping.patient), {"reference": reader.patient})
    leftover = read_children(act, mapping, reader, resource, keep)
    _negated(act, mapping, resource, keep, reader)
    _ended(resource, keep)
    extensions: list[Json] = [_shape(act, holder)] if reader.whole else []
    if wrapped is not None:
        if reader.whole:
            said: list[Json] = [{"url": "xml", "valueString": wrapped.text}]
            extensions.append({"url": WRAPPER, "extension": [*said, {"url": "first", "valueBoolean": wrapped.first}]})
        for element in wrapped.ids:
            if mapping.resource not in ("Coverage",):
                resource.setdefault("identifier", []).append({**element, "type": CONCERN})
    for child in leftover:
        name = name_of(child)
        inner = next(child.iterchildren(*ACT_TAGS), None)
        if name == "templateId":
            continue
        if name in _LINKED and inner is not None:
            for reference in read_act(inner, child, reader, inside=mapping):
                _link(resource, extensions, reference, child, mapping, reader)
        else:
            keep.append((REST, reader.kept(child)))
            if not _says_nothing(child):
                reader.lose(child, "no element of the resource says this", kept=True)
    source = source_extension(keep)
    if source is not None:
        extensions.append(source)
    resource["extension"] = [*resource.get("extension", []), *extensions]
    return [url]


def _is_named(holder: Element, inside: Mapping_ | None) -> bool:
    """Say whether the mapping of the outer statement names what hangs in it so."""
    relation = holder.get("typeCode") or "COMP"
    return inside is not None and any(relation in link.relations for link in inside.links)


def _says_nothing(element: Element) -> bool:
    return all(not (one.text or "").strip() and set(one.keys()) <= {"nullFlavor"} for one in element.iter())


def _unwrapped(act: Element, holder: Element, mapping: Mapping_, reader: Any) -> list[str]:
    """Read the statements that a wrapper (a list of problems...) groups; each keeps the wrapper."""
    reader.count(act, mapping)
    inside = [
        child for child in act if name_of(child) in _LINKED and next(child.iterchildren(*ACT_TAGS), None) is not None
    ]
    text = _shell(act, holder, set(inside)) if reader.whole else ""
    ids = [
        read.value
        for child in children(act, "id")
        if (read := read_id([child], PLAIN, reader)) is not None and read.value is not None
    ]
    acts = [(inner, child) for child in inside for inner in child.iterchildren(*ACT_TAGS)]
    return [
        reference
        for number, (inner, child) in enumerate(acts)
        for reference in read_act(inner, child, reader, Wrapper(text, number == 0, ids))
    ]


def _shell(act: Element, holder: Element, inside: set[Element]) -> str:
    """Return a wrapper as text, without the statements inside."""
    bound: Any = act.nsmap  # the stubs know of no default namespace
    shell = etree.Element(act.tag, {str(key): str(value) for key, value in act.attrib.items()}, nsmap=bound)
    shell.text = act.text
    shell.extend(copy.deepcopy(child) for child in act if child not in inside)
    return written(make(name_of(holder), {str(key): str(value) for key, value in holder.attrib.items()}, shell))


def _shape(act: Element, holder: Element) -> Json:
    """Return what the act is as CDA: element, class, mood, templates, how it hangs in its parent."""
    parts: list[Json] = [
        {"url": "act", "valueString": f"{name_of(act)} {act.get('classCode') or '-'} {act.get('moodCode') or '-'}"}
    ]
    for child in act:
        if name_of(child) == "templateId" and child.get("root"):
            extension = child.get("extension")
            text = str(child.get("root")) + (f"|{extension}" if extension else "")
            parts.append({"url": "template", "valueString": text})
    others = {
        str(key): str(value)
        for key, value in act.attrib.items()
        if str(key) not in ("classCode", "moodCode", "nullFlavor")
    }
    for key, value in sorted(others.items()):
        if key in ("ID", "negationInd"):
            parts.append({"url": key, "valueString": value})
    link = make(name_of(holder), {str(key): str(value) for key, value in holder.attrib.items()})
    link.extend(copy.deepcopy(child) for child in holder if child.tag not in ACT_TAGS)
    if link.attrib or len(link):
        parts.append({"url": "link", "valueString": written(link)})
    return {"url": ACT, "extension": parts}


def _link(
    resource: Json, extensions: list[Json], reference: str, holder: Element, mapping: Mapping_, reader: Any
) -> None:
    if holder.get("negationInd") == "true":
        reader.lose(holder, "a link that is denied; the statement stands alone", kept=True)
        extensions.append({"url": PART, "valueReference": {"reference": reference}})
        return
    kind, relation = reader.type_of(reference), holder.get("typeCode") or "COMP"
    for link in mapping.links:
        if (not link.types or kind in link.types) and (not link.relations or relation in link.relations):
            put(resource, link.to, {"reference": reference})
            return
    extensions.append({"url": PART, "valueReference": {"reference": reference}})


def _negated(act: Element, mapping: Mapping_, resource: Json, keep: list[tuple[str, str]], reader: Any) -> None:
    """Let @negationInd change what the resource says, so that nobody takes it for a positive statement. [cda 4.7]"""
    if act.get("negationInd") != "true":
        return
    kind, _, value = mapping.negation.partition("=")
    if kind == "status":
        resource["status"] = value
        status = next((child for child in act if name_of(child) == "statusCode"), None)
        if status is not None:
            keep[:] = [*(one for one in keep if one[0] != "statusCode"), ("statusCode", reader.kept(status))]
    elif kind == "refuted" and not says_none(resource):
        allergy = resource["resourceType"] == "AllergyIntolerance"
        name = "allergyintolerance-verification" if allergy else "condition-ver-status"
        refuted = {"system": f"http://terminology.hl7.org/CodeSystem/{name}", "code": "refuted"}
        resource["verificationStatus"] = {"coding": [refuted]}
    elif kind == "modifier":
        if "valueBoolean" in resource:
            # The samples say "not" twice: as the negation and as the value. It is one negation.
            resource["valueBoolean"] = False
            resource.setdefault("extension", []).append({"url": NEGATION, "valueBoolean": True})
        else:
            resource.setdefault("modifierExtension", []).append({"url": NEGATION, "valueBoolean": True})


_OVER = frozenset({"resolved", "remission", "inactive"})


def _ended(resource: Json, keep: list[tuple[str, str]]) -> None:
    """A condition that has ended is not active any more, whatever its status says or does not say (con-4 of FHIR)."""
    if resource["resourceType"] != "Condition" or "abatementDateTime" not in resource:
        return
    said = (resource.get("clinicalStatus") or {}).get("coding", [])
    if any(one.get("system") == CLINICAL and str(one.get("code")) in _OVER for one in said):
        return
    others = [one for one in said if one.get("system") != CLINICAL]
    resource["clinicalStatus"] = {"coding": [{"system": CLINICAL, "code": "inactive" if said else "resolved"}, *others]}
    keep.append((IMPLIED_STATUS, ""))
