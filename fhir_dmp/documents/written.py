"""A new document as it is stored: references resolved, and what the server adds (entryUUID, custodian, labels, tag).

Everything else comes back as it was sent, unknown extensions and sourcePatientInfo included.
"""

from __future__ import annotations

from collections.abc import Sequence

from fhir_dmp.documents.codes import with_section
from fhir_dmp.documents.contents import completed_attachment
from fhir_dmp.documents.labels import ordered
from fhir_dmp.documents.links import without_unreferenced
from fhir_dmp.documents.metadata import attachment_of, with_entry_uuid
from fhir_dmp.documents.replace import Relation
from fhir_dmp.documents.rules import Rules
from fhir_dmp.documents.subjects import Subject
from fhir_dmp.errors import Issue
from fhir_dmp.fhir.draft import Blob
from fhir_dmp.fhir.elements import object_of, objects_of, text_of
from fhir_dmp.fhir.resource import Json
from fhir_dmp.patients.consents import operator


def with_subject(resource: Json, subject: Subject) -> Json:
    """Return the resource on its dossier; a contained Patient that only served as subject leaves."""
    sent = object_of(resource.get("subject"))
    local = text_of(sent.get("reference")) or ""
    moved = {**resource, "subject": subject.written(sent)}
    return without_unreferenced(moved, local[1:]) if local.startswith("#") else moved


def with_custodian(resource: Json, rules: Rules, place: str) -> tuple[Json, list[Issue]]:
    """Return the document kept by the operator when it names no custodian, and the information that it is so."""
    if "custodian" in resource:
        return resource, []
    text = "No custodian was given; the operator of the record was entered."
    issue = Issue("informational", text, severity="information", expression=(f"{place}.custodian",))
    return {**resource, "custodian": operator(rules.operator_name, rules.operator_oid)}, [issue]


def with_targets(resource: Json, relations: Sequence[Relation]) -> Json:
    """Return the document whose relations to stored documents are literal references."""
    if not relations:
        return resource
    listed = list(objects_of(resource.get("relatesTo")))
    for relation in relations:
        if relation.target is not None:
            one = listed[relation.position]
            listed[relation.position] = {
                **one,
                "target": {**object_of(one.get("target")), "reference": relation.target.reference},
            }
    return {**resource, "relatesTo": listed}


def with_attachment(resource: Json, attachment: Json) -> Json:
    """Return the document with another content[0].attachment."""
    content = objects_of(resource.get("content"))
    return {**resource, "content": [{**content[0], "attachment": attachment}, *content[1:]]}


def finished(
    resource: Json, id_: str, blob: Blob | None, inherited: Sequence[Json], relations: Sequence[Relation], rules: Rules
) -> Json:
    """Return the document with everything that the server adds to it."""
    labels = ordered([*inherited, *objects_of(resource.get("securityLabel"))])
    complete = with_targets({**resource, "securityLabel": labels}, relations)
    complete = with_attachment(complete, completed_attachment(attachment_of(complete), blob))
    return with_section(with_entry_uuid(complete, id_), rules.codes, rules.base)
