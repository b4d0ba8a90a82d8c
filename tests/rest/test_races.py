"""Writers at the same time. fhir-rest C60, C61, C63, F165."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import TypeVar

import pytest

from tests.rest.shapes import SYSTEM, bundle, entry, organization, patient
from tests.world import Response, World

T = TypeVar("T")


def together(work: Sequence[Callable[[], T]]) -> list[T]:
    """Run everything at once and return the results in order."""
    ready = Barrier(len(work))

    def run(each: Callable[[], T]) -> T:
        ready.wait(30)
        return each()

    with ThreadPoolExecutor(len(work)) as pool:
        return list(pool.map(run, work))


def _put(world: World, name: str, **headers: str) -> Callable[[], Response]:
    client = world.admin
    return lambda: client.put("/Organization/shared", {**organization(name), "id": "shared"}, **headers)


@pytest.mark.statement("fhir-rest C60")
def test_of_parallel_updates_with_the_same_if_match_one_succeeds(wide: World) -> None:
    _put(wide, "Départ")()
    answers = together([_put(wide, f"N{number}", If_Match='W/"1"') for number in range(8)])
    assert sorted(answer.status for answer in answers) == [200] + [412] * 7
    assert {answer.headers["ETag"] for answer in answers} == {'W/"2"'}
    assert wide.admin.get("/Organization/shared").headers["ETag"] == 'W/"2"'


@pytest.mark.statement("fhir-rest C61")
def test_parallel_updates_without_if_match_lose_no_version(wide: World) -> None:
    answers = together([_put(wide, f"N{number}") for number in range(25)])
    answers += together([_put(wide, f"M{number}") for number in range(25)])
    done = [answer for answer in answers if answer.status in (200, 201)]
    others = [answer for answer in answers if answer.status not in (200, 201)]
    assert all(answer.status == 409 and answer.codes == {"lock-error"} for answer in others)
    assert done
    versions = sorted(int(answer.json["meta"]["versionId"]) for answer in done)
    assert versions == list(range(1, len(done) + 1))
    history = wide.admin.get("/Organization/shared/_history?_count=100").json["entry"]
    assert [each["resource"]["meta"]["versionId"] for each in history] == [str(v) for v in reversed(versions)]


@pytest.mark.statement("fhir-rest C63")
def test_parallel_conditional_creates_make_one_resource(wide: World) -> None:
    client, criteria = wide.admin, f"identifier={SYSTEM}|A-1"
    answers = together(
        [lambda: client.post("/Patient", patient(number="A-1"), If_None_Exist=criteria) for _ in range(20)]
    )
    assert sorted({answer.status for answer in answers}) in ([200, 201], [200, 201, 409])
    assert sum(answer.status == 201 for answer in answers) == 1
    assert len({answer.json["id"] for answer in answers if answer.status < 300}) == 1
    assert wide.admin.get(f"/Patient?{criteria}&_total=accurate").json["total"] == 1


def test_parallel_conditional_updates_make_one_resource(wide: World) -> None:
    client, criteria = wide.admin, f"identifier={SYSTEM}|A-1"
    answers = together(
        [
            lambda number=number: client.put(f"/Patient?{criteria}", patient(f"N{number}", number="A-1"))  # type: ignore[misc]
            for number in range(12)
        ]
    )
    assert sum(answer.status == 201 for answer in answers) == 1
    assert {answer.status for answer in answers} <= {200, 201, 409}
    assert wide.admin.get(f"/Patient?{criteria}&_total=accurate").json["total"] == 1


def test_parallel_transactions_with_the_same_condition_make_one_resource(world: World) -> None:
    client, criteria = world.admin, f"identifier={SYSTEM}|A-1"
    sent = bundle("transaction", entry("POST", "Patient", patient(number="A-1"), ifNoneExist=criteria))
    answers = together([lambda: client.post("/", sent) for _ in range(8)])
    statuses = [answer.json["entry"][0]["response"]["status"] for answer in answers if answer.status == 200]
    assert statuses.count("201 Created") == 1
    assert world.admin.get(f"/Patient?{criteria}&_total=accurate").json["total"] == 1


@pytest.mark.statement("fhir-rest F165")
def test_readers_never_see_half_a_transaction(world: World) -> None:
    """Both resources carry the same number in every state that a search shows."""
    client = world.admin
    for id_ in ("left", "right"):
        client.put(f"/Organization/{id_}", {**organization("Tour 0"), "id": id_})
    done: list[bool] = []

    def write() -> set[str]:
        for number in range(1, 31):
            both = (
                entry("PUT", f"Organization/{i}", {**organization(f"Tour {number}"), "id": i})
                for i in ("left", "right")
            )
            assert client.post("/", bundle("transaction", *both)).status == 200
        done.append(True)
        return set()

    def look() -> set[str]:
        torn: set[str] = set()
        while not done:
            names = {each["name"] for each in client.get("/Organization?_id=left,right").entries}
            torn |= names if len(names) != 1 else set()
        return torn

    assert together([write, look, look]) == [set(), set(), set()]
