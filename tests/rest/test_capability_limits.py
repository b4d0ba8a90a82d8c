"""What /metadata and /openapi.json do not list is refused; each modifier that they list is served. fhir-rest J211"""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from fhir_dmp.store.memory import MemoryStore
from tests.rest.generate import TYPES, minimal
from tests.world import Client, Json, World, make_world

pytestmark = pytest.mark.statement("fhir-rest J211")
STRICT = {"Prefer": "handling=strict"}
GENDER = "http://hl7.org/fhir/ValueSet/administrative-gender"
SOME = ("Patient", "DocumentReference", "Observation", "ValueSet", "Encounter", "Consent", "Bundle", "Task")
MODIFIERS = {
    "missing", "exact", "contains", "text", "not", "in", "not-in", "above", "below", "of-type", "identifier", "type",
    "iterate", "near", "[type]",
}  # fmt: skip
VALUES = {
    "missing": "true",
    "in": GENDER,
    "not-in": GENDER,
    "of-type": "http://terminology.hl7.org/CodeSystem/v2-0203|MR|1",
    "identifier": "urn:x|1",
    "text": "word",
}
PLAIN = {
    "string": "abc",
    "token": "http://hl7.org/fhir/administrative-gender|male",
    "reference": "abc",
    "uri": "https://example.org/x",
    "date": "2026-06",
    "number": "1.0",
    "quantity": "1.0||mg",
    "composite": "a$b",
    "special": "mot",
}


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    made = make_world(MemoryStore())
    yield made
    made.services.close()


@pytest.fixture(scope="module")
def admin(world: World) -> Client:
    return world.admin


@pytest.fixture(scope="module")
def rest(admin: Client) -> Json:
    found: Json = admin.get("/metadata").json["rest"][0]
    return found


def claims(rest: Json, type_: str) -> Json:
    found: Json = next(each for each in rest["resource"] if each["type"] == type_)
    return found


def listed(parameter: Json) -> set[str]:
    """Return the modifiers that the statement lists, `[type]` as it stands."""
    return set(re.findall(r":(\[?[\w-]+\]?)", parameter.get("documentation", "")))


@pytest.mark.parametrize("type_", SOME)
def test_each_modifier_is_served_exactly_where_it_is_listed(admin: Client, rest: Json, type_: str) -> None:
    wrong = []
    for parameter in claims(rest, type_)["searchParam"]:
        name, offered = parameter["name"], listed(parameter)
        for modifier in MODIFIERS:
            value = VALUES.get(modifier, PLAIN[parameter["type"]])
            asked = target_of(admin, type_, name) if modifier == "[type]" else modifier
            answer = admin.get(f"/{type_}?{name}:{asked}={value}&_count=1", **STRICT)
            if b"expected true or false" in answer.body:
                answer = admin.get(f"/{type_}?{name}:{asked}=true&_count=1", **STRICT)
            if answer.status != (200 if modifier in offered else 400):
                wrong.append((name, parameter["type"], asked, answer.status, answer.body[:300]))
    assert wrong == []


def target_of(admin: Client, type_: str, name: str) -> str:
    """Return a type that a reference may lead to."""
    (found,) = [each for each in admin.world.services.registry.of(type_) if each.code == name]
    return next(iter(found.targets), "Patient")


@pytest.mark.parametrize("type_", SOME)
def test_a_parameter_or_include_that_is_not_listed_is_refused(admin: Client, rest: Json, type_: str) -> None:
    mine, wrong = claims(rest, type_), []
    known = {each["name"] for each in (*mine["searchParam"], *rest["searchParam"])}
    everywhere = {each["name"] for other in rest["resource"] for each in other.get("searchParam", ())}
    for name in [*sorted(everywhere - known)[::7], "no-such", "_no-such", "$where", "code[$ne]"]:
        answer = admin.get(f"/{type_}?{name}=a&_count=1", **STRICT)
        if answer.status != 400:
            wrong.append((name, answer.status))
    # An include of another type is no mistake: it may concern what a further include brings.
    others = {each for other in rest["resource"] for each in other.get("searchRevInclude", ())}
    others -= set(mine.get("searchRevInclude", ()))
    asked = [f"_revinclude={each}" for each in sorted(others)[::23]]
    asked += [
        f"{name}={each}" for name in ("_include", "_revinclude") for each in (f"{type_}:no-such", "NoSuch:subject")
    ]
    for each in asked:
        answer = admin.get(f"/{type_}?{each}&_count=1", **STRICT)
        if answer.status != 400:
            wrong.append((each, answer.status))
    assert wrong == []


def test_an_operation_that_is_not_listed_is_refused_wherever_it_is_called(admin: Client, rest: Json) -> None:
    named = {each["name"] for other in rest["resource"] for each in other.get("operation", ())}
    system = {each["name"] for each in rest["operation"]}
    body = {"resourceType": "Parameters"}
    for name in named - system:
        assert admin.post(f"/${name}", body).status == 404, name
    for type_ in TYPES[::5]:
        mine = {each["name"] for each in claims(rest, type_).get("operation", ())}
        for name in sorted((named | {"no-such", "graphql"}) - mine):
            for path in (f"/{type_}/${name}", f"/{type_}/x/${name}"):
                answer = admin.post(path, body)
                assert (answer.status, answer.codes) == (404, {"not-supported"}), path


def test_what_is_no_type_of_r4_is_not_found(admin: Client) -> None:
    for path in ("/NoSuch", "/patient", "/NoSuch/1", "/MedicationUsage", "/Patient/x/NoSuch"):
        for method in ("GET", "POST", "PUT", "DELETE"):
            answer = admin.call(method, path, {"resourceType": "NoSuch"} if method in ("POST", "PUT") else None)
            assert answer.status in (400, 404, 405), (method, path, answer.status)


METHODS = ("get", "post", "put", "patch", "delete")


def test_each_path_of_the_openapi_document_takes_its_methods_and_no_other(world: World) -> None:
    paths = world.request("GET", "/openapi.json", b"", {}).json["paths"]
    wrong = []
    for path, item in paths.items():
        first = path.strip("/").partition("/")[0]
        if first not in ("", "metadata", "_history", "_search", *SOME) and not first.startswith("$"):
            continue
        asked = path.replace("{id}", "none-such").replace("{vid}", "1").replace("{type}", "Observation")
        for method in METHODS:
            body = minimal(first) if first in TYPES else {"resourceType": "Parameters"}
            answer = world.admin.call(method.upper(), asked, body if method in ("post", "put", "patch") else None)
            refused = answer.status == 405 or (answer.status == 404 and "not-supported" in answer.codes)
            if answer.status >= 500 or refused is (method in item):
                wrong.append((method, path, answer.status, answer.body[:200]))
    assert wrong == []
