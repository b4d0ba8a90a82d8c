"""What is written is a CDA of the CI-SIS: complete, valid against its schema, and the same again. [cda 9, group F]"""

from __future__ import annotations

import base64
import copy
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from lxml import etree

from fhir_dmp.cda.elements import at_path, first, tag
from fhir_dmp.cda.level1 import document_of
from fhir_dmp.cda.writing_sections import MEDIA_TYPES
from fhir_dmp.cda.xml import Element, clinical_document, parse
from fhir_dmp.errors import Unprocessable
from fhir_dmp.fhir.resource import Json, dump
from fhir_dmp.fhir.resource import parse as parse_json
from tests import samples
from tests.cda.invariants import facts
from tests.cda.making import (
    INS,
    code,
    converted,
    document,
    entry,
    observation,
    only,
    reread,
    section,
    unstructured,
    written,
)

XSD = Path(__file__).resolve().parents[2] / "../shared/data/cda-xsd/CDA_extended.xsd"
SHARED = sorted((Path(__file__).resolve().parents[2] / "../shared/data/cda").glob("*.xml"))
PDF = b"%PDF-1.4 fictif"


@cache
def schema() -> etree.XMLSchema:
    """Return the schema of the CI-SIS."""
    return etree.XMLSchema(etree.parse(str(XSD), etree.XMLParser(no_network=True)))


def valid(data: bytes) -> bool:
    """Say whether a file is valid against the schema, when the schema is there."""
    root = etree.fromstring(data, etree.XMLParser(huge_tree=True, resolve_entities=False))
    return not XSD.is_file() or schema().validate(root) or _explain()


def _explain() -> bool:
    raise AssertionError(schema().error_log)


def reference(content: bytes = PDF, media: str = "application/pdf", **more: object) -> Json:
    """Return a DocumentReference with its content, from software that knows no CDA."""
    found = samples.document("1.2.250.1.999.7.77", ins=INS, content=content, content_type=media)
    attachment = found["content"][0]["attachment"]
    attachment["data"] = base64.b64encode(content).decode()
    attachment.pop("url", None)
    source = next(one for one in found["contained"] if one["resourceType"] == "Patient")
    source.update(
        name=[
            {
                "use": "official",
                "family": "BELLANGER",
                "given": ["Anouk"],
                "extension": [
                    {
                        "url": "https://hl7.fr/ig/fhir/core/StructureDefinition/fr-core-patient-birth-list-given-name",
                        "valueString": "Anouk Jeanne",
                    }
                ],
            }
        ],
        gender="female",
        birthDate="1985-04-17",
    )
    found["subject"] = {"identifier": {"system": samples.INS, "value": INS}}
    return {**found, **more}


def level_1(resource: Json) -> Element:
    """Return the ClinicalDocument of a DocumentReference, valid against the schema."""
    data = written(document_of(resource)).data
    assert valid(data)
    return clinical_document(parse(data))


HEADER = (
    "realmCode",
    "typeId",
    "id",
    "code",
    "title",
    "effectiveTime",
    "confidentialityCode",
    "languageCode",
    "setId",
    "versionNumber",
    "recordTarget",
    "author",
    "custodian",
    "legalAuthenticator",
    "documentationOf",
    "componentOf",
    "component",
)


@pytest.mark.statement("cda F94", "cda F100")
def test_a_pdf_becomes_a_level_1_document_with_the_whole_header() -> None:
    found = level_1(reference())
    for name in HEADER:
        assert first(found, name) is not None, name
    assert [one.get("root") for one in found.iterchildren(tag("templateId"))] == [
        "2.16.840.1.113883.2.8.2.1",
        "1.2.250.1.213.1.1.1.1",
        "1.3.6.1.4.1.19376.1.2.20",
    ]
    body = first(found, "component", "nonXMLBody", "text")
    assert body is not None
    assert (body.get("mediaType"), base64.b64decode(body.text or "")) == ("application/pdf", PDF)
    event = first(found, "documentationOf", "serviceEvent")
    assert first(event, "effectiveTime", "low") is not None
    assert at_path(event, ("performer", "assignedEntity", "representedOrganization", "standardIndustryClassCode"))  # type: ignore[arg-type]
    assert first(found, "componentOf", "encompassingEncounter", "location", "healthCareFacility", "code") is not None


@pytest.mark.parametrize("media", MEDIA_TYPES)
def test_every_allowed_kind_of_content_is_embedded(media: str) -> None:
    body = first(level_1(reference(b"contenu", media)), "component", "nonXMLBody", "text")
    assert body is not None
    assert (body.get("mediaType"), base64.b64decode(body.text or "")) == (media, b"contenu")


