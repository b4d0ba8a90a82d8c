"""History: versions by descending sequence, of one resource, of types, or of everything."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

from fhir_dmp.ports import HistoryPage, HistoryQuery, Key, Version
from fhir_dmp.store.mongo.database import Database
from fhir_dmp.store.mongo.documents import version_address, version_of
from fhir_dmp.store.mongo.reading import Reader
from fhir_dmp.store.mongo.views import Doc, Filter, View, everything_of

_BATCH = 200


class History:
    """The history as one reader sees it."""

    def __init__(self, database: Database, view: View, reader: Reader) -> None:
        self._rows: Any = database["history"]
        self._view = view
        self._reader = reader

    def version(self, key: Key, version: int) -> Version | None:
        """Return one version."""
        address = {self._view.address: {"$eq": version_address(key.type, key.id, version)}}
        doc = self._rows.find_one(everything_of(address, self._view.visible()), session=self._view.session)
        return None if doc is None else version_of(doc, key.type, key.id)

    def page(self, query: HistoryQuery) -> HistoryPage:
        """Return one page. The total is counted only for one resource, where it costs nothing."""
        condition = everything_of(*self._conditions(query), self._view.visible())
        below: Filter = {} if query.before_seq is None else {"s": {"$lt": query.before_seq}}
        docs = list(islice(self._judged(query, everything_of(condition, below)), query.count + 1))
        page = docs[: query.count]
        return HistoryPage(
            tuple(version_of(doc, doc["type"], doc["id"]) for doc in page),
            page[-1]["s"] if page and len(docs) > len(page) else None,
            self._total(query, condition),
        )

    def _total(self, query: HistoryQuery, condition: Filter) -> int | None:
        if query.id is None or query.node is not None:
            return None
        count: int = self._rows.count_documents(condition, session=self._view.session)
        return count

    def _conditions(self, query: HistoryQuery) -> Iterator[Filter]:
        if query.type is not None and query.id is not None:
            yield {"k": {"$eq": f"{query.type}/{query.id}"}}
        elif query.type is not None:
            yield {"type": {"$eq": query.type}}
        if query.types is not None:
            yield {"type": {"$in": list(query.types)}}
        if query.since_ms is not None:
            yield {"u": {"$gte": query.since_ms}}
        if query.at is not None:
            yield from self._in_force(*query.at)

    def _in_force(self, low: float, high: float) -> Iterator[Filter]:
        yield {"u": {"$lt": high}}
        still = [{"ue": None}, {"ue": {"$gt": low}}]
        if self._view.horizon is not None:
            # ended by a commit that this reader does not see yet
            still.append({"un": {"$gt": self._view.horizon}})
        yield {"$or": still}

    def _judged(self, query: HistoryQuery, condition: Filter) -> Iterator[Doc]:
        """Yield the versions, newest first, whose resource satisfies the node now."""
        found = self._rows.find(condition, sort=[("s", -1)], session=self._view.session)
        if query.node is None:
            yield from found
            return
        satisfying = self._reader.judge(query.node)
        while batch := list(islice(found, _BATCH)):
            kept = satisfying({Key(doc["type"], doc["id"]) for doc in batch})
            yield from (doc for doc in batch if Key(doc["type"], doc["id"]) in kept)
