"""One search parameter with its modifier and value -> a node of the query tree. No chains here (search/chains.py)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from fhir_dmp.errors import BadRequest, NotFound, Unprocessable
from fhir_dmp.fhir import dates
from fhir_dmp.fhir.resource import is_id
from fhir_dmp.search.fold import fold, words
from fhir_dmp.search.grammar import alternatives, pieces, prefixed, unescape
from fhir_dmp.search.keys import (
    ANY_SYSTEM,
    canonical_code,
    coding_parts,
    contact_value,
    exact_part,
)
from fhir_dmp.search.numbers import UCUM, around, in_canonical_unit, near, point, written
from fhir_dmp.search.parameters import EXACT_TYPES, ParameterType, SearchParameter
from fhir_dmp.search.query import (
    AnyTerm,
    Contains,
    Everything,
    Has,
    Ids,
    LastUpdated,
    Node,
    Not,
    Nothing,
    Op,
    Or,
    Prefix,
    Span,
    Term,
    Words,
    both,
    either,
)
from fhir_dmp.search.rules import MAX_MEMBERS, Asking, ParseRules, malformed, unsupported_modifier
from fhir_dmp.search.values import local_reference
from fhir_dmp.terminology.aliases import canonical_identifier, canonical_system

_EQUALITY = frozenset({Op.EQ, Op.NE})
_TOKEN_MODIFIERS = ("missing", "not", "text", "in", "not-in", "above", "below", "of-type")


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


# Tokens


def _token(parameter: SearchParameter, modifier: str | None, value: str, asking: Asking) -> Node:
    code, asked = parameter.code, alternatives(value)
    if modifier == "text":
        return either(*(_text_words(code, unescape(text)) for text in asked))
    if modifier in ("in", "not-in"):
        members = either(*(_members(code, unescape(url), asking.rules) for url in asked))
        return members if modifier == "in" else Not(members)
    if modifier in ("above", "below"):
        return either(*(_relatives(code, text, modifier, asking.rules) for text in asked))
    if modifier == "of-type":
        return either(*(_of_type(parameter, text) for text in asked))
    if modifier not in (None, "not"):
        raise unsupported_modifier(code, modifier, _TOKEN_MODIFIERS)
    found = either(*(_token_node(parameter, text) for text in asked))
    return found if modifier is None else Not(found)


def _token_node(parameter: SearchParameter, text: str) -> Node:
    implied = parameter.system
    if implied is not None and "|" in text:
        system, code = _system_and_code(parameter.code, text)
        if system is not None and canonical_system(system) != canonical_system(implied):
            return Nothing()
        if not code:  # any code of the one system there is
            return Not(Term(f"{parameter.code}=0"))
        text = code
    keys = tuple(f"{parameter.code}={part}" for part in token_asked(parameter, text))
    return Term(keys[0]) if len(keys) == 1 else AnyTerm(keys)


def _system_and_code(name: str, text: str) -> tuple[str | None, str]:
    """Split `system|code`; the system is None without a bar, empty for "no system"."""
    split = [unescape(piece) for piece in pieces(text, "|")]
    if len(split) == 1:
        return None, split[0]
    if len(split) > 2 or not any(split):
        raise malformed(name, "expected code, system|code, |code or system|.")
    return split[0], split[1]


def token_asked(parameter: SearchParameter, text: str) -> tuple[str, ...]:
    """Return the parts that match `code`, `system|code`, `|code` or `system|`.

    Where the kind of value is not known, the code is asked as it is written and folded.
    """
    system, code = _system_and_code(parameter.code, text)
    if parameter.kinds == ("boolean",) and code not in ("true", "false"):
        raise malformed(parameter.code, "expected true or false.")
    if system and not code:
        return (f"y:{canonical_system(system)}",)
    if parameter.kinds == ("ContactPoint",):
        code = contact_value(code)
    letter = "c:" if system is None else "n:"
    if not system:
        folded = (f"{letter}{code.lower()}",)
        exact = (f"{letter}{code}",)
    else:
        folded = ("s:{}|{}".format(*canonical_code(system, code)),)
        exact = ("s:{}|{}".format(*canonical_identifier(canonical_system(system), code)),)
    if parameter.keeps_case:
        return exact
    return folded if parameter.folds_case else tuple(dict.fromkeys(exact + folded))


def _text_words(code: str, text: str) -> Node:
    wanted = words(text)
    if not wanted:
        raise malformed(f"{code}:text", "expected at least one letter or digit.")
    return both(*(Prefix(f"{code}#", word) for word in wanted))


def _members(code: str, url: str, rules: ParseRules) -> Node:
    found = rules.members(url) if rules.members else None
    if found is None:
        raise NotFound(f"Search parameter '{code}': the value set cannot be resolved here.", code="not-found")
    return _any_coding(code, found)


def _relatives(code: str, text: str, direction: str, rules: ParseRules) -> Node:
    system, member = _system_and_code(code, text)
    if not system or not member:
        raise malformed(f"{code}:{direction}", "expected system|code.")
    found = rules.hierarchy(canonical_system(system), member, direction) if rules.hierarchy else None
    if found is None:
        raise BadRequest(
            f"Search parameter '{code}:{direction}': the hierarchy of this code system is not known here.",
            code="not-supported",
        )
    return _any_coding(code, ((system, relative) for relative in found))


def _any_coding(code: str, members: Iterable[tuple[str | None, str]]) -> Node:
    keys = []
    for system, member in members:
        parts = coding_parts(system, member)
        keys.append(f"{code}={parts[0]}")
        if len(keys) > MAX_MEMBERS:
            raise Unprocessable(
                f"Search parameter '{code}': more than {MAX_MEMBERS} codes to look for; use a narrower value set.",
                code="too-costly",
            )
    return AnyTerm(tuple(dict.fromkeys(keys))) if keys else Nothing()


def _of_type(parameter: SearchParameter, text: str) -> Node:
    split = [unescape(piece) for piece in pieces(text, "|")]
    if parameter.kinds and "Identifier" not in parameter.kinds:
        raise unsupported_modifier(parameter.code, "of-type", _TOKEN_MODIFIERS[:-1])
    if len(split) != 3 or not all(split):
        raise malformed(f"{parameter.code}:of-type", "expected type system|type code|value.")
    system, code, value = split
    return Term(f"{parameter.code}:of-type=s:{canonical_system(system)}|{code.lower()}|{value}")


# Strings


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


# References and addresses


def _reference(parameter: SearchParameter, modifier: str | None, value: str, asking: Asking) -> Node:
    code, asked = parameter.code, alternatives(value)
    if modifier == "identifier":
        return either(*(Term(f"{code}=d:{_logical(code, text)}") for text in asked))
    targets = parameter.targets
    if modifier is not None:
        if modifier not in asking.registry.types:
            raise unsupported_modifier(code, modifier, ("missing", "identifier", "[type]"))
        if modifier not in targets:
            raise malformed(f"{code}:{modifier}", f"this reference never points to {modifier}.")
        targets = (modifier,)
    return either(
        *(
            Term(f"{code}={part}")
            for text in asked
            for part in reference_asked(parameter, unescape(text), targets, asking.rules.base)
        )
    )


def _logical(code: str, text: str) -> str:
    system, value = _system_and_code(code, text)
    if not value:
        raise malformed(f"{code}:identifier", "expected system|value or value.")
    if system is None:
        return f"{ANY_SYSTEM}|{value}"
    return "{}|{}".format(*canonical_identifier(canonical_system(system), value)) if system else f"|{value}"


def reference_asked(parameter: SearchParameter, text: str, targets: tuple[str, ...], base: str) -> tuple[str, ...]:
    """Return the parts that match an id, `Type/id`, an absolute URL, or a canonical with or without version."""
    local = local_reference(text, base)
    if local is not None:
        key, version = local
        if key.partition("/")[0] not in targets and targets != parameter.targets:
            return ()  # `subject:Patient=Group/1` asks for nothing
        return (f"r:{key}",) if version is None else (f"r:{key}/_history/{version}",)
    if is_id(text):
        return tuple(f"r:{target}/{text}" for target in targets)
    if re.match(r"[A-Za-z][A-Za-z0-9+.\-]*:", text):
        return (f"u:{text}",)
    raise malformed(parameter.code, "expected an id, Type/id or an absolute URL.")


def _uri(parameter: SearchParameter, modifier: str | None, value: str, asking: Asking) -> Node:
    code = parameter.code
    asked = [unescape(text) for text in alternatives(value)]
    if modifier is None:
        return either(*(Term(f"{code}=u:{text}") for text in asked))
    if modifier == "below":
        return either(*(part for text in asked for part in _below(code, text)))
    if modifier == "above":
        return either(*(Term(f"{code}=u:{ancestor}") for text in asked for ancestor in _ancestors(text)))
    raise unsupported_modifier(code, modifier, ("missing", "above", "below"))


def _below(code: str, text: str) -> tuple[Node, ...]:
    if text.lower().startswith("urn:"):  # a urn has no path
        return (Term(f"{code}=u:{text}"),)
    return Term(f"{code}=u:{text}"), Prefix(code, text.rstrip("/") + "/")


def _ancestors(text: str) -> tuple[str, ...]:
    """Return a uri and the paths above it, down to the host.

    >>> _ancestors("http://a.example/b/c")
    ('http://a.example/b/c', 'http://a.example/b', 'http://a.example')
    """
    found = [text]
    if not text.lower().startswith("urn:"):
        start = text.find("://") + 3
        while (cut := found[-1].rfind("/")) > start:
            found.append(found[-1][:cut])
    return tuple(found)


# Numbers, dates, quantities


def _date(parameter: SearchParameter, modifier: str | None, value: str, asking: Asking) -> Node:
    return either(*(_date_node(parameter.code, text, asking.rules) for text in alternatives(value)))


def _date_node(key: str, text: str, rules: ParseRules) -> Node:
    op, rest = prefixed(unescape(text), key)
    try:
        low, high = dates.interval(rest, rules.zone)
    except BadRequest as error:
        raise malformed(key, str(error)) from error
    if op is Op.AP:
        margin = max(abs(rules.now_ms - low) // 10, high - low)
        low, high = low - margin, high + margin
    return LastUpdated(op, low, high) if key == "_lastUpdated" else Span(key, op, low, high)


def _number(parameter: SearchParameter, modifier: str | None, value: str, asking: Asking) -> Node:
    return either(*(_number_node(parameter.code, text) for text in alternatives(value)))


def _number_node(key: str, text: str) -> Node:
    op, rest = prefixed(unescape(text), key)
    try:
        if op in _EQUALITY:
            low, high = around(rest)
        else:
            number, _ = written(rest)
            low, high = near(number) if op is Op.AP else point(number)
    except BadRequest as error:
        raise malformed(key, str(error)) from error
    return Span(key, op, low, high)


def _quantity(parameter: SearchParameter, modifier: str | None, value: str, asking: Asking) -> Node:
    return either(*(_quantity_node(parameter.code, text) for text in alternatives(value)))


def _quantity_node(key: str, text: str) -> Node:
    split = [unescape(piece) for piece in pieces(text, "|")]
    if len(split) == 1:
        return _number_node(key, text)
    if len(split) != 3 or not split[2]:
        raise malformed(key, "expected number, number|system|code or number||code.")
    number, system, code = split
    if not system:
        return _number_node_at(f"{key}||{code}", key, number, "")
    if system == UCUM:
        canonical, _ = in_canonical_unit((), code)
        return _number_node_at(f"{key}|{UCUM}|{canonical}", key, number, code)
    return _number_node_at(f"{key}|{system}|{code}", key, number, "")


def _number_node_at(span: str, key: str, text: str, unit: str) -> Node:
    """Return the span of a number in a unit; the precision as written is converted too."""
    op, rest = prefixed(text, key)
    try:
        number, half = written(rest)
    except BadRequest as error:
        raise malformed(key, str(error)) from error
    if op in _EQUALITY:
        bounds = (number - half, number + half)
    elif op is Op.AP:
        margin = abs(number) / 10
        bounds = (number - margin, number + margin)
    else:
        bounds = (number, number)
    low, high = in_canonical_unit(bounds, unit)[1] if unit else bounds
    if op in _EQUALITY:
        return Span(span, op, float(low), float(high))
    return Span(span, op, point(low)[0], point(high)[1])


# Composite and special


def _composite(parameter: SearchParameter, modifier: str | None, value: str, asking: Asking) -> Node:
    return either(*(_composite_node(parameter, text, asking) for text in alternatives(value)))


def _composite_node(parameter: SearchParameter, text: str, asking: Asking) -> Node:
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
    system, code = _system_and_code(parameter.code, piece)
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
            return _date_node(key, piece, rules)
        case ParameterType.QUANTITY:
            return _quantity_node(key, piece)
        case ParameterType.NUMBER:
            return _number_node(key, piece)
        case _:
            return Prefix(key, fold(unescape(piece)))


def _special(parameter: SearchParameter, modifier: str | None, value: str, asking: Asking) -> Node:
    if parameter.code == "_list":
        return either(*(_listed(parameter.base, unescape(text)) for text in alternatives(value)))
    wanted = words(unescape(value))
    if not wanted:
        raise malformed(parameter.code, "expected at least one letter or digit.")
    return Words(parameter.code, wanted)


def _listed(type_: str, id_: str) -> Node:
    if id_.startswith("$"):
        raise BadRequest("Functional lists are not offered: _list takes the id of a List.", code="not-supported")
    if not is_id(id_):
        raise malformed("_list", "expected the id of a List.")
    return Has(type_, "List", "item", Ids((id_,)))


_Lower = Callable[[SearchParameter, str | None, str, Asking], Node]
_LOWER: dict[ParameterType, _Lower] = {
    ParameterType.TOKEN: _token,
    ParameterType.STRING: _string,
    ParameterType.REFERENCE: _reference,
    ParameterType.URI: _uri,
    ParameterType.DATE: _date,
    ParameterType.NUMBER: _number,
    ParameterType.QUANTITY: _quantity,
    ParameterType.COMPOSITE: _composite,
    ParameterType.SPECIAL: _special,
}
_MODIFIED = frozenset({ParameterType.TOKEN, ParameterType.STRING, ParameterType.REFERENCE, ParameterType.URI})