@pytest.mark.statement("cda F98")
@pytest.mark.parametrize("media", ["application/zip", "text/html", "application/msword", "image/svg+xml"])
def test_another_kind_of_content_is_refused(media: str) -> None:
    with pytest.raises(Unprocessable, match="A CDA body is one of"):
        written(document_of(reference(b"x", media)))


def bundle() -> Json:
    """Return a FHIR document that never was a CDA, with problems, an allergy, a treatment and a result."""

    def concept(system: str, value: str, display: str) -> Json:
        return {"coding": [{"system": system, "code": value, "display": display}]}

    def at(name: str) -> Json:
        return {"reference": f"urn:uuid:{name}"}

    practice = concept(samples.SETTINGS, "AMBULATOIRE", "Ambulatoire")
    facility = concept(samples.SECTORS, "SA05", "Centre de santé")
    base = "https://dmp-fhir.example/ig/StructureDefinition"
    resources_: dict[str, Json] = {
        "patient": only(converted(document()), "Patient"),
        "doctor": {
            "resourceType": "Practitioner",
            "identifier": [{"system": "urn:oid:1.2.250.1.71.4.2.1", "value": "899700218896"}],
            "name": [{"family": "LEROY", "given": ["Camille"]}],
        },
        "place": {
            "resourceType": "Organization",
            "identifier": [{"system": "urn:oid:1.2.250.1.71.4.2.2", "value": "1750100125"}],
            "name": "Centre de santé des Lilas",
        },
        "role": {"resourceType": "PractitionerRole", "practitioner": at("doctor"), "organization": at("place")},
        "asthma": {
            "resourceType": "Condition",
            "identifier": [{"system": "urn:oid:1.2.250.1.999.8", "value": "P-1"}],
            "clinicalStatus": concept("http://terminology.hl7.org/CodeSystem/condition-clinical", "active", "Active"),
            "code": concept("http://hl7.org/fhir/sid/icd-10", "J45", "Asthme"),
            "subject": at("patient"),
            "onsetDateTime": "2001",
        },
        "allergy": {
            "resourceType": "AllergyIntolerance",
            "code": concept("http://snomed.info/sct", "387517004", "Paracétamol"),
            "patient": at("patient"),
            "criticality": "high",
        },
        "drug": {
            "resourceType": "Medication",
            "code": concept("urn:oid:1.2.250.1.213.2.3.1", "60234100", "PARACETAMOL 500 mg"),
        },
        "treatment": {
            "resourceType": "MedicationStatement",
            "status": "active",
            "medicationReference": at("drug"),
            "subject": at("patient"),
            "effectivePeriod": {"start": "2026-06-01"},
            "dosage": [
                {
                    "timing": {"repeat": {"frequency": 1, "period": 8, "periodUnit": "h"}},
                    "doseAndRate": [{"doseQuantity": {"value": 1, "unit": "{tablet}"}}],
                }
            ],
            "note": [{"text": "Si douleur"}],
        },
        "glucose": {
            "resourceType": "Observation",
            "identifier": [{"system": "urn:oid:1.2.250.1.999.8", "value": "R-1"}],
            "status": "final",
            "category": [concept("http://terminology.hl7.org/CodeSystem/observation-category", "laboratory", "L")],
            "code": concept("http://loinc.org", "2339-0", "Glycémie"),
            "subject": at("patient"),
            "effectiveDateTime": "2026-06-11T08:00:00+02:00",
            "valueQuantity": {"value": 5.1, "unit": "mmol/L", "system": "http://unitsofmeasure.org", "code": "mmol/L"},
        },
    }
    composition = {
        "resourceType": "Composition",
        "status": "final",
        "type": concept("http://loinc.org", "60591-5", "Synthèse médicale"),
        "subject": at("patient"),
        "date": "2026-06-12T10:30:00+02:00",
        "author": [at("role")],
        "title": "Synthèse médicale",
        "extension": [
            {"url": f"{base}/cda-practiceSetting", "valueCodeableConcept": practice},
            {"url": f"{base}/cda-facilityType", "valueCodeableConcept": facility},
        ],
        "section": [
            {
                "title": "Problèmes",
                "code": concept("http://loinc.org", "11450-4", "Problèmes"),
                "entry": [at("asthma")],
            },
            {
                "title": "Allergies",
                "code": concept("http://loinc.org", "48765-2", "Allergies"),
                "entry": [at("allergy")],
            },
            {"title": "Traitements", "code": concept("http://loinc.org", "10160-0", "T"), "entry": [at("treatment")]},
            {"title": "Résultats", "code": concept("http://loinc.org", "30954-2", "R"), "entry": [at("glucose")]},
        ],
    }
    everything = {"composition": composition, **resources_}
    return {
        "resourceType": "Bundle",
        "type": "document",
        "identifier": {"system": "urn:ietf:rfc:3986", "value": "urn:oid:1.2.250.1.999.7.42"},
        "timestamp": "2026-06-12T10:30:00+02:00",
        "entry": [{"fullUrl": f"urn:uuid:{name}", "resource": {**one, "id": name}} for name, one in everything.items()],
    }


