"""Counters and durations for Prometheus. https://prometheus.io/docs/instrumenting/exposition_formats/

With several workers, PROMETHEUS_MULTIPROC_DIR (set by `fhir-dmp serve`) makes one scrape show all of them.
"""

from __future__ import annotations

import contextlib
import os
from functools import lru_cache

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from fhir_dmp.errors import StoreUnavailable
from fhir_dmp.ports import ResourceStore

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)


class Metrics:
    """The metrics of one application."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "dmp_http_requests", "FHIR requests", ("interaction", "status"), registry=self._registry
        )
        self._seconds = Histogram(
            "dmp_http_request_duration_seconds",
            "Time to the answer",
            ("interaction",),
            buckets=_BUCKETS,
            registry=self._registry,
        )
        # Looking a child up by its labels costs more than counting.
        self._counter = lru_cache(maxsize=512)(lambda kind, status: self._requests.labels(kind, str(status)))
        self._timer = lru_cache(maxsize=64)(self._seconds.labels)

    def observe(self, kind: str, status: int, seconds: float) -> None:
        """Count one answered request."""
        self._counter(kind, status).inc()
        self._timer(kind).observe(seconds)

    def expose(self, store: ResourceStore, serves: bool) -> bytes:
        """Return the text of a scrape; serves: the store can be read and written."""
        registry = self._registry
        if os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
            registry = CollectorRegistry()
            MultiProcessCollector(registry)  # type: ignore[no-untyped-call]  # the library has no types here
        return generate_latest(registry) + _store(store, serves)


def _store(store: ResourceStore, serves: bool) -> bytes:
    lines = ["# HELP dmp_store_up Whether the store answers and takes writes.", "# TYPE dmp_store_up gauge"]
    lines.append(f"dmp_store_up {int(serves)}")
    with contextlib.suppress(StoreUnavailable):
        count = store.sequence()
        lines += ["# HELP dmp_commits_total Commits so far.", "# TYPE dmp_commits_total counter"]
        lines.append(f"dmp_commits_total {count}")
    return ("\n".join(lines) + "\n").encode()
