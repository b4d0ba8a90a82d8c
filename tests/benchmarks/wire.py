"""Small HTTP for preparing measurements: JSON in, JSON out."""

from __future__ import annotations

import json
import urllib.request
from typing import Any

Json = dict[str, Any]


def call(url: str, body: object = None, *, token: str | None = None, method: str | None = None) -> Json:
    """Send FHIR JSON and return the answer's.

    Raises:
        urllib.error.HTTPError: the answer is no success.
    """
    headers = {"Content-Type": "application/fhir+json"}
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, headers, method=method)
    with urllib.request.urlopen(request, timeout=60) as answer:
        found: Json = json.load(answer)
        return found


def fetch(url: str, *, token: str | None = None) -> tuple[bytes, list[tuple[str, str]]]:
    """Return the bytes of a GET and its headers."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=60) as answer:
        return answer.read(), list(answer.headers.items())
