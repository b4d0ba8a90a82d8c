"""A dossier for everybody who does not object in time. [dmp-fhir 3.8; docs/adr/0026]"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta

import pytest

from fhir_dmp.fhir.dates import local_date
from fhir_dmp.identity.caller import Actor, Caller, Scope
from fhir_dmp.interactions import population
from fhir_dmp.interactions.exchange import Call
from fhir_dmp.interactions.population import Outcome, Person
from fhir_dmp.patients.population import Campaign
from fhir_dmp.ports import RequestInfo
from tests import samples
from tests.flows.acts import by_ins, call, consents, done, motive, trail
from tests.flows.steps import Dossier, next_ins, nothing_stored
from tests.samples import Json
from tests.world import World

WEEK_MS = 7 * 24 * 3_600_000


@contextmanager
def weeks_later(world: World, weeks: float) -> Iterator[None]:
    """Move the clock on for a while."""
    before = world.clock.time_ms
    world.clock.time_ms += int(weeks * WEEK_MS)
    try:
        yield
    finally:
        world.clock.time_ms = before


def run(world: World, *patients: Json, weeks: int = 6, announced: date | None = None) -> list[Outcome]:
    """Run the campaign over these people."""
    services = world.services
    operator = Caller(Actor.ADMIN, "open-all", client="fhir-dmp", scopes=(Scope("system", "*", frozenset("cruds")),))
    info = RequestInfo(request_id="test", address="127.0.0.1", base=services.base)
    today = date.fromisoformat(local_date(services.clock.now_ms(), services.zone))
    persons = [Person(f"line {number}", patient) for number, patient in enumerate(patients)]
    asked = Call("POST", ("Patient", "$dmp-ouvrir"), operator, info)
    return list(population.people(asked, persons, Campaign(today, weeks, announced), services))


def states(outcomes: list[Outcome]) -> list[str]:
    return [outcome.status for outcome in outcomes]


def found(world: World, ins: str) -> list[Json]:
    """Return what TD0.2 tells of an INS."""
    answer = world.doctor().get(f"/Patient?identifier={samples.INS}|{ins}")
    assert answer.status == 200, answer.body
    return answer.entries


def test_people_are_told_first_and_get_a_dossier_when_the_weeks_are_over(world: World) -> None:
    ins = next_ins()
    person = samples.patient(ins)
    (told,) = run(world, person)
    assert (told.status, told.until) == ("announced", date(2026, 6, 12) + timedelta(weeks=6))
    assert found(world, ins) == []
    assert world.doctor().post("", samples.submission("1.2.3.4", ins=ins)).status == 422
    with weeks_later(world, 5.9), nothing_stored(world):
        assert states(run(world, person)) == ["waiting"]
    with weeks_later(world, 6.1):
        (opened,) = run(world, person)
        assert (opened.status, opened.dossier) == ("opened", told.dossier)
        (shown,) = found(world, ins)
        assert shown["active"] is True
        assert not any("annoncee" in each["url"] for each in shown["extension"])
        dossier = Dossier(world, ins, opened.dossier.split("/")[1])
        assert dossier.submit()
        (legal,) = consents(dossier, "dmp-opening")
        assert (legal["provision"]["type"], legal["performer"][0]["type"]) == ("permit", "Organization")
        assert "CONSENTEMENT_OUVERTURE_DMP" not in str(legal["category"])
        assert [event["outcome"] for event in trail(dossier, "TD1.1")] == ["0", "0"]
        with nothing_stored(world):
            assert states(run(world, person)) == ["open"]


def test_whoever_objected_gets_none_and_may_think_again(world: World) -> None:
    ins = next_ins()
    person = samples.patient(ins)
    run(world, person)
    done(by_ins(world.doctor(), ins, "dmp-opposition", nature="creation", valeur=True))
    with weeks_later(world, 7):
        with nothing_stored(world):
            assert states(run(world, person)) == ["opposed"]
        assert found(world, ins) == []
        done(by_ins(world.doctor(), ins, "dmp-opposition", nature="creation", valeur=False))
        assert states(run(world, person, weeks=0)) == ["opened"]


def test_an_objection_before_any_announcement_counts_too(world: World) -> None:
    ins = next_ins()
    done(by_ins(world.doctor(), ins, "dmp-opposition", nature="creation", valeur=True))
    with nothing_stored(world):
        assert states(run(world, samples.patient(ins), weeks=0)) == ["opposed"]


def test_whoever_asks_a_doctor_meanwhile_gets_the_dossier_at_once(world: World) -> None:
    ins = next_ins()
    run(world, samples.patient(ins))
    dossier = Dossier.open(world, ins)
    assert [each["active"] for each in found(world, ins)] == [True]
    with weeks_later(world, 7), nothing_stored(world):
        assert states(run(world, samples.patient(ins))) == ["open"]
    done(call(dossier.holder, dossier, "dmp-fermer", motif=motive()))
    with nothing_stored(world):
        assert states(run(world, samples.patient(ins), weeks=0)) == ["closed"]


def test_an_announcement_made_by_other_means_opens_at_once_when_it_is_old_enough(world: World) -> None:
    person, other = samples.patient(next_ins()), samples.patient(next_ins())
    with nothing_stored(world):
        assert states(run(world, person, announced=date(2026, 5, 10))) == ["waiting"]
    assert states(run(world, person, announced=date(2026, 5, 1))) == ["opened"]
    assert states(run(world, other, weeks=0)) == ["opened"]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"identifier": None}, "ins-format-invalide"),
        ({"birthDate": None}, "required"),
        ({"extension": None}, "identite-non-qualifiee"),
    ],
)
def test_an_identity_that_is_not_good_enough_is_refused_and_the_others_go_on(
    world: World, change: Json, code: str
) -> None:
    wrong = {k: v for k, v in (samples.patient(next_ins()) | change).items() if v is not None}
    outcomes = run(world, wrong, samples.patient(next_ins()), {"resourceType": "Basic"}, weeks=0)
    assert states(outcomes) == ["refused", "opened", "refused"]
    assert outcomes[0].code == code
    assert outcomes[0].reason


def test_other_traits_than_those_announced_are_refused(world: World) -> None:
    ins = next_ins()
    run(world, samples.patient(ins))
    with weeks_later(world, 7), nothing_stored(world):
        (refused,) = run(world, samples.patient(ins, birthDate="1990-01-01"))
    assert (refused.status, refused.code) == ("refused", "traits-discordants")


def test_the_same_person_twice_in_a_file_is_one_dossier(world: World) -> None:
    person = samples.patient(next_ins())
    assert states(run(world, person, person, weeks=0)) == ["opened", "open"]


def test_hundreds_of_people_are_opened_and_a_second_run_changes_nothing(world: World, store_kind: str) -> None:
    count, done_before = (450, 130) if store_kind == "sqlite" else (12, 5)  # a commit on the wire takes a while
    everybody = [samples.patient(next_ins()) for _ in range(count)]
    assert states(run(world, *everybody[:done_before], weeks=0)) == ["opened"] * done_before  # as far as it came
    expected = ["open"] * done_before + ["opened"] * (count - done_before)
    assert states(run(world, *everybody, weeks=0)) == expected
    with nothing_stored(world):
        assert set(states(run(world, *everybody, weeks=0))) == {"open"}
    for patient in everybody[::90]:
        assert len(found(world, patient["identifier"][0]["value"])) == 1
