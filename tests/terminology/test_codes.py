"""The packaged code tables."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from fhir_dmp import definitions
from fhir_dmp.terminology.aliases import LOINC, TRE_A08_CONFIDENTIALITY, canonical_system
from fhir_dmp.terminology.codes import VALUE_SETS, Codes

SHARED = Path(__file__).resolve().parents[2] / "../shared/data/terminology"
CODES = Codes.load(definitions.load_json)


@pytest.mark.parametrize(("value_set", "size"), [("jdv-j02", 69), ("jdv-j04", 12), ("jdv-j06", 12), ("jdv-j08", 6)])
def test_the_short_value_sets_are_complete(value_set: str, size: int) -> None:
    assert len(CODES.value_sets[value_set]) == size


@pytest.mark.parametrize("name", [*VALUE_SETS, "type-to-class", "template-to-format", "code-systems"])
def test_every_table_names_its_public_source(name: str) -> None:
    assert "https://" in definitions.load_json(f"mappings/codes/{name}.json")["source"]


def test_membership_holds_under_every_spelling_of_a_system() -> None:
    for system in ("http://terminology.hl7.org/CodeSystem/v3-Confidentiality", TRE_A08_CONFIDENTIALITY):
        assert CODES.contains("jdv-j08", system, "N")
    assert CODES.contains("jdv-j07", "urn:oid:2.16.840.1.113883.6.1", "11488-4")
    assert not CODES.contains("jdv-j07", None, "11488-4")
    assert not CODES.contains("jdv-j07", LOINC, "0000-0")


def test_labels_are_french() -> None:
    assert CODES.display("jdv-j07", LOINC, "60591-5") == "Synthèse médicale"
    assert CODES.display("jdv-j07", LOINC, "0000-0") is None


@pytest.mark.parametrize(
    ("code", "class_"), [("11488-4", "10"), ("60591-5", "11"), ("101881-1", "10"), ("0000-0", None)]
)
def test_a_type_gives_its_class(code: str, class_: str | None) -> None:
    assert CODES.class_of(LOINC, code) == class_


def test_a_signature_has_no_class() -> None:
    assert CODES.class_of(CODES.system_of("ASTM"), "E1762") is None


def test_oids_become_fhir_systems() -> None:
    assert CODES.system_of("2.16.840.1.113883.6.96") == "http://snomed.info/sct"
    assert CODES.system_of("1.2.250.1.999.1") == "urn:oid:1.2.250.1.999.1"


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared folder with the terminology facts is absent")
def test_the_tables_agree_with_the_published_facts() -> None:
    with (SHARED / "ass_x04_type_to_class.csv").open(encoding="utf-8") as lines:
        for row in csv.DictReader(lines):
            system = canonical_system(f"urn:oid:{row['type_system_oid']}")
            assert CODES.class_of(system, row["type_code"]) == row["class_code"]
    with (SHARED / "jdv_j07_type_code.csv").open(encoding="utf-8") as lines:
        for row in csv.DictReader(lines):
            assert CODES.display("jdv-j07", CODES.system_of(row["system_oid"]), row["code"]) == row["display_fr"]
