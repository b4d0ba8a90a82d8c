"""MongoDB-compatible servers for tests: mongomock in the process, FerretDB as a real server, and one given by URL."""

from __future__ import annotations

import atexit
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections import Counter
from functools import cache
from itertools import count
from pathlib import Path

import pytest
from pymongo import MongoClient
from pymongo.errors import PyMongoError
from pymongo.monitoring import CommandFailedEvent, CommandListener, CommandStartedEvent, CommandSucceededEvent

from fhir_dmp.store.mongo.connect import open_mongo
from fhir_dmp.store.mongo.store import MongoStore, Server
from tests.store.mongo.fakes import FakeClient

ROOT = Path(__file__).resolve().parents[3]
MISSING = "no ferretdb in PATH, .venv/bin or DMP_FERRETDB; scripts/install-ferretdb builds it"
NO_URL = "DMP_TEST_MONGO_URL names no replica set"

_number = count()


class Watch(CommandListener):
    """Sees every command that the stores of the tests send: how often each, and which without a limit of its time."""

    #: They carry none by protocol: a getMore belongs to its find and the limit of that, the others end something.
    EXEMPT = frozenset({"getMore", "killCursors", "endSessions"})

    def __init__(self) -> None:
        self.seen: Counter[str] = Counter()
        self.untimed: list[str] = []

    def started(self, event: CommandStartedEvent) -> None:
        """Look at a command on its way out."""
        self.seen[event.command_name] += 1
        if event.command_name not in self.EXEMPT and not event.command.get("maxTimeMS"):
            self.untimed.append(event.command_name)

    def succeeded(self, event: CommandSucceededEvent) -> None:
        """Nothing to see."""

    def failed(self, event: CommandFailedEvent) -> None:
        """Nothing to see."""


WATCH = Watch()


def open_mongomock(join_cap: int) -> MongoStore:
    """Return an empty store on mongomock, which has neither sessions nor transactions."""
    client = FakeClient()
    return MongoStore(client, client.database(), Server(transactions=False), join_cap=join_cap)


def open_transactional(join_cap: int) -> MongoStore:
    """Return an empty store that commits through (imitated) transactions."""
    client = FakeClient()
    return MongoStore(client, client.database(), Server(transactions=True, snapshots=True), join_cap=join_cap)


def open_sharded(join_cap: int) -> MongoStore:
    """Return an empty store that believes to be on a cluster: it must find the same with fewer shards asked."""
    client = FakeClient()
    server = Server(transactions=True, snapshots=True, sharded=True)
    return MongoStore(client, client.database(), server, join_cap=join_cap)


def ferretdb_binary() -> str | None:
    """Return the path of a FerretDB, if there is one."""
    given = os.environ.get("DMP_FERRETDB")
    return given or shutil.which("ferretdb") or shutil.which("ferretdb", path=str(ROOT / ".venv" / "bin"))


@cache
def ferretdb_url() -> str:
    """Start one FerretDB for the whole test run and return its URL."""
    binary = ferretdb_binary()
    if binary is None:
        pytest.skip(MISSING)
    folder = tempfile.mkdtemp(prefix="ferretdb")
    port = _free_port()
    process = subprocess.Popen(
        [
            binary,
            "--handler=sqlite",
            f"--sqlite-url=file:{folder}/",
            f"--listen-addr=127.0.0.1:{port}",
            "--debug-addr=-",
            "--telemetry=disable",
            "--log-level=ERROR",
            f"--state-dir={folder}",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )

    def stop() -> None:
        process.terminate()
        process.wait(10)
        shutil.rmtree(folder, ignore_errors=True)

    atexit.register(stop)
    url = f"mongodb://127.0.0.1:{port}"
    _wait(url)
    return url


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait(url: str) -> None:
    for _ in range(100):
        client: MongoClient[dict[str, object]] = MongoClient(url, serverSelectionTimeoutMS=200)
        try:
            client.admin.command("ping")
            return
        except PyMongoError:
            time.sleep(0.05)
        finally:
            client.close()
    raise AssertionError("FerretDB did not start")


def new_name() -> str:
    """Return the name of a database that no other test uses."""
    return f"dmp_test_{os.getpid()}_{next(_number)}"


def drop(url: str, name: str) -> None:
    """Remove a test's database."""
    client: MongoClient[dict[str, object]] = MongoClient(url)
    client.drop_database(name)
    client.close()


def open_ferretdb(join_cap: int) -> MongoStore:
    """Return an empty store on a real server that speaks the wire protocol and keeps no transactions."""
    return open_mongo(f"{ferretdb_url()}/{new_name()}", allow_standalone=True, join_cap=join_cap, listeners=[WATCH])


def given_url() -> str | None:
    """Return the URL of a replica set for tests, without a database."""
    return os.environ.get("DMP_TEST_MONGO_URL") or None


def open_given(join_cap: int) -> MongoStore:
    """Return an empty store on the replica set that the environment names."""
    url = given_url()
    if url is None:
        pytest.skip(NO_URL)
    head, _, options = url.partition("?")
    place, name = "/".join(head.split("/")[:3]), new_name()
    atexit.register(drop, url, name)
    return open_mongo(f"{place}/{name}" + (f"?{options}" if options else ""), join_cap=join_cap, listeners=[WATCH])
