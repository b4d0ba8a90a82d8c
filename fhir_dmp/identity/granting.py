"""Which of the scopes asked for are granted: asked ∩ client's maximum ∩ role's maximum ∩ the person's choice.

[security 2.10]: scopes are compared as sets of atomic permissions (context, type, letter, constraint) and answered in
the shortest strings of the version that was asked for. What does not follow the grammar, or nobody knows, is dropped.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from fhir_dmp.identity.caller import Actor, Mode
from fhir_dmp.identity.scopes import LETTERS, MAX_SCOPES, MAX_TEXT, V1, ResourceScope, dump, maximum, parse_one

_SIGNING_IN: Final = "openid fhirUser profile launch launch/patient launch/encounter"
_STAYING: Final = "offline_access online_access"
#: What each kind of caller may be granted beside resource scopes.
_WORDS: Final[Mapping[Actor, str]] = {
    Actor.PATIENT: f"{_SIGNING_IN} {_STAYING}",
    Actor.REPRESENTATIVE: f"{_SIGNING_IN} {_STAYING}",
    Actor.DELEGATE: f"{_SIGNING_IN} {_STAYING}",
    Actor.PROFESSIONAL: f"{_SIGNING_IN} {_STAYING} __secret_connection",
    Actor.STRUCTURE: "__launch.create __introspect",
    Actor.FEEDER: "",
    Actor.AUDITOR: f"{_SIGNING_IN} online_access",
    Actor.ADMIN: f"{_SIGNING_IN} online_access __admin.clients __admin.matrix __admin.keys",
}
ACCESS_MODE: Final = "__access_mode."
_FACTORED: Final[Mapping[str, str]] = {letters: name for name, letters in V1.items()}


class TooManyScopes(ValueError):
    """More than 100 scopes, or more than 8 KiB of them."""


@dataclass(frozen=True, slots=True)
class ScopeSet:
    """Scopes as values: what they permit on resources, and the other words."""

    resources: tuple[ResourceScope, ...] = ()
    words: tuple[str, ...] = ()


def read(text: str) -> ScopeSet:
    """Read a scope string; a resource scope that breaks the grammar, or is of no type, is left out.

    Raises:
        TooManyScopes: it is longer than a request may be.
    """
    parts = text.split()
    if len(text) > MAX_TEXT or len(parts) > MAX_SCOPES:
        raise TooManyScopes(f"at most {MAX_SCOPES} scopes and {MAX_TEXT} characters")
    resources, words = [], []
    for part in dict.fromkeys(parts):
        scope = parse_one(part)
        if scope is not None:
            resources.append(scope)
        elif not part.startswith(("patient/", "user/", "system/")):
            words.append(part)
    return ScopeSet(tuple(resources), tuple(words))


def limit_of(actor: Actor, mode: Mode = Mode.NORMAL) -> str:
    """Return the most that a kind of caller may be granted in that mode, as a scope string.

    Tokens of an emergency are never renewed: neither offline_access nor online_access.
    """
    words = _WORDS[actor].split()
    if actor is Actor.PROFESSIONAL:
        words.append(f"{ACCESS_MODE}{mode.value}")
        if mode is not Mode.NORMAL:
            words = [word for word in words if word not in _STAYING.split()]
    resources = "" if actor is Actor.ADMIN else dump(maximum(actor, mode))
    return " ".join([*words, resources]).strip()


def grant(asked: str, *limits: str) -> str:
    """Return what of the scopes asked for lies within every limit, in the order asked; perhaps an empty string.

    >>> grant("openid patient/*.read", "openid launch patient/*.cruds", "openid patient/*.rs patient/Binary.c")
    'openid patient/*.read'
    >>> grant("user/*.cruds", "user/DocumentReference.cr user/Binary.r")
    'user/DocumentReference.cr user/Binary.r'
    >>> grant("patient/Observation.rs", "patient/Observation.rs?category=laboratory")
    'patient/Observation.rs?category=laboratory'
    >>> grant("user/*.rs", "patient/*.rs")
    ''

    Raises:
        TooManyScopes: of the scopes asked for.
    """
    wanted = read(asked)
    sets = [_limit(limit) for limit in limits]
    words = {word for word in wanted.words if all(_base(word) in each.words or word in each.words for each in sets)}
    found = wanted.resources
    for each in sets:
        found = tuple(common for scope in found for other in each.resources if (common := _common(scope, other)))
    shortest = _shortest(found)
    texts = dict.fromkeys(_words_first(wanted, words))
    return " ".join([*texts, *(_text(scope) for scope in shortest)])


def _limit(text: str) -> ScopeSet:
    parts = text.split()
    scopes = [parse_one(part) for part in parts]
    return ScopeSet(tuple(scope for scope in scopes if scope), tuple(parts))


def _base(word: str) -> str:
    """Return a launch scope without its role: unknown roles are ignored [security 2.4]."""
    return word.partition("?role=")[0] if word.startswith("launch/") else word


def _words_first(wanted: ScopeSet, words: set[str]) -> Iterable[str]:
    return (word for word in wanted.words if word in words)


def _common(one: ResourceScope, other: ResourceScope) -> ResourceScope | None:
    """Return what two scopes both permit, in the words of the first."""
    if one.context != other.context or (one.type != other.type and "*" not in (one.type, other.type)):
        return None
    letters = "".join(letter for letter in LETTERS if letter in one.letters and letter in other.letters)
    if not letters:
        return None
    both = tuple(dict.fromkeys((*one.constraint, *other.constraint)))
    type_ = other.type if one.type == "*" else one.type
    return replace(one, type=type_, letters=letters, constraint=both)


def _shortest(scopes: Iterable[ResourceScope]) -> tuple[ResourceScope, ...]:
    """Merge scopes of the same type and constraint, and drop what a wider one covers."""
    merged: dict[tuple[str, str, frozenset[tuple[str, str]]], ResourceScope] = {}
    for scope in scopes:
        key = (scope.context, scope.type, frozenset(scope.constraint))
        known = merged.get(key)
        letters = "".join(each for each in LETTERS if each in scope.letters or (known and each in known.letters))
        merged[key] = replace(known or scope, letters=letters, v1=scope.v1 and (known is None or known.v1))
    kept = []
    for scope in merged.values():
        # Of two with as many constraints on the same type, neither covers the other: they would be one by now.
        size = len(scope.constraint)
        others = [other for other in merged.values() if len(other.constraint) < size or other.type != scope.type]
        wider = [other for other in others if _is_wider(other, scope)]
        letters = "".join(each for each in scope.letters if not any(each in other.letters for other in wider))
        if letters:
            kept.append(replace(scope, letters=letters))
    return tuple(kept)


def _is_wider(one: ResourceScope, other: ResourceScope) -> bool:
    """Say whether the first scope covers every resource that the second covers."""
    if one.context != other.context or one.type not in ("*", other.type):
        return False
    return set(one.constraint) <= set(other.constraint)


def _text(scope: ResourceScope) -> str:
    if scope.v1 and not scope.constraint and scope.letters in _FACTORED:
        return f"{scope.context}/{scope.type}.{_FACTORED[scope.letters]}"
    query = "&".join(f"{name}={value}" for name, value in scope.constraint)
    return f"{scope.context}/{scope.type}.{scope.letters}{'?' if query else ''}{query}"


def is_within(asked: str, granted: str) -> bool:
    """Say whether every permission asked for is part of what was granted (a refresh never widens).

    >>> is_within("patient/Observation.r", "openid patient/Observation.rs")
    True
    >>> is_within("patient/Observation.r", "patient/Observation.rs?category=laboratory")
    False
    >>> is_within("openid patient/*.rs", "patient/*.rs")
    False

    Raises:
        TooManyScopes: of the scopes asked for.
    """
    wanted, had = read(asked), _limit(granted)
    known = len(wanted.resources) + len(wanted.words) == len(dict.fromkeys(asked.split()))
    return known and set(wanted.words) <= set(had.words) and all(_covered(each, had) for each in wanted.resources)


def _covered(scope: ResourceScope, limit: ScopeSet) -> bool:
    held: set[str] = set()
    for other in limit.resources:
        if _is_wider(other, scope):
            held.update(other.letters)
    return set(scope.letters) <= held
