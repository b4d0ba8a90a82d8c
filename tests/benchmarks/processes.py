"""Real server processes for measurements and whole-process tests: started on a free port, observed, stopped, killed.

What the kernel knows of them (time used, memory) is read from /proc, so this runs on Linux.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HOST = "127.0.0.1"
#: The command line, whatever the package is installed as.
COMMAND = (sys.executable, "-c", "from fhir_dmp.cli import main; main()")
_TICK_S = 1 / os.sysconf("SC_CLK_TCK")


class DidNotStart(Exception):
    """A server did not answer in time; the message holds the end of what it wrote."""


@dataclass
class Process:
    """A server process with its workers, the leader of a process group of its own."""

    popen: subprocess.Popen[bytes]
    port: int
    log: Path

    @property
    def url(self) -> str:
        """Scheme, host and port."""
        return f"http://{HOST}:{self.port}"

    @property
    def workers(self) -> list[int]:
        """The processes that answer requests."""
        return [pid for pid in children(self.popen.pid) if b"resource_tracker" not in _file(pid, "cmdline")]

    def cpu_s(self) -> float:
        """Return the processor time that the server and its workers have used."""
        return sum(cpu_s(pid) for pid in (self.popen.pid, *self.workers))

    def stop(self) -> None:
        """End the server gracefully."""
        if self.popen.poll() is None:
            self.popen.send_signal(signal.SIGTERM)
            try:
                self.popen.wait(15)
            except subprocess.TimeoutExpired:
                self.kill()
        self._sweep()

    def kill(self) -> None:
        """End the server and its workers at once, as a power cut ends processes."""
        self._sweep()
        self.popen.wait(15)

    def _sweep(self) -> None:
        try:
            os.killpg(self.popen.pid, signal.SIGKILL)
        except ProcessLookupError:
            return


def _file(pid: int, name: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


def children(pid: int) -> list[int]:
    """Return the direct children of a process."""
    tasks = Path(f"/proc/{pid}/task")
    found: list[int] = []
    if tasks.exists():
        for task in tasks.iterdir():
            found += map(int, _file(pid, f"task/{task.name}/children").split())
    return found


def cpu_s(pid: int) -> float:
    """Return the processor time that a process has used, in its own code and in the kernel."""
    fields = _file(pid, "stat").rpartition(b")")[2].split()
    return (int(fields[11]) + int(fields[12])) * _TICK_S if fields else 0.0


def memory_kib(pid: int, what: str = "VmRSS") -> int:
    """Return a size of a process out of /proc/pid/status: VmRSS now, VmHWM at its highest."""
    for line in _file(pid, "status").splitlines():
        if line.startswith(what.encode() + b":"):
            return int(line.split()[1])
    return 0


def free_port() -> int:
    """Return a port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def environment(more: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a child: this one without its settings, the checkout importable."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("DMP_")}
    return {**kept, "PYTHONPATH": str(ROOT), **more}


def settings_of(folder: Path, port: int, more: Mapping[str, str]) -> dict[str, str]:
    """Return the settings of a server whose record and keys lie in the folder."""
    own = {
        "DMP_STORE_URL": f"sqlite:///{folder / 'dmp.sqlite3'}",
        "DMP_SECURITY_KEYS_DIR": str(folder / "keys"),
        "DMP_SERVER_PORT": str(port),
        "DMP_SERVER_WORKERS": "2",
    }
    return {**own, **more}


def spawn(arguments: Sequence[str], folder: Path, port: int, environ: Mapping[str, str]) -> Process:
    """Start a process that will listen on the port; its output goes to a file of the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / f"server-{port}.log"
    with log.open("ab") as output:
        popen = subprocess.Popen(
            arguments, cwd=folder, env=environment(environ), stdout=output, stderr=output, start_new_session=True
        )
    return Process(popen, port, log)


def await_answer(process: Process, path: str, timeout_s: float = 30) -> float:
    """Wait until a GET of the path is answered 200; return how long it took, in seconds.

    Raises:
        DidNotStart: it was not.
    """
    started = time.monotonic()
    while time.monotonic() - started < timeout_s and process.popen.poll() is None:
        try:
            with urllib.request.urlopen(process.url + path, timeout=5) as answer:
                answer.read()
                return time.monotonic() - started
        except (urllib.error.URLError, OSError):
            time.sleep(0.01)
    process.kill()
    raise DidNotStart(process.log.read_text(errors="replace")[-2000:])


@contextmanager
def server(folder: Path, *options: str, **settings: str) -> Iterator[Process]:
    """Run `fhir-dmp serve` with two workers over the record of the folder, for a while.

    options: of the command line. settings: names of variables without `DMP_`, in lower case.
    """
    port = free_port()
    environ = settings_of(folder, port, {f"DMP_{name.upper()}": value for name, value in settings.items()})
    process = spawn([*COMMAND, "serve", *options], folder, port, environ)
    try:
        await_answer(process, "/health/ready")
        yield process
    finally:
        process.stop()


def token(process: Process, folder: Path, *arguments: str) -> str:
    """Return a token that the server accepts, made by `fhir-dmp token`."""
    environ = environment(settings_of(folder, process.port, {}))
    done = subprocess.run(
        [*COMMAND, "token", *arguments], cwd=folder, env=environ, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()
