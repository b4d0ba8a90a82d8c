"""Codecs for elements that become a resource of their own, by a mapping of their own. [cda 4.7]"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fhir_dmp.cda.elements import first, make, text_in
from fhir_dmp.cda.knowledge import Part
from fhir_dmp.cda.unsaid import unsaid
from fhir_dmp.cda.values.codec import Codec, Read, Writer
from fhir_dmp.cda.values.texts import read_attachment, write_attachment
from fhir_dmp.cda.xml import Element
from fhir_dmp.fhir.resource import Json


def _resource(elements: Sequence[Element], part: Part, reader: Any) -> Read | None:
    """Element with a mapping of its own -> Reference to the resource that it makes."""
    from fhir_dmp.cda.rules import REST, read_children, source_extension  # rules lead to rules

    mapping = reader.knowledge.mappings[part.options["mapping"]]
    element = elements[0]
    resource: Json = {"resourceType": mapping.resource}
    resource.update(mapping.fixed)
    if mapping.patient and reader.patient:
        resource[mapping.patient] = {"reference": reader.patient}
    keep: list[tuple[str, str]] = []
    for child in read_children(element, mapping, reader, resource, keep):
        keep.append((REST, reader.kept(child)))
        if str(child.tag).rpartition("}")[2] != "templateId" and (child.attrib or len(child) or text_in(child)):
            reader.lose(child, "no element of the resource says this", kept=True)
    if element.attrib:
        attributes = {str(key): str(value) for key, value in element.attrib.items()}
        keep.append(("attributes", reader.kept(make("x", attributes))))
    source = source_extension(keep)
    if source is not None:
        resource["extension"] = [*resource.get("extension", []), source]
    if len(resource) == 1 + (source is not None) and source is None:
        return None
    return Read({"reference": reader.actor(resource)}, True)


def _write_resource(value: Any, part: Part, name: str, writer: Any) -> list[Element]:
    from fhir_dmp.cda.rules import REST, kept_of, write_children  # rules lead to rules

    resource = writer.resolve(value)
    if resource is None:
        return []
    mapping = writer.knowledge.mappings[part.options["mapping"]]
    if resource["resourceType"] != mapping.resource:
        writer.drop(name, f"{mapping.resource} is expected here")
        return []
    kept = kept_of(resource)
    element = make(name)
    for one in kept.get("attributes", ()):
        for key, text in one.attrib.items() if one is not None else ():
            element.set(key, text)
    element.extend(write_children(resource, mapping, writer, kept))
    for where in unsaid(resource, mapping):
        writer.drop(f"{resource['resourceType']}.{where}", "no element of CDA says this")
    element.extend(one for one in kept.get(REST, ()) if one is not None)
    return [element]


def _media(elements: Sequence[Element], part: Part, reader: Any) -> Read | None:
    """component with observationMedia -> content of a DocumentReference."""
    value = first(elements[0], "observationMedia", "value")
    read = read_attachment([value], part, reader) if value is not None else None
    if read is None:
        return None
    attachment = read.value or {"title": "-"}
    return Read({"attachment": attachment}, False)


def _write_media(value: Any, part: Part, name: str, writer: Writer) -> list[Element]:
    found = write_attachment(value.get("attachment") or {}, part, "value", writer)
    media = make("observationMedia", {"classCode": "OBS", "moodCode": "EVN"}, *found)
    return [make(name, None, media)] if found else []


CODECS = {
    "resource": Codec(_resource, _write_resource),
    "media": Codec(_media, _write_media),
}
