"""The history of a record as its holder reads it, and the inbox, through HTTP."""

from __future__ import annotations

from typing import Any

import pytest

from fhir_dmp.identity.caller import Actor, Mode
from tests import samples
from tests.flows.steps import Dossier, next_ins
from tests.samples import Json
from tests.world import Client, Response, World

TITLE = "Compte rendu de consultation"


def lines(answer: Response) -> list[dict[str, Any]]:
    assert answer.status == 200, answer.body
    return [values(each) for each in answer.json["parameter"] if each["name"] == "line"]


def values(parameter: Json) -> dict[str, Any]:
    return {
        part["name"]: next(value for key, value in part.items() if key.startswith("value"))
        for part in parameter["part"]
    }


def told(dossier: Dossier, client: Client | None = None, query: str = "", **headers: str) -> list[dict[str, Any]]:
    return lines((client or dossier.holder).get(f"/Patient/{dossier.id}/$access-history{query}", **headers))


@pytest.fixture
def lived(world: World) -> Dossier:
    """A record that an authorised doctor fed and read, and that was entered in an emergency before the last read."""
    ins = next_ins()
    dossier = Dossier.open(world, ins)
    world.authorise(ins)
    document = dossier.submit()
    urgent = world.doctor(samples.OTHER_DOCTOR, samples.CLINIC, mode=Mode.BREAK_GLASS, reason="patient inconscient")
    assert urgent.get(f"/DocumentReference?{dossier.criterion}").status == 200
    world.clock.time_ms += 600_000
    for _ in range(3):
        assert world.doctor().get(f"/DocumentReference/{document}").status == 200
    return dossier


@pytest.mark.statement("security L-18")
def test_emergency_accesses_come_first_and_the_rest_newest_first(lived: Dossier) -> None:
    found = told(lived)
    assert found[0]["emergency"] is True
    assert found[0]["mode"] == "bris_de_glace"
    assert not any(each["emergency"] for each in found[1:])
    dates = [each["date"] for each in found[1:]]
    assert dates == sorted(dates, reverse=True)
    assert found[1]["date"] > found[0]["date"]


def test_a_line_says_who_when_from_where_what_and_in_which_mode_in_two_languages(lived: Dossier) -> None:
    french = told(lived)
    assert french[1]["sentence"] == (
        f"CARLIER Hippolyte (médecin, établissement {samples.HOSPITAL}) a consulté « {TITLE} » (3 fois)."
    )
    assert french[1]["count"] == 3
    assert "en urgence (bris de glace)" in french[0]["sentence"]
    assert (french[1]["software"], french[1]["profession"]) == ("lps-test", "médecin")
    english = told(lived, Accept_Language="en")
    assert english[1]["sentence"] == (
        f'CARLIER Hippolyte (doctor, institution {samples.HOSPITAL}) consulted "{TITLE}" (3 times).'
    )
    assert "in an emergency (break-glass)" in english[0]["sentence"]


@pytest.mark.statement("security L-19")
def test_a_document_hidden_from_the_patient_is_a_document_and_no_more(world: World) -> None:
    ins = next_ins()
    dossier = Dossier.open(world, ins)
    world.authorise(ins)
    hidden = dossier.submit(labels=((samples.VISIBILITY, "INVISIBLE_PATIENT"), (samples.CONFIDENTIALITY, "N")))
    assert world.doctor().get(f"/DocumentReference/{hidden}").status == 200
    answer = dossier.holder.get(f"/Patient/{dossier.id}/$access-history")
    read = next(each for each in lines(answer) if each["action"] == "look")
    assert read["what"] == "un document"
    assert hidden.encode() not in answer.body
    assert TITLE.encode() not in answer.body
    auditor = told(dossier, world.admin)
    assert TITLE in next(each for each in auditor if each["action"] == "look")["what"]


@pytest.mark.statement("security L-20")
def test_reading_the_history_is_recorded_once(lived: Dossier) -> None:
    admin = lived.world.admin

    def readings() -> int:
        trail = admin.get(f"/AuditEvent?patient=Patient/{lived.id}&_count=500").entries
        return sum(1 for each in trail if each["type"]["code"] == "110101" and "PATRQT" in str(each))

    before = readings()
    told(lived)
    assert readings() == before + 1
    assert lived.holder.get(f"/AuditEvent?patient=Patient/{lived.id}").status == 200
    assert readings() == before + 2


def test_the_history_is_for_the_holder_and_nobody_else(lived: Dossier) -> None:
    world = lived.world
    assert world.doctor().get(f"/Patient/{lived.id}/$access-history").status == 403
    other = Dossier.open(world, next_ins())
    assert other.holder.get(f"/Patient/{lived.id}/$access-history").status == 404
    assert world.nobody.get(f"/Patient/{lived.id}/$access-history").status == 401


