"""The full text of a resource: its narrative (`_text`), and every text for people in it (`_content`)."""

from __future__ import annotations

import html
import re
from typing import Any

from fhir_dmp.fhir.fold import fold
from fhir_dmp.fhir.resource import Json
from fhir_dmp.terminology.visibility import HIDEABLE

_TEXT_KEYS = frozenset({"display", "text", "title", "description", "family", "given", "name", "comment", "valueString"})
_TAG = re.compile(r"<[^<>]*>")
_LONGEST_TEXT = 20_000
#: A resource is found by so many different words, and by none longer than this: what is longer is no word.
MOST_WORDS = 5_000
LONGEST_WORD = 60
_HIDEABLE = re.compile(rf"(?:^|/)(?:{'|'.join(sorted(HIDEABLE))})/")


def distinct_words(text: str) -> str:
    """Return the different folded words of a text, the first MOST_WORDS of them, separated by spaces.

    >>> distinct_words("Fracture du poignet, fracture du radius")
    'fracture du poignet radius'
    """
    found: dict[str, None] = {}
    for written in dict.fromkeys(text.split()):  # folding costs more than looking whether a word was folded already
        for word in fold(written).split():
            if len(word) <= LONGEST_WORD:
                found[word] = None
        if len(found) >= MOST_WORDS:
            break
    return " ".join(list(found)[:MOST_WORDS])


def full_texts(resource: Json, content: str) -> tuple[tuple[str, str], ...]:
    """Return the words of the narrative (`_text`), and of every text for people, the document's included (`_content`).

    content: words that `distinct_words` returned. How a reference names a document or a list is left out: whoever may
    not see that one must not find it by its title.
    """
    texts: list[str] = []
    _collect(resource, texts)
    narrative = resource.get("text")
    div = narrative.get("div") if isinstance(narrative, dict) else None
    found = []
    if isinstance(div, str):
        plain = html.unescape(_TAG.sub(" ", div))[:_LONGEST_TEXT]
        texts.append(plain)
        found.append(("_text", distinct_words(plain)))
    if content or texts:
        found.append(("_content", distinct_words(" ".join((*texts, content)))))
    return tuple(found)


def _collect(value: Any, texts: list[str]) -> None:
    reference = value.get("reference")
    if isinstance(reference, str) and _HIDEABLE.search(reference):
        return
    for key, part in value.items():
        if isinstance(part, dict):
            _collect(part, texts)
        elif isinstance(part, list):
            for item in part:
                if isinstance(item, dict):
                    _collect(item, texts)
                elif key in _TEXT_KEYS and isinstance(item, str):
                    texts.append(item)
        elif key in _TEXT_KEYS and isinstance(part, str):
            texts.append(part)
