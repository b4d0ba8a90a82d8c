"""Reading current versions: by id, by search, joins included. Every call sees one state of the database."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from fhir_dmp.fhir.bucket import bucket
from fhir_dmp.ports import Key, Page, Version
from fhir_dmp.search.joins import resolve_joins, too_costly
from fhir_dmp.search.match import span_holds
from fhir_dmp.search.order import compare, ordered
from fhir_dmp.search.query import Node, Search, Span
from fhir_dmp.store.mongo import filters, paging
from fhir_dmp.store.mongo.database import Database
from fhir_dmp.store.mongo.documents import version_of
from fhir_dmp.store.mongo.views import Doc, Filter, View, everything_of

_LIVING: Filter = {"d": None}
#: One row of a page: its type and document.
_Row = tuple[str, Doc]

_VERSION = paging.projection(())


class Reader:
    """The queries of one reader, in one view of the database. elem_match, sharded: see filters.Dialect."""

    def __init__(
        self, database: Database, view: View, *, join_cap: int, elem_match: bool = True, sharded: bool = False
    ) -> None:
        self._database = database
        self._view = view
        self._join_cap = join_cap
        self._dialect = filters.Dialect(view.address, elem_match, sharded)

    def read(self, key: Key) -> Version | None:
        """Return the current version."""
        return self.read_many([key]).get(key)

    def read_many(self, keys: Sequence[Key]) -> dict[Key, Version]:
        """Return the current versions of those keys that exist: one query for each type."""
        found: dict[Key, Version] = {}
        for type_, ids in _by_type(keys).items():
            for doc in self._by_place(type_, ids):
                id_ = self._view.address_of(doc)
                found[Key(type_, id_)] = version_of(doc, type_, id_)
        return found

    def sealed_terms(self, keys: Sequence[Key]) -> dict[Key, bytes]:
        """Return the sealed terms of those resources that have any: one query for each type."""
        fields = {"i": 1, "se": 1}
        return {
            Key(type_, self._view.address_of(doc)): bytes(doc["se"])
            for type_, ids in _by_type(keys).items()
            for doc in self._by_place(type_, ids, fields)
            if "se" in doc
        }

    def _by_place(self, type_: str, ids: Sequence[str], fields: Mapping[str, int] = _VERSION) -> Iterator[Doc]:
        """Yield the rows of these ids. A cluster is asked on the shard that the ids name, then everywhere."""
        if self._dialect.sharded:
            named = {"pb": {"$in": sorted({bucket(id_) for id_ in ids})}}
            rows = list(self._rows(type_, everything_of(named, self._by_ids(ids)), fields))
            yield from rows
            found = {self._view.address_of(doc) for doc in rows}
            ids = [id_ for id_ in ids if id_ not in found]
        if ids:
            yield from self._rows(type_, self._by_ids(ids), fields)

    def _by_ids(self, ids: Sequence[str]) -> Filter:
        return {self._view.address: {"$eq": ids[0]} if len(ids) == 1 else {"$in": list(ids)}}

    def _rows(self, type_: str, condition: Filter, projection: Mapping[str, int] | None = None, **options: Any) -> Any:
        """Return a cursor over the rows of a type that this reader may see, tombstones included."""
        query = everything_of(condition, self._view.visible())
        return self._database.current(type_).find(query, projection, session=self._view.session, **options)

    def _resolved(self, node: Node) -> Node:
        return resolve_joins(node, self._find_capped, self._referenced)

    def _conditions(self, types: Sequence[str], node: Node) -> dict[str, Filter]:
        """Return the filter of a node for each type. Joins are resolved once for all."""
        resolved = self._resolved(node)
        if self._dialect.elem_match:
            return dict.fromkeys(types, filters.compiled(resolved, self._dialect))
        return {type_: self._compiled(type_, resolved) for type_ in types}

    def _of_each(self, search: Search) -> dict[str, Filter]:
        """Return the filter of each type of a search; types that ask for the same share the joins."""
        types = tuple(dict.fromkeys(search.types))
        alike: dict[Node, list[str]] = {}
        for type_ in types:
            alike.setdefault(search.node_of(type_), []).append(type_)
        found: dict[str, Filter] = {}
        for node, group in alike.items():
            found |= self._conditions(group, node)
        return {type_: found[type_] for type_ in types}

    def _compiled(self, type_: str, resolved: Node) -> Filter:
        node = resolved if self._dialect.elem_match else self._spans_outside(type_, resolved)
        return filters.compiled(node, self._dialect)

    def _spans_outside(self, type_: str, node: Node) -> Node:
        return filters.without_spans(node, lambda span: self._holding(type_, span))

    def _holding(self, type_: str, span: Span) -> Iterator[str]:
        for doc in self._rows(type_, filters.span_candidates(span), {"i": 1, "q": 1}):
            entries = (entry for entry in doc["q"] if entry["k"] == span.key)
            if any(span_holds(span.op, span.low, span.high, entry["lo"], entry["hi"]) for entry in entries):
                yield self._view.address_of(doc)

    def behind(self, type_: str, after: str | None, limit: int) -> list[Version]:
        """Return the living versions of a type by id, behind an id."""
        condition = _LIVING if after is None else everything_of(_LIVING, {self._view.address: {"$gt": after}})
        rows = self._rows(type_, condition, _VERSION, sort=[(self._view.address, 1)], limit=limit)
        return [version_of(doc, type_, self._view.address_of(doc)) for doc in rows]

    # Joins

    def _find_capped(self, type_: str, node: Node) -> list[str]:
        ids = self.find(type_, node, self._join_cap + 1)
        if len(ids) > self._join_cap:
            raise too_costly(type_, self._join_cap)
        return ids

    def _referenced(self, type_: str, param: str, node: Node) -> list[str]:
        start = f"{param}=r:"
        condition = everything_of(_LIVING, self._conditions((type_,), node)[type_])
        found: dict[str, None] = {}
        for doc in self._rows(type_, condition, {"r": 1}):
            found |= dict.fromkeys(token.removeprefix(start) for token in doc["r"] if token.startswith(start))
            if len(found) > self._join_cap:
                raise too_costly(f"{type_}:{param}", self._join_cap)
        return list(found)

    def judge(self, node: Node) -> Callable[[Iterable[Key]], set[Key]]:
        """Return a function that picks the keys whose current version, even a tombstone, satisfies the node."""
        resolved = self._resolved(node)

        def satisfying(keys: Iterable[Key]) -> set[Key]:
            found: set[Key] = set()
            for type_, ids in _by_type(keys).items():
                condition = everything_of(self._compiled(type_, resolved), self._by_ids(ids))
                rows = self._rows(type_, condition, {self._view.address: 1})
                found |= {Key(type_, self._view.address_of(doc)) for doc in rows}
            return found

        return satisfying

    # Searching

    def find(self, type_: str, node: Node, limit: int) -> list[str]:
        """Return at most `limit` ids of living resources that satisfy the node."""
        condition = everything_of(_LIVING, self._conditions((type_,), node)[type_])
        if limit <= 0:
            return []
        found = self._rows(type_, condition, {self._view.address: 1}, limit=limit)
        return [self._view.address_of(doc) for doc in found]

    def count(self, types: Sequence[str], node: Node, bound: int | None = None) -> int:
        """Return how many living resources satisfy the node."""
        return self._count(self._conditions(types, node), bound)

    def _count(self, conditions: Mapping[str, Filter], bound: int | None) -> int:
        limits = self._limits(bound)
        return sum(
            self._database.current(type_).count_documents(
                everything_of(_LIVING, condition, limits, self._view.visible()),
                session=self._view.session,
            )
            for type_, condition in conditions.items()
        )

    def _limits(self, bound: int | None) -> Filter:
        return {} if bound is None else {"s": {"$lte": bound}}

    def search(self, search: Search, sequence: int) -> Page:
        """Return one page. sequence: what readers could see when the search began."""
        conditions = self._of_each(search)
        backwards = search.before is not None and search.after is None
        rows = self._page_rows(search, conditions, -1 if backwards else 1) if search.count > 0 else []
        more = len(rows) > search.count
        rows = rows[: search.count]
        if backwards:
            rows.reverse()
        places = [paging.place(doc, self._view, search.sort, type_) for type_, doc in (rows[:1] + rows[-1:])]
        return Page(
            tuple(version_of(doc, type_, self._view.address_of(doc)) for type_, doc in rows),
            next=places[1] if places and (more or backwards) else None,
            previous=places[0] if places and (more if backwards else search.after is not None) else None,
            bound=sequence if search.bound is None else search.bound,
            total=self._count(conditions, search.bound) if search.total else None,
        )

    def _page_rows(self, search: Search, conditions: Mapping[str, Filter], sign: int) -> list[_Row]:
        """Return one row more than the page holds, in reading order (the last first when reading backwards)."""
        wanted = search.count + 1
        rows: list[_Row] = []
        for type_, condition in conditions.items():
            rows += [(type_, doc) for doc in islice(self._walk(search, type_, condition, sign), wanted)]
        if len(conditions) > 1:
            rows = ordered(search.sort, rows, lambda row: paging.place(row[1], self._view, search.sort, row[0]))
            rows = (rows if sign > 0 else rows[::-1])[:wanted]
        if sign > 0 and search.before is not None:
            end = search.before
            place = paging.place
            rows = [
                row for row in rows if compare(search.sort, place(row[1], self._view, search.sort, row[0]), end) < 0
            ]
        return rows

    def _walk(self, search: Search, type_: str, condition: Filter, sign: int) -> Iterator[Doc]:
        """Yield the rows of one type behind the position, range after range."""
        address, wanted = self._view.address, search.count + 1
        order = paging.order_by(paging.columns(search.sort, address), address, sign)
        position = search.before if sign < 0 else search.after
        ranges: Iterator[Filter] = (
            iter([{}]) if position is None else paging.behind(search.sort, position, type_, address, sign)
        )
        base = everything_of(_LIVING, condition, self._limits(search.bound))
        projection = paging.projection(search.sort)
        for part in ranges:
            rows = list(self._rows(type_, everything_of(base, part), projection, sort=order, limit=wanted))
            yield from rows
            wanted -= len(rows)
            if wanted <= 0:
                return


def _by_type(keys: Iterable[Key]) -> dict[str, list[str]]:
    found: dict[str, dict[str, None]] = {}
    for key in keys:
        found.setdefault(key.type, {})[key.id] = None
    return {type_: list(ids) for type_, ids in found.items()}
