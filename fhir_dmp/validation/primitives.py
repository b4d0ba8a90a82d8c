"""The primitive types of R4 (https://hl7.org/fhir/R4/datatypes.html#primitive): one check for each.

A check takes a JSON value and returns None, or the Fault that it sees. Faults never quote the value: it may be
patient data. Numbers arrive as int or Decimal, as `fhir.resource.parse` reads them.
"""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Callable
from decimal import Decimal
from typing import Any, NamedTuple


class Fault(NamedTuple):
    """What is wrong with a value: the issue code and a sentence for developers.

    rule: what R4 wants there, in the words of profiles; "" for what the code means (a key that begins the text, else
    `type`).
    """

    code: str
    text: str
    rule: str = ""

    @property
    def named(self) -> str:
        """The rule: `min`, `binding`, `type`, the key of a constraint..."""
        key = self.text.partition(":")[0] if self.code == "invariant" else ""
        return self.rule or (key if key.count("-") == 1 and " " not in key else _RULES.get(self.code, "type"))


_RULES = {"required": "min", "code-invalid": "binding"}


Check = Callable[[Any], Fault | None]

MAX_TEXT = 1024 * 1024
MAX_INTEGER = 2**31 - 1
# A decimal like 1e999999999 is legal and unusable: whoever rounds or compares it would fill the memory.
MAX_DECIMAL_DIGITS = 100
MAX_DECIMAL_EXPONENT = 300

_NOT_TEXT = Fault("structure", "A JSON string was expected here.")
_NOT_BOOLEAN = Fault("structure", "true or false was expected here, without quotes.")
_NOT_NUMBER = Fault("structure", "A JSON number was expected here, without quotes.")
_NOT_INTEGER = Fault("value", "A whole number was expected here.")
_EMPTY = Fault("value", "A string must not be empty; leave the element out instead.")
_TOO_LONG = Fault("value", "A string holds at most 1,048,576 characters.")
_CHARACTERS = Fault(
    "value", "The string holds a character that FHIR does not allow (control character or noncharacter)."
)

