"""One search parameter with its modifier and value -> a node of the query tree. No chains here (search/chains.py)."""

from __future__ import annotations

from collections.abc import Callable

from fhir_dmp.errors import BadRequest
from fhir_dmp.fhir.fold import fold, words
from fhir_dmp.fhir.resource import is_id
from fhir_dmp.search.grammar import alternatives, unescape
from fhir_dmp.search.keys import exact_part
from fhir_dmp.search.lower_composite import composite_node
from fhir_dmp.search.lower_ranges import date_node, number_node, quantity_node
from fhir_dmp.search.lower_references import reference_node, uri_node
from fhir_dmp.search.lower_tokens import token_node
from fhir_dmp.search.parameters import ParameterType, SearchParameter
from fhir_dmp.search.query import (
    Contains,
    Everything,
    Has,
    Ids,
    Node,
    Not,
    Nothing,
    Or,
    Prefix,
    Term,
    Words,
    both,
    either,
)
from fhir_dmp.search.rules import Asking, malformed, unsupported_modifier


def lower(parameter: SearchParameter, modifier: str | None, value: str, asking: Asking) -> Node:
    """Return the node of one parameter.

    Raises:
        BadRequest: a modifier that the parameter does not have, or a value that cannot be read.
        NotFound: a value set that cannot be resolved. Unprocessable: one with too many codes.
    """
    if modifier == "missing":
        return _missing(parameter, value)
    if parameter.code == "_id":
        return _ids(modifier, value)
    if modifier is not None and parameter.type not in _MODIFIED:
        raise unsupported_modifier(parameter.code, modifier, _without_modifiers(parameter))
    return _LOWER[parameter.type](parameter, modifier, value, asking)


def _without_modifiers(parameter: SearchParameter) -> tuple[str, ...]:
    return () if parameter.type in (ParameterType.COMPOSITE, ParameterType.SPECIAL) else ("missing",)


def _missing(parameter: SearchParameter, value: str) -> Node:
    if value not in ("true", "false"):
        raise malformed(f"{parameter.code}:missing", "expected true or false.")
    if parameter.type in (ParameterType.COMPOSITE, ParameterType.SPECIAL):
        raise unsupported_modifier(parameter.code, "missing", ())
    if parameter.code in ("_id", "_lastUpdated"):
        return Nothing() if value == "true" else Everything()
    absent = Term(f"{parameter.code}=0")
    return absent if value == "true" else Not(absent)


def _ids(modifier: str | None, value: str) -> Node:
    if modifier not in (None, "not"):
        raise unsupported_modifier("_id", modifier, ("missing", "not"))
    ids = tuple(id_ for id_ in map(unescape, alternatives(value)) if is_id(id_))
    found: Node = Ids(ids) if ids else Nothing()
    return found if modifier is None else Not(found)


def _string(parameter: SearchParameter, modifier: str | None, value: str, asking: Asking) -> Node:
    return either(*(_string_node(parameter, modifier, unescape(text)) for text in alternatives(value)))


def _string_node(parameter: SearchParameter, modifier: str | None, text: str) -> Node:
    code = parameter.code
    if modifier == "exact":
        return Term(f"{code}={exact_part(text)}")
    folded = fold(text)
    if modifier == "contains":
        if len(folded) < 3:
            raise malformed(f"{code}:contains", "expected at least three letters or digits.")
        return Contains(code, folded)
    if not folded:
        raise malformed(code, "expected at least one letter or digit.")
    if modifier == "text":
        return both(*(_word(code, word) for word in words(text)))
    if modifier is None:
        return Prefix(code, folded)
    raise unsupported_modifier(code, modifier, ("missing", "exact", "contains", "text"))


def _word(code: str, word: str) -> Node:
    """Return the start of any word of a string: at its beginning, or behind a space."""
    if len(word) < 2:
        raise malformed(f"{code}:text", "expected words of at least two letters or digits.")
    return Or((Prefix(code, word), Contains(code, f" {word}")))


def _special(parameter: SearchParameter, modifier: str | None, value: str, asking: Asking) -> Node:
    if parameter.code == "_list":
        return either(*(_listed(parameter.base, unescape(text)) for text in alternatives(value)))
    return either(*(_all_words(parameter.code, unescape(text)) for text in alternatives(value)))


def _all_words(code: str, text: str) -> Node:
    wanted = words(text)
    if not wanted:
        raise malformed(code, "expected at least one letter or digit.")
    return Words(code, wanted)


def _listed(type_: str, id_: str) -> Node:
    if id_.startswith("$"):
        raise BadRequest("Functional lists are not offered: _list takes the id of a List.", code="not-supported")
    if not is_id(id_):
        raise malformed("_list", "expected the id of a List.")
    return Has(type_, "List", "item", Ids((id_,)))


_Lower = Callable[[SearchParameter, str | None, str, Asking], Node]
_LOWER: dict[ParameterType, _Lower] = {
    ParameterType.TOKEN: token_node,
    ParameterType.STRING: _string,
    ParameterType.REFERENCE: reference_node,
    ParameterType.URI: uri_node,
    ParameterType.DATE: date_node,
    ParameterType.NUMBER: number_node,
    ParameterType.QUANTITY: quantity_node,
    ParameterType.COMPOSITE: composite_node,
    ParameterType.SPECIAL: _special,
}
_MODIFIED = frozenset({ParameterType.TOKEN, ParameterType.STRING, ParameterType.REFERENCE, ParameterType.URI})
