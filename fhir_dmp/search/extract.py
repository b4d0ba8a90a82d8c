"""Resource -> index terms (search/terms.py). Runs on every write: each parameter is compiled once per resource type.

The resource is taken as it is: what cannot be read yields no term and no error, because validation judges elsewhere.
Business keys (Terms.uniques) are a rule of documents, not of search, and are added there.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import tzinfo
from functools import partial
from typing import Any

from fhir_dmp.fhir import dates
from fhir_dmp.fhir.resource import Json
from fhir_dmp.search.fold import fold, words
from fhir_dmp.search.parameters import ParameterType, Registry, SearchParameter, union_parts
from fhir_dmp.search.query import SortValue
from fhir_dmp.search.reading import Reader, opened, reader_of
from fhir_dmp.search.terms import Terms
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

#: The token of the compartments that a resource belongs to, for `[base]/Patient/1/*`.
COMPARTMENT = "_compartment"

_COMPARTMENT_TYPES = frozenset({"Patient", "Practitioner", "RelatedPerson", "Device", "Encounter"})

#: Parameters whose first value dates a resource on the patient's timeline, in order of preference.
_MAIN_DATES = (
    "date",
    "onset-date",
    "recorded-date",
    "authoredon",
    "authored-on",
    "effective",
    "effective-time",
    "whenhandedover",
    "sent",
    "start",
    "created",
    "recorded",
    "period",
)
_TEXT_KEYS = frozenset({"display", "text", "title", "description", "family", "given", "name", "comment", "valueString"})
_NAME_PART = re.compile(r"\.(name|address|ofType\((HumanName|Address)\))\.\w+$")
_TAG = re.compile(r"<[^<>]*>")
_LONGEST_TEXT = 20_000
_LONGEST_SORT = 100


@dataclass(slots=True)
class _Sink:
    """The terms of one resource in the making."""

    context: Context
    tokens: dict[str, None] = field(default_factory=dict)
    strings: dict[tuple[str, str], None] = field(default_factory=dict)
    spans: dict[tuple[str, float, float], None] = field(default_factory=dict)
    sort: dict[str, tuple[SortValue, SortValue]] = field(default_factory=dict)
    targets: dict[str, list[str]] = field(default_factory=dict)


Emit = Callable[[list[Any], _Sink], None]


@dataclass(frozen=True, slots=True)
class _Step:
    """One parameter of one type: where its values stand, what becomes of them, and its token of absence."""

    read: Reader
    emit: Emit
    absent: str | None


@dataclass(frozen=True, slots=True)
class _Plan:
    """All that extraction does for a resource type."""

    steps: tuple[_Step, ...]
    patient: tuple[str, ...]
    compartments: tuple[tuple[str, str], ...]
    dates: tuple[str, ...]


def terms_of(resource: Json, registry: Registry, *, base: str, zone: tzinfo, content: str = "") -> Terms:
    """Return the index terms of a resource.

    base: the server's FHIR base URL, no slash at its end. zone: where dates without offset are read. content: text of
    the document that the resource describes, for `_content`.
    """
    type_ = resource.get("resourceType", "")
    plan = _plan(registry, type_)
    source = opened(resource)
    sink = _Sink(Context(base, zone, {id_: part["resourceType"] for id_, part in source.contained.items()}))
    for step in plan.steps:
        values = step.read(source)
        if values:
            step.emit(values, sink)
        elif step.absent is not None:
            sink.tokens[step.absent] = None
    patient = _compartments(resource, plan, sink)
    return Terms(
        tokens=tuple(sink.tokens),
        strings=tuple(sink.strings),
        spans=tuple(sink.spans),
        words=_words(resource, content),
        sort=sink.sort,
        patient=patient,
        date=_main_date(plan, sink),
    )


def references_of(
    resource: Json, parameter: SearchParameter, registry: Registry, *, base: str, zone: tzinfo
) -> Iterator[str]:
    """Yield the local `Type/id` that a resource refers to through a reference parameter, for _include."""
    context = Context(base, zone, {})
    for value in _reader(parameter, registry)(opened(resource)):
        for part in reference_parts(value, context):
            if part.startswith("r:") and part.count("/") == 1:
                yield part[2:]


def _plan(registry: Registry, type_: str) -> _Plan:
    """Return the compiled plan of a type; made once, kept in the registry's memo."""
    key = ("plan", type_)
    plan: _Plan | None = registry.memo.get(key)
    if plan is None:
        plan = _compiled(registry, type_)
        if registry.parameters.get(type_):  # a type that does not exist must not fill the memory
            registry.memo[key] = plan
    return plan


