"""CDA documents of the tests: a header of the CI-SIS and whatever sections a test needs. People are fictitious."""

from __future__ import annotations

import base64
from datetime import UTC
from functools import cache
from typing import Any

from fhir_dmp import definitions
from fhir_dmp.cda.elements import first
from fhir_dmp.cda.from_fhir import Written, from_fhir
from fhir_dmp.cda.knowledge import Knowledge
from fhir_dmp.cda.to_fhir import Converted, to_fhir
from fhir_dmp.cda.xml import Element, clinical_document, parse
from fhir_dmp.fhir.resource import Json, dump
from fhir_dmp.fhir.resource import parse as parse_json
from fhir_dmp.validation.validate import errors_in, validate
from tests.structures import STRUCTURES

INS = "285047511200314"
E = "1.2.250.1.213.1.1.3."
LOINC = "2.16.840.1.113883.6.1"
_NAMESPACES = (
    'xmlns="urn:hl7-org:v3" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" '
    'xmlns:sdtc="urn:hl7-org:sdtc" xmlns:pharm="urn:ihe:pharm:medication" '
    'xmlns:lab="urn:oid:1.3.6.1.4.1.19376.1.3.2" xmlns:dcm="urn:dicom-org:ps3-20"'
)
_PARTY = """<id root="1.2.250.1.71.4.2.1" extension="899700218896"/>
<code code="G15_10/SM26" codeSystem="1.2.250.1.213.1.1.4.5" displayName="Médecin - Médecine générale"/>
<telecom value="tel:+33100000010" use="WP"/>
<assignedPerson><name><prefix>MME</prefix><given>Camille</given><family>LEROY</family><suffix>DR</suffix></name>
</assignedPerson>"""
_STRUCTURE = """<id root="1.2.250.1.71.4.2.2" extension="1750100125"/><name>Centre de santé des Lilas</name>"""


@cache
def knowledge() -> Knowledge:
    """Return what mappings/ says."""
    return definitions.cda_knowledge()


def templates(*roots: str) -> str:
    """Return templateId elements; `E48` is an entry of the CI-SIS."""
    return "".join(f'<templateId root="{E + root[1:] if root.startswith("E") else root}"/>' for root in roots)


def code(code_: str, system: str = LOINC, name: str = "code", **more: str) -> str:
    """Return a coded element."""
    others = "".join(f' {key}="{value}"' for key, value in more.items())
    return f'<{name} code="{code_}" codeSystem="{system}"{others}/>'


def section(
    entries: str = "", text: str = "<paragraph>Texte</paragraph>", code_: str = "30954-2", more: str = ""
) -> str:
    """Return a component with one section."""
    return (
        f"<component><section>{code(code_)}<title>Section</title><text>{text}</text>{entries}{more}"
        "</section></component>"
    )


def entry(act: str) -> str:
    """Return an entry."""
    return f"<entry>{act}</entry>"


def observation(inside: str, *roots: str, mood: str = "EVN", more: str = "") -> str:
    """Return an observation; `inside` follows its templates."""
    return f'<observation classCode="OBS" moodCode="{mood}"{more}>{templates(*roots)}{inside}</observation>'


def related(act: str, type_: str = "SUBJ", more: str = "") -> str:
    """Return an entryRelationship."""
    return f'<entryRelationship typeCode="{type_}"{more}>{act}</entryRelationship>'


