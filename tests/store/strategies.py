"""Random terms and random queries over a small vocabulary, so that queries really match something."""

from __future__ import annotations

from hypothesis import strategies as st

from fhir_dmp.search.query import (
    MINUS_INFINITY,
    PLUS_INFINITY,
    And,
    AnyTerm,
    Contains,
    Everything,
    Ids,
    LastUpdated,
    Node,
    Not,
    Nothing,
    Op,
    Or,
    Prefix,
    SortKey,
    Span,
    Term,
    Words,
)
from fhir_dmp.search.terms import Terms

IDS = tuple(f"r{number}" for number in range(8))
TOKENS = (
    "status=c:current",
    "type=s:urn:x|1",
    "type=c:1",
    "patient=r:Patient/p1",
    "patient=r:Patient/p2",
    "patient.identifier=s:urn:ins|1",
    "related=0",
    "é=c:à $ . \" '",
)
STRINGS = ("durand", "dupont", "du%nt", "d_", "élodie", "", "du 'x' \"y\"", "\U0010ffff", "\U0010ffffz")
WORDS = ("compte", "rendu", "d'hopital", "élan", "co", "a-b", "MAJ", "и", "x*", '"q"', "and", "not")
BOUNDS = (MINUS_INFINITY, -5.5, 0, 1, 2, 3, 1000, 86_400_000, 1_700_000_000_000, 1_700_000_000_001, PLUS_INFINITY)


def _intervals(proper: bool) -> st.SearchStrategy[tuple[float, float]]:
    bounds = st.lists(st.sampled_from(BOUNDS), min_size=2, max_size=2, unique=proper)
    return bounds.map(lambda pair: (min(pair), max(pair)))


def _unique(elements: st.SearchStrategy[str], most: int) -> st.SearchStrategy[tuple[str, ...]]:
    return st.lists(elements, unique=True, max_size=most).map(tuple)


terms: st.SearchStrategy[Terms] = st.builds(
    Terms,
    tokens=_unique(st.sampled_from(TOKENS), 5),
    strings=st.lists(st.tuples(st.sampled_from(("name", "title")), st.sampled_from(STRINGS)), max_size=3).map(tuple),
    spans=st.lists(
        st.tuples(st.sampled_from(("date", "period")), _intervals(True)).map(lambda pair: (pair[0], *pair[1])),
        max_size=3,
    ).map(tuple),
    words=st.lists(
        st.tuples(st.sampled_from(("_text", "_content")), st.lists(st.sampled_from(WORDS), max_size=3).map(" ".join)),
        max_size=2,
    ).map(tuple),
    sort=st.dictionaries(
        st.sampled_from(("date", "name", "a.b")),
        st.sampled_from(((1, 2), (1, 3), (2.5, 2.5), ("a", "b"), ("é", "z"), (0, 0))),
    ),
    patient=st.sampled_from((None, "Patient/p1", "Patient/p2")),
    date=st.none(),
)

_leaves: st.SearchStrategy[Node] = st.one_of(
    st.sampled_from((Everything(), Nothing())),
    st.sampled_from(TOKENS).map(Term),
    _unique(st.sampled_from(TOKENS), 4).map(AnyTerm),
    st.builds(
        Prefix, st.sampled_from(("name", "title")), st.sampled_from(("d", "du", "é", "", "du%", "d_", "\U0010ffff"))
    ),
    st.builds(Contains, st.sampled_from(("name", "title")), st.sampled_from(("ura", "%", "lod", "'x'"))),
    st.builds(
        lambda key, op, pair: Span(key, op, *pair),
        st.sampled_from(("date", "period")),
        st.sampled_from(Op),
        _intervals(False),
    ),
    st.builds(
        Words,
        st.sampled_from(("_text", "_content")),
        st.lists(st.sampled_from((*WORDS, "c", "d'", "")), max_size=2).map(tuple),
    ),
    _unique(st.sampled_from((*IDS, "absent")), 3).map(Ids),
    st.builds(lambda op, pair: LastUpdated(op, *pair), st.sampled_from(Op), _intervals(False)),
)

_trees: st.SearchStrategy[Node] = st.recursive(
    _leaves,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda parts: And(tuple(parts))),
        st.lists(inner, max_size=3).map(lambda parts: Or(tuple(parts))),
        inner.map(Not),
    ),
    max_leaves=6,
)

#: What most searches are: a token, mostly present, and something else.
_usual: st.SearchStrategy[Node] = st.builds(
    lambda token, others: And((Term(token), *others)),
    st.sampled_from(TOKENS[:5]),
    st.lists(_trees, min_size=1, max_size=2),
)

nodes: st.SearchStrategy[Node] = st.one_of(_leaves, _usual, _usual, _trees)

sorts: st.SearchStrategy[tuple[SortKey, ...]] = st.lists(
    st.builds(SortKey, st.sampled_from(("date", "name", "a.b", "_id", "_lastUpdated", "absent")), st.booleans()),
    max_size=2,
    unique_by=lambda key: key.param,
).map(tuple)
