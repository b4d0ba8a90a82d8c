"""Whatever is done to a sealed trail, verifying it says what and where. The attacker may rewrite rows and seals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_dmp.audit.chain import Seal, leaf_of, next_checkpoint
from fhir_dmp.audit.signing import CheckpointKeys, new_key
from fhir_dmp.audit.verify import Defect, Finding, Row, verify

KEYS = CheckpointKeys((new_key(),))
OTHERS = CheckpointKeys((new_key(),))

Trail = tuple[list[Seal], list[Row]]


def trail(*sizes: int, keys: CheckpointKeys = KEYS, word: bytes = b"record") -> Trail:
    """Return a trail with checkpoints over so many records each; positions leave gaps."""
    rows: list[Row] = [(3 * n, b"%s %d" % (word, n), True) for n in range(1, sum(sizes) + 1)]
    seals: list[Seal] = []
    start = 0
    for size in sizes:
        part = rows[start : start + size]
        leaves = b"".join(leaf_of(data) for _, data, _ in part)
        positions = [position for position, _, _ in part]
        last = seals[-1] if seals else None
        check = next_checkpoint(last, positions, leaves, sealed_ms=start, key_id=keys.key_id)
        seals.append(keys.sealed(check, positions, leaves))
        start += size
    return seals, rows


def defects(seals: list[Seal], rows: list[Row], **more: object) -> list[Finding]:
    return verify(seals, rows, KEYS.verifiers(), **more).findings  # type: ignore[arg-type]


def test_a_whole_trail_has_no_defect_and_tells_how_far_it_goes() -> None:
    seals, rows = trail(4, 1, 3)
    verdict = verify(seals, [*rows, (99, b"new", True)], KEYS.verifiers())
    assert verdict.whole
    assert (verdict.checked, verdict.checkpoints, verdict.unsealed) == (8, 3, 1)
    assert verdict.last == seals[-1].checkpoint
    assert verify([], [], KEYS.verifiers()).whole


@pytest.mark.statement("security L-11")
@given(st.integers(0, 8), st.integers(0, 7), st.integers(0, 7))
def test_one_changed_bit_is_found_with_the_number_of_its_record(index: int, byte: int, bit: int) -> None:
    seals, rows = trail(4, 2, 3)
    position, data, _ = rows[index]
    changed = bytearray(data)
    changed[byte % len(data)] ^= 1 << bit
    rows[index] = (position, bytes(changed), True)
    assert defects(seals, rows) == [Finding(Defect.EDITED, index + 1, position)]


@pytest.mark.statement("security L-12")
@given(st.sets(st.integers(0, 8), min_size=1, max_size=9))
def test_removed_records_are_found(gone: set[int]) -> None:
    seals, rows = trail(4, 2, 3)
    kept = [row for index, row in enumerate(rows) if index not in gone]
    assert defects(seals, kept) == [Finding(Defect.REMOVED, index + 1, rows[index][0]) for index in sorted(gone)]


@pytest.mark.statement("security L-12")
@given(st.integers(0, 8), st.integers(0, 8))
def test_swapped_records_are_found_as_such(one: int, other: int) -> None:
    seals, rows = trail(4, 2, 3)
    rows[one], rows[other] = (rows[one][0], rows[other][1], True), (rows[other][0], rows[one][1], True)
    wanted = [] if one == other else sorted((one + 1, other + 1))
    assert defects(seals, rows) == [Finding(Defect.REORDERED, seq, 3 * seq) for seq in wanted]


@given(st.integers(0, 26))
def test_an_added_record_is_found_wherever_it_is_put(position: int) -> None:
    seals, rows = trail(4, 2, 3)
    if position in {row[0] for row in rows}:
        position += 1
    found = defects(seals, sorted([*rows, (position, b"forged", True)]))
    assert found == [Finding(Defect.ADDED, None, position)]


def test_a_record_that_its_columns_hide_is_found() -> None:
    seals, rows = trail(4, 2)
    rows[4] = (rows[4][0], rows[4][1], False)
    assert defects(seals, rows) == [Finding(Defect.MISPLACED, 5, 15)]


def forged(seals: list[Seal], rows: list[Row]) -> Trail:
    """Edit a record and make its checkpoint fit, with the wrong key."""
    rows[1] = (rows[1][0], b"forged", True)
    leaves = b"".join(leaf_of(data) for _, data, _ in rows[:4])
    check = next_checkpoint(None, seals[0].positions, leaves, sealed_ms=0, key_id=KEYS.key_id)
    return [OTHERS.sealed(check, seals[0].positions, leaves), *seals[1:]], rows


def chained_wrongly(seals: list[Seal], rows: list[Row]) -> Trail:
    return [seals[0], replace(seals[1], leaves=seals[1].leaves[32:] + seals[1].leaves[:32]), seals[2]], rows


def without_checkpoint(seals: list[Seal], rows: list[Row]) -> Trail:
    return [seals[0], seals[2]], [row for row in rows if row[0] not in seals[1].positions]


def with_other_places(seals: list[Seal], rows: list[Row]) -> Trail:
    moved = replace(seals[1], positions=tuple(reversed(seals[1].positions)))
    swapped = dict(zip(seals[1].positions, moved.positions, strict=True))
    return [seals[0], moved, seals[2]], sorted((swapped.get(p, p), data, ok) for p, data, ok in rows)


@pytest.mark.statement("security L-13")
@pytest.mark.parametrize(
    ("attack", "defect", "number"),
    [
        (forged, Defect.SIGNATURE, 1),
        (forged, Defect.CHAIN, 2),
        (chained_wrongly, Defect.CHAIN, 2),
        (without_checkpoint, Defect.GAP, 3),
        (with_other_places, Defect.CHAIN, 2),
    ],
)
def test_an_attack_on_checkpoints_is_found(attack: Callable[..., Trail], defect: Defect, number: int) -> None:
    seals, rows = attack(*trail(4, 2, 3))
    assert (defect, number) in {(one.defect, one.checkpoint) for one in defects(seals, rows)}


def test_a_trail_that_somebody_else_signed_from_the_beginning_is_not_ours() -> None:
    seals, rows = trail(4, 2, keys=OTHERS)
    assert {one.defect for one in defects(seals, rows)} == {Defect.SIGNATURE}


def test_a_cut_end_is_found_by_the_checkpoints_kept_outside() -> None:
    seals, rows = trail(4, 2, 3)
    outside = [(each.checkpoint, each.signature) for each in seals]
    assert defects(seals, rows, witnesses=outside) == []
    assert defects(seals[:2], rows[:6]) == []
    assert defects(seals[:2], rows[:6], witnesses=outside) == [Finding(Defect.TRUNCATED, 7, None, 3)]
    other, other_rows = trail(4, 2, 3, word=b"another")
    found = defects(other, other_rows, witnesses=outside)
    assert [(one.defect, one.checkpoint) for one in found] == [(Defect.TRUNCATED, number) for number in (1, 2, 3)]


@given(st.lists(st.integers(1, 5), min_size=2, max_size=5), st.data())
def test_verifying_may_start_at_any_checkpoint(sizes: list[int], data: st.DataObject) -> None:
    seals, rows = trail(*sizes)
    at = data.draw(st.integers(0, len(seals) - 2))
    behind = [row for row in rows if row[0] > seals[at].checkpoint.reached]
    verdict = verify(seals[at + 1 :], behind, KEYS.verifiers(), before=seals[at])
    assert verdict.whole
    assert verdict.checked == sum(sizes[at + 1 :])
    cut = verify(seals[at + 1 :], behind[1:], KEYS.verifiers(), before=seals[at])
    assert [one.defect for one in cut.findings] == [Defect.REMOVED]


def test_checkpoints_follow_one_another_without_holes() -> None:
    seals, _ = trail(4, 2, 3)
    for one, two in pairwise(seals):
        assert two.checkpoint.previous == one.checkpoint.head
        assert two.checkpoint.first == one.checkpoint.last + 1


def test_a_finding_tells_what_and_where_in_one_line() -> None:
    assert str(Finding(Defect.EDITED, 5, 15)) == "edited: seq 5, position 15: the record was changed"
    assert "checkpoint 3" in str(Finding(Defect.GAP, 7, None, 3))
