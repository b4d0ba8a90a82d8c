"""The audit trail and the notices, sealed: what is found by stays (id, patient, time), what is told does not.

The chain of the trail is made of the records themselves, not of their ciphertext: it proves the same with and without
encryption. The keys are not those of the patients, because the trail outlives the dossiers. [security 8.4]
"""

from __future__ import annotations

import hmac
from base64 import b64decode, b64encode
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache

import orjson
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from fhir_dmp.audit.codec import decode, encode
from fhir_dmp.audit.record import AuditRecord
from fhir_dmp.errors import StoreUnavailable
from fhir_dmp.ports import Ledger, Notice, Outbox, Queued
from fhir_dmp.store.sealed.envelope import sealed, unsealed
from fhir_dmp.store.sealed.keys import DataKeys, Purpose

_KIND = "sealed"
_FIELD = "audit"
_VARIABLES = "variables"
_DAY_MS = 24 * 3600 * 1000


class TrailCipher:
    """Records under a key of their day: a random nonce must not be used with one key more than some billion times."""

    def __init__(self, keys: DataKeys) -> None:
        self._secret = keys.secret(Purpose.TRAIL)
        self._of_day = lru_cache(maxsize=400)(self._derived)

    def _derived(self, day: int) -> AESGCM:
        return AESGCM(hmac.digest(self._secret, f"day {day}".encode(), "sha256"))

    def seal(self, record: AuditRecord) -> AuditRecord:
        """Return the record as it is stored."""
        day = record.recorded_ms // _DAY_MS
        envelope = sealed(encode(record), self._of_day(day), str(day), _FIELD, _place(record))
        token = b64encode(envelope).decode()
        return AuditRecord(record.id, _KIND, record.recorded_ms, patient=record.patient, details=((_KIND, token),))

    def open(self, record: AuditRecord) -> AuditRecord:
        """Return the record as it was given.

        Raises:
            StoreUnavailable: it was changed.
        """
        return decode(self.bytes_of(record))

    def bytes_of(self, record: AuditRecord) -> bytes:
        """Return the bytes of the record as it was given.

        Raises:
            StoreUnavailable: it was changed.
        """
        if record.kind != _KIND or len(record.details) != 1:
            raise StoreUnavailable(f"The audit record {record.id} is not encrypted.")
        return unsealed(b64decode(record.details[0][1]), self, _FIELD, _place(record))

    def of(self, name: str) -> AESGCM:
        """Return the key of a day."""
        if not name.isdecimal():
            raise StoreUnavailable("An audit record was changed.")
        return self._of_day(int(name))


def _place(record: AuditRecord) -> str:
    return f"{record.id}\n{record.recorded_ms}\n{record.patient or ''}"


class SealedLedger:
    """The rows of a ledger, opened; its seals are those of the records as they were given."""

    def __init__(self, inner: Ledger, cipher: TrailCipher) -> None:
        self._inner = inner
        self._cipher = cipher

    @property
    def slack(self) -> int:
        """That of the store below."""
        return self._inner.slack

    def rows(self, after: int, count: int) -> Sequence[tuple[int, bytes, bool]]:
        """Return the next rows; one that does not open is handed on as it is, and agrees with nothing."""
        return [(position, *self._opened(data, agrees)) for position, data, agrees in self._inner.rows(after, count)]

    def _opened(self, data: bytes, agrees: bool) -> tuple[bytes, bool]:
        try:
            return self._cipher.bytes_of(decode(data)), agrees
        except (StoreUnavailable, ValueError):
            return data, False

    def seals(self, after: int, count: int) -> Sequence[bytes]:
        """Return the next seals."""
        return self._inner.seals(after, count)

    def seal_of(self, seq: int) -> bytes | None:
        """Return the seal that covers the record."""
        return self._inner.seal_of(seq)

    def last_seal(self) -> bytes | None:
        """Return the newest seal."""
        return self._inner.last_seal()

    def add_seal(self, number: int, last: int, seal: bytes) -> bool:
        """Add the seal, if it is the next one."""
        return self._inner.add_seal(number, last, seal)


class SealedOutbox:
    """The notices of a store below; their variables are sealed, whom and what they concern is not."""

    def __init__(self, inner: Outbox, keys: DataKeys) -> None:
        self._inner = inner
        self._keys = keys

    def seal(self, notice: Notice) -> Notice:
        """Return a notice as it is stored."""
        if not notice.variables:
            return notice
        key = self._keys.of(Purpose.OUTBOX)
        envelope = sealed(orjson.dumps(notice.variables), key, Purpose.OUTBOX, _VARIABLES, _notice_place(notice))
        return replace(notice, variables=((_KIND, b64encode(envelope).decode()),))

    def _open(self, queued: Queued) -> Queued:
        notice = queued.notice
        if not notice.variables:
            return queued
        envelope = b64decode(notice.variables[0][1])
        pairs = orjson.loads(unsealed(envelope, self._keys, _VARIABLES, _notice_place(notice)))
        return replace(queued, notice=replace(notice, variables=tuple((name, value) for name, value in pairs)))

    def find(self, id_: str) -> Queued | None:
        """Return one."""
        found = self._inner.find(id_)
        return None if found is None else self._open(found)

    def due(self, now_ms: int, count: int) -> Sequence[Queued]:
        """Return what waits to be sent now."""
        return [self._open(each) for each in self._inner.due(now_ms, count)]

    def lease(self, id_: str, attempts: int, now_ms: int, until_ms: int) -> bool:
        """Take one."""
        return self._inner.lease(id_, attempts, now_ms, until_ms)

    def defer(self, id_: str, due_ms: int, attempts: int) -> None:
        """Give one back."""
        self._inner.defer(id_, due_ms, attempts)

    def settle(self, id_: str, outcome: str, now_ms: int) -> None:
        """Mark one as done."""
        self._inner.settle(id_, outcome, now_ms)

    def inbox(self, patient: str, count: int) -> Sequence[Queued]:
        """Return those of a patient."""
        return [self._open(each) for each in self._inner.inbox(patient, count)]

    def waiting(self) -> int:
        """Count those that are not settled."""
        return self._inner.waiting()


def _notice_place(notice: Notice) -> str:
    return f"{notice.id}\n{notice.patient}"
