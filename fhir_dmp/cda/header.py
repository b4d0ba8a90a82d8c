"""The header of a CI-SIS CDA as facts: who, whom, what, when, where. Tolerant: older documents are read as they are.

[cda 1.2, 2]. What the facts become in FHIR: cda/metadata.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from fhir_dmp.cda.xml import V3, Element, clinical_document, parse
from fhir_dmp.errors import BadRequest

_ROOTS_OF_EVERY_DOCUMENT = ("2.16.840.1.113883.2.8.2.1", "1.2.250.1.213.1.1.1.1")
_MODELS = "1.2.250.1.213.1.1.1."
_FAMILIES = ("1.2.250.1.213.1.1.1.2.1", "1.2.250.1.213.1.1.1.5")
#: Laboratory and pathology documents from before the CI-SIS had models of its own for them.
_HISTORICAL = ("1.3.6.1.4.1.19376.1.3.3", "1.3.6.1.4.1.19376.1.8.1.1")
UNSTRUCTURED = "1.3.6.1.4.1.19376.1.2.20"
_DICOM = "urn:dicom-org:ps3-20"
_WHOLE = re.compile(r"[0-9]{1,9}")


@dataclass(frozen=True, slots=True)
class Id:
    """An instance identifier (II): a root (OID or UUID) with or without extension."""

    root: str
    extension: str | None = None


@dataclass(frozen=True, slots=True)
class Concept:
    """A coded value (CD, CE): code, OID of its system, label; translations say the same in other systems."""

    code: str
    system: str
    display: str | None = None
    translations: tuple[Concept, ...] = ()


@dataclass(frozen=True, slots=True)
class Name:
    """A person's name."""

    family: str | None
    given: str | None
    prefix: str | None = None
    suffix: str | None = None


@dataclass(frozen=True, slots=True)
class Organization:
    """A structure."""

    ids: tuple[Id, ...]
    name: str | None


@dataclass(frozen=True, slots=True)
class Party:
    """An author, authenticator or recipient: a person, a device (model and software), or a structure alone."""

    ids: tuple[Id, ...]
    code: Concept | None
    name: Name | None
    device: tuple[str | None, str | None] | None
    organization: Organization | None
    function: Concept | None = None


@dataclass(frozen=True, slots=True)
class Person:
    """The patient as the producer knows him or her. given: list of the birth certificate; times as in the CDA."""

    ids: tuple[Id, ...]
    birth_family: str | None
    used_family: str | None
    given: str | None
    birth_given: str | None
    used_given: str | None
    gender: str | None
    birth_time: str | None
    birth_place: tuple[str | None, str | None]


@dataclass(frozen=True, slots=True)
class Act:
    """A documented act: what, when, and the practice setting of its performer."""

    code: Concept | None
    low: str | None
    high: str | None
    performed: bool
    practice_setting: Concept | None


@dataclass(frozen=True, slots=True)
class Order:
    """An order that the document fulfils."""

    ids: tuple[Id, ...]
    accessions: tuple[Id, ...]


@dataclass(frozen=True, slots=True)
class Header:
    """Everything that the header says and that metadata are made of. Times keep their CDA form."""

    id: Id
    set_id: Id | None
    version: int | None
    code: Concept | None
    title: str | None
    created: str | None
    confidentiality: Concept | None
    language: str | None
    patient: Person
    authors: tuple[Party, ...]
    legal_authenticator: Party | None
    recipients: tuple[Party, ...]
    custodian: Organization | None
    acts: tuple[Act, ...]
    orders: tuple[Order, ...]
    encounter: Id | None
    facility: Concept | None
    replaced: Id | None
    model: str | None
    media_type: str | None


def read_header(data: bytes) -> Header:
    """Read the header of a CDA file.

    Raises:
        BadRequest: not well-formed, no single ClinicalDocument, or one without id or patient.
    """
    return header_of(clinical_document(parse(data)))


