"""From the values of a search parameter to index terms: one emitter for each type of parameter."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from fhir_dmp.fhir.fold import words
from fhir_dmp.search.numbers import Range
from fhir_dmp.search.parameters import ParameterType, SearchParameter, union_parts
from fhir_dmp.search.query import SortValue
from fhir_dmp.search.reading import opened, reader_of
from fhir_dmp.search.values import (
    Context,
    date_intervals,
    number_range,
    quantity_spans,
    reference_parts,
    string_entries,
    token_parts,
    token_texts,
    typed_identifier_parts,
    uri_parts,
)

_NAME_PART = re.compile(r"\.(name|address|ofType\((HumanName|Address)\))\.\w+$")
_LONGEST_SORT = 100


@dataclass(slots=True)
class Sink:
    """The terms of one resource in the making. Dicts, because order counts and duplicates do not.

    targets: parameter code -> local `Type/id` that it refers to. quantities: what `quantity_spans` said of a value, by
    its identity, because composites ask for the same value again.
    """

    context: Context
    tokens: dict[str, None] = field(default_factory=dict)
    strings: dict[tuple[str, str], None] = field(default_factory=dict)
    spans: dict[tuple[str, float, float], None] = field(default_factory=dict)
    sort: dict[str, tuple[SortValue, SortValue]] = field(default_factory=dict)
    targets: dict[str, list[str]] = field(default_factory=dict)
    quantities: dict[int, tuple[Any, dict[str, Range]]] = field(default_factory=dict)

    def quantity(self, value: Any) -> dict[str, Range]:
        """Return the spans of a quantity that stands in the resource."""
        found = self.quantities.get(id(value))
        if found is None:  # the value is kept, so that nothing else can have its identity
            found = self.quantities[id(value)] = value, quantity_spans(value)
        return found[1]


Emit = Callable[[list[Any], Sink], None]


def emitter_of(parameter: SearchParameter) -> Emit:
    """Return what turns the values of a parameter into terms."""
    match parameter.type:
        case ParameterType.TOKEN:
            return partial(_emit_tokens, parameter)
        case ParameterType.REFERENCE:
            return partial(_emit_references, parameter.code)
        case ParameterType.STRING:
            return partial(_emit_strings, parameter.code, _starts_at_any_word(parameter))
        case ParameterType.DATE:
            return partial(_emit_dates, parameter.code)
        case ParameterType.NUMBER:
            return partial(_emit_numbers, parameter.code)
        case ParameterType.QUANTITY:
            return partial(_emit_quantities, parameter.code)
        case ParameterType.URI:
            return partial(_emit_uris, parameter.code)
        case ParameterType.COMPOSITE:
            return _composite_emitter(parameter)
        case _:
            return lambda values, sink: None


def _starts_at_any_word(parameter: SearchParameter) -> bool:
    """Say whether the plain texts found are parts of a HumanName or an Address."""
    return _NAME_PART.search(union_parts(parameter.expression)[0]) is not None


def _emit_tokens(parameter: SearchParameter, values: list[Any], sink: Sink) -> None:
    code, implied, cased, tokens = parameter.code, parameter.system, parameter.keeps_case, sink.tokens
    low = high = ""
    for value in values:
        for part in token_parts(value, implied, cased):
            tokens[f"{code}={part}"] = None
            if part[0] == "c":
                low, high = min(low or part, part), max(high, part)
        if isinstance(value, dict):
            for text in token_texts(value):
                for word in words(text):
                    sink.strings[f"{code}#", word] = None
            if "type" in value:
                for part in typed_identifier_parts(value):
                    tokens[f"{code}:of-type={part}"] = None
    if parameter.order:
        _sort_in_order(parameter, values, sink)
    elif low:
        sink.sort[code] = (low[2:], high[2:])


def _sort_in_order(parameter: SearchParameter, values: list[Any], sink: Sink) -> None:
    """Sort by the place of a code in the list that the parameter gives, not by the alphabet."""
    codes = [value.get("code") for value in values if isinstance(value, dict)]
    ranks = [f"{parameter.order.index(code):02d}" for code in codes if code in parameter.order]
    if ranks:
        sink.sort[parameter.code] = (min(ranks), max(ranks))


def _emit_references(code: str, values: list[Any], sink: Sink) -> None:
    found = [part for value in values for part in reference_parts(value, sink.context)]
    for part in found:
        sink.tokens[f"{code}={part}"] = None
    if found:
        targets = [part[2:] for part in found]
        sink.sort[code] = (min(targets), max(targets))
        local = [part[2:] for part in found if part[0] == "r" and part.count("/") == 1]
        if local:
            sink.targets[code] = local


def _emit_strings(code: str, any_word: bool, values: list[Any], sink: Sink) -> None:
    found: list[str] = []
    for value in values:
        folded, raw = string_entries(value, any_word)
        found += folded
        for part in raw:
            sink.tokens[f"{code}={part}"] = None
    for text in found:
        sink.strings[code, text] = None
    if found:
        sink.sort[code] = (min(found)[:_LONGEST_SORT], max(found)[:_LONGEST_SORT])


def _emit_dates(code: str, values: list[Any], sink: Sink) -> None:
    found = [span for value in values for span in date_intervals(value, sink.context.zone)]
    for low, high in found:
        sink.spans[code, low, high] = None
    if found:
        sink.sort[code] = (min(low for low, _ in found), max(high for _, high in found))


def _emit_numbers(code: str, values: list[Any], sink: Sink) -> None:
    found = [span for value in values if (span := number_range(value)) is not None]
    for low, high in found:
        sink.spans[code, low, high] = None
    if found:
        sink.sort[code] = (min(low for low, _ in found), max(low for low, _ in found))


def _emit_quantities(code: str, values: list[Any], sink: Sink) -> None:
    sortable: list[float] = []
    for value in values:
        spans = sink.quantity(value)
        for unit, (low, high) in spans.items():
            sink.spans[code + unit, low, high] = None
        if spans:  # the canonical unit is the last one: values in mg and g sort together
            sortable.append(next(reversed(spans.values()))[0])
    if sortable:
        sink.sort[code] = (min(sortable), max(sortable))


def _emit_uris(code: str, values: list[Any], sink: Sink) -> None:
    found = []
    for value in values:
        for part in uri_parts(value):
            sink.tokens[f"{code}={part}"] = None
            found.append(part[2:])
            sink.strings[code, part[2:]] = None
    if found:
        sink.sort[code] = (min(found)[:_LONGEST_SORT], max(found)[:_LONGEST_SORT])


def _composite_emitter(parameter: SearchParameter) -> Emit:
    """Return the emitter of a composite: its exact parts joined, and before the interval or text of the other part."""
    parts = [(part.parameter, reader_of(part.expression)) for part in parameter.components]
    code = parameter.code

    def emit(values: list[Any], sink: Sink) -> None:
        for element in values:
            if not isinstance(element, dict):
                continue
            source = opened(element)
            values_of = [find(source) for _, find in parts]
            if not all(values_of):
                continue  # a composite that lacks a part says nothing
            prefixes, ranged = [""], None
            for (component, _), found in zip(parts, values_of, strict=True):
                exact = _exact_parts(component, found, sink.context)
                if exact is None:
                    ranged = (component, found)
                else:
                    prefixes = [f"{left}${part}" if left else part for left in prefixes for part in exact]
            for prefix in prefixes:
                if ranged is None:
                    sink.tokens[f"{code}=k:{prefix}"] = None
                else:
                    _emit_ranged(f"{code}${prefix}", *ranged, sink)

    return emit


def _exact_parts(parameter: SearchParameter, values: list[Any], context: Context) -> list[str] | None:
    """Return the exact parts of a component without `system|` forms, None when its type is compared by order."""
    match parameter.type:
        case ParameterType.TOKEN:
            found = (p for v in values for p in token_parts(v, parameter.system, parameter.keeps_case) if p[0] != "y")
        case ParameterType.REFERENCE:
            found = (part for value in values for part in reference_parts(value, context))
        case ParameterType.URI:
            found = (part for value in values for part in uri_parts(value))
        case _:
            return None
    return list(dict.fromkeys(found))


def _emit_ranged(key: str, parameter: SearchParameter, values: list[Any], sink: Sink) -> None:
    """Add intervals or texts under a composite key; these have no sort value and no `:exact`."""
    for value in values:
        match parameter.type:
            case ParameterType.DATE:
                for low, high in date_intervals(value, sink.context.zone):
                    sink.spans[key, low, high] = None
            case ParameterType.QUANTITY:
                for unit, (bottom, top) in sink.quantity(value).items():
                    sink.spans[key + unit, bottom, top] = None
            case ParameterType.NUMBER:
                span = number_range(value)
                if span is not None:
                    sink.spans[key, span[0], span[1]] = None
            case _:
                for text in string_entries(value, False)[0]:
                    sink.strings[key, text] = None
