"""The archive request of the PDSm guide, whose path is no JSON Pointer."""

from __future__ import annotations

from typing import Any

import pytest

from fhir_dmp.documents.patch_dialect import normalise_pointers
from fhir_dmp.errors import Unprocessable
from fhir_dmp.fhir.json_patch import apply_json_patch
from fhir_dmp.fhir.resource import Json
from fhir_dmp.terminology.sharing import IS_ARCHIVED

ALIAS = "https://interop.esante.gouv.fr/ig/fhir/pdsm/SearchParameter/PDSm-isArchived"
OTHER: Json = {"url": "urn:other", "valueString": "x"}
BARE: Json = {"resourceType": "DocumentReference", "id": "d", "status": "current"}
LIVE: Json = {**BARE, "extension": [OTHER, {"url": IS_ARCHIVED, "valueBoolean": False}]}


def _archived(resource: Json, path: str, value: Any = True, op: str = "replace") -> Json:
    operations, nonstandard = normalise_pointers([{"op": op, "path": path, "value": value}], resource)
    assert nonstandard
    return apply_json_patch(resource, operations)


@pytest.mark.statement("dmp-fhir 9.9/172")
@pytest.mark.parametrize("op", ["add", "replace"])
def test_the_extension_is_created_when_it_is_missing(op: str) -> None:
    path = f"/extension[url:'{IS_ARCHIVED}']/valueBoolean"
    assert _archived(BARE, path, op=op)["extension"] == [{"url": IS_ARCHIVED, "valueBoolean": True}]


@pytest.mark.statement("dmp-fhir 9.9/172", "dmp-fhir 9.9/174")
@pytest.mark.parametrize("value", [True, False])
def test_the_extension_is_changed_where_it_stands(value: bool) -> None:
    path = f"/extension[url:'{IS_ARCHIVED}']/valueBoolean"
    assert _archived(LIVE, path, value)["extension"] == [OTHER, {"url": IS_ARCHIVED, "valueBoolean": value}]


@pytest.mark.statement("dmp-fhir 9.9/173")
@pytest.mark.parametrize(("text", "value"), [("true", True), ("false", False)])
def test_a_boolean_may_be_sent_as_a_string(text: str, value: bool) -> None:
    path = f"/extension[url:'{IS_ARCHIVED}']/valueBoolean"
    assert _archived(BARE, path, text)["extension"][0]["valueBoolean"] is value
    assert _archived(LIVE, path, text)["extension"][1]["valueBoolean"] is value


@pytest.mark.parametrize(
    "path",
    [
        f"/extension[url:\u2019{IS_ARCHIVED}\u2019]/valueBoolean",
        f"/extension[url:\u2018{IS_ARCHIVED}\u2019]/valueBoolean",
        f"/extension[url:\u201c{IS_ARCHIVED}\u201d]/valueBoolean",
        f'/extension[url: "{IS_ARCHIVED}"]/valueBoolean',
        f"/extension[url:{IS_ARCHIVED}]/valueBoolean",
        f"/extension[url:'{ALIAS}']/valueBoolean",
    ],
)
def test_quotes_and_the_alias_url_are_understood(path: str) -> None:
    assert _archived(BARE, path)["extension"] == [{"url": IS_ARCHIVED, "valueBoolean": True}]
    assert _archived(LIVE, path)["extension"][1] == {"url": IS_ARCHIVED, "valueBoolean": True}


def test_a_filter_without_rest_takes_the_whole_extension() -> None:
    whole = {"url": IS_ARCHIVED, "valueBoolean": True}
    assert _archived(BARE, f"/extension[url:'{IS_ARCHIVED}']", whole)["extension"] == [whole]
    assert _archived(LIVE, f"/extension[url:'{IS_ARCHIVED}']", whole)["extension"] == [OTHER, whole]


def test_modifier_extensions_are_reached_too() -> None:
    assert _archived(BARE, "/modifierExtension[url:'urn:m']/valueCode", "c")["modifierExtension"] == [
        {"url": "urn:m", "valueCode": "c"}
    ]


def test_each_filter_sees_what_the_operations_before_it_did() -> None:
    path = f"/extension[url:'{IS_ARCHIVED}']/valueBoolean"
    steps: list[Json] = [
        {"op": "add", "path": path, "value": True},
        {"op": "remove", "path": "/extension/0"},
        {"op": "replace", "path": path, "value": False},
        {"op": "test", "path": path, "value": "false"},
    ]
    operations, nonstandard = normalise_pointers(steps, LIVE)
    assert nonstandard
    assert [operation["path"] for operation in operations] == [
        "/extension/1/valueBoolean",
        "/extension/0",
        "/extension/0/valueBoolean",
        "/extension/0/valueBoolean",
    ]
    assert apply_json_patch(LIVE, operations)["extension"] == [{"url": IS_ARCHIVED, "valueBoolean": False}]


@pytest.mark.parametrize("op", ["remove", "test"])
def test_what_is_absent_cannot_be_removed_or_tested(op: str) -> None:
    path = f"/extension[url:'{IS_ARCHIVED}']/valueBoolean"
    operations, _ = normalise_pointers([{"op": op, "path": path, "value": True}], BARE)
    with pytest.raises(Unprocessable, match=rf"Operation 0 \({op}\)"):
        apply_json_patch(BARE, operations)


def test_a_patch_that_fails_earlier_still_fails_with_its_own_index() -> None:
    path = f"/extension[url:'{IS_ARCHIVED}']/valueBoolean"
    steps: list[Json] = [
        {"op": "test", "path": "/status", "value": "superseded"},
        {"op": "add", "path": path, "value": True},
    ]
    operations, nonstandard = normalise_pointers(steps, BARE)
    assert nonstandard
    with pytest.raises(Unprocessable, match=r"Operation 0 \(test\)"):
        apply_json_patch(BARE, operations)


def test_a_standard_patch_passes_untouched() -> None:
    steps: list[Json] = [{"op": "add", "path": "/extension/-", "value": {"url": ALIAS, "valueBoolean": "true"}}]
    assert normalise_pointers(steps, BARE) == (steps, False)