def header_of(document: Element) -> Header:
    """Read the header of a ClinicalDocument element."""
    id_ = next(_ids(document), None)
    role = _first(document, "recordTarget", "patientRole")
    if id_ is None or role is None:
        missing = "id" if id_ is None else "recordTarget/patientRole"
        raise BadRequest(f"The ClinicalDocument has no {missing}.", code="required")
    encounter = _first(document, "componentOf", "encompassingEncounter")
    body = _first(document, "component", "nonXMLBody", "text")
    version = _attribute(_first(document, "versionNumber"), "value")
    return Header(
        id=id_,
        set_id=next(_ids(document, "setId"), None),
        version=int(version) if version and _WHOLE.fullmatch(version) else None,
        code=concept_of(_first(document, "code")),
        title=_text(_first(document, "title")),
        created=_attribute(_first(document, "effectiveTime"), "value"),
        confidentiality=concept_of(_first(document, "confidentialityCode")),
        language=_attribute(_first(document, "languageCode"), "code"),
        patient=person_of(role),
        authors=tuple(_author(author) for author in _all(document, "author")),
        legal_authenticator=_party(_first(document, "legalAuthenticator", "assignedEntity")),
        recipients=tuple(
            party
            for recipient in _all(document, "informationRecipient")
            if (party := _party(_first(recipient, "intendedRecipient"))) is not None
        ),
        custodian=_organization(_first(document, "custodian", "assignedCustodian", "representedCustodianOrganization")),
        acts=tuple(_act(event) for part in _all(document, "documentationOf") for event in _all(part, "serviceEvent")),
        orders=tuple(_order(order) for part in _all(document, "inFulfillmentOf") for order in _all(part, "order")),
        encounter=next(_ids(encounter), None) if encounter is not None else None,
        facility=concept_of(_first(encounter, "location", "healthCareFacility", "code")),
        replaced=_replaced(document),
        model=_model(document, unstructured=body is not None),
        media_type=_attribute(body, "mediaType"),
    )


def _tag(name: str) -> str:
    return f"{{{V3}}}{name}"


def _all(element: Element | None, name: str) -> Iterator[Element]:
    if element is not None:
        yield from element.iterchildren(_tag(name))


def _first(element: Element | None, *path: str) -> Element | None:
    for name in path:
        element = next(_all(element, name), None)
    return element


def _attribute(element: Element | None, name: str) -> str | None:
    if element is None or element.get("nullFlavor"):
        return None
    value = (element.get(name) or "").strip()
    return value or None


def _text(element: Element | None) -> str | None:
    """Return the text of an element, markup removed and white space collapsed."""
    if element is None or element.get("nullFlavor"):
        return None
    return " ".join("".join(str(part) for part in element.itertext()).split()) or None


def _ids(element: Element | None, name: str = "id") -> Iterator[Id]:
    for part in _all(element, name):
        root = _attribute(part, "root")
        if root is not None:
            yield Id(root, _attribute(part, "extension"))


def concept_of(element: Element | None) -> Concept | None:
    """Return a coded value; a null one may still be said by its first translation."""
    if element is None:
        return None
    translations = tuple(found for part in _all(element, "translation") if (found := concept_of(part)) is not None)
    code, system = _attribute(element, "code"), _attribute(element, "codeSystem")
    if code is None or system is None:
        return translations[0] if translations else None
    return Concept(code, system, _attribute(element, "displayName"), translations)


def _name(element: Element | None) -> Name | None:
    if element is None or element.get("nullFlavor"):
        return None
    parts = {part: _text(_first(element, part)) for part in ("family", "given", "prefix", "suffix")}
    # Old documents write the whole name as plain text.
    family = parts["family"] or (None if len(element) else _text(element))
    return Name(family, parts["given"], parts["prefix"], parts["suffix"]) if family or parts["given"] else None


