"""`fhir-dmp access explain` on the demonstration: what it says is what the server does. [security 4.7]"""

from __future__ import annotations

import json
from typing import Any

import pytest

from fhir_dmp import bootstrap
from fhir_dmp.demo import people
from fhir_dmp.ports import AuditQuery
from tests.cli.calling import CommandLine

ANOUK, MINOR = people.ANOUK.ins, people.MINOR.ins
RPPS, FINESS = people.DOCTOR.number[1:], people.DOCTOR.structure[1:]
DOCTOR = ("--as", f"ps:{RPPS}", "--structure", FINESS)
BLOCKED = ("--as", f"ps:{people.BLOCKED.number[1:]}")
PHARMACIST = ("--as", f"ps:{people.PHARMACIST.number[1:]}", "--profession", "21", "--structure", "750999021")


@pytest.fixture
def demo(cli: CommandLine) -> CommandLine:
    """A command line whose store holds the demonstration."""
    cli.environ |= {"DMP_ACCESS_REGULATION_CENTRES": people.HOSPITAL}
    with cli.world() as world:
        bootstrap.load_demo(world.services)
    return cli


def explained(cli: CommandLine, *arguments: str, patient: str = ANOUK) -> dict[str, Any]:
    done = cli("access", "explain", *arguments, "--patient", patient, "--json")
    assert done.status == 0, done.err
    found: dict[str, Any] = json.loads(done.out)
    return found


def test_the_ground_of_an_access_is_told_with_the_consents_that_counted(demo: CommandLine) -> None:
    found = explained(demo, *DOCTOR, "--op", "search")
    assert (found["effect"], found["status"], found["reason"]) == ("permit", 200, None)
    assert (found["dossier"], found["authorisation"]) == ("active", "VALIDE")
    assert found["rows"][0]["row"] in ("C14", "C15", "C16")
    assert found["consents"]
    assert len(found["matrix"]) == 64


@pytest.mark.parametrize(
    ("arguments", "row", "status", "reason"),
    [
        (BLOCKED, "C6", 403, "blocked"),
        ((*BLOCKED, "--mode", "bris_de_glace", "--reason", "coma"), "C6", 403, "blocked"),
        (PHARMACIST, "C19", 403, "authorisation-missing"),
        ((*PHARMACIST, "--op", "retrieve"), "C19", 403, "authorisation-missing"),
        ((*PHARMACIST, "--op", "search"), "C19", 403, "authorisation-missing"),
        ((*PHARMACIST, "--mode", "bris_de_glace"), "C10", 403, "btg-not-allowed"),
        ((*PHARMACIST, "--mode", "bris_de_glace", "--reason", "coma"), "C11", 200, None),
        ((*PHARMACIST, "--mode", "bris_de_glace", "--reason", "coma", "--op", "delete"), "A2", 403, "scope"),
        ((*PHARMACIST, "--mode", "centre_15"), "C7", 403, "not-regulator"),
        ((*DOCTOR, "--scope", "user/Observation.rs"), "A2", 403, "scope"),
        ((*DOCTOR, "--sector", "SA13"), "A3", 403, "actor-excluded"),
        (("--as", f"org:{FINESS}", "--op", "search"), "C13", 403, "feed-only"),
        (("--as", "auditor", "--op", "history"), "C20", 200, None),
        (("--as", "admin"), "ADMIN", 200, None),
        (("--as", f"representative:{MINOR}"), "C3", 404, "not-found"),
    ],
)
def test_each_answer_names_its_row_and_reason(
    demo: CommandLine, arguments: tuple[str, ...], row: str, status: int, reason: str | None
) -> None:
    found = explained(demo, *arguments)
    assert (found["rows"][0]["row"], found["status"], found["reason"]) == (row, status, reason)
    assert found["rows"][0]["words"]


def test_a_document_is_explained_and_the_question_is_in_the_trail(demo: CommandLine) -> None:
    with demo.world() as world:
        patient = world.services.patient_id(None, ANOUK)
        bundle = world.admin.get(f"/DocumentReference?patient=Patient/{patient}").entries
        masked = next(each for each in bundle if "MASQUE_PS" in str(each["securityLabel"]))
    found = explained(demo, *PHARMACIST, "--document", masked["id"], "--mode", "bris_de_glace", "--reason", "coma")
    assert [row["row"] for row in found["rows"]] == ["C11", "D8"]
    assert (found["effect"], found["status"]) == ("filter", 404)
    holder = explained(demo, "--as", f"patient:{ANOUK}", "--document", masked["id"])
    assert [row["row"] for row in holder["rows"]] == ["C1", "D5"]
    with demo.services() as services:
        entry = services.store.audit(AuditQuery(patient=f"Patient/{patient}", count=1)).records[0][1]
        assert (entry.kind, entry.actor) == ("explain", "ADMIN")
        assert f"DocumentReference/{masked['id']}" in entry.what


def test_the_text_says_the_same_in_lines(demo: CommandLine) -> None:
    done = demo("access", "explain", *BLOCKED, "--patient", ANOUK)
    assert done.status == 0
    lines = done.out.splitlines()
    assert lines[0].startswith("deny: read Patient/")
    assert "row            C6: the patient has blocked the caller, the structure or the team" in lines
    assert any(line.startswith("consent") and line.endswith(" counted") and " block deny " in line for line in lines)


def test_a_wrong_question_says_what_to_give(demo: CommandLine) -> None:
    assert demo("access", "explain", "--as", "ps:1").status == 2
    assert demo("access", "explain", *DOCTOR, "--patient", "000").status == 1
    unknown = demo("access", "explain", *DOCTOR, "--patient", ANOUK, "--document", "nothing")
    assert (unknown.status, "no DocumentReference" in unknown.err) == (1, True)