@pytest.mark.statement("cda F95")
def test_a_bundle_that_never_was_a_cda_becomes_a_structured_document() -> None:
    found = written(bundle())
    assert valid(found.data)
    assert found.issues == ()
    root = clinical_document(parse(found.data))
    for name in HEADER:
        assert first(root, name) is not None, name
    assert [one.get("root") for one in root.iterchildren(tag("templateId"))][2:] == ["1.2.250.1.213.1.1.1.13"]
    roots = {one.get("root") for one in root.iter(tag("templateId"))}
    for entry_ in ("39", "37", "30", "40", "41", "172", "42", "32", "80"):
        assert f"1.2.250.1.213.1.1.3.{entry_}" in roots, entry_


def test_the_narrative_is_made_of_the_entries_when_there_is_none() -> None:
    root = clinical_document(parse(written(bundle()).data))
    texts = ["".join(str(part) for part in one.itertext()) for one in root.iter(tag("section"))]
    for text, word in zip(
        texts, ("Asthme2001", "Paracétamol", "PARACETAMOL 500 mg", "Glycémie5.1 mmol/L11/06/2026 08:00"), strict=True
    ):
        assert word in text


@pytest.mark.statement("cda F105")
def test_what_was_written_is_read_again_as_the_same_resources() -> None:
    given = parse_json(dump(bundle()))
    again = reread(given)
    kinds = {one["resource"]["resourceType"]: one["resource"] for one in again["entry"]}
    said = {one["resource"]["resourceType"]: one["resource"] for one in given["entry"]}
    for type_, names in {
        "Condition": ("code", "onsetDateTime"),
        "AllergyIntolerance": ("code", "criticality"),
        "MedicationStatement": ("status", "effectivePeriod", "note"),
        "Medication": ("code",),
        "Observation": ("identifier", "status", "code", "effectiveDateTime", "valueQuantity", "category"),
        "Composition": ("type", "date", "title"),
        "Practitioner": ("identifier", "name"),
        "Organization": ("identifier", "name"),
    }.items():
        for name in names:
            ours, theirs = copy.deepcopy(said[type_][name]), kinds[type_][name]
            if name == "category":
                assert theirs[0]["coding"][0]["code"] == ours[0]["coding"][0]["code"]
            else:
                assert _plain(theirs) == _plain(ours), (type_, name)
    dose = kinds["MedicationStatement"]["dosage"][0]
    assert str(dose["timing"]["repeat"]["period"]) == "8"
    assert kinds["Condition"]["clinicalStatus"]["coding"][0]["code"] == "active"
    assert again["identifier"] == given["identifier"]


def _plain(value: object) -> str:
    return dump({"x": value}).decode()


@pytest.mark.parametrize("what", [bundle, lambda: document_of(reference())])
def test_the_same_resources_give_the_same_bytes(what: object) -> None:
    assert callable(what)
    assert written(what()).data == written(what()).data


@pytest.mark.statement("cda F96")
def test_missing_metadata_refuse_the_conversion_each_by_its_name() -> None:
    poor = bundle()
    composition = poor["entry"][0]["resource"]
    for name in ("title", "date", "author", "extension", "subject"):
        del composition[name]
    del poor["identifier"]
    with pytest.raises(Unprocessable) as refusal:
        written(poor)
    named = {issue.expression[0] for issue in refusal.value.issues}
    assert {"Bundle.identifier", "Composition.title", "Composition.date", "Composition.custodian", "type"} <= named
    assert all(issue.code == "required" for issue in refusal.value.issues)


@pytest.mark.statement("cda F97")
@pytest.mark.parametrize("date", ["2026-06-12T10:30:00+02:00", "2026-06-12T10:30:00.250Z", "2026-06-12", "2026-06"])
def test_the_time_written_has_seconds_and_a_zone(date: str) -> None:
    given = bundle()
    given["entry"][0]["resource"]["date"] = date
    found = written(given).data
    element = first(clinical_document(parse(found)), "effectiveTime")
    assert element is not None
    value = element.get("value") or ""
    assert len(value) == 19
    assert value[14] in "+-"


