"""Reads what a group of commits is judged against: heads, unique keys, claims. One query for each kind and type."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from fhir_dmp.ports import Commit, Key
from fhir_dmp.store.mongo.database import Database
from fhir_dmp.store.mongo.plan import Facts, Head
from fhir_dmp.store.mongo.views import Doc, View, everything_of

_HEAD = {"i": 1, "v": 1, "s": 1, "d": 1, "uq": 1}


def facts_of(database: Database, view: View, sequence: int, commits: Sequence[Commit]) -> Facts:
    """Return the facts that these commits touch, in one view of the database."""
    keys = {Key(write.type, write.id) for commit in commits for write in commit.writes}
    keys |= {require.key for commit in commits for require in commit.requires}
    wanted = {unique for commit in commits for write in commit.writes for unique in write.terms.uniques}
    claims = {claim.key for commit in commits for claim in commit.claims}
    facts = gathered(database, view, sequence, keys, wanted, claims)
    notices = {notice.id for commit in commits for notice in commit.notices}
    told = frozenset(view.address_of(doc) for doc in _rows(database, view, "outbox", notices, {"i": 1}))
    return replace(facts, notices=told) if told else facts


def gathered(
    database: Database,
    view: View,
    sequence: int,
    keys: Iterable[Key],
    uniques: set[str],
    claims: set[str],
    *,
    tokens: bool = False,
) -> Facts:
    """Return the heads of the keys, the holders of the unique keys (also of those that the heads hold), the claims.

    tokens: the heads' tokens are wanted too.
    """
    heads = _heads(database, view, keys, {**_HEAD, "t": 1} if tokens else _HEAD)
    held = {unique for head in heads.values() for unique in head.uniques}
    return Facts(
        sequence,
        heads,
        {
            view.address_of(doc): (doc["_id"], Key(doc["type"], doc["id"]))
            for doc in _rows(database, view, "uniques", uniques | held)
        },
        {view.address_of(doc): (doc["_id"], doc["s"]) for doc in _rows(database, view, "claims", claims)},
    )


def _heads(database: Database, view: View, keys: Iterable[Key], fields: dict[str, int]) -> dict[Key, Head]:
    by_type: dict[str, set[str]] = {}
    for key in keys:
        by_type.setdefault(key.type, set()).add(key.id)
    found: dict[Key, Head] = {}
    for type_, ids in by_type.items():
        database.current(type_)  # refuses a name that is no type
        for doc in _rows(database, view, type_, ids, fields):
            uniques = () if doc.get("d") else tuple(doc["uq"])
            found[Key(type_, view.address_of(doc))] = Head(
                doc["_id"], doc["v"], doc["s"], uniques, tuple(doc.get("t", ()))
            )
    return found


def _rows(
    database: Database, view: View, name: str, addresses: set[str], projection: dict[str, int] | None = None
) -> list[Doc]:
    if not addresses:
        return []
    query = everything_of({view.address: {"$in": sorted(addresses)}}, view.visible())
    return list(database[name].find(query, projection, session=view.session))
