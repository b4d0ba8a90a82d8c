"""Clients that write to a running server as fast as it answers, and remember exactly what it acknowledged."""

from __future__ import annotations

import hashlib
import http.client
import itertools
import json
import random
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from tests import samples
from tests.benchmarks.processes import HOST

Json = dict[str, object]


@dataclass
class Acknowledged:
    """What the server said it has stored.

    submissions: uniqueId -> (locations of list, document and binary, content). organisations: id -> its highest
    acknowledged version. started: every uniqueId that was sent at all.
    """

    submissions: dict[str, tuple[tuple[str, ...], bytes]] = field(default_factory=dict)
    organisations: dict[str, int] = field(default_factory=dict)
    started: set[str] = field(default_factory=set)
    refused: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)


class Writers:
    """Threads that submit documents and update a few organisations until they are stopped or the server dies."""

    def __init__(self, port: int, known: Acknowledged, seed: int, threads: int = 6) -> None:
        self._port = port
        self._known = known
        self._stopped = threading.Event()
        self._numbers = itertools.count()
        works: list[Callable[[http.client.HTTPConnection, random.Random], None]] = [self._submit] * (threads - 2)
        works += [self._update] * 2
        self._threads = [
            threading.Thread(target=self._run, args=(work, random.Random(f"{seed}-{number}"), seed))
            for number, work in enumerate(works)
        ]

    def start(self) -> None:
        """Start writing."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Stop, and wait until nobody writes any more."""
        self._stopped.set()
        for thread in self._threads:
            thread.join()

    def _run(
        self, work: Callable[[http.client.HTTPConnection, random.Random], None], dice: random.Random, seed: int
    ) -> None:
        connection = http.client.HTTPConnection(HOST, self._port, timeout=20)
        while not self._stopped.is_set():
            try:
                work(connection, dice)
            except (OSError, http.client.HTTPException):
                return  # the server was killed: what was under way is unknown to us, as to any client
        connection.close()

    def _call(self, connection: http.client.HTTPConnection, method: str, path: str, body: object) -> Json | None:
        """Send JSON; return the answer when it acknowledges, None when the server refused."""
        connection.request(method, f"/fhir{path}", json.dumps(body), {"Content-Type": "application/fhir+json"})
        answer = connection.getresponse()
        content = answer.read()
        if answer.status in (200, 201):
            found: Json = json.loads(content)
            return found
        with self._known.lock:
            self._known.refused.append(f"{method} {path or '/'}: {answer.status}")
        return None

    def _submit(self, connection: http.client.HTTPConnection, dice: random.Random) -> None:
        unique = f"1.2.250.1.999.{dice.getrandbits(96)}"
        content = dice.randbytes(dice.choice((200, 20_000, 300_000)))
        with self._known.lock:
            self._known.started.add(unique)
        answer = self._call(connection, "POST", "", samples.submission(unique, content=content))
        if answer is not None:
            entries = answer["entry"]
            assert isinstance(entries, list)
            places = tuple(entry["response"]["location"] for entry in entries)
            with self._known.lock:
                self._known.submissions[unique] = (places, hashlib.sha256(content).digest())

    def _update(self, connection: http.client.HTTPConnection, dice: random.Random) -> None:
        id_ = f"structure-{dice.randrange(8)}"
        body = {"resourceType": "Organization", "id": id_, "name": f"Structure {dice.getrandbits(40)}"}
        answer = self._call(connection, "PUT", f"/Organization/{id_}", body)
        if answer is not None:
            meta = answer["meta"]
            assert isinstance(meta, dict)
            with self._known.lock:
                self._known.organisations[id_] = max(self._known.organisations.get(id_, 0), int(meta["versionId"]))
