"""The habilitation matrix: precedence, fail-safe, faults of the file, and the packaged one."""

from __future__ import annotations

from pathlib import Path

import pytest

from fhir_dmp.access.matrix import difference, parse_matrix
from fhir_dmp.definitions import read
from fhir_dmp.errors import ConfigurationError
from fhir_dmp.terminology.aliases import PROFESSION, TRAINING
from tests.access.people import matrix

HEAD = "row_kind,profession_system,profession_code,class_code,type_code,read\n"
DOCTOR = [(PROFESSION, "10")]
SHARED = Path(__file__).resolve().parents[2] / "../shared/data/habilitation-matrix.csv"


def made(*rows: str) -> bytes:
    return (HEAD + "\n".join(rows)).encode()


def test_a_type_row_beats_a_class_row_and_an_exact_profession_beats_the_star() -> None:
    table = parse_matrix(
        made(
            f"class,{PROFESSION},10,10,,Y",
            f"class,{PROFESSION},*,11,,Y",
            f"class,{PROFESSION},10,11,,N",
            "class,*,*,42,,Y",
            "type,*,*,,T-1,N",
            f"type,{PROFESSION},60,,T-1,Y",
        )
    )
    nurse = [(PROFESSION, "60")]
    assert table.allows(DOCTOR, "10", "T-2")
    assert not table.allows(DOCTOR, "10", "T-1")
    assert table.allows(nurse, "99", "t-1")
    assert not table.allows(DOCTOR, "11", "")
    assert table.allows(nurse, "11", "")
    assert table.allows([("urn:oid:1.2.3", "x")], "42", "")
    assert not table.allows([("urn:oid:1.2.3", "x")], "10", "")
    assert table.allows([], "42", "")
    assert not table.allows(DOCTOR, "unknown", "unknown")


def test_two_rows_of_the_same_rank_that_disagree_refuse() -> None:
    table = parse_matrix(made(f"class,{PROFESSION},10,10,,Y", f"class,{PROFESSION},10,10,,N"))
    assert not table.allows(DOCTOR, "10", "")


def test_those_in_training_read_like_their_profession_unless_told_otherwise() -> None:
    text = made(f"class,{PROFESSION},10,10,,Y")
    student = [(TRAINING, "10")]
    assert parse_matrix(text).allows(student, "10", "")
    assert not parse_matrix(text, training_like_profession=False).allows(student, "10", "")


def test_the_profession_is_found_among_other_roles_and_in_both_spellings() -> None:
    table = parse_matrix(made(f"class,{PROFESSION},10,10,,Y"))
    url = "https://mos.esante.gouv.fr/NOS/TRE_G15-ProfessionSante/FHIR/TRE-G15-ProfessionSante"
    assert table.allows([("urn:oid:1.2.250.1.71.4.2.5", "SM26"), (url, "10")], "10", "")


@pytest.mark.parametrize(
    "text",
    [
        b"\xff\xfe",
        b"a,b\n1,2\n",
        made("type,x,10,,,Y"),
        made("class,x,10,10,,perhaps"),
        made("klass,x,10,10,,Y"),
        made("class,,10,10,,Y"),
    ],
)
def test_a_damaged_matrix_stops_the_start_with_the_place(text: bytes) -> None:
    with pytest.raises(ConfigurationError, match=r"^access\.matrix"):
        parse_matrix(text)


def test_comments_and_empty_lines_keep_the_line_numbers_of_messages() -> None:
    with pytest.raises(ConfigurationError, match="line 5"):
        parse_matrix(b"# comment\n\n" + HEAD.encode() + b"# more\nclass,x,10,10,,?\n")


@pytest.mark.statement("security P-26")
def test_the_version_is_the_digest_of_the_text() -> None:
    assert matrix().version == parse_matrix(read("mappings/habilitation-matrix.csv")).version
    assert len(matrix().version) == 64
    assert parse_matrix(made()).version != matrix().version


def test_a_new_matrix_is_compared_cell_by_cell_before_it_is_activated() -> None:
    old = parse_matrix(made(f"class,{PROFESSION},10,10,,Y", f"type,{PROFESSION},10,,T-1,N"))
    new = parse_matrix(made(f"class,{PROFESSION},10,10,,N"))
    assert difference(old, new) == (
        f"{PROFESSION}|10 type t-1: N -> -",
        f"{PROFESSION}|10 class 10: Y -> N",
    )


@pytest.mark.statement("security P-22")
def test_a_doctor_reads_every_class_but_technical_documents_and_not_the_residence_certificate() -> None:
    readable = {"10", "11", "31", "42", "43", "44", "45", "52", "60", "90", "95", "99"}
    assert {code for code in readable if matrix().allows(DOCTOR, code, "x")} == readable - {"99"}
    assert not matrix().allows(DOCTOR, "95", "ATTEST-RESID")
    assert matrix().allows(DOCTOR, "90", "EXPPAT_3")


@pytest.mark.skipif(not SHARED.is_file(), reason="the shared reference matrix is absent")
def test_the_packaged_matrix_has_the_cells_of_the_reference() -> None:
    assert difference(parse_matrix(SHARED.read_bytes()), matrix()) == ()
