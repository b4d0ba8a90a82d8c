"""FHIRPath Patch on resources. The cases of the public FHIR test suite are among them, in our own words."""

from __future__ import annotations

import itertools
import time
from functools import lru_cache
from typing import Any

import pytest

from fhir_dmp.definitions import load_json
from fhir_dmp.errors import Unprocessable
from fhir_dmp.fhir.fhirpath_patch import apply_fhirpath_patch, read_fhirpath_patch
from fhir_dmp.fhir.patch import copied
from fhir_dmp.fhir.resource import Json, Number, dump, parse
from fhir_dmp.fhir.structure import TABLE, Structures

IS_ARCHIVED = "https://interop.esante.gouv.fr/ig/fhir/pdsm/StructureDefinition/pdsm-ext-is-archived"


@lru_cache(maxsize=1)
def _structures() -> Structures:
    return Structures(load_json(TABLE))


def _operation(type_: str, path: str, **parts: Any) -> Json:
    """Return an operation; `value` is a dict of what the part holds, numbers become positions."""
    rows: list[Json] = [{"name": "type", "valueCode": type_}, {"name": "path", "valueString": path}]
    for name, part in parts.items():
        if isinstance(part, dict):
            rows.append({"name": name, **part})
        elif isinstance(part, int):
            rows.append({"name": name, "valueInteger": part})
        else:
            rows.append({"name": name, "valueString": part})
    return {"name": "operation", "part": rows}


def _parameters(*operations: Json) -> Json:
    return (
        {"resourceType": "Parameters", "parameter": list(operations)} if operations else {"resourceType": "Parameters"}
    )


def _patched(resource: Json, *operations: Json) -> Json:
    before = copied(resource)
    result = apply_fhirpath_patch(resource, read_fhirpath_patch(_parameters(*operations)), _structures())
    assert before == resource, "the input was changed"
    return result


def _refused(resource: Json, *operations: Json) -> str:
    before = copied(resource)
    with pytest.raises(Unprocessable) as caught:
        apply_fhirpath_patch(resource, read_fhirpath_patch(_parameters(*operations)), _structures())
    assert before == resource, "the input was changed"
    assert caught.value.issues[0].code == "processing"
    return caught.value.issues[0].diagnostics


def _patient(**elements: Any) -> Json:
    return {"resourceType": "Patient", **elements}


def _identifiers(*values: str) -> list[Json]:
    return [{"system": "urn:ietf:rfc:3986", "value": value} for value in values]


CONTACT: Json = {"name": {"text": "Anne Exemple"}, "gender": "male"}
DOCUMENT: Json = {
    "resourceType": "DocumentReference",
    "id": "d1",
    "meta": {"versionId": "3", "lastUpdated": "2025-01-01T00:00:00.000Z"},
    "status": "current",
    "securityLabel": [{"coding": [{"code": "MASQUE_PS"}]}, {"coding": [{"code": "N"}]}],
    "extension": [{"url": "urn:other", "valueString": "x"}, {"url": IS_ARCHIVED, "valueBoolean": False}],
    "content": [{"attachment": {"size": 10}}],
}


@pytest.mark.statement("fhir-rest H191")
def test_an_empty_patch_changes_nothing() -> None:
    assert _patched(_patient(birthDate="1920-01-01")) == _patient(birthDate="1920-01-01")


