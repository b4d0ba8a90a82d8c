"""The FHIRPath functions and operators on single values: strings, numbers, conversions, dates, and today.

A wrong kind of input gives the empty collection. http://hl7.org/fhirpath/N1/index.html#string-manipulation, #math
"""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import ROUND_CEILING, ROUND_DOWN, ROUND_FLOOR, ROUND_HALF_UP, Decimal, DecimalException
from typing import Any

from fhir_dmp.fhir.path_functions import REGEX, Function, Implementation
from fhir_dmp.fhir.path_parser import PathError
from fhir_dmp.fhir.path_types import DATE, DATE_TIME, TIME
from fhir_dmp.fhir.path_values import CHARACTERS, Environment, Evaluate, Item, Scope, Temporal, is_number

#: The longest text that an expression may build.
MAX_TEXT = 1_000_000
#: Numbers of more digits are left alone: writing them out would cost more than any answer is worth.
_MAX_EXPONENT = 40

_WHOLE = re.compile(r"[+-]?\d{1,40}")
_NUMBER = re.compile(r"[+-]?\d{1,40}(?:\.\d{1,40})?")


def scalar(value: Any) -> list[Item]:
    """Return a collection of one computed value, or the empty one for None."""
    if value is None:
        return []
    if isinstance(value, bool):
        return [Item(value, "boolean")]
    if isinstance(value, str):
        if len(value) > MAX_TEXT:
            raise PathError("the expression builds a text that is too long")
        return [Item(value, "string")]
    if isinstance(value, Temporal):
        kind = "time" if ":" in value.text[:3] else "dateTime" if "T" in value.text else "date"
        return [Item(Temporal(value.text.rstrip("T")), kind)]
    return [Item(value, "integer" if isinstance(value, int) else "decimal")]


def text_of(items: list[Item]) -> str | None:
    """Return the single string of a collection."""
    return items[0].value if len(items) == 1 and isinstance(items[0].value, str) else None


def number_of(items: list[Item]) -> int | Decimal | None:
    """Return the single number of a collection."""
    return items[0].value if len(items) == 1 and is_number(items[0].value) else None


def _whole(items: list[Item]) -> int | None:
    value = number_of(items)
    return value if isinstance(value, int) else None


def calculate(operator: str, left: list[Item], right: list[Item], env: Environment) -> list[Item]:
    """`+ - * / div mod` of two single numbers, or `+` of two strings; `&` joins, an empty side counting as ''."""
    if operator == "&":
        return _joined(text_of(left) if left else "", text_of(right) if right else "", env)
    one, other = number_of(left), number_of(right)
    if one is None or other is None:
        return _joined(text_of(left), text_of(right), env) if operator == "+" else []
    try:
        return scalar(_arithmetic(operator, one, other))
    except DecimalException:
        return []


