"""Terminology operations through HTTP, on what is packaged and what an administrator stores. [fhir-rest J209]"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import pytest

from fhir_dmp.fhir.xml import to_xml
from fhir_dmp.terminology.aliases import nos
from tests.samples import Json
from tests.world import Client, Response, World

TYPES = nos("JDV_J07-XdsTypeCode-CISIS")
TYPE_TO_CLASS = nos("ASS_X04-CorrespondanceType-Classe-CISIS")
CLASSES = nos("TRE_A03-ClasseDocument")
COMPLEMENTARY = nos("TRE_A05-TypeDocComplementaire")
PROFESSIONS = nos("TRE_G15-ProfessionSante")
GENDER = "http://hl7.org/fhir/ValueSet/administrative-gender"
LOINC = "http://loinc.org"
UCUM = "http://unitsofmeasure.org"
TREES = "http://example.org/fhir/CodeSystem/trees"
LEAFY = "http://example.org/fhir/ValueSet/leafy"


def concept(code: str, display: str, *below: Json, **more: Any) -> Json:
    """Return a concept of a CodeSystem."""
    made: Json = {"code": code, "display": display, **more}
    return {**made, "concept": list(below)} if below else made


def trees() -> Json:
    """Return a small hierarchy with designations, a property and a retired code."""
    french = [{"language": "fr-FR", "value": "Chêne vert"}]
    evergreen = [{"code": "evergreen", "valueBoolean": True}]
    return {
        "resourceType": "CodeSystem",
        "url": TREES,
        "version": "1.0",
        "name": "Trees",
        "status": "active",
        "content": "complete",
        "caseSensitive": True,
        "property": [{"code": "evergreen", "type": "boolean"}, {"code": "inactive", "type": "boolean"}],
        "concept": [
            concept(
                "tree",
                "Tree",
                concept("oak", "Oak", concept("holm", "Holm oak", designation=french, property=evergreen)),
                concept("pine", "Pine", property=evergreen),
                concept("elm", "Elm", property=[{"code": "inactive", "valueBoolean": True}]),
            ),
            concept("shrub", "Shrub"),
        ],
    }


def leafy(**compose: Any) -> Json:
    """Return a value set of TREES."""
    return {"resourceType": "ValueSet", "url": LEAFY, "name": "Leafy", "status": "active", "compose": compose}


def whole(**more: Any) -> Json:
    """Return an include of TREES."""
    return {"system": TREES, **more}


def filtered(name: str, op: str, value: str) -> Json:
    """Return an include of the concepts of TREES that pass a filter."""
    return whole(filter=[{"property": name, "op": op, "value": value}])


def parameters(**given: Any) -> Json:
    """Return Parameters: code="x" or valueSet={...}; a tuple gives (type, value)."""
    parts = []
    for name, value in given.items():
        if isinstance(value, tuple):
            parts.append({"name": name, f"value{value[0]}": value[1]})
        elif isinstance(value, dict):
            parts.append({"name": name, "resource": value})
        else:
            parts.append({"name": name, "valueCode": value})
    return {"resourceType": "Parameters", "parameter": parts}


def get(client: Client, path: str, **query: str) -> Response:
    """Ask by URL; `_` in a name stands for `-`."""
    return client.get(f"/{path}?" + urlencode({name.replace("_", "-"): value for name, value in query.items()}))


def values(answer: Response) -> dict[str, Any]:
    """Return the primitive answers by name."""
    assert answer.status == 200, answer.body
    found: dict[str, Any] = {}
    for part in answer.json["parameter"]:
        key = next((key for key in part if key.startswith("value")), None)
        if key is not None:
            found[part["name"]] = part[key]
    return found


def codes(answer: Response) -> list[str]:
    """Return the codes of an expansion."""
    assert answer.status == 200, answer.body
    return [each["code"] for each in answer.json["expansion"].get("contains", [])]


@pytest.fixture
def stored(world: World) -> World:
    """A server on which the administrator stored TREES."""
    assert world.admin.post("/CodeSystem", trees()).status == 201
    return world


@pytest.mark.statement("fhir-rest J209")
def test_the_packaged_document_types_are_expanded_filtered_and_paged(wide: World) -> None:
    doctor = wide.doctor()
    every = get(doctor, "ValueSet/$expand", url=TYPES)
    assert every.json["expansion"]["total"] == len(codes(every)) > 100
    assert {"system": COMPLEMENTARY, "code": "SYNTH", "display": "Synthèse"} in every.json["expansion"]["contains"]
    found = get(doctor, "ValueSet/$expand", url=TYPES, filter="SYNTHESE medi")
    assert all("ynth" in each["display"] for each in found.json["expansion"]["contains"])
    assert found.json["expansion"]["total"] < every.json["expansion"]["total"]
    pages: list[str] = []
    for offset in range(0, every.json["expansion"]["total"], 50):
        page = get(doctor, "ValueSet/$expand", url=TYPES, count="50", offset=str(offset))
        assert page.json["expansion"]["offset"] == offset
        pages += codes(page)
    assert pages == codes(every)


@pytest.mark.statement("fhir-rest J209")
def test_a_code_is_validated_looked_up_and_translated(wide: World) -> None:
    doctor = wide.doctor()
    assert values(get(doctor, "ValueSet/$validate-code", url=TYPES, system=LOINC, code="34112-3"))["result"] is True
    wrong = values(get(doctor, "ValueSet/$validate-code", url=TYPES, system=LOINC, code="0-0"))
    assert wrong["result"] is False
    assert "0-0" in wrong["message"]
    looked = values(get(doctor, "CodeSystem/$lookup", system=PROFESSIONS, code="10"))
    assert looked["display"] == "Médecin"
    matched = get(doctor, "ConceptMap/$translate", url=TYPE_TO_CLASS, system=LOINC, code="34112-3")
    assert values(matched)["result"] is True
    match = next(part["part"] for part in matched.json["parameter"] if part["name"] == "match")
    assert {"name": "concept", "valueCoding": {"system": CLASSES, "code": "10"}} in match
    back = get(doctor, "ConceptMap/$translate", url=TYPE_TO_CLASS, system=CLASSES, code="60", reverse="true")
    assert {"name": "concept", "valueCoding": {"system": COMPLEMENTARY, "code": "REMB"}} in [
        part for each in back.json["parameter"] if each["name"] == "match" for part in each["part"]
    ]


@pytest.mark.statement("fhir-rest J209")
@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("ValueSet/$expand", {"url": "http://example.org/none"}),
        ("ValueSet/$validate-code", {"url": "http://example.org/none", "code": "a"}),
        ("CodeSystem/$validate-code", {"url": "http://example.org/none", "code": "a"}),
        ("CodeSystem/$lookup", {"system": "http://example.org/none", "code": "a"}),
        ("CodeSystem/$lookup", {"system": PROFESSIONS, "code": "no-such"}),
        ("CodeSystem/$subsumes", {"system": "http://example.org/none", "codeA": "a", "codeB": "b"}),
        ("ConceptMap/$translate", {"url": "http://example.org/none", "system": LOINC, "code": "a"}),
    ],
)
def test_what_is_not_loaded_is_not_found(world: World, path: str, query: dict[str, str]) -> None:
    answer = get(world.doctor(), path, **query)
    assert answer.status == 404
    assert answer.json["issue"][0]["code"] == "not-found"


@pytest.mark.parametrize(
    ("path", "query", "expression"),
    [
        ("ValueSet/$expand", {}, "url"),
        ("ValueSet/$expand", {"url": TYPES, "count": "-1"}, "count"),
        ("ValueSet/$expand", {"url": TYPES, "activeOnly": "perhaps"}, "activeOnly"),
        ("ValueSet/$validate-code", {"url": TYPES}, "code"),
        ("CodeSystem/$lookup", {"code": "10"}, "system"),
        ("CodeSystem/$subsumes", {"system": TREES, "codeA": "oak"}, "codeB"),
        ("ConceptMap/$translate", {"url": TYPE_TO_CLASS, "code": "10"}, "system"),
    ],
)
def test_a_question_that_lacks_something_says_what(
    stored: World, path: str, query: dict[str, str], expression: str
) -> None:
    answer = get(stored.doctor(), path, **query)
    assert answer.status == 400
    assert answer.json["issue"][0]["expression"] == [expression]


def test_an_unknown_parameter_is_warned_of_or_refused_by_strict_handling(world: World) -> None:
    path = f"/ValueSet/$expand?{urlencode({'url': TYPES, 'flter': 'x'})}"
    loose = world.doctor().get(path)
    assert "flter" in loose.headers["Warning"]
    strict = world.doctor().get(path, Prefer="handling=strict")
    assert (strict.status, strict.json["issue"][0]["expression"]) == (400, ["flter"])


def test_a_code_is_asked_about_as_coding_or_concept_in_json_and_xml(world: World) -> None:
    doctor = world.doctor()
    coding = {"system": LOINC, "code": "34112-3"}
    concepts = {"coding": [{"system": LOINC, "code": "0-0"}, coding]}
    asked = parameters(url=("Uri", TYPES), coding=("Coding", coding))
    assert values(doctor.post("/ValueSet/$validate-code", asked))["result"] is True
    asked = parameters(url=("Uri", TYPES), codeableConcept=("CodeableConcept", concepts))
    assert values(doctor.post("/ValueSet/$validate-code", asked))["result"] is True
    xml = doctor.post(
        "/ValueSet/$validate-code", to_xml(asked, world.services.structures), content_type="application/fhir+xml"
    )
    assert values(xml)["result"] is True
    both = parameters(url=("Uri", TYPES), code="34112-3", coding=("Coding", coding))
    assert doctor.post("/ValueSet/$validate-code", both).status == 400


def test_a_wrong_display_is_told_without_minding_case_and_accents(world: World) -> None:
    asked = {"url": TYPES, "system": COMPLEMENTARY, "code": "SYNTH"}
    assert values(get(world.doctor(), "ValueSet/$validate-code", **asked, display="synthese"))["result"] is True
    wrong = values(get(world.doctor(), "ValueSet/$validate-code", **asked, display="Analyse"))
    assert (wrong["result"], wrong["display"]) == (False, "Synthèse")


@pytest.mark.parametrize(("code", "valid"), [("mm[Hg]", True), ("10*9/L", True), ("bpm", False), ("mg/dL{x", False)])
def test_units_are_judged_by_the_grammar_of_ucum(world: World, code: str, valid: bool) -> None:
    assert values(get(world.doctor(), "CodeSystem/$validate-code", url=UCUM, code=code))["result"] is valid
    assert values(get(world.doctor(), "CodeSystem/$validate-code", system=UCUM, code=code))["result"] is valid


@pytest.mark.parametrize(
    ("compose", "expected"),
    [
        ({"include": [whole()]}, ["tree", "oak", "holm", "pine", "elm", "shrub"]),
        ({"include": [whole()], "inactive": False}, ["tree", "oak", "holm", "pine", "shrub"]),
        ({"include": [filtered("concept", "is-a", "oak")]}, ["oak", "holm"]),
        ({"include": [filtered("concept", "descendent-of", "oak")]}, ["holm"]),
        ({"include": [filtered("concept", "is-not-a", "tree")]}, ["shrub"]),
        ({"include": [filtered("concept", "generalizes", "holm")]}, ["tree", "oak", "holm"]),
        ({"include": [filtered("concept", "in", "oak,shrub")]}, ["oak", "shrub"]),
        ({"include": [filtered("code", "not-in", "tree,oak,holm,elm")]}, ["pine", "shrub"]),
        ({"include": [filtered("evergreen", "=", "true")]}, ["holm", "pine"]),
        ({"include": [filtered("evergreen", "exists", "false")]}, ["tree", "oak", "elm", "shrub"]),
        ({"include": [filtered("code", "regex", "[a-z]{3}")]}, ["oak", "elm"]),
        ({"include": [filtered("display", "regex", ".* oak")]}, ["holm"]),
        ({"include": [whole()], "exclude": [filtered("concept", "is-a", "tree")]}, ["shrub"]),
        ({"include": [whole(concept=[{"code": "pine"}, {"code": "oak"}])]}, ["pine", "oak"]),
        ({"include": [{"valueSet": [GENDER]}]}, ["male", "female", "other", "unknown"]),
        ({"include": [{"system": GENDER, "valueSet": [GENDER]}]}, None),
    ],
)
def test_what_a_value_set_composes_is_expanded_and_validated_alike(
    stored: World, compose: Json, expected: list[str] | None
) -> None:
    doctor = stored.doctor()
    answer = doctor.post("/ValueSet/$expand", parameters(valueSet=leafy(**compose)))
    if expected is None:
        assert (answer.status, answer.json["issue"][0]["code"]) == (422, "not-supported")
        return
    assert codes(answer) == expected
    for each in ("tree", "oak", "holm", "pine", "elm", "shrub"):
        asked = parameters(valueSet=leafy(**compose), coding=("Coding", {"system": TREES, "code": each}))
        assert values(doctor.post("/ValueSet/$validate-code", asked))["result"] is (each in expected), each


def test_a_stored_value_set_is_asked_by_url_and_by_id_and_a_new_version_counts_at_once(stored: World) -> None:
    admin, doctor = stored.admin, stored.doctor()
    id_ = admin.post("/ValueSet", leafy(include=[filtered("concept", "is-a", "oak")])).json["id"]
    assert codes(get(doctor, "ValueSet/$expand", url=LEAFY)) == ["oak", "holm"]
    assert codes(get(admin, f"ValueSet/{id_}/$expand")) == ["oak", "holm"]
    assert admin.put(f"/ValueSet/{id_}", {**leafy(include=[filtered("code", "in", "elm")]), "id": id_}).status == 200
    assert codes(get(doctor, "ValueSet/$expand", url=LEAFY)) == ["elm"]
    assert codes(get(doctor, "ValueSet/$expand", url=LEAFY, activeOnly="true")) == []
    assert admin.delete(f"/ValueSet/{id_}").status in (200, 204)
    assert get(doctor, "ValueSet/$expand", url=LEAFY).status == 404


def test_value_sets_that_include_each_other_end_in_a_clear_answer(stored: World) -> None:
    stored.admin.post("/ValueSet", leafy(include=[{"valueSet": [LEAFY]}]))
    answer = get(stored.doctor(), "ValueSet/$expand", url=LEAFY)
    assert answer.status == 422
    assert "includes itself" in answer.json["issue"][0]["diagnostics"]
    asked = get(stored.doctor(), "ValueSet/$validate-code", url=LEAFY, code="oak", system=TREES)
    assert values(asked)["result"] is False


@pytest.mark.parametrize("pattern", ["(a+)+$", "(", "x" * 600])
def test_a_hostile_pattern_costs_no_time(stored: World, pattern: str) -> None:
    posted = parameters(valueSet=leafy(include=[filtered("display", "regex", pattern)]))
    assert stored.doctor().post("/ValueSet/$expand", posted).status in (200, 422)


def test_a_display_is_given_in_the_language_that_is_asked_for(stored: World) -> None:
    asked = {"system": TREES, "code": "holm"}
    assert values(get(stored.doctor(), "CodeSystem/$lookup", **asked, displayLanguage="fr"))["display"] == "Chêne vert"
    assert values(get(stored.doctor(), "CodeSystem/$lookup", **asked, displayLanguage="de"))["display"] == "Holm oak"
    posted = parameters(
        valueSet=leafy(include=[whole(concept=[{"code": "holm"}])]),
        displayLanguage="fr",
        includeDesignations=("Boolean", True),
    )
    shown = stored.doctor().post("/ValueSet/$expand", posted).json["expansion"]["contains"][0]
    assert shown["display"] == "Chêne vert"
    assert shown["designation"][0]["language"] == "fr-FR"


def test_a_lookup_tells_parents_children_and_properties(stored: World) -> None:
    answer = get(stored.doctor(), "CodeSystem/$lookup", system=TREES, code="oak")
    found = [{p["name"]: p.get("valueCode", p.get("valueBoolean")) for p in each["part"]}
             for each in answer.json["parameter"] if each["name"] == "property"]  # fmt: skip
    assert {"code": "parent", "value": "tree"} in found
    assert {"code": "child", "value": "holm"} in found
    only = get(stored.doctor(), "CodeSystem/$lookup", system=TREES, code="holm", property="evergreen")
    assert [p["part"] for p in only.json["parameter"] if p["name"] == "property"] == [
        [{"name": "code", "valueCode": "evergreen"}, {"name": "value", "valueBoolean": True}]
    ]


@pytest.mark.parametrize(
    ("one", "other", "outcome"),
    [
        ("oak", "oak", "equivalent"),
        ("tree", "holm", "subsumes"),
        ("holm", "tree", "subsumed-by"),
        ("pine", "oak", "not-subsumed"),
    ],
)
def test_two_codes_stand_to_each_other_as_the_hierarchy_says(stored: World, one: str, other: str, outcome: str) -> None:
    answer = get(stored.doctor(), "CodeSystem/$subsumes", system=TREES, codeA=one, codeB=other)
    assert values(answer) == {"outcome": outcome}
    assert get(stored.doctor(), "CodeSystem/$subsumes", system=TREES, codeA=one, codeB="fern").status == 404


def test_a_search_below_a_code_uses_the_stored_hierarchy(stored: World) -> None:
    for code in ("holm", "pine"):
        made = {"resourceType": "Basic", "code": {"coding": [{"system": TREES, "code": code}]}}
        assert stored.admin.post("/Basic", made).status == 201
    found = get(stored.admin, "Basic", **{"code:below": f"{TREES}|oak"}).json
    assert [each["resource"]["code"]["coding"][0]["code"] for each in found["entry"]] == ["holm"]


def test_the_capability_statement_offers_the_operations_with_their_definitions(world: World) -> None:
    stated = Client(world, None).get("/metadata").json["rest"][0]["resource"]
    offered = {each["type"]: {op["name"]: op["definition"] for op in each.get("operation", [])} for each in stated}
    assert offered["ValueSet"]["expand"] == "http://hl7.org/fhir/OperationDefinition/ValueSet-expand"
    assert offered["CodeSystem"]["validate-code"] == "http://hl7.org/fhir/OperationDefinition/CodeSystem-validate-code"
    assert "expand" not in offered["CodeSystem"]
    terms = Client(world, None).get("/metadata?mode=terminology").json
    listed = {each["uri"]: each for each in terms["codeSystem"]}
    assert {LOINC, UCUM, CLASSES} <= listed.keys()
    assert terms["expansion"]["paging"] is True
    assert terms["translation"] == {"needsMap": True}


@pytest.mark.parametrize(
    ("path", "name", "sent"),
    [
        ("ValueSet/$expand", "valueSet", leafy(include=[{"system": {"a": 1}, "valueSet": [{"x": 1}]}])),
        ("ValueSet/$validate-code", "valueSet", leafy(include=[whole(filter="x", concept=[{"code": {"a": 1}}])])),
        (
            "CodeSystem/$validate-code",
            "codeSystem",
            {**trees(), "concept": [{"code": "a", "property": [{"code": []}]}]},
        ),
        (
            "ConceptMap/$translate",
            "conceptMap",
            {"resourceType": "ConceptMap", "status": "active", "group": [{"source": [1], "element": 7}]},
        ),
    ],
)
def test_a_definition_that_is_sent_along_must_have_the_structure_of_r4(
    world: World, path: str, name: str, sent: Json
) -> None:
    asked = parameters(**{name: sent}, coding=("Coding", {"system": TREES, "code": "oak"}))
    answer = world.doctor().post(f"/{path}", asked)
    assert answer.status == 422
    assert all(each.startswith(sent["resourceType"]) for each in answer.expressions)