@pytest.mark.parametrize("query", ["?_count=0", "?_count=501", "?_count=x", "?from=yesterday", "?name=x"])
def test_a_parameter_that_is_none_is_refused(lived: Dossier, query: str) -> None:
    assert lived.holder.get(f"/Patient/{lived.id}/$access-history{query}").status == 400


def test_a_period_and_a_number_of_lines_are_kept(lived: Dossier) -> None:
    assert told(lived, query="?to=2001") == []
    assert len(told(lived, query="?_count=1")) == 1
    assert told(lived, query="?from=2026-06-12&to=2026-06-13") != []


def test_refusals_are_told_as_such(world: World) -> None:
    dossier = Dossier.open(world, next_ins())
    stranger = world.doctor(samples.OTHER_DOCTOR, samples.CLINIC)
    assert stranger.get(f"/DocumentReference?{dossier.criterion}").status == 403
    refused = next(each for each in told(dossier) if each["result"] == "refused")
    assert refused["sentence"].endswith(": accès refusé.")


def test_representatives_learn_nothing_of_what_a_minor_keeps_secret(world: World) -> None:
    ins = next_ins()
    minor = Dossier.open(world, ins, birthDate="2009-03-04")
    world.authorise(ins)
    parent = {
        "resourceType": "RelatedPerson",
        "patient": {"reference": f"Patient/{minor.id}"},
        "active": True,
        "identifier": [{"system": "urn:test", "value": ins}],
    }
    created = world.admin.post("/RelatedPerson", parent)
    assert created.status == 201, created.body
    assert world.doctor(secret=True).get(f"/DocumentReference?{minor.criterion}").status == 200
    from fhir_dmp.identity.caller import Caller

    mother = world.as_(
        Caller(
            Actor.REPRESENTATIVE, "mother", client="portal", patient=minor.id,
            fhir_user=f"RelatedPerson/{created.json['id']}",
        )
    )  # fmt: skip
    assert [each for each in told(minor, mother) if each["action"] == "find"] == []
    assert [each for each in told(minor) if each["action"] == "find"] != []
    trail = mother.get(f"/AuditEvent?patient=Patient/{minor.id}")
    assert trail.status == 200, trail.body
    assert b"CARLIER" not in b"".join(str(each).encode() for each in trail.entries if "search-type" in str(each))


# --- the inbox and the preferences ---


def choice(event: str, way: str) -> Json:
    part = [{"name": "event", "valueCode": event}, {"name": "way", "valueCode": way}]
    return {"resourceType": "Parameters", "parameter": [{"name": "preference", "part": part}]}


def inbox(answer: Response, name: str = "notice") -> list[dict[str, Any]]:
    assert answer.status == 200, answer.body
    return [values(each) for each in answer.json["parameter"] if each["name"] == name]


@pytest.mark.statement("security N-11", "security N-6")
def test_the_holder_chooses_by_event_what_to_be_told(lived: Dossier) -> None:
    url = f"/Patient/{lived.id}/$notifications"
    empty = {"resourceType": "Parameters"}
    ways = {each["event"]: each["way"] for each in inbox(lived.holder.post(url, empty), "preference")}
    assert (ways["N3"], ways["N4"], ways["N5"]) == ("at-once", "off", "digest")
    changed = lived.holder.post(url, choice("N3", "off"))
    assert {each["event"]: each["way"] for each in inbox(changed, "preference")}["N3"] == "off"
    lived.holder.post(url, choice("N5", "at-once"))
    ways = {each["event"]: each["way"] for each in inbox(lived.holder.post(url, empty), "preference")}
    assert (ways["N3"], ways["N5"]) == ("off", "at-once")
    refused = lived.holder.post(url, choice("N1", "off"))
    assert refused.status == 422
    assert refused.codes >= {"business-rule"}


def test_the_inbox_has_each_notice_once_in_words(lived: Dossier) -> None:
    found = inbox(lived.holder.post(f"/Patient/{lived.id}/$notifications", {"resourceType": "Parameters"}))
    assert {each["event"] for each in found} >= {"N1", "N3", "N5", "N10"}
    assert "en urgence" in next(each for each in found if each["event"] == "N1")["sentence"]
    assert TITLE not in str(found)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (choice("N99", "off"), 422),
        (choice("N3", "loud"), 422),
        ({"resourceType": "Patient"}, 400),
        ({"resourceType": "Parameters", "parameter": [{"name": "else"}]}, 400),
        ({"resourceType": "Parameters", "parameter": [{"name": "preference"}]}, 400),
    ],
)
def test_a_choice_that_is_none_is_refused_and_changes_nothing(lived: Dossier, body: Json, status: int) -> None:
    assert lived.holder.post(f"/Patient/{lived.id}/$notifications", body).status == status


def test_a_professional_reads_no_inbox(lived: Dossier) -> None:
    answer = lived.world.doctor().post(f"/Patient/{lived.id}/$notifications", {"resourceType": "Parameters"})
    assert answer.status == 403
