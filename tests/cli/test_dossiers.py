"""`fhir-dmp dossiers open-all`: a file of people, a report of what became of each. [dmp-fhir 3.8]"""

from __future__ import annotations

import json

from tests import samples
from tests.cli.calling import CommandLine
from tests.flows.steps import next_ins


def population(cli: CommandLine, *lines: object) -> str:
    text = "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines)
    return str(cli.write("insured.ndjson", text + "\n"))


def report(cli: CommandLine) -> list[dict[str, str]]:
    return [json.loads(line) for line in (cli.folder / "open-all-report.ndjson").read_text().splitlines()]


def test_a_population_is_announced_then_opened(cli: CommandLine) -> None:
    people = [samples.patient(next_ins()) for _ in range(3)]
    file = population(cli, *people)
    first = cli("dossiers", "open-all", "--from", file)
    assert (first.status, first.counts) == (0, {"announced": 3})
    assert [(line["name"], line["status"]) for line in report(cli)] == [
        (f"{file}:{number}", "announced") for number in (1, 2, 3)
    ]
    assert all(line["until"] for line in report(cli))
    assert cli("dossiers", "open-all", "--from", file).counts == {"waiting": 3}
    assert cli("dossiers", "open-all", "--from", file, "--opposition-weeks", 0).counts == {"opened": 3}
    assert cli("dossiers", "open-all", "--from", file).counts == {"open": 3}
    with cli.world() as world:
        for person in people:
            ins = person["identifier"][0]["value"]
            assert len(world.doctor().get(f"/Patient?identifier={samples.INS}|{ins}").entries) == 1
            assert ins not in first.out + (cli.folder / "open-all-report.ndjson").read_text()


def test_a_bad_line_is_told_with_its_number_and_the_others_go_on(cli: CommandLine) -> None:
    file = population(cli, "{", samples.patient(next_ins()), samples.patient("123456789012345"))
    told = cli("dossiers", "open-all", "--from", file, "--announced", "2026-01-01")
    assert (told.status, told.counts) == (1, {"opened": 1, "refused": 2})
    assert [line["status"] for line in report(cli)] == ["refused", "opened", "refused"]
    assert report(cli)[2]["code"] == "ins-cle-invalide"
    assert "open-all-report.ndjson" in told.err


def test_an_empty_file_and_an_announcement_to_come_are_said(cli: CommandLine) -> None:
    empty = cli("dossiers", "open-all", "--from", population(cli, ""))
    assert (empty.status, "holds nobody" in empty.err) == (1, True)
    file = population(cli, samples.patient(next_ins()))
    future = cli("dossiers", "open-all", "--from", file, "--announced", "2999-01-01")
    assert (future.status, "nobody was told yet" in future.err) == (2, True)
