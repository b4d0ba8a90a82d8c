"""Every kind of statement that an ElementDefinition can make, kept once and broken once."""

from __future__ import annotations

import json
from typing import Any

import pytest

from fhir_dmp.fhir.resource import Json, parse
from fhir_dmp.validation.conformance import judge
from tests.validation.test_conformance import X, profile

UNITS = "https://dmp-fhir.example/ig/ValueSet/units-weight"
STATS = "https://profiles.ihe.net/ITI/MHD/ValueSet/DocumentReferenceStats"
UUID = "https://profiles.ihe.net/ITI/MHD/StructureDefinition/IHE.MHD.EntryUUID.Identifier"
VISIT = "https://hl7.fr/ig/fhir/core/StructureDefinition/fr-core-encounter"
E1, E2 = "http://example.org/e1", "http://example.org/e2"


def el(id_: str, **more: Any) -> Json:
    """Return an element of a differential; the path and the slice follow from the id."""
    path = ".".join(step.partition(":")[0] for step in id_.split("."))
    named = {"sliceName": id_.rpartition(":")[2]} if ":" in id_.rpartition(".")[2] else {}
    return {"id": id_, "path": path, **named, **more}


def sliced(id_: str, *by: tuple[str, str], rules: str = "open", **more: Any) -> Json:
    discriminators = [{"type": kind, "path": path} for kind, path in by]
    return el(id_, slicing={"discriminator": discriminators, "ordered": False, "rules": rules}, **more)


def patient(**more: Any) -> Json:
    return {"resourceType": "Patient", **more}


def observation(**more: Any) -> Json:
    return {"resourceType": "Observation", "status": "final", "code": {"text": "x"}, **more}


def bundle(*entries: Json) -> Json:
    return {"resourceType": "Bundle", "type": "collection", "entry": list(entries)}


def questionnaire(**inner: Any) -> Json:
    item = {"linkId": "1", "type": "group", "item": [{"linkId": "1.1", "type": "display", **inner}]}
    return {"resourceType": "Questionnaire", "status": "draft", "item": [{**item, "prefix": "A"}]}


def mass(code: str, system: str = "http://unitsofmeasure.org") -> Json:
    return observation(valueQuantity={"value": 1, "system": system, "code": code})


def link(reference: str) -> Json:
    return {"other": {"reference": reference}, "type": "seealso"}


ENTRY = {
    "type": {
        "coding": [
            {"system": "https://profiles.ihe.net/ITI/MHD/CodeSystem/IHE.MHD.MHDIdentifierType", "code": "entryUUID"}
        ]
    },
    "system": "urn:ietf:rfc:3986",
    "value": "urn:uuid:0f0e0d0c-0b0a-4908-8706-050403020100",
}
CONTAINED = {"contained": [{"resourceType": "Patient", "id": "in"}]}
QUANTITY = [{"code": "Quantity"}]
TYPED = [
    sliced("Observation.value[x]", ("type", "$this"), type=[*QUANTITY, {"code": "string"}]),
    el("Observation.value[x]:valueQuantity", type=QUANTITY),
    el("Observation.value[x]:valueQuantity.code", min=1),
]
EXISTING = [
    sliced("Patient.telecom", ("exists", "period"), rules="closed"),
    el("Patient.telecom:former", min=0, max="1"),
    el("Patient.telecom:former.period", min=1),
    el("Patient.telecom:former.use", patternCode="old", min=1),
    el("Patient.telecom:current", min=0, max="*"),
    el("Patient.telecom:current.period", max="0"),
]
PROFILED = [
    sliced("Bundle.entry", ("profile", "resource"), rules="closed"),
    el("Bundle.entry:visit", min=1, max="1"),
    el("Bundle.entry:visit.resource", type=[{"code": "Encounter", "profile": [VISIT]}]),
    el("Bundle.entry:person", min=0, max="1"),
    el("Bundle.entry:person.resource", type=[{"code": "Patient"}]),
]
BY_TARGET = [
    sliced("Patient.generalPractitioner", ("type", "resolve()"), rules="closed"),
    el(
        "Patient.generalPractitioner:place",
        min=0,
        max="1",
        type=[{"code": "Reference", "targetProfile": ["http://hl7.org/fhir/StructureDefinition/Organization"]}],
    ),
]
BY_EXTENSION = [
    sliced("Patient.name", ("value", f"extension('{E1}').value")),
    el("Patient.name:first", min=1, max="1"),
    el("Patient.name:first.extension", slicing={"discriminator": [{"type": "value", "path": "url"}], "rules": "open"}),
    el("Patient.name:first.extension:kind", min=1, max="1", type=[{"code": "Extension", "profile": [E1]}]),
    el("Patient.name:first.extension:kind.value[x]", min=1, fixedCode="first", type=[{"code": "code"}]),
]
NESTED = [
    sliced("Patient.identifier", ("pattern", "type")),
    el("Patient.identifier:a", min=0, max="2"),
    el("Patient.identifier:a.type", min=1, patternCodeableConcept={"coding": [{"code": "A"}]}),
    el("Patient.identifier:a.system", min=1),
]
VISIT_BODY: Json = {
    "resourceType": "Encounter",
    "identifier": [{"type": {"text": "x"}, "system": "http://example.org/v", "value": "1"}],
    "status": "finished",
    "class": {"code": "AMB"},
    "period": {"start": "2026-01-02"},
}


