"""From a CDA header to a PDSm comprehensive DocumentReference. [cda 3]

What the header lacks takes the value of [cda 3.6], or says that it is unknown; nothing is invented.
"""

from __future__ import annotations

from datetime import tzinfo

from fhir_dmp.cda.actors import Contained, is_patient, patient_resource
from fhir_dmp.cda.datatypes import ABSENT, codeable, coding, date_time, identifier, instant, pair_of
from fhir_dmp.cda.header import UNSTRUCTURED, Concept, Header, Id, Order, Party
from fhir_dmp.errors import Unprocessable
from fhir_dmp.fhir.resource import Json
from fhir_dmp.terminology.aliases import TRE_A03_CLASS
from fhir_dmp.terminology.codes import Code, Codes
from fhir_dmp.terminology.national import RFC_3986
from fhir_dmp.terminology.sharing import COMPREHENSIVE

_REPORT = "10"
SIGNATURE = "E1762"
_NORMAL = Concept("N", "2.16.840.1.113883.5.25", "Normal")
_ORDER_TYPE = "urn:ihe:iti:xds:2013:order"
_ACCESSION_TYPE = "urn:ihe:iti:xds:2013:accession"


def document_reference(header: Header, subject: Json, attachment: Json, codes: Codes, zone: tzinfo) -> Json:
    """Return the metadata of a CDA. `attachment` brings url, size and hash; `subject` names the dossier.

    Raises:
        Unprocessable: no document type, a signature, no creation time, or no author.
    """
    type_ = _type(header)
    created = instant(header.created, zone)
    if created is None:
        raise Unprocessable("The CDA has no effectiveTime.", code="required", expression="ClinicalDocument")
    if not header.authors:
        raise Unprocessable("The CDA has no author.", code="required", expression="ClinicalDocument.author")
    inside = Contained(codes)
    patient = patient_resource(header.patient, zone)
    found: Json = {
        "resourceType": "DocumentReference",
        "meta": {"profile": [COMPREHENSIVE]},
        "contained": inside.resources,
        "masterIdentifier": identifier(header.id),
        "status": "current",
        "type": codeable(type_, codes),
        "category": [{"coding": [class_coding(type_, codes)]}],
        "subject": subject,
        "date": created,
        "author": [author_reference(author, inside, patient) for author in header.authors],
        "securityLabel": [codeable(header.confidentiality or _NORMAL, codes)],
        "content": [_content(header, type_, attachment, codes, zone)],
        "context": _context(header, codes, zone),
    }
    signer = header.legal_authenticator or next((one for one in header.authors if one.device is None), None)
    if signer is not None:
        found["authenticator"] = author_reference(signer, inside, patient)
    custodian = header.custodian or next((one.organization for one in header.authors if one.organization), None)
    if custodian is not None:
        found["custodian"] = inside.organization(custodian)
    if header.set_id is not None:
        found["identifier"] = [identifier(header.set_id, use="official", type={"text": "setId"})]
    if header.replaced is not None:
        found["relatesTo"] = [{"code": "replaces", "target": {"identifier": identifier(header.replaced)}}]
    found["context"]["sourcePatientInfo"] = inside.patient(patient)
    return found


def author_reference(party: Party, inside: Contained, patient: Json) -> Json:
    """Return the reference to an author or authenticator, who may be the patient."""
    return inside.patient(patient) if is_patient(party) else inside.party(party)


def _type(header: Header) -> Concept:
    if header.code is None:
        raise Unprocessable("The CDA has no document type (code).", code="required", expression="ClinicalDocument")
    if header.code.code == SIGNATURE:
        raise Unprocessable("A signature is no clinical document.", code="business-rule", expression="ClinicalDocument")
    return header.code


def class_coding(type_: Concept, codes: Codes) -> Json:
    """Return the class that the type leads to; a report when no table knows the type."""
    class_ = codes.class_of(codes.system_of(type_.system), type_.code) or _REPORT
    display = codes.display("jdv-j06", TRE_A03_CLASS, class_)
    found = {"system": TRE_A03_CLASS, "code": class_}
    return {**found, "display": display} if display else found


def format_of(header: Header, codes: Codes) -> Code:
    """Return the format: by the media type of an unstructured body, else by the model. [cda 3.4]"""
    if header.model == UNSTRUCTURED:
        return codes.media_formats.get((header.media_type or "").lower(), codes.fallback_format)
    return codes.formats.get(header.model or "", codes.fallback_format)


def _content(header: Header, type_: Concept, attachment: Json, codes: Codes, zone: tzinfo) -> Json:
    system, code = format_of(header, codes)
    display = codes.display("jdv-j10", system, code)
    described = {
        "contentType": "application/xml",
        "language": header.language or "fr-FR",
        **attachment,
        "title": header.title or type_.display or type_.code,
        "creation": date_time(header.created, zone),
    }
    format_ = {"system": system, "code": code}
    return {"attachment": described, "format": {**format_, "display": display} if display else format_}


def _context(header: Header, codes: Codes, zone: tzinfo) -> Json:
    main = header.acts[0] if header.acts else None
    start = date_time(main.low, zone) if main else None
    found: Json = {"period": {"start": start or date_time(header.created, zone)}}
    end = date_time(main.high, zone) if main else None
    if end is not None and start is not None and end >= start:
        found["period"]["end"] = end
    events = [codeable(act.code, codes) for act in header.acts if act.code is not None]
    if events:
        found["event"] = events
    if header.encounter is not None:
        found["encounter"] = [{"identifier": identifier(header.encounter)}]
    performers = (act.practice_setting for act in header.acts if act.practice_setting is not None)
    found["facilityType"] = _concept(header.facility, codes)
    found["practiceSetting"] = _concept(next(performers, None), codes)
    related = [reference for order in header.orders for reference in _references(order)]
    return {**found, "related": related} if related else found


def _concept(concept: Concept | None, codes: Codes) -> Json:
    return codeable(concept, codes) if concept is not None else dict(ABSENT)


def _references(order: Order) -> list[Json]:
    typed = [(one, _ORDER_TYPE) for one in order.ids] + [(one, _ACCESSION_TYPE) for one in order.accessions]
    return [{"identifier": _typed(one, kind)} for one, kind in typed]


def _typed(id_: Id, kind: str) -> Json:
    system, value = pair_of(id_)
    return {"type": {"coding": [{"system": RFC_3986, "code": kind}]}, "system": system, "value": value}


def facility_coding(header: Header, codes: Codes) -> Json | None:
    """Return the facility type as a Coding, None when the header has none."""
    return coding(header.facility, codes) if header.facility is not None else None
