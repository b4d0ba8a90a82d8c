"""Base validity: what a resource may look like, and where a fault is said to be."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from fhir_dmp.errors import Coding, Issue
from fhir_dmp.fhir.resource import Json, parse
from fhir_dmp.validation.validate import errors_in, validate
from tests.structures import PDSM_EXAMPLES, R4_EXAMPLES, STRUCTURES, resources

#: Examples that are wrong by themselves: file -> codes of the issues.
WRONG = {"bundle-questionnaire.json": {"required"}}


def patient(**more: Any) -> Json:
    return {"resourceType": "Patient", "id": "p1", **more}


def found(resource: Json) -> list[tuple[str, str]]:
    """Return (code, place) of each error."""
    return [(issue.code, issue.expression[0]) for issue in errors_in(validate(resource, STRUCTURES))]


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(resources())
def test_a_resource_made_from_the_definitions_has_no_errors(resource: Json) -> None:
    assert errors_in(validate(resource, STRUCTURES)) == ()


@pytest.mark.skipif(not R4_EXAMPLES, reason="the shared folder with the public R4 examples is absent")
@pytest.mark.parametrize("path", R4_EXAMPLES + PDSM_EXAMPLES, ids=lambda path: path.name)
def test_a_public_example_is_valid_unless_it_is_known_to_be_wrong(path: Path) -> None:
    issues = errors_in(validate(parse(path.read_bytes()), STRUCTURES))
    assert {issue.code for issue in issues} == WRONG.get(path.name, set())


def test_validation_leaves_the_resource_as_it_is() -> None:
    resource = patient(name=[{"given": ["A", None], "_given": [None, {"extension": [{"url": "u", "valueCode": "x"}]}]}])
    before = copy.deepcopy(resource)
    assert validate(resource, STRUCTURES) == ()
    assert resource == before


@pytest.mark.statement("fhir-rest B32")
@pytest.mark.parametrize("body", [{}, {"id": "x"}, {"resourceType": 7}, {"resourceType": None}])
def test_a_resource_without_a_type_is_refused(body: Json) -> None:
    assert found(body) == [("structure", "Resource")]


@pytest.mark.parametrize("type_", ["Patients", "patient", "DomainResource", "Resource", "Meta", "SubscriptionStatus"])
def test_only_concrete_r4_types_are_resources(type_: str) -> None:
    assert found({"resourceType": type_}) == [("structure", type_)]


def test_a_strange_type_name_is_not_repeated_in_the_issue() -> None:
    (issue,) = validate({"resourceType": "Jean Fictif\n1990"}, STRUCTURES)
    assert issue.expression == ("Resource",)
    assert "Jean" not in issue.diagnostics


@pytest.mark.statement("fhir-rest A13")
def test_an_empty_array_is_refused_with_its_place() -> None:
    (issue,) = validate(patient(name=[{"family": "Fictif", "given": []}]), STRUCTURES)
    assert issue == Issue(
        code="structure",
        diagnostics="An array must not be empty; leave the element out instead.",
        severity="error",
        expression=("Patient.name[0].given",),
        details=(Coding("http://hl7.org/fhir/StructureDefinition/Patient", "Patient.name.given#type"),),
    )


@pytest.mark.parametrize(
    ("resource", "expected"),
    [
        (patient(nickname="x"), [("structure", "Patient.nickname")]),
        (patient(**{"not a name": 1}), [("structure", "Patient")]),
        (patient(name=[]), [("structure", "Patient.name")]),
        (patient(name=[{}]), [("structure", "Patient.name[0]")]),
        (patient(name=[None]), [("structure", "Patient.name[0]")]),
        (patient(name=None), [("structure", "Patient.name")]),
        (patient(name={"family": "x"}), [("structure", "Patient.name")]),
        (patient(maritalStatus=[{"text": "x"}]), [("structure", "Patient.maritalStatus")]),
        (patient(maritalStatus="x"), [("structure", "Patient.maritalStatus")]),
        (patient(birthDate=["2024"]), [("structure", "Patient.birthDate")]),
        (patient(birthDate=None), [("structure", "Patient.birthDate")]),
        (patient(birthDate=2024), [("structure", "Patient.birthDate")]),
        (patient(active="true"), [("structure", "Patient.active")]),
        (patient(name=["x"]), [("structure", "Patient.name[0]")]),
        (patient(name=[{"given": "x"}]), [("structure", "Patient.name[0].given")]),
        (patient(name=[{"given": None}]), [("structure", "Patient.name[0].given")]),
        (patient(name=[{"given": ["x", 7]}]), [("structure", "Patient.name[0].given[1]")]),
        (patient(name=[{"resourceType": "HumanName", "family": "x"}]), [("structure", "Patient.name[0].resourceType")]),
        (patient(_name=[{"id": "x"}]), [("structure", "Patient._name")]),
        (patient(contact=[{"id": "x"}]), [("invariant", "Patient.contact[0]")]),
        (patient(meta={"id": "x"}), [("invariant", "Patient.meta")]),
    ],
)
def test_the_shape_of_json_is_checked(resource: Json, expected: list[tuple[str, str]]) -> None:
    assert found(resource) == expected


@pytest.mark.parametrize(
    ("resource", "expected"),
    [
        (patient(birthDate="2024-02-31"), [("value", "Patient.birthDate")]),
        (patient(deceasedDateTime="2023-02-29T10:00:00Z"), [("value", "Patient.deceased")]),
        (patient(deceasedDateTime="2023-02-28T10:00:00"), [("value", "Patient.deceased")]),
        (patient(id="a_b"), [("value", "Patient.id")]),
        (patient(id="x" * 65), [("value", "Patient.id")]),
        (patient(gender="M"), [("code-invalid", "Patient.gender")]),
        (patient(gender=" male"), [("value", "Patient.gender")]),
        (patient(multipleBirthInteger=True), [("structure", "Patient.multipleBirth")]),
        (patient(implicitRules="two words"), [("value", "Patient.implicitRules")]),
        (patient(name=[{"family": ""}]), [("value", "Patient.name[0].family")]),
        (patient(name=[{"use": "nope", "given": ["a", ""]}]), [
            ("code-invalid", "Patient.name[0].use"), ("value", "Patient.name[0].given[1]"),
        ]),
    ],
)  # fmt: skip
def test_values_are_checked_against_their_type(resource: Json, expected: list[tuple[str, str]]) -> None:
    assert found(resource) == expected


def test_a_fault_never_quotes_the_value() -> None:
    for issue in validate(
        patient(gender="secret", birthDate="secret", id="se cret", name=[{"use": "secret"}]), STRUCTURES
    ):
        assert "cret" not in issue.diagnostics


def test_mandatory_elements_are_missed_and_a_data_absent_extension_replaces_them() -> None:
    absent = {
        "extension": [{"url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason", "valueCode": "masked"}]
    }
    observation = {"resourceType": "Observation", "status": "final"}
    assert found(observation) == [("required", "Observation.code")]
    assert found(
        {"resourceType": "DocumentReference", "status": "current", "content": [{"format": {"code": "x"}}]}
    ) == [("required", "DocumentReference.content[0].attachment")]
    assert found({"resourceType": "Observation", "_status": absent, "code": {"text": "x"}}) == []


def test_a_choice_has_one_type_at_a_time() -> None:
    two = {"deceasedBoolean": True, "deceasedDateTime": "2024"}
    assert found(patient(**two)) == [("structure", "Patient.deceased")]
    assert found(patient(deceasedBoolean=True, _deceasedBoolean={"id": "x"})) == []
    assert found(patient(deceasedBoolean=True, _deceasedDateTime={"extension": [{"url": "u", "valueCode": "x"}]})) == [
        ("structure", "Patient.deceased")
    ]
    assert found(patient(deceasedString="x")) == [("structure", "Patient.deceasedString")]


def test_a_mandatory_choice_is_missed() -> None:
    request = {"resourceType": "MedicationRequest", "status": "active", "intent": "order", "subject": {"display": "x"}}
    assert found(request) == [("required", "MedicationRequest.medication")]


AUTHOR = ("invariant", "DocumentReference.author[0].reference")
EXTENSION = {"extension": [{"url": "http://example.org/e", "valueString": "x"}]}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ({"given": ["a", None], "_given": [None, EXTENSION]}, []),
        ({"given": ["a"], "_given": [EXTENSION]}, []),
        ({"_given": [EXTENSION, EXTENSION]}, []),
        ({"given": ["a", "b"], "_given": [{"id": "i"}]}, []),
        ({"given": ["a"], "_given": [None, EXTENSION]}, []),
        ({"given": ["a", None]}, [("invariant", "Patient.name[0].given[1]")]),
        ({"given": ["a", None], "_given": [EXTENSION]}, [("invariant", "Patient.name[0].given[1]")]),
        ({"given": [None], "_given": [None]}, [("invariant", "Patient.name[0].given[0]")]),
        ({"given": [None], "_given": [{"id": "i"}]}, [("invariant", "Patient.name[0].given[0]")]),
        ({"_given": [{"id": "i"}]}, [("invariant", "Patient.name[0].given[0]")]),
        ({"_given": []}, [("structure", "Patient.name[0].given")]),
        ({"_given": EXTENSION}, [("structure", "Patient.name[0].given")]),
        ({"_given": ["x"]}, [("structure", "Patient.name[0].given[0]"), ("invariant", "Patient.name[0].given[0]")]),
        ({"_family": EXTENSION}, []),
        ({"_family": {"id": "i"}, "family": "x"}, []),
        ({"_family": {"id": "i"}}, [("invariant", "Patient.name[0].family")]),
        ({"_family": None, "family": "x"}, [("structure", "Patient.name[0].family")]),
        ({"_family": {}, "family": "x"}, [("structure", "Patient.name[0].family")]),
        ({"_family": {"value": "x"}, "family": "x"}, [("structure", "Patient.name[0].family.value")]),
        ({"_family": "x", "family": "x"}, [("structure", "Patient.name[0].family")]),
    ],
)
def test_twins_of_primitives_are_aligned_with_their_values(name: Json, expected: list[tuple[str, str]]) -> None:
    assert found(patient(name=[name])) == expected


@pytest.mark.parametrize(
    ("extension", "expected"),
    [
        ({"url": "u", "valueString": "x"}, []),
        ({"url": "u", "extension": [{"url": "v", "valueBoolean": False}]}, []),
        ({"url": "u", "_valueString": EXTENSION}, []),
        ({"url": "u"}, [("invariant", "Patient.extension[0]")]),
        ({"url": "u", "valueString": "x", "extension": [{"url": "v", "valueCode": "x"}]},
         [("invariant", "Patient.extension[0]")]),
        ({"valueString": "x"}, [("required", "Patient.extension[0].url")]),
        ({"url": "u", "valueString": "x", "valueCode": "x"}, [("structure", "Patient.extension[0].value")]),
        ({"url": "u", "valueQuantity": {"value": "7"}}, [("structure", "Patient.extension[0].value.value")]),
        ({"url": "u", "valuePatient": {}}, [("structure", "Patient.extension[0].valuePatient")]),
        ({"url": "u", "_url": {"id": "x"}, "valueCode": "x"}, [("structure", "Patient.extension[0]._url")]),
    ],
)  # fmt: skip
def test_an_extension_has_a_url_and_either_a_value_or_extensions(
    extension: Json, expected: list[tuple[str, str]]
) -> None:
    assert found(patient(extension=[extension])) == expected


def test_modifier_extensions_stand_where_r4_allows_them() -> None:
    extension = [{"url": "http://example.org/e", "valueBoolean": True}]
    assert found(patient(modifierExtension=extension)) == []
    assert found(patient(contact=[{"modifierExtension": extension}])) == []
    assert found(patient(name=[{"modifierExtension": extension}])) == [
        ("structure", "Patient.name[0].modifierExtension")
    ]


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"identifier": [{"period": {"start": "2024-02-01", "end": "2024-01-31"}}]}, ["Patient.identifier[0].period"]),
        ({"identifier": [{"period": {"start": "2024-02-01", "end": "2024-02"}}]}, []),
        ({"identifier": [{"period": {"start": "2024-02-01T10:00:00+02:00", "end": "2024-02-01T08:30:00Z"}}]}, []),
        ({"identifier": [{"period": {"start": "2024-02-01T10:00:00Z", "end": "2024-02-01T11:30:00+02:00"}}]},
         ["Patient.identifier[0].period"]),
        ({"photo": [{"data": "QUJD"}]}, ["Patient.photo[0]"]),
        ({"photo": [{"data": "QUJD", "contentType": "image/png"}]}, []),
        ({"telecom": [{"value": "0102030405"}]}, ["Patient.telecom[0]"]),
    ],
)  # fmt: skip
def test_constraints_of_data_types_hold(more: Json, expected: list[str]) -> None:
    assert found(patient(**more)) == [("invariant", place) for place in expected]


def test_a_required_codeable_concept_needs_one_coding_of_the_value_set() -> None:
    system = "http://terminology.hl7.org/CodeSystem/condition-clinical"
    condition = {"resourceType": "Condition", "subject": {"reference": "Patient/1"}}
    right, wrong = {"system": system, "code": "relapse"}, {"system": system, "code": "nope"}
    assert found({**condition, "clinicalStatus": {"coding": [wrong, right]}}) == []
    for status in ({"coding": [wrong]}, {"text": "active"}, {"coding": [{"code": "relapse"}]}):
        assert found({**condition, "clinicalStatus": status}) == [("code-invalid", "Condition.clinicalStatus")]
    assert found({**condition, "clinicalStatus": EXTENSION}) == []


class TestContained:
    """Contained resources (dmp-fhir 4.7)."""

    @staticmethod
    def document(contained: list[Any], author: str = "#a", **more: Any) -> Json:
        return {
            "resourceType": "DocumentReference",
            "status": "current",
            "contained": contained,
            "author": [{"reference": author}],
            "content": [{"attachment": {"title": "x"}}],
            **more,
        }

    def test_a_referenced_contained_resource_is_fine(self) -> None:
        assert found(self.document([{"resourceType": "Device", "id": "a"}])) == []

    def test_a_contained_resource_that_points_to_its_container_is_fine(self) -> None:
        flag = {"resourceType": "Basic", "id": "b", "code": {"text": "x"}, "subject": {"reference": "#"}}
        assert found(self.document([{"resourceType": "Device", "id": "a"}, flag])) == []

    @pytest.mark.parametrize(
        ("contained", "expected"),
        [
            ([{"resourceType": "Device", "id": "a"}, {"resourceType": "Device", "id": "b"}],
             [("invariant", "DocumentReference.contained[1]")]),
            ([{"resourceType": "Device"}],
             [("required", "DocumentReference.contained[0].id"), AUTHOR]),
            ([{"resourceType": "Device", "id": "a"}, {"resourceType": "Device", "id": "a"}],
             [("invariant", "DocumentReference.contained[1].id")]),
            ([{"resourceType": "Device", "id": "a", "contained": [{"resourceType": "Device", "id": "c"}]}],
             [("invariant", "DocumentReference.contained[0].contained")]),
            ([{"resourceType": "Device", "id": "a", "meta": {"versionId": "1"}}],
             [("invariant", "DocumentReference.contained[0].meta")]),
            ([{"resourceType": "Device", "id": "a", "meta": {"lastUpdated": "2024-01-01T00:00:00Z"}}],
             [("invariant", "DocumentReference.contained[0].meta")]),
            ([{"resourceType": "Device", "id": "a", "meta": {"security": [{"code": "N"}]}}],
             [("invariant", "DocumentReference.contained[0].meta.security")]),
            ([{"resourceType": "Device", "id": "a", "status": "nope"}],
             [("code-invalid", "DocumentReference.contained[0].status")]),
            (["x", {"resourceType": "Device", "id": "a"}], [("structure", "DocumentReference.contained[0]")]),
            ([{"id": "a"}], [("structure", "DocumentReference.contained[0]")]),
            ([], [("structure", "DocumentReference.contained"), AUTHOR]),
        ],
    )  # fmt: skip
    def test_rules_of_contained_resources(self, contained: list[Any], expected: list[tuple[str, str]]) -> None:
        assert found(self.document(contained)) == expected

    def test_a_dangling_local_reference_is_found(self) -> None:
        resource = self.document([{"resourceType": "Device", "id": "a"}], author="#b")
        assert found(resource) == [
            ("invariant", "DocumentReference.author[0].reference"),
            ("invariant", "DocumentReference.contained[0]"),
        ]

    def test_each_entry_of_a_bundle_contains_its_own(self) -> None:
        entry = {"resource": self.document([{"resourceType": "Device", "id": "a"}])}
        other = {"resource": {"resourceType": "Basic", "code": {"text": "x"}, "subject": {"reference": "#a"}}}
        assert found({"resourceType": "Bundle", "type": "collection", "entry": [entry, other, entry]}) == [
            ("invariant", "Bundle.entry[1].resource.subject.reference")
        ]


def test_a_reference_to_an_unexpected_type_is_a_warning() -> None:
    document = {
        "resourceType": "DocumentReference",
        "status": "current",
        "authenticator": {"reference": "Patient/1"},
        "subject": {"reference": "https://example.org/fhir/Patient/1/_history/2"},
        "custodian": {"reference": "urn:uuid:c757873d-ec9a-4326-a141-556f43239520"},
        "content": [{"attachment": {"title": "x"}}],
    }
    (issue,) = validate(document, STRUCTURES)
    assert (issue.severity, issue.code) == ("warning", "value")
    assert issue.expression == ("DocumentReference.authenticator.reference",)


def test_issues_are_listed_up_to_a_hundred() -> None:
    issues = validate(patient(name=[{"use": "nope"}] * 500), STRUCTURES)
    assert len(issues) == 101
    assert (issues[-1].severity, issues[-1].code) == ("information", "too-costly")


@pytest.mark.statement("fhir-rest A18")
def test_a_narrative_with_a_script_is_refused() -> None:
    div = '<div xmlns="http://www.w3.org/1999/xhtml">x<script>alert(1)</script></div>'
    assert found(patient(text={"status": "generated", "div": div})) == [("invalid", "Patient.text.div")]


def test_nested_resources_are_judged_where_they_stand() -> None:
    bundle = {
        "resourceType": "Bundle",
        "type": "transaction",
        "entry": [{"fullUrl": "urn:uuid:x", "resource": {"resourceType": "Patient", "gender": "x"}}],
    }
    assert found(bundle) == [("code-invalid", "Bundle.entry[0].resource.gender")]
    parameters = {"resourceType": "Parameters", "parameter": [{"name": "p", "resource": {"resourceType": "Nope"}}]}
    assert found(parameters) == [("structure", "Parameters.parameter[0].resource")]


@pytest.mark.parametrize(
    ("resource", "type_", "rule"),
    [
        (patient(birthDate=["2024"]), "Patient", "Patient.birthDate#max"),
        (patient(gender="M"), "Patient", "Patient.gender#binding"),
        (patient(nickname="x"), "Patient", "Patient.nickname#element"),
        (
            patient(identifier=[{"period": {"start": "2024-02", "end": "2024-01"}}]),
            "Patient",
            "Patient.identifier.period#per-1",
        ),
        (patient(contained=[{"resourceType": "Device", "id": "a"}]), "Patient", "Patient.contained#dom-3"),
        (patient(contained=[{"resourceType": "Device", "id": "a", "status": "x"}]), "Device", "Device.status#binding"),
        (
            {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": {"resourceType": "Observation"}}]},
            "Observation",
            "Observation.code#min",
        ),
    ],
)
def test_an_issue_names_the_rule_of_r4_and_the_type_that_states_it(resource: Json, type_: str, rule: str) -> None:
    told = {(coding.system, coding.code) for issue in validate(resource, STRUCTURES) for coding in issue.details}
    assert (f"http://hl7.org/fhir/StructureDefinition/{type_}", rule) in told
