"""A shelf of resources that can be searched with URLs: extraction, parsing, joins and meaning together; no store."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl
from zoneinfo import ZoneInfo

from fhir_dmp.definitions import search_parameters
from fhir_dmp.fhir.dates import interval
from fhir_dmp.search.extract import terms_of
from fhir_dmp.search.joins import resolve_joins
from fhir_dmp.search.match import matches
from fhir_dmp.search.parse import parse
from fhir_dmp.search.query import Node, Query
from fhir_dmp.search.rules import ParseRules
from fhir_dmp.search.terms import Terms

Json = dict[str, Any]

BASE = "https://dmp.example/fhir"
PARIS = ZoneInfo("Europe/Paris")
NOW = int(datetime(2026, 6, 1, tzinfo=UTC).timestamp() * 1000)
REGISTRY = search_parameters()


def rules(**changes: Any) -> ParseRules:
    """Return the rules of an ordinary lenient search."""
    return ParseRules(**{"base": BASE, "zone": PARIS, "now_ms": NOW, **changes})


def pairs(query: str) -> list[tuple[str, str]]:
    """Return the parameters of a query string; plus and percent are literal, to keep tests readable."""
    return [(name, value) for name, _, value in (part.partition("=") for part in query.split("&") if part)]


def decoded(query: str) -> list[tuple[str, str]]:
    """Return the parameters of a query string as HTTP decodes it."""
    return parse_qsl(query, keep_blank_values=True)


def asked(types: str, query: str, **changes: Any) -> Query:
    """Parse a query on one type, or on several separated by commas."""
    return parse(tuple(types.split(",")), pairs(query), REGISTRY, rules(**changes))


def terms(resource: Mapping[str, Any], content: str = "") -> Terms:
    """Return the index terms of a resource."""
    return terms_of(dict(resource), REGISTRY, base=BASE, zone=PARIS, content=content)


class Shelf:
    """Resources with an id, and what a search on them finds."""

    def __init__(self, *resources: Json) -> None:
        self._rows = [(part["resourceType"], part["id"], terms(part), _updated(part)) for part in resources]

    def find(self, type_: str, query: str, **changes: Any) -> list[str]:
        """Return the ids that a search finds, in the order of the shelf."""
        return self._find(type_, asked(type_, query, **changes).node)

    def find_any(self, types: Sequence[str], query: str, **changes: Any) -> list[str]:
        """Return the `Type/id` that a search of several types finds."""
        found = asked(",".join(types), query, **changes)
        return [f"{type_}/{id_}" for type_ in found.types for id_ in self._find(type_, found.node)]

    def _find(self, type_: str, node: Node) -> list[str]:
        resolved = resolve_joins(node, self._find, self._referenced)
        return [
            id_
            for kind, id_, held, at in self._rows
            if kind == type_ and matches(resolved, held, id_=id_, updated_ms=at)
        ]

    def _referenced(self, source: str, param: str, node: Node) -> list[str]:
        ids = set(self._find(source, node))
        prefix = f"{param}=r:"
        return [
            token.removeprefix(prefix)
            for kind, id_, held, _ in self._rows
            if kind == source and id_ in ids
            for token in held.tokens
            if token.startswith(prefix)
        ]


def _updated(resource: Json) -> int:
    text = resource.get("meta", {}).get("lastUpdated", "2026-05-01T10:00:00.000Z")
    return interval(text, PARIS)[0]


def places(error: Any) -> list[str]:
    """Return the names of parameters that an error speaks about."""
    return [match for issue in error.issues for place in issue.expression for match in re.findall(r"http\.(.+)", place)]
