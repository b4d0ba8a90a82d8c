"""JSON Patch on resources."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_dmp.errors import BadRequest, Unprocessable
from fhir_dmp.fhir.json_patch import apply_json_patch, apply_operations, read_json_patch
from fhir_dmp.fhir.patch import copied, same_value
from fhir_dmp.fhir.resource import Json, Number, dump, parse, parse_any

DOCUMENT: Json = {
    "resourceType": "DocumentReference",
    "id": "d1",
    "meta": {"versionId": "3", "lastUpdated": "2025-01-01T00:00:00.000Z", "profile": ["urn:p"]},
    "status": "current",
    "securityLabel": [{"coding": [{"system": "urn:c", "code": "N"}]}],
    "content": [{"attachment": {"size": 10, "title": "a/b~c"}}],
}


def _patched(*operations: Json) -> Json:
    before = copied(DOCUMENT)
    result = apply_json_patch(DOCUMENT, read_json_patch(dump(list(operations))))
    assert before == DOCUMENT, "the input was changed"
    return result


def _refused(*operations: Json) -> str:
    before = copied(DOCUMENT)
    with pytest.raises(Unprocessable) as caught:
        apply_json_patch(DOCUMENT, read_json_patch(dump(list(operations))))
    assert before == DOCUMENT, "the input was changed"
    assert caught.value.issues[0].code == "processing"
    return caught.value.issues[0].diagnostics


LABEL: Json = {"coding": [{"code": "MASQUE_PS"}]}


@pytest.mark.statement("fhir-rest H183")
def test_the_six_operations_and_the_dash() -> None:
    label = DOCUMENT["securityLabel"][0]
    assert _patched({"op": "add", "path": "/securityLabel/0", "value": LABEL})["securityLabel"] == [LABEL, label]
    assert _patched({"op": "add", "path": "/securityLabel/-", "value": LABEL})["securityLabel"] == [label, LABEL]
    assert _patched({"op": "add", "path": "/description", "value": "x"})["description"] == "x"
    assert "status" not in _patched({"op": "remove", "path": "/status"})
    assert _patched({"op": "replace", "path": "/status", "value": "superseded"})["status"] == "superseded"
    moved = _patched({"op": "move", "from": "/securityLabel/0/coding/0", "path": "/type"})
    assert moved["type"] == {"system": "urn:c", "code": "N"}
    duplicated = _patched({"op": "copy", "from": "/securityLabel/0", "path": "/securityLabel/-"})
    assert duplicated["securityLabel"] == [label, label]
    assert _patched({"op": "test", "path": "/content/0/attachment/size", "value": Number("10.0")}) == DOCUMENT


@pytest.mark.statement("fhir-rest H183")
@pytest.mark.parametrize(
    ("pointer", "value"),
    [("/a~1b", 1), ("/m~0n", 2), ("/~01", 3), ("/", 4), ("/ ", 5), ("/0", 6), ("/é", 7), ("/list/1", 9)],
)
def test_pointers_are_unescaped(pointer: str, value: int) -> None:
    document = {"a/b": 1, "m~n": 2, "~1": 3, "": 4, " ": 5, "0": 6, "é": 7, "list": [8, 9]}
    apply_operations(document, [{"op": "test", "path": pointer, "value": value}])


@pytest.mark.statement("fhir-rest H184", "dmp-fhir 9.9/156")
def test_a_failed_test_fails_the_patch_and_changes_nothing() -> None:
    why = _refused(
        {"op": "replace", "path": "/status", "value": "superseded"},
        {"op": "test", "path": "/status", "value": "current"},
    )
    assert why == "Operation 1 (test) of the patch failed: the value is another one."


@pytest.mark.parametrize(
    ("operation", "why"),
    [
        ({"op": "remove", "path": "/nothing"}, "the path does not exist"),
        ({"op": "replace", "path": "/nothing", "value": 1}, "the path does not exist"),
        ({"op": "add", "path": "/nothing/at", "value": 1}, "the path does not exist"),
        ({"op": "add", "path": "/securityLabel/2", "value": 1}, "the array has 1 elements, index 2 is out of range"),
        ({"op": "replace", "path": "/securityLabel/-", "value": 1}, "an array is addressed without a proper index"),
        ({"op": "test", "path": "/securityLabel/00", "value": 1}, "an array is addressed without a proper index"),
        ({"op": "test", "path": "/securityLabel/1e0", "value": 1}, "an array is addressed without a proper index"),
        ({"op": "remove", "path": "/securityLabel/-1"}, "an array is addressed without a proper index"),
        ({"op": "remove", "path": "/status/0"}, "the path goes through a value that is neither object nor array"),
        ({"op": "remove", "path": "status"}, "the JSON Pointer does not start with '/'"),
        ({"op": "remove", "path": "/a~2"}, "the JSON Pointer holds '~' without 0 or 1"),
        ({"op": "remove", "path": ""}, "the whole resource cannot be removed"),
        ({"op": "move", "from": "/content", "path": "/content/0"}, "a value cannot be moved into itself"),
        ({"op": "copy", "from": "/nothing", "path": "/x"}, "the path does not exist"),
        ({"op": "test", "path": "/status", "value": None}, "the value is another one"),
    ],
)
def test_an_operation_that_cannot_be_applied_is_named(operation: Json, why: str) -> None:
    assert _refused(operation) == f"Operation 0 ({operation['op']}) of the patch failed: {why}."


@pytest.mark.statement("fhir-rest H185")
@pytest.mark.parametrize("body", [b"", b"[", b"\xff", b'[{"op":"add","op":"add"}]', b"[NaN]", b"[" * 100 + b"]" * 100])
def test_what_is_no_json_is_a_bad_request(body: bytes) -> None:
    with pytest.raises(BadRequest):
        read_json_patch(body)


@pytest.mark.parametrize(
    ("patch", "why"),
    [
        ({"op": "add"}, "A JSON Patch is an array of operations."),
        ("text", "A JSON Patch is an array of operations."),
        ([1], "Operation 0 of the patch is not an object."),
        ([{"path": "/a"}], "Operation 0 of the patch has no 'op' of add, remove, replace, move, copy, test."),
        (
            [{"op": "spam", "path": "/a"}],
            "Operation 0 of the patch has no 'op' of add, remove, replace, move, copy, test.",
        ),
        ([{"op": "add", "path": "/a"}], "Operation 0 of the patch (add) needs the member 'value'."),
        ([{"op": "remove"}], "Operation 0 of the patch (remove) needs the member 'path'."),
        ([{"op": "remove", "path": 3}], "Operation 0 of the patch (remove) needs a text as 'path'."),
        ([{"op": "move", "path": "/a"}], "Operation 0 of the patch (move) needs the member 'from'."),
        ([{"op": "remove", "path": "/a"}] * 1001, "A patch may hold 1000 operations at most."),
    ],
)
def test_json_that_is_no_patch_is_unprocessable(patch: Any, why: str) -> None:
    with pytest.raises(Unprocessable) as caught:
        read_json_patch(json.dumps(patch).encode())
    assert caught.value.issues[0].diagnostics == why


def test_the_first_extension_may_be_appended_where_there_is_none() -> None:
    extension = {"url": "urn:x", "valueBoolean": True}
    assert _patched({"op": "add", "path": "/extension/-", "value": extension})["extension"] == [extension]
    inner = _patched({"op": "add", "path": "/content/0/modifierExtension/-", "value": extension})
    assert inner["content"][0]["modifierExtension"] == [extension]
    assert _refused({"op": "add", "path": "/category/-", "value": {}}).endswith("the path does not exist.")
    assert _refused({"op": "add", "path": "/extension/0", "value": {}}).endswith("the path does not exist.")


@pytest.mark.statement("fhir-rest H190", "dmp-fhir 9.9/177")
@pytest.mark.parametrize(
    ("operation", "place"),
    [
        ({"op": "replace", "path": "/id", "value": "d2"}, "DocumentReference.id"),
        ({"op": "remove", "path": "/id"}, "DocumentReference.id"),
        ({"op": "replace", "path": "/resourceType", "value": "List"}, "resourceType"),
        ({"op": "replace", "path": "/meta/versionId", "value": "4"}, "DocumentReference.meta.versionId"),
        ({"op": "remove", "path": "/meta"}, "DocumentReference.meta.versionId"),
        ({"op": "remove", "path": "/meta/lastUpdated"}, "DocumentReference.meta.lastUpdated"),
        ({"op": "replace", "path": "", "value": {"resourceType": "DocumentReference"}}, "DocumentReference.id"),
    ],
)
def test_what_belongs_to_the_server_cannot_be_patched(operation: Json, place: str) -> None:
    with pytest.raises(Unprocessable) as caught:
        apply_json_patch(DOCUMENT, [operation])
    assert caught.value.issues[0].expression == (place,)


def test_a_patch_must_leave_an_object() -> None:
    assert _refused({"op": "replace", "path": "", "value": []}) == (
        "A patch must leave a JSON object, and this one does not."
    )


def test_what_a_patch_empties_disappears() -> None:
    assert "securityLabel" not in _patched({"op": "remove", "path": "/securityLabel/0"})
    gone = _patched(
        {"op": "remove", "path": "/content/0/attachment/size"}, {"op": "remove", "path": "/content/0/attachment/title"}
    )
    assert "content" not in gone
    kept = _patched(
        {"op": "remove", "path": "/securityLabel/0"}, {"op": "add", "path": "/securityLabel/-", "value": LABEL}
    )
    assert kept["securityLabel"] == [LABEL]


def test_digits_survive_a_patch() -> None:
    resource = parse(b'{"resourceType":"Observation","valueQuantity":{"value":1.10}}')
    copy = {"op": "copy", "from": "/valueQuantity", "path": "/referenceRange"}
    assert dump(apply_json_patch(resource, [copy])) == (
        b'{"resourceType":"Observation","valueQuantity":{"value":1.10},"referenceRange":{"value":1.10}}'
    )


def test_copies_of_copies_are_stopped() -> None:
    started = time.process_time()
    double = [{"op": "copy", "from": "", "path": f"/x{index}"} for index in range(60)]
    assert _refused(*double).endswith("the result would be too large.")
    text = [{"op": "add", "path": "/x", "value": ["y" * 1000]}]
    grow = [{"op": "copy", "from": "/x", "path": "/x/-"}] * 900
    assert _refused(*text, *grow).endswith("the result would be too large.")
    assert time.process_time() - started < 30


_json = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-5, 5), st.text(max_size=4)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=3), inner, max_size=3)),
    max_leaves=8,
)


@given(_json, _json)
def test_replacing_everything_gives_the_value_and_a_test_of_it_holds(document: Any, value: Any) -> None:
    steps = [{"op": "replace", "path": "", "value": value}, {"op": "test", "path": "", "value": value}]
    assert apply_operations(document, steps) == value


@given(_json, st.text(max_size=3), _json)
def test_adding_then_removing_a_member_gives_the_document_back(document: Any, key: str, value: Any) -> None:
    before = {"kept": document}
    pointer = "/+" + key.replace("~", "~0").replace("/", "~1")
    steps = [{"op": "add", "path": pointer, "value": value}, {"op": "remove", "path": pointer}]
    assert apply_operations(before, steps) == before


def test_values_are_equal_by_value_and_never_across_kinds() -> None:
    assert same_value(parse_any(b"[1.0, {}]"), parse_any(b"[1, {}]"))
    for left, right in ((1, True), (0, False), ("1", 1), (None, False), ([], {}), ([1], [1, 1]), ({"a": 1}, {"b": 1})):
        assert not same_value(left, right)
