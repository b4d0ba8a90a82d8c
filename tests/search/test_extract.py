"""Extraction: the terms of a document, of every example resource, and of what is malformed."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_dmp.fhir.dates import NEVER, instant
from fhir_dmp.fhir.path import compile_path
from fhir_dmp.fhir.resource import Json, parse
from fhir_dmp.search.reading import first_elements, opened, reader_of
from fhir_dmp.search.values import number_range, quantity_spans
from tests.search.shelf import REGISTRY, Shelf, terms

SHARED = Path(__file__).resolve().parents[2] / "../shared/data"
ARCHIVED = "https://interop.esante.gouv.fr/ig/fhir/pdsm/StructureDefinition/pdsm-ext-is-archived"

DOCUMENT: Json = {
    "resourceType": "DocumentReference",
    "id": "d",
    "meta": {"tag": [{"code": "t"}]},
    "text": {"status": "generated", "div": "<div><p>Bilan&#233; de <b>l'été</b></p></div>"},
    "masterIdentifier": {"system": "urn:ietf:rfc:3986", "value": "urn:oid:1.2.3"},
    "status": "current",
    "type": {"coding": [{"system": "http://loinc.org", "code": "11488-4", "display": "Consult note"}]},
    "subject": {"reference": "Patient/anouk"},
    "date": "2024-05-10T10:00:00+02:00",
    "author": [{"reference": "Patient/basile"}, {"reference": "Practitioner/pro"}],
    "description": "Compte rendu",
    "content": [{"attachment": {"contentType": "application/pdf", "url": "Binary/b", "creation": "2024-05"}}],
    "context": {"period": {"start": "2024-05-09"}},
}


def test_a_document_has_these_terms_and_no_others() -> None:
    found = terms(DOCUMENT)
    assert sorted(token for token in found.tokens if not token.endswith("=0")) == sorted(
        [
            "_tag=n:t",
            "_tag=c:t",
            "identifier=s:urn:ietf:rfc:3986|urn:oid:1.2.3",
            "identifier=c:urn:oid:1.2.3",
            "identifier=y:urn:ietf:rfc:3986",
            "status=c:current",
            "type=s:http://loinc.org|11488-4",
            "type=c:11488-4",
            "type=y:http://loinc.org",
            "subject=r:Patient/anouk",
            "patient=r:Patient/anouk",
            "author=r:Patient/basile",
            "author=r:Practitioner/pro",
            "description=e:Compte rendu",
            "contenttype=c:application/pdf",
            "location=u:Binary/b",
            "isArchived=c:false",
            "_compartment=r:Patient/anouk",
            "_compartment=r:Patient/basile",
            "_compartment=r:Practitioner/pro",
        ]
    )
    assert {token for token in found.tokens if token.endswith("=0")} >= {"custodian=0", "category=0", "_profile=0"}
    assert found.strings == (
        ("description", "compte rendu"),
        ("location", "Binary/b"),
        ("type#", "consult"),
        ("type#", "note"),
    )
    spans = {key: (instant(int(low)), None if high == NEVER else instant(int(high))) for key, low, high in found.spans}
    assert spans == {
        "creation": ("2024-04-30T22:00:00.000Z", "2024-05-31T22:00:00.000Z"),
        "date": ("2024-05-10T08:00:00.000Z", "2024-05-10T08:00:01.000Z"),
        "period": ("2024-05-08T22:00:00.000Z", None),
        "period-start": ("2024-05-08T22:00:00.000Z", "2024-05-09T22:00:00.000Z"),
    }
    assert found.patient == "Patient/anouk"
    assert found.date == 1_715_328_000_000
    assert {code: found.sort[code] for code in ("date", "type")} == {
        "date": (1_715_328_000_000, 1_715_328_001_000),
        "type": ("11488-4", "11488-4"),
    }


@pytest.mark.statement("fhir-rest D122")
def test_narrative_and_content_are_full_text() -> None:
    found = dict(terms(DOCUMENT, content="Hémoglobine 13 g/dL").words)
    assert found["_text"] == "bilane de l ete"
    assert found["_content"] == "consult note compte rendu bilane de l ete hemoglobine 13 gdl"
    assert Shelf(DOCUMENT).find("DocumentReference", "_text=BILAN été") == ["d"]
    assert Shelf(DOCUMENT).find("DocumentReference", "_text=consult") == []
    assert Shelf(DOCUMENT).find("DocumentReference", "_content=consult compte") == ["d"]


@pytest.mark.statement("dmp-fhir 9.7/118")
def test_a_document_without_the_extension_is_not_archived() -> None:
    archived = {**DOCUMENT, "id": "a", "extension": [{"url": ARCHIVED, "valueBoolean": True}]}
    back = {**DOCUMENT, "id": "b", "extension": [{"url": ARCHIVED, "valueBoolean": False}]}
    shelf = Shelf(DOCUMENT, archived, back)
    assert shelf.find("DocumentReference", "isArchived=false") == ["d", "b"]
    assert shelf.find("DocumentReference", "isArchived=true") == ["a"]
    assert Shelf({"resourceType": "List", "id": "l"}).find("List", "isArchived=false") == ["l"]


def test_values_of_several_entries_sort_by_the_lowest_and_the_highest() -> None:
    codes = [{"coding": [{"code": code}]} for code in ("M", "b", "Z")]
    found = terms({"resourceType": "DocumentReference", "category": codes, "content": []})
    assert found.sort["category"] == ("b", "z")
    names = [{"family": "Zola"}, {"family": "Élie"}]
    assert terms({"resourceType": "Patient", "name": names}).sort["family"] == ("elie", "zola")


def test_a_patient_belongs_to_its_own_record() -> None:
    found = terms({"resourceType": "Patient", "id": "p"})
    assert found.patient == "Patient/p"
    assert "_compartment=r:Patient/p" in found.tokens


def test_a_range_and_a_ratio_of_numbers_are_intervals() -> None:
    assert number_range({"low": {"value": 1}, "high": {"value": 2}}) == (1.0, math.nextafter(2.0, 3.0))
    spans = quantity_spans({"low": {"value": 1, "code": "g", "system": "http://unitsofmeasure.org"}})
    assert spans["|http://unitsofmeasure.org|g"] == (1.0, 2.0**62)
    assert quantity_spans({"numerator": {"value": 1}}) == {}
    assert quantity_spans({"value": 5, "currency": "EUR"})["|urn:iso:std:iso:4217|EUR"][0] == 5.0


KEYS = """reference identifier system value coding code text start id url type attachment resourceType extension low
period event display name"""
NAMES = """subject type author date content context relatesTo contained identifier masterIdentifier extension meta text
id description securityLabel code component valueQuantity"""
JUNK = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=8)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(KEYS.split()), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(NAMES.split()), JUNK, max_size=6))
def test_no_shape_of_content_makes_extraction_crash(content: dict[str, Any]) -> None:
    terms({**content, "resourceType": "DocumentReference"})


@given(st.sampled_from(("DocumentReference", "Observation")), st.dictionaries(st.sampled_from(NAMES.split()), JUNK))
def test_a_parameter_finds_nothing_where_its_first_elements_are_absent(type_: str, content: dict[str, Any]) -> None:
    resource = {**content, "resourceType": type_}
    for parameter in REGISTRY.of(type_):
        firsts = first_elements(parameter.expression) if parameter.expression else None
        if firsts is not None and not firsts & resource.keys():
            assert not reader_of(parameter.expression)(opened(resource)), parameter.code


def examples() -> Iterator[Json]:
    """Yield the shared example resources, and those inside their bundles."""
    for folder in ("r4-examples", "pdsm4dmp-examples"):
        for path in sorted((SHARED / folder).glob("*.json")):
            resource = parse(path.read_bytes())
            yield resource
            for entry in resource.get("entry", []) if resource["resourceType"] == "Bundle" else []:
                if "resource" in entry:
                    yield entry["resource"]


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared example resources are absent")
def test_readers_find_what_plain_fhirpath_finds_in_every_example() -> None:
    for resource in examples():
        for parameter in REGISTRY.of(resource["resourceType"]):
            if parameter.expression:
                found = reader_of(parameter.expression)(opened(resource))
                expected = compile_path(parameter.expression).values(resource)
                # FHIRPath keeps one of two equal values (1.0 and 1.00), the readers both.
                assert _distinct(found) == _distinct(expected), (resource["resourceType"], parameter.code)
                firsts = first_elements(parameter.expression)
                assert not found or firsts is None or firsts & resource.keys(), (
                    resource["resourceType"],
                    parameter.code,
                )


def _distinct(values: list[Any]) -> set[str]:
    return {json.dumps(value, default=float, sort_keys=True) for value in values}


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared example resources are absent")
def test_every_example_has_terms_and_is_found_by_them() -> None:
    count = 0
    for resource in examples():
        found = terms(resource)
        if resource.get("id"):
            codes = {token.partition("=")[0] for token in found.tokens}
            assert codes
            count += 1
    assert count > 70


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared example resources are absent")
def test_the_published_submission_is_found_by_its_metadata() -> None:
    bundle = parse((SHARED / "pdsm4dmp-examples/Bundle-example-td2-iti65-lot-soumission.json").read_bytes())
    resources = [{"id": f"r{n}", **entry["resource"]} for n, entry in enumerate(bundle["entry"])]
    shelf = Shelf(*resources)
    (document,) = [part["id"] for part in resources if part["resourceType"] == "DocumentReference"]
    (submission,) = [part["id"] for part in resources if part["resourceType"] == "List"]
    doctor = "urn:oid:1.2.250.1.71.4.2.1|899700218896"
    assert shelf.find("DocumentReference", f"author.identifier={doctor}&authenticator.identifier={doctor}") == [
        document
    ]
    assert shelf.find("DocumentReference", "type=http://loinc.org|11488-4&setting:text=general") == [document]
    assert shelf.find("List", "code=submissionset&status=current&designationType=11") == [submission]
    assert shelf.find("List", "code=folder") == []
    assert shelf.find("List", "sourceId=urn:oid:1.2.3.4.5.6.7.8") == [submission]
