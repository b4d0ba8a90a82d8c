"""From the parameters of a request to a Query: the door of the search room. https://hl7.org/fhir/R4/search.html

Repeated parameters are joined by AND, comma lists by OR. What is not known is reported, never taken as something else.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from fhir_dmp.errors import BadRequest, Issue
from fhir_dmp.search import controls as control
from fhir_dmp.search.chains import Hops, node_of
from fhir_dmp.search.extract import COMPARTMENT
from fhir_dmp.search.grammar import HasHop, alternatives, hops, is_plain
from fhir_dmp.search.parameters import Registry
from fhir_dmp.search.patients import patient_criterion
from fhir_dmp.search.query import Everything, Node, Not, PatientCriterion, Query, Term, both, either
from fhir_dmp.search.rules import Asking, ParseRules, UnknownParameter, malformed

__all__ = ["ParseRules", "parse"]


@dataclass(slots=True)
class _Reading:
    """What has been understood so far."""

    types: tuple[str, ...]
    asking: Asking
    nodes: list[Node] = field(default_factory=list)
    applied: list[tuple[str, str]] = field(default_factory=list)
    ignored: list[tuple[str, str]] = field(default_factory=list)
    unknown: list[Issue] = field(default_factory=list)
    patients: list[PatientCriterion] = field(default_factory=list)
    filters: set[str] = field(default_factory=set)
    controls: control.Controls = field(default_factory=control.Controls)


def parse(
    types: tuple[str, ...], parameters: Sequence[tuple[str, str]], registry: Registry, rules: ParseRules
) -> Query:
    """Return the query that the parameters ask of these resource types.

    types: one for a type search, several for a system or `*` compartment search.

    Raises:
        BadRequest: a malformed name or value, an unknown modifier or prefix, and with rules.strict every parameter that
            is not offered, each named in an issue. NotFound: a value set that cannot be resolved.
        Unprocessable: too-costly.
    """
    reading = _Reading(_chosen_types(types, parameters, registry), Asking(registry, rules))
    for name, value in parameters:
        if name in rules.unreported or (name == "_type" and len(types) > 1):
            continue
        if not is_plain(name) or not is_plain(value):
            raise BadRequest("A search parameter holds a control character.", code="value")
        _take(reading, name, value)
    if rules.strict and reading.unknown:
        raise BadRequest(issues=reading.unknown)
    control.check(reading.controls)
    return _query(reading, types, rules)


def _take(reading: _Reading, name: str, value: str) -> None:
    if not alternatives(value):
        reading.ignored.append((name, f"The parameter '{name[:80]}' has no value and was ignored."))
        return
    try:
        if control.is_control(name):
            applied = control.take(reading.controls, reading.types, name, value, reading.asking)
            if applied is not None:
                reading.applied.append((name, applied))
            return
        _criterion(reading, name, value)
    except UnknownParameter as error:
        reading.ignored.append((name, f"{error} It was ignored."))
        reading.unknown += error.issues


def _criterion(reading: _Reading, name: str, value: str) -> None:
    if name in ("_filter", "_query"):
        raise BadRequest(f"'{name}' is not offered by this server.", code="not-supported", expression=f"http.{name}")
    steps = hops(name)
    node = _on_types(reading.types, steps, value, reading.asking)
    reading.nodes.append(node)
    reading.applied.append((name, value))
    reading.filters.add(_code(steps))
    patients = patient_criterion(reading.types, steps, value, reading.asking.rules.base)
    if patients is not None:
        reading.patients.append(patients)


def _on_types(types: tuple[str, ...], steps: Hops, value: str, asking: Asking) -> Node:
    """Return the node for all types at once; a parameter of only some of them is not offered."""
    if len(types) > 1 and isinstance(steps[0], HasHop):
        raise BadRequest("_has asks one resource type at a time.", code="not-supported", expression="http._has")
    nodes = tuple(dict.fromkeys(node_of(type_, steps, value, asking) for type_ in types))
    return both(*nodes) if all(isinstance(node, Not) for node in nodes) else either(*nodes)


def _code(steps: Hops) -> str:
    return ".".join("_has" if isinstance(step, HasHop) else step.code for step in steps)


def _chosen_types(types: tuple[str, ...], parameters: Iterable[tuple[str, str]], registry: Registry) -> tuple[str, ...]:
    """Return the types left by `_type`, which only a search of several types has."""
    if len(types) < 2:
        return types
    chosen = types
    for name, value in parameters:
        if name == "_type" and value:
            asked = set(alternatives(value))
            if not asked <= set(registry.types):
                raise malformed("_type", "expected resource types of FHIR R4.")
            chosen = tuple(type_ for type_ in chosen if type_ in asked)
    return chosen


def _query(reading: _Reading, types: tuple[str, ...], rules: ParseRules) -> Query:
    compartment, patients = _compartment(rules)
    count = control.page_size(reading.controls.count, reading.types, rules)
    chosen = [("_type", ",".join(reading.types))] if reading.types != types else []
    return Query(
        types=reading.types,
        node=both(compartment, *reading.nodes),
        applied=(*chosen, *reading.applied, *control.in_force(reading.controls, count)),
        sort=reading.controls.sort,
        count=count,
        total=reading.controls.total,
        summary=reading.controls.summary,
        elements=reading.controls.elements,
        includes=reading.controls.includes,
        ignored=tuple(reading.ignored),
        patients=(*patients, *reading.patients),
        filters=frozenset(reading.filters),
    )


def _compartment(rules: ParseRules) -> tuple[Node, tuple[PatientCriterion, ...]]:
    if rules.compartment is None:
        return Everything(), ()
    type_, id_ = rules.compartment
    patients = (PatientCriterion(references=(f"Patient/{id_}",)),) if type_ == "Patient" else ()
    return Term(f"{COMPARTMENT}=r:{type_}/{id_}"), patients