@pytest.mark.statement("cda F99")
def test_an_ins_with_a_wrong_key_is_refused_on_writing_and_reported_on_reading() -> None:
    wrong = INS[:-2] + f"{(int(INS[-2:]) % 97) + 1:02d}"
    given = bundle()
    next(one for one in given["entry"] if one["fullUrl"].endswith("patient"))["resource"]["identifier"][0]["value"] = (
        wrong
    )
    with pytest.raises(Unprocessable, match="key of the INS"):
        written(given)
    found = converted(document(ids=f'<id root="1.2.250.1.213.1.4.8" extension="{wrong}"/>'))
    assert [issue.diagnostics for issue in found.issues] == ["The key of the INS is wrong."]


@pytest.mark.statement("cda F102")
def test_a_replacement_names_what_it_replaces() -> None:
    target = {"system": "urn:oid:1.2.250.1.999.7.1", "value": "2026-0"}
    found = level_1(reference(relatesTo=[{"code": "replaces", "target": {"identifier": target}}]))
    (related,) = found.iterchildren(tag("relatedDocument"))
    parent = first(related, "parentDocument", "id")
    assert parent is not None
    assert (related.get("typeCode"), parent.get("root"), parent.get("extension")) == (
        "RPLC",
        "1.2.250.1.999.7.1",
        "2026-0",
    )


@pytest.mark.statement("cda F106")
def test_a_resource_that_no_statement_says_is_reported() -> None:
    given = bundle()
    given["entry"].append({"fullUrl": "urn:uuid:flag", "resource": {"resourceType": "Flag", "id": "flag"}})
    given["entry"][0]["resource"]["section"][0]["entry"].append({"reference": "urn:uuid:flag"})
    (issue,) = written(given).issues
    assert issue.expression == ("Flag/flag",)


@pytest.mark.statement("cda F107")
def test_labels_of_codes_decide_nothing() -> None:
    act = observation(code("29463-7", displayName="Poids") + '<statusCode code="completed"/>', "E50")
    data = document(section(entry(act)))
    renamed = data.replace(b"Poids", b"Autre chose")
    one, other = (only(each, "Observation") for each in (data, renamed))
    other["code"]["coding"][0]["display"] = "Poids"
    assert one == other


def test_a_bundle_without_composition_is_refused() -> None:
    with pytest.raises(Unprocessable, match="Composition"):
        written({"resourceType": "Bundle", "type": "document", "entry": [{"resource": {"resourceType": "Patient"}}]})


@pytest.mark.parametrize(
    "data",
    [
        document(),
        unstructured(),
        document(section(entry(observation(code("1-1"), "E48")), text="")),
        document(others=""),
    ],
)
def test_our_documents_come_back_valid_with_every_fact(data: bytes) -> None:
    again = written(converted(data).bundle)
    assert valid(again.data)
    assert facts(clinical_document(parse(again.data))) == facts(clinical_document(parse(data)))


def _sources(path: Path) -> Iterator[Element]:
    yield clinical_document(parse(path.read_bytes()))


@pytest.mark.skipif(not SHARED, reason="the shared folder with the public CDA documents is absent")
@pytest.mark.statement("cda A9", "cda F104")
@pytest.mark.parametrize("share", range(8))
def test_every_public_document_is_read_as_valid_fhir_and_comes_back_with_every_fact(share: int) -> None:
    """Together they cover every model."""
    different = []
    for path in SHARED[share::8]:
        found = converted(path.read_bytes())
        (source,) = _sources(path)
        again = written(found.bundle).data
        if facts(clinical_document(parse(again))) != facts(source):
            different.append(path.name)
        if XSD.is_file() and schema().validate(etree.fromstring(etree.tostring(source))):
            assert valid(again), path.name
    assert different == []


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ('<effectiveTime nullFlavor="20200327"/>', '<effectiveTime value="20200327"/>'),
        (
            '<participant typeCode="DEV"><participantRole classCode="IND"/></participant>',
            '<participant typeCode="DEV"><participantRole/></participant>',
        ),
    ],
)
def test_what_an_old_edition_let_through_is_written_as_the_schema_wants_it(wrong: str, right: str) -> None:
    act = observation(code("1-1") + '<statusCode code="completed"/>{}', "E48")
    given, wanted = (converted(document(section(entry(act.format(each))))) for each in (wrong, right))
    again = written(given.bundle)
    assert valid(again.data)
    assert clinical_document(parse(again.data)) is not None
    assert again.data == written(wanted.bundle).data
    assert [issue.severity for issue in again.issues] == ["warning"]


def test_a_body_that_is_no_base64_is_kept_as_it_is() -> None:
    data = unstructured().replace(base64.b64encode(PDF), b"%%% no base64 %%%")
    found = converted(data)
    assert "data" not in only(found, "Binary")
    assert b"%%% no base64 %%%" in written(found.bundle).data
    assert any("not base64" in issue.diagnostics for issue in found.issues)
