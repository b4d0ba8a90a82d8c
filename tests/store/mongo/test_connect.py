"""Opening a MongoDB: what is refused, in which words, and what is found out about the server."""

from __future__ import annotations

import pytest
from pymongo import MongoClient
from pymongo.errors import BulkWriteError, DocumentTooLarge, ExecutionTimeout, OperationFailure, PyMongoError

from fhir_dmp.errors import BadRequest, ConfigurationError, StoreUnavailable, TooLarge, Unprocessable
from fhir_dmp.ports import Commit, Key
from fhir_dmp.search.query import Everything, Term
from fhir_dmp.store.mongo import open_mongo
from fhir_dmp.store.mongo.connect import inspect
from fhir_dmp.store.mongo.faults import answering
from fhir_dmp.store.mongo.store import Server
from tests.store.mongo import servers
from tests.store.samples import DOC, doc, put


def test_a_server_without_transactions_is_refused_and_says_what_to_do() -> None:
    with pytest.raises(ConfigurationError) as caught:
        open_mongo(f"{servers.ferretdb_url()}/refused")
    text = str(caught.value)
    for part in (
        "store.url",
        "no transactions",
        "--replSet",
        "rs.initiate()",
        "scripts/mongo",
        "store.allow_standalone",
    ):
        assert part in text
    client: MongoClient[dict[str, object]] = MongoClient(servers.ferretdb_url())
    assert "refused" not in client.list_database_names()
    client.close()


def test_a_server_that_only_claims_to_be_a_replica_set_is_found_out() -> None:
    client: MongoClient[dict[str, object]] = MongoClient(servers.ferretdb_url())
    assert inspect(client) == Server(transactions=False)
    client.close()


def test_the_database_is_the_path_of_the_url_or_dmp() -> None:
    name = servers.new_name()
    for url, database in ((f"{servers.ferretdb_url()}/{name}", name), (servers.ferretdb_url(), "dmp")):
        store = open_mongo(url, allow_standalone=True)
        assert store._database.raw.name == database
        store.close()


def test_what_was_stored_is_there_after_a_restart() -> None:
    url = f"{servers.ferretdb_url()}/{servers.new_name()}"
    store = open_mongo(url, allow_standalone=True)
    (made,) = put(store, doc("a", tokens=["s=c:x"]))
    store.close()
    again = open_mongo(url, allow_standalone=True)
    assert again.read(Key(DOC, "a")) == made
    assert again.find(DOC, Term("s=c:x"), 5) == ["a"]
    assert again.sequence() == made.seq
    again.close()


@pytest.mark.parametrize("url", ["mongodb://", "http://x", "mongodb://h/d?replicaSet=&=", "mongodb://u:s3cret@h:x/d"])
def test_a_malformed_url_is_refused_without_quoting_it(url: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        open_mongo(url)
    assert "store.url" in str(caught.value)
    assert "s3cret" not in str(caught.value)


def test_an_absent_server_is_unavailable() -> None:
    with pytest.raises(StoreUnavailable):
        open_mongo("mongodb://127.0.0.1:1/dmp?serverSelectionTimeoutMS=100")


def test_a_lost_server_is_unavailable_for_every_call() -> None:
    store = servers.open_ferretdb(10)
    store.close()
    calls = (
        store.ping,
        store.sequence,
        store.types,
        lambda: store.read(Key(DOC, "a")),
        lambda: store.find(DOC, Everything(), 1),
        lambda: store.commit(Commit(writes=(doc("a"),))),
        lambda: list(store.blobs.read("0")),
    )
    for call in calls:
        with pytest.raises(StoreUnavailable):
            call()


def test_a_name_that_is_no_type_reaches_no_other_collection() -> None:
    store = servers.open_mongomock(10)
    for name in ("history", "meta", "", "$cmd", "Doc.x", "audit_202401", "blobs"):
        with pytest.raises(BadRequest):
            store.read(Key(name, "a"))
        with pytest.raises(BadRequest):
            store.commit(Commit(writes=(doc("a", type_=name),)))


@pytest.mark.parametrize(
    "error",
    [
        DocumentTooLarge("BSON document too large"),
        OperationFailure("too large", 10334),
        BulkWriteError({"writeErrors": [{"index": 0, "code": 10334, "errmsg": "too large"}]}),
    ],
)
def test_a_document_above_the_limit_of_the_database_is_too_large(error: PyMongoError) -> None:
    with pytest.raises(TooLarge, match="16 MB"), answering():
        raise error


def test_a_search_that_takes_too_long_is_too_costly() -> None:
    with pytest.raises(Unprocessable) as caught, answering(searching=True):
        raise ExecutionTimeout("operation exceeded time limit", 50)
    assert caught.value.issues[0].code == "too-costly"


def test_a_write_that_takes_too_long_is_not_called_a_search() -> None:
    with pytest.raises(StoreUnavailable, match="try again"), answering():
        raise ExecutionTimeout("operation exceeded time limit", 50)


def test_the_limit_of_time_is_no_option_of_the_url() -> None:
    with pytest.raises(ConfigurationError, match="query_timeout_ms"):
        open_mongo("mongodb://127.0.0.1:1/dmp?timeoutMS=5")


def test_the_words_of_the_server_are_not_repeated() -> None:
    with pytest.raises(StoreUnavailable) as caught, answering():
        raise OperationFailure('dup key: { _id: "Durand" }', 8000)
    assert caught.value.issues[0].diagnostics == "The database did not do what was asked (OperationFailure, code 8000)."


def test_what_no_database_can_hold_is_refused_and_spoils_nothing() -> None:
    store = servers.open_ferretdb(10)
    with pytest.raises(BadRequest):
        store.commit(Commit(writes=(doc("a", tokens=["s=c:\ud800"]),)))
    with pytest.raises(BadRequest):
        store.find(DOC, Term("s=c:\ud800"), 5)
    put(store, doc("a"))
    assert store.find(DOC, Everything(), 5) == ["a"]
    store.close()
