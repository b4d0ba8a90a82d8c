"""A load generator in plain Python, for machines without wrk: threads with connections that stay open.

It takes more processor time than wrk, so its ratios are too kind to slow servers.
"""

from __future__ import annotations

import http.client
import itertools
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tests.benchmarks.processes import HOST


def bodies_of(file: Path) -> Iterator[bytes]:
    """Yield the bodies that load.write_bodies wrote."""
    with file.open("rb") as source:
        while size := source.read(10):
            yield source.read(int(size))


class _Locked:
    """An iterator that several threads may share."""

    def __init__(self, source: Iterator[bytes]) -> None:
        self._source = source
        self._lock = threading.Lock()

    def next(self) -> bytes | None:
        with self._lock:
            return next(self._source, None)


def run(
    port: int,
    paths: Sequence[str],
    headers: Mapping[str, str],
    bodies: Iterator[bytes] | None,
    seconds: float,
    connections: int,
) -> tuple[list[float], int]:
    """Send requests from so many threads; return the duration of each in seconds, and how many were not 2xx."""
    samples: list[float] = []
    errors: list[int] = []
    queue = _Locked(bodies) if bodies is not None else None
    turns = itertools.cycle(paths)
    end = time.monotonic() + seconds

    def work() -> None:
        connection = http.client.HTTPConnection(HOST, port, timeout=20)
        while (now := time.monotonic()) < end:
            body = queue.next() if queue is not None else None
            if queue is not None and body is None:
                break
            connection.request("GET" if body is None else "POST", next(turns), body, dict(headers))
            answer = connection.getresponse()
            answer.read()
            samples.append(time.monotonic() - now)
            if answer.status >= 300:
                errors.append(answer.status)
        connection.close()

    threads = [threading.Thread(target=work) for _ in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return samples, len(errors)
