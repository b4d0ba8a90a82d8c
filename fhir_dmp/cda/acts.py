"""Clinical statements as resources: which mapping, what it says, how statements hang together. [cda 4.2, 4.3]"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lxml import etree

from fhir_dmp.cda.elements import ACT_TAGS, children, make, name_of, read_fragment, written
from fhir_dmp.cda.knowledge import CI_SIS_ENTRY, Link, Mapping_
from fhir_dmp.cda.parties import NO_PART
from fhir_dmp.cda.places import EXTENSIONS, get, place, put
from fhir_dmp.cda.rules import REST, kept_of, read_children, source_extension, write_children
from fhir_dmp.cda.scalars import read_id
from fhir_dmp.cda.xml import Element
from fhir_dmp.fhir.resource import Json

ACT = f"{EXTENSIONS}/cda-act"
PART = f"{EXTENSIONS}/cda-part"
WRAPPER = f"{EXTENSIONS}/cda-wrapper"
NEGATION = f"{EXTENSIONS}/cda-negation"
CONCERN = {"text": "concern"}
_LINKED = ("entryRelationship", "component", "entry")


# --- reading -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Wrapper:
    """What a statement was taken out of. text: as XML; first: the statement is the first there; ids: of the wrapper."""

    text: str
    first: bool
    ids: Sequence[Json]


def read_act(act: Element, holder: Element, reader: Any, wrapped: Wrapper | None = None) -> list[str]:
    """Read a statement and all below it; return the URLs of what stands for it in its parent.

    holder: the `entry`, `entryRelationship` or `component` that holds it.
    """
    mapping = dispatched(act, holder, reader)
    if mapping.wraps:
        if name_of(holder) == "entry" and any(True for child in act for _ in child.iterchildren(*ACT_TAGS)):
            return _unwrapped(act, holder, mapping, reader)
        mapping = reader.knowledge.by_act["act EVN"]
    reader.count(act, mapping)
    resource: Json = {"resourceType": mapping.resource, **copy.deepcopy(dict(mapping.fixed))}
    url = reader.add(act, resource)
    for root in _ranked(reader.templates(act) | reader.templates(holder)):
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
            for reference in read_act(inner, child, reader):
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


def _says_nothing(element: Element) -> bool:
    return all(not (one.text or "").strip() and set(one.keys()) <= {"nullFlavor"} for one in element.iter())


def dispatched(act: Element, holder: Element, reader: Any) -> Mapping_:
    """Return the mapping of a statement: by its most specific template, else a parent's, else by its class."""
    known = reader.knowledge
    name = name_of(act)
    mood = act.get("moodCode") or "EVN"
    by_class: Mapping_ = known.by_act.get(f"{name} {mood}") or known.by_act.get(f"{name} *") or known.by_act["* *"]
    roots = _ranked(reader.templates(act) | (reader.templates(holder) if name_of(holder) == "entry" else frozenset()))
    found: Mapping_ | None = next((one for root in roots if (one := known.by_template.get(root)) is not None), None)
    own = bool(roots) and (roots[0] in known.by_template or not roots[0].startswith(CI_SIS_ENTRY))
    if found is not None and not own:
        reader.note(act, f"template {roots[0]} is not known; read as its parent")
    if found is None:
        if any(root.startswith(CI_SIS_ENTRY) for root in roots):
            reader.note(act, f"template {roots[0]} is not known; read by the class of its act")
        return by_class
    if not _fits(found, name, mood):
        return by_class
    return found


def _fits(mapping: Mapping_, name: str, mood: str) -> bool:
    """Say whether a mapping is about acts of this kind: its `moods` list them (`observation EVN`), or it lists none."""
    moods = mapping.moods
    return not moods or f"{name} {mood}" in moods or f"{name} *" in moods


def _ranked(roots: frozenset[str]) -> list[str]:
    """Return template roots, the most specific first: those of the CI-SIS, the deepest before its parents."""
    return sorted(roots, key=lambda root: (not root.startswith(CI_SIS_ENTRY), -root.count("."), root))


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
        if (read := read_id([child], NO_PART, reader)) is not None and read.value is not None
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
    elif kind == "refuted" and not _says_none(resource):
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


_CLINICAL = "http://terminology.hl7.org/CodeSystem/condition-clinical"
_OVER = frozenset({"resolved", "remission", "inactive"})
IMPLIED_STATUS = "implied-status"
_IMPLIED = ((_CLINICAL, "resolved"), (_CLINICAL, "inactive"))


def _ended(resource: Json, keep: list[tuple[str, str]]) -> None:
    """A condition that has ended is not active any more, whatever its status says or does not say (con-4 of FHIR)."""
    if resource["resourceType"] != "Condition" or "abatementDateTime" not in resource:
        return
    said = (resource.get("clinicalStatus") or {}).get("coding", [])
    if any(one.get("system") == _CLINICAL and str(one.get("code")) in _OVER for one in said):
        return
    others = [one for one in said if one.get("system") != _CLINICAL]
    resource["clinicalStatus"] = {
        "coding": [{"system": _CLINICAL, "code": "inactive" if said else "resolved"}, *others]
    }
    keep.append((IMPLIED_STATUS, ""))


