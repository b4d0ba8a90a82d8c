"""What a page refers to, and what refers to it."""

from __future__ import annotations

import pytest

from fhir_dmp.search.include import included, referring
from fhir_dmp.search.query import AnyTerm, Include, Term
from tests.search.shelf import BASE, PARIS, REGISTRY

DOCUMENT = {
    "resourceType": "DocumentReference",
    "id": "d",
    "subject": {"reference": "Patient/p"},
    "author": [
        {"reference": f"{BASE}/Practitioner/a"},
        {"reference": "Organization/o/_history/3"},
        {"reference": "#inside"},
        {"reference": "https://other.example/fhir/Practitioner/x"},
        {"identifier": {"system": "urn:oid:1.2.3", "value": "1"}},
    ],
    "contained": [{"resourceType": "Practitioner", "id": "inside"}],
    "relatesTo": [{"code": "replaces", "target": {"reference": "DocumentReference/old"}}],
}
LIST = {"resourceType": "List", "id": "l", "entry": [{"item": {"reference": "DocumentReference/d"}}]}


@pytest.mark.statement("fhir-rest E142")
@pytest.mark.parametrize(
    ("include", "found"),
    [
        (Include("DocumentReference", "author"), ("Practitioner/a", "Organization/o")),
        (Include("DocumentReference", "author", "Organization"), ("Organization/o",)),
        (Include("DocumentReference", "relatesTo"), ("DocumentReference/old",)),
        (Include("DocumentReference", "*", "Patient"), ("Patient/p",)),
        (Include("DocumentReference", "*"), ("Practitioner/a", "Organization/o", "Patient/p", "DocumentReference/old")),
        (
            Include("*", "*"),
            ("Practitioner/a", "Organization/o", "Patient/p", "DocumentReference/old", "DocumentReference/d"),
        ),
        (Include("List", "item"), ("DocumentReference/d",)),
        (Include("List", "item", reverse=True), ()),
        (Include("DocumentReference", "status"), ()),
        (Include("Patient", "organization"), ()),
    ],
)
def test_an_include_names_the_local_targets(include: Include, found: tuple[str, ...]) -> None:
    keys = included([DOCUMENT, LIST], [include], REGISTRY, base=BASE, zone=PARIS)
    assert set(keys) == set(found)
    assert len(keys) == len(found)


@pytest.mark.statement("fhir-rest E144")
def test_a_reverse_include_asks_for_what_refers_to_the_page() -> None:
    found = dict(referring(Include("List", "item", reverse=True), ["DocumentReference/d", "Patient/p"], REGISTRY))
    assert found == {"List": AnyTerm(("item=r:DocumentReference/d", "item=r:Patient/p"))}
    limited = Include("List", "item", "Patient", reverse=True)
    assert dict(referring(limited, ["DocumentReference/d", "Patient/p"], REGISTRY)) == {
        "List": Term("item=r:Patient/p")
    }
    assert dict(referring(limited, ["DocumentReference/d"], REGISTRY)) == {}


def test_a_reverse_include_of_everything_asks_each_type_that_may_refer() -> None:
    found = dict(referring(Include("*", "*", reverse=True), ["Slot/s"], REGISTRY))
    assert found["Appointment"] == AnyTerm(("slot=r:Slot/s", "supporting-info=r:Slot/s"))
    assert "Patient" not in found
