"""The full text of a resource: its narrative (`_text`), and every text for people in it (`_content`)."""

from __future__ import annotations

import html
import re
from typing import Any

from fhir_dmp.fhir.resource import Json
from fhir_dmp.search.fold import fold

_TEXT_KEYS = frozenset({"display", "text", "title", "description", "family", "given", "name", "comment", "valueString"})
_TAG = re.compile(r"<[^<>]*>")
_LONGEST_TEXT = 20_000


def full_texts(resource: Json, content: str) -> tuple[tuple[str, str], ...]:
    """Return the folded narrative (`_text`), and every text for people, the document's included (`_content`)."""
    texts: list[str] = []
    _collect(resource, texts)
    narrative = resource.get("text")
    div = narrative.get("div") if isinstance(narrative, dict) else None
    found = []
    if isinstance(div, str):
        plain = html.unescape(_TAG.sub(" ", div))[:_LONGEST_TEXT]
        texts.append(plain)
        found.append(("_text", fold(plain)))
    if content:
        texts.append(content)
    if texts:
        found.append(("_content", " ".join(dict.fromkeys(map(fold, texts)))))
    return tuple(found)


def _collect(value: Any, texts: list[str]) -> None:
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
