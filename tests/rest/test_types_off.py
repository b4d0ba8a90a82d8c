"""Types that a deployment switches off: not there in any way. fhir-rest 1"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fhir_dmp.errors import ConfigurationError
from fhir_dmp.store.memory import MemoryStore
from tests.rest.conftest import EVERYWHERE
from tests.rest.shapes import bundle, entry, made, named, observation, patient, statuses
from tests.store.stores import STORES
from tests.world import World, make_world

OFF = {"DMP_SERVER_TYPES_OFF": "Observation,Claim"}


@pytest.fixture(params=EVERYWHERE)
def worlds(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[World, World]]:
    """One store under two servers: all types, and without observations."""
    store = STORES[request.param](tmp_path)
    alone = {"DMP_STORE_ALLOW_STANDALONE": "true"}
    yield make_world(store, None, **alone), make_world(store, None, **alone, **OFF)
    store.close()


@pytest.mark.statement("fhir-rest A19")
def test_a_switched_off_type_is_404_at_every_url(worlds: tuple[World, World]) -> None:
    everything, less = worlds
    owner = made(everything.admin, patient())
    stored = made(everything.admin, observation(named(owner)))
    place = f"/{named(stored)}"
    for method, path in (
        ("GET", place),
        ("PUT", place),
        ("DELETE", place),
        ("GET", "/Observation"),
        ("POST", "/Observation"),
        ("POST", "/Observation/_search"),
        ("GET", f"{place}/_history"),
        ("GET", f"{place}/_history/1"),
        ("GET", "/Observation/_history"),
        ("GET", f"/{named(owner)}/Observation"),
        ("POST", "/Observation/$validate"),
        ("GET", f"{place}/$meta"),
    ):
        body = observation() if method in ("PUT", "POST") and "search" not in path else None
        answer = less.admin.call(method, path, body)
        assert (answer.status, answer.codes) == (404, {"not-supported"}), (method, path, answer.body)


def test_no_search_leads_to_a_switched_off_type(worlds: tuple[World, World]) -> None:
    everything, less = worlds
    owner = made(everything.admin, patient())
    stored = made(everything.admin, observation(named(owner)))
    admin = less.admin
    strict = {"Prefer": "handling=strict"}
    for query in ("_has:Observation:patient:code=8867-4", "_revinclude=Observation:subject", "link.frob=1"):
        assert admin.get(f"/Patient?{query}", **strict).status == 400, query
    assert admin.get("/?_type=Observation").status == 400
    for path in ("/?_lastUpdated=gt2000", f"/{named(owner)}/*", f"/{named(owner)}/$everything", "/_history", "/$meta"):
        answer = admin.get(path)
        assert answer.status == 200, answer.body
        assert stored["id"] not in answer.body.decode(), path
    flag = {"resourceType": "Flag", "status": "active", "code": {"text": "x"}, "subject": {"reference": named(owner)}}
    made(admin, {**flag, "encounter": {"reference": "Encounter/1"}})
    assert len(admin.get(f"/Flag?patient={named(owner)}&_include=Flag:subject").json["entry"]) == 2


def test_what_refers_to_a_switched_off_type_includes_nothing_of_it(worlds: tuple[World, World]) -> None:
    everything, less = worlds
    stored = made(everything.admin, observation())
    report = {"resourceType": "DiagnosticReport", "status": "final", "code": {"text": "x"}}
    made(everything.admin, {**report, "result": [{"reference": named(stored)}]})
    path = "/DiagnosticReport?_include=DiagnosticReport:result"
    assert len(everything.admin.get(path).json["entry"]) == 2
    assert len(less.admin.get(path).json["entry"]) == 1


def test_a_bundle_cannot_write_a_switched_off_type(worlds: tuple[World, World]) -> None:
    everything, less = worlds
    sent = [entry("POST", "Patient", patient("LOT")), entry("POST", "Observation", observation())]
    answer = less.admin.post("", bundle("batch", *sent))
    assert statuses(answer) == ["201 Created", "404 Not Found"]
    if everything.services.store.transactional:
        refused = less.admin.post("", bundle("transaction", *sent))
        assert (refused.status, refused.expressions) == (400, ["Bundle.entry[1].request.url"])


@pytest.mark.statement("fhir-rest J211")
def test_it_is_not_claimed(worlds: tuple[World, World]) -> None:
    _, less = worlds
    statement = less.admin.get("/metadata").json["rest"][0]["resource"]
    types = {each["type"] for each in statement}
    assert {"Observation", "Claim"} & types == set()
    assert "Condition" in types
    claimed = [name for each in statement for name in each.get("searchRevInclude", ())]
    assert not any(name.startswith("Observation:") for name in claimed)


@pytest.mark.parametrize("value", ["Frob", "Patient", "Observation,Consent"])
def test_what_the_record_is_made_of_stays_on(value: str) -> None:
    with pytest.raises(ConfigurationError, match="types_off"):
        make_world(MemoryStore(), None, DMP_SERVER_TYPES_OFF=value)
