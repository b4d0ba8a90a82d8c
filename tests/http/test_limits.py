"""Rate limits: what is one too many is refused in words, for a time that is told, and for nobody else."""

from __future__ import annotations

import json
import re
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_dmp.http.meter import Meters
from fhir_dmp.identity.caller import Mode
from fhir_dmp.store.memory import MemoryStore
from tests import samples
from tests.benchmarks import processes
from tests.world import World, make_world


def limited(**limits: str) -> World:
    return make_world(MemoryStore(), None, **{f"DMP_LIMITS_{name.upper()}": value for name, value in limits.items()})


@pytest.mark.statement("security H-20", "fhir-rest L235")
def test_one_request_too_many_is_429_with_the_time_to_wait_and_holds_again_after_it() -> None:
    world = limited(reads_per_minute="3")
    admin = world.admin
    assert [admin.get("/Patient/x").status for _ in range(3)] == [404, 404, 404]
    refused = admin.get("/Patient/x")
    assert refused.status == 429
    assert refused.codes >= {"throttled"}
    assert refused.json["resourceType"] == "OperationOutcome"
    assert re.search(r"More than 3 reads in a minute", refused.json["issue"][0]["diagnostics"])
    wait_s = int(refused.headers["Retry-After"])
    assert 1 <= wait_s <= 20
    world.clock.time_ms += wait_s * 1000
    assert admin.get("/Patient/x").status == 404
    assert admin.get("/Patient/x").status == 429


def test_users_and_clients_are_counted_apart_and_clients_together() -> None:
    world = limited(searches_per_minute="2", requests_per_minute="5")
    one, other = world.doctor(), world.doctor(samples.OTHER_DOCTOR)
    search = "/Patient?identifier=urn:oid:1.2.250.1.213.1.4.8|285047511200314"
    assert [one.get(search).status for _ in range(3)] == [200, 200, 429]
    assert [other.get(search).status for _ in range(2)] == [200, 200]
    assert other.get("/Practitioner/x").status == 429  # of the same client
    assert world.admin.get("/Patient/x").status == 404


@pytest.mark.parametrize("limit", ["writes_per_minute", "existence_per_hour", "existence_per_hour_structure"])
def test_changes_and_look_ups_have_limits_of_their_own(limit: str) -> None:
    world = limited(**{limit: "2"})
    doctor = world.doctor()
    statuses = []
    for _ in range(3):
        if limit == "writes_per_minute":
            statuses.append(doctor.post("", {"resourceType": "Bundle", "type": "nonsense"}).status)
        else:
            statuses.append(doctor.get(f"/Patient?identifier={samples.INS}|{samples.ANOUK}").status)
    assert 429 not in statuses[:2]
    assert statuses[2] == 429


def test_an_address_that_keeps_guessing_tokens_waits_and_others_do_not() -> None:
    world = limited(failures_per_minute="3")
    assert [world.nobody.get("/Patient/x").status for _ in range(4)] == [401, 401, 401, 429]
    assert world.admin.get("/Patient/x").status == 404


def test_the_first_refusal_is_recorded_and_a_flood_is_not() -> None:
    world = limited(reads_per_minute="2")
    doctor = world.doctor()
    for _ in range(20):
        doctor.get("/Patient/x")
    trail = world.admin.get("/AuditEvent?date=ge2020").entries
    throttled = [each for each in trail if each.get("outcomeDesc") == "throttled"]
    assert len(throttled) == 1


@pytest.mark.statement("security TH15", "security H-15")
def test_the_sixth_emergency_of_a_day_is_refused_and_recorded() -> None:
    world = limited(break_glass_per_day="5")
    world.open()
    search = f"/DocumentReference?patient.identifier={samples.INS}|{samples.ANOUK}"

    def emergency(number: int, professional: str = samples.DOCTOR) -> int:
        urgent = world.doctor(professional, mode=Mode.BREAK_GLASS, reason="urgence vitale", regulator=False)
        urgent.token = token_with_jti(world, professional, f"token-{number}")
        return urgent.get(search).status

    assert [emergency(number) for number in range(5)] == [200] * 5
    assert emergency(2) == 200  # a token that is in use
    assert emergency(5) == 429
    assert emergency(6, samples.OTHER_DOCTOR) == 200
    refused = [each for each in world.admin.get("/AuditEvent?date=ge2020").entries if "btg-limit" in str(each)]
    assert len(refused) == 1
    world.clock.time_ms += 86_400_000
    assert emergency(7) == 200


