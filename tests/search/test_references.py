"""Reference and uri search. fhir-rest 6.9, 6.11"""

from __future__ import annotations

import pytest

from fhir_dmp.errors import BadRequest
from tests.search.shelf import BASE, Shelf, asked


def document(id_: str, **content: object) -> dict[str, object]:
    return {"resourceType": "DocumentReference", "id": id_, **content}


DOCUMENTS = Shelf(
    document("relative", subject={"reference": "Patient/p1"}),
    document("absolute", subject={"reference": f"{BASE}/Patient/p1"}),
    document("versioned", subject={"reference": "Patient/p1/_history/2"}),
    document("group", subject={"reference": "Group/p1"}),
    document("foreign", subject={"reference": "https://other.example/fhir/Patient/p1"}),
    document(
        "logical",
        subject={"type": "Patient", "identifier": {"system": "urn:oid:1.2.3", "value": "X9"}},
    ),
    document("empty"),
)


@pytest.mark.statement("fhir-rest D100")
@pytest.mark.statement("fhir-rest D103")
@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("subject=p1", ["relative", "absolute", "versioned", "group"]),
        ("patient=p1", ["relative", "absolute", "versioned"]),
        ("subject=Patient/p1", ["relative", "absolute", "versioned"]),
        (f"subject={BASE}/Patient/p1", ["relative", "absolute", "versioned"]),
        ("subject:Patient=p1", ["relative", "absolute", "versioned"]),
        ("subject:Group=p1", ["group"]),
        ("subject:Patient=Group/p1", []),
        ("subject=Patient/p1/_history/2", ["versioned"]),
        ("subject=Patient/p1/_history/3", []),
        ("subject=Patient/p1,Group/p1", ["relative", "absolute", "versioned", "group"]),
    ],
)
def test_a_reference_is_found_by_id_type_and_id_or_address(query: str, found: list[str]) -> None:
    assert DOCUMENTS.find("DocumentReference", query) == found


@pytest.mark.statement("fhir-rest D102")
def test_a_foreign_address_is_found_in_full_only() -> None:
    assert DOCUMENTS.find("DocumentReference", "subject=https://other.example/fhir/Patient/p1") == ["foreign"]
    assert DOCUMENTS.find("DocumentReference", "subject=https://other.example/fhir/Patient/p") == []


@pytest.mark.statement("fhir-rest D101")
@pytest.mark.parametrize("value", ["urn:oid:1.2.3|X9", "X9"])
def test_a_logical_reference_is_found_by_its_identifier(value: str) -> None:
    assert DOCUMENTS.find("DocumentReference", f"subject:identifier={value}") == ["logical"]
    assert DOCUMENTS.find("DocumentReference", f"patient:identifier={value}") == ["logical"]


def test_an_identifier_of_a_reference_keeps_its_case_and_system() -> None:
    assert DOCUMENTS.find("DocumentReference", "subject:identifier=x9") == []
    assert DOCUMENTS.find("DocumentReference", "subject:identifier=urn:oid:1.2.4|X9") == []


def test_a_contained_resource_is_never_found_by_its_id() -> None:
    shelf = Shelf(
        document("d", author=[{"reference": "#a"}], contained=[{"resourceType": "Practitioner", "id": "a"}]),
    )
    assert shelf.find("DocumentReference", "author=a") == []
    assert shelf.find("DocumentReference", "author=Practitioner/a") == []
    assert shelf.find("DocumentReference", "author:missing=false") == ["d"]


@pytest.mark.statement("fhir-rest D83")
@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("subject:missing=true", ["empty"]),
        ("type:missing=true", ["relative", "absolute", "versioned", "group", "foreign", "logical", "empty"]),
        ("type:missing=false", []),
        ("date:missing=false", []),
        ("description:missing=false", []),
        ("location:missing=false", []),
        ("_id:missing=true", []),
    ],
)
def test_missing_looks_at_the_whole_element(query: str, found: list[str]) -> None:
    assert DOCUMENTS.find("DocumentReference", query) == found


def test_missing_is_true_or_false() -> None:
    with pytest.raises(BadRequest):
        asked("DocumentReference", "subject:missing=yes")


@pytest.mark.parametrize("query", ["subject:Binary=1", "subject=a b", "subject=#p1", "subject:above=x"])
def test_a_reference_that_cannot_be_is_refused(query: str) -> None:
    with pytest.raises(BadRequest):
        asked("DocumentReference", query)


PROFILED = Shelf(
    document("v1", meta={"profile": ["http://x.example/fhir/profile/a|1.0"]}),
    document("v2", meta={"profile": ["http://x.example/fhir/profile/a|2.0"]}),
    document("bare", meta={"profile": ["http://x.example/fhir/profile/a"]}),
    document("other", meta={"profile": ["http://x.example/fhir/profile/ab"], "source": "urn:oid:1.2.3.4"}),
)


@pytest.mark.statement("fhir-rest D104")
def test_a_canonical_is_found_with_and_without_its_version() -> None:
    assert PROFILED.find("DocumentReference", "_profile=http://x.example/fhir/profile/a") == ["v1", "v2", "bare"]
    assert PROFILED.find("DocumentReference", "_profile=http://x.example/fhir/profile/a|2.0") == ["v2"]


@pytest.mark.statement("fhir-rest D112")
@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("_profile:below=http://x.example/fhir/profile", ["v1", "v2", "bare", "other"]),
        ("_profile:below=http://x.example/fhir/profile/a", ["v1", "v2", "bare"]),
        ("_profile:below=http://x.example/fhir/pro", []),
        ("_profile:above=http://x.example/fhir/profile/ab/c/d", ["other"]),
        ("_profile=HTTP://x.example/fhir/profile/a", []),
        ("_source=urn:oid:1.2.3.4", ["other"]),
        ("_source:below=urn:oid:1.2.3", []),
        ("_source:above=urn:oid:1.2.3.4.5", []),
    ],
)
def test_a_uri_is_exact_and_hierarchical_on_request(query: str, found: list[str]) -> None:
    assert PROFILED.find("DocumentReference", query) == found


@pytest.mark.statement("fhir-rest D82")
def test_tags_labels_profiles_and_source_are_searched() -> None:
    shelf = Shelf(
        document(
            "d",
            meta={
                "tag": [{"system": "http://x.example", "code": "t"}],
                "security": [{"code": "R"}],
                "profile": ["http://x.example/p"],
                "source": "http://x.example/s",
            },
        ),
        document("e"),
    )
    query = "_tag=http://x.example|t&_security=r&_profile=http://x.example/p&_source=http://x.example/s"
    assert shelf.find("DocumentReference", query) == ["d"]
    assert shelf.find("DocumentReference", "_tag:missing=true") == ["e"]