def first(*codes: str) -> Json:
    return patient(name=[{"extension": [{"url": E1, "valueCode": code}], "family": "x"} for code in codes])


#: What is stated -> (elements, a resource that keeps it, one that breaks it, the rule that tells).
STATEMENTS: dict[str, tuple[list[Json], Json, Json, str]] = {
    "maxLength": (
        [el("Patient.name.family", maxLength=3)],
        patient(name=[{"family": "Abc"}]),
        patient(name=[{"family": "Abcd"}]),
        "Patient.name.family#maxLength",
    ),
    "minValue of a date": (
        [el("Patient.birthDate", minValueDate="2000-01-01")],
        patient(birthDate="2000-01-01"),
        patient(birthDate="1999-12-31"),
        "Patient.birthDate#minValue",
    ),
    "maxValue of a number": (
        [el("Patient.multipleBirth[x]", maxValueInteger=3)],
        patient(multipleBirthInteger=3),
        patient(multipleBirthInteger=4),
        "Patient.multipleBirth[x]#maxValue",
    ),
    "maxValue of a part of a quantity": (
        [el("Observation.value[x]", type=QUANTITY), el("Observation.value[x].value", maxValueDecimal=9.5)],
        observation(valueQuantity={"value": 9.5}),
        observation(valueQuantity={"value": 9.51}),
        "Observation.value[x].value#maxValue",
    ),
    "contentReference": (
        [el("Questionnaire.item.prefix", min=1)],
        questionnaire(prefix="B"),
        questionnaire(),
        "Questionnaire.item.prefix#min",
    ),
    "required binding of a quantity's unit": (
        [el("Observation.value[x]", type=QUANTITY, binding={"strength": "required", "valueSet": UNITS})],
        mass("kg"),
        mass("st"),
        "Observation.value[x]#binding",
    ),
    "slices by type": (
        TYPED,
        mass("kg"),
        observation(valueQuantity={"value": 1}),
        "Observation.value[x]:valueQuantity.code#min",
    ),
    "types of a choice": (
        TYPED,
        observation(valueString="x"),
        observation(valueBoolean=True),
        "Observation.value[x]#type",
    ),
    "slices by what exists": (
        EXISTING,
        patient(telecom=[{"use": "old", "period": {"start": "2020"}}, {"value": "1", "system": "phone"}]),
        patient(telecom=[{"use": "home", "period": {"start": "2020"}}]),
        "Patient.telecom:former.use#pattern",
    ),
    "how often a slice by what exists": (
        EXISTING,
        patient(telecom=[{"use": "old", "period": {"start": "2020"}}]),
        patient(telecom=[{"use": "old", "period": {"start": "2020"}}] * 2),
        "Patient.telecom:former#max",
    ),
    "slices by profile": (
        PROFILED,
        bundle({"resource": VISIT_BODY}),
        bundle({"resource": patient()}),
        "Bundle.entry:visit#min",
    ),
    "a closed list of slices by profile": (
        PROFILED,
        bundle({"resource": VISIT_BODY}, {"resource": patient()}),
        bundle({"resource": VISIT_BODY}, {"resource": {"resourceType": "Basic", "code": {"text": "x"}}}),
        "Bundle.entry#slicing",
    ),
    "slices by the type of a target": (
        BY_TARGET,
        patient(generalPractitioner=[{"reference": "Organization/1"}]),
        patient(generalPractitioner=[{"reference": "Practitioner/1"}]),
        "Patient.generalPractitioner#slicing",
    ),
    "slices by the value of an extension": (
        BY_EXTENSION,
        first("first", "other"),
        first("other"),
        "Patient.name:first#min",
    ),
    "slices by a pattern": (
        NESTED,
        patient(
            identifier=[{"type": {"coding": [{"code": "A", "system": "http://example.org/t"}]}, "system": "urn:x"}]
        ),
        patient(identifier=[{"type": {"coding": [{"code": "A"}]}, "value": "1"}]),
        "Patient.identifier:a.system#min",
    ),
    "the profile of a data type": (
        [el("Patient.identifier", type=[{"code": "Identifier", "profile": [UUID]}])],
        patient(identifier=[ENTRY]),
        patient(identifier=[{**ENTRY, "system": "urn:x"}]),
        "Identifier.system#fixed",
    ),
    "several profiles of a data type": (
        [
            el(
                "Patient.identifier",
                type=[{"code": "Identifier", "profile": [UUID, UUID.replace("EntryUUID.", "UniqueId")]}],
            )
        ],
        patient(identifier=[ENTRY]),
        patient(identifier=[{**ENTRY, "value": "1"}]),
        "Patient.identifier#profile",
    ),
    "contained targets": (
        [el("Patient.link.other", type=[{"code": "Reference", "aggregation": ["contained"]}])],
        patient(**CONTAINED, link=[link("#in")]),
        patient(link=[link("Patient/1")]),
        "Patient.link.other#aggregation",
    ),
    "the type of a resource inside": (
        [el("Bundle.entry.resource", type=[{"code": "Patient"}])],
        bundle({"resource": patient()}),
        bundle({"resource": VISIT_BODY}),
        "Bundle.entry.resource#type",
    ),
    "a fixed complex value": (
        [el("Patient.maritalStatus", fixedCodeableConcept={"text": "x"})],
        patient(maritalStatus={"text": "x"}),
        patient(maritalStatus={"text": "x", "id": "1"}),
        "Patient.maritalStatus#fixed",
    ),
    "an element that repeats at least twice": (
        [el("Patient.name", min=2, max="3")],
        patient(name=[{"family": "x"}] * 2),
        patient(name=[{"family": "x"}]),
        "Patient.name#min",
    ),
    "an element that repeats at most so often": (
        [el("Patient.name", min=2, max="3")],
        patient(name=[{"family": "x"}] * 3),
        patient(name=[{"family": "x"}] * 4),
        "Patient.name#max",
    ),
    "an element that must be absent": (
        [el("Patient.photo", max="0")],
        patient(),
        patient(photo=[{"title": "x"}]),
        "Patient.photo#max",
    ),
}


