"""Constrained scopes (`patient/Observation.rs?category=laboratory`): which resources of a type they cover.

[security 2.10, 2.11]; SMART App Launch 2.2, finer-grained resource constraints. A constraint is a search: it is ANDed
into queries, so that totals and pages tell nothing of what lies outside, and it judges single resources by the terms
that the stores index of them. A constraint that the type does not know covers nothing.
"""

from __future__ import annotations

from urllib.parse import unquote

from fhir_dmp.errors import DmpError, Forbidden
from fhir_dmp.fhir.resource import Json, parse_stored
from fhir_dmp.identity.caller import Caller
from fhir_dmp.interactions.criteria_rules import rules_of
from fhir_dmp.interactions.services import Services
from fhir_dmp.interactions.write import index_terms
from fhir_dmp.ports import Version
from fhir_dmp.search.match import matches
from fhir_dmp.search.parse import parse
from fhir_dmp.search.query import Everything, Node, Nothing, either

_EVERYTHING = Everything()


def covered(caller: Caller, letter: str, type_: str, services: Services) -> Node:
    """Return what of a type the scopes with this letter cover: everything, unless each of them is constrained."""
    nodes: list[Node] = []
    for scope in caller.scopes:
        if letter in scope.letters and scope.type in ("*", type_):
            if not scope.constraint:
                return _EVERYTHING
            nodes.append(_node(type_, scope.constraint, services))
    if not nodes and caller.is_admin:
        return _EVERYTHING  # a token of the operator without scopes, and the open access of a loopback server
    return either(*nodes) if nodes else Nothing()


def _node(type_: str, constraint: tuple[tuple[str, str], ...], services: Services) -> Node:
    pairs = [(name, unquote(value)) for name, value in constraint]
    try:
        return parse((type_,), pairs, services.registry, rules_of(services, strict=True)).node
    except DmpError:
        return Nothing()


def covers(caller: Caller, letter: str, version: Version, services: Services) -> bool:
    """Say whether the scopes cover a stored version."""
    node = covered(caller, letter, version.type, services)
    if node is _EVERYTHING:
        return True
    if not version.body:
        return False
    terms = index_terms(parse_stored(version.body), services, None)  # no constraint asks for words
    return matches(node, terms, id_=version.id, updated_ms=version.updated_ms)


def covers_content(caller: Caller, letter: str, resource: Json, services: Services) -> bool:
    """Say whether the scopes cover a resource that is to be stored."""
    node = covered(caller, letter, resource["resourceType"], services)
    if node is _EVERYTHING:
        return True
    terms = index_terms(resource, services, None)
    return matches(node, terms, id_=str(resource.get("id", "")), updated_ms=services.clock.now_ms())


def insufficient(letter: str, type_: str) -> Forbidden:
    """Make the refusal of a write that leaves, or comes from outside, what the scopes cover."""
    scope = f'Bearer realm="dmp", error="insufficient_scope", scope="user/{type_}.{letter}"'
    return Forbidden(
        "The scopes of the token are limited to some resources of this type, and this one is not among them.",
        headers={"WWW-Authenticate": scope},
    )


def need_whole(caller: Caller, letter: str, type_: str, services: Services) -> None:
    """Refuse a constrained scope where what is done cannot be limited to some resources.

    Raises:
        Forbidden: every scope that would cover it is constrained.
    """
    if covered(caller, letter, type_, services) is not _EVERYTHING:
        raise insufficient(letter, type_)
