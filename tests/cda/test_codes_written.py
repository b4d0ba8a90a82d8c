"""Every value written is in its CI-SIS value set or in a translation; what has no place is named. [cda 6.2, 9 F103, F106]"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fhir_dmp.cda.elements import at_path, children, first, name_of, tag
from fhir_dmp.cda.generated import table
from fhir_dmp.cda.writing import Writing
from fhir_dmp.cda.xml import Element, clinical_document, parse
from fhir_dmp.errors import Unprocessable
from fhir_dmp.fhir.resource import Json
from tests.cda.making import converted, knowledge, written
from tests.cda.test_writing import bundle, valid

TERMINOLOGY = Path(__file__).resolve().parents[2] / "../shared/data/terminology"
V3 = "http://terminology.hl7.org/CodeSystem"
SNOMED = "http://snomed.info/sct"
ELSEWHERE = "urn:oid:1.2.250.1.999.55"


def concept(system: str, code: str, display: str = "") -> Json:
    """Return a CodeableConcept of one code."""
    return {"coding": [{"system": system, "code": code, **({"display": display} if display else {})}]}


def with_entries(*resources: Json, section: str = "30954-2") -> Json:
    """Return a document with these resources as the entries of one section."""
    found = bundle()
    kept = ("Composition", "Patient", "Practitioner", "PractitionerRole", "Organization")
    found["entry"] = [one for one in found["entry"] if one["resource"]["resourceType"] in kept]
    # The patient of the samples was read from a CDA; here nothing was.
    patient = next(one["resource"] for one in found["entry"] if one["resource"]["resourceType"] == "Patient")
    patient["extension"] = [one for one in patient["extension"] if not one["url"].endswith("cda-source")]
    names = [f"urn:uuid:added-{number}" for number in range(len(resources))]
    for name, one in zip(names, resources, strict=True):
        found["entry"].append(
            {"fullUrl": name, "resource": {"id": name[9:], "subject": {"reference": "urn:uuid:patient"}, **one}}
        )
    found["entry"][0]["resource"]["section"] = [
        {"title": "S", "code": concept("http://loinc.org", section), "entry": [{"reference": name} for name in names]}
    ]
    return found


def root_of(given_: Json) -> Element:
    """Return the ClinicalDocument that a document gives, valid against the schema."""
    data = written(given_).data
    assert valid(data)
    return clinical_document(parse(data))


def observed(root: Element, template: str) -> Element:
    """Return the value of the observation with a template of the CI-SIS."""
    for one in root.iter(tag("observation")):
        if any(each.get("root") == f"1.2.250.1.213.1.1.3.{template}" for each in children(one, "templateId")):
            value = first(one, "value")
            assert value is not None
            return value
    raise AssertionError(template)


PROBLEM: Json = {"resourceType": "Condition", "code": concept("http://hl7.org/fhir/sid/icd-10", "J45", "Asthme")}


@pytest.mark.statement("cda F103")
@pytest.mark.parametrize(
    ("said", "code", "others"),
    [
        ("confirmed", "confirmed", []),
        ("provisional", "unconfirmed", ["provisional"]),
        ("entered-in-error", None, ["entered-in-error"]),
    ],
)
def test_a_code_outside_the_value_set_is_written_as_its_equivalent_or_as_a_translation(
    said: str, code: str | None, others: list[str]
) -> None:
    given_ = with_entries({**PROBLEM, "verificationStatus": concept(f"{V3}/condition-ver-status", said)})
    value = observed(root_of(given_), "171")
    assert value.get("code") == code
    assert value.get("nullFlavor") == (None if code else "OTH")
    assert [one.get("code") for one in children(value, "translation")] == others
    again = converted(written(given_).data)
    (condition,) = (one["resource"] for one in again.bundle["entry"] if one["resource"]["resourceType"] == "Condition")
    assert condition["verificationStatus"]["coding"][0]["code"] == said


@pytest.mark.statement("cda F103")
def test_a_route_of_another_system_gives_way_to_that_of_edqm_and_stands_beside_it() -> None:
    treatment: Json = {
        "resourceType": "MedicationStatement",
        "status": "active",
        "medicationCodeableConcept": concept("urn:oid:1.2.250.1.213.2.3.1", "60234100", "PARACETAMOL"),
        "dosage": [{"route": concept(f"{V3}/v3-RouteOfAdministration", "PO", "Oral")}],
    }
    route = next(root_of(with_entries(treatment)).iter(tag("routeCode")))
    assert (route.get("code"), route.get("displayName")) == ("20053000", "Voie orale")
    assert [one.get("code") for one in children(route, "translation")] == ["PO"]


#: Name of the element, path from its act: the CSV of the public value sets that its code must be in.
BOUND = {
    "interpretationCode": "hl7_observation_interpretation.csv",
    "routeCode": "route_of_administration.csv",
    "priorityCode": "hl7_act_priority.csv",
    "confidentialityCode": "hl7_confidentiality_basic.csv",
    "administrativeGenderCode": "jdv_j143_gender.csv",
    "standardIndustryClassCode": "jdv_j04_practice_setting.csv",
    "functionCode": "jdv_j47_function_code.csv",
}
BOUND_ACTS = {"30": "fhir_condition_clinical.csv", "171": "fhir_condition_ver_status.csv", "29": "severity.csv",
              "172": "fhir_allergy_criticality.csv"}  # fmt: skip


def codes_of(name: str) -> set[tuple[str, str]]:
    """Return the (OID, code) pairs of a public value set."""
    with (TERMINOLOGY / name).open(encoding="utf-8") as file:
        return {(row["system_oid"], row["code"]) for row in csv.DictReader(file)}


def unbound(root: Element) -> Iterator[str]:
    """Yield each coded element whose code is neither of its value set nor only a translation."""
    for element in root.iter():
        name = BOUND.get(name_of(element)) if isinstance(element.tag, str) else None
        if name is None and isinstance(element.tag, str) and name_of(element) == "value":
            parent = element.getparent()
            roots = [str(one.get("root")) for one in children(parent, "templateId")] if parent is not None else []
            name = next((BOUND_ACTS[one.rpartition(".")[2]] for one in roots if one.rpartition(".")[2] in BOUND_ACTS
                         and one.startswith("1.2.250.1.213.1.1.3.")), None)  # fmt: skip
        if name is None:
            continue
        if element.get("code") is None:
            if element.get("nullFlavor") is None:
                yield f"{name_of(element)} says nothing"
        elif (str(element.get("codeSystem")), str(element.get("code"))) not in codes_of(name):
            yield f"{name_of(element)} {element.get('codeSystem')} {element.get('code')}"
        elif not element.get("displayName"):
            yield f"{name_of(element)} has no label"


_SYSTEMS = st.sampled_from((
    SNOMED, ELSEWHERE, f"{V3}/v3-ObservationInterpretation", f"{V3}/condition-clinical", f"{V3}/condition-ver-status",
    f"{V3}/v3-RouteOfAdministration", "http://standardterms.edqm.eu", f"{V3}/v3-ActPriority",
))  # fmt: skip
_CODES = st.sampled_from(("H", "L", "active", "resolved", "provisional", "refuted", "24484000", "255604002", "PO", "IM",
                          "20053000", "UR", "zz", "1"))  # fmt: skip
_CONCEPTS = st.lists(st.tuples(_SYSTEMS, _CODES), min_size=1, max_size=3, unique=True).map(
    lambda pairs: {"coding": [{"system": system, "code": code} for system, code in pairs]}
)


@pytest.mark.skipif(not TERMINOLOGY.is_dir(), reason="the shared folder with the public value sets is absent")
@pytest.mark.statement("cda F103")
@settings(max_examples=12, deadline=None)
@given(st.lists(_CONCEPTS, min_size=6, max_size=6), st.sampled_from(("N", "R", "V", "U", "L", "M")))
def test_whatever_the_codes_each_bound_element_has_one_of_its_value_set(said: list[Json], grade: str) -> None:
    given_ = with_entries(
        {**PROBLEM, "clinicalStatus": said[0], "verificationStatus": said[1], "severity": said[2]},
        {
            "resourceType": "Observation",
            "status": "final",
            "code": concept("http://loinc.org", "2339-0"),
            "interpretation": [said[3]],
        },
        {
            "resourceType": "MedicationStatement",
            "status": "active",
            "medicationCodeableConcept": concept(ELSEWHERE, "1"),
            "dosage": [{"route": said[4]}],
        },
        {"resourceType": "ServiceRequest", "status": "active", "intent": "order", "code": said[5], "priority": "stat"},
        {"resourceType": "AllergyIntolerance", "code": said[5], "criticality": "unable-to-assess", "patient": {}},
    )
    given_["entry"][0]["resource"]["confidentiality"] = grade
    root = root_of(given_)
    assert list(unbound(root)) == []
    stated = {(one["system"], one["code"]) for each in said for one in each["coding"]}
    present = {
        (knowledge().codes.system_of(str(one.get("codeSystem"))), str(one.get("code")))
        for one in root.iter()
        if isinstance(one.tag, str) and one.get("codeSystem")
    }
    if (f"{V3}/condition-ver-status", "refuted") in {(one["system"], one["code"]) for one in said[1]["coding"]}:
        # That it is refuted is the negation of the statement, which has no room for another code.
        stated -= {(one["system"], one["code"]) for one in said[1]["coding"]}
    known = {pair for pair in stated if knowledge().oid_of(pair[0]) is not None}
    assert known <= present


@pytest.mark.statement("cda F103")
@pytest.mark.parametrize(
    ("change", "place"),
    [
        (lambda one: one["type"]["coding"][0].update(code="99999-9"), "Composition.type"),
        (
            lambda one: one["extension"][0]["valueCodeableConcept"]["coding"][0].update(code="ZZ"),
            "Composition.extension",
        ),
        (lambda one: one["extension"][1]["valueCodeableConcept"]["coding"][0].update(code="ZZ"), "Encounter.location"),
    ],
    ids=["type", "practice setting", "facility"],
)
def test_what_the_header_cannot_leave_open_is_refused(change: Any, place: str) -> None:
    given_ = bundle()
    change(given_["entry"][0]["resource"])
    with pytest.raises(Unprocessable) as refusal:
        written(given_)
    assert [(issue.code, issue.expression) for issue in refusal.value.issues] == [("code-invalid", (place,))]


@pytest.mark.statement("cda F103")
def test_people_have_the_titles_and_specialities_of_the_ci_sis() -> None:
    given_ = bundle()
    people = {one["resource"]["resourceType"]: one["resource"] for one in given_["entry"]}
    people["Practitioner"]["name"] = [
        {"family": "LEROY", "given": ["Camille"], "prefix": ["Mme", "Dr"], "suffix": ["III"]}
    ]
    people["PractitionerRole"]["code"] = [concept("urn:oid:1.2.250.1.71.1.2.7", "10", "Médecin")]
    people["PractitionerRole"]["specialty"] = [concept("urn:oid:1.2.250.1.213.2.28", "SM26")]
    found = written(given_)
    author = first(clinical_document(parse(found.data)), "author", "assignedAuthor")
    code = first(author, "code")
    assert code is not None
    assert (code.get("code"), code.get("codeSystem")) == ("G15_10/SM26", "1.2.250.1.213.1.1.4.5")
    name = first(author, "assignedPerson", "name")
    assert name is not None
    assert [(name_of(one), one.text) for one in name if name_of(one) in ("prefix", "suffix")] == [
        ("prefix", "MME"),
        ("suffix", "DR"),
    ]
    assert any("title III" in issue.diagnostics for issue in found.issues)


def test_an_address_is_lines_or_parts_never_both() -> None:
    given_ = bundle()
    patient = next(one["resource"] for one in given_["entry"] if one["resource"]["resourceType"] == "Patient")
    patient["address"] = [{"line": ["Bâtiment B", "3 rue Haute", "Lieu-dit", "BP 4", "CS 5"], "city": "Brest"}]
    root = root_of(given_)
    (address,) = at_path(root, ("recordTarget", "patientRole", "addr"))
    assert not list(address.iterchildren(tag("streetAddressLine")))
    again = next(
        one["resource"] for one in converted(written(given_).data).bundle["entry"]
        if one["resource"]["resourceType"] == "Patient"
    )  # fmt: skip
    assert again["address"][0]["city"] == "Brest"
    assert ", ".join(again["address"][0]["line"]) == "Bâtiment B, 3 rue Haute, Lieu-dit, BP 4, CS 5"


@pytest.mark.statement("cda F106")
def test_each_element_without_a_place_is_named() -> None:
    given_ = with_entries(
        {
            **PROBLEM,
            "recorder": {"display": "x"},
            "evidence": [{"code": [concept(SNOMED, "1")]}],
            "extension": [{"url": "https://example.org/e", "valueString": "x"}],
            "bodySite": [concept(SNOMED, "39607008", "Poumon")],
        }
    )
    given_["entry"].append({"fullUrl": "urn:uuid:alone", "resource": {"resourceType": "Observation", "id": "alone"}})
    given_["entry"][0]["resource"]["relatesTo"] = [{"code": "appends", "targetIdentifier": {"value": "x"}}]
    named = {issue.expression[0] for issue in written(given_).issues}
    wanted = {
        "Condition.recorder",
        "Condition.evidence[0].code",
        "Condition.extension[0]",
        "Observation/alone",
        "Composition.relatesTo",
    }
    assert wanted <= named
    assert not {place for place in named if "bodySite" in place or place == "Condition.code"}
    assert not list(root_of(given_).iter(tag("relatedDocument")))


@pytest.mark.statement("cda F105")
def test_components_are_written_as_members_with_their_values() -> None:
    pressure: Json = {
        "resourceType": "Observation",
        "status": "final",
        "category": [concept(f"{V3}/observation-category", "vital-signs")],
        "code": concept("http://loinc.org", "85354-9", "Pression artérielle"),
        "effectiveDateTime": "2026-06-11T08:00:00+02:00",
        "component": [
            {"code": concept("http://loinc.org", code, label), "valueQuantity": {"value": value, "unit": "mm[Hg]"}}
            for code, label, value in (("8480-6", "Systolique", 135), ("8462-4", "Diastolique", 85))
        ],
    }
    found = written(with_entries(pressure, section="8716-3"))
    assert found.issues == ()
    again = converted(found.data).bundle
    values = {
        one["resource"]["code"]["coding"][0]["code"]: str(one["resource"].get("valueQuantity", {}).get("value"))
        for one in again["entry"]
        if one["resource"]["resourceType"] == "Observation"
    }
    assert (values["8480-6"], values["8462-4"]) == ("135", "85")
    assert "85354-9" in values


def test_a_name_inside_one_resource_means_nothing_in_another() -> None:
    def measured(family: str, code: str) -> Json:
        doctor = {"resourceType": "Practitioner", "id": "p1", "name": [{"family": family}]}
        return {
            "resourceType": "Observation",
            "status": "final",
            "contained": [doctor],
            "code": concept("http://loinc.org", code),
            "performer": [{"reference": "#p1"}],
            "valueInteger": 1,
        }

    root = root_of(with_entries(measured("UN", "1-1"), measured("DEUX", "2-2")))
    families = [one.text for act in root.iter(tag("performer")) for one in act.iter(tag("family"))]
    assert families[-2:] == ["UN", "DEUX"]


def test_what_no_statement_says_is_told_in_the_narrative_of_its_section() -> None:
    given_ = with_entries({"resourceType": "Flag", "status": "active", "code": {"text": "Porteur de BMR"}})
    section = given_["entry"][0]["resource"]["section"][0]
    for text in (None, {"status": "additional", "div": '<div xmlns="http://www.w3.org/1999/xhtml"><p>Vu.</p></div>'}):
        section.pop("text", None)
        section.update({"text": text} if text else {})
        narrative = next(root_of(given_).iter(tag("section")))
        said = "".join(str(one) for one in narrative.itertext())
        assert "Porteur de BMR" in said
        assert text is None or "Vu." in said


@pytest.mark.parametrize(("language", "word"), [("fr-FR", "Intitulé"), ("en-GB", "Item"), ("de", "Intitulé")])
def test_the_narrative_speaks_the_language_of_the_document(language: str, word: str) -> None:
    div = table([PROBLEM], Writing({"entry": []}, knowledge(), converted_zone()), language[:2])["div"]
    assert f"<th>{word}</th>" in div


def converted_zone() -> Any:
    """Return the zone of the tests."""
    from datetime import UTC

    return UTC


_TEXT = st.text(alphabet=st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), min_size=1, max_size=30)


@settings(max_examples=20, deadline=None)
@given(_TEXT)
def test_no_word_of_a_resource_becomes_markup_in_the_narrative(text: str) -> None:
    div = table([{"resourceType": "Flag", "code": {"text": text}, "note": [{"text": text}]}],
                Writing({"entry": []}, knowledge(), converted_zone()), "fr")["div"]  # fmt: skip
    bare = re.sub(r"</?(?:div|table|thead|tbody|tr|th|td)(?: xmlns=\"[^\"]*\")?>", "", div)
    assert "<" not in bare