@pytest.mark.statement("fhir-rest H186", "fhir-rest H193")
@pytest.mark.parametrize(
    ("before", "operation", "after"),
    [
        (
            {},
            _operation("add", "Patient", name="birthDate", value={"valueDate": "1930-01-01"}),
            {"birthDate": "1930-01-01"},
        ),
        (
            {"birthDate": "1920-01-01"},
            _operation("replace", "Patient.birthDate", value={"valueDate": "1930-01-01"}),
            {"birthDate": "1930-01-01"},
        ),
        ({"birthDate": "1920-01-01"}, _operation("delete", "Patient.birthDate"), {}),
        ({}, _operation("delete", "Patient.birthDate"), {}),
        (
            {"contact": [CONTACT]},
            _operation("replace", "Patient.contact[0].gender", value={"valueCode": "female"}),
            {"contact": [{**CONTACT, "gender": "female"}]},
        ),
        (
            {"contact": [CONTACT]},
            _operation("replace", "Patient.contact[0].name.text", value={"valueString": "Lou"}),
            {"contact": [{"name": {"text": "Lou"}, "gender": "male"}]},
        ),
        (
            {"contact": [CONTACT]},
            _operation("delete", "Patient.contact[0].gender"),
            {"contact": [{"name": {"text": "Anne Exemple"}}]},
        ),
        (
            {"contact": [CONTACT]},
            _operation("delete", "Patient.contact[0].name.text"),
            {"contact": [{"gender": "male"}]},
        ),
        (
            {"contact": [{"name": {"text": "Anne"}}]},
            _operation("add", "Patient.contact[0]", name="gender", value={"valueCode": "male"}),
            {"contact": [{"name": {"text": "Anne"}, "gender": "male"}]},
        ),
        (
            {},
            _operation("add", "Patient", name="maritalStatus", value={"valueCodeableConcept": {"text": "married"}}),
            {"maritalStatus": {"text": "married"}},
        ),
        (
            {"maritalStatus": {"id": "1", "text": "married"}},
            _operation(
                "replace", "Patient.maritalStatus", value={"valueCodeableConcept": {"id": "2", "text": "widowed"}}
            ),
            {"maritalStatus": {"id": "2", "text": "widowed"}},
        ),
        ({"maritalStatus": {"text": "married"}}, _operation("delete", "Patient.maritalStatus"), {}),
        ({"contact": [CONTACT]}, _operation("delete", "Patient.contact[0]"), {}),
        (
            {},
            _operation("add", "Patient", name="identifier", value={"valueIdentifier": {"value": "3"}}),
            {"identifier": [{"value": "3"}]},
        ),
        (
            {"identifier": _identifiers("1")},
            _operation("add", "Patient", name="identifier", value={"valueIdentifier": {"value": "3"}}),
            {"identifier": [*_identifiers("1"), {"value": "3"}]},
        ),
        (
            {"name": [{"given": ["Anne"]}]},
            _operation("add", "Patient.name", name="given", value={"valueString": "Lou"}),
            {"name": [{"given": ["Anne", "Lou"]}]},
        ),
        (
            {"text": {"status": "generated", "div": "<div>1</div>"}},
            _operation("replace", "Patient.text.div", value={"valueString": "<div>2</div>"}),
            {"text": {"status": "generated", "div": "<div>2</div>"}},
        ),
    ],
)
def test_elements_are_added_replaced_and_deleted(before: Json, operation: Json, after: Json) -> None:
    assert _patched(_patient(**before), operation) == _patient(**after)


@pytest.mark.statement("fhir-rest H186", "fhir-rest H193")
@pytest.mark.parametrize("index", [0, 1, 2])
def test_a_value_is_inserted_at_its_index(index: int) -> None:
    value = {"valueIdentifier": _identifiers("3")[0]}
    result = _patched(
        _patient(identifier=_identifiers("1", "2")),
        _operation("insert", "Patient.identifier", index=index, value=value),
    )
    expected = ["1", "2"]
    expected.insert(index, "3")
    assert result["identifier"] == _identifiers(*expected)


def test_a_list_that_is_absent_can_be_inserted_into() -> None:
    insert = _operation("insert", "Patient.identifier", index=0, value={"valueIdentifier": {"value": "1"}})
    assert _patched(_patient(), insert)["identifier"] == [{"value": "1"}]
    named = _operation("insert", "Patient.name.given", index=0, value={"valueString": "Anne"})
    assert _patched(_patient(name=[{"family": "Exemple"}]), named)["name"] == [{"family": "Exemple", "given": ["Anne"]}]


@pytest.mark.statement("fhir-rest H186", "fhir-rest H193")
@pytest.mark.parametrize("index", [0, 1, 2])
def test_an_entry_of_a_list_is_deleted(index: int) -> None:
    result = _patched(
        _patient(identifier=_identifiers("1", "2", "3")), _operation("delete", f"Patient.identifier[{index}]")
    )
    assert result["identifier"] == [one for at, one in enumerate(_identifiers("1", "2", "3")) if at != index]


@pytest.mark.statement("fhir-rest H186", "fhir-rest H193")
@pytest.mark.parametrize(
    ("moves", "order"),
    [
        ([(3, 1)], "1423"),
        ([(3, 0)], "4123"),
        ([(3, 2)], "1243"),
        ([(0, 3)], "2341"),
        ([(1, 0), (2, 1)], "2314"),
        ([(3, 0), (3, 1), (3, 2)], "4321"),
        ([(2, 2)], "1234"),
    ],
)
def test_a_list_is_reordered(moves: list[tuple[int, int]], order: str) -> None:
    operations = [_operation("move", "Patient.identifier", source=a, destination=b) for a, b in moves]
    assert _patched(_patient(identifier=_identifiers(*"1234")), *operations)["identifier"] == _identifiers(*order)


