"""A query node as an SQL condition on one candidate row: every index is probed at one point. Pure.

The candidate is the row `r` of `res`; `date` is its date as the timelines hold it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import assert_never

import orjson

from fhir_dmp.search.query import (
    And,
    AnyTerm,
    Chain,
    Contains,
    Everything,
    Has,
    Ids,
    LastUpdated,
    Node,
    Not,
    Nothing,
    Or,
    Prefix,
    Span,
    Term,
    Words,
)
from fhir_dmp.store.sqlite.codec import Codec, column_of, index_word, indexed_type
from fhir_dmp.store.sqlite.spans import Fragment, condition

#: Above this many point look-ups (candidates times keys), a list of keys is turned into a set of rows once.
_LOOKUPS = 20_000


@dataclass(frozen=True, slots=True)
class Scope:
    """Where terms are looked up: the indexed type (codec.indexed_type) and the hashes of the file.

    deleted: the tombstones of the type instead of its living resources.
    """

    codec: Codec
    type: str
    deleted: bool = False

    def key(self, name: str) -> int:
        """Return the hash of the name of a parameter."""
        return self.codec.key(indexed_type(self.type, self.deleted), name)

    def token(self, token: str) -> tuple[int, bool]:
        """Return the hash of a token, and whether its postings are a timeline."""
        return self.codec.token(indexed_type(self.type, self.deleted), token)


@dataclass(frozen=True, slots=True)
class Candidate:
    """SQL expressions of the candidate row. expected: about how many candidates will be judged."""

    pk: str = "r.pk"
    date: str = "r.date"
    updated: str = "r.u"
    expected: int = 1_000_000


def holds(node: Node, scope: Scope, row: Candidate) -> Fragment:
    """Return the condition that the candidate satisfies the node."""
    match node:
        case Everything():
            return "1", ()
        case Nothing():
            return "0", ()
        case Term(key):
            return _term(key, scope, row)
        case AnyTerm(keys):
            return _any_term(keys, scope, row)
        case Prefix() | Contains():
            text, params = text_condition(node)
            return _exists(f"str x WHERE x.pk = {row.pk} AND x.k = ? AND {text}", (scope.key(node.param), *params))
        case Span(key, op, low, high):
            relation, params = condition(op, low, high, "x.lo", "x.hi")
            return _exists(f"span x WHERE x.pk = {row.pk} AND x.k = ? AND {relation}", (scope.key(key), *params))
        case Words(param, words):
            if not words:
                return "1", ()
            return f"+{row.pk} IN (SELECT rowid FROM fts WHERE fts MATCH ?)", (full_text(param, words, scope),)
        case Ids(ids):
            return "r.id IN (SELECT value FROM json_each(?))", (json_list(ids),)
        case LastUpdated(op, low, high):
            return condition(op, low, high, row.updated, f"({row.updated} + 1)")
        case And(nodes):
            return combined("AND", [holds(part, scope, row) for part in nodes], "1")
        case Or(nodes):
            return combined("OR", [holds(part, scope, row) for part in nodes], "0")
        case Not(inner):
            text, params = holds(inner, scope, row)
            return f"NOT {text}", params
        case Chain() | Has():
            raise TypeError("joins are resolved before compiling (search/joins.py)")
        case _:
            assert_never(node)


def _exists(source: str, params: tuple[object, ...]) -> Fragment:
    return f"EXISTS (SELECT 1 FROM {source})", params


def _term(key: str, scope: Scope, row: Candidate) -> Fragment:
    hashed, dated = scope.token(key)
    if dated:
        return _exists(f"tl x WHERE x.k = ? AND x.date = {row.date} AND x.pk = {row.pk}", (hashed,))
    return _exists(f"tok x WHERE x.k = ? AND x.pk = {row.pk}", (hashed,))


def _any_term(keys: Sequence[str], scope: Scope, row: Candidate) -> Fragment:
    dated, plain = split_keys(keys, scope)
    parts: list[Fragment] = []
    if plain and row.expected * len(plain) <= _LOOKUPS:
        listed = "x.k IN (SELECT value FROM json_each(?))"
        parts.append(_exists(f"tok x WHERE {listed} AND x.pk = {row.pk}", (json_list(plain),)))
    elif plain:
        rows = "SELECT x.pk FROM json_each(?) j CROSS JOIN tok x ON x.k = j.value"
        parts.append((f"+{row.pk} IN ({rows})", (json_list(plain),)))
    if dated:
        listed = "x.k IN (SELECT value FROM json_each(?))"
        source = f"tl x WHERE {listed} AND x.date = {row.date} AND x.pk = {row.pk}"
        parts.append(_exists(source, (json_list(dated),)))
    return combined("OR", parts, "0")


def split_keys(keys: Sequence[str], scope: Scope) -> tuple[list[int], list[int]]:
    """Return the hashes of the keys that are kept in timelines, and of the others."""
    dated: list[int] = []
    plain: list[int] = []
    for key in dict.fromkeys(keys):
        hashed, is_dated = scope.token(key)
        (dated if is_dated else plain).append(hashed)
    return dated, plain


def text_condition(node: Prefix | Contains) -> Fragment:
    """Return the condition on column `x.text` of a folded string."""
    if isinstance(node, Contains):
        return "instr(x.text, ?) > 0", (node.text,)
    end = after_prefix(node.text)
    if end is None:
        return "x.text >= ?", (node.text,)
    return "x.text >= ? AND x.text < ?", (node.text, end)


def after_prefix(prefix: str) -> str | None:
    """Return the first string, in order of code points, behind all that start with the prefix; None: there is none.

    >>> after_prefix("du"), after_prefix("a\\U0010ffff"), after_prefix("")
    ('dv', 'b', None)
    """
    bare = prefix.rstrip("\U0010ffff")
    if not bare:
        return None
    following = ord(bare[-1]) + 1
    # Surrogates are no characters and cannot be stored.
    return bare[:-1] + chr(0xE000 if following == 0xD800 else following)


def full_text(param: str, words: Sequence[str], scope: Scope) -> str:
    """Return the full-text expression: every word as the start of one."""
    column = column_of(scope.key(param))
    return " ".join(f'"{index_word(column, word)}" *' for word in words)


def json_list(values: Sequence[object]) -> str:
    """Return the values as a JSON array, to be read with json_each: one parameter whatever the length."""
    return orjson.dumps(list(values)).decode()


def combined(operator: str, parts: Sequence[Fragment], empty: str) -> Fragment:
    """Join conditions, as a balanced tree because SQLite limits the depth of an expression."""
    if not parts:
        return empty, ()
    if len(parts) == 1:
        return parts[0]
    half = len(parts) // 2
    left, one = combined(operator, parts[:half], empty)
    right, other = combined(operator, parts[half:], empty)
    return f"({left} {operator} {right})", one + other
