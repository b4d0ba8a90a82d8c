"""`fhir-dmp access matrix`: a report before every activation, and one matrix in force. [security 4.6]"""

from __future__ import annotations

import hashlib
import json

from fhir_dmp.definitions import read
from tests.cli.calling import CommandLine

PACKAGED = read("mappings/habilitation-matrix.csv")
DIGEST = hashlib.sha256(PACKAGED).hexdigest()
HEADER = "row_kind,profession_system,profession_code,class_code,type_code,read\n"
ANNEX = HEADER + "class,urn:oid:1.2.250.1.71.1.2.7,10,10,,Y\n"


def shown(cli: CommandLine, *arguments: str, **environ: str) -> dict[str, object]:
    done = cli("access", "matrix", "show", "--json", *arguments, **environ)
    assert done.status == 0, done.err
    found: dict[str, object] = json.loads(done.out)
    return found


def test_the_packaged_matrix_is_in_force_until_another_is_activated(cli: CommandLine) -> None:
    assert shown(cli)["origin"] == "packaged"
    assert shown(cli)["checksum"] == DIGEST
    of_nurses = shown(cli, "--profession", "60")
    assert {"68599-0", "83901-9"} <= set(of_nurses["refused types"])  # type: ignore[call-overload]
    assert cli("access", "matrix", "show", "--csv").out.encode() == PACKAGED


def test_the_difference_names_each_cell_and_changes_nothing(cli: CommandLine) -> None:
    annex = cli.write("annex.csv", ANNEX)
    done = cli("access", "matrix", "diff", annex)
    assert done.status == 0
    lines = done.out.splitlines()
    assert "urn:oid:1.2.250.1.71.1.2.7|60 class 10: Y -> -" in lines
    assert lines[-1] == f"{len(lines) - 1} cells change; checksum {hashlib.sha256(ANNEX.encode()).hexdigest()}"
    assert shown(cli)["origin"] == "packaged"
    same = cli.write("same.csv", PACKAGED)
    assert cli("access", "matrix", "diff", same).out == f"0 cells change; checksum {DIGEST}\n"


def test_nothing_is_activated_without_its_report(cli: CommandLine) -> None:
    annex = cli.write("annex.csv", ANNEX)
    unread = cli("access", "matrix", "activate", annex)
    assert (unread.status, "--checksum" in unread.err) == (2, True)
    wrong = cli("access", "matrix", "activate", annex, "--checksum", DIGEST)
    assert (wrong.status, "read the report" in wrong.err) == (1, True)
    assert shown(cli)["origin"] == "packaged"
    checksum = hashlib.sha256(ANNEX.encode()).hexdigest()
    done = cli("access", "matrix", "activate", annex, "--checksum", checksum)
    assert done.status == 0, done.err
    assert done.out.splitlines()[-1] == f"in force: activated, version 1, checksum {checksum}"
    found = shown(cli)
    assert (found["origin"], found["version"], found["checksum"], found["rows"]) == ("activated", 1, checksum, 1)
    assert cli("access", "matrix", "show", "--csv").out == ANNEX


def test_a_file_that_is_no_matrix_is_refused_with_its_line(cli: CommandLine) -> None:
    broken = cli.write("broken.csv", ANNEX + "class,urn:oid:1.2.250.1.71.1.2.7,60,10,,perhaps\n")
    for command in ("diff", "activate"):
        done = cli("access", "matrix", command, broken)
        assert done.status == 2
        assert "line 3" in done.err
    assert cli("access", "matrix", "diff", cli.folder / "absent.csv").status == 2


def test_the_setting_rules_and_says_so(cli: CommandLine) -> None:
    annex = cli.write("annex.csv", ANNEX)
    checksum = hashlib.sha256(ANNEX.encode()).hexdigest()
    assert cli("access", "matrix", "activate", annex, "--checksum", checksum).status == 0
    named = {"DMP_ACCESS_MATRIX": str(cli.write("named.csv", PACKAGED))}
    found = shown(cli, **named)
    assert (found["origin"], found["checksum"]) == ("setting", DIGEST)
    assert "out of force" in str(found["note"])
    refused = cli("access", "matrix", "activate", annex, "--checksum", checksum, **named)
    assert (refused.status, "access.matrix" in refused.err) == (1, True)
