"""What operators read of the processes beside the access log."""

from __future__ import annotations

import io
import json
import logging
import threading
from collections.abc import Iterator

import pytest

from fhir_dmp import background, logs
from fhir_dmp.background import Repeating
from fhir_dmp.errors import StoreUnavailable


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """The configured log."""
    root, before = logging.getLogger(), logging.getLogger().level
    written = io.StringIO()
    logs.configure(written)
    yield written
    for each in [handler for handler in root.handlers if isinstance(handler.formatter, logs.OneLine)]:
        root.removeHandler(each)
    root.setLevel(before)


def test_a_line_is_a_json_object_with_time_and_level(stream: io.StringIO) -> None:
    logging.getLogger("fhir_dmp").warning("a notice waits:\n%s", "no route")
    (line,) = stream.getvalue().splitlines()
    told = json.loads(line)
    assert (told["level"], told["from"], told["message"]) == ("warning", "fhir_dmp", "a notice waits:\nno route")
    assert len(told["time"]) == len("2026-01-01T00:00:00Z")


@pytest.mark.statement("security H-24")
def test_an_unknown_error_is_told_in_one_line_by_its_place_and_without_its_words(stream: io.StringIO) -> None:
    try:
        raise KeyError("285047511200314")
    except KeyError:
        logging.getLogger("fhir_dmp.http").exception("a page failed")
    (line,) = stream.getvalue().splitlines()
    assert json.loads(line)["error"].startswith("KeyError at test_logs.py:")
    assert "285047511200314" not in line


def test_to_configure_twice_writes_once(stream: io.StringIO) -> None:
    logs.configure(stream)
    logging.getLogger("fhir_dmp").error("once")
    assert len(stream.getvalue().splitlines()) == 1


def test_an_outage_is_told_once_and_so_is_its_end(stream: io.StringIO) -> None:
    turns, done = iter([True] * 5), threading.Event()

    def action() -> None:
        if next(turns, False):
            raise StoreUnavailable("The database could not be used (SQLITE_FULL).")
        done.set()

    beside = Repeating("audit-seal", action, 0.001)
    assert done.wait(10)
    beside.stop()
    failed, again = (json.loads(line) for line in stream.getvalue().splitlines())
    expected = "audit-seal failed, and will be tried again: The database could not be used (SQLITE_FULL)."
    assert (failed["level"], failed["message"]) == ("error", expected)
    assert (again["level"], again["message"].startswith("audit-seal works again")) == ("info", True)


def test_an_outage_that_lasts_is_told_again(stream: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "_REMIND_S", 0.0)
    turns, done = iter([True] * 3), threading.Event()

    def action() -> None:
        if next(turns, False):
            raise StoreUnavailable("down")
        done.set()

    beside = Repeating("audit-seal", action, 0.001)
    assert done.wait(10)
    beside.stop()
    assert [json.loads(line)["level"] for line in stream.getvalue().splitlines()] == ["error"] * 3 + ["info"]
