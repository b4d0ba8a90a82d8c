"""The document that a FHIR document replaces, as far as the caller may read it: its uniqueId, setId and version."""

from __future__ import annotations

from fhir_dmp.cda.header import read_header
from fhir_dmp.cda.succession import Predecessor, predecessor_of
from fhir_dmp.documents.metadata import attachment_of, identifier_of, unique_key
from fhir_dmp.errors import DmpError
from fhir_dmp.fhir.elements import object_of, objects_of, text_of
from fhir_dmp.fhir.resource import Json, parse_stored
from fhir_dmp.interactions import read
from fhir_dmp.interactions.exchange import Answer, Call
from fhir_dmp.interactions.services import Services


def resolved(relations: object, call: Call, services: Services) -> tuple[list[Json], Predecessor | None]:
    """Return relatesTo with the uniqueId of each replaced document, and what is known of the first.

    relations: of a Composition or of a DocumentReference; a document that the caller may not read is as an absent one.
    """
    found: list[Json] = []
    known: Predecessor | None = None
    for relation in objects_of(relations):
        if relation.get("code") != "replaces":
            found.append(relation)
            continue
        document = _document(relation, call, services)
        if document is None:
            found.append(relation)
            continue
        unique = document.get("masterIdentifier")
        target = {**object_of(relation.get("target")), "identifier": unique}
        moved = {key: value for key, value in relation.items() if not key.startswith("target")}
        is_reference = "target" in relation
        found.append({**moved, "target": target} if is_reference else {**moved, "targetIdentifier": unique})
        known = known or _known(document, call, services)
    return found, known


def _document(relation: Json, call: Call, services: Services) -> Json | None:
    target = object_of(relation.get("target")) or object_of(relation.get("targetReference"))
    pair = identifier_of(target.get("identifier") or relation.get("targetIdentifier"))
    path = tuple(str(target.get("reference") or "").split("/")[-2:])
    if pair is not None:
        key = services.store.holder(unique_key("DocumentReference", pair))
        path = (key.type, key.id) if key is not None else ()
    if len(path) != 2 or path[0] != "DocumentReference":
        return None
    answer = _read(path, call, services)
    return parse_stored(answer.body) if answer is not None and answer.body is not None else None


def _known(document: Json, call: Call, services: Services) -> Predecessor | None:
    url = text_of(attachment_of(document).get("url")) or ""
    answer = _read(tuple(url.split("/")[-2:]), call, services)
    if answer is not None and answer.content is not None:
        try:
            return predecessor_of(read_header(b"".join(answer.content.chunks)))
        except DmpError:
            pass  # no CDA: its metadata may know the set
    sets = (one for one in objects_of(document.get("identifier")) if object_of(one.get("type")).get("text") == "setId")
    set_id = next(sets, None)
    return Predecessor(set_id, None) if set_id is not None else None


def _read(path: tuple[str, ...], call: Call, services: Services) -> Answer | None:
    """Read under the rights and the record of a retrieval; None for what does not exist for the caller."""
    try:
        return read.read(Call("GET", path, call.caller, call.info, accept_raw=path[0] == "Binary"), services)
    except DmpError:
        return None
