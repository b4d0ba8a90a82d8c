"""Token parameters -> nodes: the four forms of a token, and its modifiers. fhir-rest 6.8"""

from __future__ import annotations

from collections.abc import Iterable

from fhir_dmp.errors import BadRequest, NotFound, Unprocessable
from fhir_dmp.fhir.fold import words
from fhir_dmp.search.grammar import alternatives, pieces, unescape
from fhir_dmp.search.keys import canonical_code, coding_parts, contact_value
from fhir_dmp.search.parameters import SearchParameter
from fhir_dmp.search.query import AnyTerm, Node, Not, Nothing, Prefix, Term, both, either
from fhir_dmp.search.rules import MAX_MEMBERS, Asking, ParseRules, malformed, unsupported_modifier
from fhir_dmp.terminology.aliases import canonical_identifier, canonical_system

_MODIFIERS = ("missing", "not", "text", "in", "not-in", "above", "below", "of-type")


def token_node(parameter: SearchParameter, modifier: str | None, value: str, asking: Asking) -> Node:
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
        raise unsupported_modifier(code, modifier, _MODIFIERS)
    found = either(*(_one(parameter, text) for text in asked))
    return found if modifier is None else Not(found)


def _one(parameter: SearchParameter, text: str) -> Node:
    implied = parameter.system
    if implied is not None and "|" in text:
        system, code = system_and_code(parameter.code, text)
        if system is not None and canonical_system(system) != canonical_system(implied):
            return Nothing()
        if not code:  # any code of the one system there is
            return Not(Term(f"{parameter.code}=0"))
        text = code
    keys = tuple(f"{parameter.code}={part}" for part in token_asked(parameter, text))
    return Term(keys[0]) if len(keys) == 1 else AnyTerm(keys)


def system_and_code(name: str, text: str) -> tuple[str | None, str]:
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
    system, code = system_and_code(parameter.code, text)
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
    system, member = system_and_code(code, text)
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
        raise unsupported_modifier(parameter.code, "of-type", _MODIFIERS[:-1])
    if len(split) != 3 or not all(split):
        raise malformed(f"{parameter.code}:of-type", "expected type system|type code|value.")
    system, code, value = split
    return Term(f"{parameter.code}:of-type=s:{canonical_system(system)}|{code.lower()}|{value}")
