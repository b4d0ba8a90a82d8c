"""Each primitive type: what it takes and what it refuses."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_dmp.fhir.resource import Number
from fhir_dmp.validation.primitives import CHECKS
from tests.structures import STRUCTURES

GOOD: dict[str, list[Any]] = {
    "base64Binary": ["QUJD", "QQ==", "QUI=", "QUJD\nQUJD", " QUJD "],
    "boolean": [True, False],
    "canonical": ["http://example.org/x|1.0#part", "#local"],
    "code": ["a", "two words", "1.2"],
    "date": ["0001", "2024", "2024-12", "2024-02-29", "2000-02-29"],
    "dateTime": ["2024", "2024-12", "2024-02-29", "2024-02-29T00:00:00Z", "2016-12-31T23:59:60Z",
                 "2024-01-01T00:00:00.0001-12:00", "2024-01-01T00:00:00+14:00"],
    "decimal": [0, -1, Number("1.10"), Number("1e10"), Number("1E-300"), 10**90],
    "id": ["a", "A-1.b", "x" * 64],
    "instant": ["2024-02-29T00:00:00Z", "2024-02-29T00:00:00.123+01:00"],
    "integer": [0, -(2**31), 2**31 - 1],
    "markdown": ["# x\n"],
    "oid": ["urn:oid:1.2.250.1", "urn:oid:2.25.287306243198211374602197231406178533376"],
    "positiveInt": [1],
    "string": ["x", " ", "é\u00a0\t\r\n", "🩺", "\u0085"],
    "time": ["00:00:00", "23:59:60.123"],
    "unsignedInt": [0],
    "uri": ["x", "urn:oid:1.2.3", "http://example.org/é"],
    "url": ["https://example.org"],
    "uuid": ["urn:uuid:c757873d-ec9a-4326-a141-556f43239520"],
}  # fmt: skip

BAD: dict[str, list[Any]] = {
    "base64Binary": ["", "QUJ", "QUJDQ", "Q===", "QQ==QQ==", "QU-_", "====", "é===", " "],
    "canonical": ["", "a b"],
    "code": ["", " a", "a ", "a  b", "a\u0000"],
    "date": ["", "24", "2024-13", "2024-00", "2024-1", "2024-02-30", "2023-02-29", "1900-02-29", "2024-04-31", "0000",
             "2024-02-31", "2024-02-29T00:00:00Z", "٢٠٢٤", "2024\n", "20240101"],
    "dateTime": ["2024-02-29T", "2024-02-29T10:00Z", "2024-02-29T10:00:00", "2024-02-29T24:00:00Z",
                 "2024-02-31T10:00:00Z", "2024-02-29 10:00:00Z", "2024-02-29T10:00:00+15:00",
                 "2024-02-29T10:00:00+0100", "2024-02-29T10:00:00.Z"],
    "decimal": [Decimal("NaN"), Decimal("Infinity"), Number("1e999999999"), Number("1e-301"), Number("1" * 101 + ".0")],
    "id": ["", "a_b", "a/b", "x" * 65, "é", "a\n"],
    "instant": ["2024", "2024-02-29", "2024-02-29T10:00:00", "2024-02-30T10:00:00Z"],
    "integer": [2**31, -(2**31) - 1, Number("1.0"), Number("1e2"), Number("12345678901234567890")],
    "markdown": ["", "\u0007"],
    "oid": ["1.2.3", "urn:oid:3.1", "urn:oid:1.02", "urn:oid:1"],
    "positiveInt": [0, -1],
    "string": ["", "\u0000", "a\u001f", "\ufffe", "\ud800", "x" * (1024 * 1024 + 1)],
    "time": ["24:00:00", "10:00", "10:00:00Z"],
    "unsignedInt": [-1, 2**31],
    "uri": ["", "a b", "a\n"],
    "url": [" x"],
    "uuid": ["urn:uuid:C757873D-EC9A-4326-A141-556F43239520", "c757873d-ec9a-4326-a141-556f43239520"],
}  # fmt: skip


def test_every_primitive_of_r4_has_a_check() -> None:
    table = {name for name in CHECKS if STRUCTURES.is_primitive(name)}
    assert table == set(CHECKS) == set(GOOD)
    assert all(STRUCTURES.is_primitive(name) for name in (*GOOD, "xhtml"))


@pytest.mark.parametrize(("type_", "value"), [(type_, value) for type_, values in GOOD.items() for value in values])
def test_a_good_value_is_taken(type_: str, value: Any) -> None:
    assert CHECKS[type_](value) is None


@pytest.mark.parametrize(("type_", "value"), [(type_, value) for type_, values in BAD.items() for value in values])
def test_a_bad_value_is_refused(type_: str, value: Any) -> None:
    fault = CHECKS[type_](value)
    assert fault is not None
    assert fault.code == ("structure" if isinstance(value, Decimal) and not value.is_finite() else "value")


@pytest.mark.parametrize("type_", sorted(CHECKS))
@pytest.mark.parametrize("value", [None, [], {}, ["x"], 1.5, True, "x", 7, Number("7.5")])
def test_a_value_of_another_json_kind_is_a_fault_of_structure(type_: str, value: Any) -> None:
    fault = CHECKS[type_](value)
    kinds: tuple[type, ...] = {"boolean": (bool,), "decimal": (int, float, Decimal)}.get(type_, (str,))
    if type_ in ("integer", "positiveInt", "unsignedInt"):
        kinds = (int, Decimal)
    if isinstance(value, kinds) and (kinds == (bool,) or not isinstance(value, bool)):
        assert fault is None or fault.code == "value"
    else:
        assert fault is not None
        assert fault.code == "structure"


@given(st.dates())
def test_a_day_is_taken_exactly_when_the_calendar_has_it(day: date) -> None:
    assert CHECKS["date"](day.isoformat()) is None
    last = (day.replace(day=28) + timedelta(days=4)).replace(day=1) - timedelta(days=1) if day.year < 9999 else None
    if last is not None:
        beyond = f"{day.isoformat()[:8]}{last.day + 1:02}"
        assert CHECKS["date"](beyond) is not None
        assert CHECKS["instant"](f"{beyond}T00:00:00Z") is not None


@given(st.binary(min_size=1))
def test_every_base64_text_is_taken(content: bytes) -> None:
    from base64 import b64encode

    assert CHECKS["base64Binary"](b64encode(content).decode()) is None
