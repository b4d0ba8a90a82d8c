"""Opens a MongoDB: connects, finds out what the server can do, refuses one without transactions unless allowed."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

from pymongo import MongoClient, ReadPreference, WriteConcern
from pymongo.errors import ConfigurationError as DriverConfigurationError
from pymongo.errors import InvalidURI, OperationFailure
from pymongo.monitoring import CommandListener
from pymongo.read_concern import ReadConcern

from fhir_dmp.errors import ConfigurationError, Problem
from fhir_dmp.search.joins import JOIN_CAP
from fhir_dmp.store.mongo.database import reaching
from fhir_dmp.store.mongo.faults import answering
from fhir_dmp.store.mongo.store import MongoStore, Server
from fhir_dmp.store.mongo.transactions import DURABLE
from fhir_dmp.store.mongo.views import Doc

DEFAULT_DATABASE = "dmp"
#: The longest that one command may take, in ms, when nothing else is set. Dead rows are kept much longer (intents.py).
QUERY_MS = 20_000
_SNAPSHOT_WIRE_VERSION = 13  # MongoDB 5.0

_STANDALONE = Problem(
    "store.url",
    "this MongoDB keeps no transactions (it is no member of a replica set)",
    "start it with `mongod --replSet rs0`, run `rs.initiate()` once in mongosh and add `?replicaSet=rs0` to the URL; "
    "`scripts/mongo` does so for development; or set store.allow_standalone (DMP_STORE_ALLOW_STANDALONE=true), whose "
    "price docs/stores.md tells",
)


def open_mongo(
    url: str,
    *,
    allow_standalone: bool = False,
    join_cap: int = JOIN_CAP,
    query_ms: int = QUERY_MS,
    listeners: Sequence[CommandListener] = (),
) -> MongoStore:
    """Return the store of a `mongodb://` or `mongodb+srv://` URL; the database is its path, or `dmp`.

    query_ms: the longest that one command may take. The driver puts what is left of it as `maxTimeMS` on every command
    that it sends (Client Side Operation Timeout), so that no query can be written without. listeners: are told of each.

    Raises:
        ConfigurationError: not a URL of MongoDB, or a server without transactions that nobody has allowed.
        StoreUnavailable: the server does not answer.
    """
    client = _client(url, query_ms, listeners)
    try:
        with answering(), reaching(client.options.server_selection_timeout):
            server = inspect(client)
        if not server.transactions and not allow_standalone:
            raise ConfigurationError(_STANDALONE)
        name = client.get_default_database(DEFAULT_DATABASE).name
        return MongoStore(client, _database(client, name, server), server, join_cap=join_cap)
    except BaseException:
        client.close()
        raise


def _client(url: str, query_ms: int, listeners: Sequence[CommandListener]) -> MongoClient[Doc]:
    given = {part.partition("=")[0].lower() for part in url.partition("?")[2].split("&")}
    if "timeoutms" in given:
        raise ConfigurationError(Problem("store.url", "timeoutMS has a setting here", "set store.query_timeout_ms"))
    timeouts: dict[str, Any] = {} if "connecttimeoutms" in given else {"connectTimeoutMS": 5_000}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)  # the driver only warns of an option that it does not know
            return MongoClient(url, appname="fhir-dmp", timeoutMS=query_ms, event_listeners=list(listeners), **timeouts)
    except (InvalidURI, DriverConfigurationError, ValueError, UserWarning) as error:
        todo = "write mongodb://host/database?replicaSet=rs0, with options that MongoDB knows"
        # the driver's words are not repeated: they may quote the password
        raise ConfigurationError(Problem("store.url", "not a URL of MongoDB", todo)) from error


def _database(client: MongoClient[Doc], name: str, server: Server) -> Any:
    """Return the database with the guarantees that the port promises: durable, and read where it was written."""
    if server.transactions:
        return client.get_database(
            name,
            read_preference=ReadPreference.PRIMARY,
            read_concern=ReadConcern("majority"),
            write_concern=DURABLE,
        )
    return client.get_database(name, write_concern=WriteConcern(1, j=True))


def inspect(client: MongoClient[Doc]) -> Server:
    """Find out what the server can do, by its own words and by trying."""
    hello = client.admin.command("hello")
    router = hello.get("msg") == "isdbgrid"
    transactions = ("setName" in hello or router) and _keeps_transactions(client)
    return Server(
        transactions=transactions,
        snapshots=transactions and hello.get("maxWireVersion", 0) >= _SNAPSHOT_WIRE_VERSION,
        sharded=router,
    )


def _keeps_transactions(client: MongoClient[Doc]) -> bool:
    """Some servers call themselves a replica set and refuse transactions all the same."""
    try:
        with client.start_session() as session, session.start_transaction():
            client[DEFAULT_DATABASE]["meta"].find_one({"_id": "commit"}, session=session)
    except OperationFailure:
        return False
    return True
