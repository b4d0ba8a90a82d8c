"""Writing one prepared commit inside a transaction that is already open: checks first, then rows.

Index rows of all writes of a commit are gathered and written together, sorted by key, because neighbours share pages.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import chain

from fhir_dmp.errors import DuplicateKey, KeyHolder
from fhir_dmp.ports import Claim, Key, Require, Version
from fhir_dmp.store.commits import expect, expect_unclaimed, written
from fhir_dmp.store.sqlite.codec import NO_ROWS, Codec, IndexRows, indexed_type, unpack_terms
from fhir_dmp.store.sqlite.prepare import ReadyCommit, ReadyWrite

_CURRENT = "SELECT pk, v, d FROM res WHERE type = ? AND id = ?"
_INDEXED = "SELECT t.terms, r.u FROM trm t CROSS JOIN res r ON r.pk = t.pk WHERE t.pk = ?"
_INSERT_RES = "INSERT INTO res (type, id, v, u, s, d, method, date, pat, blob) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_UPDATE_RES = "UPDATE res SET v = ?, u = ?, s = ?, d = ?, method = ?, date = ?, pat = ?, blob = ? WHERE pk = ?"
_INSERT_TERMS = "INSERT INTO trm (pk, terms, ord, sealed) VALUES (?, ?, ?, ?)"
#: Replaces the columns of ReadyWrite.terms_row.
UPDATE_TERMS = "UPDATE trm SET terms = ?, ord = ?, sealed = ? WHERE pk = ?"
_KEEP_OLD = (
    "INSERT INTO hist (s, pk, v, type, u, until, d, method, pat, blob, body) "
    "SELECT r.s, r.pk, r.v, r.type, r.u, ?, r.d, r.method, r.pat, r.blob, o.body "
    "FROM res r CROSS JOIN doc o ON o.pk = r.pk WHERE r.pk = ?"
)

#: Where audit records go, and their columns.
AUDIT = "audit (id, ts, pat, rec)"
#: Most rows of one INSERT. Long ones have a multiple of _STEP rows, so that few statements need to stay prepared.
MOST_ROWS = 128
_STEP = 8


@dataclass(slots=True)
class IndexChange:
    """Index rows to delete and to insert, of several resources."""

    _gone: list[tuple[int, IndexRows]] = field(default_factory=list)
    _new: list[tuple[int, IndexRows]] = field(default_factory=list)
    _touched: set[int] = field(default_factory=set)

    def replace(self, con: sqlite3.Connection, pk: int, old: IndexRows, new: IndexRows) -> None:
        """Replace the rows of a resource; what both have in common is not touched."""
        if pk in self._touched:
            self.flush(con)
        self._touched.add(pk)
        if old is NO_ROWS:
            self._new.append((pk, new))
            return
        self._gone.append((pk, _less(old, new)))
        self._new.append((pk, _less(new, old)))

    def flush(self, con: sqlite3.Connection) -> None:
        """Write the gathered changes."""
        if self._gone:
            _delete(con, self._gone)
        if self._new:
            _insert(con, self._new)
        self._gone, self._new, self._touched = [], [], set()


def _less(left: IndexRows, right: IndexRows) -> IndexRows:
    return IndexRows(
        left.toks - right.toks,
        left.timelines - right.timelines,
        left.spans - right.spans,
        left.strings - right.strings,
        "" if left.text == right.text else left.text,
        left.facet,
    )


def _delete(con: sqlite3.Connection, rows: Sequence[tuple[int, IndexRows]]) -> None:
    con.executemany("DELETE FROM tok WHERE k = ? AND pk = ?", sorted((k, pk) for pk, row in rows for k in row.toks))
    con.executemany(
        "DELETE FROM tl WHERE k = ? AND date = ? AND pk = ?",
        [(k, date, pk) for pk, row in rows for k, date, _, _ in row.timelines],
    )
    con.executemany(
        "DELETE FROM span WHERE pk = ? AND k = ? AND w = ? AND lo = ? AND hi = ?",
        [(pk, *span) for pk, row in rows for span in row.spans],
    )
    con.executemany(
        "DELETE FROM str WHERE pk = ? AND k = ? AND text = ?",
        [(pk, *string) for pk, row in rows for string in row.strings],
    )
    con.executemany(
        "INSERT INTO fts (fts, rowid, text) VALUES ('delete', ?, ?)", [(pk, row.text) for pk, row in rows if row.text]
    )


def _insert(con: sqlite3.Connection, rows: Sequence[tuple[int, IndexRows]]) -> None:
    insert_all(con, "tok (k, pk)", sorted((k, pk) for pk, row in rows for k in row.toks))
    timelines = [(k, date, pk, u, a) for pk, row in rows for k, date, u, a in row.timelines]
    if timelines:
        insert_facets(con, (row for _, row in rows))
        insert_all(con, "tl (k, date, pk, u, a)", timelines)
    insert_all(con, "span (pk, k, w, lo, hi)", [(pk, *span) for pk, row in rows for span in row.spans])
    insert_all(con, "str (pk, k, text)", [(pk, *string) for pk, row in rows for string in row.strings])
    insert_all(con, "fts (rowid, text)", [(pk, row.text) for pk, row in rows if row.text])


def insert_facets(con: sqlite3.Connection, rows: Iterable[IndexRows]) -> None:
    """Store the sets that timelines name; a set that is there already is the same one."""
    con.executemany("INSERT OR IGNORE INTO facet (a, keys) VALUES (?, ?)", {row.facet for row in rows if row.facet})


def insert_all(con: sqlite3.Connection, table: str, rows: Sequence[tuple[object, ...]]) -> None:
    """Insert the rows, many in one statement: each statement gives up the interpreter lock and must win it back."""
    start = 0
    while (left := len(rows) - start) > 0:
        size = left if left < _STEP else min(left - left % _STEP, MOST_ROWS)
        insert_at_once(con, table, rows[start : start + size])
        start += size


def insert_at_once(con: sqlite3.Connection, table: str, rows: Sequence[tuple[object, ...]]) -> None:
    """Insert up to MOST_ROWS rows in one statement."""
    con.execute(_insertion(table, len(rows[0]), len(rows)), tuple(chain.from_iterable(rows)))


@cache
def _insertion(table: str, columns: int, rows: int) -> str:
    values = ", ".join(["(" + ", ".join("?" * columns) + ")"] * rows)
    return f"INSERT INTO {table} VALUES {values}"


class Applier:
    """Applies commits one after the other inside one transaction, and counts the sequence."""

    def __init__(self, con: sqlite3.Connection, codec: Codec) -> None:
        self.connection = self._con = con
        self._codec = codec
        self.sequence = 0

    def apply(self, ready: ReadyCommit) -> tuple[Version, ...]:
        """Write one commit, or raise; the caller undoes what was written and resets `sequence`."""
        self._check_requires(ready.commit.requires)
        self._check_claims(ready.commit.claims)
        index = IndexChange()
        versions = tuple([self._write(write, index) for write in ready.writes])
        index.flush(self._con)
        self._claim(ready.commit.claims, written=bool(versions))
        con = self._con
        if ready.blobs:
            con.executemany("INSERT OR IGNORE INTO blob (sha, n, size, chunk, z) VALUES (?, ?, ?, ?, ?)", ready.blobs)
        if ready.audit:
            insert_all(con, AUDIT, ready.audit)
        if ready.notices:
            con.executemany(
                "INSERT OR IGNORE INTO outbox (id, event, pat, created, variables, due) VALUES (?, ?, ?, ?, ?, ?)",
                ready.notices,
            )
        return versions

    def _check_requires(self, requires: Iterable[Require]) -> None:
        for require in requires:
            row = self._con.execute(_CURRENT, (require.key.type, require.key.id)).fetchone()
            expect(require.key, require.version, 0 if row is None else row[1])

    def _check_claims(self, claims: Iterable[Claim]) -> None:
        for claim in claims:
            row = self._con.execute("SELECT s FROM claim WHERE key = ?", (claim.key,)).fetchone()
            # Old claims are swept: whoever looked before the oldest that is kept cannot know, and looks again.
            expect_unclaimed(claim, self._oldest_claim() if row is None else row[0])

    def _oldest_claim(self) -> int:
        return int(self._con.execute("SELECT value FROM meta WHERE name = 'claims'").fetchone()[0])

    def forget_claims(self, kept: int) -> tuple[Version, ...]:
        """Delete the claims that are older than the last `kept` sequences."""
        oldest = max(self.sequence - kept, self._oldest_claim())
        self._con.execute("DELETE FROM claim WHERE s <= ?", (oldest,))
        self._con.execute("UPDATE meta SET value = ? WHERE name = 'claims'", (oldest,))
        return ()

    def _claim(self, claims: Sequence[Claim], *, written: bool) -> None:
        if not claims:
            return
        if not written:
            self.sequence += 1
        self._con.executemany(
            "INSERT INTO claim (key, s) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET s = excluded.s",
            [(claim.key, self.sequence) for claim in claims],
        )

    def _write(self, ready: ReadyWrite, index: IndexChange) -> Version:
        write, con = ready.write, self._con
        key = Key(write.type, write.id)
        row = con.execute(_CURRENT, (write.type, write.id)).fetchone()
        expect(key, write.version - 1, 0 if row is None else row[1])
        self.sequence += 1
        values = (
            *(write.version, write.updated_ms, self.sequence, int(write.deleted), write.method),
            *(ready.date, write.terms.patient, write.blob),
        )
        if row is None:
            pk = con.execute(_INSERT_RES, (write.type, write.id, *values)).lastrowid
            assert pk is not None
            con.execute("INSERT INTO doc (pk, body) VALUES (?, ?)", (pk, ready.body))
            con.execute(_INSERT_TERMS, (pk, *ready.terms_row))
            index.replace(con, pk, NO_ROWS, ready.rows)
            self._take(write.terms.uniques, pk, deleted=write.deleted)
        else:
            pk = row[0]
            self._supersede(ready, pk, old_deleted=bool(row[2]), index=index)
            con.execute(_UPDATE_RES, (*values, pk))
            con.execute("UPDATE doc SET body = ? WHERE pk = ?", (ready.body, pk))
            con.execute(UPDATE_TERMS, (*ready.terms_row, pk))
        return written(ready.write, self.sequence)

    def _supersede(self, ready: ReadyWrite, pk: int, *, old_deleted: bool, index: IndexChange) -> None:
        write, con = ready.write, self._con
        con.execute(_KEEP_OLD, (write.updated_ms, pk))
        self.reindex(pk, indexed_type(write.type, old_deleted), ready, index)

    def reindex(self, pk: int, old_type: str, ready: ReadyWrite, index: IndexChange) -> None:
        """Replace the index rows and the unique keys of a resource; its stored terms are still the old ones."""
        con = self._con
        packed, updated_ms = con.execute(_INDEXED, (pk,)).fetchone()
        old = unpack_terms(packed)
        index.replace(con, pk, self._codec.rows(old_type, old, updated_ms), ready.rows)
        if old.uniques:
            con.executemany("DELETE FROM uq WHERE key = ? AND pk = ?", [(key, pk) for key in old.uniques])
        self._take(ready.write.terms.uniques, pk, deleted=ready.write.deleted)

    def _take(self, uniques: Sequence[str], pk: int, *, deleted: bool) -> None:
        for unique in () if deleted else dict.fromkeys(uniques):
            row = self._con.execute("SELECT pk FROM uq WHERE key = ?", (unique,)).fetchone()
            if row is not None:
                holder = self._con.execute("SELECT type, id FROM res WHERE pk = ?", row).fetchone()
                raise DuplicateKey(unique, KeyHolder(*holder))
            self._con.execute("INSERT INTO uq (key, pk) VALUES (?, ?)", (unique, pk))
