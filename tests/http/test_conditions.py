"""Validators, conditions, preferences, ranges: fhir-rest 3.1, 4, 11."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_dmp.errors import KeyHolder, PreconditionFailed, StaleVersion, Unavailable, VersionConflict
from fhir_dmp.http.conditional import http_date
from fhir_dmp.http.contents import Span, span_of
from fhir_dmp.interactions.exchange import Answer, Content
from tests.http.world import NOW_S, World, resource

DATE = "Thu, 01 Jan 2026 10:00:00 GMT"
BYTES = bytes(range(256)) * 4


def content(media_type: str = "application/pdf", filename: str = "", reopen: bool = False) -> Answer:
    def chunks() -> Iterator[bytes]:
        for start in range(0, len(BYTES), 100):
            yield BYTES[start : start + 100]

    opened: Callable[[int, int], Iterator[bytes]] | None = (
        (lambda low, high: iter((BYTES[low:high],))) if reopen else None
    )
    made = Content(chunks(), media_type, len(BYTES), filename=filename, open=opened)
    return Answer(content=made, version=1, updated_ms=NOW_S * 1000)


def test_a_read_carries_its_validators() -> None:
    reply = World().get("/Patient/p-1")
    assert (reply.header("ETag"), reply.header("Last-Modified")) == ('W/"3"', DATE)
    assert reply.header("Cache-Control") == "no-store, private"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"If_None_Match": 'W/"3"'}, 304),
        ({"If_None_Match": '"3"'}, 304),
        ({"If_None_Match": 'W/"1", W/"3"'}, 304),
        ({"If_None_Match": "*"}, 304),
        ({"If_None_Match": 'W/"2"'}, 200),
        ({"If_Modified_Since": DATE}, 304),
        ({"If_Modified_Since": "Thu, 01 Jan 2026 09:59:59 GMT"}, 200),
        ({"If_Modified_Since": "yesterday"}, 200),
        ({"If_None_Match": 'W/"2"', "If_Modified_Since": DATE}, 200),
        ({"If_None_Match": "3"}, 400),
    ],
)
def test_a_copy_that_is_still_good_is_not_sent_again(headers: dict[str, str], status: int) -> None:
    reply = World().get("/Patient/p-1", **headers)
    assert reply.status == status
    if status == 304:
        assert (reply.body, reply.header("ETag"), reply.header("Content-Type")) == (b"", 'W/"3"', "")


@pytest.mark.statement("fhir-rest J213")
def test_metadata_is_cacheable_by_its_own_tag() -> None:
    world = World(
        answer=Answer(
            body=b'{"resourceType":"CapabilityStatement"}',
            headers=(("ETag", 'W/"abc"'), ("Cache-Control", "max-age=60")),
        )
    )
    first = world.send("GET", "/metadata", token=None)
    assert (first.status, first.header("ETag"), first.header("Cache-Control")) == (200, 'W/"abc"', "max-age=60")
    assert world.send("GET", "/metadata", headers={"If-None-Match": 'W/"abc"'}, token=None).status == 304


@pytest.mark.parametrize(
    ("header", "versions", "any_version"),
    [
        ('W/"3"', (3,), False),
        ('"3"', (3,), False),
        ('W/"3", W/"4"', (3, 4), False),
        ("*", None, True),
        ('W/"abc"', (-1,), False),
        (None, None, False),
    ],
)
def test_if_match_reaches_the_use_case(header: str | None, versions: tuple[int, ...] | None, any_version: bool) -> None:
    world = World()
    world.send("DELETE", "/Patient/p-1", headers={"If-Match": header} if header else {})
    assert (world.call.info.if_match, world.call.info.if_match_any) == (versions, any_version)


@pytest.mark.parametrize("header", ["3", "W/3", '"3', "x", '"1" "2"'])
def test_a_malformed_if_match_is_400_and_never_ignored(header: str) -> None:
    world = World()
    assert world.send("DELETE", "/Patient/p-1", headers={"If-Match": header}).status == 400
    assert world.calls == []


def test_creation_conditions_reach_the_use_case() -> None:
    world = World()
    world.send("PUT", "/Patient/p-1", b"{}", {"Content-Type": "application/json", "If-None-Match": "*"})
    assert world.call.info.if_none_match_any
    world.send("POST", "/Patient", b"{}", {"Content-Type": "application/json", "If-None-Exist": "identifier=a|b"})
    assert world.call.info.if_none_exist == "identifier=a|b"


@pytest.mark.parametrize(
    ("prefer", "wanted", "strict", "applied"),
    [
        ("return=minimal", "minimal", False, "return=minimal"),
        (
            "RETURN=OperationOutcome; x=1, handling=strict",
            "OperationOutcome",
            True,
            "return=OperationOutcome, handling=strict",
        ),
        ("handling=lenient, unknown", "representation", False, "handling=lenient"),
        ("return=everything", "representation", False, ""),
    ],
)
def test_preferences_are_read_and_echoed(prefer: str, wanted: str, strict: bool, applied: str) -> None:
    world = World()
    reply = world.send("PUT", "/Patient/p-1", b"{}", {"Content-Type": "application/json", "Prefer": prefer})
    assert (world.call.info.prefer_return, world.call.info.strict) == (wanted, strict)
    assert reply.header("Preference-Applied") == applied


def test_locations_become_absolute() -> None:
    world = World(
        answer=resource(status=201, location="Patient/p-1/_history/3", headers=(("Content-Location", "Patient/p-1"),))
    )
    reply = world.send("POST", "/Patient", b"{}", {"Content-Type": "application/json"})
    assert (reply.status, reply.header("Location")) == (201, "http://127.0.0.1:8000/fhir/Patient/p-1/_history/3")
    assert reply.header("Content-Location") == "http://127.0.0.1:8000/fhir/Patient/p-1"


def test_a_minimal_answer_has_no_body() -> None:
    reply = World(answer=Answer(status=201, version=1)).send(
        "POST", "/Patient", b"{}", {"Content-Type": "application/json"}
    )
    assert (reply.status, reply.body, reply.header("Content-Length"), reply.header("Content-Type")) == (
        201,
        b"",
        "0",
        "",
    )
    gone = World(answer=Answer(status=204)).send("DELETE", "/Patient/p-1")
    assert (gone.status, gone.header("Content-Length")) == (204, "")


def test_a_lost_race_tells_the_current_version() -> None:
    stale = VersionConflict(StaleVersion("Patient", "p-1", 1, 4))
    reply = World(answer=stale).send("DELETE", "/Patient/p-1", headers={"If-Match": 'W/"1"'})
    assert (reply.status, reply.header("ETag"), reply.issue["code"]) == (412, 'W/"4"', "conflict")


def test_an_unavailable_store_says_when_to_come_back() -> None:
    reply = World(answer=Unavailable("The database does not answer.")).get("/Patient/p-1")
    assert (reply.status, reply.header("Retry-After"), reply.issue["code"]) == (503, "5", "transient")
    assert World(answer=PreconditionFailed("x")).get("/Patient/p-1").header("Retry-After") == ""
    assert KeyHolder("Patient", "p-1").id == "p-1"


@pytest.mark.statement("fhir-rest I199")
@pytest.mark.parametrize("reopen", [False, True])
@pytest.mark.parametrize(
    ("asked", "status", "expected", "content_range"),
    [
        ("bytes=0-99", 206, BYTES[:100], "bytes 0-99/1024"),
        ("bytes=50-149", 206, BYTES[50:150], "bytes 50-149/1024"),
        ("bytes=1000-", 206, BYTES[1000:], "bytes 1000-1023/1024"),
        ("bytes=-4", 206, BYTES[-4:], "bytes 1020-1023/1024"),
        ("bytes=1000-9999", 206, BYTES[1000:], "bytes 1000-1023/1024"),
        ("bytes=0-1,4-5", 200, BYTES, ""),
        ("lines=1-2", 200, BYTES, ""),
        ("bytes=9-3", 200, BYTES, ""),
    ],
)
def test_a_single_range_of_a_content_is_206(
    reopen: bool, asked: str, status: int, expected: bytes, content_range: str
) -> None:
    reply = World(answer=content(reopen=reopen)).get("/Binary/b", Range=asked)
    assert (reply.status, reply.body, reply.header("Content-Range")) == (status, expected, content_range)
    assert reply.header("Content-Length") == str(len(expected))
    assert reply.header("Accept-Ranges") == "bytes"


@pytest.mark.statement("fhir-rest I199")
def test_a_range_outside_of_the_content_is_416() -> None:
    reply = World(answer=content()).get("/Binary/b", Range="bytes=1024-")
    assert (reply.status, reply.header("Content-Range"), reply.issue["code"]) == (416, "bytes */1024", "value")


def test_a_range_counts_only_for_the_content_that_the_client_knows() -> None:
    assert World(answer=content()).get("/Binary/b", Range="bytes=0-9", If_Range='W/"1"').status == 206
    assert World(answer=content()).get("/Binary/b", Range="bytes=0-9", If_Range='W/"2"').status == 200


@pytest.mark.statement("fhir-rest I203")
def test_a_content_is_not_sent_again() -> None:
    reply = World(answer=content()).get("/Binary/b", If_None_Match='W/"1"')
    assert (reply.status, reply.body) == (304, b"")


@pytest.mark.statement("fhir-rest I200")
@pytest.mark.parametrize(
    ("media_type", "disposition", "policy"),
    [
        ("application/pdf", "inline", "default-src 'none'; frame-ancestors 'none'"),
        ("image/png", "inline", "default-src 'none'; frame-ancestors 'none'"),
        ("text/html", "attachment", "sandbox; default-src 'none'; frame-ancestors 'none'"),
        ("image/svg+xml", "attachment", "sandbox; default-src 'none'; frame-ancestors 'none'"),
        ("text/xml; charset=utf-8", "attachment", "sandbox; default-src 'none'; frame-ancestors 'none'"),
    ],
)
def test_active_contents_are_sandboxed(media_type: str, disposition: str, policy: str) -> None:
    reply = World(answer=content(media_type)).get("/Binary/b")
    assert reply.header("Content-Type") == media_type
    assert (reply.header("Content-Disposition"), reply.header("Content-Security-Policy")) == (disposition, policy)
    assert reply.header("X-Content-Type-Options") == "nosniff"


@pytest.mark.parametrize(
    ("filename", "expected"),
    [
        ("compte rendu.pdf", 'inline; filename="compte rendu.pdf"'),
        ("été.pdf", "inline; filename=\"_t_.pdf\"; filename*=UTF-8''%C3%A9t%C3%A9.pdf"),
        ('../../a"b\r\nX: y', 'inline; filename="_.._a_b__X_ y"'),
        ("...", 'inline; filename="document"'),
    ],
)
def test_file_names_are_made_safe(filename: str, expected: str) -> None:
    assert World(answer=content(filename=filename)).get("/Binary/b").header("Content-Disposition") == expected


def test_a_media_type_that_would_break_the_header_is_not_sent() -> None:
    reply = World(answer=content("text/plain\r\nX-Evil: 1")).get("/Binary/b")
    assert (reply.header("Content-Type"), reply.header("X-Evil")) == ("application/octet-stream", "")


def test_head_of_a_content_has_its_length() -> None:
    reply = World(answer=content()).send("HEAD", "/Binary/b")
    assert (reply.status, reply.body, reply.header("Content-Length")) == (200, b"", "1024")


@pytest.mark.parametrize(
    ("path", "accept", "raw", "accepts"),
    [
        ("/Binary/b", "", True, ()),
        ("/Binary/b", "*/*", True, ()),
        ("/Binary/b", "application/pdf", True, ("application/pdf",)),
        ("/Binary/b", "text/html,application/xhtml+xml,*/*;q=0.8", True, ()),
        ("/Binary/b", "application/fhir+json", False, ("application/fhir+json",)),
        ("/Binary/b?_format=json", "application/pdf", False, ()),
        ("/Binary/b", "application/xml;q=0.5, text/xml", True, ("text/xml", "application/xml")),
    ],
)
def test_a_binary_is_asked_as_bytes_or_as_a_resource(
    path: str, accept: str, raw: bool, accepts: tuple[str, ...]
) -> None:
    world = World(answer=content())
    assert world.get(path, **({"Accept": accept} if accept else {})).status == 200
    assert (world.call.accept_raw, world.call.accepts) == (raw, accepts)


def test_a_streamed_resource_is_sent_in_pieces_or_converted() -> None:
    pieces = (b'{"resourceType":"Binary","contentType":"text/plain",', b'"data":"YWJj"}')
    world = World(answer=lambda _: Answer(stream=iter(pieces), version=1))
    reply = world.get("/Binary/b", Accept="application/fhir+json")
    assert (reply.body, reply.header("Content-Length")) == (b"".join(pieces), "")
    assert b'<data value="YWJj"/>' in world.get("/Binary/b", Accept="application/fhir+xml").body
    assert world.send("HEAD", "/Binary/b").body == b""


@given(st.integers(1, 2000), st.integers(0, 2500), st.integers(0, 2500))
def test_a_range_lies_inside_of_the_content(size: int, first: int, last: int) -> None:
    if first < size and first <= last:
        assert span_of(f"bytes={first}-{last}", size) == Span(first, min(last + 1, size), size)


@given(st.integers(0, 4_102_444_800_000))
def test_http_dates_are_those_of_the_standard_library(moment: int) -> None:
    from email.utils import formatdate

    assert http_date(moment) == formatdate(moment // 1000, usegmt=True)
