"""The searches of TD3.1 (ITI-66, ITI-67) over documents and submission sets. dmp-fhir 5 and 9.7"""

from __future__ import annotations

from typing import Any

import pytest

from fhir_dmp.terminology.aliases import LOINC, MHD_LIST_TYPES, TRE_A03_CLASS
from tests.search.shelf import Shelf, asked

INS = "urn:oid:1.2.250.1.213.1.4.8"
MHD = "https://profiles.ihe.net/ITI/MHD/StructureDefinition"
STRUCTURE = "urn:oid:1.2.250.1.71.4.2.2"


def coded(system: str, code: str) -> dict[str, Any]:
    return {"coding": [{"system": system, "code": code}]}


def document(id_: str, **content: Any) -> dict[str, Any]:
    return {
        "resourceType": "DocumentReference",
        "id": id_,
        "status": "current",
        "subject": {"reference": "Patient/anouk"},
        **content,
    }


LETTER = document(
    "letter",
    masterIdentifier={"system": "urn:ietf:rfc:3986", "value": "urn:oid:1.2.250.1.999.1"},
    identifier=[{"system": "urn:ietf:rfc:3986", "value": "urn:uuid:ABCDEF00-0000-4000-8000-000000000001"}],
    type=coded(LOINC, "34133-9"),
    category=[coded(TRE_A03_CLASS, "11")],
    date="2026-03-01T09:00:00+01:00",
    securityLabel=[coded("http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "N")],
    content=[
        {
            "attachment": {"contentType": "application/pdf", "language": "fr-FR", "creation": "2026-02-27"},
            "format": {"system": "urn:oid:1.3.6.1.4.1.19376.1.2.3", "code": "urn:ihe:iti:xds-sd:pdf:2008"},
        }
    ],
    context={
        "period": {"start": "2026-02-20", "end": "2026-02-27"},
        "event": [coded("urn:oid:1.2.250.1.213.2.5", "ABCD001")],
        "facilityType": coded("urn:oid:1.2.250.1.71.4.2.4", "SA01"),
        "practiceSetting": coded("urn:oid:1.2.250.1.213.1.1.4.9", "ETABLISSEMENT"),
        "related": [{"identifier": {"system": "urn:oid:1.2.250.1.888", "value": "ACC-7"}}],
    },
)
RESULT = document(
    "result",
    status="superseded",
    type=coded(LOINC, "11502-2"),
    date="2024-01-15T09:00:00+01:00",
    content=[{"attachment": {"creation": "2024-01-14T18:00:00+01:00"}}],
    context={"period": {"start": "2024-01-14"}},
)
WRONG = document("wrong", status="entered-in-error")
DOCUMENTS = Shelf(LETTER, RESULT, WRONG)


@pytest.mark.statement("dmp-fhir 9.7/112")
def test_type_accepts_a_list_of_codes_with_their_system() -> None:
    query = f"type={LOINC}|34133-9,{LOINC}|11502-2"
    assert DOCUMENTS.find("DocumentReference", query) == ["letter", "result"]
    assert DOCUMENTS.find("DocumentReference", query + "&status=current") == ["letter"]


@pytest.mark.statement("dmp-fhir 9.7/113")
@pytest.mark.parametrize(
    "query",
    [
        f"category={TRE_A03_CLASS}|11",
        "category=11",
        "facility=https://mos.esante.gouv.fr/NOS/TRE_R02-SecteurActivite/FHIR/TRE-R02-SecteurActivite|SA01",
        "setting=ETABLISSEMENT",
        "format=http://ihe.net/fhir/ihe.formatcode.fhir/CodeSystem/formatcode|urn:ihe:iti:xds-sd:pdf:2008",
        "event=https://mos.esante.gouv.fr/NOS/CCAM|ABCD001",
        "security-label=N",
        "contenttype=application/pdf",
        "language=fr-fr",
    ],
)
def test_document_metadata_filter_as_tokens(query: str) -> None:
    assert DOCUMENTS.find("DocumentReference", query) == ["letter"]


@pytest.mark.statement("dmp-fhir 9.7/114")
def test_date_is_the_date_of_the_entry_and_creation_that_of_the_content() -> None:
    assert DOCUMENTS.find("DocumentReference", "date=2026-03-01") == ["letter"]
    assert DOCUMENTS.find("DocumentReference", "creation=2026-03-01") == []
    assert DOCUMENTS.find("DocumentReference", "creation=2026-02-27") == ["letter"]
    assert DOCUMENTS.find("DocumentReference", "creation=lt2025") == ["result"]


@pytest.mark.statement("dmp-fhir 9.7/115")
@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("period=ge2026-02-25", ["letter", "result"]),
        ("period=ge2026-02-25&period=le2026-02-25", ["letter", "result"]),
        ("period=ge2026-02-25&period=le2026-02-25&period-end:missing=false", ["letter"]),
        ("period=eb2024-01-01", []),
        ("period=sa2025", ["letter"]),
        ("period-start=2026-02-20", ["letter"]),
        ("period-start=ge2024&period-start=lt2025", ["result"]),
        ("period-start=gt2026-02-20", []),
        ("period-end=le2026-02-27", ["letter"]),
        ("period-end=lt2026-02-27", []),
    ],
)
def test_period_matches_overlapping_acts_and_its_bounds_have_parameters(query: str, found: list[str]) -> None:
    assert DOCUMENTS.find("DocumentReference", query) == found


