"""JSON Patch and FHIRPath Patch over HTTP. fhir-rest 10, checklist H."""

from __future__ import annotations

from typing import Any

import pytest

from tests.rest.shapes import bare, made, named, observation, patient
from tests.world import Client, Json, Response, World

ACCEPTED = "application/json-patch+json, application/fhir+json, application/fhir+xml, application/xml-patch+xml"


def _operation(type_: str, **parts: Any) -> Json:
    """Return one operation of a FHIRPath Patch; a list stands for nested parts."""
    shown: list[Json] = [{"name": "type", "valueCode": type_}]
    for name, value in parts.items():
        if isinstance(value, list):
            shown.append({"name": name, "part": value})
        elif isinstance(value, dict):
            shown.append({"name": name, **value})
        elif isinstance(value, int):
            shown.append({"name": name, "valueInteger": value})
        else:
            shown.append({"name": name, "valueString": value})
    return {"name": "operation", "part": shown}


def _send(client: Client, path: str, *operations: Json) -> Response:
    return client.patch(path, {"resourceType": "Parameters", "parameter": list(operations)})


@pytest.mark.statement("fhir-rest H183")
def test_the_six_operations_of_json_patch(wide: World) -> None:
    stored = made(wide.admin, patient(birthDate="1990", telecom=[{"system": "phone", "value": "1"}], language="fr"))
    answer = wide.admin.patch(
        f"/{named(stored)}",
        [
            {"op": "test", "path": "/name/0/family", "value": "ESSAI"},
            {"op": "add", "path": "/name/0/given/-", "value": "Anne"},
            {"op": "add", "path": "/name/0/given/0", "value": "Première"},
            {"op": "replace", "path": "/birthDate", "value": "1991"},
            {"op": "remove", "path": "/language"},
            {"op": "copy", "from": "/telecom/0", "path": "/telecom/1"},
            {"op": "replace", "path": "/telecom/1/value", "value": "2"},
            {"op": "move", "from": "/telecom/0", "path": "/telecom/-"},
            {"op": "add", "path": "/extension", "value": [{"url": "https://example.org/a~b/c", "valueInteger": 1}]},
        ],
    )
    assert (answer.status, answer.headers["ETag"]) == (200, 'W/"2"'), answer.body
    assert bare(answer.json) == {
        "resourceType": "Patient",
        "name": [{"family": "ESSAI", "given": ["Première", "Zoé", "Anne"]}],
        "birthDate": "1991",
        "telecom": [{"system": "phone", "value": "2"}, {"system": "phone", "value": "1"}],
        "extension": [{"url": "https://example.org/a~b/c", "valueInteger": 1}],
    }
    assert answer.json == wide.admin.get(f"/{named(stored)}").json


@pytest.mark.statement("fhir-rest H184")
@pytest.mark.parametrize(
    "operation",
    [
        {"op": "test", "path": "/name/0/family", "value": "AUTRE"},
        {"op": "remove", "path": "/birthDate"},
        {"op": "replace", "path": "/name/3", "value": {}},
        {"op": "add", "path": "/name/9", "value": {"family": "X"}},
        {"op": "move", "from": "/birthDate", "path": "/language"},
        {"op": "remove", "path": "/name/-"},
        {"op": "add", "path": "/contact/0/name/family", "value": "X"},
    ],
)
def test_a_step_that_cannot_be_done_is_422_and_changes_nothing(admin: Client, operation: Json) -> None:
    stored = made(admin, patient())
    answer = admin.patch(f"/{named(stored)}", [{"op": "add", "path": "/active", "value": True}, operation])
    assert (answer.status, answer.codes) == (422, {"processing"})
    assert admin.get(f"/{named(stored)}").json == stored


@pytest.mark.statement("fhir-rest H185")
@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"x", 400),
        (b"[", 400),
        (b'[{"op":"test","op":"add"}]', 400),
        (b"{}", 422),
        (b"[{}]", 422),
        (b'[{"op":"frob","path":"/a"}]', 422),
        (b'[{"op":"add"}]', 422),
        (b"[1]", 422),
    ],
)
def test_what_is_no_json_is_400_and_json_that_is_no_patch_422(admin: Client, body: bytes, status: int) -> None:
    stored = made(admin, patient())
    answer = admin.call("PATCH", f"/{named(stored)}", body, {"Content-Type": "application/json-patch+json"})
    assert answer.status == status, answer.body
    assert admin.get(f"/{named(stored)}").json == stored


@pytest.mark.statement("fhir-rest H185")
@pytest.mark.parametrize("type_", ["application/json", "application/merge-patch+json", "text/plain", "application/xml"])
def test_another_media_type_is_415_with_accept_patch(admin: Client, type_: str) -> None:
    stored = made(admin, patient())
    answer = admin.call("PATCH", f"/{named(stored)}", b"[]", {"Content-Type": type_})
    assert (answer.status, answer.headers["Accept-Patch"]) == (415, ACCEPTED)


@pytest.mark.statement("fhir-rest H186")
def test_fhirpath_patch_adds_inserts_deletes_replaces_and_moves(wide: World) -> None:
    stored = made(wide.admin, patient(birthDate="1990", language="fr"))
    answer = _send(
        wide.admin,
        f"/{named(stored)}",
        _operation("add", path="Patient", name="active", value={"valueBoolean": True}),
        _operation("insert", path="Patient.name.given", index=0, value="Anne"),
        _operation("add", path="Patient.name", name="given", value="Ève"),
        _operation("delete", path="Patient.language"),
        _operation("delete", path="Patient.maritalStatus"),
        _operation("replace", path="Patient.birthDate", value={"valueDate": "1991-02-03"}),
        _operation("move", path="Patient.name.given", source=2, destination=0),
    )
    assert (answer.status, answer.headers["ETag"]) == (200, 'W/"2"'), answer.body
    assert bare(answer.json) == {
        "resourceType": "Patient",
        "name": [{"family": "ESSAI", "given": ["Ève", "Anne", "Zoé"]}],
        "active": True,
        "birthDate": "1991-02-03",
    }


