"""`fhir-dmp report mandatory-types`: what was deposited of each element of the order. [dmp-fhir 6.4]"""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest

from fhir_dmp.definitions import load_json
from fhir_dmp.interactions.mandatory import Asked, report
from fhir_dmp.store.memory import MemoryStore
from tests import samples
from tests.cli.calling import CommandLine
from tests.flows.steps import Dossier, next_content
from tests.world import World, make_world

A05 = f"{samples.NOS}/TRE_A05-TypeDocComplementaire/FHIR/TRE-A05-TypeDocComplementaire"
BIOLOGY, SCAN, LETTER = ((samples.LOINC, code) for code in ("11502-2", "18748-4", "96349-6"))


def deposit(dossier: Dossier, type_: tuple[str, str], day: str, class_: str = "10", **more: Any) -> str:
    return dossier.submit(type_=type_, class_=class_, date=f"{day}T10:00:00+02:00", content=next_content(), **more)


@pytest.fixture
def deposited(cli: CommandLine) -> CommandLine:
    """A store with deposits of several types, days and structures; one replaced, one deleted."""
    with cli.world() as world:
        dossier = Dossier.open(world, samples.ANOUK)
        first = deposit(dossier, BIOLOGY, "2026-01-31")
        dossier.replace(first, type_=BIOLOGY, date="2026-02-01T10:00:00+01:00")
        dossier.delete(deposit(dossier, BIOLOGY, "2026-02-02"))
        deposit(dossier, SCAN, "2026-02-28", "31")
        deposit(dossier, (A05, "CERT_DECL"), "2026-03-01", "52")
        deposit(dossier, (samples.LOINC, "89601-9"), "2026-03-01", "52")
        deposit(dossier, (samples.LOINC, "11488-4"), "2026-03-01")
        clinic = world.doctor(samples.OTHER_DOCTOR, samples.CLINIC)
        author = {"professional": samples.OTHER_DOCTOR, "structure": samples.CLINIC}
        body: dict[str, Any] = {
            "type_": LETTER,
            "date": "2026-03-02T10:00:00+01:00",
            "content": next_content(),
            **author,
        }
        dossier.submit(client=clinic, **body)
    return cli


def counts(cli: CommandLine, *arguments: object) -> dict[str, int]:
    told = cli("report", "mandatory-types", "--format", "json", *arguments)
    assert (told.status, told.err) == (0, "")
    return {row["code"]: row["documents"] for row in json.loads(told.out) if row["documents"]}


def test_each_element_is_counted_and_the_rest_together(deposited: CommandLine) -> None:
    assert counts(deposited) == {"biologie": 2, "imagerie": 1, "certificats": 2, "adressage": 1, "autres": 1}


def test_days_and_structure_limit_what_counts(deposited: CommandLine) -> None:
    february = ("--since", "2026-02-01", "--until", "2026-02-28")
    assert counts(deposited, *february) == {"biologie": 1, "imagerie": 1}
    for structure in (samples.CLINIC, samples.CLINIC[1:]):
        assert counts(deposited, "--structure", structure) == {"adressage": 1}
    assert counts(deposited, "--structure", "1999999999") == {}


def test_the_report_is_text_or_csv_too(deposited: CommandLine) -> None:
    text = deposited("report", "mandatory-types").out
    line = next(line for line in text.splitlines() if line.startswith("Compte rendu d'imagerie"))
    assert line.split()[-5:] == ["séjour)", "1", "18748-4", "since", "2022-12-31"]
    rows = list(csv.DictReader(io.StringIO(deposited("report", "mandatory-types", "--format", "csv").out)))
    assert len(rows) == 12
    assert {row["element"]: row["documents"] for row in rows}["biologie"] == "2"
    assert samples.ANOUK not in text


def test_a_period_that_ends_before_it_begins_is_refused(cli: CommandLine) -> None:
    told = cli("report", "mandatory-types", "--since", "2026-02-01", "--until", "2026-01-01")
    assert (told.status, "--until lies before --since" in told.err) == (2, True)


def test_every_type_of_the_table_is_one_of_the_nomenclature() -> None:
    world: World = make_world(MemoryStore())
    known = world.services.documents.codes.value_sets["jdv-j07"]
    for element in load_json("mappings/mandatory-types.json")["elements"]:
        for system, codes in element["types"].items():
            assert all((system, code) in known for code in codes), element["code"]
    assert all(
        row.documents == 0 for row in report(load_json("mappings/mandatory-types.json"), Asked(), world.services)
    )
