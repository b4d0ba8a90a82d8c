"""Chained parameters and _has: names with several steps -> nodes. https://hl7.org/fhir/R4/search.html#chaining

A chain looks at stored resources, a contained chain (a parameter whose code has dots) at contained ones: both are
asked.
"""

from __future__ import annotations

from fhir_dmp.errors import BadRequest, Unprocessable
from fhir_dmp.search.grammar import HasHop, Hop
from fhir_dmp.search.lower import lower
from fhir_dmp.search.parameters import ParameterType, SearchParameter
from fhir_dmp.search.query import Chain, Has, Node, Term, both, either
from fhir_dmp.search.rules import MAX_REFERENCES, Asking, UnknownParameter, unsupported_modifier

Hops = tuple[Hop | HasHop, ...]


def node_of(type_: str, hops: Hops, value: str, asking: Asking, followed: int = 0) -> Node:
    """Return the node of a parameter name and value, asked of one resource type.

    followed: references already followed on the way here.

    Raises:
        UnknownParameter: the type has no such parameter. BadRequest: a chain that can lead nowhere, a bad value.
        Unprocessable: too-costly, more than three references.
    """
    first = hops[0]
    if isinstance(first, HasHop):
        return _has(type_, first, hops[1:], value, asking, followed + 1)
    parameter = asking.registry.get(type_, first.code)
    if len(hops) == 1:
        if parameter is None:
            raise _unknown(type_, first.code)
        return lower(parameter, first.modifier, value, asking)
    inside = _contained(type_, hops, value, asking)
    if parameter is None and inside is None:
        raise _unknown(type_, first.code)
    outside = None if parameter is None else _chain(parameter, hops, value, asking, followed + 1, inside is not None)
    return either(*(node for node in (inside, outside) if node is not None))


def _unknown(type_: str, code: str) -> UnknownParameter:
    return UnknownParameter(f"{type_} has no search parameter '{code[:80]}'.", expression=f"http.{code[:80]}")


def _counted(followed: int) -> None:
    if followed > MAX_REFERENCES:
        raise Unprocessable(
            f"A chain may follow {MAX_REFERENCES} references at most; search in two steps.", code="too-costly"
        )


def _chain(
    parameter: SearchParameter, hops: Hops, value: str, asking: Asking, followed: int, optional: bool
) -> Node | None:
    """Return the join through a reference; None when no target can be asked and the chain is optional."""
    first = hops[0]
    assert isinstance(first, Hop)
    if parameter.type is not ParameterType.REFERENCE:
        raise BadRequest(f"'{first.code}' is no reference: it cannot start a chain.", code="value")
    _counted(followed)
    refusal: BadRequest | None = None
    nodes: list[tuple[str, Node]] = []
    for target in _targets(parameter, first.modifier):
        try:
            nodes.append((target, node_of(target, hops[1:], value, asking, followed)))
        except UnknownParameter:
            continue
        except BadRequest as error:
            refusal = refusal or error
    if nodes:
        return Chain(parameter.code, tuple(nodes))
    if refusal is not None:
        raise refusal
    if optional:
        return None
    step = hops[1]
    name = step.code if isinstance(step, Hop) else "_has"
    raise BadRequest(f"No resource that '{first.code}' can refer to has the parameter '{name[:80]}'.", code="value")


def _targets(parameter: SearchParameter, modifier: str | None) -> tuple[str, ...]:
    if modifier is None:
        return parameter.targets
    if not modifier[:1].isupper():
        raise unsupported_modifier(parameter.code, modifier, ("[type]",))
    if modifier not in parameter.targets:
        raise BadRequest(f"'{parameter.code}' never refers to '{modifier[:40]}'.", code="value")
    return (modifier,)


def _contained(type_: str, hops: Hops, value: str, asking: Asking) -> Node | None:
    """Return what the contained chain of these steps finds, None when there is none.

    A step over `practitioner` is part of the contained chain of its role: `author.practitioner.family`.
    """
    if not all(isinstance(hop, Hop) for hop in hops):
        return None
    steps = [hop for hop in hops if isinstance(hop, Hop)]
    parameter = asking.registry.get(type_, ".".join(step.code for step in steps))
    if parameter is None:
        kept = [steps[0], *(step for step in steps[1:-1] if step.code != "practitioner"), steps[-1]]
        parameter = asking.registry.get(type_, ".".join(step.code for step in kept))
    if parameter is None or steps[-1].modifier == "missing":
        return None
    node = lower(parameter, steps[-1].modifier, value, asking)
    kind = steps[0].modifier
    return node if kind is None else both(node, Term(f"{steps[0].code}=t:{kind}"))


def _has(type_: str, hop: HasHop, rest: Hops, value: str, asking: Asking, followed: int) -> Node:
    _counted(followed)
    if hop.source not in asking.registry.types:
        raise BadRequest(f"_has: '{hop.source[:40]}' is no resource type.", code="value")
    parameter = asking.registry.get(hop.source, hop.param)
    if parameter is None or parameter.type is not ParameterType.REFERENCE:
        raise BadRequest(f"_has: {hop.source} has no reference parameter '{hop.param[:80]}'.", code="value")
    if type_ not in parameter.targets:
        raise BadRequest(f"_has: '{hop.param}' of {hop.source} never refers to {type_}.", code="value")
    try:
        inner = node_of(hop.source, rest, value, asking, followed)
    except UnknownParameter as error:
        raise BadRequest(f"_has: {error}", code="value") from error
    return Has(type_, hop.source, parameter.code, inner)