@pytest.mark.statement("dmp-fhir 9.7/116")
@pytest.mark.parametrize(
    "value",
    [
        "urn:ietf:rfc:3986|urn:oid:1.2.250.1.999.1",
        "urn:oid:1.2.250.1.999.1",
        "urn:ietf:rfc:3986|1.2.250.1.999.1",
        "urn:ietf:rfc:3986|urn:uuid:abcdef00-0000-4000-8000-000000000001",
    ],
)
def test_a_document_is_found_by_its_unique_id_and_its_entry_uuid(value: str) -> None:
    assert DOCUMENTS.find("DocumentReference", f"identifier={value}") == ["letter"]


@pytest.mark.statement("dmp-fhir 9.7/117")
def test_a_document_is_found_by_a_reference_id_of_its_context() -> None:
    assert DOCUMENTS.find("DocumentReference", "related:identifier=urn:oid:1.2.250.1.888|ACC-7") == ["letter"]
    assert DOCUMENTS.find("DocumentReference", "related:identifier=urn:oid:1.2.250.1.999|ACC-7") == []


@pytest.mark.statement("dmp-fhir 9.7/136")
def test_a_search_by_identifier_does_not_filter_on_status() -> None:
    assert DOCUMENTS.find("DocumentReference", "patient=anouk&_id=result") == ["result"]


@pytest.mark.statement("dmp-fhir 9.7/137")
def test_an_automatic_search_over_two_years_with_several_types() -> None:
    query = f"patient=anouk&status=current&period=ge2024-06-01&type={LOINC}|34133-9,{LOINC}|11502-2"
    assert DOCUMENTS.find("DocumentReference", query) == ["letter"]


@pytest.mark.statement("dmp-fhir 9.7/129")
@pytest.mark.parametrize("query", ["date=2026-02-30", "type=a|b|c", "isArchived=peut-etre", "patient=a b"])
def test_a_malformed_value_is_refused(query: str) -> None:
    with pytest.raises(Exception, match="Search parameter") as refused:
        asked("DocumentReference", query)
    assert getattr(refused.value, "status", None) == 400


def submission_set(id_: str, code: str, **content: Any) -> dict[str, Any]:
    return {
        "resourceType": "List",
        "id": id_,
        "status": "current",
        "mode": "working",
        "code": coded("http://profiles.ihe.net/ITI/MHD/CodeSystem/MHDlistTypes", code),
        "subject": {"reference": "Patient/anouk", "identifier": {"system": INS, "value": "285047511200314"}},
        **content,
    }


LISTS = Shelf(
    submission_set(
        "set",
        "submissionset",
        title="Sortie d'hospitalisation",
        date="2026-03-01T09:00:00+01:00",
        identifier=[{"system": "urn:ietf:rfc:3986", "value": "urn:oid:1.2.250.1.999.5"}],
        extension=[
            {"url": f"{MHD}/ihe-designationType", "valueCodeableConcept": coded(TRE_A03_CLASS, "11")},
            {
                "url": f"{MHD}/ihe-sourceId",
                "valueIdentifier": {"system": "urn:ietf:rfc:3986", "value": "urn:oid:1.2.3"},
            },
        ],
        source={
            "reference": "Practitioner/pro",
            "extension": [{"url": f"{MHD}/ihe-authorOrg", "valueReference": {"reference": "Organization/org"}}],
        },
        note=[{"text": "À relire"}],
        entry=[{"item": {"reference": "DocumentReference/letter"}}],
    ),
    submission_set(
        "folder",
        "folder",
        extension=[{"url": f"{MHD}/ihe-authorOrg", "valueReference": {"reference": "#org"}}],
        source={"extension": [{"url": f"{MHD}/ihe-authorOrg", "valueReference": {"reference": "#org"}}]},
        contained=[
            {
                "resourceType": "Organization",
                "id": "org",
                "name": "Clinique des Lilas",
                "identifier": [{"system": STRUCTURE, "value": "1750100125"}],
            }
        ],
    ),
)


@pytest.mark.statement("dmp-fhir 9.7/131")
def test_submission_sets_are_found_without_the_folders() -> None:
    query = f"patient.identifier={INS}|285047511200314&code=submissionset&status=current"
    assert LISTS.find("List", query) == ["set"]
    assert LISTS.find("List", f"code={MHD_LIST_TYPES}|folder") == ["folder"]


@pytest.mark.statement("dmp-fhir 9.7/132")
@pytest.mark.statement("dmp-fhir 9.7/133")
@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("date=2026-03-01", "set"),
        ("identifier=urn:oid:1.2.250.1.999.5", "set"),
        ("title=sortie d hosp", "set"),
        ("designationType=11", "set"),
        (f"designationType={TRE_A03_CLASS}|11", "set"),
        ("sourceId=urn:ietf:rfc:3986|1.2.3", "set"),
        ("authorOrg=Organization/org", "set"),
        ("authorOrg=org", "set"),
        ("item=DocumentReference/letter", "set"),
        ("notes=a relire", "set"),
        (f"authorOrg.identifier={STRUCTURE}|1750100125", "folder"),
        (f"source.organization.identifier={STRUCTURE}|1750100125", "folder"),
        ("authorOrg.name=clinique", "folder"),
    ],
)
def test_a_list_is_found_by_each_of_its_parameters(query: str, found: str) -> None:
    assert LISTS.find("List", query) == [found]
