"""Asks a virus scanner about a content: ClamAV's daemon, or whatever speaks the same protocol (INSTREAM of clamd).

https://docs.clamav.net/manual/Usage/Scanning.html, `man clamd`: `zINSTREAM\\0`, then pieces with their length in four
bytes, then a length of zero; the answer is `stream: OK`, `stream: NAME FOUND` or a text that ends with ERROR.
"""

from __future__ import annotations

import re
import socket
import struct
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from time import monotonic
from urllib.parse import urlsplit

from fhir_dmp.errors import ConfigurationError, Problem, Unavailable

_WHERE = "documents.scanner_url"
_PORT = 3310
_PIECE = 128 * 1024
_LONGEST_ANSWER = 4096
_FOUND = re.compile(r"stream: (.{1,200}) FOUND")


@dataclass(frozen=True, slots=True)
class Clamd:
    """A scanner: host and port, or the path of its socket. timeout_s: for one content, from connecting on."""

    host: str = ""
    port: int = _PORT
    path: str = ""
    timeout_s: float = 30.0

    def scan(self, chunks: Iterator[bytes]) -> str | None:
        """Return the name of the malware that the content holds, None when it holds none.

        Raises:
            Unavailable: the scanner does not answer, not in time, or cannot judge this content.
        """
        answer = self._asked(b"zINSTREAM\0", chunks)
        if answer == "stream: OK":
            return None
        found = _FOUND.fullmatch(answer)
        if found is not None:
            return found[1]
        if "size limit exceeded" in answer:
            raise Unavailable("the content is longer than the scanner takes (StreamMaxLength of clamd)")
        raise Unavailable("the scanner gave no verdict")

    def version(self) -> str:
        """Return what the scanner says it is, with the age of its signatures.

        Raises:
            Unavailable: it does not answer.
        """
        answer = self._asked(b"zVERSION\0", iter(()), stream=False)
        return "".join(c for c in answer if c.isprintable())[:200] or "no version"

    def _asked(self, command: bytes, chunks: Iterator[bytes], *, stream: bool = True) -> str:
        deadline = monotonic() + self.timeout_s
        try:
            with closing(self._connect()) as connection:
                connection.sendall(command)
                if stream:
                    # A scanner that has seen enough closes its side; what it said before is still to be read.
                    with suppress(BrokenPipeError, ConnectionResetError):
                        self._send(connection, chunks, deadline)
                return self._answer(connection, deadline)
        except (OSError, UnicodeDecodeError) as error:
            raise Unavailable(f"the scanner does not answer ({type(error).__name__})") from error

    def _connect(self) -> socket.socket:
        if not self.path:
            return socket.create_connection((self.host, self.port), timeout=self.timeout_s)
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.settimeout(self.timeout_s)
            connection.connect(self.path)
        except OSError:
            connection.close()
            raise
        return connection

    def _send(self, connection: socket.socket, chunks: Iterator[bytes], deadline: float) -> None:
        for chunk in chunks:
            for at in range(0, len(chunk), _PIECE):
                piece = chunk[at : at + _PIECE]
                connection.settimeout(_left(deadline))
                connection.sendall(struct.pack("!I", len(piece)) + piece)
        connection.sendall(struct.pack("!I", 0))

    def _answer(self, connection: socket.socket, deadline: float) -> str:
        told = b""
        while b"\0" not in told and len(told) < _LONGEST_ANSWER:
            connection.settimeout(_left(deadline))
            part = connection.recv(_LONGEST_ANSWER)
            if not part:
                break
            told += part
        return told.partition(b"\0")[0].decode("utf-8").strip()


def _left(deadline: float) -> float:
    left = deadline - monotonic()
    if left <= 0:
        raise TimeoutError("the time of the scan is over")
    return left


def clamd_of(url: str) -> Clamd:
    """Return the scanner of a URL: `clamd://host:port`, or `clamd:///path/of/its/socket`.

    >>> clamd_of("clamd://scanner.example"), clamd_of("clamd:///run/clamav/clamd.ctl").path
    (Clamd(host='scanner.example', port=3310, path='', timeout_s=30.0), '/run/clamav/clamd.ctl')

    Raises:
        ConfigurationError: another URL.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    if parts.scheme != "clamd" or bool(parts.hostname) == bool(parts.path.strip("/")) or parts.query or parts.username:
        todo = "write clamd://host:3310, or clamd:///run/clamav/clamd.ctl"
        raise ConfigurationError(Problem(_WHERE, "not the URL of a scanner", todo))
    return Clamd(path=parts.path) if not parts.hostname else Clamd(parts.hostname, port or _PORT)