def _compiled(registry: Registry, type_: str) -> _Plan:
    steps = [
        _Step(_reader(part, registry), _emitter(part), _absence(part))
        for part in registry.of(type_)
        if part.expression and part.code not in ("_id", "_lastUpdated")
    ]
    own = registry.compartments
    patient = own.get("Patient", {}).get(type_, ())
    first = [code for code in ("patient", "subject") if registry.get(type_, code)]
    linked = tuple((code, f"{kind}/") for kind, members in own.items() for code in members.get(type_, ()))
    return _Plan(
        steps=tuple(steps),
        patient=tuple(dict.fromkeys([*first, *patient])) if patient else (),
        compartments=linked,
        dates=tuple(code for code in _MAIN_DATES if registry.get(type_, code)),
    )


def _reader(parameter: SearchParameter, registry: Registry) -> Reader:
    key = ("reader", parameter.expression)
    reader: Reader | None = registry.memo.get(key)
    if reader is None:
        reader = registry.memo[key] = reader_of(parameter.expression)
    return reader


def _absence(parameter: SearchParameter) -> str | None:
    if parameter.type is ParameterType.COMPOSITE or parameter.is_contained_chain:
        return None
    return f"{parameter.code}=0"


def _emitter(parameter: SearchParameter) -> Emit:
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
            return composite_emitter(parameter)
        case _:
            return lambda values, sink: None


def _starts_at_any_word(parameter: SearchParameter) -> bool:
    """Say whether the plain texts found are parts of a HumanName or an Address."""
    return _NAME_PART.search(union_parts(parameter.expression)[0]) is not None


def _emit_tokens(parameter: SearchParameter, values: list[Any], sink: _Sink) -> None:
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
    if low:
        sink.sort[code] = (low[2:], high[2:])


def _emit_references(code: str, values: list[Any], sink: _Sink) -> None:
    found = [part for value in values for part in reference_parts(value, sink.context)]
    for part in found:
        sink.tokens[f"{code}={part}"] = None
    if found:
        targets = [part[2:] for part in found]
        sink.sort[code] = (min(targets), max(targets))
        local = [part[2:] for part in found if part[0] == "r" and part.count("/") == 1]
        if local:
            sink.targets[code] = local


def _emit_strings(code: str, any_word: bool, values: list[Any], sink: _Sink) -> None:
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


def _emit_dates(code: str, values: list[Any], sink: _Sink) -> None:
    found = [span for value in values for span in date_intervals(value, sink.context.zone)]
    for low, high in found:
        sink.spans[code, low, high] = None
    if found:
        sink.sort[code] = (min(low for low, _ in found), max(high for _, high in found))


def _emit_numbers(code: str, values: list[Any], sink: _Sink) -> None:
    found = [span for value in values if (span := number_range(value)) is not None]
    for low, high in found:
        sink.spans[code, low, high] = None
    if found:
        sink.sort[code] = (min(low for low, _ in found), max(low for low, _ in found))


def _emit_quantities(code: str, values: list[Any], sink: _Sink) -> None:
    sortable: list[float] = []
    for value in values:
        spans = quantity_spans(value)
        for unit, (low, high) in spans.items():
            sink.spans[code + unit, low, high] = None
        if spans:  # the canonical unit is the last one: values in mg and g sort together
            sortable.append(next(reversed(spans.values()))[0])
    if sortable:
        sink.sort[code] = (min(sortable), max(sortable))