def _joined(first: str | None, second: str | None, env: Environment) -> list[Item]:
    if first is None or second is None:
        return []
    env.spend((len(first) + len(second)) // CHARACTERS)
    return scalar(first + second)


def _arithmetic(operator: str, one: int | Decimal, other: int | Decimal) -> int | Decimal | None:
    if operator in ("/", "div", "mod") and other == 0:
        return None
    whole = isinstance(one, int) and isinstance(other, int)
    left, right = Decimal(one), Decimal(other)
    match operator:
        case "+":
            result = left + right
        case "-":
            result = left - right
        case "*":
            result = left * right
        case "/":
            return left / right
        case "mod":
            result = left % right
        case _:
            result, whole = (left / right).to_integral_value(ROUND_DOWN), True
    if abs(result.adjusted()) > _MAX_EXPONENT:
        return result
    return int(result) if whole else result


def _on_text(act: Callable[..., Any]) -> Implementation:
    """Lift a function of strings: the input and every argument must be one string."""

    def run(items: list[Item], scope: Scope, arguments: tuple[Evaluate, ...]) -> list[Item]:
        texts = [text_of(items), *(text_of(argument(scope)) for argument in arguments)]
        scope.env.spend(sum(len(text or "") for text in texts) // CHARACTERS)
        return [] if None in texts else scalar(act(*texts))

    return run


def _on_number(act: Callable[[Decimal], Decimal | None], whole: bool = False) -> Implementation:
    """Lift a function of one number; `whole` results become integers."""

    def run(items: list[Item], scope: Scope, arguments: tuple[Evaluate, ...]) -> list[Item]:
        value = number_of(items)
        if value is None or abs(Decimal(value).adjusted()) > _MAX_EXPONENT:
            return []
        try:
            result = act(Decimal(value))
        except DecimalException:
            return []
        return scalar(int(result) if whole and result is not None else result)

    return run


def _substring(items: list[Item], scope: Scope, arguments: tuple[Evaluate, ...]) -> list[Item]:
    text, start = text_of(items), _whole(arguments[0](scope))
    if text is None or start is None or not 0 <= start < len(text):
        return []
    length = _whole(arguments[1](scope)) if len(arguments) == 2 else None
    return scalar(text[start:] if length is None else text[start : start + max(length, 0)])


def _replace(text: str, pattern: str, by: str) -> str:
    if text.count(pattern) * len(by) + len(text) > MAX_TEXT:
        raise PathError("the expression builds a text that is too long")
    return text.replace(pattern, by)


def _matches(text: str, pattern: str) -> bool | None:
    try:
        return re.search(pattern, text, re.DOTALL) is not None
    except re.error:
        return None


def _replace_matches(text: str, pattern: str, by: str) -> str | None:
    try:
        return re.sub(pattern, re.sub(r"\$(\d)", r"\\\1", by), text)
    except (re.error, IndexError):
        return None


def _join(items: list[Item], scope: Scope, arguments: tuple[Evaluate, ...]) -> list[Item]:
    separator = text_of(arguments[0](scope)) if arguments else ""
    parts = [item.value for item in items if isinstance(item.value, str)]
    length = sum(len(part) + len(separator or "") for part in parts)
    scope.env.spend(length // CHARACTERS)
    if length > MAX_TEXT:
        raise PathError("the expression builds a text that is too long")
    return scalar((separator or "").join(parts)) if parts else []


def _split(items: list[Item], scope: Scope, arguments: tuple[Evaluate, ...]) -> list[Item]:
    text, separator = text_of(items), text_of(arguments[0](scope))
    if text is None or separator is None:
        return []
    parts = text.split(separator) if separator else list(text)
    scope.env.spend(len(parts) + len(text) // CHARACTERS)
    return [Item(part, "string") for part in parts]


def _chars(items: list[Item], scope: Scope, arguments: tuple[Evaluate, ...]) -> list[Item]:
    text = text_of(items) or ""
    scope.env.spend(len(text))
    return [Item(one, "string") for one in text]


def _absolute(items: list[Item], scope: Scope, arguments: tuple[Evaluate, ...]) -> list[Item]:
    value = number_of(items)
    return [] if value is None else scalar(abs(value))


def _round(items: list[Item], scope: Scope, arguments: tuple[Evaluate, ...]) -> list[Item]:
    digits = _whole(arguments[0](scope)) if arguments else 0
    if digits is None or digits not in range(_MAX_EXPONENT):
        return []
    step = Decimal(1).scaleb(-digits)
    return _on_number(lambda value: value.quantize(step, ROUND_HALF_UP))(items, scope, ())


def _number(value: Any) -> int | Decimal | None:
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, str):
        value = Decimal(value) if _NUMBER.fullmatch(value) else None
    return value if is_number(value) else None


def _to_integer(value: Any) -> int | None:
    if isinstance(value, int):
        return int(value)
    return int(value) if isinstance(value, str) and _WHOLE.fullmatch(value) else None


def _to_decimal(value: Any) -> Decimal | None:
    number = _number(value)
    return None if number is None else Decimal(number)


_WORDS = {"true": True, "t": True, "yes": True, "y": True, "1": True, "1.0": True}
_WORDS |= {"false": False, "f": False, "no": False, "n": False, "0": False, "0.0": False}


def _to_boolean(value: Any) -> bool | None:
    if isinstance(value, bool):
        return value
    if is_number(value):
        return {0: False, 1: True}.get(value)
    return _WORDS.get(value.lower()) if isinstance(value, str) else None


def _to_string(value: Any) -> str | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, (str, int, Decimal, Temporal)) else None


def _to_moment(pattern: re.Pattern[str]) -> Callable[[Any], Temporal | None]:
    def convert(value: Any) -> Temporal | None:
        text = str(value) if isinstance(value, (str, Temporal)) else ""
        return Temporal(text) if pattern.fullmatch(text) else None

    return convert


_CONVERSIONS: dict[str, Callable[[Any], Any]] = {
    "Integer": _to_integer,
    "Decimal": _to_decimal,
    "Boolean": _to_boolean,
    "String": _to_string,
    "Date": _to_moment(DATE),
    "DateTime": _to_moment(DATE_TIME),
    "Time": _to_moment(TIME),
}


def _convert(act: Callable[[Any], Any], ask: bool) -> Implementation:
    def run(items: list[Item], scope: Scope, arguments: tuple[Evaluate, ...]) -> list[Item]:
        result = act(items[0].value) if len(items) == 1 else None
        return scalar(result) if not ask else scalar(result is not None) if items else []

    return run


def _clock(pick: Callable[[str], str]) -> Implementation:
    """`now()` and its parts, from the time that the caller gave."""

    def run(items: list[Item], scope: Scope, arguments: tuple[Evaluate, ...]) -> list[Item]:
        now = scope.env.now
        if now is None:
            raise PathError("the expression needs the time, and none was given")
        return scalar(Temporal(pick(now.isoformat(timespec="milliseconds"))))

    return run


SCALAR: dict[str, Function] = {
    "startsWith": Function(1, 1, _on_text(str.startswith)),
    "endsWith": Function(1, 1, _on_text(str.endswith)),
    "contains": Function(1, 1, _on_text(str.__contains__)),
    "indexOf": Function(1, 1, _on_text(str.find)),
    "substring": Function(1, 2, _substring),
    "upper": Function(0, 0, _on_text(str.upper)),
    "lower": Function(0, 0, _on_text(str.lower)),
    "trim": Function(0, 0, _on_text(str.strip)),
    "length": Function(0, 0, _on_text(len)),
    "replace": Function(2, 2, _on_text(_replace)),
    "matches": Function(1, 1, _on_text(_matches), REGEX),
    "replaceMatches": Function(2, 2, _on_text(_replace_matches), REGEX),
    "toChars": Function(0, 0, _chars),
    "split": Function(1, 1, _split),
    "join": Function(0, 1, _join),
    "abs": Function(0, 0, _absolute),
    "ceiling": Function(0, 0, _on_number(lambda value: value.to_integral_value(ROUND_CEILING), whole=True)),
    "floor": Function(0, 0, _on_number(lambda value: value.to_integral_value(ROUND_FLOOR), whole=True)),
    "truncate": Function(0, 0, _on_number(lambda value: value.to_integral_value(ROUND_DOWN), whole=True)),
    "round": Function(0, 1, _round),
    "sqrt": Function(0, 0, _on_number(lambda value: value.sqrt() if value >= 0 else None)),
    "now": Function(0, 0, _clock(lambda text: text)),
    "today": Function(0, 0, _clock(lambda text: text[:10])),
    "timeOfDay": Function(0, 0, _clock(lambda text: text[11:23])),
    **{"to" + name: Function(0, 0, _convert(act, ask=False)) for name, act in _CONVERSIONS.items()},
    **{"convertsTo" + name: Function(0, 0, _convert(act, ask=True)) for name, act in _CONVERSIONS.items()},
}