_unfit = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_YEAR = r"(?!0000)([0-9]{4})"
_MONTH = r"(0[1-9]|1[0-2])"
_DAY = r"(0[1-9]|[12][0-9]|3[01])"
_CLOCK = r"(?:[01][0-9]|2[0-3]):[0-5][0-9]:(?:[0-5][0-9]|60)(?:\.[0-9]+)?"
_ZONE = r"(?:Z|[+-](?:(?:0[0-9]|1[0-3]):[0-5][0-9]|14:00))"
_date = re.compile(f"{_YEAR}(?:-{_MONTH}(?:-{_DAY})?)?")
_date_time = re.compile(f"{_YEAR}(?:-{_MONTH}(?:-{_DAY}(?:T{_CLOCK}{_ZONE})?)?)?")
_instant = re.compile(f"{_YEAR}-{_MONTH}-{_DAY}T{_CLOCK}{_ZONE}")
_time = re.compile(_CLOCK)
_code = re.compile(r"[^\s]+(?:\s[^\s]+)*")
_id = re.compile(r"[A-Za-z0-9\-.]{1,64}")
_uri = re.compile(r"\S+")
_oid = re.compile(r"urn:oid:[0-2](?:\.(?:0|[1-9][0-9]*))+")
_uuid = re.compile(r"urn:uuid:[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_base64 = re.compile(r"[A-Za-z0-9+/]*={0,2}")


def text(value: Any) -> Fault | None:
    """Check a string or markdown."""
    if value.__class__ is not str:
        return _NOT_TEXT
    if value.isprintable() and 0 < len(value) <= MAX_TEXT:
        return None
    if not value:
        return _EMPTY
    if len(value) > MAX_TEXT:
        return _TOO_LONG
    return _CHARACTERS if _unfit.search(value) else None


def boolean(value: Any) -> Fault | None:
    """Check a boolean."""
    return None if value is True or value is False else _NOT_BOOLEAN


def _whole(low: int, name: str) -> Check:
    outside = Fault("value", f"{name} lies between {low} and {MAX_INTEGER}.")

    def check(value: Any) -> Fault | None:
        if value.__class__ is int:
            return None if low <= value <= MAX_INTEGER else outside
        if not isinstance(value, Decimal):
            return _NOT_NUMBER
        return outside if str(value).lstrip("-").isdigit() else _NOT_INTEGER

    return check


def decimal(value: Any) -> Fault | None:
    """Check a decimal: any JSON number whose digits and exponent can be computed with."""
    if value.__class__ is int or value.__class__ is float:
        return None
    if not isinstance(value, Decimal) or not value.is_finite():
        return _NOT_NUMBER
    if len(value.as_tuple().digits) > MAX_DECIMAL_DIGITS or abs(value.adjusted()) > MAX_DECIMAL_EXPONENT:
        return Fault("value", f"A decimal has at most {MAX_DECIMAL_DIGITS} digits and an exponent up to 300.")
    return None


def _formatted(pattern: re.Pattern[str], expected: str) -> Check:
    fault = Fault("value", expected)
    match = pattern.fullmatch

    def check(value: Any) -> Fault | None:
        if value.__class__ is not str:
            return _NOT_TEXT
        if match(value) is None:
            return fault
        return None if value.isprintable() or not _unfit.search(value) else _CHARACTERS

    return check


def _dated(pattern: re.Pattern[str], expected: str) -> Check:
    fault = Fault("value", expected)
    missing_day = Fault("value", "This day does not exist in the calendar.")
    match = pattern.fullmatch

    def check(value: Any) -> Fault | None:
        if value.__class__ is not str:
            return _NOT_TEXT
        found = match(value)
        if found is None:
            return fault
        year, month, day = found.groups()
        if day is not None and day > "28" and int(day) > monthrange(int(year), int(month))[1]:
            return missing_day
        return None

    return check


def base64_binary(value: Any) -> Fault | None:
    """Check base64: whole groups of four, padding at the end only, white space between groups allowed."""
    if value.__class__ is not str:
        return _NOT_TEXT
    if not value:
        return _EMPTY
    packed = value if len(value) % 4 == 0 and _base64.fullmatch(value) else "".join(value.split())
    if packed and len(packed) % 4 == 0 and _base64.fullmatch(packed):
        return None
    return Fault("value", "This is not base64 (groups of four characters of A-Z, a-z, 0-9, +, /, padded with =).")


_URI = "A URI holds at least one character and no white space."

#: The check of each primitive type; xhtml is checked by `validation.narrative`.
CHECKS: dict[str, Check] = {
    "base64Binary": base64_binary,
    "boolean": boolean,
    "canonical": _formatted(_uri, _URI),
    "code": _formatted(_code, "A code has no white space around it and no double white space inside."),
    "date": _dated(_date, "A date is YYYY, YYYY-MM or YYYY-MM-DD."),
    "dateTime": _dated(
        _date_time, "A dateTime is YYYY, YYYY-MM, YYYY-MM-DD or YYYY-MM-DDThh:mm:ss with Z or an offset."
    ),
    "decimal": decimal,
    "id": _formatted(_id, "An id has 1 to 64 characters out of letters, digits, '-' and '.'."),
    "instant": _dated(_instant, "An instant is YYYY-MM-DDThh:mm:ss with Z or an offset."),
    "integer": _whole(-(2**31), "An integer"),
    "markdown": text,
    "oid": _formatted(_oid, "An OID is written urn:oid:1.2.3."),
    "positiveInt": _whole(1, "A positiveInt"),
    "string": text,
    "time": _formatted(_time, "A time is hh:mm:ss, without offset."),
    "unsignedInt": _whole(0, "An unsignedInt"),
    "uri": _formatted(_uri, _URI),
    "url": _formatted(_uri, _URI),
    "uuid": _formatted(_uuid, "A UUID is written urn:uuid: followed by lower case hexadecimal digits (8-4-4-4-12)."),
}
