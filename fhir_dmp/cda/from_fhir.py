"""A FHIR document Bundle, or a DocumentReference with its content, as a CDA of the CI-SIS. [cda 6]

Deterministic: the same resources give the same bytes. What comes from a CDA goes back where it came from; what comes
from elsewhere is framed as the current edition asks.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import tzinfo
from zoneinfo import ZoneInfo

from lxml import etree

from fhir_dmp.cda.completing import check, complete
from fhir_dmp.cda.elements import BOUND, make, name_of, sort, tag, tidy
from fhir_dmp.cda.forms import in_form
from fhir_dmp.cda.header import UNSTRUCTURED
from fhir_dmp.cda.knowledge import Knowledge
from fhir_dmp.cda.repair import repair
from fhir_dmp.cda.rules import REST, kept_of, write_children
from fhir_dmp.cda.succession import Predecessor, succeed
from fhir_dmp.cda.unsaid import unsaid
from fhir_dmp.cda.writing import Writing
from fhir_dmp.cda.writing_sections import body_of
from fhir_dmp.cda.xml import Element
from fhir_dmp.errors import Issue, Unprocessable
from fhir_dmp.fhir.elements import objects_of
from fhir_dmp.fhir.resource import Json

_BASE = ("2.16.840.1.113883.2.8.2.1", "1.2.250.1.213.1.1.1.1")


@dataclass(frozen=True, slots=True)
class Written:
    """A CDA file. issues: what of the resources has no place in it."""

    data: bytes
    issues: tuple[Issue, ...]


def from_fhir(
    resource: Json, knowledge: Knowledge, zone: tzinfo | None = None, predecessor: Predecessor | None = None
) -> Written:
    """Return the CDA of a document Bundle. predecessor: what is known of the document that it replaces.

    Raises:
        Unprocessable: no Composition first, a mandatory element without value (all of them are named), an INS with a
            wrong key, a body that the CI-SIS does not allow.
    """
    entries = resource.get("entry") or [{}]
    composition = entries[0].get("resource") if isinstance(entries[0], dict) else None
    if (
        resource.get("resourceType") != "Bundle"
        or not isinstance(composition, dict)
        or composition.get("resourceType") != "Composition"
    ):
        raise Unprocessable(
            "Give a Bundle of type document; its first entry is a Composition.",
            code="structure",
            expression="Bundle.entry[0]",
        )
    resource = in_form(resource)
    composition = resource["entry"][0]["resource"] = dict(resource["entry"][0]["resource"])
    writer = Writing(resource, knowledge, zone or ZoneInfo("Europe/Paris"))
    _replaces_only(composition, writer)
    document = _document(resource, composition, writer)
    succeed(document, resource, composition, predecessor, writer)
    _report(composition, writer)
    check(document, writer, was_cda=bool(kept_of(composition)))
    repair(document, writer)
    sort(document, knowledge.order)
    tidy(document)
    etree.cleanup_namespaces(document, keep_ns_prefixes=["xsi"])
    data = etree.tostring(document, xml_declaration=True, encoding="UTF-8")
    return Written(data, tuple(writer.issues))


def _document(bundle: Json, composition: Json, writer: Writing) -> Element:
    document = etree.Element(tag("ClinicalDocument"), nsmap=BOUND)
    document.append(make("realmCode", {"code": "FR"}))
    document.append(make("typeId", {"root": "2.16.840.1.113883.1.3", "extension": "POCD_HD000040"}))
    document.extend(make("templateId", {"root": root}) for root in _BASE)
    kept = kept_of(composition)
    rest = [one for one in kept.get(REST, ()) if one is not None]
    body, unstructured = body_of(composition, writer)
    if not any(name_of(one) == "templateId" for one in rest):
        rest = [*_model(composition, writer, unstructured=unstructured), *rest]
    root = {"Bundle": bundle, "Composition": composition}
    document.extend(rest)
    document.extend(write_children(root, writer.knowledge.mappings["document"], writer, kept))
    if not kept:
        complete(document, bundle, composition, writer)
    document.append(make("component", None, body))
    return document


def _replaces_only(composition: Json, writer: Writing) -> None:
    """Take out the relations that a CDA of the CI-SIS has no word for. [2.3]"""
    relations = objects_of(composition.get("relatesTo"))
    for one in relations:
        if one.get("code") != "replaces":
            writer.drop("Composition.relatesTo", f"{one.get('code')}: a document of the CI-SIS can only replace")
    if relations:
        composition["relatesTo"] = [one for one in relations if one.get("code") == "replaces"]


#: Elements of a Composition that sections, the header's frame or the resources themselves say.
_BESIDE = frozenset(("resourceType", "id", "meta", "text", "contained", "section", "status"))


def _report(composition: Json, writer: Writing) -> None:
    """Report what of the document as a whole has no place in a CDA."""
    said = {"Composition": {key: value for key, value in composition.items() if key not in _BESIDE}}
    for where in unsaid(said, writer.knowledge.mappings["document"]):
        writer.drop(where, "no element of CDA says this")
    writer.unreached()


def _model(composition: Json, writer: Writing, *, unstructured: bool) -> list[Element]:
    """Return the template of the model of a document from elsewhere: by its type. [1.3]"""
    if unstructured:
        return [make("templateId", {"root": UNSTRUCTURED})]
    codes = [one.get("code") for one in (composition.get("type") or {}).get("coding", ())]
    models = writer.knowledge.tables.get("models", {})
    text = next((models[code] for code in codes if code in models), models.get("", ""))
    root, _, extension = text.partition("|")
    return [make("templateId", {"root": root, "extension": extension or None})] if root else []
