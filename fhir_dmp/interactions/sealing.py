"""Sealing the trail: records that are durable already enter the hash chain, a signed checkpoint at a time.

Requests never wait for it. Any number of processes may seal: a seal has a number, and the store takes each number once,
so whoever comes second has nothing to do and goes on from the seal of the other. [security 6.4]
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice

from fhir_dmp.audit.chain import HASH_BYTES, Seal, decode, encode, leaf_of, next_checkpoint
from fhir_dmp.audit.signing import CheckpointKeys
from fhir_dmp.audit.verify import Row
from fhir_dmp.ports import Clock, Ledger

#: Most records of one seal.
MOST = 1000
_BATCH = 2000
#: How often rows are looked for that appeared behind the last sealed one (stores with slack only).
LATE_EVERY_MS = 60_000


#: Below every position, also one that somebody made up.
BEGINNING = -(2**62)


def rows_from(ledger: Ledger, after: int) -> Iterator[Row]:
    """Yield the rows of the trail behind a position."""
    while batch := ledger.rows(after, _BATCH):
        yield from batch
        after = batch[-1][0]


def seals_from(ledger: Ledger, after: int) -> Iterator[Seal]:
    """Yield the seals behind a number.

    Raises:
        ValueError: what is stored is not a seal.
    """
    while batch := ledger.seals(after, 16):
        for each in batch:
            try:
                seal = decode(each)
            except ValueError as error:
                raise ValueError(f"the checkpoint after {after}: {error}") from error
            yield seal
            after = seal.checkpoint.number


def claimed(ledger: Ledger, seal: Seal) -> frozenset[int]:
    """Return the positions, up to the store's slack behind it, that this seal and those before it cover."""
    low = seal.checkpoint.reached - ledger.slack
    found: set[int] = set()
    each: Seal | None = seal
    while each is not None and each.checkpoint.reached > low:
        found.update(position for position in each.positions if position > low)
        before = ledger.seals(each.checkpoint.number - 2, 1) if each.checkpoint.number > 1 else ()
        each = decode(before[0]) if before else None
    return frozenset(found)


class Sealer:
    """Seals the trail of one store. Used by one thread at a time; other processes may have theirs."""

    def __init__(
        self,
        ledger: Ledger,
        keys: CheckpointKeys,
        clock: Clock,
        every_ms: int,
        witness: Callable[[Seal], None] = lambda _: None,
    ) -> None:
        """every_ms: a seal of fewer than MOST records waits until the last one is so old. witness: is told each seal
        of this process, to keep the checkpoint outside of the store.
        """
        self._ledger = ledger
        self._keys = keys
        self._clock = clock
        self._every_ms = every_ms
        self._witness = witness
        self._late_ms = 0

    def run(self, *, everything: bool = False) -> int:
        """Seal what there is; return how many records this process sealed. everything: also fewer than MOST, at once.

        Raises:
            StoreUnavailable: the store does not answer. ValueError: the last seal is damaged; nothing can follow it.
        """
        count = 0
        while True:
            stored = self._ledger.last_seal()
            last = None if stored is None else decode(stored)
            rows = self._late(last, force=everything) if last is not None else []
            after = 0 if last is None else last.checkpoint.reached
            overdue = bool(rows)
            rows += [(position, data) for position, data, _ in self._ledger.rows(after, max(MOST - len(rows), 0))]
            if not rows or not (everything or overdue or len(rows) >= MOST or self._is_old(last)):
                return count
            count += self._seal(last, rows[:MOST])

    def _is_old(self, last: Seal | None) -> bool:
        return last is None or self._clock.now_ms() - last.checkpoint.sealed_ms >= self._every_ms

    def _late(self, last: Seal, *, force: bool) -> list[tuple[int, bytes]]:
        """Return rows that appeared behind the last sealed position after it was sealed."""
        now = self._clock.now_ms()
        if not self._ledger.slack or (now - self._late_ms < LATE_EVERY_MS and not force):
            return []
        self._late_ms = now
        reached = last.checkpoint.reached
        sealed = claimed(self._ledger, last)
        found = rows_from(self._ledger, max(reached - self._ledger.slack, 0))
        late = ((position, data) for position, data, _ in found if position <= reached and position not in sealed)
        return list(islice(late, MOST))

    def _seal(self, last: Seal | None, rows: list[tuple[int, bytes]]) -> int:
        positions = [position for position, _ in rows]
        leaves = b"".join([leaf_of(data) for _, data in rows])
        assert len(leaves) == HASH_BYTES * len(positions)
        check = next_checkpoint(last, positions, leaves, sealed_ms=self._clock.now_ms(), key_id=self._keys.key_id)
        seal = self._keys.sealed(check, positions, leaves)
        if not self._ledger.add_seal(check.number, check.last, encode(seal)):
            return 0
        self._witness(seal)
        return len(rows)
