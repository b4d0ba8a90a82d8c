"""Concurrency headers and conditional interactions. fhir-rest 4, checklist C."""

from __future__ import annotations

import pytest

from tests.rest.shapes import BASE, SYSTEM, made, named, organization, patient
from tests.world import Client, World

MINE = f"identifier={SYSTEM}|A-1"


@pytest.mark.statement("fhir-rest C56", "fhir-rest C57")
@pytest.mark.parametrize("tags", ['W/"1"', '"1"', 'W/"7", W/"1"', "*"])
def test_the_right_if_match_lets_an_update_pass(wide: World, tags: str) -> None:
    stored = made(wide.admin, patient())
    answer = wide.admin.put(f"/{named(stored)}", {**patient("AUTRE"), "id": stored["id"]}, If_Match=tags)
    assert (answer.status, answer.headers["ETag"]) == (200, 'W/"2"')


@pytest.mark.statement("fhir-rest C56")
@pytest.mark.parametrize("tags", ['W/"2"', 'W/"0"', '"x"', 'W/"7", W/"8"'])
def test_the_wrong_if_match_is_412_with_the_current_etag(wide: World, tags: str) -> None:
    admin = wide.admin
    stored = made(admin, organization())
    body = {**organization("Autre"), "id": stored["id"]}
    change = [{"op": "replace", "path": "/name", "value": "Autre"}]
    answers = [
        admin.put(f"/{named(stored)}", body, If_Match=tags),
        admin.patch(f"/{named(stored)}", change, If_Match=tags),
        admin.delete(f"/{named(stored)}", If_Match=tags),
    ]
    for answer in answers:
        assert (answer.status, answer.codes, answer.headers["ETag"]) == (412, {"conflict"}, 'W/"1"')
    assert admin.get(f"/{named(stored)}").json["name"] == organization()["name"]


def test_if_match_on_what_does_not_exist_is_412(admin: Client) -> None:
    for tags in ("*", 'W/"1"'):
        answer = admin.put("/Patient/free", patient(id="free"), If_Match=tags)
        assert (answer.status, answer.codes) == (412, {"conflict"})
    assert admin.get("/Patient/free").status == 404


@pytest.mark.parametrize("tags", ["1", "W/1", 'W/"1', "W/'1'", '"1" "2"'])
def test_an_if_match_that_is_no_list_of_tags_is_400(admin: Client, tags: str) -> None:
    stored = made(admin, patient())
    answer = admin.put(f"/{named(stored)}", stored, If_Match=tags)
    assert (answer.status, answer.codes) == (400, {"value"})


@pytest.mark.statement("fhir-rest C59")
def test_if_none_match_any_only_creates(wide: World) -> None:
    admin = wide.admin
    first = admin.put("/Organization/once", {**organization(), "id": "once"}, If_None_Match="*")
    second = admin.put("/Organization/once", {**organization("B"), "id": "once"}, If_None_Match="*")
    assert first.status == 201
    assert (second.status, second.codes, second.headers["ETag"]) == (412, {"conflict"}, 'W/"1"')
    admin.delete("/Organization/once")
    back = admin.put("/Organization/once", {**organization("C"), "id": "once"}, If_None_Match="*")
    assert (back.status, back.headers["ETag"]) == (201, 'W/"3"')


@pytest.mark.statement("fhir-rest C62")
def test_if_none_exist_creates_finds_or_refuses(wide: World) -> None:
    admin = wide.admin
    first = admin.post("/Patient", patient(number="A-1"), If_None_Exist=MINE)
    second = admin.post("/Patient", patient("AUTRE", number="A-1"), If_None_Exist=MINE)
    assert (first.status, second.status) == (201, 200)
    assert second.headers["Location"] == first.headers["Location"]
    assert second.headers["ETag"] == 'W/"1"'
    assert second.json == first.json
    made(admin, patient(number="A-1"))
    third = admin.post("/Patient", patient(number="A-1"), If_None_Exist=MINE)
    assert (third.status, third.codes) == (412, {"multiple-matches"})
    assert len(admin.get(f"/Patient?{MINE}").entries) == 2


@pytest.mark.parametrize("criteria", [f"?{MINE}", f"Patient?{MINE}", MINE.replace("|", "%7C")])
def test_if_none_exist_may_be_written_as_a_url(admin: Client, criteria: str) -> None:
    made(admin, patient(number="A-1"))
    assert admin.post("/Patient", patient(number="A-1"), If_None_Exist=criteria).status == 200


