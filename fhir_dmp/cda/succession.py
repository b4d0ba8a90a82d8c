"""A document that replaces another: the same setId, the next versionNumber. [cda 2.3, 3.1]"""

from __future__ import annotations

from dataclasses import dataclass

from fhir_dmp.cda.datatypes import identifier
from fhir_dmp.cda.elements import first, make, tag
from fhir_dmp.cda.header import Header
from fhir_dmp.cda.values.identifiers import id_element
from fhir_dmp.cda.writing import Writing
from fhir_dmp.cda.xml import Element
from fhir_dmp.errors import Issue
from fhir_dmp.fhir.elements import object_of, objects_of
from fhir_dmp.fhir.resource import Json


@dataclass(frozen=True, slots=True)
class Predecessor:
    """What is known of the replaced document: its setId (an Identifier) and its version."""

    set_id: Json | None
    version: int | None


def predecessor_of(header: Header) -> Predecessor:
    """Return what the header of a replaced CDA says; without version it was the first."""
    return Predecessor(identifier(header.set_id) if header.set_id else None, header.version or 1)


def replaced_identifier(composition: Json) -> Json | None:
    """Return the identifier of the document that this one replaces."""
    for one in objects_of(composition.get("relatesTo")):
        if one.get("code") == "replaces" and isinstance(one.get("targetIdentifier"), dict):
            return object_of(one["targetIdentifier"])
    return None


def succeed(
    document: Element, bundle: Json, composition: Json, predecessor: Predecessor | None, writer: Writing
) -> None:
    """Keep the setId and raise the versionNumber of a document that replaces another.

    What the caller knows of the replaced document counts; else the FHIR document does, which may have been made of the
    very document that it replaces. A version that nobody knows is the second.
    """
    replaced = replaced_identifier(composition)
    if replaced is None:
        return
    version = first(document, "versionNumber")
    stated = _stated(composition, version)
    if predecessor is not None and predecessor.set_id is not None:
        _keep(document, composition, predecessor.set_id, writer)
    elif not composition.get("identifier") and first(document, "setId") is not None:
        _say(writer, "Composition.identifier", "the setId of the replaced document is not known: a new one was made")
    if predecessor is not None and predecessor.version is not None:
        wanted = max(stated or 0, predecessor.version + 1)
        _tell_parent(document, predecessor)
    elif stated is not None and _is_source(bundle, replaced):
        wanted = stated + 1
    else:
        wanted = stated or 2
    if version is not None and version.get("value") != str(wanted):
        version.set("value", str(wanted))
        if stated is not None:
            _say(writer, "Composition.extension", f"versionNumber {stated} is that of the replaced document: {wanted}")


def _stated(composition: Json, version: Element | None) -> int | None:
    said = any(str(one.get("url")).endswith("versionNumber") for one in objects_of(composition.get("extension")))
    text = (version.get("value") or "") if version is not None else ""
    return int(text) if said and text.isascii() and text.isdigit() and len(text) < 10 else None


def _keep(document: Element, composition: Json, set_id: Json, writer: Writing) -> None:
    current, kept = first(document, "setId"), id_element(set_id, "setId")
    if current is None or kept is None:
        return
    if (current.get("root"), current.get("extension")) != (kept.get("root"), kept.get("extension")):
        if composition.get("identifier"):
            _say(writer, "Composition.identifier", "a replacing document keeps the setId of the replaced one")
        document.replace(current, kept)


def _tell_parent(document: Element, predecessor: Predecessor) -> None:
    for parent in document.iterfind(f"{tag('relatedDocument')}/{tag('parentDocument')}"):
        set_id = id_element(predecessor.set_id, "setId") if predecessor.set_id else None
        if set_id is not None and first(parent, "setId") is None:
            parent.append(set_id)
        if first(parent, "versionNumber") is None:
            parent.append(make("versionNumber", {"value": str(predecessor.version)}))


def _is_source(bundle: Json, replaced: Json) -> bool:
    """Say whether the resources of a bundle were read from the document that it replaces (Provenance)."""
    wanted = (replaced.get("system"), replaced.get("value"))
    for entry in objects_of(bundle.get("entry")):
        resource = object_of(entry.get("resource"))
        if resource.get("resourceType") == "Provenance":
            for entity in objects_of(resource.get("entity")):
                known = object_of(object_of(entity.get("what")).get("identifier"))
                if entity.get("role") == "source" and (known.get("system"), known.get("value")) == wanted:
                    return True
    return False


def _say(writer: Writing, where: str, text: str) -> None:
    writer.issues.append(Issue("informational", text, "information", (where,)))
