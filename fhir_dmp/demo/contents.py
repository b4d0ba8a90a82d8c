"""The contents of the demonstration's documents: CDA R2 of level 1 and level 3, PDF, plain text. Written for it."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from xml.sax.saxutils import escape

from fhir_dmp.demo.people import STRUCTURES, Person, Professional

_OID = "1.2.250.1.213.1.4.8"


@dataclass(frozen=True, slots=True)
class Act:
    """What a CDA is about: its uniqueId (OID), LOINC type with label, title, date, and who wrote it about whom."""

    unique: str
    code: str
    label: str
    title: str
    date: str
    patient: Person
    author: Professional

    @property
    def system(self) -> str:
        """The OID of the code system of the type: LOINC, or TRE_A05 for what LOINC does not name."""
        return "2.16.840.1.113883.6.1" if self.code[0].isdigit() else "1.2.250.1.213.1.1.4.12"

    @property
    def stamp(self) -> str:
        """The date as CDA writes it."""
        return self.date.replace("-", "") + "090000+0100"


def pdf(lines: list[str]) -> bytes:
    """Return a one-page PDF with these lines (Latin-1)."""
    shown = "".join(f"({line.replace('(', '[').replace(')', ']')}) Tj T* " for line in lines)
    stream = f"BT /F1 12 Tf 14 TL 60 780 Td {shown}ET".encode("latin-1", "replace")
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]/Contents 4 0 R/Resources<</Font<</F1 5 0 R>>>>>>",
        b"<</Length %d>>stream\n%s\nendstream" % (len(stream), stream),
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica/Encoding/WinAnsiEncoding>>",
    ]
    return assembled(objects)


def assembled(objects: list[bytes]) -> bytes:
    """Return the PDF file of these objects; the first is its catalogue."""
    out, places = bytearray(b"%PDF-1.4\n"), []
    for number, body in enumerate(objects, 1):
        places.append(len(out))
        out += b"%d 0 obj%s endobj\n" % (number, body)
    start = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    out += b"".join(b"%010d 00000 n \n" % place for place in places)
    out += b"trailer<</Size %d/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, start)
    return bytes(out)


def level_1(act: Act, content: bytes, media_type: str = "application/pdf") -> bytes:
    """Return a CDA whose body is an embedded file."""
    body = base64.b64encode(content).decode()
    templates = '<templateId root="1.3.6.1.4.1.19376.1.2.20"/>'
    text = f'<text mediaType="{media_type}" representation="B64">{body}</text>'
    return _document(act, templates, f"<component><nonXMLBody>{text}</nonXMLBody></component>")


def level_3(act: Act, template: str, sections: list[tuple[str, str, list[str]]]) -> bytes:
    """Return a structured CDA; a section is (LOINC code, title, lines of its narrative)."""
    shown = "".join(_section(code, title, lines) for code, title, lines in sections)
    body = f"<component><structuredBody>{shown}</structuredBody></component>"
    return _document(act, f'<templateId root="{template}"/>', body)


def _section(code: str, title: str, lines: list[str]) -> str:
    items = "".join(f"<item>{escape(line)}</item>" for line in lines)
    return (
        f'<component><section><code code="{code}" codeSystem="2.16.840.1.113883.6.1"/>'
        f"<title>{escape(title)}</title><text><list>{items}</list></text></section></component>"
    )


def _person(professional: Professional) -> str:
    return (
        f'<id root="1.2.250.1.71.4.2.1" extension="{professional.number}"/>'
        f'<code code="G15_{professional.profession}" codeSystem="1.2.250.1.213.1.1.4.5"'
        f' displayName="Professionnel de santé"/><addr nullFlavor="UNK"/><telecom nullFlavor="UNK"/>'
        f"<assignedPerson><name><family>{professional.family}</family><given>{professional.given}</given></name>"
        f"</assignedPerson>"
    )


def _organization(number: str) -> str:
    return f'<id root="1.2.250.1.71.4.2.2" extension="{number}"/><name>{escape(STRUCTURES[number])}</name>'


def _document(act: Act, templates: str, body: str) -> bytes:
    who, by = act.patient, act.author
    sex = {"female": "F", "male": "M"}[who.gender]
    code, city = who.commune
    patient = (
        f'<recordTarget><patientRole><id root="{_OID}" extension="{who.ins}"/><addr nullFlavor="UNK"/>'
        f'<telecom nullFlavor="UNK"/><patient><name><family qualifier="BR">{who.family}</family>'
        f'<given>{who.given}</given><given qualifier="BR">{who.given}</given></name>'
        f'<administrativeGenderCode code="{sex}" codeSystem="2.16.840.1.113883.5.1"/>'
        f'<birthTime value="{who.born.replace("-", "")}"/><birthplace><place><addr><county>{code}</county>'
        f"<city>{escape(city)}</city></addr></place></birthplace></patient></patientRole></recordTarget>"
    )
    author = (
        f'<author><time value="{act.stamp}"/><assignedAuthor>{_person(by)}'
        f"<representedOrganization>{_organization(by.structure)}</representedOrganization></assignedAuthor></author>"
    )
    custodian = (
        "<custodian><assignedCustodian><representedCustodianOrganization>"
        f"{_organization(by.structure)}</representedCustodianOrganization></assignedCustodian></custodian>"
    )
    signed = (
        f'<legalAuthenticator><time value="{act.stamp}"/><signatureCode code="S"/><assignedEntity>{_person(by)}'
        f"<representedOrganization>{_organization(by.structure)}</representedOrganization>"
        "</assignedEntity></legalAuthenticator>"
    )
    event = (
        f'<documentationOf><serviceEvent><effectiveTime><low value="{act.stamp}"/></effectiveTime>'
        f'<performer typeCode="PRF"><assignedEntity>{_person(by)}<representedOrganization>'
        f'{_organization(by.structure)}<standardIndustryClassCode code="AMBULATOIRE"'
        ' codeSystem="1.2.250.1.213.1.1.4.9" displayName="Ambulatoire"/></representedOrganization>'
        "</assignedEntity></performer></serviceEvent></documentationOf>"
    )
    encounter = (
        f'<componentOf><encompassingEncounter><effectiveTime><low value="{act.stamp}"/></effectiveTime>'
        '<location><healthCareFacility><code code="SA08" codeSystem="1.2.250.1.71.4.2.4"'
        ' displayName="Cabinet de groupe"/></healthCareFacility></location></encompassingEncounter></componentOf>'
    )
    text = (
        '<?xml version="1.0" encoding="UTF-8"?>\n<ClinicalDocument xmlns="urn:hl7-org:v3"'
        ' xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><realmCode code="FR"/>'
        '<typeId root="2.16.840.1.113883.1.3" extension="POCD_HD000040"/>'
        f'<templateId root="2.16.840.1.113883.2.8.2.1"/><templateId root="1.2.250.1.213.1.1.1.1"/>{templates}'
        f'<id root="{act.unique}"/><code code="{act.code}" codeSystem="{act.system}"'
        f' displayName="{escape(act.label)}"/><title>{escape(act.title)}</title><effectiveTime value="{act.stamp}"/>'
        '<confidentialityCode code="N" codeSystem="2.16.840.1.113883.5.25" displayName="Normal"/>'
        f'<languageCode code="fr-FR"/><setId root="{act.unique}.1"/><versionNumber value="1"/>'
        f"{patient}{author}{custodian}{signed}{event}{encounter}{body}</ClinicalDocument>"
    )
    return text.encode()
