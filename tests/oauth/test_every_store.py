"""The authorization server on every store, with two workers over one store: what one does, the other sees."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from fhir_dmp.oauth.clients import Status
from tests.flows.stores import STORES
from tests.oauth.people import APP, Auth, backend
from tests.world import FixedClock, make_world


@pytest.fixture(scope="module", params=sorted(STORES))
def workers(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Auth, Auth]]:
    """Two workers of one server."""
    store, clock = STORES[request.param](tmp_path_factory.mktemp("store")), FixedClock()
    one, other = Auth(make_world(store, clock)), Auth(make_world(store, clock))
    one.patient = other.patient = one.world.open()
    for client in (APP, backend()):
        one.register(client)
    yield one, other
    store.close()


@pytest.mark.statement("security I-7")
def test_a_token_revoked_at_one_worker_is_refused_by_the_other_within_five_seconds(workers: tuple[Auth, Auth]) -> None:
    one, other = workers
    token = one.signed_in()["access_token"]
    assert other.read(token).status == 200
    one.post("revoke", {"token": token, "client_id": "carnet"})
    one.wait(4.5)
    assert other.read(token).status == 401


@pytest.mark.statement("security T-6", "security T-10", "security TH27", "security H-18")
def test_codes_and_refresh_tokens_are_good_once_wherever_they_are_shown(workers: tuple[Auth, Auth]) -> None:
    one, other = workers
    code = one.code()
    first = one.redeem(code).json
    second = other.refresh(first["refresh_token"]).json
    assert one.refresh(first["refresh_token"]).json["error"] == "invalid_grant"
    assert other.refresh(second["refresh_token"]).json["error"] == "invalid_grant"
    assert other.redeem(code).json["error"] == "invalid_grant"
    one.wait(4.5)
    assert other.read(second["access_token"]).status == 401


@pytest.mark.statement("security K-11", "security TH26", "security H-18")
def test_an_assertion_is_good_once_wherever_it_is_shown(workers: tuple[Auth, Auth]) -> None:
    one, other = workers
    assertion = one.assertion()
    assert [each.by_client(assertion=assertion).status for each in (one, other, one)] == [200, 401, 401]


@pytest.mark.statement("security T-30")
def test_a_suspension_reaches_the_other_worker_within_five_seconds(workers: tuple[Auth, Auth]) -> None:
    one, other = workers
    token = other.signed_in()["access_token"]
    assert other.read(token).status == 200
    one.register(replace(APP, status=Status.SUSPENDED))
    one.wait(4.5)
    assert other.read(token).status == 401
    one.register(APP)
