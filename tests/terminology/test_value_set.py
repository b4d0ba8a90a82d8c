"""What is in a value set: the question about one code and the list of all codes give the same answer."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from fhir_dmp.terminology.code_system import CodeSystem
from fhir_dmp.terminology.listing import members, rows
from fhir_dmp.terminology.value_set import Member, ValueSet, contains
from fhir_dmp.terminology.word_index import WordIndex, has_words

A, B = "http://example.org/a", "http://example.org/b"
SETS = ("http://example.org/vs/0", "http://example.org/vs/1", "http://example.org/vs/2")
CODES = "abcdef"
Json = dict[str, Any]


class Shelf:
    """Definitions by URL."""

    def __init__(self, systems: list[Json], sets: list[Json]) -> None:
        self._systems = {each["url"]: CodeSystem.read(each) for each in systems}
        self._sets = {each["url"]: ValueSet.read(each) for each in sets}

    def code_system(self, url: str, version: str | None = None) -> CodeSystem | None:
        """Return a code system; here they have no versions."""
        return self._systems.get(url)

    def value_set(self, url: str, version: str | None = None) -> ValueSet | None:
        """Return a value set."""
        return self._sets.get(url)


some_codes = st.lists(st.sampled_from(CODES), unique=True, max_size=4)


@st.composite
def systems(draw: st.DrawFn, url: str) -> Json:
    """A complete code system whose concepts stand below earlier ones, some of them retired."""
    concepts: list[Json] = []
    for index, code in enumerate(CODES):
        above = [each for each in draw(some_codes) if each in CODES[:index]]
        properties: list[Json] = [{"code": "parent", "valueCode": each} for each in above]
        if draw(st.booleans()):
            properties.append({"code": "inactive", "valueBoolean": True})
        concepts.append({"code": code, "display": code * 2, "property": properties})
    return {"url": url, "content": "complete", "concept": concepts}


filters = st.builds(
    lambda op, value: {"property": "concept", "op": op, "value": value},
    st.sampled_from(["is-a", "descendent-of", "is-not-a", "generalizes", "in", "not-in", "=", "regex"]),
    st.sampled_from(CODES),
)


@st.composite
def includes(draw: st.DrawFn, later: tuple[str, ...]) -> Json:
    """An include of a system, of earlier value sets, or of both."""
    part: Json = {}
    if not later or draw(st.booleans()):
        part["system"] = draw(st.sampled_from([A, B]))
        if draw(st.booleans()):
            part["concept"] = [{"code": code} for code in draw(some_codes)]
        elif draw(st.booleans()):
            part["filter"] = draw(st.lists(filters, min_size=1, max_size=2))
    if later and (not part or draw(st.booleans())):
        part["valueSet"] = draw(st.lists(st.sampled_from(later), min_size=1, max_size=2, unique=True))
    return part


@st.composite
def shelves(draw: st.DrawFn) -> Shelf:
    """Two code systems and three value sets, each of which may use those before it."""
    sets = []
    for index, url in enumerate(SETS):
        part = includes(SETS[:index])
        compose: Json = {"include": draw(st.lists(part, min_size=1, max_size=3))}
        compose["exclude"] = draw(st.lists(part, max_size=2))
        if draw(st.booleans()):
            compose["inactive"] = False
        sets.append({"url": url, "compose": compose})
    return Shelf([draw(systems(A)), draw(systems(B))], sets)


@given(shelves())
def test_a_code_is_contained_exactly_when_it_is_a_member(shelf: Shelf) -> None:
    for url in SETS:
        value_set = shelf.value_set(url)
        assert value_set is not None
        listed = {(member.system, member.code) for member in members(value_set, shelf)}
        told = {(s, c) for s in (A, B) for c in CODES if contains(value_set, s, c, shelf)}
        assert told == listed
        assert {c for c in CODES if contains(value_set, None, c, shelf)} == {code for _, code in listed}


def test_what_is_loaded_in_part_or_not_at_all_leaves_the_answer_open() -> None:
    part = {"url": A, "content": "fragment", "concept": [{"code": "a"}]}
    shelf = Shelf([part], [])
    of_a = ValueSet.read({"compose": {"include": [{"system": A}]}})
    of_b = ValueSet.read({"compose": {"include": [{"system": B}]}})
    assert contains(of_a, A, "a", shelf) is True
    assert contains(of_a, A, "z", shelf) is None
    assert contains(of_b, B, "a", shelf) is None
    assert contains(of_b, A, "a", shelf) is False
    assert contains(ValueSet.read({}), A, "a", shelf) is None


def test_an_expansion_is_used_where_the_definition_cannot_be_computed() -> None:
    expansion = {"contains": [{"system": B, "code": "b", "contains": [{"system": B, "code": "c", "abstract": True}]}]}
    value_set = ValueSet.read({"compose": {"include": [{"system": B}]}, "expansion": expansion})
    assert members(value_set, Shelf([], [])) == [Member(B, "b")]
    only = ValueSet.read({"expansion": expansion})
    assert contains(only, B, "b", Shelf([], [])) is True
    assert contains(only, B, "c", Shelf([], [])) is False


def test_a_code_system_that_does_not_mind_case_finds_a_code_in_any() -> None:
    system = CodeSystem.read({"url": A, "caseSensitive": False, "concept": [{"code": "Ab"}]})
    assert system.find("aB") == system.concepts["Ab"]
    assert CodeSystem.read({"url": A, "concept": [{"code": "Ab"}]}).find("aB") is None


@given(shelves(), st.sampled_from(CODES), st.sampled_from(["", "a", "bb", "f"]))
def test_listing_with_words_is_filtering_the_whole_list(shelf: Shelf, first: str, second: str) -> None:
    words = [word for word in (first, second) if word]
    for url in SETS:
        value_set = shelf.value_set(url)
        assert value_set is not None
        whole = [row.pair for row in rows(value_set, shelf) if has_words(row.names(), words)]
        assert [row.pair for row in rows(value_set, shelf, words=words)] == whole


@given(
    st.lists(st.lists(st.sampled_from(["Œdème aigu", "aigu", "Âge", "x-y", ""]), max_size=3)),
    st.text("aoedgyx", max_size=3),
)
def test_the_index_finds_what_reading_through_finds(items: list[list[str]], word: str) -> None:
    expected = [at for at, names in enumerate(items) if has_words(names, [word])] if word else []
    assert WordIndex(items).find([word] if word else []) == expected