@pytest.mark.statement("fhir-rest H186")
def test_fhirpath_patch_in_xml(admin: Client) -> None:
    stored = made(admin, patient(birthDate="1990"))
    body = (
        b'<Parameters xmlns="http://hl7.org/fhir"><parameter><name value="operation"/>'
        b'<part><name value="type"/><valueCode value="replace"/></part>'
        b'<part><name value="path"/><valueString value="Patient.birthDate"/></part>'
        b'<part><name value="value"/><valueDate value="1991"/></part></parameter></Parameters>'
    )
    answer = admin.call("PATCH", f"/{named(stored)}", body, {"Content-Type": "application/fhir+xml"})
    assert (answer.status, answer.json["birthDate"]) == (200, "1991")


@pytest.mark.statement("fhir-rest H187")
@pytest.mark.parametrize(
    "operation",
    [
        _operation("replace", path="Patient.name.given", value="X"),
        _operation("delete", path="Patient.name.given"),
        _operation("replace", path="Patient.birthDate", value={"valueDate": "1991"}),
        _operation("insert", path="Patient.name.given", index=9, value="X"),
        _operation("move", path="Patient.name.given", source=5, destination=0),
    ],
)
def test_a_path_that_does_not_name_what_it_must_is_422(admin: Client, operation: Json) -> None:
    stored = made(admin, {"resourceType": "Patient", "name": [{"given": ["A", "B"]}]})
    answer = _send(admin, f"/{named(stored)}", operation)
    assert (answer.status, answer.codes) == (422, {"processing"})
    assert admin.get(f"/{named(stored)}").json == stored


@pytest.mark.statement("fhir-rest H188")
def test_fhirpath_patch_builds_an_anonymous_element_from_parts(admin: Client) -> None:
    stored = made(admin, patient())
    name = {"name": "name", "valueHumanName": {"family": "PROCHE"}}
    kind = {"name": "gender", "valueCode": "female"}
    answer = _send(admin, f"/{named(stored)}", _operation("add", path="Patient", name="contact", value=[name, kind]))
    assert answer.json["contact"] == [{"name": {"family": "PROCHE"}, "gender": "female"}], answer.body


@pytest.mark.statement("fhir-rest H189")
def test_a_choice_takes_another_type(admin: Client) -> None:
    stored = made(admin, observation(valueInteger=3))
    answer = _send(admin, f"/{named(stored)}", _operation("replace", path="Observation.value", value="trois"))
    assert answer.json["valueString"] == "trois", answer.body
    assert "valueInteger" not in answer.json


@pytest.mark.statement("fhir-rest H190")
@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("/id", "other"),
        ("/resourceType", "Person"),
        ("/meta/versionId", "9"),
        ("/meta/lastUpdated", "2001-01-01T00:00:00Z"),
    ],
)
def test_what_the_server_sets_cannot_be_patched(admin: Client, path: str, value: str) -> None:
    stored = made(admin, patient())
    answer = admin.patch(f"/{named(stored)}", [{"op": "replace", "path": path, "value": value}])
    assert answer.status == 422, answer.body
    assert admin.patch(f"/{named(stored)}", [{"op": "remove", "path": path}]).status == 422
    assert admin.get(f"/{named(stored)}").json == stored


@pytest.mark.statement("fhir-rest H191")
def test_a_patch_that_changes_nothing_makes_no_version(wide: World) -> None:
    stored = made(wide.admin, patient())
    for operations in ([], [{"op": "replace", "path": "/name/0/family", "value": "ESSAI"}]):
        answer = wide.admin.patch(f"/{named(stored)}", operations)
        assert (answer.status, answer.headers["ETag"], answer.json) == (200, 'W/"1"', stored)


@pytest.mark.statement("fhir-rest H192")
def test_if_match_with_patch(wide: World) -> None:
    stored = made(wide.admin, patient())
    change = [{"op": "add", "path": "/active", "value": True}]
    refused = wide.admin.patch(f"/{named(stored)}", change, If_Match='W/"4"')
    assert (refused.status, refused.headers["ETag"]) == (412, 'W/"1"')
    assert wide.admin.patch(f"/{named(stored)}", change, If_Match='W/"1"').status == 200


def test_a_patched_resource_is_judged_like_an_update(admin: Client) -> None:
    stored = made(admin, patient())
    answer = admin.patch(f"/{named(stored)}", [{"op": "add", "path": "/gender", "value": "autre"}])
    told = {"code-invalid", "Patient.gender#binding"}
    assert (answer.status, answer.codes, answer.expressions) == (422, told, ["Patient.gender"])
    assert admin.get(f"/{named(stored)}").json == stored


def test_what_does_not_exist_cannot_be_patched(wide: World) -> None:
    admin = wide.admin
    assert admin.patch("/Observation/nobody", []).status == 404
    stored = made(admin, observation())
    admin.delete(f"/{named(stored)}")
    gone = admin.patch(f"/{named(stored)}", [])
    assert (gone.status, gone.headers["ETag"]) == (410, 'W/"2"')
