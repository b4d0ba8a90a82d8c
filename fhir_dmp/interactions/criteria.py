"""Criteria of conditional requests: always strict, always within what the caller may see."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import parse_qsl

from fhir_dmp.errors import BadRequest
from fhir_dmp.interactions import authorise, granular, scoping
from fhir_dmp.interactions.criteria_rules import rules_of
from fhir_dmp.interactions.exchange import Call
from fhir_dmp.interactions.services import Services
from fhir_dmp.ports import Key, Version
from fhir_dmp.search.parse import parse
from fhir_dmp.search.query import AnyTerm, Query, Search, both


def pairs_of(query: str, type_: str) -> list[tuple[str, str]]:
    """Return the (name, value) pairs of a criterion; a leading `?` or `Type?` is tolerated."""
    text = query.strip().removeprefix(f"{type_}?").removeprefix("?")
    return parse_qsl(text, keep_blank_values=True)


def criterion(type_: str, query: str, services: Services) -> Query:
    """Parse a conditional criterion.

    Raises:
        BadRequest: empty, unknown parameters only, or anything that strict parsing refuses: never "matches all".
    """
    parsed = parse((type_,), pairs_of(query, type_), services.registry, rules_of(services, strict=True))
    if not parsed.filters:
        raise BadRequest("The criteria of a conditional request must filter on at least one parameter.", code="invalid")
    return parsed


def matching(call: Call, type_: str, query: str, services: Services) -> list[Version]:
    """Return at most two current resources that match and that exist for the caller."""
    parsed = criterion(type_, query, services)
    if _names_document(call, type_, parsed):
        return _documents(call, type_, parsed, services)
    scope = scoping.to_search(call, parsed, type_, services)
    page = services.store.search(Search(types=(type_,), node=scope.narrowed(parsed.node), count=2))
    return list(page.versions)


#: How many resources with one business identifier are looked at: there is one, unless other systems share its value.
LOOKED_AT = 20


def _names_document(call: Call, type_: str, parsed: Query) -> bool:
    """Say whether a business identifier alone says which document is meant: it needs no patient beside it."""
    if call.caller.is_admin or type_ not in ("DocumentReference", "List"):
        return False
    return "identifier" in parsed.filters and not parsed.patients


def _documents(call: Call, type_: str, parsed: Query, services: Services) -> list[Version]:
    authorise.need(call.caller, "s", type_, services)
    node = scoping.restricted(call.caller, parsed.node, (), services)  # chains may lead to directories only
    node = both(node, granular.covered(call.caller, "s", type_, services))
    page = services.store.search(Search(types=(type_,), node=node, count=LOOKED_AT))
    return [version for version in page.versions if authorise.is_known(call, version, services)][:2]


def claim_key(type_: str, query: str) -> str:
    """Return the key under which concurrent conditional requests with the same criteria exclude each other."""
    return f"{type_}?" + "&".join(f"{name}={value}" for name, value in sorted(pairs_of(query, type_)))


def referring(key: Key, services: Services, *, limit: int) -> list[str]:
    """Return up to `limit` current resources (`Type/id`) that refer to this one through an indexed parameter."""
    found: list[str] = []
    for type_ in services.store.types():
        terms = tuple(f"{code}=r:{key}" for code in _codes_towards(type_, key.type, services))
        if terms:
            ids = services.store.find(type_, AnyTerm(terms), limit - len(found) + 1)
            found += [name for id_ in ids if (name := f"{type_}/{id_}") != str(key)]
        if len(found) >= limit:
            break
    return found[:limit]


def said_of(users: Sequence[str], call: Call, services: Services) -> str:
    """Return a sentence on resources that refer to another one; only those that the caller may see are named."""
    keys = [Key(*name.split("/", 1)) for name in users]
    versions = services.store.read_many(keys)
    shown = [str(key) for key in keys if key in versions and authorise.is_known(call, versions[key], services)]
    return f"Other resources refer to it{': ' if shown else ''}{', '.join(shown)}."


def _codes_towards(source: str, target: str, services: Services) -> list[str]:
    """Return the reference parameters of a type that may point at the target type."""
    return [
        parameter.code
        for parameter in services.registry.of(source)
        if parameter.type == "reference" and (not parameter.targets or target in parameter.targets)
    ]
