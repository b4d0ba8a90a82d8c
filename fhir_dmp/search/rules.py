"""What the parser must know beside the request: the server's address, zone, limits, and its terminology."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import tzinfo

from fhir_dmp.errors import BadRequest
from fhir_dmp.search.parameters import Registry

#: Value set URL (or `ValueSet/id`) -> its (system, code) pairs; None when it cannot be resolved.
Members = Callable[[str], Iterable[tuple[str | None, str]] | None]

#: (system, code, `above` or `below`) -> the related codes, itself included; None when the system has no hierarchy here.
Hierarchy = Callable[[str, str, str], Iterable[str] | None]

#: References that one chain may follow, `_has` included.
MAX_REFERENCES = 3

#: Codes that one `:in`, `:above` or `:below` may stand for.
MAX_MEMBERS = 1000


@dataclass(frozen=True, slots=True)
class ParseRules:
    """The circumstances of one search.

    base: FHIR base URL, no slash at its end. zone: of dates without offset. now_ms: for `ap`. strict: refuse what is
    not known instead of ignoring it. counts: type -> (default, maximum) page size where it differs from the others.
    compartment: (type, id) when the search is limited to one. unreported: parameters that belong to other layers.
    """

    base: str
    zone: tzinfo
    now_ms: int
    strict: bool = False
    default_count: int = 20
    max_count: int = 1000
    counts: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    compartment: tuple[str, str] | None = None
    members: Members | None = None
    hierarchy: Hierarchy | None = None
    unreported: frozenset[str] = frozenset({"_format", "_pretty"})


@dataclass(frozen=True, slots=True)
class Asking:
    """The registry and the rules, which travel together through the parser."""

    registry: Registry
    rules: ParseRules


class UnknownParameter(BadRequest):
    """A parameter that this server does not offer: refused in strict handling, else ignored and reported."""

    default_code = "not-supported"


def malformed(name: str, what: str) -> BadRequest:
    """Return the refusal of a value that cannot be read; it names the parameter, never the value."""
    name = name.partition("$")[0]  # keys of composites hold values
    return BadRequest(f"Search parameter '{name[:80]}': {what}", code="value", expression=f"http.{name[:80]}")


def unsupported_modifier(name: str, modifier: str, allowed: Iterable[str]) -> BadRequest:
    """Return the refusal of a modifier: ignoring it would change what is asked."""
    offered = ", ".join(f":{part}" for part in allowed)
    return BadRequest(
        f"Search parameter '{name[:80]}' does not support the modifier ':{modifier[:40]}'; it supports {offered}.",
        code="not-supported",
        expression=f"http.{name[:80]}",
    )
