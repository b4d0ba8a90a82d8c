"""The structure table: official R4, complete, small."""

from __future__ import annotations

import pytest

from fhir_dmp import definitions
from fhir_dmp.fhir.structure import TABLE
from tests.structures import STRUCTURES


def properties(type_: str) -> list[str]:
    structure = STRUCTURES.get(type_)
    assert structure is not None
    return [element.name for element in structure.elements]


def test_the_table_names_its_sources_and_stays_small() -> None:
    content = definitions.read(TABLE)
    assert len(content) < 1_500_000
    provenance = definitions.load_json(TABLE)["provenance"]
    assert provenance["fhir"] == STRUCTURES.version == "4.0.1"
    assert set(provenance["sha256"]) >= {"profiles-types.json", "profiles-resources.json", "dataelements.json"}


def test_the_resource_types_are_those_of_r4() -> None:
    assert len(STRUCTURES.resource_types) == 146
    assert {"Patient", "DocumentReference", "CatalogEntry", "EffectEvidenceSynthesis"} <= set(STRUCTURES.resource_types)
    for absent in ("SubscriptionStatus", "Project", "Bot", "MetadataResource", "DomainResource", "Resource", "Meta"):
        assert not STRUCTURES.is_resource(absent)
    assert STRUCTURES.get("Project") is None


@pytest.mark.parametrize(
    ("type_", "expected"),
    [
        ("Meta", ["id", "extension", "versionId", "lastUpdated", "source", "profile", "security", "tag"]),
        ("Binary", ["id", "meta", "implicitRules", "language", "contentType", "securityContext", "data"]),
        ("ResearchStudy.objective", ["id", "extension", "modifierExtension", "name", "type"]),
        ("TestScript.teardown.action", ["id", "extension", "modifierExtension", "operation"]),
        (
            "EvidenceVariable.characteristic",
            ["id", "extension", "modifierExtension", "description", "definition[x]", "usageContext", "exclude",
             "participantEffective[x]", "timeFromStart", "groupMeasure"],
        ),
    ],
)  # fmt: skip
def test_elements_are_those_of_r4_in_their_order(type_: str, expected: list[str]) -> None:
    assert properties(type_) == expected


def test_elements_of_resources_come_in_the_order_of_xml() -> None:
    head = ["id", "meta", "implicitRules", "language", "text", "contained", "extension", "modifierExtension"]
    assert properties("DocumentReference")[:10] == [*head, "masterIdentifier", "identifier"]


def test_every_type_that_the_table_names_exists() -> None:
    waiting, seen = list(STRUCTURES.resource_types), set()
    while waiting:
        type_ = waiting.pop()
        if type_ in seen or STRUCTURES.is_primitive(type_):
            continue
        seen.add(type_)
        structure = STRUCTURES.get(type_)
        assert structure is not None, type_
        for element in structure.elements:
            assert element.types, (type_, element.name)
            assert not element.codes or STRUCTURES.codes(element.codes)
            assert all(STRUCTURES.is_resource(target) for target in element.targets), (type_, element.targets)
            waiting += element.types
    assert len(seen) > 600


def test_choices_resolve_to_their_type() -> None:
    found = STRUCTURES.resolve("Observation", "valueQuantity")
    assert found is not None
    element, type_ = found
    assert (element.name, element.stem, type_, element.is_list) == ("value[x]", "value", "Quantity", False)
    assert STRUCTURES.resolve("Observation", "valueAddress") is None
    assert STRUCTURES.resolve("Observation", "value") is None
    assert STRUCTURES.resolve("Nothing", "value") is None
    assert STRUCTURES.element("Observation", "value") is element
    assert STRUCTURES.element("Observation", "value[x]") is element
    assert STRUCTURES.element("Observation", "valueQuantity") is element
    assert STRUCTURES.element("Observation", "valueAddress") is None


def test_a_content_reference_leads_to_the_type_it_repeats() -> None:
    entry = STRUCTURES.element("Bundle.entry", "link")
    assert entry is not None
    assert entry.types == ("Bundle.link",)
    item = STRUCTURES.element("Questionnaire.item", "item")
    assert item is not None
    assert item.types == ("Questionnaire.item",)


def test_flags_codes_and_targets_are_read() -> None:
    status = STRUCTURES.element("DocumentReference", "status")
    assert status is not None
    assert (status.min, status.max, status.summary, status.modifier) == (1, 1, True, True)
    assert STRUCTURES.codes(status.codes) == {
        "http://hl7.org/fhir/document-reference-status": ["current", "superseded", "entered-in-error"]
    }
    target = STRUCTURES.element("DocumentReference.relatesTo", "target")
    assert target is not None
    assert target.targets == ("DocumentReference",)
    url = STRUCTURES.element("Extension", "url")
    assert url is not None
    assert (url.attribute, url.types) == (True, ("uri",))
    identity = STRUCTURES.element("Patient", "id")
    assert identity is not None
    assert (identity.attribute, identity.types) == (False, ("id",))


def test_corrections_of_the_package_follow_the_official_data_elements() -> None:
    outcome = STRUCTURES.element("Bundle.entry.response", "outcome")
    assert outcome is not None
    assert outcome.types == ("Resource",)
    status = STRUCTURES.element("DetectedIssue", "status")
    assert status is not None
    assert status.codes == "observation-status"


def test_primitives_know_their_base_and_pattern() -> None:
    assert STRUCTURES.base("code") == "string"
    assert STRUCTURES.base("positiveInt") == "integer"
    assert STRUCTURES.base("Age") == "Quantity"
    assert STRUCTURES.base("Patient") == "DomainResource"
    assert STRUCTURES.base("Nothing") == ""
    assert STRUCTURES.pattern("boolean") == "true|false"
    assert STRUCTURES.pattern("xhtml") == ""
    assert not STRUCTURES.is_primitive("Patient")


def test_mandatory_modifier_and_summary_elements_are_named_as_in_json() -> None:
    observation, patient = STRUCTURES.get("Observation"), STRUCTURES.get("Patient")
    assert observation is not None
    assert patient is not None
    assert observation.mandatory == {"status", "code"}
    assert patient.modifiers == {
        "implicitRules", "modifierExtension", "active", "deceasedBoolean", "deceasedDateTime", "link",
    }  # fmt: skip
    assert "photo" not in patient.summary
    assert {"id", "meta", "name", "deceasedDateTime"} <= patient.summary
