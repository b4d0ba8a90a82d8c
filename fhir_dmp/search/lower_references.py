"""Reference and uri parameters -> nodes. fhir-rest 6.9, 6.11"""

from __future__ import annotations

import re

from fhir_dmp.fhir.resource import is_id
from fhir_dmp.search.grammar import alternatives, unescape
from fhir_dmp.search.keys import ANY_SYSTEM
from fhir_dmp.search.lower_tokens import system_and_code
from fhir_dmp.search.parameters import SearchParameter
from fhir_dmp.search.query import Node, Prefix, Term, either
from fhir_dmp.search.rules import Asking, malformed, unsupported_modifier
from fhir_dmp.search.values import local_reference
from fhir_dmp.terminology.aliases import canonical_identifier, canonical_system


def reference_node(parameter: SearchParameter, modifier: str | None, value: str, asking: Asking) -> Node:
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
    system, value = system_and_code(code, text)
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


def uri_node(parameter: SearchParameter, modifier: str | None, value: str, asking: Asking) -> Node:
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
