"""$validate, $meta and its changes, $versions. fhir-rest 12, checklist J."""

from __future__ import annotations

from typing import Any

import pytest

from tests.rest.shapes import made, named, observation, organization, patient
from tests.world import Client, Json, Response, World

TAG = {"system": "https://example.org/tags", "code": "urgent"}
LABEL = {"system": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "code": "R"}
PROFILE = "https://example.org/StructureDefinition/mine"


def _parameters(**values: Any) -> Json:
    parameters = []
    for name, value in values.items():
        kind = "resource" if isinstance(value, dict) else {"mode": "valueCode", "profile": "valueUri"}[name]
        parameters.append({"name": name, kind: value})
    return {"resourceType": "Parameters", "parameter": parameters}


def _issues(answer: Response) -> list[tuple[str, str, list[str]]]:
    assert (answer.status, answer.json["resourceType"]) == (200, "OperationOutcome"), answer.body
    return [(each["severity"], each["code"], each.get("expression", [])) for each in answer.json["issue"]]


class TestValidate:
    """Whatever the verdict, the answer is 200 and nothing is stored."""

    @pytest.mark.statement("fhir-rest J204")
    @pytest.mark.parametrize("wrapped", [False, True])
    def test_a_valid_resource_has_one_information(self, wide: World, wrapped: bool) -> None:
        body = _parameters(resource=patient()) if wrapped else patient()
        assert _issues(wide.admin.post("/Patient/$validate", body)) == [("information", "informational", [])]
        assert wide.admin.get("/Patient").entries == []

    @pytest.mark.statement("fhir-rest J204")
    def test_an_invalid_resource_has_all_its_errors_with_their_places(self, admin: Client) -> None:
        answer = admin.post("/Patient/$validate", patient(gender="autre", birthDate="hier", frobs=1))
        assert {(severity, place[0]) for severity, _, place in _issues(answer)} == {
            ("error", "Patient.gender"),
            ("error", "Patient.birthDate"),
            ("error", "Patient.frobs"),
        }

    @pytest.mark.statement("fhir-rest J204")
    @pytest.mark.parametrize("body", [b"{", b"", b"[]", b'{"resourceType":"Parameters"}'])
    def test_what_cannot_be_read_is_400(self, admin: Client, body: bytes) -> None:
        answer = admin.call("POST", "/Patient/$validate", body, {"Content-Type": "application/fhir+json"})
        assert answer.status == 400, answer.body

    def test_another_type_is_an_error(self, admin: Client) -> None:
        assert ("error", "invalid", ["resourceType"]) in _issues(admin.post("/Patient/$validate", organization()))

    @pytest.mark.statement("fhir-rest J204")
    def test_the_modes_judge_what_they_stand_for(self, admin: Client) -> None:
        owner = made(admin, organization())
        made(admin, organization("B", partOf={"reference": named(owner)}))

        def codes(path: str, body: Json) -> set[str]:
            return {code for severity, code, _ in _issues(admin.post(path, body)) if severity == "error"}

        for mode in ("create", "update"):
            assert codes("/Patient/$validate", _parameters(resource=patient(), mode=mode)) == set()
        assert codes("/Binary/$validate?mode=delete", {"resourceType": "Parameters", "parameter": []}) == {
            "not-supported"
        }
        assert codes(f"/{named(owner)}/$validate", _parameters(mode="delete")) == {"conflict"}
        assert codes("/Patient/nobody/$validate", _parameters(mode="delete")) == {"not-supported"}
        assert codes(f"/{named(owner)}/$validate", organization(id="other")) == {"invalid"}
        wrong = admin.post("/Patient/$validate", _parameters(resource=patient(), mode="frob"))
        assert (wrong.status, wrong.expressions) == (400, ["mode"])

    @pytest.mark.statement("fhir-rest J204")
    def test_a_profile_that_is_not_known_is_said_aloud(self, admin: Client) -> None:
        answer = admin.post("/Patient/$validate", _parameters(resource=patient(), profile=PROFILE))
        assert ("warning", "not-supported", ["profile"]) in _issues(answer)
        needed = admin.post("/Patient/$validate", _parameters(resource=patient(), mode="profile"))
        assert (needed.status, needed.codes) == (400, {"required"})
        known = "http://hl7.org/fhir/StructureDefinition/Patient"
        answer = admin.post("/Patient/$validate", _parameters(resource=patient(), mode="profile", profile=known))
        assert [severity for severity, _, _ in _issues(answer)] == ["information"]

    def test_a_stored_resource_is_judged_without_a_body(self, admin: Client) -> None:
        stored = made(admin, patient())
        assert _issues(admin.call("POST", f"/{named(stored)}/$validate"))[0][0] == "information"
        assert admin.call("POST", "/Patient/nobody/$validate").status == 404

    def test_a_parameters_resource_is_judged_as_one(self, admin: Client) -> None:
        body = {"resourceType": "Parameters", "parameter": [{"name": "x", "valueString": "y"}]}
        assert _issues(admin.post("/Parameters/$validate", body))[0][0] == "information"


