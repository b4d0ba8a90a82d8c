"""Resources as clinical statements, each in what held it. [cda 4.2, 4.3, 6.2]"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fhir_dmp.cda.elements import ACT_TAGS, framed, make, name_of, read_fragment
from fhir_dmp.cda.knowledge import Link, Mapping_
from fhir_dmp.cda.places import get, place
from fhir_dmp.cda.rules import REST, kept_of, write_children
from fhir_dmp.cda.shapes import CLINICAL, CONCERN, IMPLIED_STATUS, NEGATION, WRAPPER, act_parts, dispatched, says_none
from fhir_dmp.cda.unsaid import unsaid
from fhir_dmp.cda.xml import Element
from fhir_dmp.fhir.resource import Json

_REFUTED = (
    ("http://terminology.hl7.org/CodeSystem/condition-ver-status", "refuted"),
    ("http://terminology.hl7.org/CodeSystem/allergyintolerance-verification", "refuted"),
)
_IMPLIED = ((CLINICAL, "resolved"), (CLINICAL, "inactive"))


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
    said = {key: value for key, value in said.items() if key not in mapping.needs or value != mapping.needs[key]}
    if mapping.negation.startswith("status=") and _is_negative(resource, mapping):
        # That it was not done is the negation; the status of the act is beside the point.
        said["status"] = "completed"
        if shape:
            del said["status"]
            element.extend(one for one in kept.pop("statusCode", ()) if one is not None)
    if mapping.negation == "refuted" and _is_negative(resource, mapping):
        others = [
            one for one in said["verificationStatus"]["coding"] if (one.get("system"), one.get("code")) not in _REFUTED
        ]
        if others and not shape:
            writer.drop(f"{resource['resourceType']}.verificationStatus", "that it is refuted is all that CDA says")
        del said["verificationStatus"]
        element.extend(one for one in kept.pop("certainty", ()) if one is not None)
    if IMPLIED_STATUS in kept and _first_code(said.get("clinicalStatus")) in _IMPLIED:
        del said["clinicalStatus"]
        element.extend(one for one in kept.pop("clinical-status", ()) if one is not None)
    element.extend(write_children(said, mapping, writer, kept))
    for where in unsaid(resource, mapping):
        writer.drop(f"{resource['resourceType']}.{where}", "no element of CDA says this")
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
    elif element.get("negationInd") == "true" and not says_none(resource):
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
        return any((coding.get("system"), coding.get("code")) in _REFUTED for coding in codings)
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


_ANY = Link(place("+cda-part[].valueReference"), frozenset(), frozenset(), "COMP")


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
    shell = framed(writer.knowledge.mappings[mapping.wrapper].frame)
    shell.insert(
        sum(1 for child in shell if name_of(child) == "templateId"),
        make("id", {"root": writer.new_id(resource, "wrapper")}),
    )
    entry = make("entry")
    entry.append(shell)
    return None, entry, True
