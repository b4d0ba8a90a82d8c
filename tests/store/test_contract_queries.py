"""The contract of a store, queries: FHIR resources and FHIR searches give the same answer on every store.

The reference is a few lines over plain lists: what a chain, a _has and an include mean is said here once more, by
looking at every resource.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_dmp.definitions import search_parameters
from fhir_dmp.fhir.resource import Json, Number, dump
from fhir_dmp.ports import Key, ResourceStore, Write
from fhir_dmp.search.extract import terms_of
from fhir_dmp.search.include import included, referring
from fhir_dmp.search.match import matches
from fhir_dmp.search.order import ordered, position_of
from fhir_dmp.search.parse import parse
from fhir_dmp.search.query import And, Chain, Has, Include, Node, Not, Or, Search
from fhir_dmp.search.rules import ParseRules
from fhir_dmp.search.terms import Terms
from tests.store.queries import TYPES, criteria, resources, sorts
from tests.store.reference import examples
from tests.store.samples import gone, put
from tests.store.stores import STORES

REGISTRY = search_parameters()
ZONE = ZoneInfo("Europe/Paris")
BASE = "https://example.org/fhir"
RULES = ParseRules(BASE, ZONE, now_ms=1_781_260_000_000, strict=True)

#: Each example has ids of its own and removes what it stored, so that one store serves them all.
_examples = count()
_AMOUNT = "value"


@dataclass(frozen=True)
class Row:
    """One resource with its terms."""

    resource: Json
    terms: Terms
    updated_ms: int

    @property
    def key(self) -> Key:
        """Type and id."""
        return Key(self.resource["resourceType"], self.resource["id"])


class Shelf:
    """Resources in a store and in a list, for as long as an example lasts."""

    def __init__(self, store: ResourceStore, made: Sequence[Json]) -> None:
        self.store = store
        self.rows = [self._row(_exact(resource), place) for place, resource in enumerate(made)]

    def __enter__(self) -> Shelf:
        for row in self.rows:
            put(
                self.store,
                Write(row.key.type, row.key.id, 1, row.updated_ms, dump(row.resource), row.terms),
            )
        return self

    def __exit__(self, *_: object) -> None:
        for row in self.rows:
            put(self.store, gone(row.key.id, 2, at=row.updated_ms, type_=row.key.type))

    @staticmethod
    def _row(resource: Json, place: int) -> Row:
        return Row(resource, terms_of(resource, REGISTRY, base=BASE, zone=ZONE), 1_700_000_000_000 + place % 3)

    def holding(self, type_: str, node: Node) -> list[Row]:
        """Return the resources of a type that satisfy a query, by looking at each."""
        return [row for row in self.rows if row.key.type == type_ and self._holds(node, row)]

    def _holds(self, node: Node, row: Row) -> bool:
        match node:
            case And(nodes):
                return all(self._holds(part, row) for part in nodes)
            case Or(nodes):
                return any(self._holds(part, row) for part in nodes)
            case Not(inner):
                return not self._holds(inner, row)
            case Chain(param, targets):
                return any(
                    f"{param}=r:{other.key}" in row.terms.tokens
                    for type_, inner in targets
                    for other in self.holding(type_, inner)
                )
            case Has(target, source, param, inner):
                wanted = f"{param}=r:{row.key}"
                return row.key.type == target and any(
                    wanted in other.terms.tokens for other in self.holding(source, inner)
                )
            case _:
                return matches(node, row.terms, id_=row.key.id, updated_ms=row.updated_ms)


def _exact(value: Any) -> Any:
    """Return a resource whose amounts are numbers with their digits, as the JSON parser makes them."""
    if isinstance(value, dict):
        return {
            key: Number(part) if key == _AMOUNT and _is_amount(value) else _exact(part) for key, part in value.items()
        }
    return [_exact(part) for part in value] if isinstance(value, list) else value


def _is_amount(value: Json) -> bool:
    return "unit" in value


@pytest.fixture(params=["memory", "sqlite", "mongomock", "mongo-wire", "mongo-replica-set"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ResourceStore]:
    """A new, empty store; the dialects of MongoDB differ in what they send, which the other contract tests compare."""
    opened = STORES[request.param](tmp_path)
    yield opened
    opened.close()


def _mark() -> str:
    return f"x{next(_examples)}-"


@examples(8)
@given(st.data())
def test_a_search_finds_what_looking_at_each_resource_finds(store: ResourceStore, data: st.DataObject) -> None:
    mark = _mark()
    asked = criteria(mark)
    with Shelf(store, data.draw(resources(mark))) as shelf:
        for type_ in TYPES:
            for pairs in data.draw(st.lists(st.lists(asked[type_], min_size=1, max_size=2), min_size=1, max_size=3)):
                query = parse((type_,), pairs, REGISTRY, RULES)
                expected = sorted(row.key.id for row in shelf.holding(type_, query.node))
                found = sorted(store.find(type_, query.node, 1000))
                assert [id_ for id_ in found if id_.startswith(mark)] == expected, (type_, pairs)


@examples(6)
@given(st.data())
def test_a_search_sorts_and_pages_as_the_reference_does(store: ResourceStore, data: st.DataObject) -> None:
    mark = _mark()
    type_ = data.draw(st.sampled_from(TYPES))
    pairs = data.draw(st.lists(criteria(mark)[type_], max_size=1))
    keys = data.draw(sorts(type_))
    query = parse((type_,), [*pairs, *([("_sort", keys)] if keys else [])], REGISTRY, RULES)
    with Shelf(store, data.draw(resources(mark))) as shelf:
        rows = shelf.holding(type_, query.node)
        expected = ordered(
            query.sort, rows, lambda row: position_of(query.sort, row.terms, type_, row.key.id, row.updated_ms)
        )
        found, after, bound = [], None, None
        while True:
            page = store.search(Search((type_,), query.node, query.sort, count=2, after=after, bound=bound))
            found += [version.id for version in page.versions]
            after, bound = page.next, page.bound
            if after is None:
                break
        assert found == [row.key.id for row in expected], (pairs, keys)


@examples(6)
@given(st.data())
def test_an_include_finds_what_refers_and_what_is_referred_to(store: ResourceStore, data: st.DataObject) -> None:
    mark = _mark()
    reverse = data.draw(st.booleans())
    with Shelf(store, data.draw(resources(mark))) as shelf:
        for type_ in TYPES:
            own = [row for row in shelf.rows if row.key.type == type_]
            codes = [part.code for part in REGISTRY.of(type_) if part.type == "reference"]
            code = data.draw(st.sampled_from(["*", *codes]))
            if reverse:
                _check_reverse(store, shelf, type_, code)
            else:
                wanted = [Include(type_, code)]
                names = included((row.resource for row in own), wanted, REGISTRY, base=BASE, zone=ZONE)
                found = store.read_many([Key(*name.split("/")) for name in names])
                present = {str(row.key) for row in shelf.rows}
                assert {str(key) for key, version in found.items() if not version.deleted} == set(names) & present
                assert set(names) == {target for row in own for target in _targets(row, code)}


def _targets(row: Row, code: str) -> list[str]:
    """Return what a resource refers to through a parameter, by its terms."""
    split = (token.partition("=r:") for token in row.terms.tokens if not token.startswith("_compartment="))
    return [target for param, mark, target in split if mark and code in ("*", param)]


def _check_reverse(store: ResourceStore, shelf: Shelf, source: str, code: str) -> None:
    for target in TYPES:
        keys = [str(row.key) for row in shelf.rows if row.key.type == target]
        include = Include(source, code, target, reverse=True)
        found = {id_ for _, node in referring(include, keys, REGISTRY) for id_ in store.find(source, node, 1000)}
        own = [row for row in shelf.rows if row.key.type == source]
        assert found == {row.key.id for row in own if set(_targets(row, code)) & set(keys)}