@pytest.mark.statement("fhir-rest C64")
@pytest.mark.parametrize("criteria", [" ", "?", "_count=1", "unheard=1", "name=", "_format=json", "_sort=name"])
def test_if_none_exist_never_matches_everything(wide: World, criteria: str) -> None:
    made(wide.admin, patient())
    answer = wide.admin.post("/Patient", patient(), If_None_Exist=criteria)
    assert answer.status == 400, answer.body
    assert answer.json["resourceType"] == "OperationOutcome"
    assert len(wide.admin.get("/Patient").entries) == 1


@pytest.mark.statement("fhir-rest C69")
def test_a_conditional_create_after_the_deletion_of_the_match_creates(wide: World) -> None:
    admin = wide.admin
    criteria = f"identifier={SYSTEM}|A-1"
    first = admin.post("/Organization", organization(number="A-1"), If_None_Exist=criteria)
    admin.delete(f"/Organization/{first.json['id']}")
    second = admin.post("/Organization", organization(number="A-1"), If_None_Exist=criteria)
    assert (first.status, second.status) == (201, 201)
    assert first.json["id"] != second.json["id"]


class TestConditionalUpdate:
    """The six rows of fhir-rest 4.5."""

    @pytest.mark.statement("fhir-rest C65")
    def test_no_match_and_no_id_creates_with_an_id_of_the_server(self, wide: World) -> None:
        answer = wide.admin.put(f"/Patient?{MINE}", patient(number="A-1"))
        assert (answer.status, answer.headers["ETag"]) == (201, 'W/"1"')
        assert answer.headers["Location"] == f"{BASE}/Patient/{answer.json['id']}/_history/1"

    @pytest.mark.statement("fhir-rest C65")
    def test_no_match_and_a_free_id_creates_with_that_id(self, wide: World) -> None:
        answer = wide.admin.put(f"/Patient?{MINE}", patient(number="A-1", id="mine"))
        assert (answer.status, answer.headers["Location"]) == (201, f"{BASE}/Patient/mine/_history/1")

    @pytest.mark.statement("fhir-rest C65")
    def test_no_match_and_an_id_of_another_is_409(self, wide: World) -> None:
        wide.admin.put("/Patient/taken", patient(id="taken", number="B-2"))
        answer = wide.admin.put(f"/Patient?{MINE}", patient(number="A-1", id="taken"))
        assert (answer.status, answer.codes) == (409, {"conflict"})
        assert wide.admin.get("/Patient/taken").headers["ETag"] == 'W/"1"'

    @pytest.mark.statement("fhir-rest C65")
    def test_one_match_updates_it_whether_or_not_the_body_names_it(self, wide: World) -> None:
        stored = made(wide.admin, patient(number="A-1"))
        first = wide.admin.put(f"/Patient?{MINE}", patient("B", number="A-1"))
        second = wide.admin.put(f"/Patient?{MINE}", patient("C", number="A-1", id=stored["id"]))
        assert [(each.status, each.headers["ETag"]) for each in (first, second)] == [(200, 'W/"2"'), (200, 'W/"3"')]
        assert second.json["id"] == stored["id"]

    @pytest.mark.statement("fhir-rest C65")
    def test_one_match_with_another_id_is_400(self, wide: World) -> None:
        made(wide.admin, patient(number="A-1"))
        answer = wide.admin.put(f"/Patient?{MINE}", patient(number="A-1", id="another"))
        assert (answer.status, answer.codes, answer.expressions) == (400, {"invalid"}, ["Patient.id"])

    @pytest.mark.statement("fhir-rest C65")
    def test_several_matches_are_412(self, wide: World) -> None:
        for _ in range(2):
            made(wide.admin, patient(number="A-1"))
        answer = wide.admin.put(f"/Patient?{MINE}", patient(number="A-1"))
        assert (answer.status, answer.codes) == (412, {"multiple-matches"})

    def test_the_preconditions_hold_for_the_match(self, admin: Client) -> None:
        made(admin, patient(number="A-1"))
        assert admin.put(f"/Patient?{MINE}", patient("B", number="A-1"), If_Match='W/"9"').status == 412
        assert admin.put(f"/Patient?{MINE}", patient("B", number="A-1"), If_None_Match="*").status == 412
        assert admin.put("/Patient?identifier=none", patient("B"), If_Match='W/"1"').status == 412

    @pytest.mark.parametrize("id_", ["no_id", "", 7, "a" * 65])
    def test_a_body_id_that_is_none_is_400(self, admin: Client, id_: object) -> None:
        answer = admin.put(f"/Patient?{MINE}", {**patient(number="A-1"), "id": id_})
        assert (answer.status, answer.expressions) == (400, ["Patient.id"])

    def test_a_deleted_resource_comes_back_under_its_id(self, admin: Client) -> None:
        stored = made(admin, organization(number="A-1"))
        admin.delete(f"/{named(stored)}")
        answer = admin.put(f"/Organization?{MINE}", {**organization(number="A-1"), "id": stored["id"]})
        assert (answer.status, answer.headers["ETag"]) == (201, 'W/"3"')