def token_with_jti(world: World, professional: str, jti: str) -> str:
    from fhir_dmp.identity.caller import Actor, Caller
    from fhir_dmp.identity.scopes import maximum
    from fhir_dmp.identity.tokens import Validity, claims_of, sign
    from fhir_dmp.terminology.aliases import PROFESSION

    caller = Caller(
        Actor.PROFESSIONAL,
        f"ps-{professional}",
        client="lps-test",
        professional=professional,
        structure=samples.HOSPITAL,
        roles=((PROFESSION, "10"),),
        mode=Mode.BREAK_GLASS,
        reason="urgence vitale",
        scopes=maximum(Actor.PROFESSIONAL, Mode.BREAK_GLASS),
    )
    now = world.clock.time_ms // 1000
    services = world.services
    claims = claims_of(
        caller, issuer=services.issuer, audience=services.base, validity=Validity(now - 60, now + 500), jti=jti
    )
    return sign(claims, services.verifier.keys)


@given(st.integers(1, 50), st.lists(st.floats(0, 30), max_size=80))
def test_no_window_lets_more_through_than_twice_the_allowance_and_the_first_burst_passes(
    allowed: int, pauses: list[float]
) -> None:
    meters = Meters()
    assert all(meters.take("a", allowed, 60, 1000) == 0 for _ in range(allowed))
    assert meters.take("a", allowed, 60, 1000) > 0
    now, taken = 1000.0, []
    for pause in pauses:
        now += pause
        wait = meters.take("a", allowed, 60, now)
        if wait == 0:
            taken.append(now)
        else:
            assert meters.take("a", allowed, 60, now + wait + 0.001) == 0
            taken.append(now + wait)
            now += wait + 0.001
    for start in taken:
        assert sum(1 for each in taken if start <= each < start + 60) <= 2 * allowed


def test_a_full_table_goes_on_counting() -> None:
    meters = Meters()
    for number in range(200_000):
        meters.take(f"user-{number}", 1, 60, 1000 + number / 1000)
    assert meters.take("user-199999", 1, 60, 1200) > 0


def test_processes_count_in_the_same_table(tmp_path: Path) -> None:
    one, other = Meters(tmp_path / "meters"), Meters(tmp_path / "meters")
    assert one.take("a", 2, 60, 1000) == 0
    assert other.take("a", 2, 60, 1000) == 0
    assert one.take("a", 2, 60, 1000) > 0
    assert other.take("b", 2, 60, 1000) == 0


@pytest.mark.slow
def test_two_workers_let_through_no_more_than_one_would(tmp_path: Path) -> None:
    with processes.server(tmp_path, limits_reads_per_minute="20") as server:
        token = processes.token(server, tmp_path, "--as", "admin")
        statuses, refusals = [], []
        for _ in range(40):
            request = urllib.request.Request(
                f"{server.url}/fhir/Patient/x", headers={"Authorization": f"Bearer {token}", "Connection": "close"}
            )
            try:
                with urllib.request.urlopen(request, timeout=10) as answer:
                    statuses.append(answer.status)
            except urllib.error.HTTPError as error:
                statuses.append(error.code)
                if error.code == 429:
                    refusals.append((json.loads(error.read())["issue"][0]["code"], int(error.headers["Retry-After"])))
    assert 20 <= statuses.count(404) <= 24  # some come back while the forty are asked
    assert {code for code, _ in refusals} == {"throttled"}
    assert all(wait_s >= 1 for _, wait_s in refusals)
