"""String search: folding, word starts, modifiers. fhir-rest 6.7"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_dmp.errors import BadRequest
from fhir_dmp.fhir.fold import fold, starts, words
from tests.search.shelf import Shelf

PEOPLE = Shelf(
    {
        "resourceType": "Patient",
        "id": "elodie",
        "name": [{"family": "Martin", "given": ["Élodie", "Anne-Marie"]}],
        "address": [{"line": ["12 rue de l'Église"], "city": "Saint-Étienne", "postalCode": "42000"}],
    },
    {
        "resourceType": "Patient",
        "id": "jean",
        "name": [{"family": "de la Fontaine", "given": ["Jean-Pierre"], "text": "Jean-Pierre de la Fontaine"}],
        "address": [{"city": "Lyon", "postalCode": "69003", "country": "France"}],
    },
    {"resourceType": "Patient", "id": "angelo", "name": [{"family": "d'Angelo", "given": ["Zoé"]}]},
    {"resourceType": "Patient", "id": "strasse", "name": [{"family": "Großmann", "given": ["Cœurette"]}]},
    {"resourceType": "Patient", "id": "nobody"},
)


@pytest.mark.statement("fhir-rest D84")
@pytest.mark.parametrize("text", ["ELODIE", "Élodie", "elo", "e\N{COMBINING ACUTE ACCENT}lodie", "anne"])
def test_a_name_is_found_by_its_start_without_case_or_accents(text: str) -> None:
    assert PEOPLE.find("Patient", f"given={text}") == ["elodie"]
    assert PEOPLE.find("Patient", f"name={text}") == ["elodie"]


@pytest.mark.statement("fhir-rest D85")
@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("given=jean-pierre", "jean"),
        ("given=jean pierre", "jean"),
        ("given=Jean‐Pierre", "jean"),
        ("family=d'angelo", "angelo"),
        ("family=d’Angelo", "angelo"),
        ("family=D Angelo", "angelo"),
        ("family=grossmann", "strasse"),
        ("given=COEUR", "strasse"),
    ],
)
def test_hyphens_apostrophes_and_ligatures_are_equivalent(query: str, found: str) -> None:
    assert PEOPLE.find("Patient", query) == [found]


@pytest.mark.statement("fhir-rest D86")
def test_a_name_is_found_from_the_start_of_any_word_but_not_from_inside_a_word() -> None:
    assert PEOPLE.find("Patient", "family=fontaine") == ["jean"]
    assert PEOPLE.find("Patient", "family=la font") == ["jean"]
    assert PEOPLE.find("Patient", "given=pierre") == ["jean"]
    assert PEOPLE.find("Patient", "family=ontaine") == []


def test_a_plain_string_is_found_from_its_start_only() -> None:
    shelf = Shelf({"resourceType": "DocumentReference", "id": "d", "description": "Lettre de liaison"})
    assert shelf.find("DocumentReference", "description=lettre de") == ["d"]
    assert shelf.find("DocumentReference", "description=liaison") == []
    assert shelf.find("DocumentReference", "description:text=liaison") == ["d"]
    assert shelf.find("DocumentReference", "description:text=liais lettre") == ["d"]
    assert shelf.find("DocumentReference", "description:text=aison") == []


@pytest.mark.statement("fhir-rest D87")
def test_exact_distinguishes_accents_and_case() -> None:
    assert PEOPLE.find("Patient", "given:exact=Élodie") == ["elodie"]
    assert PEOPLE.find("Patient", "given:exact=Elodie") == []
    assert PEOPLE.find("Patient", "given:exact=élodie") == []
    assert PEOPLE.find("Patient", "given:exact=Élod") == []


def test_exact_tells_two_long_texts_apart() -> None:
    long = "Compte rendu " * 40
    shelf = Shelf(
        {"resourceType": "DocumentReference", "id": "one", "description": long + "A"},
        {"resourceType": "DocumentReference", "id": "two", "description": long + "B"},
    )
    assert shelf.find("DocumentReference", f"description:exact={long}A") == ["one"]


@pytest.mark.statement("fhir-rest D88")
def test_contains_finds_the_middle_of_a_word_and_wants_three_characters() -> None:
    assert PEOPLE.find("Patient", "family:contains=ntai") == ["jean"]
    assert PEOPLE.find("Patient", "family:contains=ARTI") == ["elodie"]
    with pytest.raises(BadRequest) as refused:
        PEOPLE.find("Patient", "family:contains=é'")
    assert refused.value.issues[0].code == "value"


@pytest.mark.statement("fhir-rest D89")
@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("address=rue", ["elodie"]),
        ("address=eglise", ["elodie"]),
        ("address=69003", ["jean"]),
        ("address-city=saint etienne", ["elodie"]),
        ("address-city=etienne", ["elodie"]),
        ("address-postalcode=42", ["elodie"]),
        ("address-country=france", ["jean"]),
        ("address=saint-etienne,lyon", ["elodie", "jean"]),
    ],
)
def test_an_address_is_found_by_city_line_and_postal_code(query: str, found: list[str]) -> None:
    assert PEOPLE.find("Patient", query) == found


def test_the_birthplace_is_the_city_of_the_extension() -> None:
    shelf = Shelf(
        {
            "resourceType": "Patient",
            "id": "p",
            "extension": [
                {
                    "url": "http://hl7.org/fhir/StructureDefinition/patient-birthPlace",
                    "valueAddress": {"city": "Bourg-en-Bresse"},
                }
            ],
        }
    )
    assert shelf.find("Patient", "birthplace=bourg en") == ["p"]
    assert shelf.find("Patient", "birthplace=bresse") == ["p"]


def test_a_value_without_any_letter_is_refused() -> None:
    with pytest.raises(BadRequest):
        PEOPLE.find("Patient", "name=--")


@given(st.text())
def test_folding_twice_changes_nothing_more(text: str) -> None:
    assert fold(fold(text)) == fold(text)


@given(st.text())
def test_a_folded_text_holds_letters_digits_and_single_spaces(text: str) -> None:
    folded = fold(text)
    assert folded == " ".join(folded.split())
    assert all(char.isalnum() or char == " " for char in folded)


@given(st.text(alphabet=st.characters(codec="latin-1")))
def test_case_never_matters(text: str) -> None:
    assert fold(text.upper()) == fold(text.lower())


@given(st.text())
def test_every_word_is_a_place_to_start_from(text: str) -> None:
    found = starts(fold(text))
    assert all(any(entry.startswith(word) for entry in found) for word in words(text))
