"""`fhir-dmp token` for every kind of caller: what it prints opens what that kind may open, on the demonstration."""

from __future__ import annotations

import base64

import pytest

from fhir_dmp import bootstrap
from fhir_dmp.demo import people
from fhir_dmp.terminology.national import INS_NIR
from tests import samples
from tests.cli.calling import CommandLine
from tests.world import Client

ANOUK, MINOR = people.ANOUK.ins, people.MINOR.ins
RPPS, FINESS = people.DOCTOR.number[1:], people.DOCTOR.structure[1:]
OF_ANOUK = f"/DocumentReference?patient.identifier={INS_NIR}|{ANOUK}"
OF_MINOR = f"/DocumentReference?patient.identifier={INS_NIR}|{MINOR}"
EVENTS = "/AuditEvent?date=ge2020"
CENTRES = {"DMP_ACCESS_REGULATION_CENTRES": people.HOSPITAL}


@pytest.fixture
def demo(cli: CommandLine) -> CommandLine:
    """A command line whose store holds the demonstration."""
    cli.environ |= CENTRES
    with cli.world() as world:
        bootstrap.load_demo(world.services)
    return cli


def statuses(cli: CommandLine, token: str, *paths: str) -> list[int]:
    """Ask a server over the same store with a token that the command line printed."""
    with cli.world() as world:
        return [Client(world, token).get(path).status for path in paths]


@pytest.mark.parametrize(
    ("arguments", "paths", "expected"),
    [
        (["patient:" + ANOUK], [OF_ANOUK, "/AuditEvent", OF_MINOR], [200, 200, 403]),
        (["representative:" + ANOUK, "--patient", MINOR], [OF_MINOR, OF_ANOUK], [200, 403]),
        (["delegate:" + ANOUK, "--patient", MINOR], [OF_MINOR], [403]),
        ([f"ps:{RPPS}", "--structure", FINESS], [OF_ANOUK, OF_MINOR], [200, 403]),
        (["ps:" + people.NURSE.number[1:], "--structure", FINESS, "--profession", "60"], [OF_ANOUK], [200]),
        (["ps:" + people.PHARMACIST.number[1:], "--structure", FINESS, "--profession", "21"], [OF_ANOUK], [403]),
        (["ps:" + people.BLOCKED.number[1:], "--structure", "750999021"], [OF_ANOUK], [403]),
        (
            ["ps:" + people.PHARMACIST.number[1:], "--structure", FINESS, "--profession", "21",
             "--mode", "bris_de_glace", "--reason", "coma", "--patient", ANOUK],
            [OF_ANOUK, OF_MINOR],
            [200, 403],
        ),
        (
            ["ps:" + people.REGULATOR.number[1:], "--structure", "750999021", "--mode", "centre_15", "--regulator",
             "--patient", ANOUK],
            [OF_ANOUK],
            [200],
        ),
        ([f"org:{FINESS}"], [OF_ANOUK], [403]),
        (["feeder"], [OF_ANOUK], [403]),
        (["auditor"], [EVENTS, OF_ANOUK], [200, 403]),
        (["admin"], [OF_ANOUK, OF_MINOR, EVENTS], [200, 200, 200]),
        (["admin", "--scope", "system/Patient.rs"], ["/Patient", OF_ANOUK], [200, 403]),
    ],
    ids=lambda value: value[0] if isinstance(value, list) and isinstance(value[0], str) and ":" in value[0] else None,
)  # fmt: skip
def test_a_token_opens_what_its_kind_may_open(
    demo: CommandLine, arguments: list[str], paths: list[str], expected: list[int]
) -> None:
    done = demo("token", "--as", *arguments)
    assert (done.status, done.err) == (0, "")
    assert statuses(demo, done.out.strip(), *paths) == expected


def test_a_structure_and_a_professional_feed_with_their_tokens(demo: CommandLine) -> None:
    for number, who in enumerate((f"org:{FINESS}", f"ps:{RPPS}")):
        token = demo("token", "--as", who, "--structure", FINESS).out.strip()
        body = samples.submission(f"1.2.250.1.999.1.9.{number}", ins=ANOUK, professional=people.DOCTOR.number,
                                  structure=people.DOCTOR.structure)  # fmt: skip
        with demo.world() as world:
            answer = Client(world, token).post("", body)
            assert answer.status == 200, answer.body


def test_a_token_holds_no_ins(demo: CommandLine) -> None:
    for arguments in (["patient:" + ANOUK], ["representative:" + ANOUK, "--patient", MINOR]):
        payload = demo("token", "--as", *arguments).out.split(".")[1]
        claims = base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4))
        assert ANOUK.encode() not in claims
        assert MINOR.encode() not in claims