def test_the_order_of_the_parts_does_not_matter() -> None:
    operation = _operation("insert", "Patient.identifier", index=1, value={"valueIdentifier": {"value": "3"}})
    for parts in itertools.permutations(operation["part"]):
        result = _patched(_patient(identifier=_identifiers("1")), {"name": "operation", "part": list(parts)})
        assert [one["value"] for one in result["identifier"]] == ["1", "3"]


@pytest.mark.statement("fhir-rest H187")
@pytest.mark.parametrize(
    ("operation", "why"),
    [
        (
            _operation("replace", "DocumentReference.securityLabel", value={"valueCodeableConcept": {}}),
            "the path must match one element, and matches 2",
        ),
        (
            _operation("delete", "DocumentReference.securityLabel"),
            "the path must match at most one element, and matches 2",
        ),
        (
            _operation("add", "DocumentReference.extension", name="url", value={"valueUri": "urn:x"}),
            "the path must match one element, and matches 2",
        ),
        (
            _operation("insert", "DocumentReference.securityLabel.coding", index=0, value={"valueCoding": {}}),
            "the path must name one list, and its parent matches 2",
        ),
    ],
)
def test_more_than_one_match_where_one_is_needed_is_refused(operation: Json, why: str) -> None:
    assert _refused(DOCUMENT, operation).endswith(f"failed: {why}.")


@pytest.mark.statement("fhir-rest H188")
def test_an_anonymous_element_is_built_from_parts() -> None:
    value = {
        "part": [
            {"name": "name", "valueHumanName": {"text": "Anne"}},
            {"name": "relationship", "valueCodeableConcept": {"text": "a"}},
            {"name": "relationship", "valueCodeableConcept": {"text": "b"}},
            {"name": "period", "part": [{"name": "start", "valueDateTime": "2024"}]},
        ]
    }
    assert _patched(_patient(), _operation("add", "Patient", name="contact", value=value))["contact"] == [
        {"name": {"text": "Anne"}, "relationship": [{"text": "a"}, {"text": "b"}], "period": {"start": "2024"}}
    ]


@pytest.mark.statement("fhir-rest H188")
def test_an_extension_is_built_from_parts() -> None:
    value = {"part": [{"name": "url", "valueUri": IS_ARCHIVED}, {"name": "value", "valueBoolean": True}]}
    bare = {key: part for key, part in DOCUMENT.items() if key != "extension"}
    result = _patched(bare, _operation("add", "DocumentReference", name="extension", value=value))
    assert result["extension"] == [{"url": IS_ARCHIVED, "valueBoolean": True}]


@pytest.mark.statement("fhir-rest H189")
def test_a_choice_is_replaced_by_another_type_and_keeps_its_place() -> None:
    before: Json = {
        "resourceType": "Observation",
        "status": "final",
        "valueQuantity": {"value": Number("1.10")},
        "note": [{"text": "n"}],
    }
    result = _patched(before, _operation("replace", "Observation.value", value={"valueString": "high"}))
    assert list(result.items()) == [
        ("resourceType", "Observation"),
        ("status", "final"),
        ("valueString", "high"),
        ("note", [{"text": "n"}]),
    ]
    same = _patched(
        before, _operation("replace", "Observation.value", value={"valueQuantity": {"value": Number("2.0")}})
    )
    assert dump(same["valueQuantity"]) == b'{"value":2.0}'
    named = _patched(before, _operation("replace", "(Observation.value as Quantity)", value={"valueBoolean": True}))
    assert named["valueBoolean"] is True
    assert "valueQuantity" not in named


@pytest.mark.statement("fhir-rest H189")
def test_a_choice_is_added_under_the_name_of_its_type() -> None:
    add = _operation("add", "Patient", name="deceased", value={"valueDateTime": "2024"})
    assert _patched(_patient(), add) == _patient(deceasedDateTime="2024")
    assert _refused(_patient(deceasedBoolean=False), add).endswith("'deceased' is present and does not repeat.")
    wrong = _operation("add", "Patient", name="deceased", value={"valueString": "2024"})
    assert _refused(_patient(), wrong).endswith("'deceased' cannot be a string.")


@pytest.mark.statement("dmp-fhir 9.9/161")
def test_a_label_is_deleted_by_its_code() -> None:
    path = "DocumentReference.securityLabel.where(coding.code='MASQUE_PS')"
    assert _patched(DOCUMENT, _operation("delete", path))["securityLabel"] == [{"coding": [{"code": "N"}]}]


