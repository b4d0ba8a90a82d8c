"""One line of JSON for each request: who from where, what, how it ended, how long it took.

Never query strings, tokens, bodies or identifiers of persons. Lines are collected and written together by a thread, so
that a request does not wait for the terminal; the audit trail, not this log, is the proof of what happened.
"""

from __future__ import annotations

import threading
from collections import deque
from functools import lru_cache
from multiprocessing import util
from time import gmtime, sleep, strftime
from typing import TextIO

from fhir_dmp.http.request import Request
from fhir_dmp.http.routes import shown

_FLUSH_EVERY_S = 0.2
#: Lines kept while the output is stuck; older ones are lost rather than memory.
_KEPT = 100_000


class AccessLog:
    """Writes lines to a stream."""

    def __init__(self, stream: TextIO, *, background: bool = True) -> None:
        self._stream = stream
        self._lines: deque[str] = deque(maxlen=_KEPT)
        self._background = background
        self._started = False
        self._starting = threading.Lock()

    def write(self, now_s: float, request: Request, status: int, ms: float) -> None:
        """Add the line of one request."""
        method = "HEAD" if request.head else request.method or "-"
        # Every value comes from a closed alphabet: nothing needs escaping.
        self._lines.append(
            f'{{"time":"{_moment(int(now_s))}","address":"{request.address}","method":"{method}","path":"{shown(request.segments)}",'
            f'"status":{status},"ms":{ms:.1f},"request":"{_safe_id(request.request_id)}"}}\n'
        )
        if not self._background:
            self.flush()
        elif not self._started:
            self._start()

    def flush(self) -> None:
        """Write what is collected."""
        lines = []
        while self._lines:
            lines.append(self._lines.popleft())
        if lines:
            self._stream.write("".join(lines))
            self._stream.flush()

    def _start(self) -> None:
        # On the first request, because a thread does not survive the fork of a worker.
        with self._starting:
            if not self._started:
                self._started = True
                threading.Thread(target=self._run, name="access-log", daemon=True).start()
                # Runs at the end of a process and of a forked worker; atexit knows only the former.
                util.Finalize(None, self.flush, exitpriority=20)

    def _run(self) -> None:
        while True:
            sleep(_FLUSH_EVERY_S)
            self.flush()


@lru_cache(maxsize=2)
def _moment(now_s: int) -> str:
    return strftime("%Y-%m-%dT%H:%M:%SZ", gmtime(now_s))


def _safe_id(request_id: str) -> str:
    """Hide a client's request id that looks like an INS."""
    return "-" if len(request_id) in (13, 15) and request_id[:5].isdigit() else request_id
