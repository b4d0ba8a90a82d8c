"""Is the trail whole? Seals and records are read once, side by side, and every difference is told with its number.

Streaming: what is held is one seal, and the records read that no seal has claimed yet. Pure: rows and seals come from
iterators. [security 6.4]
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Set
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import sha256

from fhir_dmp.audit.chain import GENESIS, HASH_BYTES, Checkpoint, Seal, links, merkle_root, packed_positions
from fhir_dmp.audit.signing import PublicKeys

#: (position, stored bytes, whether the index columns beside them tell the same): one row of the trail, oldest first.
Row = tuple[int, bytes, bool]


class Defect(StrEnum):
    """What can be wrong with a trail."""

    REMOVED = "removed"
    ADDED = "added"
    EDITED = "edited"
    REORDERED = "reordered"
    MISPLACED = "misplaced"
    CHAIN = "chain"
    GAP = "gap"
    SIGNATURE = "signature"
    TRUNCATED = "truncated"


_SENTENCES = {
    Defect.REMOVED: "the record was removed",
    Defect.ADDED: "a record was added that was never sealed",
    Defect.EDITED: "the record was changed",
    Defect.REORDERED: "the record stands where another one was",
    Defect.MISPLACED: "the columns by which the record is found were changed",
    Defect.CHAIN: "the chain of hashes is broken: the checkpoint was changed",
    Defect.GAP: "a checkpoint is missing",
    Defect.SIGNATURE: "the checkpoint is not signed by a known key",
    Defect.TRUNCATED: "the checkpoint kept outside is not in the store, or is another one",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One defect. seq: number of the record in the chain, or of the first one of a checkpoint; None when it has none.

    position: of the record in the trail. checkpoint: number of the checkpoint.
    """

    defect: Defect
    seq: int | None = None
    position: int | None = None
    checkpoint: int | None = None

    def __str__(self) -> str:
        places = (("seq", self.seq), ("position", self.position), ("checkpoint", self.checkpoint))
        where = ", ".join(f"{name} {value}" for name, value in places if value is not None)
        return f"{self.defect}: {where}: {_SENTENCES[self.defect]}"


@dataclass(slots=True)
class Verdict:
    """What was seen. checked: sealed records compared; unsealed: records that no checkpoint covers yet.

    last: the last checkpoint seen; to start from it the next time. Findings come sorted by their number.
    """

    checked: int = 0
    unsealed: int = 0
    checkpoints: int = 0
    last: Checkpoint | None = None
    findings: list[Finding] = field(default_factory=list)

    @property
    def whole(self) -> bool:
        """Whether nothing is wrong."""
        return not self.findings


class _Trail:
    """The rows of the trail, read as far as somebody asked for; those that no seal has claimed."""

    def __init__(self, rows: Iterable[Row], claimed: Set[int]) -> None:
        self._rows = (row for row in rows if row[0] not in claimed) if claimed else iter(rows)
        self._next: Row | None = next(self._rows, None)
        self.waiting: dict[int, tuple[bytes, bool]] = {}

    def read_to(self, position: int) -> None:
        row, waiting, rows = self._next, self.waiting, self._rows
        while row is not None and row[0] <= position:
            waiting[row[0]] = (sha256(row[1]).digest(), row[2])
            row = next(rows, None)
        self._next = row

    def rest(self) -> int:
        """Count the rows behind the last seal."""
        count = 0 if self._next is None else 1
        return count + sum(1 for _ in self._rows)


