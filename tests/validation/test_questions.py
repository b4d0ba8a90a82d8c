"""Constraints that ask about profiles and value sets: `conformsTo`, `memberOf`, and the variables that name HL7's."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fhir_dmp import definitions
from fhir_dmp.fhir.path import PathError, PathSyntaxError, compile_path
from fhir_dmp.fhir.resource import Json
from fhir_dmp.validation.conformance import Profiles, judge

X = "http://example.org/StructureDefinition/x"
OWN = list(definitions.conformance())
KNOWN = definitions.profiles(OWN)
VISIT = "https://hl7.fr/ig/fhir/core/StructureDefinition/fr-core-encounter"
STATS = "https://profiles.ihe.net/ITI/MHD/ValueSet/DocumentReferenceStats"
GENDER = "http://hl7.org/fhir/ValueSet/administrative-gender"
UNITS = "https://dmp-fhir.example/ig/ValueSet/units-weight"


def asking(expression: str, type_: str = "Patient", **element: Json) -> Profiles:
    """Return the profiles with one more, whose only statement is a constraint (and another element)."""
    constraint = {"key": "x-1", "severity": "error", "human": "As asked.", "expression": expression}
    made: Json = {
        "resourceType": "StructureDefinition",
        "url": X,
        "name": "X",
        "status": "active",
        "kind": "resource",
        "abstract": False,
        "type": type_,
        "baseDefinition": f"http://hl7.org/fhir/StructureDefinition/{type_}",
        "derivation": "constraint",
        "differential": {"element": [{"id": type_, "path": type_, "constraint": [constraint]}, *element.values()]},
    }
    return definitions.profiles([*OWN, made])


def verdict(resource: Json, profiles: Profiles) -> str:
    """Return "broken", "open" (the question could not be answered) or "kept"."""
    for issue in judge(resource, profiles, (X,)):
        if issue.details and issue.details[0].code.endswith("#x-1"):
            return "broken"
        if issue.code == "not-supported" and "x-1" in issue.diagnostics:
            return "open"
    return "kept"


def patient(**more: Json | list[Json] | str) -> Json:
    return {"resourceType": "Patient", **more}


UUID = "https://profiles.ihe.net/ITI/MHD/StructureDefinition/IHE.MHD.EntryUUID.Identifier"
ENTRY: Json = {
    "type": {
        "coding": [
            {"system": "https://profiles.ihe.net/ITI/MHD/CodeSystem/IHE.MHD.MHDIdentifierType", "code": "entryUUID"}
        ]
    },
    "system": "urn:ietf:rfc:3986",
    "value": "urn:uuid:0f0e0d0c-0b0a-4908-8706-050403020100",
}
CONTACT: Json = {
    "resourceType": "Encounter",
    "id": "e",
    "identifier": [{"type": {"text": "x"}, "system": "http://example.org/visits", "value": "1"}],
    "status": "finished",
    "class": {"code": "AMB"},
    "period": {"start": "2026-01-02"},
}
NAMELESS = {key: value for key, value in CONTACT.items() if key != "identifier"}
LINK = {"extension": [{"url": "http://example.org/visit", "valueReference": {"reference": "#e"}}]}
ELSEWHERE = {"extension": [{"url": "http://example.org/visit", "valueReference": {"reference": "Encounter/7"}}]}
IS_FRENCH = f"extension('http://example.org/visit').value.resolve().all(conformsTo('{VISIT}'))"


@pytest.mark.parametrize(
    ("expression", "resource", "wanted"),
    [
        (IS_FRENCH, patient(contained=[CONTACT], **LINK), "kept"),
        (IS_FRENCH, patient(contained=[NAMELESS], **LINK), "broken"),
        (IS_FRENCH, patient(contained=[{"resourceType": "Device", "id": "e"}], **LINK), "broken"),
        (IS_FRENCH, patient(**ELSEWHERE), "open"),
        (f"identifier.all(conformsTo('{UUID}'))", patient(identifier=[ENTRY]), "kept"),
        (f"identifier.all(conformsTo('{UUID}'))", patient(identifier=[{**ENTRY, "value": "1"}]), "broken"),
        (f"name.all(conformsTo('{UUID}'))", patient(name=[{"family": "Fictif"}]), "broken"),
        (IS_FRENCH, patient(), "kept"),
        ("conformsTo('http://hl7.org/fhir/StructureDefinition/Patient')", patient(), "kept"),
        ("conformsTo('http://hl7.org/fhir/StructureDefinition/Group')", patient(), "broken"),
        ("conformsTo('http://hl7.org/fhir/StructureDefinition/DomainResource')", patient(), "kept"),
        ("conformsTo('http://example.org/unknown')", patient(), "open"),
        (f"conformsTo('{X}') or true", patient(), "kept"),
    ],
)
def test_conforms_to_judges_a_node_by_another_profile(expression: str, resource: Json, wanted: str) -> None:
    assert verdict(resource, asking(expression)) == wanted


@pytest.mark.parametrize(
    ("expression", "resource", "wanted"),
    [
        (f"gender.memberOf('{GENDER}')", patient(gender="female"), "kept"),
        (f"gender.memberOf('{STATS}')", patient(gender="female"), "broken"),
        (f"gender.memberOf('{STATS}')", patient(), "kept"),
        ("gender.memberOf('http://example.org/unknown')", patient(gender="female"), "open"),
        ("gender.memberOf(%`vs-administrative-gender`)", patient(gender="female"), "kept"),
        (f"name.memberOf('{GENDER}')", patient(name=[{"family": "female"}]), "broken"),
    ],
)
def test_member_of_asks_the_loaded_terminology(expression: str, resource: Json, wanted: str) -> None:
    assert verdict(resource, asking(expression)) == wanted


_codes = st.sampled_from(["kg", "g", "[lb_av]", "st", ""])
_systems = st.sampled_from(["http://unitsofmeasure.org", "http://example.org/units"])


@settings(max_examples=40, deadline=None)
@given(_codes, _systems, st.booleans())
def test_member_of_agrees_with_a_required_binding(code: str, system: str, listed: bool) -> None:
    coding = {"system": system, "code": code or "x"}
    element = {
        "id": "Observation.value[x]",
        "path": "Observation.value[x]",
        "type": [{"code": "CodeableConcept"}],
        "binding": {"strength": "required", "valueSet": UNITS},
    }
    profiles = asking(f"value.coding.memberOf('{UNITS}')" if listed else f"value.memberOf('{UNITS}')", "Observation")
    bound = asking("true", "Observation", value=element)
    body = {"resourceType": "Observation", "status": "final", "code": {"text": "x"}}
    body["valueCodeableConcept"] = {"coding": [coding]}
    broken = any(coding.code.endswith("#binding") for issue in judge(body, bound, (X,)) for coding in issue.details)
    assert (verdict(body, profiles) == "broken") is broken


@pytest.mark.parametrize("expression", ["conformsTo('http://example.org/x')", "code.memberOf('http://example.org/x')"])
def test_only_constraints_of_profiles_may_ask(expression: str) -> None:
    with pytest.raises(PathSyntaxError, match="not offered here"):
        compile_path(expression)
    with pytest.raises(PathError, match="nobody here"):
        compile_path(expression, questions=True).values({"resourceType": "Basic", "code": {"text": "x"}})
