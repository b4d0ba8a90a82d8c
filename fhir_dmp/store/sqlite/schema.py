"""The tables of the SQLite store, their version, and how an older file is brought up to date.

Tables that are clustered by `pk` (doc, span, str) grow at their end, so that many new rows share a page; tables that
are clustered by a hash (tok, tl) answer a search from one place. docs/adr/0003-sqlite-layout.md says why.
"""

from __future__ import annotations

import secrets
import sqlite3

from fhir_dmp.errors import ConfigurationError, Problem

#: PRAGMA user_version of a file that this release writes.
VERSION = 5

#: Stands for "no date": below every date, hence last when newest come first.
NO_DATE = -(2**63)

_V1 = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID;

-- One row for each resource: its current version. d: deleted. date: value of a descending sort by `date`.
CREATE TABLE res (
  pk INTEGER PRIMARY KEY, type TEXT NOT NULL, id TEXT NOT NULL, v INTEGER NOT NULL, u INTEGER NOT NULL,
  s INTEGER NOT NULL, d INTEGER NOT NULL, method TEXT NOT NULL, date NOT NULL, pat TEXT, blob TEXT);
CREATE UNIQUE INDEX res_id ON res (type, id);
CREATE INDEX res_s ON res (type, s);
CREATE INDEX res_u ON res (type, d, u);
CREATE INDEX res_date ON res (type, d, date);
CREATE INDEX res_blob ON res (blob) WHERE blob IS NOT NULL;

-- Its bytes; apart from them, because three such rows fill a page: its packed terms (codec.py), and its sort values
-- as JSON {param: [ascending, descending]}.
CREATE TABLE doc (pk INTEGER PRIMARY KEY, body BLOB NOT NULL);
CREATE TABLE trm (pk INTEGER PRIMARY KEY, terms BLOB NOT NULL, ord TEXT);

-- Superseded versions; the rowid is the sequence. until: when the next version began.
CREATE TABLE hist (
  s INTEGER PRIMARY KEY, pk INTEGER NOT NULL, v INTEGER NOT NULL, type TEXT NOT NULL, u INTEGER NOT NULL,
  until INTEGER NOT NULL, d INTEGER NOT NULL, method TEXT NOT NULL, pat TEXT, blob TEXT, body BLOB NOT NULL);
CREATE UNIQUE INDEX hist_v ON hist (pk, v);
CREATE INDEX hist_type ON hist (type);
CREATE INDEX hist_u ON hist (type, u);
CREATE INDEX hist_blob ON hist (blob) WHERE blob IS NOT NULL;

-- Index terms; k is the hash of (type, term) (codec.py). tl: tokens that name a patient, in order of date; u: as in
-- res, so that a patient's newest are found without going there.
CREATE TABLE tok (k INTEGER NOT NULL, pk INTEGER NOT NULL, PRIMARY KEY (k, pk)) WITHOUT ROWID;
CREATE TABLE tl (
  k INTEGER NOT NULL, date NOT NULL, pk INTEGER NOT NULL, u INTEGER NOT NULL,
  PRIMARY KEY (k, date, pk)) WITHOUT ROWID;
CREATE TABLE span (
  pk INTEGER NOT NULL, k INTEGER NOT NULL, w INTEGER NOT NULL, lo NOT NULL, hi NOT NULL,
  PRIMARY KEY (pk, k, w, lo, hi)) WITHOUT ROWID;
CREATE INDEX span_k ON span (k, w, lo, hi, pk);
CREATE TABLE str (
  pk INTEGER NOT NULL, k INTEGER NOT NULL, text TEXT NOT NULL, PRIMARY KEY (pk, k, text)) WITHOUT ROWID;
