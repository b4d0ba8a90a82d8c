"""_include and _revinclude: what a page's resources refer to, and what refers to them, one query a type and level."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from fhir_dmp.fhir.resource import parse_stored
from fhir_dmp.interactions import authorise
from fhir_dmp.interactions.exchange import Call
from fhir_dmp.interactions.services import Services
from fhir_dmp.ports import Key, Version
from fhir_dmp.search.include import reverse_parameters, targets
from fhir_dmp.search.query import AnyTerm, Include, Node, Query, Search, both, either

#: More included resources than this end in a warning instead of a longer answer.
CAP = 1000
DEPTH = 8

Found = tuple[Version, bytes]


def included(call: Call, query: Query, page: Sequence[Version], services: Services) -> tuple[list[Found], bool]:
    """Return what is included beside the matches, each once and only what the caller may see, and whether CAP cut it."""
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
    forward = [rule for rule in rules if not rule.reverse]
    if not forward:
        return []
    keys = dict.fromkeys(
        Key(type_, id_)
        for version in frontier
        for type_, id_ in targets(parse_stored(version.body), forward, services.registry)
    )
    return services.store.read_many(list(keys)[: CAP + 1]).values() if keys else []


def _backward(
    call: Call, frontier: Sequence[Version], rules: Sequence[Include], services: Services
) -> Iterable[Version]:
    found: list[Version] = []
    for rule in rules:
        if not rule.reverse:
            continue
        for source, parameters in reverse_parameters(rule, services.registry):
            terms = tuple(f"{name}=r:{version.key}" for name in parameters for version in frontier
                          if rule.target in (None, version.type))
            if terms:
                node = both(AnyTerm(terms), authorise.included_node(call, source, frontier, services))
                page = services.store.search(Search(types=(source,), node=node, count=CAP + 1))
                found.extend(page.versions)
    return found


def compartment_node(compartment: str | None, types: tuple[str, ...], services: Services) -> Node:
    """Return the condition of belonging to a compartment (`Patient/id`)."""
    from fhir_dmp.search.query import Everything

    if compartment is None:
        return Everything()
    owner = compartment.partition("/")[0]
    members = services.compartments[owner]
    terms = tuple(dict.fromkeys(f"{name}=r:{compartment}" for type_ in types for name in members.get(type_, ())))
    return either(AnyTerm(terms))
