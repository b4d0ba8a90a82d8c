"""check, migrate and reindex on a store that holds a record."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from fhir_dmp import bootstrap
from tests import samples
from tests.cli.calling import CommandLine


@pytest.fixture
def filled(cli: CommandLine) -> CommandLine:
    """A command line whose store holds the demonstration."""
    with cli.world() as world:
        bootstrap.load_demo(world.services)
    return cli


def found(cli: CommandLine) -> list[str]:
    with cli.world() as world:
        query = f"patient.identifier={samples.INS}|{samples.ANOUK}&type=http://loinc.org|11488-4&_sort=-date"
        return [each["id"] for each in world.admin.get(f"/DocumentReference?{query}").entries]


def test_a_reindex_changes_no_answer_and_may_be_repeated(filled: CommandLine) -> None:
    before = found(filled)
    assert len(before) == 3
    for _ in range(2):
        done = filled("reindex")
        assert (done.status, done.err) == (0, "")
        assert done.counts == {} or all(count > 0 for count in done.counts.values())
        assert "DocumentReference: 20 resources\n" in done.out
        assert found(filled) == before
    assert filled("reindex", "--type", "Patient").out == "Patient: 5 resources\n"


def test_a_deep_check_finds_an_index_that_lost_rows(filled: CommandLine) -> None:
    deep = filled("check", "--deep")
    assert (deep.status, "every index row agrees" in deep.out) == (0, True), deep.out
    before = found(filled)
    with closing(sqlite3.connect(filled.folder / "record.sqlite3")) as con, con:
        con.execute("DELETE FROM tl")
    assert found(filled) != before
    deep = filled("check", "--deep")
    assert (deep.status, "contents       failed: " in deep.out) == (1, True)
    assert "tl lacks an index row (and " in deep.out
    assert samples.ANOUK not in deep.out


def test_check_counts_what_is_stored_and_migrate_changes_nothing(filled: CommandLine) -> None:
    assert "store          ok: sqlite, " in filled("check").out
    before = found(filled)
    for _ in range(2):
        assert filled("migrate").out.startswith("sqlite: up to date\n")
    assert found(filled) == before


def test_a_deep_check_is_for_sqlite(cli: CommandLine) -> None:
    done = cli("check", "--deep", DMP_STORE_URL="memory:", DMP_SECURITY_KEYS_DIR=str(cli.folder / "keys"))
    assert (done.status, "contents       ok: not offered for this store" in done.out) == (0, True)
