"""What must be equal after CDA -> FHIR -> CDA: the facts of a document, one by one. [cda 6.4]"""

from __future__ import annotations

import base64
import hashlib
from collections import Counter
from collections.abc import Iterator

from fhir_dmp.cda.elements import ACT_TAGS, TYPE, at_path, children, first, local_type, name_of, tag, text_in
from fhir_dmp.cda.xml import Element

_CI_SIS = "1.2.250.1.213.1.1.3."
Fact = tuple[str, ...]


def facts(document: Element) -> Counter[Fact]:
    """Return the facts of a ClinicalDocument that a round trip keeps."""
    return Counter([*_header(document), *_body(document)])


def _ids(element: Element | None, *path: str) -> Iterator[str]:
    for one in at_path(element, path) if element is not None else ():
        if one.get("root"):
            yield f"{str(one.get('root')).lower()}^{one.get('extension') or ''}"


def _code(element: Element | None) -> str:
    return "" if element is None else f"{element.get('code') or ''}|{element.get('codeSystem') or ''}"


def _time(element: Element | None) -> str:
    if element is None:
        return ""
    bounds = [
        f"{name}={child.get('value') or child.get('nullFlavor')}"
        for name in ("low", "high")
        if (child := first(element, name)) is not None
    ]
    return "/".join([element.get("value") or element.get("nullFlavor") or "", *bounds])


def _name(element: Element | None) -> str:
    if element is None:
        return ""
    return ";".join(
        sorted(f"{name_of(one)}:{one.get('qualifier') or ''}:{text_in(one)}" for one in element if text_in(one))
    )


def _header(document: Element) -> Iterator[Fact]:
    for name in ("id", "setId"):
        yield from ((name, one) for one in _ids(document, name))
    yield "versionNumber", str((found := first(document, "versionNumber")) is not None and found.get("value"))
    for name in ("code", "confidentialityCode"):
        yield name, _code(first(document, name))
    yield "title", str(text_in(first(document, "title")))
    yield "effectiveTime", _time(first(document, "effectiveTime"))
    yield "languageCode", str((found := first(document, "languageCode")) is not None and found.get("code"))
    role = first(document, "recordTarget", "patientRole")
    yield from (("patient id", one) for one in _ids(role, "id"))
    patient = first(role, "patient")
    yield "patient name", _name(first(patient, "name"))
    yield "gender", str((found := first(patient, "administrativeGenderCode")) is not None and found.get("code"))
    yield "birthTime", _time(first(patient, "birthTime"))
    for name in ("county", "city"):
        yield name, str(text_in(first(patient, "birthplace", "place", "addr", name)))
    for author in children(document, "author"):
        party = first(author, "assignedAuthor")
        organization = first(party, "representedOrganization")
        yield (
            "author",
            *sorted(_ids(party, "id")),
            _code(first(party, "code")),
            _name(first(party, "assignedPerson", "name")),
        )
        yield "author organization", *sorted(_ids(organization, "id")), str(text_in(first(organization, "name")))
    yield from (
        ("custodian", one)
        for one in _ids(first(document, "custodian", "assignedCustodian", "representedCustodianOrganization"), "id")
    )
    signer = first(document, "legalAuthenticator")
    yield "signed", _time(first(signer, "time")), *sorted(_ids(first(signer, "assignedEntity"), "id"))
    for informant in children(document, "informant"):
        related = first(informant, "relatedEntity")
        yield (
            "informant",
            str(related is not None and related.get("classCode")),
            _name(first(related, "relatedPerson", "name")),
        )
    for recipient in children(document, "informationRecipient"):
        yield "recipient", *sorted(_ids(first(recipient, "intendedRecipient"), "id"))
    for one in children(document, "participant"):
        yield (
            "participant",
            str(one.get("typeCode")),
            _code(first(one, "functionCode")),
            *sorted(_ids(first(one, "associatedEntity"), "id")),
        )
    for number, act in enumerate(children(document, "documentationOf")):
        event = first(act, "serviceEvent")
        yield (
            "act",
            str(number),
            _code(first(event, "code")),
            _time(first(event, "effectiveTime")),
            *sorted(_ids(first(event, "performer", "assignedEntity"), "id")),
        )
    for one in children(document, "relatedDocument"):
        yield "related", *sorted(_ids(first(one, "parentDocument"), "id"))
    for one in children(document, "authorization"):
        yield "consent", _code(first(one, "consent", "code"))
    yield (
        "facility",
        _code(first(document, "componentOf", "encompassingEncounter", "location", "healthCareFacility", "code")),
    )


def _body(document: Element) -> Iterator[Fact]:
    text = first(document, "component", "nonXMLBody", "text")
    if text is not None:
        yield "body", str(text.get("mediaType")), _digest(text)
    body = first(document, "component", "structuredBody")
    if body is None:
        return
    for number, section in enumerate(body.iter(tag("section"))):
        yield "section", str(number), _code(first(section, "code")), str(text_in(first(section, "title")))
        yield "narrative", str(number), "".join((text_in(first(section, "text")) or "").split())
    for act in body.iter(*ACT_TAGS):
        yield _act(act)


def _digest(value: Element) -> str:
    try:
        data = base64.b64decode("".join((value.text or "").split()))
    except ValueError:
        return "?"
    return f"{len(data)} {hashlib.sha1(data, usedforsecurity=False).hexdigest()}"


def _act(act: Element) -> Fact:
    roots = [str(one.get("root")) for one in children(act, "templateId")]
    own = max(
        (root for root in roots if root.startswith(_CI_SIS)), key=lambda root: (root.count("."), root), default=""
    )
    status = first(act, "statusCode")
    return (
        f"act {name_of(act)} {act.get('moodCode')}",
        own,
        *sorted(_ids(act, "id")),
        _code(first(act, "code")),
        str(act.get("negationInd") == "true"),
        str(status is not None and status.get("code")),
        *(_time(one) for one in children(act, "effectiveTime")),
        *(_value(one) for one in children(act, "value")),
        *(_code(one) for one in children(act, "interpretationCode")),
        *(_value(one) for one in at_path(act, ("referenceRange", "observationRange", "value"))),
        *sorted(_ids(act, "participant", "participantRole", "id")),
    )


def _value(value: Element) -> str:
    type_ = str(local_type(value))
    if value.get("representation") == "B64":
        return f"{type_} {value.get('mediaType')} {_digest(value)}"
    bounds = [
        f"{name}={one.get('value')}{one.get('unit')}"
        for name in ("low", "high")
        if (one := first(value, name)) is not None
    ]
    text = text_in(value) if type_ in ("ST", "ED") else ""
    return " ".join([type_, value.get("value") or "", value.get("unit") or "", _code(value), str(text), *bounds])


__all__ = ["TYPE", "facts"]
