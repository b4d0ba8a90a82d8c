"""What every answer must be, whatever was asked: no 5xx, and an OperationOutcome with every 4xx."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping

from lxml import etree


def judge(status: int, headers: Mapping[str, str], body: bytes, method: str) -> None:
    """Check one answer; header names in lower case."""
    assert 200 <= status < 500, (status, body[:2000])
    if status < 400 or method.upper() in ("HEAD", "OPTIONS"):
        return
    if headers.get("content-encoding") == "gzip":
        body = gzip.decompress(body)
    kind = headers.get("content-type", "")
    if "xml" in kind:
        assert etree.fromstring(body).tag == "{http://hl7.org/fhir}OperationOutcome"
    elif "html" in kind:
        assert b"OperationOutcome" in body
    else:
        outcome = json.loads(body)
        assert outcome["resourceType"] == "OperationOutcome"
        assert all(issue["severity"] and issue["code"] and issue["diagnostics"] for issue in outcome["issue"]), outcome