class TestMeta:
    """Profiles, tags and labels in use; each change is a version of its own."""

    @pytest.mark.statement("fhir-rest J208")
    def test_meta_of_an_instance(self, wide: World) -> None:
        stored = made(wide.admin, patient(meta={"tag": [TAG], "security": [LABEL], "profile": [PROFILE]}))
        for method in ("GET", "POST"):
            answer = wide.admin.call(method, f"/{named(stored)}/$meta")
            assert answer.json["parameter"] == [{"name": "return", "valueMeta": stored["meta"]}]
        assert wide.admin.get("/Patient/nobody/$meta").status == 404

    @pytest.mark.statement("fhir-rest J208")
    def test_meta_of_a_type_and_of_the_server_unites(self, wide: World) -> None:
        admin = wide.admin
        nothing = admin.get("/Patient/$meta").json["parameter"][0]["valueMeta"]
        assert [each["valueCode"] for each in nothing["extension"]] == ["not-applicable"]
        for family in ("A", "B"):
            made(admin, patient(family, meta={"tag": [TAG]}))
        made(admin, patient("C", meta={"profile": [PROFILE]}))
        made(admin, observation(meta={"security": [LABEL]}))
        assert admin.get("/Patient/$meta").json["parameter"][0]["valueMeta"] == {"tag": [TAG], "profile": [PROFILE]}
        whole = admin.get("/$meta").json["parameter"][0]["valueMeta"]
        assert whole == {"tag": [TAG], "profile": [PROFILE], "security": [LABEL]}

    @pytest.mark.statement("fhir-rest J208")
    def test_meta_is_added_and_deleted_by_versions(self, wide: World) -> None:
        admin = wide.admin
        stored = made(admin, patient(meta={"tag": [TAG]}))
        path = f"/{named(stored)}"

        def change(name: str, meta: Json) -> Response:
            body = {"resourceType": "Parameters", "parameter": [{"name": "meta", "valueMeta": meta}]}
            answer = admin.post(f"{path}/${name}", body)
            assert answer.status == 200, answer.body
            return answer

        other = {**TAG, "code": "b"}
        added = change("meta-add", {"tag": [TAG, other], "security": [LABEL], "profile": [PROFILE]})
        meta = added.json["parameter"][0]["valueMeta"]
        assert (meta["tag"], meta["security"], meta["profile"]) == ([TAG, other], [LABEL], [PROFILE])
        assert (meta["versionId"], added.headers["ETag"]) == ("2", 'W/"2"')
        assert admin.get(path).json["meta"] == meta
        assert change("meta-add", {"tag": [TAG]}).headers["ETag"] == 'W/"2"'
        removed = change("meta-delete", {"tag": [TAG], "profile": [PROFILE, "urn:x:y"]})
        meta = removed.json["parameter"][0]["valueMeta"]
        assert (meta["tag"], meta["security"], meta.get("profile"), meta["versionId"]) == ([other], [LABEL], None, "3")
        assert change("meta-delete", {"tag": [TAG]}).headers["ETag"] == 'W/"3"'
        assert len(admin.get(f"/Patient?_tag={TAG['system']}|b").entries) == 1
        assert admin.get(f"/Patient?_tag={TAG['system']}|{TAG['code']}").entries == []
        history = admin.get(f"{path}/_history").json["entry"]
        assert len(history) == 3

    @pytest.mark.parametrize("body", [{"resourceType": "Parameters"}, {"resourceType": "Patient"}])
    def test_a_change_of_meta_needs_a_meta(self, admin: Client, body: Json) -> None:
        answer = admin.post(f"/{named(made(admin, patient()))}/$meta-add", body)
        assert (answer.status, answer.codes) == (400, {"required"})

    def test_the_labels_of_others_are_not_browsed(self, world: World) -> None:
        world.open()
        for client in (world.doctor(), world.patient()):
            assert client.get("/Patient/$meta").status == 403
            assert client.get("/$meta").status == 403

    def test_a_stranger_cannot_change_the_tags_of_a_document(self, world: World) -> None:
        from tests.samples import NURSE

        world.open()
        world.authorise()
        id_ = world.submit("1.2.250.1.999.6.1")
        stranger = world.doctor(NURSE, profession="60")
        tag = [{"op": "add", "path": "/meta/tag", "value": [TAG]}]
        assert stranger.patch(f"/DocumentReference/{id_}", tag).status in (403, 404, 422)
        assert world.admin.get(f"/DocumentReference/{id_}").headers["ETag"] == 'W/"1"'


def test_versions_names_r4(wide: World) -> None:
    answer = wide.admin.get("/$versions")
    assert [(each["name"], each["valueCode"]) for each in answer.json["parameter"]] == [
        ("version", "4.0"),
        ("default", "4.0"),
    ]
