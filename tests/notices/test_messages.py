"""What messages say, and what can never get into one."""

from __future__ import annotations

from itertools import product
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_dmp import definitions
from fhir_dmp.errors import Unprocessable
from fhir_dmp.notices.events import POLICIES, Event, Way, chosen, way_of
from fhir_dmp.notices.messages import LANGUAGES, Item, Messages, clean, messages
from fhir_dmp.notices.schedule import digest_ms

PARIS = ZoneInfo("Europe/Paris")
PORTAL = "https://portail.example"
NOON = 1_781_258_400_000  # 2026-06-12 12:00 in Paris


def spoken(portal: str = PORTAL) -> Messages:
    return messages(definitions.read("notices/messages.toml"), portal, PARIS)


def test_every_event_is_told_in_every_language_in_one_and_in_many() -> None:
    for language, event, count in product(LANGUAGES, Event, (1, 3)):
        words = spoken().compose(language, "Anouk", [Item(event, count, NOON)])
        assert "{" not in words.text + words.html + words.subject
        assert PORTAL in words.text
        assert "Anouk" in words.text
        assert words.language == language
    assert "12 juin 2026" in spoken().compose("fr", "", [Item(Event.BREAK_GLASS, 1, NOON)]).text
    assert "3 documents" in spoken().compose("en", "", [Item(Event.DOCUMENT_ADDED, 3, NOON)]).text
    assert "None" not in spoken("").compose("fr", "", [Item(Event.SIGN_IN, 1, NOON)]).text


def test_an_unknown_language_is_told_in_french() -> None:
    assert spoken().compose("de", "", [Item(Event.DOSSIER, 1, NOON)]).subject.startswith("Nouvelle activité")


POISONS = (
    "285047511200314", "Dr. X", "x@y.example", "<script>", "{{7*7}}", "{count}", "${portal}",
    "a\r\nBcc: b@c.example",
    "Compte rendu d'oncologie 2", "http://evil.example", "\x00", "é" * 61, "A&B",
)  # fmt: skip


@pytest.mark.statement("security N-2", "security N-3", "security TH50", "security H-19")
@pytest.mark.parametrize("poison", POISONS)
@pytest.mark.parametrize("language", LANGUAGES)
def test_a_poisoned_name_appears_in_no_message(language: str, poison: str) -> None:
    for event in Event:
        words = spoken().compose(language, poison, [Item(event, 2, NOON)])
        for text in (words.subject, words.text, words.html):
            assert poison not in text
            assert "evil" not in text
            assert "49" not in text


@given(st.text(max_size=80))
def test_a_name_is_greeted_as_it_is_or_not_at_all(name: str) -> None:
    assert clean(name) in ("", name.strip())
    assert not set(clean(name)) & set("@<>{}&\r\n0123456789:/.;")


@pytest.mark.statement("security N-2")
def test_messages_hold_no_image_no_link_and_no_attachment() -> None:
    for language, event in product(LANGUAGES, Event):
        words = spoken().compose(language, "Anouk", [Item(event, 1, NOON)])
        for forbidden in ("<img", "<a ", "src=", "href=", "style=", "<script", "token", "Patient/"):
            assert forbidden not in words.html
        assert words.subject == spoken().table[language]["subject"]


@pytest.mark.statement("security N-6")
@pytest.mark.parametrize("event", [event for event in Event if POLICIES[event].mandatory])
@pytest.mark.parametrize("way", [Way.OFF, Way.DIGEST])
def test_what_protects_the_record_cannot_be_chosen_away(event: Event, way: Way) -> None:
    with pytest.raises(Unprocessable):
        chosen(event.value, way.value)
    assert way_of(event, {event: way}) is Way.AT_ONCE


def test_the_mandatory_events_are_those_of_the_specification() -> None:
    assert {event.value for event in Event if POLICIES[event].mandatory} == {"N1", "N2", "N9", "N10", "N11"}
    assert way_of(Event.LATER_ACCESS, {}) is Way.OFF
    assert way_of(Event.FIRST_ACCESS, {Event.FIRST_ACCESS: Way.DIGEST}) is Way.DIGEST


@pytest.mark.parametrize(("event", "way"), [("N12", "off"), ("N3", "loud"), ("", "")])
def test_a_choice_that_does_not_exist_is_refused(event: str, way: str) -> None:
    with pytest.raises(Unprocessable, match="no such choice"):
        chosen(event, way)


def test_digests_leave_at_their_hour_also_when_clocks_change() -> None:
    assert digest_ms(NOON, 18, PARIS) - NOON == 6 * 3_600_000
    assert digest_ms(NOON + 6 * 3_600_000, 18, PARIS) - NOON == 30 * 3_600_000
    before = 1_792_846_800_000  # 2026-10-24 15:00, the night before winter time
    assert digest_ms(before + 4 * 3_600_000, 18, PARIS) - before == (3 + 25) * 3_600_000