CREATE INDEX str_k ON str (k, text, pk);
CREATE VIRTUAL TABLE fts USING fts5 (text, content = '', detail = none, tokenize = 'ascii');
CREATE TABLE uq (key TEXT PRIMARY KEY, pk INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE claim (key TEXT PRIMARY KEY, s INTEGER NOT NULL) WITHOUT ROWID;

-- Contents up to the inline limit, in chunks; size is that of the whole content.
CREATE TABLE blob (
  sha BLOB NOT NULL, n INTEGER NOT NULL, size INTEGER NOT NULL, chunk BLOB NOT NULL, z INTEGER NOT NULL);
CREATE UNIQUE INDEX blob_sha ON blob (sha, n);

-- The trail: pat is the hash of the patient, rec the record (audit/codec.py). The outbox of notices.
CREATE TABLE audit (seq INTEGER PRIMARY KEY, id TEXT NOT NULL, ts INTEGER NOT NULL, pat INTEGER, rec BLOB NOT NULL);
CREATE INDEX audit_id ON audit (id);
CREATE INDEX audit_ts ON audit (ts);
CREATE INDEX audit_pat ON audit (pat) WHERE pat IS NOT NULL;
CREATE TABLE outbox (
  seq INTEGER PRIMARY KEY, id TEXT NOT NULL, event TEXT NOT NULL, pat TEXT NOT NULL, created INTEGER NOT NULL,
  variables TEXT NOT NULL);
"""

_V2 = """
-- What the authorization server remembers. x: when it expires; v: version; u: when it was written; tags: as in
-- state_tag, one for each line.
CREATE TABLE state (
  kind TEXT NOT NULL, key TEXT NOT NULL, body TEXT NOT NULL, x INTEGER, tags TEXT NOT NULL, v INTEGER NOT NULL,
  u INTEGER NOT NULL, PRIMARY KEY (kind, key)) WITHOUT ROWID;
CREATE INDEX state_x ON state (x) WHERE x IS NOT NULL;
CREATE INDEX state_u ON state (kind, u);
CREATE TABLE state_tag (
  kind TEXT NOT NULL, tag TEXT NOT NULL, key TEXT NOT NULL, PRIMARY KEY (kind, tag, key)) WITHOUT ROWID;
"""

_V3 = """
-- The trail is only ever added to, whoever holds the connection; seals (audit/chain.py) prove it.
CREATE TABLE seal (number INTEGER PRIMARY KEY, last INTEGER NOT NULL, body BLOB NOT NULL);
CREATE UNIQUE INDEX seal_last ON seal (last);
CREATE TRIGGER audit_update BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT, 'the audit trail is append only'); END;
CREATE TRIGGER audit_delete BEFORE DELETE ON audit BEGIN SELECT RAISE(ABORT, 'the audit trail is append only'); END;
CREATE TRIGGER seal_update BEFORE UPDATE ON seal BEGIN SELECT RAISE(ABORT, 'the audit trail is append only'); END;
CREATE TRIGGER seal_delete BEFORE DELETE ON seal BEGIN SELECT RAISE(ABORT, 'the audit trail is append only'); END;

-- Notices: due, tries and until (of a lease) while they wait; done (ms) and outcome when they are settled.
ALTER TABLE outbox ADD COLUMN due INTEGER NOT NULL DEFAULT 0;
ALTER TABLE outbox ADD COLUMN tries INTEGER NOT NULL DEFAULT 0;
ALTER TABLE outbox ADD COLUMN until INTEGER NOT NULL DEFAULT 0;
ALTER TABLE outbox ADD COLUMN done INTEGER;
ALTER TABLE outbox ADD COLUMN outcome TEXT NOT NULL DEFAULT '';
CREATE UNIQUE INDEX outbox_id ON outbox (id);
CREATE INDEX outbox_due ON outbox (due, seq) WHERE done IS NULL;
CREATE INDEX outbox_pat ON outbox (pat, seq);
"""

_V4 = """
-- The tokens by which a patient's resources are narrowed (codec.py), once for each set of them: keys are their hashes,
-- a the hash of the set. Rows of timelines from before have none, until `reindex`.
CREATE TABLE facet (a INTEGER PRIMARY KEY, keys BLOB NOT NULL);
ALTER TABLE tl ADD COLUMN a INTEGER;
"""

_V5 = """
-- What an encrypted store keeps beside the terms; no other reads it.
ALTER TABLE trm ADD COLUMN sealed BLOB;
"""

#: The statements that lead from each version to the next; index 0 makes an empty file a store.
_STEPS = (_V1, _V2, _V3, _V4, _V5)


def migrate(con: sqlite3.Connection) -> int:
    """Bring the file to VERSION, each step in a transaction of its own; return the version that it had.

    Raises:
        ConfigurationError: the file is newer than this release, or is a database of something else.
    """
    con.execute("BEGIN IMMEDIATE")
    found = _version(con)
    try:
        for number in range(found, VERSION):
            _step(con, number)
        con.execute("COMMIT")
    finally:
        if con.in_transaction:
            con.execute("ROLLBACK")
    return found


def _version(con: sqlite3.Connection) -> int:
    found = int(con.execute("PRAGMA user_version").fetchone()[0])
    tables = con.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    if found > VERSION:
        what = f"was written by a newer release (layout {found}, this one knows {VERSION})"
        raise ConfigurationError(Problem("store.url", what, "install that release, or restore a backup"))
    if found == 0 and tables:
        raise ConfigurationError(Problem("store.url", "is an SQLite file of another program", "name another file"))
    return found


def _step(con: sqlite3.Connection, number: int) -> None:
    # executescript would commit by itself, so the statements are run one by one.
    for statement in _STEPS[number].split(";\n"):
        if statement.strip():
            con.execute(statement)
    if number == 0:
        con.execute("INSERT INTO meta VALUES ('seq', 0), ('claims', 0), ('key', ?)", (secrets.token_bytes(16),))
    con.execute(f"PRAGMA user_version = {number + 1}")
