"""`oauth`: tokens issued to software, what judging one adds to a request, how soon a revocation is seen."""

from __future__ import annotations

import json
import secrets
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey

from fhir_dmp.http.authenticate import bearer
from fhir_dmp.store.memory import MemoryStore
from tests.benchmarks import report
from tests.benchmarks.load import Figures, Load, run, write_bodies
from tests.benchmarks.processes import COMMAND, Process, environment, server, settings_of
from tests.oauth.people import ASSERTION_TYPE, jwks
from tests.world import make_world

CLIENT = "bench"
_FORM = {"Content-Type": "application/x-www-form-urlencoded"}
#: More than any machine issues in the time of a run.
_A_SECOND = 700
_CALLS = 20_000
Key = RSAKey | ECKey


def measure(folder: Path, command: str, *, rounds: int, seconds: float) -> report.Table:
    """Run the three measurements, on a server with two workers and durable audit."""
    home = folder / "oauth"
    keys: dict[str, Key] = {
        "RS384": RSAKey.generate_key(2048, {"kid": "bench-rsa"}),
        "ES384": ECKey.generate_key("P-384", {"kid": "bench-ec"}),
    }
    with server(home) as process:
        _register(process, home, *keys.values())
        rows = [_issued(process, home, name, key, rounds, seconds) for name, key in keys.items()]
        rows.append(_revoked(process, keys["ES384"], rounds))
    rows.append(_judged())
    columns = ("OAuth", "figure", "p50 ms", "p99 ms", "CPU us", "errors")
    return report.Table("Tokens", command, columns, tuple(rows))


def _register(process: Process, home: Path, *keys: Key) -> None:
    file = home / "jwks.json"
    file.write_text(json.dumps(jwks(*keys)))
    arguments = ["client", "add", "--id", CLIENT, "--name", "Bench", "--kind", "lps", "--jwks", str(file),
                 "--scope", "system/Patient.rs", "--structure", "750100125"]  # fmt: skip
    environ = environment(settings_of(home, process.port, {}))
    subprocess.run([*COMMAND, *arguments], cwd=home, env=environ, check=True, capture_output=True)


def _form(process: Process, key: Key) -> bytes:
    """Return a request for a token, with an assertion of its own."""
    algorithm = "ES384" if isinstance(key, ECKey) else "RS384"
    claims = {
        "iss": CLIENT,
        "sub": CLIENT,
        "aud": f"{process.url}/auth/token",
        "exp": int(time.time()) + 290,
        "jti": secrets.token_hex(12),
    }
    header = {"typ": "JWT", "alg": algorithm, "kid": key.kid}
    assertion = jwt.encode(header, claims, key, algorithms=[algorithm])
    form = {
        "grant_type": "client_credentials",
        "scope": "system/Patient.rs",
        "client_assertion_type": ASSERTION_TYPE,
        "client_assertion": assertion,
    }
    return urlencode(form).encode()


def _issued(process: Process, home: Path, name: str, key: Key, rounds: int, seconds: float) -> tuple[str, ...]:
    runs: list[Figures] = []
    for _ in range(rounds):
        bodies = home / "bodies"
        write_bodies(bodies, (_form(process, key) for _ in range(round(seconds * _A_SECOND))))
        runs.append(run(process, Load(("/auth/token",), _FORM, bodies), seconds))
        bodies.unlink()
    middle = report.median(runs)
    cells = (f"{middle.p50_ms:.1f}", f"{middle.p99_ms:.0f}", f"{middle.cpu_us:.0f}", str(middle.errors))
    return (f"client_credentials, {name}", report.rate(middle.rate), *cells)


def _post(process: Process, path: str, body: bytes) -> bytes:
    request = urllib.request.Request(process.url + path, body, _FORM)
    with urllib.request.urlopen(request, timeout=30) as answer:
        content: bytes = answer.read()
        return content


def _status(process: Process, token: str) -> int:
    headers = {"Authorization": f"Bearer {token}"}
    try:
        with urllib.request.urlopen(
            urllib.request.Request(f"{process.url}/fhir/Patient?identifier=x|y", headers=headers), timeout=30
        ) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def _revoked(process: Process, key: Key, rounds: int) -> tuple[str, ...]:
    delays = sorted(_delay(process, key) for _ in range(rounds))
    return ("revocation seen by both workers", f"{delays[-1]:.2f} s at most", "", "", "", "0")


def _delay(process: Process, key: Key) -> float:
    """Return how long after its revocation a token was answered for the last time, over new connections."""
    token = json.loads(_post(process, "/auth/token", _form(process, key)))["access_token"]
    for _ in range(10):
        assert _status(process, token) != 401
    proof = dict(pair.split("=", 1) for pair in _form(process, key).decode().split("&"))
    sent = "&".join(f"{name}={proof[name]}" for name in ("client_assertion_type", "client_assertion"))
    _post(process, "/auth/revoke", f"token={token}&{sent}".encode())
    started = last = time.monotonic()
    for _ in _ticks(started + 3):
        if _status(process, token) != 401:
            last = time.monotonic()
    return last - started


def _ticks(until: float) -> Iterator[None]:
    while time.monotonic() < until:
        time.sleep(0.02)
        yield


def _judged() -> tuple[str, ...]:
    """Measure what a request pays for its token, once the token is known."""
    services = make_world(MemoryStore()).services
    world = make_world(MemoryStore())
    world.judged = False
    authenticate = bearer(world.services.guard, services.clock, lambda _: None)
    environ = {"HTTP_AUTHORIZATION": f"Bearer {world.admin.token}"}
    authenticate(environ)
    started = time.perf_counter()
    for _ in range(_CALLS):
        authenticate(environ)
    each_us = (time.perf_counter() - started) / _CALLS * 1e6
    return ("judging a token that is known", f"{each_us:.1f} us", "", "", "", "0")
