"""Classes, bindings and the sections of the citizen's view."""

from __future__ import annotations

import pytest

from fhir_dmp.documents.codes import code_warnings, section_of, with_section
from fhir_dmp.fhir.resource import Json
from tests.documents import build
from tests.documents.record import X, codes

A05 = f"{build.NOS}/TRE_A05-TypeDocComplementaire/FHIR/TRE-A05-TypeDocComplementaire"
LOINC = "http://loinc.org"


def typed(system: str, code: str, class_: str | None = None) -> Json:
    document: Json = {"type": {"coding": [{"system": system, "code": code}]}}
    if class_:
        document["category"] = [{"coding": [{"system": build.CLASSES, "code": class_}]}]
    return document


@pytest.mark.parametrize(
    ("system", "code", "section"),
    [
        (LOINC, "60591-5", "synthese"),
        (A05, "DOCPAT01", "synthese"),
        (A05, "DOCPAT08", "synthese"),
        (LOINC, "57833-6", "traitements-soins"),
        (LOINC, "80565-5", "traitements-soins"),
        (A05, "DOCPAT02", "traitements-soins"),
        (LOINC, "11488-4", "comptes-rendus"),
        (A05, "DOCPAT03", "comptes-rendus"),
        (LOINC, "18748-4", "imagerie"),
        (A05, "DOCPAT04", "imagerie"),
        (LOINC, "11502-2", "biologie"),
        (A05, "DOCPAT05", "biologie"),
        (LOINC, "11369-6", "prevention-depistage"),
        (LOINC, "96173-0", "prevention-depistage"),
        (A05, "DOCPAT06", "prevention-depistage"),
        (LOINC, "89601-9", "certificats"),
        (A05, "DOCPAT07", "certificats"),
        (A05, "REMB", "pieces-administratives"),
        (A05, "DOCPAT09", "pieces-administratives"),
        (A05, "EXPPAT_3", "expression-patient"),
        (LOINC, "74465-6", "expression-patient"),
        (LOINC, "0000-0", None),
    ],
)
def test_the_nine_sections(system: str, code: str, section: str | None) -> None:
    assert section_of(typed(system, code), codes()) == section


def test_the_class_decides_when_the_type_is_unknown() -> None:
    assert section_of(typed(LOINC, "0000-0", "31"), codes()) == "imagerie"
    assert section_of({"category": [{"coding": [{"system": build.CLASSES, "code": "99"}]}]}, codes()) is None


def test_the_section_tag_is_the_servers() -> None:
    system = f"{X}/CodeSystem/mes-rubrique"
    sent = typed(LOINC, "18748-4") | {"meta": {"tag": [{"system": system, "code": "synthese"}, {"code": "own"}]}}
    assert with_section(sent, codes(), X)["meta"] == {"tag": [{"code": "own"}, {"system": system, "code": "imagerie"}]}
    assert with_section({"meta": {"profile": []}}, codes(), X)["meta"] == {"profile": []}


def test_a_class_that_the_type_does_not_give_is_a_warning() -> None:
    (issue,) = code_warnings(typed(LOINC, "11488-4", "11"), codes(), "D")
    assert (issue.severity, issue.code, issue.expression) == ("warning", "invariant", ("D.category",))
    assert code_warnings(typed("urn:oid:2.16.840.1.113883.6.1", "11488-4", "10"), codes(), "D") == []


def test_codes_outside_their_binding_are_warnings_at_their_place() -> None:
    document = typed("https://example.org", "x", "77")
    document["context"] = {"facilityType": {"coding": [{"code": "y"}]}, "practiceSetting": {"text": "z"}}
    document["content"] = [{"format": {"system": "https://example.org", "code": "f"}}]
    assert [issue.expression[0] for issue in code_warnings(document, codes(), "D")] == [
        "D.type",
        "D.category",
        "D.context.facilityType",
        "D.content[0].format",
    ]