def told(resource: Json, elements: list[Json]) -> dict[str, tuple[str, tuple[str, ...]]]:
    """Return rule -> (severity, places), of everything that one profile finds."""
    resource = parse(json.dumps(resource).encode())
    issues = judge(resource, profile(*elements, type_=resource["resourceType"]), (X,))
    base = f"http://hl7.org/fhir/StructureDefinition/{resource['resourceType']}"
    return {
        coding.code: (issue.severity, issue.expression)
        for issue in issues
        for coding in issue.details
        if coding.system != base
    }


@pytest.mark.parametrize("statement", STATEMENTS)
def test_a_statement_is_kept_by_what_keeps_it(statement: str) -> None:
    elements, kept, _, _ = STATEMENTS[statement]
    assert told(kept, elements) == {}


@pytest.mark.parametrize("statement", STATEMENTS)
def test_a_broken_statement_is_told_by_its_rule_alone(statement: str) -> None:
    elements, _, broken, rule = STATEMENTS[statement]
    found = told(broken, elements)
    assert {each: severity for each, (severity, _) in found.items()} == {rule: "error"}


@pytest.mark.parametrize(
    ("concept", "warned"),
    [
        ({"coding": [{"system": "http://hl7.org/fhir/document-reference-status", "code": "current"}]}, False),
        ({"coding": [{"system": "http://hl7.org/fhir/document-reference-status", "code": "entered-in-error"}]}, True),
        ({"text": "x"}, False),
    ],
)
def test_an_extensible_binding_warns_of_a_code_that_is_not_there(concept: Json, warned: bool) -> None:
    element = el("Patient.maritalStatus", binding={"strength": "extensible", "valueSet": STATS})
    found = told(patient(maritalStatus=concept), [element])
    assert found == ({"Patient.maritalStatus#binding": ("warning", ("Patient.maritalStatus",))} if warned else {})


@pytest.mark.parametrize(
    ("elements", "resource", "place"),
    [
        (TYPED, observation(valueQuantity={"value": 1}), "Observation.value.code"),
        (EXISTING, patient(telecom=[{}, {"use": "home", "period": {"start": "2020"}}]), "Patient.telecom[1].use"),
        (PROFILED, bundle({"resource": patient()}, {"resource": observation()}), "Bundle.entry[1]"),
        ([el("Patient.extension", max="0")], patient(extension=[{"url": E2, "valueCode": "x"}]), "Patient.extension"),
        (
            [el("Patient.birthDate.extension", max="0")],
            patient(birthDate="2000", _birthDate={"extension": [{"url": E2, "valueCode": "x"}]}),
            "Patient.birthDate.extension",
        ),
    ],
)
def test_the_place_is_told_in_fhirpath(elements: list[Json], resource: Json, place: str) -> None:
    assert place in {where for _, places in told(resource, elements).values() for where in places}
