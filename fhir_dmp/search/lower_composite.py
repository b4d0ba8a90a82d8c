"""Composite parameters -> nodes: parts that must hold on the same element instance. fhir-rest 6.12"""

from __future__ import annotations

from fhir_dmp.fhir.fold import fold
from fhir_dmp.search.grammar import alternatives, pieces, unescape
from fhir_dmp.search.lower_ranges import one_date, one_number, one_quantity
from fhir_dmp.search.lower_references import reference_asked
from fhir_dmp.search.lower_tokens import system_and_code, token_asked
from fhir_dmp.search.parameters import EXACT_TYPES, ParameterType, SearchParameter
from fhir_dmp.search.query import Node, Prefix, Term, either
from fhir_dmp.search.rules import Asking, ParseRules, malformed
from fhir_dmp.terminology.aliases import canonical_system


def composite_node(parameter: SearchParameter, modifier: str | None, value: str, asking: Asking) -> Node:
    return either(*(_one(parameter, text, asking) for text in alternatives(value)))


def _one(parameter: SearchParameter, text: str, asking: Asking) -> Node:
    split = pieces(text, "$")
    if len(split) != len(parameter.components) or not all(split):
        form = "$".join(part.parameter.code for part in parameter.components)
        raise malformed(parameter.code, f"expected {form}.")
    prefixes, ranged = [""], None
    for component, piece in zip(parameter.components, split, strict=True):
        if component.parameter.type in EXACT_TYPES:
            parts = _exact_asked(component.parameter, piece, asking)
            prefixes = [f"{left}${part}" if left else part for left in prefixes for part in parts]
        else:
            ranged = (component.parameter.type, piece)
    if ranged is None:
        return either(*(Term(f"{parameter.code}=k:{prefix}") for prefix in prefixes))
    return either(*(_ranged(f"{parameter.code}${prefix}", *ranged, asking.rules) for prefix in prefixes))


def _exact_asked(parameter: SearchParameter, piece: str, asking: Asking) -> tuple[str, ...]:
    if parameter.type is ParameterType.REFERENCE:
        return reference_asked(parameter, unescape(piece), parameter.targets, asking.rules.base)
    if parameter.type is ParameterType.URI:
        return (f"u:{unescape(piece)}",)
    system, code = system_and_code(parameter.code, piece)
    if system and not code:
        raise malformed(parameter.code, "a code is needed inside a composite.")
    if parameter.system is not None:
        if system is not None and canonical_system(system) != canonical_system(parameter.system):
            return ()
        return (f"c:{code.lower()}",)
    return token_asked(parameter, piece)


def _ranged(key: str, type_: ParameterType, piece: str, rules: ParseRules) -> Node:
    match type_:
        case ParameterType.DATE:
            return one_date(key, piece, rules)
        case ParameterType.QUANTITY:
            return one_quantity(key, piece)
        case ParameterType.NUMBER:
            return one_number(key, piece)
        case _:
            return Prefix(key, fold(unescape(piece)))
