"""Controls of a search: order, page size, totals, projections, included resources. fhir-rest 7.2."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from fhir_dmp.errors import BadRequest
from fhir_dmp.search.parameters import ParameterType, Registry
from fhir_dmp.search.query import Include, SortKey
from fhir_dmp.search.rules import Asking, ParseRules, UnknownParameter, malformed

TOTALS = frozenset({"none", "estimate", "accurate"})
SUMMARIES = frozenset({"true", "text", "data", "count", "false"})

_ELEMENT = re.compile(r"([A-Z][A-Za-z]+\.)?[a-z][A-Za-z0-9]*(\.[a-z][A-Za-z0-9]*)*", re.ASCII)
_INCLUDES = re.compile(r"_(rev)?include(:(iterate|recurse))?")
_UNSORTABLE = frozenset({ParameterType.COMPOSITE, ParameterType.SPECIAL})


@dataclass(slots=True)
class Controls:
    """The controls of one search, gathered parameter by parameter."""

    count: int | None = None
    total: str | None = None
    summary: str | None = None
    elements: tuple[str, ...] = ()
    sort: tuple[SortKey, ...] = ()
    includes: tuple[Include, ...] = ()


def is_control(name: str) -> bool:
    """Say whether a parameter controls the answer instead of selecting resources."""
    return name in _READERS or _INCLUDES.fullmatch(name) is not None


def take(controls: Controls, types: tuple[str, ...], name: str, value: str, asking: Asking) -> str | None:
    """Add one control and return its value as applied; None for those that `in_force` prints.

    Raises:
        BadRequest: a value that cannot be read, or given twice. UnknownParameter: a sort key or include not offered.
    """
    match = _INCLUDES.fullmatch(name)
    if match is None:
        return _READERS[name](controls, types, value, asking)
    include = _include(name, value, bool(match[1]), bool(match[2]), types, asking.registry)
    if include not in controls.includes:
        controls.includes = (*controls.includes, include)
    return value


def page_size(asked: int | None, types: tuple[str, ...], rules: ParseRules) -> int:
    """Return the page size in force: what was asked, lowered to the maximum, or the default of the type."""
    default, most = rules.default_count, rules.max_count
    if len(types) == 1:
        default, most = rules.counts.get(types[0], (default, most))
    return min(default if asked is None else asked, most)


def in_force(controls: Controls, count: int) -> tuple[tuple[str, str], ...]:
    """Return the order and page size in force, as the self link prints them."""
    keys = ",".join(f"-{key.param}" if key.descending else key.param for key in controls.sort)
    return (*((("_sort", keys),) if keys else ()), ("_count", str(count)))


def _count(controls: Controls, types: tuple[str, ...], value: str, asking: Asking) -> None:
    if not re.fullmatch(r"\d{1,9}", value, re.ASCII):
        raise malformed("_count", "expected a whole number, zero or more.")
    if controls.count is not None and controls.count != int(value):
        raise malformed("_count", "given twice.")
    controls.count = int(value)


def _total(controls: Controls, types: tuple[str, ...], value: str, asking: Asking) -> str:
    controls.total = _one_of("_total", value, TOTALS, controls.total)
    return value


def _summary(controls: Controls, types: tuple[str, ...], value: str, asking: Asking) -> str:
    controls.summary = _one_of("_summary", value, SUMMARIES, controls.summary)
    return value


def _one_of(name: str, value: str, offered: frozenset[str], before: str | None) -> str:
    if value not in offered:
        raise malformed(name, f"expected one of {', '.join(sorted(offered))}.")
    if before is not None and before != value:
        raise malformed(name, "given twice.")
    return value


def _elements(controls: Controls, types: tuple[str, ...], value: str, asking: Asking) -> str:
    names = [name.strip() for name in value.split(",") if name.strip()]
    if not all(_ELEMENT.fullmatch(name) for name in names):
        raise malformed("_elements", "expected a comma list of element names.")
    controls.elements = tuple(dict.fromkeys((*controls.elements, *names)))
    return ",".join(names)


def _sort(controls: Controls, types: tuple[str, ...], value: str, asking: Asking) -> None:
    """Add the keys that are known, then report the first that is not; the keys in force are printed at the end."""
    refusal: UnknownParameter | None = None
    for text in value.split(","):
        code = text.strip().removeprefix("-")
        if not code or any(key.param == code for key in controls.sort):
            continue
        try:
            key = SortKey(_sortable(code, types, asking.registry), text.strip().startswith("-"))
            controls.sort = (*controls.sort, key)
        except UnknownParameter as error:
            refusal = refusal or error
    if refusal is not None:
        raise refusal


def _sortable(code: str, types: tuple[str, ...], registry: Registry) -> str:
    if code in ("_id", "_lastUpdated"):
        return code
    found = [registry.get(type_, code) for type_ in types]
    if not found or any(part is None or part.type in _UNSORTABLE for part in found):
        raise UnknownParameter(f"_sort: there is no sort key '{code[:80]}'.", expression="http._sort")
    assert found[0] is not None
    return found[0].code


def _contained(controls: Controls, types: tuple[str, ...], value: str, asking: Asking) -> str:
    if value != "false":
        raise UnknownParameter("_contained: only 'false' is offered.", expression="http._contained")
    return value


_READERS: dict[str, Callable[[Controls, tuple[str, ...], str, Asking], str | None]] = {
    "_count": _count,
    "_total": _total,
    "_summary": _summary,
    "_elements": _elements,
    "_sort": _sort,
    "_contained": _contained,
}


def _include(
    name: str, value: str, reverse: bool, iterate: bool, types: tuple[str, ...], registry: Registry
) -> Include:
    parts = value.split(":")
    if value == "*":
        return Include("*", "*", None, iterate, reverse)
    if len(parts) not in (2, 3) or not all(parts):
        raise malformed(name, "expected Source:parameter[:Target].")
    source, param, target = parts[0], parts[1], parts[2] if len(parts) == 3 else None
    if source not in registry.types or (target is not None and target not in registry.types):
        raise UnknownParameter(f"{name}: unknown resource type.", expression=f"http.{name}")
    if param != "*":
        param = _reference(name, source, param, target or (types[0] if reverse and len(types) == 1 else None), registry)
    return Include(source, param, target, iterate, reverse)


def _reference(name: str, source: str, param: str, target: str | None, registry: Registry) -> str:
    found = registry.get(source, param)
    if found is None or found.type is not ParameterType.REFERENCE:
        raise UnknownParameter(
            f"{name}: {source} has no reference parameter '{param[:80]}'.", expression=f"http.{name}"
        )
    if target is not None and target not in found.targets:
        raise UnknownParameter(f"{name}: '{param[:80]}' never refers to {target}.", expression=f"http.{name}")
    return found.code


def check(controls: Controls) -> None:
    """Refuse combinations that contradict each other."""
    if controls.elements and controls.summary not in (None, "false"):
        raise BadRequest("_elements and _summary cannot be combined.", code="value", expression="http._elements")