def _organization(element: Element | None) -> Organization | None:
    if element is None:
        return None
    found = Organization(tuple(_ids(element)), _text(_first(element, "name")))
    return found if found.ids or found.name else None


_PERSONS = ("assignedPerson", "informationRecipient", "associatedPerson")
_STRUCTURES = ("representedOrganization", "receivedOrganization", "scopingOrganization")


def _party(element: Element | None, function: Concept | None = None) -> Party | None:
    if element is None:
        return None
    device = _first(element, "assignedAuthoringDevice")
    models = None
    if device is not None:
        models = (_text(_first(device, "manufacturerModelName")), _text(_first(device, "softwareName")))
    names = (_name(_first(element, person, "name")) for person in _PERSONS)
    structures = (_organization(_first(element, structure)) for structure in _STRUCTURES)
    return Party(
        ids=tuple(_ids(element)),
        code=concept_of(_first(element, "code")),
        name=next((name for name in names if name is not None), None),
        device=models,
        organization=next((structure for structure in structures if structure is not None), None),
        function=function,
    )


def _author(author: Element) -> Party:
    party = _party(_first(author, "assignedAuthor"), concept_of(_first(author, "functionCode")))
    return party or Party((), None, None, None, None)


def person_of(role: Element) -> Person:
    patient = _first(role, "patient")
    name = _first(patient, "name")
    families = {part.get("qualifier"): _text(part) for part in _all(name, "family")}
    givens = {part.get("qualifier"): _text(part) for part in _all(name, "given")}
    place = _first(patient, "birthplace", "place", "addr")
    return Person(
        ids=tuple(_ids(role)),
        birth_family=families.get("BR") or next(filter(None, families.values()), None),
        used_family=families.get("CL") or families.get("SP"),
        given=givens.get(None),
        birth_given=givens.get("BR"),
        used_given=givens.get("CL"),
        gender=_attribute(_first(patient, "administrativeGenderCode"), "code"),
        birth_time=_attribute(_first(patient, "birthTime"), "value"),
        birth_place=(_text(_first(place, "county")), _text(_first(place, "city"))),
    )


def _act(event: Element) -> Act:
    time = _first(event, "effectiveTime")
    performer = _first(event, "performer")
    setting = _first(performer, "assignedEntity", "representedOrganization", "standardIndustryClassCode")
    return Act(
        code=concept_of(_first(event, "code")),
        low=_attribute(_first(time, "low"), "value") or _attribute(time, "value"),
        high=_attribute(_first(time, "high"), "value"),
        performed=performer is not None,
        practice_setting=concept_of(setting),
    )


def _order(order: Element) -> Order:
    numbers = (
        Id(root, (part.get("extension") or "").strip() or None)
        for part in order.iterchildren(f"{{{_DICOM}}}accessionNumber")
        if (root := (part.get("root") or "").strip())
    )
    return Order(tuple(_ids(order)), tuple(numbers))


def _replaced(document: Element) -> Id | None:
    for related in _all(document, "relatedDocument"):
        if related.get("typeCode") == "RPLC":
            return next(_ids(_first(related, "parentDocument")), None)
    return None


def _model(document: Element, *, unstructured: bool) -> str | None:
    """Return the template that names the document's model. [1.2]"""
    found = [
        (root, part.get("extension"))
        for part in _all(document, "templateId")
        if (root := (part.get("root") or "").strip()) and root not in _ROOTS_OF_EVERY_DOCUMENT
    ]
    if unstructured:
        return UNSTRUCTURED
    own = [(root, extension) for root, extension in found if root.startswith(_MODELS) and root not in _FAMILIES]
    versioned = [root for root, extension in own if extension]
    if own:
        return versioned[-1] if versioned else own[-1][0]
    others = [root for root, _ in found if root != UNSTRUCTURED]
    historical = [root for root in others if root.startswith(_HISTORICAL)]
    return next(iter(historical or others[-1:]), None)