def _says_none(resource: Json) -> bool:
    """Say whether the code itself says that there is none (no known problem)."""
    for coding in (resource.get("code") or {}).get("coding", ()):
        if str(coding.get("system", "")).endswith("absent-unknown-uv-ips") or str(coding.get("code")).startswith("no-"):
            return True
    return False


# --- writing -------------------------------------------------------------------------------------------------------


def act_parts(resource: Json) -> dict[str, list[str]]:
    """Return what a resource says of its act: part -> values."""
    found: dict[str, list[str]] = {}
    for extension in resource.get("extension", ()):
        if extension.get("url") == ACT:
            for part in extension.get("extension", ()):
                found.setdefault(str(part.get("url")), []).append(str(part.get("valueString")))
    return found


def write_act(resource: Json, writer: Any) -> Element | None:
    """Return the statement of a resource with all that it refers to as its own, None when nothing knows how."""
    shape = act_parts(resource)
    mapping = _mapping_of(resource, shape, writer)
    if mapping is None:
        return None
    writer.written.add(id(resource))
    element = _outer(shape, mapping, resource, writer)
    framed_ = list(element)
    kept = kept_of(resource)
    said = _without_concern(resource)
    if mapping.negation.startswith("status=") and _is_negative(resource, mapping):
        # That it was not done is the negation; the status of the act is beside the point.
        said["status"] = "completed"
        if shape:
            del said["status"]
            element.extend(one for one in kept.pop("statusCode", ()) if one is not None)
    if mapping.negation == "refuted" and _is_negative(resource, mapping):
        del said["verificationStatus"]
        element.extend(one for one in kept.pop("certainty", ()) if one is not None)
    if IMPLIED_STATUS in kept and _first_code(said.get("clinicalStatus")) in _IMPLIED:
        del said["clinicalStatus"]
        element.extend(one for one in kept.pop("clinical-status", ()) if one is not None)
    element.extend(write_children(said, mapping, writer, kept))
    if not shape:
        _give_way(element, framed_)
    element.extend(one for one in kept.get(REST, ()) if one is not None)
    for child, relation in _parts_of(resource, mapping, writer):
        inner = write_act(child, writer)
        if inner is not None:
            element.append(_held(inner, child, relation, name_of(element)))
        else:
            writer.drop(child["resourceType"], "no statement of CDA says this")
    return element


def _give_way(element: Element, framed_: Sequence[Element]) -> None:
    """Take out what the frame said for want of something better."""
    said = {name_of(child) for child in list(element)[len(framed_) :]}
    for child in framed_:
        if name_of(child) in said and name_of(child) != "templateId":
            element.remove(child)


def _mapping_of(resource: Json, shape: dict[str, list[str]], writer: Any) -> Mapping_ | None:
    if shape:
        act = _bare(shape)
        holder = read_fragment(shape["link"][0]) if "link" in shape else None
        found = dispatched(act, holder if holder is not None else make("entry"), writer.rereader())
        if found.resource == resource.get("resourceType"):
            return found
    chosen: Mapping_ | None = writer.knowledge.for_resource(resource)
    return chosen


def _bare(shape: dict[str, list[str]]) -> Element:
    name, class_, mood = [*shape["act"][0].split(), "-", "-"][:3]
    element = make(name, {"classCode": class_ if class_ != "-" else None, "moodCode": mood if mood != "-" else None})
    for text in shape.get("template", ()):
        root, _, extension = text.partition("|")
        element.append(make("templateId", {"root": root, "extension": extension or None}))
    for name in ("ID", "negationInd"):
        if name in shape:
            element.set(name, shape[name][0])
    return element


def _outer(shape: dict[str, list[str]], mapping: Mapping_, resource: Json, writer: Any) -> Element:
    """Return the act without its contents: as it was, or as the mapping frames one from elsewhere."""
    if shape:
        element = _bare(shape)
    else:
        from fhir_dmp.cda.elements import framed

        element = framed(mapping.frame or "<observation/>")
        special = next(
            (root for root, fixed in mapping.templates.items() if fixed and _all_hold(resource, fixed)), None
        )
        if special is not None:
            position = sum(1 for one in element if name_of(one) == "templateId")
            element.insert(position, make("templateId", {"root": special}))
    negative = _is_negative(resource, mapping)
    if negative:
        element.set("negationInd", "true")
    elif element.get("negationInd") == "true" and not _says_none(resource):
        element.set("negationInd", "false")
    return element


def _all_hold(resource: Json, fixed: Any) -> bool:
    for where, value in fixed.items():
        found = get(resource, place(where))
        if found != value and not any(_same_coding(one, value) for one in found or () if isinstance(found, list)):
            return False
    return True


