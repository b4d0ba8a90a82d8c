"""Every parameter of the terminology operations of R4 does what R4 says, or is refused by name. [fhir-rest J209]"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from fhir_dmp.store.memory import MemoryStore
from tests.rest.test_terminology import (
    LEAFY,
    TREES,
    UCUM,
    codes,
    filtered,
    get,
    leafy,
    parameters,
    trees,
    values,
    whole,
)
from tests.samples import Json
from tests.world import Client, Response, World, make_world

pytestmark = pytest.mark.statement("fhir-rest J209")
MAP = "http://example.org/fhir/ConceptMap/uses"
OTHER = "http://example.org/fhir/ConceptMap/other-uses"
USES = "http://example.org/fhir/CodeSystem/uses"
SEASON = "http://example.org/season"


def target(code: str, equivalence: str = "equivalent", **more: Any) -> Json:
    return {"code": code, "equivalence": equivalence, **more}


def uses() -> list[Json]:
    """Return a map of trees to their uses, and the one that it refers to for the rest."""
    season = {"property": SEASON, "value": "winter"}
    shade = {"property": "http://example.org/gives", "system": USES, "value": "shade"}
    elements = [
        {"code": "oak", "target": [target("timber", product=[shade])]},
        {"code": "pine", "target": [target("resin"), target("fire", dependsOn=[season])]},
        {"code": "elm", "target": [{"equivalence": "unmatched"}]},
    ]
    rest = {"mode": "other-map", "url": OTHER}
    head: Json = {"resourceType": "ConceptMap", "status": "active", "sourceUri": LEAFY}
    groups = [
        {"source": TREES, "sourceVersion": "1.0", "target": USES, "element": elements, "unmapped": rest},
        {"source": TREES, "sourceVersion": "9", "target": USES, "element": [{"code": "oak", "target": [target("x")]}]},
    ]
    fixed = {"mode": "fixed", "code": "none", "display": "No use"}
    others = [{"source": TREES, "target": USES, "element": [{"code": "x"}], "unmapped": fixed}]
    return [{**head, "url": MAP, "group": groups}, {**head, "url": OTHER, "group": others}]


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    made = make_world(MemoryStore())
    second = {**trees(), "version": "2.0", "concept": [{"code": "palm", "display": "Palm"}]}
    for each in (second, trees(), leafy(include=[whole()]), *uses()):
        assert made.admin.post(f"/{each['resourceType']}", each).status == 201
    yield made
    made.services.close()


@pytest.fixture(scope="module")
def doctor(world: World) -> Client:
    return world.doctor()


def said(answer: Response) -> dict[str, Any]:
    """Return the parameters of an expansion."""
    return {
        each["name"]: next(value for key, value in each.items() if key != "name")
        for each in answer.json["expansion"]["parameter"]
    }


def tree_of(contains: list[Json]) -> dict[str, Any]:
    return {each["code"]: tree_of(each.get("contains", [])) for each in contains}


def test_a_hierarchy_is_given_nested_when_it_is_asked_for(doctor: Client) -> None:
    nested = get(doctor, "ValueSet/$expand", url=LEAFY, excludeNested="false").json["expansion"]
    assert tree_of(nested["contains"]) == {"tree": {"oak": {"holm": {}}, "pine": {}, "elm": {}}, "shrub": {}}
    assert nested["total"] == 6
    paged = get(doctor, "ValueSet/$expand", url=LEAFY, excludeNested="false", count="2")
    assert (paged.status, paged.codes, paged.expressions) == (422, {"not-supported"}, ["excludeNested"])
    assert codes(get(doctor, "ValueSet/$expand", url=LEAFY, excludeNested="true"))[:2] == ["tree", "oak"]


def test_codes_that_stand_in_a_circle_are_all_given_nested(doctor: Client) -> None:
    above = [("a", "b"), ("b", "a"), ("c", "a")]
    circle = {
        **trees(),
        "url": f"{TREES}-circle",
        "concept": [{"code": code, "property": [{"code": "parent", "valueCode": up}]} for code, up in above],
    }
    made = {**leafy(include=[{"system": circle["url"]}]), "url": f"{LEAFY}-circle"}
    for each in (circle, made):
        assert doctor.world.admin.post(f"/{each['resourceType']}", each).status == 201
    answer = get(doctor, "ValueSet/$expand", url=made["url"], excludeNested="false")
    assert tree_of(answer.json["expansion"]["contains"]) == {"a": {"b": {}, "c": {}}}


def test_the_versions_of_code_systems_are_chosen_checked_and_forced_and_told(doctor: Client) -> None:
    first = get(doctor, "ValueSet/$expand", url=LEAFY, system_version=f"{TREES}|1.0")
    assert len(codes(first)) == 6
    assert said(first) == {"system-version": f"{TREES}|1.0", "version": f"{TREES}|1.0"}
    second = get(doctor, "ValueSet/$expand", url=LEAFY, system_version=f"{TREES}|2.0")
    assert codes(second) == ["palm"]
    fixed = parameters(
        **{
            "valueSet": leafy(include=[whole(version="1.0")]),
            "system-version": ("Uri", f"{TREES}|2.0"),
        }
    )
    assert len(codes(doctor.post("/ValueSet/$expand", fixed))) == 6
    forced = parameters(valueSet=leafy(include=[whole(version="1.0")]))
    forced["parameter"].append({"name": "force-system-version", "valueUri": f"{TREES}|2.0"})
    assert codes(doctor.post("/ValueSet/$expand", forced)) == ["palm"]
    wrong = get(doctor, "ValueSet/$expand", url=LEAFY, check_system_version=f"{TREES}|2.0")
    assert wrong.status == 422
    assert "version 1.0, not 2.0" in wrong.json["issue"][0]["diagnostics"]
    absent = get(doctor, "ValueSet/$expand", url=LEAFY, force_system_version=f"{TREES}|7")
    assert absent.status == 422
    assert get(doctor, "ValueSet/$expand", url=LEAFY, system_version=TREES).expressions == ["system-version"]


@pytest.mark.parametrize(
    ("designation", "expected"),
    [("urn:ietf:bcp:47|fr", ["Chêne vert"]), ("fr", ["Chêne vert"]), ("de", None), ("http://x.example|y", None)],
)
def test_only_the_designations_that_are_asked_for_are_given(
    doctor: Client, designation: str, expected: list[str] | None
) -> None:
    answer = get(doctor, "ValueSet/$expand", url=LEAFY, filter="holm", designation=designation)
    shown = answer.json["expansion"]["contains"][0].get("designation")
    assert (None if shown is None else [each["value"] for each in shown]) == expected


def test_definition_activity_and_selectability_decide_what_is_shown(doctor: Client) -> None:
    whole_definition = get(doctor, "ValueSet/$expand", url=LEAFY, includeDefinition="true").json
    assert whole_definition["compose"] == {"include": [whole()]}
    assert "compose" not in get(doctor, "ValueSet/$expand", url=LEAFY).json
    assert "elm" not in codes(get(doctor, "ValueSet/$expand", url=LEAFY, activeOnly="true"))
    abstract = {**trees(), "url": f"{TREES}-abstract"}
    abstract["concept"] = [
        {"code": "all", "property": [{"code": "notSelectable", "valueBoolean": True}]},
        {"code": "x"},
    ]
    made = {**leafy(include=[{"system": abstract["url"]}]), "url": f"{LEAFY}-abstract"}
    for each in (abstract, made):
        assert doctor.world.admin.post(f"/{each['resourceType']}", each).status == 201
    assert codes(get(doctor, "ValueSet/$expand", url=made["url"])) == ["all", "x"]
    assert codes(get(doctor, "ValueSet/$expand", url=made["url"], excludeNotForUI="true")) == ["x"]
    asked = {"url": made["url"], "system": abstract["url"], "code": "all"}
    assert values(get(doctor, "ValueSet/$validate-code", **asked))["result"] is True
    assert values(get(doctor, "ValueSet/$validate-code", **asked, abstract="false"))["result"] is False


def test_a_value_set_may_be_the_bare_body(doctor: Client) -> None:
    assert codes(doctor.post("/ValueSet/$expand?count=1", leafy(include=[whole()]))) == ["tree"]
    other = doctor.post("/ValueSet/$expand", trees())
    assert other.status == 400


@pytest.mark.parametrize(
    ("path", "query", "name"),
    [
        ("ValueSet/$expand", {"url": LEAFY}, "date"),
        ("ValueSet/$expand", {"url": LEAFY}, "context"),
        ("ValueSet/$validate-code", {"url": LEAFY, "system": TREES, "code": "oak"}, "date"),
        ("CodeSystem/$validate-code", {"url": TREES, "code": "oak"}, "date"),
        ("CodeSystem/$lookup", {"system": TREES, "code": "oak"}, "date"),
    ],
)
def test_a_parameter_that_would_change_the_answer_and_is_not_offered_is_refused(
    doctor: Client, path: str, query: dict[str, str], name: str
) -> None:
    for answer in (
        get(doctor, path, **query, **{name: "2020-01-01"}),
        doctor.post(f"/{path}", parameters(**query, **{name: ("DateTime", "2020-01-01")})),
    ):
        assert (answer.status, answer.codes, answer.expressions) == (400, {"not-supported"}, [name])


def test_a_code_without_system_is_looked_for_in_all_unless_the_caller_says_no(doctor: Client) -> None:
    assert values(get(doctor, "ValueSet/$validate-code", url=LEAFY, code="oak"))["result"] is True
    assert values(get(doctor, "ValueSet/$validate-code", url=LEAFY, code="oak", inferSystem="true"))["display"] == "Oak"
    refused = get(doctor, "ValueSet/$validate-code", url=LEAFY, code="oak", inferSystem="false")
    assert (refused.status, refused.expressions) == (400, ["system"])


@pytest.mark.parametrize(
    ("display", "right"), [("Holm oak", True), ("holm OAK", True), ("Chene vert", True), ("Liège", False)]
)
def test_every_name_of_a_code_is_right(doctor: Client, display: str, right: bool) -> None:
    asked = {"system": TREES, "code": "holm", "display": display}
    assert values(get(doctor, "ValueSet/$validate-code", url=LEAFY, **asked))["result"] is right
    told = values(get(doctor, "CodeSystem/$validate-code", url=TREES, **asked, displayLanguage="fr"))
    assert (told["result"], told["display"]) == (right, "Chêne vert")


def test_a_code_is_validated_in_the_version_that_was_said(doctor: Client) -> None:
    asked = {"url": LEAFY, "system": TREES, "code": "palm"}
    assert values(get(doctor, "ValueSet/$validate-code", **asked))["result"] is False
    assert values(get(doctor, "ValueSet/$validate-code", **asked, systemVersion="2.0"))["result"] is True
    coding = {"system": TREES, "code": "palm", "version": "2.0"}
    asked_for = parameters(url=("Uri", LEAFY), coding=("Coding", coding))
    assert values(doctor.post("/ValueSet/$validate-code", asked_for))["result"] is True
    assert values(get(doctor, "CodeSystem/$validate-code", url=f"{TREES}|2.0", code="palm"))["result"] is True
    assert values(get(doctor, "CodeSystem/$lookup", system=TREES, code="palm", version="2.0"))["version"] == "2.0"


def test_many_codes_are_validated_in_one_batch(doctor: Client) -> None:
    url = f"ValueSet/$validate-code?url={LEAFY}&system={TREES}&code="
    entries: list[Json] = [{"request": {"method": "GET", "url": url + code}} for code in ("oak", "fern")]
    posted = parameters(url=("Uri", LEAFY), coding=("Coding", {"system": TREES, "code": "pine"}))
    entries.append({"resource": posted, "request": {"method": "POST", "url": "ValueSet/$validate-code"}})
    entries.append({"request": {"method": "GET", "url": "ValueSet/$validate-code?url=http://example.org/none&code=a"}})
    answer = doctor.post("/", {"resourceType": "Bundle", "type": "batch", "entry": entries}).json["entry"]
    told = [each.get("resource", {}).get("parameter", [{}])[0].get("valueBoolean") for each in answer]
    assert told == [True, False, True, None]
    assert answer[3]["response"]["status"].startswith("404")


def matches(answer: Response) -> list[tuple[str, str | None]]:
    """Return equivalence and code of each match."""
    found = []
    for each in answer.json["parameter"]:
        if each["name"] == "match":
            parts = {part["name"]: part for part in each["part"]}
            found.append((parts["equivalence"]["valueCode"], parts["concept"]["valueCoding"].get("code")))
    return found


@pytest.mark.parametrize(
    ("code", "more", "expected", "result"),
    [
        ("oak", {}, [("equivalent", "timber"), ("equivalent", "x")], True),
        ("oak", {"version": "1.0"}, [("equivalent", "timber")], True),
        ("oak", {"version": "9"}, [("equivalent", "x")], True),
        ("oak", {"targetsystem": "http://example.org/none"}, [], False),
        ("pine", {}, [("equivalent", "resin")], True),
        ("elm", {}, [("unmatched", None)], False),
        ("shrub", {}, [("inexact", "none")], True),
    ],
)
def test_a_code_is_translated(
    doctor: Client, code: str, more: dict[str, str], expected: list[Any], result: bool
) -> None:
    answer = get(doctor, "ConceptMap/$translate", url=MAP, system=TREES, code=code, **more)
    assert (matches(answer), values(answer)["result"]) == (expected, result)


def test_a_translation_that_depends_on_something_needs_it_said(doctor: Client) -> None:
    def asked(value: str) -> Json:
        concept = {"coding": [{"code": value}]}
        parts = [{"name": "element", "valueUri": SEASON}, {"name": "concept", "valueCodeableConcept": concept}]
        made = parameters(url=("Uri", MAP), system=("Uri", TREES), code="pine")
        made["parameter"].append({"name": "dependency", "part": parts})
        return made

    winter = doctor.post("/ConceptMap/$translate", asked("winter"))
    assert matches(winter) == [("equivalent", "resin"), ("equivalent", "fire")]
    assert matches(doctor.post("/ConceptMap/$translate", asked("summer"))) == [("equivalent", "resin")]
    broken = asked("winter")
    broken["parameter"][-1]["part"].pop()
    assert doctor.post("/ConceptMap/$translate", broken).expressions == ["dependency"]


def test_what_a_translation_states_beside_its_code_is_told(doctor: Client) -> None:
    answer = get(doctor, "ConceptMap/$translate", url=MAP, system=TREES, code="oak", version="1.0")
    (match,) = [each["part"] for each in answer.json["parameter"] if each["name"] == "match"]
    (product,) = [each["part"] for each in match if each["name"] == "product"]
    assert {part["name"]: part.get("valueUri") or part.get("valueCoding") for part in product} == {
        "element": "http://example.org/gives",
        "concept": {"system": USES, "code": "shade"},
    }


def test_a_translation_is_followed_backward_and_between_value_sets(doctor: Client) -> None:
    back = get(doctor, "ConceptMap/$translate", url=MAP, system=USES, code="resin", reverse="true")
    assert matches(back) == [("equivalent", "pine")]
    through = get(doctor, "ConceptMap/$translate", source=LEAFY, system=TREES, code="pine")
    assert ("equivalent", "resin") in matches(through)
    nowhere = get(doctor, "ConceptMap/$translate", source="http://example.org/none", system=TREES, code="pine")
    assert values(nowhere)["result"] is False


UNITS = (
    "10*9/L 10^9/L mm[Hg] [iU]/mL m[IU]/mL {score} g/(24.h) % /min kg/m2 mL/min/{1.73_m2} [in_i] [degF] Cel 1 m2.s-1"
    " mmol/mol{creat} [pH] [CFU]/mL"
)


@pytest.mark.parametrize("unit", UNITS.split())
def test_units_of_medicine_are_units(doctor: Client, unit: str) -> None:
    coding = ("Coding", {"system": UCUM, "code": unit})
    asked = parameters(url=("Uri", "http://hl7.org/fhir/ValueSet/ucum-units"), coding=coding)
    assert values(doctor.post("/ValueSet/$validate-code", asked))["result"] is True
    looked = doctor.post("/CodeSystem/$lookup", parameters(coding=coding))
    assert values(looked)["name"] == "UCUM"


@pytest.mark.parametrize(
    ("value_set", "system", "good", "bad"),
    [
        ("ucum-units", UCUM, "mg/dL", "mEq/L"),
        ("all-languages", "urn:ietf:bcp:47", "fr-FR", "fr_FR"),
        ("all-languages", "urn:ietf:bcp:47", "zh-Hant-TW", "french language"),
        ("mimetypes", "urn:ietf:bcp:13", "application/fhir+json; fhirVersion=4.0", "pdf"),
    ],
)
def test_codes_that_rules_make_are_judged_by_them_and_never_listed(
    doctor: Client, value_set: str, system: str, good: str, bad: str
) -> None:
    url = f"http://hl7.org/fhir/ValueSet/{value_set}"
    for code, valid in ((good, True), (bad, False)):
        asked = parameters(url=("Uri", url), coding=("Coding", {"system": system, "code": code}))
        assert values(doctor.post("/ValueSet/$validate-code", asked))["result"] is valid
        asked = parameters(url=("Uri", system), code=code)
        assert values(doctor.post("/CodeSystem/$validate-code", asked))["result"] is valid
    listed = get(doctor, "ValueSet/$expand", url=url)
    assert (listed.status, listed.codes) == (422, {"not-supported"})


@pytest.mark.parametrize(
    ("name", "op", "value"),
    [
        ("colour", "=", "green"),
        ("colour", "exists", "false"),
        ("evergreen", "exists", "perhaps"),
        ("evergreen", "is-a", "oak"),
        ("display", "regex", "("),
    ],
)
def test_a_filter_that_means_nothing_here_is_refused_and_never_a_wrong_answer(
    doctor: Client, name: str, op: str, value: str
) -> None:
    sent = leafy(include=[filtered(name, op, value)])
    answer = doctor.post("/ValueSet/$expand", parameters(valueSet=sent))
    assert (answer.status, answer.codes) == (422, {"not-supported"})
    asked = parameters(valueSet=sent, coding=("Coding", {"system": TREES, "code": "oak"}))
    told = values(doctor.post("/ValueSet/$validate-code", asked))
    assert told["result"] is False
    assert "cannot be told" in told["message"]


def test_the_operation_table_of_the_statement_names_every_parameter_that_counts(doctor: Client) -> None:
    told = doctor.get("/metadata?mode=terminology").json["expansion"]
    assert {"excludeNested", "system-version", "designation", "displayLanguage"} <= {
        e["name"] for e in told["parameter"]
    }
    assert told["hierarchical"] is True
