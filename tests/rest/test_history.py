"""History of a resource, a type and everything. fhir-rest 9, checklist G."""

from __future__ import annotations

from typing import Any

import pytest

from tests.rest.shapes import BASE, link, made, named, organization, patient
from tests.world import Client, Json, World


def _told(answer: Any) -> list[tuple[str, str]]:
    """Return (method, ETag) of each entry."""
    assert answer.status == 200, answer.body
    assert answer.json["type"] == "history"
    return [(each["request"]["method"], each["response"]["etag"]) for each in answer.json.get("entry", [])]


def _lived(client: Client) -> Json:
    """Return an organization that was made, changed twice (once by a patch), deleted, and brought back."""
    stored = made(client, organization("A"))
    path = f"/{named(stored)}"
    client.put(path, {**organization("B"), "id": stored["id"]})
    client.patch(path, [{"op": "replace", "path": "/name", "value": "C"}])
    client.delete(path)
    client.put(path, {**organization("D"), "id": stored["id"]})
    return stored


@pytest.mark.statement("fhir-rest G175", "fhir-rest G176")
def test_the_history_of_a_resource_is_newest_first_with_its_requests(wide: World) -> None:
    stored = _lived(wide.admin)
    answer = wide.admin.get(f"/{named(stored)}/_history")
    assert _told(answer) == [
        ("PUT", 'W/"5"'),
        ("DELETE", 'W/"4"'),
        ("PUT", 'W/"3"'),
        ("PUT", 'W/"2"'),
        ("POST", 'W/"1"'),
    ]
    entries = answer.json["entry"]
    assert {each["fullUrl"] for each in entries} == {f"{BASE}/{named(stored)}"}
    assert [each.get("resource", {}).get("name") for each in entries] == ["D", None, "C", "B", "A"]
    assert [each["request"]["url"] for each in entries] == [named(stored)] * 4 + ["Organization"]
    assert [each["response"]["status"][:3] for each in entries] == ["200", "204", "200", "200", "201"]
    times = [each["response"]["lastModified"] for each in entries]
    assert times == sorted(times, reverse=True)
    assert link(answer, "self") == f"/{named(stored)}/_history"


@pytest.mark.statement("fhir-rest G177")
def test_type_and_system_history_are_in_the_order_of_commits(wide: World) -> None:
    admin = wide.admin
    first, second = made(admin, organization("A")), made(admin, patient("B"))
    admin.put(f"/{named(first)}", {**organization("C"), "id": first["id"]})
    admin.delete(f"/{named(first)}")

    def seen(path: str) -> list[tuple[str, str]]:
        entries = admin.get(path).json["entry"]
        return [(each["fullUrl"].removeprefix(f"{BASE}/"), each["response"]["etag"]) for each in entries]

    org = [(named(first), 'W/"3"'), (named(first), 'W/"2"'), (named(first), 'W/"1"')]
    assert seen("/Organization/_history") == org
    assert seen("/Patient/_history") == [(named(second), 'W/"1"')]
    assert seen("/_history") == [*org[:2], (named(second), 'W/"1"'), org[2]]
    assert admin.get("/Observation/_history").json.get("entry") is None


@pytest.mark.statement("fhir-rest G178")
def test_since_is_inclusive_at_the_millisecond(wide: World) -> None:
    admin = wide.admin
    stored = made(admin, patient("A"))
    path = f"/{named(stored)}"
    changed = admin.put(path, {**patient("B"), "id": stored["id"]}).json["meta"]["lastUpdated"]
    later = changed[:-4] + f"{int(changed[-4:-1]) + 1:03d}Z"
    for place in (path, "/Patient", ""):
        assert _told(admin.get(f"{place}/_history?_since={changed}")) == [("PUT", 'W/"2"')]
        assert _told(admin.get(f"{place}/_history?_since={later}")) == []
        assert _told(admin.get(f"{place}/_history?_since=2040-01-01T00:00:00Z")) == []
        assert len(_told(admin.get(f"{place}/_history?_since=2020-01-01T00:00:00Z"))) == 2


@pytest.mark.statement("fhir-rest G179")
def test_at_returns_the_versions_in_force(wide: World) -> None:
    admin, clock = wide.admin, wide.clock
    day = 86_400_000
    stored = made(admin, patient("A"))  # 12 June 2026
    path = f"/{named(stored)}"
    for family in ("B", "C"):
        clock.time_ms += day
        admin.put(path, {**patient(family), "id": stored["id"]})

    def seen(at: str) -> list[str]:
        return [tag for _, tag in _told(admin.get(f"{path}/_history?_at={at}"))]

    assert seen("2026-06-11") == []
    assert seen("2026-06-12") == ['W/"1"']
    assert seen("2026-06-13") == ['W/"2"', 'W/"1"']
    assert seen("2026-06-14") == ['W/"3"', 'W/"2"']
    assert seen("2026-06-20") == ['W/"3"']
    assert seen("2026-06") == ['W/"3"', 'W/"2"', 'W/"1"']
    assert seen("2026-06-13T00:00:00Z") == ['W/"1"']


