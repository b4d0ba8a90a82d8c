"""The hot queries walk an index. Their shapes are checked everywhere, the server's own plan on a replica set."""

from __future__ import annotations

from typing import Any

import mongomock
import pytest

from fhir_dmp.search.query import And, Node, Prefix, Search, SortKey, Term
from fhir_dmp.store.mongo.database import ADDRESS, CURRENT_INDEXES, Database, make_indexes
from fhir_dmp.store.mongo.filters import Dialect, compiled
from fhir_dmp.store.mongo.paging import columns, order_by
from tests.store.mongo import servers
from tests.store.samples import DOC, T0, doc, put

NEWEST = (SortKey("date", descending=True),)
PATIENT = Term("patient=r:Patient/p3")
HOT: dict[str, tuple[Node, tuple[SortKey, ...], str]] = {
    "newest documents of a patient": (PATIENT, NEWEST, "timeline"),
    "newest documents of a patient by type": (And((PATIENT, Term("type=c:3"))), NEWEST, "timeline"),
    "last changed documents of a patient": (PATIENT, (), "timeline_updated"),
    "a business identifier": (Term("identifier=s:urn:x|17"), (), "token"),
    "what refers to a document": (Term("relatesto=r:DocumentReference/a7"), NEWEST, "reference"),
    "last changed documents": (Term("status=c:current"), (), "token"),
}


@pytest.mark.parametrize("name", HOT)
def test_a_hot_query_has_the_shape_of_its_index(name: str) -> None:
    node, sort, label = HOT[name]
    keys = [("_id" if field == ADDRESS else field, way) for field, way in CURRENT_INDEXES[label]]
    order = order_by(columns(sort, "_id"), "_id", 1)
    assert keys[-len(order) :] == order
    condition = compiled(node, Dialect("_id"))
    parts = condition.get("$and", [condition])
    assert any(keys[0][0] in part for part in parts)


def fill(store: Any) -> None:
    put(
        store,
        *(
            doc(
                f"a{n}",
                at=T0 + n,
                tokens=[
                    f"patient=r:Patient/p{n % 20}",
                    f"type=c:{n % 5}",
                    f"identifier=s:urn:x|{n}",
                    f"relatesto=r:DocumentReference/a{n - 1}",
                    "status=c:current",
                ],
                strings=(("name", f"n{n}"),),
                sort={"date": (n, n)},
                patient=f"Patient/p{n % 20}",
            )
            for n in range(300)
        ),
    )


def stages(plan: Any) -> set[str]:
    """Return the stages of a winning plan, at any depth."""
    if isinstance(plan, dict):
        inner = set().union(*(stages(part) for part in plan.values()))
        return inner | ({plan["stage"]} if isinstance(plan.get("stage"), str) else set())
    return set().union(*(stages(part) for part in plan)) if isinstance(plan, list) else set()


def test_the_server_walks_an_index_and_sorts_nothing() -> None:
    store = servers.open_given(100)
    fill(store)
    rows = store._database.current(DOC)
    asked = {**HOT, "a prefix": (Prefix("name", "n17"), (), "text")}
    for name, (node, sort, label) in asked.items():
        order = order_by(columns(sort, "_id"), "_id", 1)
        query = {"$and": [{"d": None}, compiled(node, Dialect("_id"))]}
        plan = rows.find(query, sort=order, limit=21).explain()["queryPlanner"]["winningPlan"]
        assert "COLLSCAN" not in stages(plan), name
        if label != "text":
            assert "SORT" not in stages(plan), name
    assert len(store.search(Search((DOC,), PATIENT, NEWEST)).versions) == 15
    store.close()


def test_indexes_are_made_once_and_changed_when_their_definition_does() -> None:
    database = Database(mongomock.MongoClient()["x"], versioned=False)
    database.prepare([DOC])
    first = database[DOC].index_information()
    assert set(first) == {"_id_", *CURRENT_INDEXES}
    Database(database.raw, versioned=False).prepare([DOC])
    assert database[DOC].index_information() == first
    make_indexes(database[DOC], {"updated": (("u", 1),)})
    assert database[DOC].index_information()["updated"]["key"] == [("u", 1)]


def test_every_index_of_a_type_is_known_to_a_real_server() -> None:
    store = servers.open_ferretdb(10)
    put(store, doc("a"))
    assert set(store._database[DOC].index_information()) == {"_id_", "address", *CURRENT_INDEXES}
    store.close()