CHANGE = [{"op": "add", "path": "/active", "value": True}]


@pytest.mark.statement("fhir-rest C66")
def test_a_conditional_patch_needs_exactly_one_match(wide: World) -> None:
    admin = wide.admin
    none = admin.patch(f"/Patient?{MINE}", CHANGE)
    assert (none.status, none.codes) == (404, {"not-found"})
    made(admin, patient(number="A-1"))
    one = admin.patch(f"/Patient?{MINE}", CHANGE)
    assert (one.status, one.json["active"], one.headers["ETag"]) == (200, True, 'W/"2"')
    made(admin, patient(number="A-1"))
    several = admin.patch(f"/Patient?{MINE}", CHANGE)
    assert (several.status, several.codes) == (412, {"multiple-matches"})


@pytest.mark.statement("fhir-rest C67")
def test_a_conditional_delete_takes_at_most_one_match(wide: World) -> None:
    admin = wide.admin
    assert admin.delete(f"/Organization?{MINE}").status == 204
    stored = made(admin, organization(number="A-1"))
    one = admin.delete(f"/Organization?{MINE}")
    assert (one.status, one.body) == (204, b"")
    assert admin.get(f"/{named(stored)}").status == 410
    for _ in range(2):
        made(admin, organization(number="A-1"))
    several = admin.delete(f"/Organization?{MINE}")
    assert (several.status, several.codes) == (412, {"multiple-matches"})
    assert len(admin.get(f"/Organization?{MINE}").entries) == 2


def test_a_conditional_delete_without_match_answers_the_preferred_outcome(admin: Client) -> None:
    answer = admin.delete(f"/Organization?{MINE}", Prefer="return=OperationOutcome")
    assert (answer.status, answer.json["resourceType"]) == (200, "OperationOutcome")


@pytest.mark.statement("fhir-rest C68")
@pytest.mark.parametrize("query", [f"{MINE}&unheard=1", "unheard=1", "_count=5", "", "identifier="])
def test_conditional_requests_are_strict(admin: Client, query: str) -> None:
    made(admin, organization(number="A-1"))
    answers = [
        admin.put(f"/Organization?{query}", organization("B", number="A-1")),
        admin.patch(f"/Organization?{query}", CHANGE),
        admin.delete(f"/Organization?{query}"),
        admin.post("/Organization", organization(), If_None_Exist=query or " "),
    ]
    assert [answer.status for answer in answers] == [400, 400, 400, 400]
    assert [each["meta"]["versionId"] for each in admin.get("/Organization").entries] == ["1"]


def test_the_format_of_a_conditional_request_is_no_criterion(admin: Client) -> None:
    made(admin, organization(number="A-1"))
    answer = admin.put(f"/Organization?{MINE}&_format=xml&_pretty=true", organization("B", number="A-1"))
    assert answer.status == 200, answer.body
    assert answer.body.startswith(b"<")
    assert admin.delete(f"/Organization?{MINE}&_format=json").status == 204


@pytest.mark.statement("fhir-rest C70")
def test_if_match_on_delete(wide: World) -> None:
    path = f"/{named(made(wide.admin, organization()))}"
    assert wide.admin.delete(path, If_Match='W/"2"').status == 412
    assert wide.admin.get(path).status == 200
    assert wide.admin.delete(path, If_Match='W/"1"').status == 204
    assert wide.admin.get(path).status == 410


@pytest.mark.statement("fhir-rest C58")
def test_only_consents_require_if_match_and_the_statement_says_so(admin: Client) -> None:
    rest = admin.get("/metadata").json["rest"][0]
    versioning = {each["type"]: each["versioning"] for each in rest["resource"]}
    assert {type_ for type_, each in versioning.items() if each == "versioned-update"} == {"Consent"}
    stored = made(admin, patient())
    assert admin.put(f"/{named(stored)}", {**patient("B"), "id": stored["id"]}).status == 200