@pytest.mark.statement("fhir-rest G180")
@pytest.mark.parametrize("place", ["instance", "type", "system"])
def test_pages_are_stable_while_others_write(wide: World, place: str) -> None:
    admin = wide.admin
    stored = made(admin, patient("V1"))
    for number in range(2, 8):
        admin.put(f"/{named(stored)}", {**patient(f"V{number}"), "id": stored["id"]})
    scope = {"instance": f"/{named(stored)}", "type": "/Patient", "system": ""}[place]
    seen: list[str] = []
    path: str | None = f"{scope}/_history?_count=2"
    number = 8
    while path:
        answer = admin.get(path)
        seen += [tag for _, tag in _told(answer)]
        path = link(answer, "next")
        admin.put(f"/{named(stored)}", {**patient(f"V{number}"), "id": stored["id"]})
        number += 1
    assert seen == [f'W/"{version}"' for version in range(7, 0, -1)]


@pytest.mark.statement("fhir-rest G180")
def test_the_pages_of_a_filtered_history_keep_their_filter(wide: World) -> None:
    admin = wide.admin
    stored = made(admin, patient("V1"))
    times = []
    for number in range(2, 8):
        answer = admin.put(f"/{named(stored)}", {**patient(f"V{number}"), "id": stored["id"]})
        times.append(answer.json["meta"]["lastUpdated"])
    seen: list[str] = []
    path: str | None = f"/{named(stored)}/_history?_count=2&_since={times[1]}"
    while path:
        answer = admin.get(path)
        seen += [tag for _, tag in _told(answer)]
        path = link(answer, "next")
    assert seen == [f'W/"{version}"' for version in range(7, 2, -1)]


def test_a_put_that_made_a_resource_is_told_as_201(admin: Client) -> None:
    admin.put("/Patient/mine", patient(id="mine"))
    entry = admin.get("/Patient/mine/_history").json["entry"][0]
    assert (entry["request"], entry["response"]["status"]) == ({"method": "PUT", "url": "Patient/mine"}, "201 Created")


def test_the_self_link_of_a_history_says_what_was_applied(admin: Client) -> None:
    path = f"/{named(made(admin, patient()))}/_history"
    answer = admin.get(f"{path}?_count=1&_since=2020-01-01T00:00:00Z&unheard=1")
    assert link(answer, "self") == f"{path}?_count=1&_since=2020-01-01T00:00:00Z"
    assert admin.get(link(answer, "self") or "").json["entry"] == answer.json["entry"]


@pytest.mark.parametrize("query", ["_count=x", "_count=-1", "_since=hier", "_at=2026-13", "_since=", "_page=x"])
def test_a_wrong_history_parameter_is_400(admin: Client, query: str) -> None:
    answer = admin.get(f"/{named(made(admin, patient()))}/_history?{query}")
    assert (answer.status, answer.codes) == (400, {"value"})


def test_an_unknown_history_parameter_follows_the_handling(admin: Client) -> None:
    path = f"/{named(made(admin, patient()))}/_history?unheard=1"
    assert admin.get(path).status == 200
    strict = admin.get(path, Prefer="handling=strict")
    assert (strict.status, strict.codes) == (400, {"not-supported"})


def test_a_count_of_zero_returns_no_entry(admin: Client) -> None:
    answer = admin.get(f"/{named(made(admin, patient()))}/_history?_count=0")
    assert (answer.status, answer.json.get("entry"), link(answer, "next")) == (200, None, None)


@pytest.mark.statement("fhir-rest G181")
def test_an_unknown_id_is_404_and_a_deleted_one_200(wide: World) -> None:
    admin = wide.admin
    unknown = admin.get("/Organization/never-was/_history")
    assert (unknown.status, unknown.codes) == (404, {"not-found"})
    path = f"/{named(made(admin, organization()))}"
    admin.delete(path)
    assert _told(admin.get(f"{path}/_history")) == [("DELETE", 'W/"2"'), ("POST", 'W/"1"')]
    assert admin.get("/Unheard/_history").status == 404
    assert admin.get("/Organization/a_b/_history").status == 400


@pytest.mark.parametrize("path", ["/Patient/x/y/_history", "/Patient/x/y/z/_history", "/_history/_history/x/_history"])
def test_a_history_of_nothing_is_404_and_recorded(admin: Client, path: str) -> None:
    assert admin.get(path).status == 404


@pytest.mark.statement("fhir-rest G182")
def test_a_write_is_in_every_history_at_once(wide: World) -> None:
    admin = wide.admin
    stored = made(admin, patient("V1"))
    for number in range(2, 6):
        admin.put(f"/{named(stored)}", {**patient(f"V{number}"), "id": stored["id"]})
        for place in (f"/{named(stored)}", "/Patient", ""):
            assert _told(admin.get(f"{place}/_history?_count=1")) == [("PUT", f'W/"{number}"')]


def test_history_offers_xml_and_summaries_stay_out(admin: Client) -> None:
    stored = made(admin, patient())
    answer = admin.get(f"/{named(stored)}/_history?_format=xml")
    assert answer.headers["Content-Type"].startswith("application/fhir+xml")
    assert b'<type value="history"/>' in answer.body


@pytest.mark.parametrize("path", ["/Patient/x/_history", "/Patient/_history", "/_history", "/Patient/x/_history/1"])
def test_history_is_only_read(admin: Client, path: str) -> None:
    for method in ("POST", "PUT", "DELETE"):
        answer = admin.call(method, path, patient() if method != "DELETE" else None)
        assert answer.status == 405
        assert answer.headers["Allow"] == "GET, HEAD, OPTIONS"


def test_nobody_but_the_operator_browses_the_history_of_patients(world: World) -> None:
    world.open()
    for client in (world.doctor(), world.patient()):
        assert client.get("/Patient/_history").status == 403
        assert client.get("/_history").status == 403
