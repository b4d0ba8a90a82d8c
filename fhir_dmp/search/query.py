"""The query tree: what is asked of an index, in the vocabulary of index terms (search/terms.py).

`search.parse` lowers FHIR search parameters to these nodes, `access.restrict` adds its own, every store compiles them,
and `search.match` says what they mean. Nodes are values: hashable, comparable, free of any store.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

#: Bounds that stand for "no bound" in a span (milliseconds for dates; any number for quantities).
MINUS_INFINITY = -(2**62)
PLUS_INFINITY = 2**62


class Op(StrEnum):
    """FHIR search prefixes, https://hl7.org/fhir/R4/search.html#prefix."""

    EQ = "eq"
    NE = "ne"
    GT = "gt"
    LT = "lt"
    GE = "ge"
    LE = "le"
    SA = "sa"
    EB = "eb"
    AP = "ap"


@dataclass(frozen=True, slots=True)
class Everything:
    """Every current resource of the type."""


@dataclass(frozen=True, slots=True)
class Nothing:
    """No resource at all."""


@dataclass(frozen=True, slots=True)
class Term:
    """The resource holds this exact token (see Terms.tokens)."""

    key: str


@dataclass(frozen=True, slots=True)
class AnyTerm:
    """The resource holds at least one of these tokens."""

    keys: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Prefix:
    """A string entry (param, value) of the resource whose value starts with `text` (already folded)."""

    param: str
    text: str


@dataclass(frozen=True, slots=True)
class Contains:
    """A string entry (param, value) of the resource whose value contains `text` (already folded, 3+ characters)."""

    param: str
    text: str


@dataclass(frozen=True, slots=True)
class Span:
    """A span entry (key, low, high) of the resource that stands in relation `op` to [low, high) of the query.

    The relation is `search.match.span_holds`; for AP the query bounds are already widened.
    """

    key: str
    op: Op
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Words:
    """All these folded words occur (each as the start of a word) in the full text `param` (`_text`, `_content`)."""

    param: str
    words: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Ids:
    """The logical id is one of these."""

    ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LastUpdated:
    """meta.lastUpdated (one millisecond wide) stands in relation `op` to [low, high) (ms since the epoch, UTC)."""

    op: Op
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class And:
    """All of the nodes hold."""

    nodes: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Or:
    """At least one of the nodes holds."""

    nodes: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """The node does not hold."""

    node: Node


@dataclass(frozen=True, slots=True)
class Chain:
    """The resource refers, through parameter `param`, to a current resource that satisfies the node of its type.

    `targets` maps a target type to the query on it. Resolved to AnyTerm before a store compiles (search/joins.py).
    """

    param: str
    targets: tuple[tuple[str, Node], ...]


@dataclass(frozen=True, slots=True)
class Has:
    """A current `source` resource that satisfies `node` refers to this one (of type `target`) through `param`.

    Resolved to Ids before a store compiles (search/joins.py).
    """

    target: str
    source: str
    param: str
    node: Node


Node = (
    Everything
    | Nothing
    | Term
    | AnyTerm
    | Prefix
    | Contains
    | Span
    | Words
    | Ids
    | LastUpdated
    | And
    | Or
    | Not
    | Chain
    | Has
)


def both(*nodes: Node) -> Node:
    """Return the conjunction of the nodes, flattened; Everything when there is none, Nothing when one is Nothing."""
    flat: list[Node] = []
    for node in nodes:
        if isinstance(node, And):
            flat.extend(node.nodes)
        elif isinstance(node, Nothing):
            return node
        elif not isinstance(node, Everything):
            flat.append(node)
    if not flat:
        return Everything()
    return flat[0] if len(flat) == 1 else And(tuple(flat))


def either(*nodes: Node) -> Node:
    """Return the disjunction of the nodes, flattened; Nothing when there is none, tokens gathered in one AnyTerm."""
    flat: list[Node] = []
    keys: list[str] = []
    for node in nodes:
        for part in node.nodes if isinstance(node, Or) else (node,):
            if isinstance(part, Everything):
                return part
            if isinstance(part, Term):
                keys.append(part.key)
            elif isinstance(part, AnyTerm):
                keys.extend(part.keys)
            elif not isinstance(part, Nothing):
                flat.append(part)
    if keys:
        unique = tuple(dict.fromkeys(keys))
        flat.append(Term(unique[0]) if len(unique) == 1 else AnyTerm(unique))
    if not flat:
        return Nothing()
    return flat[0] if len(flat) == 1 else Or(tuple(flat))


@dataclass(frozen=True, slots=True)
class SortKey:
    """One key of _sort: a search parameter code, `_id` or `_lastUpdated`."""

    param: str
    descending: bool = False


SortValue = float | str


@dataclass(frozen=True, slots=True)
class Position:
    """Where a page ended: the sort values of its last row (None = the row lacks the value) and its type and id.

    The row order is: each sort key in turn (rows without the value last, whatever the direction), then type, then id.
    """

    values: tuple[SortValue | None, ...]
    type: str
    id: str


@dataclass(frozen=True, slots=True)
class Search:
    """One page asked of a store.

    types: resource types searched, usually one. each: what the resources of a type must satisfy beside `node`.
    sort: () means most recently updated first. count: at most this many rows (0: none). after: continue behind this
    position; before: the page that ends just before this position (rows still returned in sort order). bound: ignore
    versions committed after this sequence. total: also count all matches. cap: give up with TooCostly when an
    intermediate set exceeds this many ids.
    """

    types: tuple[str, ...]
    node: Node
    sort: tuple[SortKey, ...] = ()
    count: int = 20
    after: Position | None = None
    before: Position | None = None
    bound: int | None = None
    total: bool = False
    each: tuple[tuple[str, Node], ...] = ()

    def node_of(self, type_: str) -> Node:
        """Return what the resources of one type must satisfy."""
        own = [node for name, node in self.each if name == type_]
        return both(self.node, *own) if own else self.node


@dataclass(frozen=True, slots=True)
class Include:
    """One _include or _revinclude: `source:param[:target]`; `*` as source or param for all."""

    source: str
    param: str
    target: str | None = None
    iterate: bool = False
    reverse: bool = False


@dataclass(frozen=True, slots=True)
class Query:
    """A parsed FHIR search: what to find, how to show it, and what could not be applied.

    applied: the (name, value) pairs that were really used, in order, for the self link.
    ignored: issues about parameters that were left out (lenient handling).
    """

    types: tuple[str, ...]
    node: Node
    applied: tuple[tuple[str, str], ...] = ()
    sort: tuple[SortKey, ...] = ()
    count: int | None = None
    total: str | None = None
    summary: str | None = None
    elements: tuple[str, ...] = ()
    includes: tuple[Include, ...] = ()
    ignored: tuple[tuple[str, str], ...] = ()
    patients: tuple[PatientCriterion, ...] = ()
    filters: frozenset[str] = field(default_factory=frozenset)


@dataclass(frozen=True, slots=True)
class PatientCriterion:
    """A criterion that limits the search to patients, for the access decision.

    references: `Patient/id` values; identifiers: (system, value) pairs of `patient.identifier` and the like.
    """

    references: tuple[str, ...] = ()
    identifiers: tuple[tuple[str | None, str], ...] = ()


Parameters = Mapping[str, tuple[str, ...]]
