"""The words of a text: folded, each once, so many and no longer than an index wants."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fhir_dmp.fhir.fold import words
from fhir_dmp.search.texts import LONGEST_WORD, MOST_WORDS, distinct_words, full_texts

_texts = st.text(st.sampled_from("aéÉœ'- .,\n\tß1Zz\u0301\u00a0"), max_size=60)


@given(_texts)
def test_the_words_are_those_of_a_search(text: str) -> None:
    assert tuple(distinct_words(text).split()) == words(text)


def test_a_long_text_has_so_many_words_and_no_monsters() -> None:
    text = " ".join(f"mot{number}" for number in range(MOST_WORDS + 10)) + " fin"
    found = distinct_words("a" * (LONGEST_WORD + 1) + " " + text).split()
    assert (len(found), found[0]) == (MOST_WORDS, "mot0")


def test_what_names_a_document_is_no_word_of_what_refers_to_it() -> None:
    resource = {
        "title": "Classeur",
        "entry": [
            {"item": {"reference": "DocumentReference/1", "display": "Secret"}},
            {"item": {"reference": "https://example.org/fhir/Binary/1", "display": "Autre"}},
            {"item": {"reference": "Patient/1", "display": "Anouk"}},
        ],
    }
    assert full_texts(resource, "") == (("_content", "classeur anouk"),)
