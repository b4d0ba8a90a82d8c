"""What `_summary` and `_elements` leave."""

from __future__ import annotations

import copy

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fhir_dmp.errors import BadRequest
from fhir_dmp.fhir.resource import Json
from fhir_dmp.fhir.subset import SUBSETTED_SYSTEM, is_subset, project
from fhir_dmp.validation.validate import errors_in, validate
from tests.structures import STRUCTURES, resources

TAG = {"system": SUBSETTED_SYSTEM, "code": "SUBSETTED"}
DIV = '<div xmlns="http://www.w3.org/1999/xhtml">x</div>'
PATIENT: Json = {
    "resourceType": "Patient",
    "id": "p1",
    "meta": {"versionId": "2", "tag": [{"code": "t"}]},
    "text": {"status": "generated", "div": DIV},
    "active": True,
    "name": [{"family": "Fictif", "_family": {"id": "f"}}],
    "_birthDate": {"extension": [{"url": "http://example.org/e", "valueCode": "x"}]},
    "maritalStatus": {"text": "x"},
    "photo": [{"contentType": "image/png"}],
    "deceasedBoolean": False,
    "link": [{"other": {"reference": "Patient/2"}, "type": "seealso"}],
}
DOCUMENT: Json = {
    "resourceType": "DocumentReference",
    "id": "d1",
    "text": {"status": "generated", "div": DIV},
    "contained": [
        {"resourceType": "PractitionerRole", "id": "role", "practitioner": {"reference": "#who"}},
        {"resourceType": "Practitioner", "id": "who"},
        {"resourceType": "Organization", "id": "custodian"},
    ],
    "extension": [{"url": "http://example.org/e", "valueCode": "x"}],
    "status": "current",
    "type": {"id": "t", "extension": [{"url": "http://example.org/e", "valueCode": "x"}], "text": "x"},
    "author": [{"reference": "#role"}],
    "custodian": {"reference": "#custodian"},
    "content": [{"attachment": {"contentType": "text/plain", "data": "QUJD", "title": "x"}, "id": "c"}],
    "context": {"facilityType": {"text": "x"}},
}


def names(resource: Json) -> set[str]:
    return set(resource)


@pytest.mark.statement("fhir-rest E138")
@pytest.mark.parametrize("wanted", [("name",), ("Patient.name",), ("name", "Observation.code"), ("", "name")])
def test_elements_keep_mandatory_and_modifier_elements_and_say_so(wanted: tuple[str, ...]) -> None:
    part = project(PATIENT, STRUCTURES, elements=wanted)
    assert part == {
        "resourceType": "Patient",
        "id": "p1",
        "meta": {"versionId": "2", "tag": [{"code": "t"}, TAG]},
        "active": True,
        "name": PATIENT["name"],
        "deceasedBoolean": False,
        "link": PATIENT["link"],
    }


@pytest.mark.statement("fhir-rest E138")
def test_mandatory_elements_stay_when_others_are_asked() -> None:
    part = project(DOCUMENT, STRUCTURES, elements=("type",))
    assert names(part) == {"resourceType", "id", "meta", "status", "type", "content"}
    assert part["meta"] == {"tag": [TAG]}
    assert list(part)[:3] == ["resourceType", "id", "meta"]


@pytest.mark.parametrize("name", ["value", "value[x]", "valueQuantity", "Observation.value"])
def test_a_choice_may_be_asked_by_each_of_its_names(name: str) -> None:
    observation = {
        "resourceType": "Observation",
        "status": "final",
        "code": {"text": "x"},
        "valueQuantity": {"value": 1},
    }
    assert project(observation, STRUCTURES, elements=(name,))["valueQuantity"] == {"value": 1}


def test_a_twin_stays_with_its_element() -> None:
    assert "_birthDate" in project(PATIENT, STRUCTURES, elements=("birthDate",))
    assert "_birthDate" not in project(PATIENT, STRUCTURES, elements=("name",))


def test_contained_resources_stay_while_something_refers_to_them() -> None:
    part = project(DOCUMENT, STRUCTURES, elements=("author",))
    assert [each["id"] for each in part["contained"]] == ["role", "who"]
    assert "contained" not in project(DOCUMENT, STRUCTURES, elements=("type",))
    assert errors_in(validate(part, STRUCTURES)) == ()


@pytest.mark.statement("fhir-rest E140")
class TestSummary:
    """The five values of `_summary`."""

    def test_true_shows_the_summary_elements_at_every_level(self) -> None:
        part = project(DOCUMENT, STRUCTURES, summary="true")
        assert names(part) == {"resourceType", "id", "meta", "contained", "status", "type", "author", "content"}
        assert part["type"] == {"id": "t", "text": "x"}
        assert part["content"] == [{"attachment": {"contentType": "text/plain", "title": "x"}, "id": "c"}]
        assert part["meta"] == {"tag": [TAG]}

    def test_true_of_a_patient(self) -> None:
        part = project(PATIENT, STRUCTURES, summary="true")
        assert names(PATIENT) - names(part) == {"text", "maritalStatus", "photo"}
        assert part["name"] == PATIENT["name"]

    def test_text_shows_narrative_and_mandatory_elements(self) -> None:
        assert names(project(PATIENT, STRUCTURES, summary="text")) == {"resourceType", "id", "meta", "text"}
        part = project(DOCUMENT, STRUCTURES, summary="text")
        assert names(part) == {"resourceType", "id", "meta", "text", "status", "content"}
        assert is_subset(part)

    def test_data_shows_all_but_the_narrative(self) -> None:
        part = project(PATIENT, STRUCTURES, summary="data")
        assert names(PATIENT) - names(part) == {"text"}
        assert is_subset(part)

    @pytest.mark.parametrize("value", ["false", "count", None])
    def test_false_and_count_leave_the_resource_whole(self, value: str | None) -> None:
        assert project(PATIENT, STRUCTURES, summary=value) is PATIENT

    def test_another_value_is_refused(self) -> None:
        with pytest.raises(BadRequest) as caught:
            project(PATIENT, STRUCTURES, summary="yes")
        assert caught.value.issues[0].code == "value"


@pytest.mark.statement("fhir-rest E141")
def test_both_controls_at_once_are_refused() -> None:
    with pytest.raises(BadRequest):
        project(PATIENT, STRUCTURES, summary="text", elements=("name",))


@pytest.mark.statement("fhir-rest E139")
def test_a_subset_is_recognised_by_its_tag() -> None:
    assert is_subset(project(PATIENT, STRUCTURES, elements=("name",)))
    assert not is_subset(PATIENT)
    assert not is_subset({"resourceType": "Patient", "meta": {"tag": [{"system": "urn:x", "code": "SUBSETTED"}]}})
    assert not is_subset({"resourceType": "Patient", "meta": {"tag": "x"}})
    assert not is_subset({"resourceType": "Patient", "meta": "x"})


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(resources(), st.sampled_from(["true", "text", "data"]))
def test_a_summary_is_a_valid_part_that_leaves_the_whole_untouched(resource: Json, summary: str) -> None:
    before = copy.deepcopy(resource)
    part = project(resource, STRUCTURES, summary=summary)
    assert resource == before
    assert errors_in(validate(part, STRUCTURES)) == ()
    assert names(part) - {"meta"} <= names(resource)
    assert is_subset(part)
    assert project(part, STRUCTURES, summary=summary) == part
