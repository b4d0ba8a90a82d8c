"""Public examples, published definitions and this project's own resources, judged with every profile."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fhir_dmp import definitions
from fhir_dmp.errors import Issue
from fhir_dmp.fhir.resource import Json, parse
from fhir_dmp.validation.base import DEFINITIONS
from fhir_dmp.validation.conformance import Profiles, judge
from fhir_dmp.validation.snapshot import with_snapshot
from tests import samples
from tests.structures import PDSM_EXAMPLES, R4_EXAMPLES

BASE = definitions.base()
OWN = list(definitions.conformance())
PROFILES = definitions.profiles(OWN)
X = "http://example.org/StructureDefinition/x"

#: What R4's own examples break, each looked up in R4: see docs/validation.md.
R4_DEFECTS = {
    "bundle-questionnaire": {"Questionnaire.item.item.linkId"},
    "codesystem-example": {"CodeSystem"},
}


def errors(resource: Json, profiles: Profiles = PROFILES, asked: tuple[str, ...] = ()) -> list[Issue]:
    return [issue for issue in judge(resource, profiles, asked) if issue.severity == "error"]


def rules(issues: list[Issue]) -> set[str]:
    return {coding.code for issue in issues for coding in issue.details}


@pytest.mark.skipif(not R4_EXAMPLES, reason="shared/data/r4-examples is not beside the repository")
def test_the_official_examples_have_no_errors_but_the_two_that_are_explained() -> None:
    found = {path.stem: errors(parse(path.read_bytes())) for path in R4_EXAMPLES}
    assert {name for name, issues in found.items() if issues} == set(R4_DEFECTS)


#: A folder with HL7's definitions of R4 (`profiles-resources.json`...), where there is one.
HL7 = os.environ.get("DMP_R4_DEFINITIONS", "")


@pytest.mark.skipif(not HL7, reason="DMP_R4_DEFINITIONS names no folder with HL7's definitions of R4")
@pytest.mark.timeout(600)
def test_of_the_definitions_of_hl7_at_most_one_in_two_hundred_has_an_error() -> None:
    names = ("profiles-*.json", "extension-definitions.json", "search-parameters.json", "valuesets.json")
    bundles = [parse(path.read_bytes()) for name in names for path in sorted(Path(HL7).glob(name))]
    resources = [entry["resource"] for each in bundles for entry in each.get("entry", ())]
    assert len(resources) > 1000
    wrong = {each.get("url", each["resourceType"]): rules(errors(each)) for each in resources if errors(each)}
    assert len(wrong) <= len(resources) / 200, wrong


@pytest.mark.skipif(not PDSM_EXAMPLES, reason="shared/data/pdsm4dmp-examples is not beside the repository")
@pytest.mark.parametrize("path", PDSM_EXAMPLES, ids=lambda path: path.stem)
def test_of_the_examples_of_the_guide_the_missing_custodian_is_all_that_is_wrong(path: Path) -> None:
    found = errors(parse(path.read_bytes()))
    assert rules(found) <= {"DocumentReference.custodian#min"}
    assert bool(found) is (path.stem != "Bundle-example-annexe-fhir-document")


@pytest.mark.parametrize("resource", OWN, ids=lambda each: f"{each['resourceType']}-{each['id']}")
def test_what_this_project_publishes_is_valid(resource: Json) -> None:
    assert errors(resource) == []


def test_every_snapshot_follows_from_its_differential() -> None:
    bare = {
        each["url"]: {key: value for key, value in each.items() if key != "snapshot"}
        for each in OWN
        if each["resourceType"] == "StructureDefinition"
    }
    stale = [
        each["id"]
        for each in OWN
        if each["resourceType"] == "StructureDefinition"
        and with_snapshot(bare[each["url"]], BASE, bare.get)["snapshot"] != each["snapshot"]
    ]
    assert stale == []  # run scripts/derive-snapshots


def test_the_samples_of_these_tests_conform() -> None:
    for resource in (samples.patient(), samples.submission("1.2.250.1.999.77"), samples.consent("1", "block")):
        assert errors(resource) == []


def profile(*elements: Json, type_: str = "Patient", base: str = "", **more: Any) -> Profiles:
    """Return the profiles with one more, given by its differential only."""
    made = {
        "resourceType": "StructureDefinition",
        "url": X,
        "name": "X",
        "status": "active",
        "kind": "resource",
        "abstract": False,
        "type": type_,
        "baseDefinition": base or f"http://hl7.org/fhir/StructureDefinition/{type_}",
        "derivation": "constraint",
        "differential": {"element": [{"id": type_, "path": type_}, *elements]},
        **more,
    }
    return definitions.profiles([*OWN, made])


def sliced(rules_: str, *, ordered: bool = False) -> list[Json]:
    discriminator = [{"type": "value", "path": "use"}]
    slicing = {"discriminator": discriminator, "rules": rules_, "ordered": ordered}
    made: list[Json] = [{"id": "Patient.name", "path": "Patient.name", "slicing": slicing}]
    for use in ("official", "usual"):
        made += [
            {"id": f"Patient.name:{use}", "path": "Patient.name", "sliceName": use, "min": 0, "max": "1"},
            {"id": f"Patient.name:{use}.use", "path": "Patient.name.use", "min": 1, "fixedCode": use},
        ]
    return made


def names(*uses: str) -> Json:
    return {"resourceType": "Patient", "name": [{"use": use, "family": "Fictif"} for use in uses]}


@pytest.mark.parametrize(
    ("rules_", "ordered", "uses", "broken"),
    [
        ("open", False, ("nickname", "usual", "official"), set()),
        ("open", False, ("usual", "usual"), {"Patient.name:usual#max"}),
        ("closed", False, ("usual", "nickname"), {"Patient.name#slicing"}),
        ("openAtEnd", False, ("usual", "nickname"), set()),
        ("openAtEnd", False, ("nickname", "usual"), {"Patient.name#openAtEnd"}),
        ("open", True, ("official", "usual"), set()),
        ("open", True, ("usual", "official"), {"Patient.name#ordered"}),
    ],
)
def test_slices_are_open_closed_open_at_the_end_and_ordered(
    rules_: str, ordered: bool, uses: tuple[str, ...], broken: set[str]
) -> None:
    found = errors(names(*uses), profile(*sliced(rules_, ordered=ordered)), (X,))
    assert rules(found) == broken


def test_an_issue_names_the_place_the_rule_and_the_profile() -> None:
    (found,) = errors(
        {"resourceType": "Patient"}, profile({"id": "Patient.birthDate", "path": "Patient.birthDate", "min": 1}), (X,)
    )
    assert (found.code, found.expression) == ("required", ("Patient.birthDate",))
    assert [(each.system, each.code) for each in found.details] == [(X, "Patient.birthDate#min")]
    assert X in found.diagnostics


@pytest.mark.parametrize(
    ("name", "active", "broken"),
    [([{"family": "Fictif"}], True, set()), ([], True, {"Patient#x-1"}), ([], False, set())],
)
def test_a_constraint_in_fhirpath_is_applied(name: list[Json], active: bool, broken: set[str]) -> None:
    constraint = {"key": "x-1", "severity": "error", "human": "Named.", "expression": "active implies name.exists()"}
    known = profile({"id": "Patient.active", "path": "Patient.active"})
    made = dict(known.definition(X) or {})
    made["differential"] = {"element": [{"id": "Patient", "path": "Patient", "constraint": [constraint]}]}
    resource = {"resourceType": "Patient", "active": active, **({"name": name} if name else {})}
    assert rules(errors(resource, definitions.profiles([made]), (X,))) == broken


@pytest.mark.parametrize("bad", ["name.where(", "name.nonsense()"])
def test_a_constraint_that_cannot_be_read_is_told_and_breaks_nothing(bad: str) -> None:
    constraint = {"key": "x-1", "severity": "error", "human": "x", "expression": bad}
    known = profile()
    made = dict(known.definition(X) or {})
    made["differential"] = {"element": [{"id": "Patient", "path": "Patient", "constraint": [constraint]}]}
    (found,) = judge({"resourceType": "Patient"}, definitions.profiles([made]), (X,))
    assert (found.severity, found.code) == ("information", "not-supported")
    assert "x-1" in found.diagnostics


@pytest.mark.parametrize(
    ("resource", "broken"),
    [
        (
            {
                "resourceType": "Patient",
                "extension": [{"url": f"{samples.PDSM}/pdsm-ext-is-archived", "valueBoolean": True}],
            },
            "context",
        ),
        (
            {
                "resourceType": "List",
                "modifierExtension": [{"url": f"{samples.PDSM}/pdsm-ext-is-archived", "valueBoolean": True}],
            },
            "modifier",
        ),
    ],
)
def test_an_extension_stands_where_it_may(resource: Json, broken: str) -> None:
    body = {**resource, **({"status": "current", "mode": "working"} if resource["resourceType"] == "List" else {})}
    assert f"Extension#{broken}" in rules(errors(body))


def test_a_value_of_another_type_than_the_extension_has_is_an_error() -> None:
    archived = {"url": f"{samples.PDSM}/pdsm-ext-is-archived", "valueString": "true"}
    body = {"resourceType": "List", "status": "current", "mode": "working", "extension": [archived]}
    assert "Extension.value[x]#type" in rules(errors(body))


def test_a_profile_that_nobody_has_is_named() -> None:
    body = {"resourceType": "Patient", "meta": {"profile": ["http://example.org/unknown"]}}
    (found,) = judge(body, PROFILES)
    assert (found.severity, found.code, found.expression) == ("warning", "not-supported", ("Patient.meta.profile[0]",))


def test_a_differential_that_names_nothing_is_told_and_breaks_nothing() -> None:
    (found,) = judge({"resourceType": "Patient"}, profile({"id": "Patient.nose", "path": "Patient.nose"}), (X,))
    assert (found.severity, found.code) == ("warning", "not-supported")
    assert "nose" in found.diagnostics


def _named(definition: Json) -> Iterator[tuple[str, str]]:
    """Yield (kind, canonical) of everything that a StructureDefinition names."""
    yield "baseDefinition", definition["baseDefinition"]
    for element in (*definition["differential"]["element"], *definition["snapshot"]["element"]):
        for type_ in element.get("type", ()):
            yield from (("profile", url) for url in type_.get("profile", ()))
            yield from (("targetProfile", url) for url in type_.get("targetProfile", ()))
        if "valueSet" in element.get("binding", {}):
            yield "valueSet", element["binding"]["valueSet"]


STRUCTURE_DEFINITIONS = [each for each in OWN if each["resourceType"] == "StructureDefinition"]
#: Definitions of R4 that are no type: a profile of Quantity that R4 itself uses.
_OF_R4 = {"http://hl7.org/fhir/StructureDefinition/SimpleQuantity"}
_BOUND_BY_R4 = {valueset for _, valueset in definitions.load_json(DEFINITIONS)["bindings"].values()}


@pytest.mark.parametrize("definition", STRUCTURE_DEFINITIONS, ids=lambda each: each["id"])
def test_everything_that_a_profile_names_is_in_the_package_or_in_r4(definition: Json) -> None:
    published = {each["url"] for each in OWN} | _OF_R4
    missing = []
    for kind, canonical in _named(definition):
        url = canonical.partition("|")[0]
        core = BASE.structures.get(url.removeprefix("http://hl7.org/fhir/StructureDefinition/")) is not None
        coded = kind == "valueSet" and (url in _BOUND_BY_R4 or PROFILES.contains(url, None, "x") is not None)
        if not (url in published or core or coded):
            missing.append((kind, url))
    assert missing == []


@pytest.mark.parametrize("definition", STRUCTURE_DEFINITIONS, ids=lambda each: each["id"])
def test_a_differential_stands_in_the_order_of_its_snapshot(definition: Json) -> None:
    places = {element["id"]: index for index, element in enumerate(definition["snapshot"]["element"])}
    order = [places[element["id"]] for element in definition["differential"]["element"]]
    assert order == sorted(order)  # run scripts/derive-snapshots


@pytest.mark.parametrize("definition", STRUCTURE_DEFINITIONS, ids=lambda each: each["id"])
def test_every_element_of_a_snapshot_has_a_type_or_refers_to_another(definition: Json) -> None:
    bare = [
        element["id"]
        for element in definition["snapshot"]["element"][1:]
        if not element.get("type") and "contentReference" not in element
    ]
    assert bare == []


@pytest.mark.parametrize("definition", STRUCTURE_DEFINITIONS, ids=lambda each: each["id"])
def test_a_differential_names_a_slice_before_what_is_inside_it(definition: Json) -> None:
    named: set[str] = set()
    missing = []
    for element in definition["differential"]["element"]:
        steps = element["id"].split(".")
        named.add(element["id"])
        around = {".".join(steps[: index + 1]) for index, step in enumerate(steps) if ":" in step}
        missing += sorted(around - named)
    assert missing == []