def test_the_archive_flag_is_replaced_through_its_url() -> None:
    path = f"DocumentReference.extension.where(url='{IS_ARCHIVED}').value"
    result = _patched(DOCUMENT, _operation("replace", path, value={"valueBoolean": True}))
    assert result["extension"] == [DOCUMENT["extension"][0], {"url": IS_ARCHIVED, "valueBoolean": True}]
    by_function = _operation("replace", f"extension('{IS_ARCHIVED}').value", value={"valueBoolean": True})
    assert _patched(DOCUMENT, by_function) == result


def test_extensions_of_primitives_are_reached_and_kept_in_step() -> None:
    before = _patient(
        birthDate="1920-01-01",
        name=[{"given": ["Anne", "Lou"], "_given": [None, {"extension": [{"url": "urn:q", "valueCode": "CL"}]}]}],
    )
    extension = {"part": [{"name": "url", "valueUri": "urn:time"}, {"name": "value", "valueTime": "10:00:00"}]}
    added = _patched(before, _operation("add", "Patient.birthDate", name="extension", value=extension))
    assert added["_birthDate"] == {"extension": [{"url": "urn:time", "valueTime": "10:00:00"}]}
    gone = _patched(added, _operation("delete", "Patient.birthDate.extension('urn:time')"))
    assert gone == before
    moved = _patched(before, _operation("move", "Patient.name.given", source=1, destination=0))
    assert moved["name"][0]["given"] == ["Lou", "Anne"]
    assert moved["name"][0]["_given"] == [{"extension": [{"url": "urn:q", "valueCode": "CL"}]}, None]
    deleted = _patched(before, _operation("delete", "Patient.name.given[0]"))
    assert deleted["name"][0]["given"] == ["Lou"]
    assert deleted["name"][0]["_given"] == [{"extension": [{"url": "urn:q", "valueCode": "CL"}]}]
    bare = _patched(before, _operation("delete", "Patient.name.given.extension('urn:q')"))
    assert bare["name"] == [{"given": ["Anne", "Lou"]}]
    on_item = _patched(before, _operation("add", "Patient.name.given[0]", name="extension", value=extension))
    assert [bool(one) for one in on_item["name"][0]["_given"]] == [True, True]


@pytest.mark.statement("fhir-rest H190")
@pytest.mark.parametrize(
    "operation",
    [
        _operation("replace", "DocumentReference.id", value={"valueId": "d2"}),
        _operation("delete", "DocumentReference.id"),
        _operation("replace", "DocumentReference.meta.versionId", value={"valueId": "9"}),
        _operation("delete", "DocumentReference.meta.lastUpdated"),
    ],
)
def test_what_belongs_to_the_server_cannot_be_patched(operation: Json) -> None:
    assert _refused(DOCUMENT, operation).endswith("belongs to the server and cannot be patched.")


@pytest.mark.parametrize(
    ("operation", "why"),
    [
        (
            _operation(
                "add", "Patient.identifier.where(use='official').period", name="end", value={"valueDateTime": "2021"}
            ),
            "the path must match one element, and matches 0",
        ),
        (_operation("add", "Patient", name="nothing", value={"valueString": "x"}), "Patient has no element 'nothing'"),
        (
            _operation("add", "Patient", name="active", value={"valueString": "x"}),
            "'active' is a boolean, not a string",
        ),
        (
            _operation("add", "Patient", name="birthDate", value={"valueDate": "1"}),
            "'birthDate' is present and does not repeat",
        ),
        (
            _operation("add", "Patient.birthDate", name="day", value={"valueDate": "1"}),
            "the path matches a primitive value, which has no such element",
        ),
        (
            _operation("add", "Patient", name="maritalStatus", value={"valueString": "x"}),
            "'maritalStatus' is a CodeableConcept, not a string",
        ),
        (
            _operation("add", "Patient", name="active", value={"part": [{"name": "x", "valueString": "y"}]}),
            "'active' needs a typed value, not parts",
        ),
        (
            _operation("add", "Patient", name="contact", value={"part": [{"name": "x", "valueString": "y"}]}),
            "a part of the value is no element of Patient.contact, or is empty",
        ),
        (
            _operation("insert", "Patient.identifier", index=3, value={"valueIdentifier": {}}),
            "index 3 is beyond the end of the list, which has 2 elements",
        ),
        (_operation("insert", "Patient.birthDate", index=0, value={"valueDate": "1"}), "'birthDate' is no list"),
        (
            _operation("insert", "Patient", index=0, value={"valueDate": "1"}),
            "the expression must end with the name of a list",
        ),
        (
            _operation("move", "Patient.identifier", source=2, destination=0),
            "source and destination must lie in the list, which has 2 elements",
        ),
        (
            _operation("replace", "Patient.active", value={"valueBoolean": True}),
            "the path must match one element, and matches 0",
        ),
        (
            _operation("replace", "Patient", value={"resource": {"resourceType": "Patient"}}),
            "the whole resource cannot be replaced by a patch",
        ),
        (_operation("delete", "Patient"), "the whole resource cannot be deleted by a patch"),
        (
            _operation("delete", "Patient.birthDate.lower()"),
            "the expression computes a value; a place in the resource is needed",
        ),
        (_operation("delete", "Patient..birthDate"), "an expression was expected, not '.' (at character 9)"),
        (
            _operation("delete", "Patient.name.where(family.matches('x'))"),
            "matches() is not offered here (at character 27)",
        ),
        (
            _operation("delete", "Patient.name.where('Secret' 'Secret')"),
            "',' or ')' was expected, not a text (at character 29)",
        ),
    ],
)
def test_an_operation_that_cannot_be_applied_says_why(operation: Json, why: str) -> None:
    patient = _patient(birthDate="1920-01-01", identifier=_identifiers("1", "2"))
    type_ = operation["part"][0]["valueCode"]
    assert _refused(patient, operation) == f"Operation 0 ({type_}) of the patch failed: {why}."


