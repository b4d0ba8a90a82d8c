"""Labels as a set: recognition under every spelling, order, one base."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_dmp.documents.labels import LabelContext, base_label, ordered, read, set_issues, visibility_label
from fhir_dmp.fhir.resource import Json
from tests.documents import build
from tests.documents.record import rules

MISSPELT = f"{build.NOS}/TRE_A07-StatusVisibiliteDocument/FHIR/TRE-A07-StatusVisibiliteDocument"


def label(system: str, code: str) -> Json:
    return {"coding": [{"system": system, "code": code}]}


@pytest.mark.parametrize(
    ("concept", "kind", "code"),
    [
        (label(build.VISIBILITY, "MASQUE_PS"), "visibility", "MASQUE_PS"),
        (label(MISSPELT, "MASQUE_PS"), "visibility", "MASQUE_PS"),
        (label("urn:oid:1.2.250.1.213.1.1.4.13", "INVISIBLE_PATIENT"), "visibility", "INVISIBLE_PATIENT"),
        (label(build.CONFIDENTIALITY, "N"), "base", "N"),
        (label("urn:oid:2.16.840.1.113883.5.25", "R"), "base", "R"),
        (label(build.VISIBILITY, "N"), "base", "N"),
        (label("https://example.org", "N"), "other", "N"),
        ({}, "other", ""),
        (
            {
                "coding": [
                    {"system": "https://example.org", "code": "x"},
                    {"system": build.CONFIDENTIALITY, "code": "V"},
                ]
            },
            "base",
            "V",
        ),
    ],
)
def test_a_label_is_recognised_in_every_spelling(concept: Json, kind: str, code: str) -> None:
    found = read(concept)
    assert (found.kind, found.code, found.concept) == (kind, code, concept)


def test_the_stored_order_is_visibility_then_others_then_base() -> None:
    other = label("https://example.org", "x")
    sent = [base_label("R"), other, visibility_label("MASQUE_PS"), visibility_label("INVISIBLE_PATIENT")]
    assert ordered(sent) == [sent[2], sent[3], other, sent[0]]
    assert ordered(sent, recent=("INVISIBLE_PATIENT",)) == [sent[3], sent[2], other, sent[0]]


def test_the_first_spelling_of_a_label_stays() -> None:
    twice = [label(MISSPELT, "MASQUE_PS"), visibility_label("MASQUE_PS"), base_label()]
    assert ordered(twice) == [twice[0], twice[2]]


@given(st.lists(st.sampled_from([visibility_label("MASQUE_PS"), visibility_label("X"), base_label(), base_label("V")])))
def test_ordering_twice_changes_nothing(concepts: list[Json]) -> None:
    once = ordered(concepts)
    assert ordered(once) == once
    assert read(once[-1]).kind == "base"


def warnings(*concepts: Json) -> list[tuple[str, str]]:
    found = set_issues({"securityLabel": list(concepts)}, LabelContext(rules(), None), "D")
    return [(issue.severity, issue.expression[0]) for issue in found]


@pytest.mark.parametrize(
    ("concept", "severity"),
    [
        (label(build.VISIBILITY, "N"), "warning"),
        (label(build.VISIBILITY, "MASQUE_PT"), "warning"),
        (label("https://example.org", "x"), "warning"),
        (label(build.VISIBILITY, "masque_ps"), "error"),
    ],
)
def test_odd_labels_warn_and_unknown_ones_are_refused(concept: Json, severity: str) -> None:
    assert warnings(base_label(), concept)[0] == (severity, "D.securityLabel[1]")
    assert warnings(base_label()) == []


def test_an_unknown_age_does_not_refuse() -> None:
    assert warnings(base_label(), visibility_label("INVISIBLE_REPRESENTANTS_LEGAUX")) == []
