"""_include and _revinclude: what a page's resources refer to, and what refers to them, one query a type and level."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from fhir_dmp.fhir.resource import parse_stored
from fhir_dmp.interactions import authorise, scoping
from fhir_dmp.interactions.exchange import Call
from fhir_dmp.interactions.services import Services
from fhir_dmp.ports import Key, Version
from fhir_dmp.search.include import included as forward
from fhir_dmp.search.include import referring
from fhir_dmp.search.query import Include, Query, Search, both

#: More included resources than this end in a warning instead of a longer answer.
CAP = 1000
DEPTH = 8

Found = tuple[Version, bytes]


def included(call: Call, query: Query, page: Sequence[Version], services: Services) -> tuple[list[Found], bool]:
    """Return what is included beside the matches, each once, only what the caller may see; and whether CAP cut it."""
    seen = {version.key for version in page}
    found: list[Found] = []
    frontier: Sequence[Version] = page
    for level in range(DEPTH):
        rules = [rule for rule in query.includes if level == 0 or rule.iterate]
        if not rules or not frontier:
            break
        fresh: list[Version] = []
        for version in [*_forward(frontier, rules, services), *_backward(call, frontier, rules, services)]:
            if version.key in seen or version.deleted:
                continue
            seen.add(version.key)
            body = authorise.shown_in_search(call, version, services)
            if body is None:
                continue
            if len(found) >= CAP:
                return found, True
            found.append((version, body))
            fresh.append(version)
        frontier = fresh
    return found, False


def _forward(frontier: Sequence[Version], rules: Sequence[Include], services: Services) -> Iterable[Version]:
    if all(rule.reverse for rule in rules):
        return []
    resources = [parse_stored(version.body) for version in frontier]
    names = forward(resources, rules, services.registry, base=services.base, zone=services.zone)
    keys = [Key(*name.split("/", 1)) for name in names[: CAP + 1]]
    return services.store.read_many(keys).values() if keys else []


def _backward(
    call: Call, frontier: Sequence[Version], rules: Sequence[Include], services: Services
) -> Iterable[Version]:
    found: list[Version] = []
    keys = [str(version.key) for version in frontier]
    for rule in rules:
        if not rule.reverse:
            continue
        for source, node in referring(rule, keys, services.registry):
            allowed = both(node, scoping.included_node(call, source, services))
            found.extend(services.store.search(Search(types=(source,), node=allowed, count=CAP + 1)).versions)
    return found
