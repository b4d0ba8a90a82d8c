"""Load on a server: `wrk` when it is installed, a plain Python loader else; both give the same figures.

Requests come from a file made beforehand (Script): a fixed list that is repeated, or bodies that are sent once each.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from tests.benchmarks import loader
from tests.benchmarks.processes import Process

CONNECTIONS = 16

_REPORT = """
done = function(summary, latency, requests)
  local e = summary.errors
  io.write(string.format('{"requests":%d,"us":%d,"errors":%d,"p50":%f,"p99":%f}\\n', summary.requests,
    summary.duration, e.connect + e.read + e.write + e.status + e.timeout, latency:percentile(50) / 1000,
    latency:percentile(99) / 1000))
end
"""

_REPEATED = """
local requests, at = {}, 0
init = function(args)
  for line in io.lines(args[1]) do requests[#requests + 1] = wrk.format("GET", line) end
end
request = function()
  at = at % #requests + 1
  return requests[at]
end
"""

#: Each request is: its length in ten digits, then its body. The last one ends the run.
_ONCE = """
local file
init = function(args) file = io.open(args[1], "rb") end
request = function()
  local size = file:read(10)
  if not size then wrk.thread:stop(); return wrk.format("GET", "/health/live") end
  return wrk.format("POST", wrk.path, wrk.headers, file:read(tonumber(size)))
end
"""


@dataclass(frozen=True, slots=True)
class Figures:
    """What one run measured. cpu_us: processor time of the server for one request, where it is known."""

    requests: int
    seconds: float
    errors: int
    p50_ms: float
    p99_ms: float
    cpu_us: float = 0.0

    @property
    def rate(self) -> float:
        """Good answers in a second."""
        return (self.requests - self.errors) / self.seconds if self.seconds else 0.0


@dataclass(frozen=True, slots=True)
class Load:
    """What to send. paths: GETs that are repeated. bodies: a file of bodies to POST to the first path, once each."""

    paths: Sequence[str]
    headers: Mapping[str, str] = field(default_factory=dict)
    bodies: Path | None = None


def write_bodies(file: Path, bodies: Iterable[bytes]) -> None:
    """Write the bodies of a load that sends each once."""
    with file.open("wb") as out:
        for body in bodies:
            out.write(b"%010d" % len(body) + body)


def run(process: Process, load: Load, seconds: float, connections: int = CONNECTIONS) -> Figures:
    """Send the load for so long, or until it is used up."""
    before = process.cpu_s()
    figures = _wrk(process, load, seconds, connections) if shutil.which("wrk") else _python(process, load, seconds)
    used = process.cpu_s() - before
    return replace(figures, cpu_us=used / figures.requests * 1e6 if figures.requests else 0.0)


def _wrk(process: Process, load: Load, seconds: float, connections: int) -> Figures:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        script, paths = folder / "load.lua", folder / "paths"
        script.write_text((_ONCE if load.bodies else _REPEATED) + _REPORT)
        paths.write_text("\n".join(load.paths) + "\n")
        headers = [f"-H{key}: {value}" for key, value in load.headers.items()]
        first = process.url + load.paths[0]
        counts = ["-t1", f"-c{connections}", f"-d{max(round(seconds), 1)}s", "--timeout", "20s"]
        command = ["wrk", *counts, *headers, "-s", str(script), first, "--", str(load.bodies or paths)]
        output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    found = json.loads(output[output.rindex('{"requests"') :])
    return Figures(found["requests"], found["us"] / 1e6, found["errors"], found["p50"], found["p99"])


def _python(process: Process, load: Load, seconds: float) -> Figures:
    bodies = loader.bodies_of(load.bodies) if load.bodies else None
    started = time.monotonic()
    samples, errors = loader.run(process.port, load.paths, load.headers, bodies, seconds, CONNECTIONS)
    took = time.monotonic() - started
    samples.sort()
    if not samples:
        return Figures(0, took, errors, 0, 0)
    p50, p99 = samples[len(samples) // 2], samples[min(len(samples) - 1, len(samples) * 99 // 100)]
    return Figures(len(samples), took, errors, p50 * 1000, p99 * 1000)