def _same_coding(one: Any, other: Any) -> bool:
    """Say whether two concepts have the same first code; labels say nothing."""
    ours, theirs = _first_code(one), _first_code(other)
    return ours is not None and ours == theirs


def _first_code(concept: Any) -> tuple[Any, Any] | None:
    codings = concept.get("coding") if isinstance(concept, dict) else None
    return (codings[0].get("system"), codings[0].get("code")) if codings else None


def _is_negative(resource: Json, mapping: Mapping_) -> bool:
    kind, _, value = mapping.negation.partition("=")
    if kind == "status":
        return resource.get("status") == value
    if kind == "refuted":
        codings = (resource.get("verificationStatus") or {}).get("coding", ())
        return any(coding.get("code") == "refuted" for coding in codings)
    extensions = [*resource.get("modifierExtension", ()), *resource.get("extension", ())]
    return any(one.get("url") == NEGATION and one.get("valueBoolean") for one in extensions)


def _without_concern(resource: Json) -> Json:
    identifiers = (
        [one for one in resource.get("identifier", ()) if one.get("type") != CONCERN]
        if isinstance(resource.get("identifier"), list)
        else resource.get("identifier")
    )
    bare = {key: value for key, value in resource.items() if key != "identifier"}
    return {**bare, "identifier": identifiers} if identifiers else bare


def _parts_of(resource: Json, mapping: Mapping_, writer: Any) -> list[tuple[Json, str]]:
    """Return the resources that belong to this one, in the order of the bundle, with the relation of each."""
    found: dict[int, tuple[Json, str]] = {}
    for link in [*mapping.links, _ANY]:
        values = get(resource, link.to)
        for value in values if isinstance(values, list) else [values] if values else []:
            child = writer.resolve(value)
            if child is None or id(child) in writer.written or id(child) in found:
                continue
            if writer.owner_of(child) in (None, id(resource)) and str(child.get("resourceType")) not in _PARTIES:
                found[id(child)] = (child, link.relation)
    return sorted(found.values(), key=lambda pair: writer.position(pair[0]))


_PARTIES = frozenset(
    {"Practitioner", "PractitionerRole", "Organization", "Patient", "RelatedPerson", "Device", "Location"}
)


def _any() -> Link:
    return Link(place("+cda-part[].valueReference"), frozenset(), frozenset(), "COMP")


_ANY = _any()


def _held(act: Element, resource: Json, relation: str, parent: str) -> Element:
    """Return the act in what binds it to its parent: as it was, or plainly."""
    link = act_parts(resource).get("link")
    name = "component" if parent == "organizer" else "entryRelationship"
    found = read_fragment(link[0]) if link else None
    if found is None or name_of(found) != name:
        found = make(name, {"typeCode": None if name == "component" else relation})
    found.append(act)
    return found


def wrapped_entries(resources: Sequence[Json], writer: Any) -> list[Element]:
    """Return the entries of a section: neighbours that came out of one wrapper go back into one."""
    found: list[Element] = []
    last: str | None = None
    for resource in resources:
        act = write_act(resource, writer)
        if act is None:
            writer.unwritten(resource)
            continue
        wrapper = _wrapper_of(resource, writer)
        if wrapper is None:
            found.append(_entry(act, resource))
            last = None
            continue
        text, element, begins = wrapper
        if text != last or begins:
            found.append(element)
            last = text
        shell = next(found[-1].iterchildren(*ACT_TAGS))
        shell.append(_held(act, resource, "SUBJ", name_of(shell)))
    return found


def _entry(act: Element, resource: Json) -> Element:
    link = act_parts(resource).get("link")
    found = read_fragment(link[0]) if link else None
    if found is None or name_of(found) != "entry":
        found = make("entry")
    found.append(act)
    return found


def _wrapper_of(resource: Json, writer: Any) -> tuple[str | None, Element, bool] | None:
    """Return the wrapper of an entry: its text, the `entry` with it, and whether it begins here."""
    for extension in resource.get("extension", ()):
        if extension.get("url") == WRAPPER:
            parts = {part.get("url"): part for part in extension.get("extension", ())}
            text = str(parts.get("xml", {}).get("valueString"))
            frame = read_fragment(text)
            if frame is None or name_of(frame) != "entry":
                return None
            return text, frame, parts.get("first", {}).get("valueBoolean") is True
    if act_parts(resource):
        return None
    mapping = writer.knowledge.for_resource(resource)
    if mapping is None or not mapping.wrapper:
        return None
    from fhir_dmp.cda.elements import framed

    shell = framed(writer.knowledge.mappings[mapping.wrapper].frame)
    shell.insert(
        sum(1 for child in shell if name_of(child) == "templateId"),
        make("id", {"root": writer.new_id(resource, "wrapper")}),
    )
    entry = make("entry")
    entry.append(shell)
    return None, entry, True
