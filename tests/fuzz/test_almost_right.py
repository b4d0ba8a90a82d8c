"""Thousands of requests that are almost right: the server refuses what is wrong and never fails. [fhir-rest L234]"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from fhir_dmp.store.sqlite import open_sqlite
from tests.world import Client, World, make_world

from .answers import judge
from .requests import Known, almost, written

#: Twice 200 examples of 25 requests.
EXAMPLES, REQUESTS = 200, 25


@pytest.fixture(scope="module", params=["enforce", "off"])
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A server; without validation, what is wrong reaches deeper."""
    store = open_sqlite(tmp_path_factory.mktemp("fuzz") / Path("dmp.sqlite3"))
    made = make_world(store, DMP_VALIDATION_MODE=request.param)
    made.open()
    made.authorise()
    yield made
    store.close()


@pytest.fixture(scope="module")
def known(world: World) -> Known:
    document = world.submit("1.2.250.1.999.9.1")
    content = world.admin.get(f"/DocumentReference/{document}").json["content"][0]["attachment"]["url"]
    return Known(next(iter(world.patients.values())), document, content.split("/")[-1], world.services.structures)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.statement("fhir-rest L234")
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@given(st.integers(0, 2**32))
def test_whatever_is_sent_the_server_answers_properly_and_lives(world: World, known: Known, seed: int) -> None:
    dice = Random(seed)
    callers = (world.admin, world.admin, world.doctor(), world.patient(), world.nobody)
    for _ in range(REQUESTS):
        _send(dice.choice(callers), known, dice)
    assert world.admin.get(f"/Patient/{known.patient}").status == 200


def _send(caller: Client, known: Known, dice: Random) -> None:
    method, target, headers, body = written(almost(known, dice), known, dice)
    if caller.token is not None:
        headers.setdefault("authorization", f"Bearer {caller.token}")
    answer = caller.world.request(method, "/fhir" + target, body, headers)
    try:
        judge(answer.status, {name.lower(): value for name, value in answer.headers.items()}, answer.body, method)
    except AssertionError as error:
        raise AssertionError(f"{method} {target}\n{headers}\n{body[:4000]!r}\n{error}") from error
