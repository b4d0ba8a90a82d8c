"""What a notice says: subject, text and HTML, in the person's language. No medical data can get in. [security 7]

The only values of a message are a first name, dates, counts and the portal's address; each is cut and cleaned here, put
in once, and never read as a template again.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from html import escape
from typing import Any

from fhir_dmp.notices.events import Event

LANGUAGES = ("fr", "en")
_NAME_LENGTH = 60


@dataclass(frozen=True, slots=True)
class Item:
    """One event to tell: how often it happened, and when (ms, UTC; the last time)."""

    event: Event
    count: int
    at_ms: int


@dataclass(frozen=True, slots=True)
class Words:
    """A message, ready to be put into a mail."""

    language: str
    subject: str
    text: str
    html: str


@dataclass(frozen=True, slots=True)
class Messages:
    """The sentences of all languages. portal: address shown in messages; zone: in which dates are told."""

    table: Mapping[str, Any]
    portal: str
    zone: tzinfo

    def compose(self, language: str, first_name: str, items: Sequence[Item]) -> Words:
        """Return the message that tells these events, each in a line of its own."""
        known = language if language in LANGUAGES else LANGUAGES[0]
        words = self.table[known]
        name = clean(first_name)
        hello = words["hello"].format(first_name=name) if name else words["hello_nobody"]
        more = words["more"].format(portal=self.portal) if self.portal else words["more_nowhere"]
        lines = [self._line(words, item) for item in items]
        text = "\n\n".join([hello, "\n".join(lines), more, words["footer"]]) + "\n"
        return Words(
            known, words["subject"], text, _html(known, words["subject"], [hello, *lines, more, words["footer"]])
        )

    def sentence(self, language: str, item: Item) -> str:
        """Return one event as a sentence, for the inbox."""
        return self._line(self.table[language if language in LANGUAGES else LANGUAGES[0]], item)

    def _line(self, words: Mapping[str, Any], item: Item) -> str:
        event = item.event.value
        when = datetime.fromtimestamp(item.at_ms / 1000, self.zone)
        date = words["date"].format(day=when.day, month=words["months"][when.month - 1], year=when.year)
        if item.count > 1 and event in words["many"]:
            return str(words["many"][event].format(count=item.count))
        return str(words["lines"][event].format(date=date))


def messages(text: bytes, portal: str, zone: tzinfo) -> Messages:
    """Read the packaged table; a test reads every sentence."""
    return Messages(tomllib.loads(text.decode("utf-8")), portal, zone)


def clean(name: str) -> str:
    """Return a first name fit for a message: letters, spaces, hyphens and apostrophes; "" when there is anything else.

    >>> [clean(name) for name in ("Anouk", " Jean-Noël ", "a@b", "x\\r\\nBcc: y", "{{7*7}}", "285047511200314", "L'Hô")]
    ['Anouk', 'Jean-Noël', '', '', '', '', "L'Hô"]
    """
    bare = name.strip()
    fits = len(bare) <= _NAME_LENGTH and all(sign.isalpha() or sign in " -'’" for sign in bare)
    return bare if fits else ""


def _html(language: str, subject: str, paragraphs: Sequence[str]) -> str:
    body = "".join(f"<p>{escape(each)}</p>" for each in paragraphs)
    return (
        f'<!DOCTYPE html><html lang="{language}"><head><meta charset="utf-8"><title>{escape(subject)}</title></head>'
        f"<body>{body}</body></html>"
    )
