"""Queries over sealed terms: a criterion on texts is prepared by the index and judged on the opened terms.

A tree is first widened: each criterion on texts becomes what finds at least its resources. Those are fetched, at most
`cap`, their terms opened, and each criterion judged by search/match.py; then the tree is asked again with the judged
ids in its place. Joins are rewritten from the inside, each for its own type.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import assert_never

from fhir_dmp.errors import Unprocessable
from fhir_dmp.ports import Key, ResourceStore
from fhir_dmp.search.match import matches
from fhir_dmp.search.query import (
    And,
    AnyTerm,
    Chain,
    Contains,
    Everything,
    Has,
    Ids,
    LastUpdated,
    Node,
    Not,
    Nothing,
    Or,
    Prefix,
    Span,
    Term,
    Words,
    both,
    either,
)
from fhir_dmp.search.terms import Terms
from fhir_dmp.store.sealed.blinding import Blinding, Text

#: What stands for a criterion on texts. positive: it is not under a negation.
Stand = Callable[[Text, bool], Node]
_BATCH = 500


class Judge:
    """Rewrites queries for a store that holds blinded terms. open_terms: what `Terms.sealed` of a resource holds."""

    def __init__(
        self, inner: ResourceStore, blinding: Blinding, open_terms: Callable[[Key, bytes], Terms], cap: int
    ) -> None:
        self._inner = inner
        self._blinding = blinding
        self._open_terms = open_terms
        self.cap = cap

    def exact(self, type_: str, node: Node) -> Node:
        """Return what the store below must be asked for the resources of a type that satisfy the node.

        Raises:
            Unprocessable: code too-costly; too many resources would have to be looked at.
        """
        texts = self.texts(node)
        widened = self.widened(node)
        if not texts:
            return widened
        ids = self._inner.find(type_, widened, self.cap + 1)
        if len(ids) > self.cap:
            raise self.too_many(type_)
        return both(widened, self.judged(node, self.answers(texts, [Key(type_, id_) for id_ in ids])))

    def too_many(self, type_: str) -> Unprocessable:
        """Return the refusal of a search that would have to open more resources than the cap."""
        return Unprocessable(
            f"Texts of more than {self.cap} {type_} resources would have to be looked at, because they are stored "
            "encrypted; add criteria that make the search narrower.",
            code="too-costly",
        )

    def widened(self, node: Node) -> Node:
        """Return what finds at least the resources that satisfy the node."""
        return self._rewritten(node, self._stand_wide)

    def judged(self, node: Node, answers: Mapping[Text, tuple[str, ...]]) -> Node:
        """Return the node with the ids that satisfy each of its criteria on texts."""

        def stand(text: Text, positive: bool) -> Node:
            found, exact = self._blinding.candidates(text)
            return found if exact else Ids(answers[text])

        return self._rewritten(node, stand)

    def answers(self, texts: Sequence[Text], keys: Sequence[Key]) -> dict[Text, tuple[str, ...]]:
        """Return which of the resources satisfy each criterion."""
        found: dict[Text, list[str]] = {text: [] for text in texts}
        for start in range(0, len(keys), _BATCH):
            for key, terms in self.terms_of(keys[start : start + _BATCH]).items():
                for text in texts:
                    if matches(text, terms, id_=key.id, updated_ms=0):
                        found[text].append(key.id)
        return {text: tuple(ids) for text, ids in found.items()}

    def terms_of(self, keys: Sequence[Key]) -> dict[Key, Terms]:
        """Return the texts, words and sort values of those resources that have any."""
        sealed = self._inner.sealed_terms(keys)
        return {key: self._open_terms(key, envelope) for key, envelope in sealed.items()}

    def texts(self, node: Node) -> tuple[Text, ...]:
        """Return the criteria on texts that must be judged, those inside of joins left out."""
        return tuple(dict.fromkeys(text for text in _texts(node) if not self._blinding.candidates(text)[1]))

    def _stand_wide(self, text: Text, positive: bool) -> Node:
        found, exact = self._blinding.candidates(text)
        return found if exact or positive else Nothing()

    def _rewritten(self, node: Node, stand: Stand, positive: bool = True) -> Node:
        match node:
            case Term(key):
                return Term(self._blinding.token(key))
            case AnyTerm(keys):
                return AnyTerm(tuple(map(self._blinding.token, keys)))
            case Span(key, op, low, high):
                return Span(self._blinding.span_key(key), op, low, high)
            case Prefix() | Contains() | Words():
                return stand(node, positive)
            case And(nodes):
                return both(*(self._rewritten(part, stand, positive) for part in nodes))
            case Or(nodes):
                return either(*(self._rewritten(part, stand, positive) for part in nodes))
            case Not(inner):
                return _negated(self._rewritten(inner, stand, not positive))
            case Chain(param, targets):
                return Chain(param, tuple((target, self.exact(target, inner)) for target, inner in targets))
            case Has(target, source, param, inner):
                return Has(target, source, param, self.exact(source, inner))
            case Everything() | Nothing() | Ids() | LastUpdated():
                return node
            case _:
                assert_never(node)


def _negated(node: Node) -> Node:
    if isinstance(node, Nothing):
        return Everything()
    return Nothing() if isinstance(node, Everything) else Not(node)


def _texts(node: Node) -> Iterator[Text]:
    match node:
        case Prefix() | Contains() | Words():
            yield node
        case And(nodes) | Or(nodes):
            yield from _each(nodes)
        case Not(inner):
            yield from _texts(inner)
        case _:
            return


def _each(nodes: Iterable[Node]) -> Iterator[Text]:
    for node in nodes:
        yield from _texts(node)
