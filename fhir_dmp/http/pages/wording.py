"""The languages of the pages, and what scopes mean in plain words."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterable
from functools import lru_cache
from importlib.resources import files
from typing import Final

from fhir_dmp.identity.scopes import ResourceScope, parse_one

LANGUAGES: Final = ("fr", "en")
Say = Callable[..., str]
#: Words that a person cannot leave out, or that mean nothing to one.
UNSPOKEN: Final = frozenset({"openid", "fhirUser", "launch", "launch/patient", "launch/encounter"})


@lru_cache(maxsize=1)
def texts() -> dict[str, dict[str, str]]:
    """Return every sentence by language and key."""
    return tomllib.loads(files(__package__).joinpath("texts.toml").read_text(encoding="utf-8"))


def say(language: str) -> Say:
    """Return the function that speaks a language."""
    sentences = texts()[language]

    def t(key: str, /, **values: str) -> str:
        return sentences[key].format(**values) if values else sentences[key]

    return t


def preferred(chosen: str, asked: str, accepted: str) -> str:
    """Return the language: chosen by hand, else asked for by the application, else by the browser, else French.

    >>> preferred("", "", "de, en;q=0.8, fr;q=0.5"), preferred("fr", "en", "en"), preferred("", "en-GB", "")
    ('en', 'fr', 'en')
    """
    if chosen in LANGUAGES:
        return chosen
    for tag in (*asked.split(), *_by_weight(accepted)):
        if tag[:2].lower() in LANGUAGES:
            return tag[:2].lower()
    return LANGUAGES[0]


def _by_weight(accepted: str) -> list[str]:
    weighted = []
    for part in accepted.split(",")[:20]:
        tag, _, weight = part.strip().partition(";q=")
        try:
            weighted.append((-float(weight or 1), tag))
        except ValueError:
            continue
    return [tag for _, tag in sorted(weighted, key=lambda each: each[0])]


def spoken(scopes: Iterable[str], t: Say) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Return (scope, sentence) of what concerns data, and of the other words that a person decides on."""
    data, words = [], []
    for text in scopes:
        scope = parse_one(text)
        if scope is not None:
            data.append((text, _sentence(scope, t)))
        elif text not in UNSPOKEN and not text.startswith("__access_mode."):
            words.append((text, _word(text, t)))
    return data, words


def _sentence(scope: ResourceScope, t: Say) -> str:
    verbs = ", ".join(t(f"verb_{letter}") for letter in "rscud" if letter in scope.letters)
    where = t("of_patient" if scope.context == "patient" else "of_user")
    said = f"{verbs[:1].upper()}{verbs[1:]} {_data(scope.type, t)} {where}"
    if scope.constraint:
        constraint = " ".join(f"{name} = {value}" for name, value in scope.constraint)
        said += f", {t('only_where', constraint=constraint)}"
    return said


def _data(type_: str, t: Say) -> str:
    if type_ == "*":
        return t("data_any")
    key = f"data_{type_}"
    return t(key) if key in texts()["fr"] else t("data_other", type=type_)


def _word(word: str, t: Say) -> str:
    known = {"__secret_connection": "word_secret"}.get(word, f"word_{word}")
    return t(known) if known in texts()["fr"] else t("word_other", word=word)
