"""Business identifiers, unique keys, hashes and links of documents."""

from __future__ import annotations

import pytest

from fhir_dmp.documents.links import conditional, identifier_query, literal, resolver, rewrite, uuid_id
from fhir_dmp.documents.metadata import (
    hash_fault,
    list_kind,
    media_type,
    same_hash,
    unique_id,
    uniques,
)
from fhir_dmp.fhir.resource import Json
from fhir_dmp.terminology.sharing import is_archived
from tests.documents import build
from tests.documents.record import BASE, blob_of

UUID = "0b3cb0a6-5b1f-4b7e-9a52-0a1b2c3d4e5f"


@pytest.mark.parametrize(
    ("system", "value", "expected"),
    [
        ("urn:ietf:rfc:3986", "urn:oid:1.2.3", "urn:oid:1.2.3"),
        ("urn:ietf:rfc:3986", "1.2.3", "urn:oid:1.2.3"),
        ("urn:ietf:rfc:3986", f"urn:uuid:{UUID.upper()}", f"urn:uuid:{UUID}"),
        ("urn:oid:1.2.3", " A^7 ", "A^7"),
    ],
)
def test_a_unique_id_has_one_canonical_form(system: str, value: str, expected: str) -> None:
    document = {"resourceType": "DocumentReference", "masterIdentifier": {"system": system, "value": value}}
    assert unique_id(document) == (system, expected)
    assert uniques(document) == (f"DocumentReference|{system}|{expected}",)


def test_a_patient_holds_each_ins_in_force() -> None:
    identifiers = [
        {"system": build.INS_SYSTEM, "value": "1"},
        {"system": build.INS_SYSTEM, "value": "2", "use": "old"},
        {"system": "https://hospital.example/ipp", "value": "3"},
    ]
    assert uniques({"resourceType": "Patient", "identifier": identifiers}) == (f"Patient|{build.INS_SYSTEM}|1",)


def test_a_submission_set_holds_its_unique_id_and_a_plain_list_nothing() -> None:
    system = f"{build.MHD}/CodeSystem/IHE.MHD.MHDIdentifierType"
    identifiers = [
        {"system": "urn:ietf:rfc:3986", "value": "urn:oid:1.2"},
        {"type": {"coding": [{"system": system, "code": "uniqueId"}]}, "system": "https://x", "value": "y"},
        {
            "type": {"coding": [{"system": system, "code": "entryUUID"}]},
            "system": "urn:ietf:rfc:3986",
            "value": "urn:oid:9",
        },
        {"system": "https://x", "value": "z"},
    ]
    sent = build.submission_set(identifier=identifiers)
    assert uniques(sent) == ("List|urn:ietf:rfc:3986|urn:oid:1.2", "List|https://x|y")
    assert uniques({**sent, "code": {}}) == ()
    assert uniques({"resourceType": "Observation", "identifier": identifiers}) == ()


@pytest.mark.parametrize(
    "system", [f"{build.MHD}/CodeSystem/MHDlistTypes", "http://profiles.ihe.net/ITI/MHD/CodeSystem/MHDlistTypes"]
)
def test_list_kinds_are_known_in_both_spellings(system: str) -> None:
    assert list_kind({"code": {"coding": [{"system": system, "code": "folder"}]}}) == "folder"


@pytest.mark.parametrize(("flag", "archived"), [(True, True), (False, False), ("true", False)])
def test_the_archive_flag_is_a_boolean_extension(flag: object, archived: bool) -> None:
    url = f"{build.PDSM}/pdsm-ext-is-archived"
    assert is_archived({"extension": [{"url": url, "valueBoolean": flag}]}) is archived
    assert is_archived({}) is False


@pytest.mark.parametrize(
    ("attachment", "fault"),
    [
        ({}, None),
        ({"size": 0, "hash": "2jmj7l5rSw0yVb/vlWAYkK/YBwk="}, None),
        ({"size": 1}, "size"),
        ({"size": True}, "size"),
        ({"size": "0"}, "size"),
        ({"hash": "da39a3ee5e6b4b0d3255bfef95601890afd80709"}, "hash"),
        ({"hash": 3}, "hash"),
    ],
)
def test_hash_and_size_are_compared_with_the_bytes(attachment: Json, fault: str | None) -> None:
    assert hash_fault(attachment, blob_of(b"")) == fault


def test_hashes_are_compared_as_bytes() -> None:
    assert same_hash("2jmj7l5rSw0yVb/vlWAYkK/YBwk=", "2jmj7l5rSw0yVb/vlWAYkK/YBwk=")
    assert not same_hash("?", "?")
    assert not same_hash(None, "2jmj7l5rSw0yVb/vlWAYkK/YBwk=")


def test_a_media_type_has_no_parameters() -> None:
    assert media_type("Text/XML; charset=utf-8") == media_type("application/xml") == "application/xml"
    assert media_type(None) is None


def test_references_are_told_apart() -> None:
    assert literal(f"{BASE}/Patient/1/_history/2", BASE) == ("Patient", "1")
    assert literal("Patient/1", BASE) == ("Patient", "1")
    assert literal("https://elsewhere.example/Patient/1", BASE) is None
    assert literal("urn:uuid:1", BASE) is None
    assert conditional("Patient?identifier=a|b", BASE) == ("Patient", "identifier=a|b")
    assert conditional("Patient/1", BASE) is None


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("identifier=a|b", ("a", "b")),
        ("identifier=urn%3Aoid%3A1.2%7Cb", ("urn:oid:1.2", "b")),
        ("identifier=urn:ietf:rfc:3986|1.2.3", ("urn:ietf:rfc:3986", "urn:oid:1.2.3")),
        ("identifier=b", None),
        ("identifier=|b", None),
        ("identifier=a|b,a|c", None),
        ("identifier=a|b&status=current", None),
        ("status=current", None),
        ("", None),
    ],
)
def test_a_query_that_is_one_identifier_is_recognised(query: str, expected: tuple[str, str] | None) -> None:
    assert identifier_query(query) == expected


def test_an_entry_uuid_gives_the_logical_id() -> None:
    assert uuid_id(("urn:ietf:rfc:3986", f"urn:uuid:{UUID}")) == UUID
    assert uuid_id(("urn:ietf:rfc:3986", "urn:oid:1.2")) is None
    assert uuid_id(("urn:ietf:rfc:3986", "urn:uuid:a/b")) is None


def test_links_are_rewritten_where_they_are_links_only() -> None:
    url = f"urn:uuid:{UUID}"
    sent = {
        "identifier": [{"value": url}],
        "author": [{"reference": "#a"}],
        "subject": {"reference": f"{BASE}/Patient/1"},
        "related": [{"reference": url.upper()}],
        "note": url,
        "text": {"div": f"<div><img src='{url}'/><a href=\"#x\">{url}</a></div>"},
    }
    resolve = resolver({url: "Binary/1"}, BASE, None)
    assert rewrite(sent, resolve) == {
        "identifier": [{"value": url}],
        "author": [{"reference": "#a"}],
        "subject": {"reference": "Patient/1"},
        "related": [{"reference": "Binary/1"}],
        "note": url,
        "text": {"div": f"<div><img src='Binary/1'/><a href=\"#x\">{url}</a></div>"},
    }
    assert rewrite({"reference": f"urn:uuid:{UUID.upper()}"}, resolve) == {"reference": "Binary/1"}