def _emit_uris(code: str, values: list[Any], sink: _Sink) -> None:
    found = []
    for value in values:
        for part in uri_parts(value):
            sink.tokens[f"{code}={part}"] = None
            found.append(part[2:])
            sink.strings[code, part[2:]] = None
    if found:
        sink.sort[code] = (min(found)[:_LONGEST_SORT], max(found)[:_LONGEST_SORT])


def composite_emitter(parameter: SearchParameter) -> Emit:
    """Return the emitter of a composite: its exact parts joined, and before the interval or text of the other part."""
    parts = [(part.parameter, reader_of(part.expression)) for part in parameter.components]
    code = parameter.code

    def emit(values: list[Any], sink: _Sink) -> None:
        for element in values:
            if not isinstance(element, dict):
                continue
            prefixes, ranged = [""], None
            for component, find in parts:
                found = find(opened(element))
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


def _emit_ranged(key: str, parameter: SearchParameter, values: list[Any], sink: _Sink) -> None:
    """Add intervals or texts under a composite key; these have no sort value and no `:exact`."""
    for value in values:
        match parameter.type:
            case ParameterType.DATE:
                for low, high in date_intervals(value, sink.context.zone):
                    sink.spans[key, low, high] = None
            case ParameterType.QUANTITY:
                for unit, (bottom, top) in quantity_spans(value).items():
                    sink.spans[key + unit, bottom, top] = None
            case ParameterType.NUMBER:
                span = number_range(value)
                if span is not None:
                    sink.spans[key, span[0], span[1]] = None
            case _:
                for text in string_entries(value, False)[0]:
                    sink.strings[key, text] = None


def _compartments(resource: Json, plan: _Plan, sink: _Sink) -> str | None:
    """Add the compartment tokens and return the patient whose record the resource belongs to."""
    type_, id_ = resource.get("resourceType"), resource.get("id")
    own = f"{type_}/{id_}" if type_ in _COMPARTMENT_TYPES and isinstance(id_, str) else None
    if own is not None:
        sink.tokens[f"{COMPARTMENT}=r:{own}"] = None
    if sink.targets:
        for code, prefix in plan.compartments:
            for target in sink.targets.get(code, ()):
                if target.startswith(prefix):
                    sink.tokens[f"{COMPARTMENT}=r:{target}"] = None
    if type_ == "Patient":
        return own
    for code in plan.patient:
        for target in sink.targets.get(code, ()):
            if target.startswith("Patient/"):
                return target
    return None


def _main_date(plan: _Plan, sink: _Sink) -> int | None:
    for code in plan.dates:
        value = sink.sort.get(code)
        if value is not None:
            for bound in value:
                if dates.ALWAYS < bound < dates.NEVER:  # type: ignore[operator]  # dates sort by numbers
                    return int(bound)
    return None


def _words(resource: Json, content: str) -> tuple[tuple[str, str], ...]:
    """Return the folded narrative (`_text`), and every text for people, the document's included (`_content`)."""
    texts: list[str] = []
    _collect(resource, texts)
    narrative = resource.get("text")
    div = narrative.get("div") if isinstance(narrative, dict) else None
    found = []
    if isinstance(div, str):
        plain = html.unescape(_TAG.sub(" ", div))[:_LONGEST_TEXT]
        texts.append(plain)
        found.append(("_text", fold(plain)))
    if content:
        texts.append(content)
    if texts:
        found.append(("_content", " ".join(dict.fromkeys(map(fold, texts)))))
    return tuple(found)


def _collect(value: Any, texts: list[str]) -> None:
    for key, part in value.items():
        if isinstance(part, dict):
            _collect(part, texts)
        elif isinstance(part, list):
            for item in part:
                if isinstance(item, dict):
                    _collect(item, texts)
                elif key in _TEXT_KEYS and isinstance(item, str):
                    texts.append(item)
        elif key in _TEXT_KEYS and isinstance(part, str):
            texts.append(part)
