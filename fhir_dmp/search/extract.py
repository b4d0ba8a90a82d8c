"""Resource -> index terms (search/terms.py). Runs on every write: each parameter is compiled once per resource type.

The resource is taken as it is: what cannot be read yields no term and no error, because validation judges elsewhere.
Business keys (Terms.uniques) are a rule of documents, not of search, and are added there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import tzinfo

from fhir_dmp.fhir import dates
from fhir_dmp.fhir.resource import Json
from fhir_dmp.search.emit import Emit, Sink, emitter_of
from fhir_dmp.search.parameters import ParameterType, Registry, SearchParameter
from fhir_dmp.search.reading import Reader, first_elements, opened, reader_of
from fhir_dmp.search.terms import Terms
from fhir_dmp.search.texts import full_texts
from fhir_dmp.search.values import Context, reference_parts

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


@dataclass(frozen=True, slots=True)
class _Step:
    """One parameter of one type: where its values stand, what becomes of them, and its token of absence."""

    read: Reader
    emit: Emit
    absent: str | None


@dataclass(frozen=True, slots=True)
class _Plan:
    """All that extraction does for a resource type.

    touched: JSON name -> numbers of the steps that may find something where it is; always: the others.
    """

    steps: tuple[_Step, ...]
    touched: Mapping[str, tuple[int, ...]]
    always: frozenset[int]
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
    sink = Sink(Context(base, zone, {id_: part["resourceType"] for id_, part in source.contained.items()}))
    touched = plan.always.union(*[plan.touched[name] for name in resource if name in plan.touched])
    for number, step in enumerate(plan.steps):
        values = step.read(source) if number in touched else None
        if values:
            step.emit(values, sink)
        elif step.absent is not None:
            sink.tokens[step.absent] = None
    patient = _compartments(resource, plan, sink)
    return Terms(
        tokens=tuple(sink.tokens),
        strings=tuple(sink.strings),
        spans=tuple(sink.spans),
        words=full_texts(resource, content),
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


def dates_of(registry: Registry, type_: str) -> tuple[str, ...]:
    """Return the parameters that date a resource of this type, in order of preference."""
    return _plan(registry, type_).dates


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
    parameters = [part for part in registry.of(type_) if part.expression and part.code not in ("_id", "_lastUpdated")]
    firsts = [first_elements(part.expression) for part in parameters]
    touched: dict[str, list[int]] = {}
    for number, names in enumerate(firsts):
        for name in names or ():
            touched.setdefault(name, []).append(number)
    own = registry.compartments
    patient = own.get("Patient", {}).get(type_, ())
    first = [code for code in ("patient", "subject") if registry.get(type_, code)]
    linked = tuple((code, f"{kind}/") for kind, members in own.items() for code in members.get(type_, ()))
    return _Plan(
        steps=tuple(_Step(_reader(part, registry), emitter_of(part), _absence(part)) for part in parameters),
        touched={name: tuple(numbers) for name, numbers in touched.items()},
        always=frozenset(number for number, names in enumerate(firsts) if names is None),
        patient=tuple(dict.fromkeys([*first, *patient])) if patient else (),
        compartments=linked,
        dates=tuple(code for code in _MAIN_DATES if _is_date(registry.get(type_, code))),
    )


def _is_date(parameter: SearchParameter | None) -> bool:
    """Say whether it is a date: GraphDefinition calls a code `start`."""
    return parameter is not None and parameter.type is ParameterType.DATE


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


def _compartments(resource: Json, plan: _Plan, sink: Sink) -> str | None:
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


def _main_date(plan: _Plan, sink: Sink) -> int | None:
    for code in plan.dates:
        value = sink.sort.get(code)
        if value is not None:
            for bound in value:
                if dates.ALWAYS < bound < dates.NEVER:  # type: ignore[operator]  # dates sort by numbers
                    return int(bound)
    return None
