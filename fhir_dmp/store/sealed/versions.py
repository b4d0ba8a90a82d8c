"""Versions in and out: whose key seals a body, what lies in its envelope, and the blinded terms beside it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace

import orjson

from fhir_dmp.errors import Unprocessable
from fhir_dmp.ports import Key, Version, Write
from fhir_dmp.search.terms import Terms
from fhir_dmp.store.sealed.blinding import Blinding, hidden, shown
from fhir_dmp.store.sealed.contents import Handle
from fhir_dmp.store.sealed.envelope import name_of, sealed, unsealed
from fhir_dmp.store.sealed.keys import DataKeys, KeyDestroyed, Purpose
from fhir_dmp.store.sealed.packing import packed, unpacked

_BODY, _TERMS = "body", "terms"
#: Resources that are a person, and how the index names their identifiers without system.
_PERSONS = ("Patient", "RelatedPerson", "Person")
_NUMBER = "identifier=c:"
#: Types that belong to the patient of what names them, though they name nobody themselves.
CONTENTS = ("Binary", "Bundle")
_NAMED = re.compile(rb'"(?:[^"]*/)?((?:Binary|Bundle)/[A-Za-z0-9.-]{1,64})"')


class Sealing:
    """Seals writes and opens versions."""

    def __init__(self, keys: DataKeys, blinding: Blinding) -> None:
        self._keys = keys
        self._blinding = blinding

    def seal(self, write: Write, owner: str, handle: Handle | None) -> Write:
        """Return the write as it is stored. owner: name of the key. handle: of the content that it names."""
        body = b""
        if write.body:
            row = orjson.dumps(None if handle is None else handle.dumped())
            plain = packed(row + b"\n" + write.body)
            place = f"{write.type}/{write.id}/{write.version}"
            body = sealed(plain, self._keys.ensured(owner), owner, _BODY, place)
        return replace(
            write,
            body=body,
            terms=self.terms(Key(write.type, write.id), write.terms, owner, handle),
            blob=None if handle is None else handle.content.address,
        )

    def terms(self, key: Key, terms: Terms, owner: str, handle: Handle | None = None) -> Terms:
        """Return terms as they are stored."""
        plain = hidden(terms)
        envelope = sealed(plain, self._keys.ensured(owner), owner, _TERMS, str(key)) if plain else b""
        blinded = self._blinding.terms(terms, envelope)
        if handle is None:
            return blinded
        return replace(blinded, tokens=(*blinded.tokens, self.content_token(handle)))

    def content_token(self, sha256: str) -> str:
        """Return the token of what names a content; it tells what only the moment of writing knew."""
        return f"~content={self._blinding.value(sha256)}"

    def open_terms(self, key: Key, envelope: bytes) -> Terms:
        """Return the texts, words and sort values of a resource; none when their key was destroyed."""
        try:
            return shown(unsealed(envelope, self._keys, _TERMS, str(key)))
        except KeyDestroyed:
            return Terms()

    def open(self, version: Version) -> Version | None:
        """Return the version as it was written, None when its key was destroyed: it is as if it were not there."""
        if not version.body:
            return version
        place = f"{version.type}/{version.id}/{version.version}"
        try:
            plain = unpacked(unsealed(version.body, self._keys, _BODY, place))
        except KeyDestroyed:
            return None
        row, _, body = plain.partition(b"\n")
        handle = None if row == b"null" else Handle.loaded(orjson.loads(row))
        return replace(version, body=body, blob=handle)

    def open_all(self, versions: Iterable[Version]) -> tuple[Version, ...]:
        """Return those versions whose key is not destroyed."""
        return tuple([opened for version in versions if (opened := self.open(version)) is not None])


def owner_of(version: Version) -> str:
    """Return the name of the key that seals a stored version."""
    return name_of(version.body) if version.body else version.patient or Purpose.SHARED


def refuse_telling_ids(writes: Sequence[Write]) -> None:
    """Refuse the logical id of a person that holds one of the person's identifiers: ids stay readable.

    Raises:
        Unprocessable: code business-rule.
    """
    for write in writes:
        if write.type in _PERSONS:
            numbers = (token.removeprefix(_NUMBER) for token in write.terms.tokens if token.startswith(_NUMBER))
            if any(number and number.lower() in write.id.lower() for number in numbers):
                raise Unprocessable(
                    f"The id of this {write.type} holds an identifier of the person; this store is encrypted, ids are "
                    "not. Choose another id, or let the server choose.",
                    code="business-rule",
                    expression=f"{write.type}.id",
                )


def owners(writes: Sequence[Write]) -> dict[Key, str]:
    """Return whose key seals each write of a commit: the patient's that it is about, or that of what names it.

    A content that nobody in the commit names, or that several patients' resources name, is left out.
    """
    found = {Key(write.type, write.id): write.terms.patient for write in writes if write.terms.patient is not None}
    loose = {f"{write.type}/{write.id}" for write in writes if write.type in CONTENTS and write.terms.patient is None}
    naming: dict[str, set[str]] = {}
    for write in writes if loose else ():
        if write.terms.patient is not None:
            for name in _NAMED.findall(write.body):
                naming.setdefault(name.decode(), set()).add(write.terms.patient)
    for name in loose:
        patients = naming.get(name, set())
        if len(patients) == 1:
            type_, _, id_ = name.partition("/")
            found[Key(type_, id_)] = patients.pop()
    return found
