"""A virus scanner in small that speaks the protocol of clamd: it knows one pattern, the test file of all scanners.

`python -m tests.upstream.scanner [--path SOCKET] [--most BYTES] [--mute]` prints where it listens.
"""

from __future__ import annotations

import argparse
import socketserver
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
EICAR = b"X5O!P%@AP[4\\PZX54(P^)7CC)7}$" + b"EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"


class Session(socketserver.StreamRequestHandler):
    """One command of one client."""

    most = 1 << 30
    mute = False

    def handle(self) -> None:
        command = b""
        while not command.endswith(b"\0"):
            byte = self.rfile.read(1)
            if not byte:
                return
            command += byte
        if self.mute:
            time.sleep(60)
        elif command == b"zINSTREAM\0":
            self.wfile.write(self._verdict() + b"\0")
        elif command == b"zVERSION\0":
            self.wfile.write(b"ClamAV of the tests 1.0\0")
        else:
            self.wfile.write(b"UNKNOWN COMMAND\0")

    def _verdict(self) -> bytes:
        content = b""
        while length := struct.unpack("!I", self.rfile.read(4))[0]:
            content += self.rfile.read(length)
            if len(content) > self.most:
                return b"INSTREAM size limit exceeded. ERROR"
        return b"stream: Eicar-Test-Signature FOUND" if EICAR in content else b"stream: OK"


class Tcp(socketserver.ThreadingTCPServer):
    """Listens on a port of this machine."""

    allow_reuse_address = True
    daemon_threads = True


class Unix(socketserver.ThreadingUnixStreamServer):
    """Listens on a socket of the file system."""

    daemon_threads = True


@contextmanager
def scanner(*arguments: str) -> Iterator[str]:
    """Run one as a process of its own; yield its URL."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.upstream.scanner", *arguments], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
    finally:
        process.terminate()
        process.wait(10)
        if process.stdout:
            process.stdout.close()


def main() -> None:
    """Serve until somebody ends it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--path", default="")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--most", type=int, default=Session.most)
    parser.add_argument("--mute", action="store_true")
    given = parser.parse_args()
    Session.most, Session.mute = given.most, given.mute
    server: socketserver.BaseServer
    if given.path:
        server, url = Unix(given.path, Session), f"clamd://{given.path}"
    else:
        tcp = Tcp(("127.0.0.1", given.port), Session)
        server, url = tcp, f"clamd://127.0.0.1:{tcp.server_address[1]}"
    sys.stdout.write(url + "\n")
    sys.stdout.flush()
    server.serve_forever()


if __name__ == "__main__":
    main()