def verify(
    seals: Iterable[Seal],
    rows: Iterable[Row],
    keys: PublicKeys,
    *,
    before: Seal | None = None,
    claimed: Set[int] = frozenset(),
    slack: int = 0,
    witnesses: Iterable[tuple[Checkpoint, bytes]] = (),
) -> Verdict:
    """Compare the trail with its seals.

    seals: in order of their number. rows: in order of position. before: the seal that the first one follows, which is
    trusted for its head only after its own signature was checked; None: the first seal is number 1. claimed: positions
    among the rows that seals before the first one cover. slack: so far behind the last sealed position a row may still
    have appeared late, and waits for its seal. witnesses: checkpoints kept outside of the store, with their signatures.
    """
    verdict = Verdict(last=before.checkpoint if before is not None else None)
    trail = _Trail(rows, claimed)
    moved: list[tuple[int, int, bytes, bytes]] = []
    known = {check.number: (check, signature) for check, signature in witnesses}
    if before is not None and not keys.verifies(before.checkpoint, before.signature):
        verdict.findings.append(_at(Defect.SIGNATURE, before.checkpoint))
    previous = before
    for seal in seals:
        verdict.findings += _linked(previous, seal, keys)
        verdict.findings += _witnessed(seal, known)
        trail.read_to(max(seal.positions))
        moved += _compared(seal, trail, verdict)
        verdict.checked += seal.checkpoint.size
        verdict.checkpoints += 1
        verdict.last, previous = seal.checkpoint, seal
    reached = verdict.last.number if verdict.last is not None else 0
    verdict.findings += [_at(Defect.TRUNCATED, check) for number, (check, _) in known.items() if number > reached]
    verdict.findings += _told_apart(moved)
    late = (verdict.last.reached if verdict.last is not None else 0) - slack
    verdict.findings += [Finding(Defect.ADDED, position=position) for position in trail.waiting if position <= late]
    verdict.unsealed = trail.rest() + sum(1 for position in trail.waiting if position > late)
    verdict.findings.sort(key=lambda one: (one.seq is None, one.seq or 0, one.position or 0, one.defect))
    return verdict


def _at(defect: Defect, check: Checkpoint) -> Finding:
    return Finding(defect, seq=check.first, checkpoint=check.number)


def _linked(previous: Seal | None, seal: Seal, keys: PublicKeys) -> Iterator[Finding]:
    """Check a seal by itself and against the one before it."""
    check = seal.checkpoint
    if not keys.verifies(check, seal.signature):
        yield _at(Defect.SIGNATURE, check)
    number, last = (0, 0) if previous is None else (previous.checkpoint.number, previous.checkpoint.last)
    head = GENESIS if previous is None else previous.checkpoint.head
    before = GENESIS if previous is None else previous.digest()
    if (check.number, check.first) != (number + 1, last + 1):
        yield _at(Defect.GAP, check)
    elif (check.previous, check.before) != (head, before):
        yield _at(Defect.CHAIN, check)
    chained = links(check.first, check.previous, seal.leaves)
    places = sha256(packed_positions(seal.positions)).digest()
    if (chained[-1], merkle_root(chained), places) != (check.head, check.root, check.places):
        yield _at(Defect.CHAIN, check)


def _witnessed(seal: Seal, known: dict[int, tuple[Checkpoint, bytes]]) -> Iterator[Finding]:
    outside = known.get(seal.checkpoint.number)
    if outside is not None and outside != (seal.checkpoint, seal.signature):
        yield _at(Defect.TRUNCATED, seal.checkpoint)


def _compared(seal: Seal, trail: _Trail, verdict: Verdict) -> Iterator[tuple[int, int, bytes, bytes]]:
    """Compare each record with its hash; yield (seq, position, wanted, found) of those that differ."""
    take, leaves = trail.waiting.pop, seal.leaves
    for index, position in enumerate(seal.positions):
        found = take(position, None)
        wanted = leaves[index * HASH_BYTES : (index + 1) * HASH_BYTES]
        if found is None:
            verdict.findings.append(Finding(Defect.REMOVED, seal.checkpoint.first + index, position))
        elif found[0] != wanted:
            yield seal.checkpoint.first + index, position, wanted, found[0]
        elif not found[1]:
            verdict.findings.append(Finding(Defect.MISPLACED, seal.checkpoint.first + index, position))


def _told_apart(moved: list[tuple[int, int, bytes, bytes]]) -> Iterator[Finding]:
    """A record whose bytes belong to another place was moved there; any other one was changed."""
    wanted = {leaf for _, _, leaf, _ in moved}
    for seq, position, _, found in moved:
        yield Finding(Defect.REORDERED if found in wanted else Defect.EDITED, seq, position)
