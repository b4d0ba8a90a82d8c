"""The floor: WSGI applications on the same server with the same options that only send bytes.

`application` sends bytes made beforehand. `durable` first writes a line to a file and waits until it is on the disk,
one wait for all requests that come meanwhile: what any server pays that records an access before it answers.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.benchmarks.processes import HOST, Process, await_answer, free_port, spawn

_BODY = "BENCH_BARE_BODY"
_HEADERS = "BENCH_BARE_HEADERS"
_LINE = b"x" * 512

body = Path(os.environ[_BODY]).read_bytes() if _BODY in os.environ else b""
headers = [(name, value) for name, value in json.loads(os.environ.get(_HEADERS, "[]"))]


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Answer every request with the bytes."""
    start_response("200 OK", headers)
    return [body]


class _Journal:
    """A file to which waiting threads write together."""

    def __init__(self, folder: Path) -> None:
        self._file = os.open(folder / f"bare-{os.getpid()}", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self._mutex = threading.Lock()
        self._writing = threading.Lock()
        self._waiting: list[threading.Lock] = []

    def keep(self) -> None:
        """Return when one more line is on the disk."""
        mine = threading.Lock()
        mine.acquire()
        with self._mutex:
            self._waiting.append(mine)
        with self._writing:
            if mine.locked():
                with self._mutex:
                    group, self._waiting = self._waiting, []
                os.write(self._file, _LINE * len(group))
                os.fdatasync(self._file)
                for one in group:
                    one.release()


_journals: list[_Journal] = []
_opening = threading.Lock()


def durable(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Answer every request with the bytes, after a line about it is on the disk."""
    if not _journals:
        with _opening:
            if not _journals:
                _journals.append(_Journal(Path(os.environ[_BODY]).parent))
    _journals[0].keep()
    return application(environ, start_response)


@contextmanager
def bare_server(folder: Path, name: str, content: bytes, sent: list[tuple[str, str]]) -> Iterator[Process]:
    """Run one of the applications of this module with the options of `fhir-dmp serve`."""
    port = free_port()
    file = folder / f"body-{port}"
    file.write_bytes(content)
    environ = {_BODY: str(file), _HEADERS: json.dumps(sent)}
    process = spawn([sys.executable, "-m", "tests.benchmarks.bare", name, str(port)], folder, port, environ)
    try:
        await_answer(process, "/")
        yield process
    finally:
        process.stop()


if __name__ == "__main__":
    from fhir_dmp.cli.serve import wsgi_server
    from fhir_dmp.settings import Server

    settings = Server()
    wsgi_server(f"tests.benchmarks.bare:{sys.argv[1]}", HOST, int(sys.argv[2]), 2, settings.threads).serve()