def document(*sections: str, body: str | None = None, **changes: str) -> bytes:
    """Return a CDA file. changes: parts of the header by name, instead of the usual ones."""
    parts: dict[str, str] = {
        "root": f"<ClinicalDocument {_NAMESPACES}>",
        "model": '<templateId root="1.2.250.1.213.1.1.1.13" extension="2022.01"/>',
        "id": '<id root="1.2.250.1.999.7.1" extension="2026-1"/>',
        "code": '<code code="60591-5" codeSystem="2.16.840.1.113883.6.1" displayName="Synthèse médicale"/>',
        "title": "<title>Synthèse médicale</title>",
        "time": '<effectiveTime value="20260612103000+0200"/>',
        "confidentiality": '<confidentialityCode code="N" codeSystem="2.16.840.1.113883.5.25" displayName="Normal"/>',
        "language": '<languageCode code="fr-FR"/>',
        "set": '<setId root="1.2.250.1.999.7.1" extension="2026"/><versionNumber value="2"/>',
        "ids": f'<id root="1.2.250.1.213.1.4.8" extension="{INS}"/><id root="1.2.250.1.999.7.2" extension="P-4471"/>',
        "contacts": '<addr use="H"><houseNumber>12</houseNumber><streetName>rue des Tilleuls</streetName>'
        '<postalCode>75012</postalCode><city>Paris</city></addr><telecom value="tel:+33600000001" use="MC"/>',
        "name": '<family qualifier="BR">BELLANGER</family><given>Anouk Jeanne</given>'
        '<given qualifier="BR">Anouk</given><family qualifier="CL">MERCADIER</family>'
        '<given qualifier="CL">Anouk</given>',
        "gender": '<administrativeGenderCode code="F" codeSystem="2.16.840.1.113883.5.1"/>',
        "birth": '<birthTime value="19850417"/>',
        "author": f'<author><time value="20260612103000+0200"/><assignedAuthor>{_PARTY}'
        f"<representedOrganization>{_STRUCTURE}</representedOrganization></assignedAuthor></author>",
        "informant": '<informant><relatedEntity classCode="ECON">'
        '<code code="SPS" codeSystem="2.16.840.1.113883.5.111"/>'
        '<telecom value="tel:+33600000002"/><relatedPerson><name><given>Basile</given><family>MERCADIER</family></name>'
        "</relatedPerson></relatedEntity></informant>",
        "custodian": "<custodian><assignedCustodian><representedCustodianOrganization>"
        f"{_STRUCTURE}</representedCustodianOrganization></assignedCustodian></custodian>",
        "recipient": "",
        "signer": f'<legalAuthenticator><time value="20260612104500+0200"/><signatureCode code="S"/>'
        f"<assignedEntity>{_PARTY}</assignedEntity></legalAuthenticator>",
        "others": "",
        "act": '<documentationOf><serviceEvent><effectiveTime><low value="20260612100000+0200"/></effectiveTime>'
        f'<performer typeCode="PRF"><assignedEntity>{_PARTY}<representedOrganization>{_STRUCTURE}'
        '<standardIndustryClassCode code="AMBULATOIRE" codeSystem="1.2.250.1.213.1.1.4.9" displayName="Ambulatoire"/>'
        "</representedOrganization></assignedEntity></performer></serviceEvent></documentationOf>",
        "replaced": "",
        "consent": "",
        "stay": '<componentOf><encompassingEncounter><id root="1.2.250.1.999.7.5" extension="V-12"/>'
        '<effectiveTime><low value="20260612100000+0200"/></effectiveTime><location><healthCareFacility>'
        '<code code="SA05" codeSystem="1.2.250.1.71.4.2.4" displayName="Centre de santé"/>'
        "</healthCareFacility></location></encompassingEncounter></componentOf>",
    }
    unknown = set(changes) - set(parts)
    assert not unknown, unknown
    p = parts | changes
    inside = body if body is not None else f"<structuredBody>{''.join(sections) or section()}</structuredBody>"
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'{p["root"]}<realmCode code="FR"/><typeId root="2.16.840.1.113883.1.3" extension="POCD_HD000040"/>'
        '<templateId root="2.16.840.1.113883.2.8.2.1"/><templateId root="1.2.250.1.213.1.1.1.1"/>'
        f"{p['model']}{p['id']}{p['code']}{p['title']}{p['time']}{p['confidentiality']}{p['language']}{p['set']}"
        f"<recordTarget><patientRole>{p['ids']}{p['contacts']}<patient><name>{p['name']}</name>{p['gender']}{p['birth']}"
        "<birthplace><place><addr><county>75112</county><city>Paris 12e</city></addr></place></birthplace></patient>"
        f"</patientRole></recordTarget>{p['author']}{p['informant']}{p['custodian']}{p['recipient']}{p['signer']}"
        f"{p['others']}{p['act']}{p['replaced']}{p['consent']}{p['stay']}<component>{inside}</component>"
        "</ClinicalDocument>"
    ).encode()


def unstructured(content: bytes = b"%PDF-1.4 fictif", media: str = "application/pdf", **changes: str) -> bytes:
    """Return a CDA of level 1."""
    data = base64.b64encode(content).decode()
    body = f'<nonXMLBody><text mediaType="{media}" representation="B64">{data}</text></nonXMLBody>'
    model = '<templateId root="1.3.6.1.4.1.19376.1.2.20"/>'
    return document(body=body, **{"model": model, **changes})


def converted(data: bytes) -> Converted:
    """Return the FHIR document of a CDA, which must be valid FHIR, as it travels."""
    found = to_fhir(data, knowledge(), UTC)
    bundle = parse_json(dump(found.bundle))
    assert errors_in(validate(bundle, STRUCTURES)) == ()
    return Converted(bundle, found.issues, found.counted)


def resources(data: bytes | Converted, type_: str) -> list[Json]:
    """Return the resources of a type of the FHIR document of a CDA."""
    found = data if isinstance(data, Converted) else converted(data)
    return [one["resource"] for one in found.bundle["entry"] if one["resource"]["resourceType"] == type_]


def only(data: bytes | Converted, type_: str) -> Json:
    """Return the one resource of a type."""
    (found,) = resources(data, type_)
    return found


def back(data: bytes | Converted) -> Element:
    """Return the ClinicalDocument that the FHIR document of a CDA gives."""
    found = data if isinstance(data, Converted) else converted(data)
    return clinical_document(parse(written(found.bundle).data))


def written(bundle: Json) -> Written:
    """Return the CDA of a FHIR document."""
    return from_fhir(bundle, knowledge(), UTC)


def reread(bundle: Json) -> Json:
    """Return the FHIR document of the CDA of a FHIR document."""
    return converted(written(bundle).data).bundle


def resolved(found: Converted, reference: Any) -> Json:
    """Return what a reference of a FHIR document leads to."""
    return next(one["resource"] for one in found.bundle["entry"] if one["fullUrl"] == reference["reference"])


def concept(resource: Any) -> tuple[str | None, str | None]:
    """Return (system, code) of the first coding of a concept."""
    first_ = resource["coding"][0]
    return first_.get("system"), first_.get("code")


__all__ = ["first"]