@pytest.mark.parametrize(
    ("parameters", "why"),
    [
        ({"resourceType": "Patient"}, "A FHIRPath Patch is a Parameters resource."),
        ({"resourceType": "Parameters", "parameter": {}}, "Parameters.parameter is no array."),
        (_parameters({"name": "other", "part": []}), "Operation 0 of the patch is no 'operation' with parts."),
        (_parameters({"name": "operation"}), "Operation 0 of the patch is no 'operation' with parts."),
        (
            _parameters(_operation("spam", "x")),
            "Operation 0 of the patch has no type of add, insert, delete, replace, move.",
        ),
        (_parameters(_operation("replace", "x")), "Operation 0 of the patch (replace) needs the part 'value'."),
        (
            _parameters(_operation("delete", "x", secret="y")),
            "Operation 0 of the patch has a part that FHIRPath Patch does not know.",
        ),
        (
            _parameters(_operation("insert", "x", index=-1, value={"valueCode": "y"})),
            "Operation 0 of the patch has a part 'index' without a proper value.",
        ),
        (
            _parameters(_operation("replace", "x", value={"valueCode": None})),
            "Operation 0 of the patch has a part 'value' without a proper value.",
        ),
        (
            _parameters(
                _operation("delete", "x"), {"name": "operation", "part": [{"name": "path", "valueString": "x"}] * 2}
            ),
            "Operation 1 of the patch has the part 'path' twice.",
        ),
    ],
)
def test_parameters_that_are_no_patch_are_refused(parameters: Json, why: str) -> None:
    with pytest.raises(Unprocessable) as caught:
        read_fhirpath_patch(parameters)
    assert caught.value.issues[0].diagnostics == why


def test_all_operations_apply_or_none() -> None:
    operations = [
        _operation("replace", "Patient.birthDate", value={"valueDate": "1930-01-01"}),
        _operation("replace", "Patient.active", value={"valueBoolean": True}),
    ]
    assert _refused(_patient(birthDate="1920-01-01"), *operations).startswith("Operation 1 (replace)")


def test_contained_resources_and_bundle_entries_have_their_own_types() -> None:
    document = {**DOCUMENT, "contained": [{"resourceType": "Patient", "id": "p"}]}
    add = _operation("add", "DocumentReference.contained[0]", name="birthDate", value={"valueDate": "1930-01-01"})
    assert _patched(document, add)["contained"] == [{"resourceType": "Patient", "id": "p", "birthDate": "1930-01-01"}]
    resource = {"resource": {"resourceType": "Device", "id": "x"}}
    whole = _operation("add", "DocumentReference", name="contained", value=resource)
    assert _patched(document, whole)["contained"][1] == {"resourceType": "Device", "id": "x"}


def test_digits_survive_a_patch() -> None:
    before = parse(b'{"resourceType":"Observation","status":"final","valueQuantity":{"value":1.10}}')
    after = _patched(before, _operation("replace", "Observation.status", value={"valueCode": "amended"}))
    assert dump(after) == b'{"resourceType":"Observation","status":"amended","valueQuantity":{"value":1.10}}'


def test_a_patch_of_costly_paths_is_stopped() -> None:
    patient = _patient(identifier=_identifiers(*map(str, range(200))))
    costly = "Patient.descendants().where(%resource.descendants().where(%resource.descendants().exists()).empty())"
    started = time.process_time()
    assert _refused(patient, *[_operation("delete", costly)] * 1000).endswith("the expression visits too many nodes.")
    assert time.process_time() - started < 20
