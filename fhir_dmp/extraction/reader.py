"""The owner of the process that reads PDF files (extraction/pdf.py): one file at a time, never longer than it may take.

A file that takes too long costs the process, which is started again for the next one.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import select
import subprocess
import sys
import threading
import time
from functools import cache
from pathlib import Path

_log = logging.getLogger("fhir_dmp.extraction")
_HEAD = 8
_CHUNK = 1 << 16
#: By its path, because the working directory of a server may be anywhere; it imports nothing of this package.
_PROGRAM = str(Path(__file__).with_name("pdf.py"))


class _TooSlow(Exception):
    pass


class PdfReader:
    """Reads the text of PDF files in another process. Thread safe.

    most_s: seconds that one file may take, waiting for others included; the start of the process comes on top.
    """

    def __init__(self, most_s: float) -> None:
        self._most_s = most_s
        self._turn = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._owner = os.getpid()

    def __call__(self, content: bytes) -> str:
        """Return the text, "" when there is none or when it cannot be had in time."""
        if not self._turn.acquire(timeout=self._most_s):
            _log.warning("a PDF of %d bytes was not read for its words: others take all the time", len(content))
            return ""
        try:
            return self._read(content)
        except (_TooSlow, OSError, EOFError) as error:
            self._end()
            reason = "it takes too long" if isinstance(error, _TooSlow) else "the reading process failed"
            _log.warning("a PDF of %d bytes was not read for its words: %s", len(content), reason)
            return ""
        finally:
            self._turn.release()

    def close(self) -> None:
        """End the process."""
        with self._turn:
            self._end()

    def _read(self, content: bytes) -> str:
        process = self._started()
        assert process.stdin is not None
        assert process.stdout is not None
        source, sink = process.stdout.fileno(), process.stdin.fileno()
        until = time.monotonic() + self._most_s
        self._send(sink, len(content).to_bytes(_HEAD, "big") + content, until)
        size = int.from_bytes(self._receive(source, _HEAD, until), "big")
        return self._receive(source, size, until).decode("utf-8", "replace")

    def _started(self) -> subprocess.Popen[bytes]:
        if self._owner != os.getpid():  # we are a fork, and the process is our parent's
            self._process, self._owner = None, os.getpid()
        if self._process is None or self._process.poll() is not None:
            self._end()
            self._process = subprocess.Popen(  # noqa: S603  # our own module, by the interpreter that runs us
                [sys.executable, "-P", _PROGRAM],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                bufsize=0,
            )
            assert self._process.stdin is not None
            os.set_blocking(self._process.stdin.fileno(), False)
            # An empty file: the answer says that the library is loaded, so that its loading is not taken for slowness.
            self._send(self._process.stdin.fileno(), bytes(_HEAD), time.monotonic() + 20)
            assert self._process.stdout is not None
            self._receive(self._process.stdout.fileno(), _HEAD, time.monotonic() + 20)
        return self._process

    @staticmethod
    def _send(sink: int, data: bytes, until: float) -> None:
        left = memoryview(data)
        while left:
            _wait(writable=sink, until=until)
            with contextlib.suppress(BlockingIOError):
                left = left[os.write(sink, left[:_CHUNK]) :]

    @staticmethod
    def _receive(source: int, size: int, until: float) -> bytes:
        found = bytearray()
        while len(found) < size:
            _wait(readable=source, until=until)
            piece = os.read(source, min(_CHUNK, size - len(found)))
            if not piece:
                raise EOFError
            found += piece
        return bytes(found)

    def _end(self) -> None:
        if self._owner != os.getpid():
            return
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    pipe.close()


def _wait(*, until: float, readable: int | None = None, writable: int | None = None) -> None:
    reads = [] if readable is None else [readable]
    writes = [] if writable is None else [writable]
    if not any(select.select(reads, writes, [], max(until - time.monotonic(), 0))):
        raise _TooSlow


@cache
def reader(most_s: float) -> PdfReader:
    """Return the one reader of this process with this bound; it ends with the process."""
    made = PdfReader(most_s)
    atexit.register(made.close)
    return made
