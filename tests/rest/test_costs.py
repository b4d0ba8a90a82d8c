"""What a search costs, counted in questions to the store: includes, pages, chains. Times are scripts/bench's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fhir_dmp.ports import ResourceStore
from tests.rest.shapes import link, made, named, observation, organization, patient
from tests.store.stores import STORES
from tests.world import Client, Json, World, make_world

#: What asks a store something about resources.
_QUESTIONS = frozenset({"read", "read_many", "read_version", "search", "find", "count", "holder", "history", "types"})


class Counting:
    """A store that counts what it is asked."""

    def __init__(self, store: ResourceStore) -> None:
        self._store = store
        self.asked: Counter[str] = Counter()

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._store, name)
        if name not in _QUESTIONS:
            return found

        def counted(*args: Any, **more: Any) -> Any:
            self.asked[name] += 1
            return found(*args, **more)

        return counted

    def cost(self, client: Client, path: str) -> int:
        """Return how many questions one GET asks."""
        client.get(path)  # what is remembered between requests is asked once
        before = self.asked.total()
        answer = client.get(path)
        assert answer.status == 200, answer.body
        return self.asked.total() - before


@pytest.fixture(params=["memory", "sqlite"])
def counted(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[World, Counting]]:
    """A server whose store counts."""
    store = STORES[request.param](tmp_path)
    counting = Counting(store)
    yield make_world(counting), counting
    store.close()


def _observed(admin: Client, how_many: int) -> Json:
    """Store observations of one patient, each with a performer of its own and an organization of its own."""
    owner = made(admin, patient())
    for number in range(how_many):
        doctor = made(admin, {"resourceType": "Practitioner", "name": [{"family": f"N{number}"}]})
        site = made(admin, organization(f"Site {number}"))
        performers = [{"reference": named(doctor)}, {"reference": named(site)}]
        made(admin, observation(named(owner), performer=performers))
    return owner


@pytest.mark.statement("fhir-rest E142")
def test_an_include_of_twenty_performers_asks_once(counted: tuple[World, Counting]) -> None:
    world, counting = counted
    owner = _observed(world.admin, 20)
    plain = f"/Observation?subject={named(owner)}&_count=20"
    answer = world.admin.get(f"{plain}&_include=Observation:performer")
    assert len(answer.json["entry"]) == 60
    without = counting.cost(world.admin, plain)
    assert counting.cost(world.admin, f"{plain}&_include=Observation:performer") - without <= 1
    both = f"{plain}&_include=Observation:performer&_include=Observation:subject"
    assert counting.cost(world.admin, both) - without <= 1


@pytest.mark.statement("fhir-rest E144")
def test_a_reverse_include_asks_once_for_a_type(counted: tuple[World, Counting]) -> None:
    world, counting = counted
    owner = _observed(world.admin, 12)
    made(
        world.admin,
        {"resourceType": "Flag", "status": "active", "code": {"text": "x"}, "subject": {"reference": named(owner)}},
    )
    plain = f"/Patient?_id={owner['id']}"
    without = counting.cost(world.admin, plain)
    one = f"{plain}&_revinclude=Observation:subject"
    assert len(world.admin.get(one).json["entry"]) == 13
    assert counting.cost(world.admin, one) - without <= 1
    assert counting.cost(world.admin, f"{one}&_revinclude=Flag:subject") - without <= 2


@pytest.mark.statement("fhir-rest E131")
def test_a_late_page_asks_what_the_second_one_asks(counted: tuple[World, Counting]) -> None:
    world, counting = counted
    for number in range(60):
        made(world.admin, organization(f"Site {number:02}"))
    page = world.admin.get("/Organization?_sort=name&_count=2")
    places: list[str] = []
    while (following := link(page, "next")) is not None:
        places.append(following)
        page = world.admin.get(following)
    assert len(places) == 29
    assert counting.cost(world.admin, places[-1]) == counting.cost(world.admin, places[0])


@pytest.mark.statement("fhir-rest D114")
def test_a_chain_to_the_patients_identifier_asks_what_the_direct_form_asks(counted: tuple[World, Counting]) -> None:
    world, counting = counted
    owner = made(world.admin, patient(number="K-1"))
    for number in range(3):
        made(world.admin, observation(named(owner), f"c{number}"))
    direct = counting.cost(world.admin, f"/Observation?patient={named(owner)}")
    chained = counting.cost(world.admin, "/Observation?patient.identifier=https://example.org/numbers|K-1")
    assert chained - direct <= 2  # whose record it is, by its INS or by another identifier


def test_a_page_of_everything_asks_for_all_its_supports_at_once(counted: tuple[World, Counting]) -> None:
    world, counting = counted
    few, many = _observed(world.admin, 2), _observed(world.admin, 18)
    path = "/$everything?_count=50"
    assert counting.cost(world.admin, f"/{named(many)}{path}") == counting.cost(world.admin, f"/{named(few)}{path}")
