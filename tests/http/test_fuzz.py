"""Whatever is sent, the answer is well formed and no 5xx. fhir-rest L234."""

from __future__ import annotations

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fhir_dmp.http.access_log import _safe_id
from tests.http.world import World


def _json(value: object) -> bytes:
    return json.dumps(value).encode()


WORDS = [
    "Patient", "Binary", "_history", "_search", "$x", "metadata", ".well-known", "..", "%2e", "é", "\x00", "", "{}",
]  # fmt: skip
HEADERS = [
    "Accept", "Accept-Encoding", "Accept-Language", "Content-Type", "Content-Encoding", "Content-Length", "If-Match",
    "If-None-Match", "If-Modified-Since", "If-None-Exist", "Prefer", "Range", "If-Range", "X-Request-Id", "Forwarded",
    "X-Forwarded-For", "X-Forwarded-Host", "Authorization", "Origin", "X-Security-Context",
]  # fmt: skip
HINTS = [
    "application/fhir+json", "application/fhir+xml", "text/html", "*/*", "gzip", "bytes=0-", 'W/"1"', "*", ";", ",",
    "q=", "q=nan", "q=1e999", "application/json-patch+json", "application/x-www-form-urlencoded", "return=minimal",
    "fhirVersion=4.0", "charset=utf-8", "for=1", "Thu, 01 Jan 2026 10:00:00 GMT", "Thu, 99 Xxx 99999 10:00:00",
]  # fmt: skip
TEXT = st.text(st.characters(min_codepoint=1, max_codepoint=255, blacklist_characters="\r\n"), max_size=40)
VALUE = st.lists(st.sampled_from(HINTS) | TEXT, max_size=5).map("".join)
PATH = st.lists(st.sampled_from(WORDS) | TEXT, max_size=6).map(lambda parts: "/" + "/".join(parts))
QUERY = st.lists(st.tuples(st.sampled_from(["_format", "_pretty", "a", "%", "%zz", "é"]) | TEXT, VALUE), max_size=4)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
BODY = (
    st.none()
    | st.binary(max_size=60)
    | st.dictionaries(st.sampled_from(["resourceType", "id", "contained", "data"]), JSON, max_size=4).map(_json)
    | st.sampled_from([b"<", b"<a", b"[]", b"{}", b'{"resourceType":"Binary"}', b"\x1f\x8b", b"<!DOCTYPE a []><a/>"])
)


@pytest.mark.statement("fhir-rest L234")
@settings(max_examples=500, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(
    st.sampled_from(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "FOO"]),
    PATH,
    QUERY,
    st.dictionaries(st.sampled_from(HEADERS), VALUE, max_size=5),
    BODY,
    st.booleans(),
)
def test_no_request_makes_the_server_fail(
    method: str, path: str, query: list[tuple[str, str]], headers: dict[str, str], body: bytes | None, known: bool
) -> None:
    world = WORLD
    world.calls.clear()
    line = "&".join(f"{name}={value}" for name, value in query)
    target = path.replace("?", "") + (f"?{line}" if line else "")
    reply = world.send(method, target, body, headers, token="" if known else None)
    assert reply.status < 500, (reply.status, reply.body)
    if reply.status >= 400 and method not in ("HEAD", "OPTIONS") and "xml" not in reply.header("Content-Type"):
        assert b"OperationOutcome" in reply.body or "gzip" in reply.header("Content-Encoding")
    assert reply.header("X-Request-Id")


WORLD = World()


@given(st.text("0123456789ABab.-", min_size=1, max_size=64))
def test_an_ins_is_never_logged_as_a_request_id(text: str) -> None:
    shown = _safe_id(text)
    assert shown in ("-", text)
    assert shown == "-" or not (len(text) in (13, 15) and text.isdigit())
