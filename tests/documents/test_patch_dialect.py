"""The requests of the PDSm guide that say more, or less, than RFC 6902 reads in them."""

from __future__ import annotations

from typing import Any

import pytest

from fhir_dmp.documents.labels import base_label, visibility_label
from fhir_dmp.documents.patch_dialect import is_filtered, meant_labels, normalise_pointers
from fhir_dmp.errors import Unprocessable
from fhir_dmp.fhir.json_patch import apply_json_patch
from fhir_dmp.fhir.resource import Json
from fhir_dmp.terminology.sharing import IS_ARCHIVED
from tests.documents.record import rules

ALIAS = "https://interop.esante.gouv.fr/ig/fhir/pdsm/SearchParameter/PDSm-isArchived"
OTHER: Json = {"url": "urn:other", "valueString": "x"}
BARE: Json = {"resourceType": "DocumentReference", "id": "d", "status": "current"}
LIVE: Json = {**BARE, "extension": [OTHER, {"url": IS_ARCHIVED, "valueBoolean": False}]}


def _archived(resource: Json, path: str, value: Any = True, op: str = "replace") -> Json:
    asked = [{"op": op, "path": path, "value": value}]
    assert is_filtered(asked)
    return apply_json_patch(resource, normalise_pointers(asked, resource))


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
    operations = normalise_pointers(steps, LIVE)
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
    operations = normalise_pointers([{"op": op, "path": path, "value": True}], BARE)
    with pytest.raises(Unprocessable, match=rf"Operation 0 \({op}\)"):
        apply_json_patch(BARE, operations)


def test_a_patch_that_fails_earlier_still_fails_with_its_own_index() -> None:
    path = f"/extension[url:'{IS_ARCHIVED}']/valueBoolean"
    steps: list[Json] = [
        {"op": "test", "path": "/status", "value": "superseded"},
        {"op": "add", "path": path, "value": True},
    ]
    operations = normalise_pointers(steps, BARE)
    with pytest.raises(Unprocessable, match=r"Operation 0 \(test\)"):
        apply_json_patch(BARE, operations)


def test_a_standard_patch_passes_untouched() -> None:
    steps: list[Json] = [{"op": "add", "path": "/extension/-", "value": {"url": ALIAS, "valueBoolean": "true"}}]
    assert not is_filtered(steps)
    assert normalise_pointers(steps, BARE) == steps
    assert meant_labels(steps, BARE, rules(), precise=False) == steps


MASKED = visibility_label("MASQUE_PS")
INVISIBLE = visibility_label("INVISIBLE_PATIENT")
N = base_label()
LABELLED: Json = {**BARE, "securityLabel": [INVISIBLE, N]}


def _labelled(steps: list[Json], *, precise: bool = False) -> list[Json]:
    operations = meant_labels(steps, LABELLED, rules(), precise=precise)
    labels: list[Json] = apply_json_patch(LABELLED, operations)["securityLabel"]
    return labels


@pytest.mark.statement("dmp-fhir 9.9/157", "dmp-fhir 9.9/159")
def test_each_label_is_replaced_on_what_the_operations_before_it_left() -> None:
    mask, unmask = ({"op": "replace", "path": "/securityLabel/0", "value": value} for value in (MASKED, N))
    assert _labelled([mask]) == [MASKED, INVISIBLE, N]
    assert _labelled([unmask]) == [N]
    assert _labelled([unmask, mask]) == [MASKED, N]
    assert _labelled([mask, {"op": "remove", "path": "/securityLabel/1"}, unmask]) == [N]


@pytest.mark.statement("dmp-fhir 9.9/160")
def test_a_test_of_the_same_index_or_a_known_version_makes_a_replacement_precise() -> None:
    mask, unmask = ({"op": "replace", "path": "/securityLabel/0", "value": value} for value in (MASKED, N))
    code = {"op": "test", "path": "/securityLabel/0/coding/0/code", "value": "MASQUE_PS"}
    elsewhere = {"op": "test", "path": "/securityLabel/1", "value": INVISIBLE}
    assert _labelled([mask, code, unmask]) == [INVISIBLE, N]
    assert _labelled([mask, unmask], precise=True) == [INVISIBLE, N]
    with pytest.raises(Unprocessable, match="Several visibility labels"):
        _labelled([mask, elsewhere, unmask])


def test_a_label_patch_that_fails_earlier_still_fails_with_its_own_index() -> None:
    failing = {"op": "test", "path": "/status", "value": "superseded"}
    with pytest.raises(Unprocessable, match=r"Operation 0 \(test\)"):
        _labelled([failing, {"op": "replace", "path": "/securityLabel/0", "value": N}])
