"""Starts the provider as a process of its own, and speaks to it."""

from __future__ import annotations

import secrets
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import requests

from tests.provider.app import CLIENT_ID, CLIENT_SECRET

ROOT = Path(__file__).resolve().parents[2]


@dataclass
class Running:
    """A provider that answers."""

    issuer: str

    @property
    def discovery(self) -> str:
        """URL of its discovery document."""
        return f"{self.issuer}/.well-known/openid-configuration"

    def misbehave(self, *faults: str) -> int:
        """Set the faults of the next answers; return how often the keys were fetched until now."""
        fetched: int = requests.post(f"{self.issuer}/control", json={"faults": faults}, timeout=5).json()["fetches"]
        return fetched

    def token_of(self, login: str) -> str:
        """Return an access token of somebody who signed in to another software."""
        token = secrets.token_urlsafe(24)
        requests.post(f"{self.issuer}/control", json={"token": token, "login": login}, timeout=5).raise_for_status()
        return token

    def sign_in(self, url: str, login: str) -> dict[str, str]:
        """Do what a browser does at the provider: choose a person; return the parameters of the callback."""
        answer = requests.post(url, data={"login": login}, allow_redirects=False, timeout=5)
        assert answer.status_code == 302, answer.text
        return dict(parse_qsl(urlsplit(answer.headers["Location"]).query))

    def settings(self, name: str) -> dict[str, str]:
        """Return the environment that connects a server to this provider as `psc` or `fc`."""
        prefix = f"DMP_UPSTREAM_{name.upper()}"
        return {
            f"{prefix}_DISCOVERY_URL": self.discovery,
            f"{prefix}_CLIENT_ID": CLIENT_ID,
            f"{prefix}_CLIENT_SECRET": CLIENT_SECRET,
        }


@contextmanager
def provider() -> Iterator[Running]:
    """Run a provider on a free port."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.provider", "--port", "0"], cwd=ROOT, stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        yield Running(line.split()[0].removesuffix("/.well-known/openid-configuration"))
    finally:
        process.terminate()
        process.wait(10)
        if process.stdout:
            process.stdout.close()
