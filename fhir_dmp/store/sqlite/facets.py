"""Narrowing a patient's resources without looking at each: what holds for a set of tokens holds for all that have it.

A row of a timeline names the set of its resource's facet tokens (codec.py). A record of hundreds of documents has few
sets, so the filter of the access decision, types, classes and labels are judged a few times for a search, in memory,
and no index is probed for each document. [ADR 0080]
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable

from fhir_dmp.search.query import And, AnyTerm, Everything, Node, Not, Nothing, Or, Term
from fhir_dmp.store.sqlite.codec import is_facet, unpack_keys
from fhir_dmp.store.sqlite.conditions import Scope, json_list

Keys = frozenset[int]
Test = Callable[[Keys], bool]


def test_of(node: Node, scope: Scope) -> Test | None:
    """Return the test of a node on a set, None when the sets alone do not tell whether a resource satisfies it."""
    match node:
        case Term(key):
            wanted = scope.token(key)[0]
            return (lambda keys: wanted in keys) if is_facet(key) else None
        case AnyTerm(keys):
            several = frozenset([scope.token(key)[0] for key in keys])
            return (lambda keys: not several.isdisjoint(keys)) if all(map(is_facet, keys)) else None
        case Not(inner):
            denied = test_of(inner, scope)
            return None if denied is None else lambda keys: not denied(keys)
        case And(nodes) | Or(nodes):
            parts = [test_of(part, scope) for part in nodes]
            known = [part for part in parts if part is not None]
            return _joined(known, until=isinstance(node, Or)) if len(known) == len(parts) else None
        case Everything() | Nothing():
            answer = isinstance(node, Everything)
            return lambda _: answer
        case _:
            return None


def _joined(parts: list[Test], *, until: bool) -> Test:
    def test(keys: Keys) -> bool:
        for part in parts:
            if part(keys) is until:
                return until
        return not until

    return test


class Facets:
    """The sets of one file and the tests on them, as far as they were asked for lately. Neither ever goes stale."""

    #: How many are remembered, each some 3 KB.
    SIZE = 1024

    def __init__(self) -> None:
        self._known: dict[int, Keys] = {}
        # By identity, which is enough: the filters of access are remembered, too. An entry holds its node.
        self._tests: dict[tuple[int, str, bool], tuple[Node, Test | None]] = {}

    def test(self, node: Node, scope: Scope) -> Test | None:
        """Return what `test_of` returns."""
        key = (id(node), scope.type, scope.deleted)
        found = self._tests.get(key)
        if found is None or found[0] is not node:
            if len(self._tests) >= self.SIZE:
                self._tests.clear()
            found = self._tests[key] = node, test_of(node, scope)
        return found[1]

    def read(self, con: sqlite3.Connection, named: Iterable[int]) -> dict[int, Keys]:
        """Return the sets of these numbers; one that is not stored is missing."""
        known = self._known
        wanted = set(named)
        found = {number: known[number] for number in wanted if number in known}
        if len(found) < len(wanted):
            sql = "SELECT f.a, f.keys FROM json_each(?) j CROSS JOIN facet f ON f.a = j.value"
            read = con.execute(sql, (json_list(list(wanted - found.keys())),))
            new = {number: unpack_keys(keys) for number, keys in read}
            if len(known) + len(new) > self.SIZE:
                self._known = known = {}
            known.update(new)
            found.update(new)
        return found
