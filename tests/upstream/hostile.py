"""An identity provider that answers whatever a test wants it to, signed with a key that it publishes."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

from joserfc import jwt
from joserfc.jwk import KeySet, RSAKey

CLIENT_ID = "dmp"
SUBJECT = "f:psc:810100000016"
KEY = RSAKey.generate_key(2048, auto_kid=True)


@dataclass(frozen=True)
class Raw:
    """Bytes to send as they are. pause_s: wait so long after each byte; lines: before the body."""

    body: bytes
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    pause_s: float = 0


@dataclass
class Hostile:
    """What it answers at `/discovery`, `/certs`, `/token`, `/userinfo`, `/introspect`: a value (as JSON) or Raw."""

    issuer: str = ""
    answers: dict[str, Any] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def reset(self, nonce: str = "") -> None:
        """Answer as a good provider does."""
        here = self.issuer
        ends = {"authorization": "auth", "token": "token", "userinfo": "userinfo", "introspection": "introspect"}
        self.answers = {
            "/discovery": {
                "issuer": here,
                "jwks_uri": f"{here}/certs",
                **{f"{name}_endpoint": f"{here}/{path}" for name, path in ends.items()},
            },
            "/certs": KeySet([KEY]).as_dict(private=False),
            "/token": {"access_token": "at", "token_type": "Bearer", "id_token": self.id_token(nonce)},
            "/userinfo": person(),
            "/introspect": {"active": True, "sub": SUBJECT, "acr": "eidas1"},
        }
        self.asked.clear()

    def id_token(self, nonce: str = "", /, **claims: Any) -> str:
        """Return a signed id_token; a claim that is given replaces the good one."""
        now = int(time.time())
        good = {"iss": self.issuer, "aud": CLIENT_ID, "sub": SUBJECT, "nonce": nonce, "acr": "eidas1", "iat": now,
                "exp": now + 300, "auth_time": now}  # fmt: skip
        return jwt.encode({"alg": "RS256", "kid": KEY.kid}, {**good, **claims}, KEY)

    def settings(self) -> dict[str, str]:
        """Return the environment that connects a server to it as Pro Santé Connect."""
        values = {"DISCOVERY_URL": f"{self.issuer}/discovery", "CLIENT_ID": CLIENT_ID, "CLIENT_SECRET": "secret"}
        return {f"DMP_UPSTREAM_PSC_{name}": value for name, value in values.items()}


def person(**claims: Any) -> dict[str, Any]:
    """Return the userinfo of a doctor with one practice."""
    activity = {
        "numeroFinessSite": "750999013",
        "raisonSocialeSite": "Cabinet du Canal",
        "codeSecteurDactivite": "SA07",
    }
    exercise = {"codeProfession": "10", "codeCategorieProfessionnelle": "C", "activities": [activity]}
    return {"sub": SUBJECT, "SubjectNameID": "810100000016", "family_name": "CARLIER", "given_name": "Hippolyte",
            "SubjectRefPro": {"exercices": [exercise]}, **claims}  # fmt: skip


@contextmanager
def hostile() -> Iterator[Hostile]:
    """Run it on a free port of this machine."""
    told = Hostile()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            told.asked.append(self.path)
            answer = told.answers.get(self.path.partition("?")[0], Raw(b"", 404))
            raw = answer if isinstance(answer, Raw) else Raw(json.dumps(answer).encode())
            with suppress(OSError):  # whoever asked has gone
                self.send_response(raw.status)
                for name, value in {"Content-Type": "application/json", **raw.headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self._send(raw)

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.do_GET()

        def _send(self, raw: Raw) -> None:
            for at in range(len(raw.body)) if raw.pause_s else ():
                self.wfile.write(raw.body[at : at + 1])
                self.wfile.flush()
                time.sleep(raw.pause_s)
            if not raw.pause_s:
                self.wfile.write(raw.body)

        def log_message(self, format: str, *args: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    told.issuer = f"http://127.0.0.1:{server.server_address[1]}"
    told.reset()
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield told
    finally:
        server.shutdown()
        server.server_close()
