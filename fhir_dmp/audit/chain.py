"""The trail as evidence: a hash chain over its records, and signed checkpoints with the Merkle root of their interval.

A record's link is `sha256(0x01 || seq || link before || sha256(record bytes))`; `seq` counts the records from 1 in the
order in which they were sealed. A checkpoint covers up to some thousand records, is signed with Ed25519 and names the
checkpoint before it, so that records and checkpoints can be removed, added, moved or changed, but not unnoticed.
[security 6.4] Merkle trees as in RFC 6962 section 2.1. Pure: where seals are kept is the business of the stores.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from struct import Struct
from struct import error as StructError
from typing import Any

HASH_BYTES = 32
#: The link before the first record, and the checkpoint before the first one.
GENESIS = bytes(HASH_BYTES)

_SEQ = Struct(">Q")
_HEAD = Struct(">I")
_POSITION_BYTES = 8


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What is signed. first, last: `seq` of the records covered. places: digest of their positions in the trail.

    sealed_ms: UTC. reached: highest position sealed so far. root: Merkle root over the links. previous: link before
    `first`. before: digest of the checkpoint before this one, signature included. Hashes are 32 bytes.
    """

    number: int
    first: int
    last: int
    sealed_ms: int
    reached: int
    previous: bytes
    head: bytes
    root: bytes
    places: bytes
    before: bytes
    key_id: str

    @property
    def size(self) -> int:
        """How many records it covers."""
        return self.last - self.first + 1

    def statement(self) -> bytes:
        """Return the bytes that are signed: the members as canonical JSON (RFC 8785; hashes in hexadecimal)."""
        return json.dumps(self.as_json(), sort_keys=True, separators=(",", ":")).encode("ascii")

    def as_json(self) -> dict[str, Any]:
        """Return the members that are signed."""
        return {
            "number": self.number,
            "first": self.first,
            "last": self.last,
            "tree_size": self.size,
            "ts": self.sealed_ms,
            "position": self.reached,
            "prev_hash": self.previous.hex(),
            "head": self.head.hex(),
            "merkle_root": self.root.hex(),
            "places": self.places.hex(),
            "prev_checkpoint": self.before.hex(),
            "key_id": self.key_id,
        }


@dataclass(frozen=True, slots=True)
class Seal:
    """A signed checkpoint with what it covers: the position in the trail and the hash of each record, in order."""

    checkpoint: Checkpoint
    signature: bytes
    positions: tuple[int, ...]
    leaves: bytes

    def digest(self) -> bytes:
        """Return what the next checkpoint names as the one before it."""
        return sha256(self.checkpoint.statement() + self.signature).digest()

    def leaf(self, seq: int) -> bytes:
        """Return the hash of the record with this number."""
        at = (seq - self.checkpoint.first) * HASH_BYTES
        return self.leaves[at : at + HASH_BYTES]

    def as_json(self) -> dict[str, Any]:
        """Return the checkpoint and its signature, as kept outside of the store."""
        return {**self.checkpoint.as_json(), "signature": self.signature.hex()}


def leaf_of(record: bytes) -> bytes:
    """Return the hash of a record's stored bytes, which the codec makes canonical."""
    return sha256(record).digest()


def link(seq: int, previous: bytes, leaf: bytes) -> bytes:
    """Return the hash that chains a record to the one before it."""
    return sha256(b"\x01" + _SEQ.pack(seq) + previous + leaf).digest()


def links(first: int, previous: bytes, leaves: bytes) -> list[bytes]:
    """Return the links of consecutive records. leaves: their hashes, one after the other."""
    found: list[bytes] = []
    append, pack = found.append, _SEQ.pack
    for seq, at in enumerate(range(0, len(leaves), HASH_BYTES), first):
        previous = sha256(b"\x01" + pack(seq) + previous + leaves[at : at + HASH_BYTES]).digest()
        append(previous)
    return found


def _level(nodes: list[bytes]) -> list[bytes]:
    paired = [sha256(b"\x01" + nodes[at] + nodes[at + 1]).digest() for at in range(0, len(nodes) - 1, 2)]
    # An odd node is promoted: this is the tree of RFC 6962.
    return [*paired, nodes[-1]] if len(nodes) % 2 else paired


def merkle_root(hashes: Sequence[bytes]) -> bytes:
    """Return the root of the tree over these links; there is at least one."""
    nodes = [sha256(b"\x00" + each).digest() for each in hashes]
    while len(nodes) > 1:
        nodes = _level(nodes)
    return nodes[0]


def merkle_path(hashes: Sequence[bytes], index: int) -> tuple[tuple[str, bytes], ...]:
    """Return the audit path of one link: ("left" or "right", the sibling there), from the leaf up."""
    nodes = [sha256(b"\x00" + each).digest() for each in hashes]
    path: list[tuple[str, bytes]] = []
    while len(nodes) > 1:
        sibling = index ^ 1
        if sibling < len(nodes):
            path.append(("right" if sibling > index else "left", nodes[sibling]))
        nodes, index = _level(nodes), index // 2
    return tuple(path)


def root_of(hash_: bytes, path: Sequence[tuple[str, bytes]]) -> bytes:
    """Return the root that a link and its audit path lead to."""
    node = sha256(b"\x00" + hash_).digest()
    for side, sibling in path:
        node = sha256(b"\x01" + (sibling + node if side == "left" else node + sibling)).digest()
    return node


def packed_positions(positions: Sequence[int]) -> bytes:
    """Return positions as bytes, 8 for each."""
    return b"".join([_SEQ.pack(position) for position in positions])


def next_checkpoint(
    last: Seal | None, positions: Sequence[int], leaves: bytes, *, sealed_ms: int, key_id: str
) -> Checkpoint:
    """Return the checkpoint over these records, which follow those of the last seal."""
    first = 1 if last is None else last.checkpoint.last + 1
    previous = GENESIS if last is None else last.checkpoint.head
    chained = links(first, previous, leaves)
    return Checkpoint(
        number=1 if last is None else last.checkpoint.number + 1,
        first=first,
        last=first + len(positions) - 1,
        sealed_ms=sealed_ms,
        reached=max(0 if last is None else last.checkpoint.reached, *positions),
        previous=previous,
        head=chained[-1],
        root=merkle_root(chained),
        places=sha256(packed_positions(positions)).digest(),
        before=GENESIS if last is None else last.digest(),
        key_id=key_id,
    )


def encode(seal: Seal) -> bytes:
    """Return the bytes that a store keeps: length of the JSON, the JSON, positions, hashes of the records."""
    head = json.dumps(seal.as_json(), separators=(",", ":")).encode("ascii")
    return b"".join((_HEAD.pack(len(head)), head, packed_positions(seal.positions), seal.leaves))


def decode(data: bytes) -> Seal:
    """Return the seal of the bytes.

    Raises:
        ValueError: they are not those of a seal.
    """
    try:
        (length,) = _HEAD.unpack_from(data)
        start = _HEAD.size + length
        stated = json.loads(data[_HEAD.size : start])
        checkpoint, signature = checkpoint_of(stated)
        end = start + checkpoint.size * _POSITION_BYTES
        positions = tuple(each for (each,) in _SEQ.iter_unpack(data[start:end]))
    except (ValueError, LookupError, TypeError, AttributeError, OverflowError, StructError) as error:
        raise ValueError("not a seal") from error
    leaves = data[end:]
    if len(leaves) != checkpoint.size * HASH_BYTES:
        raise ValueError("not a seal: its parts do not fit")
    return Seal(checkpoint, signature, positions, leaves)


def checkpoint_of(stated: dict[str, Any]) -> tuple[Checkpoint, bytes]:
    """Return the checkpoint and signature of their JSON.

    Raises:
        KeyError, TypeError, ValueError: a member is missing or malformed.
    """
    checkpoint = Checkpoint(
        number=int(stated["number"]),
        first=int(stated["first"]),
        last=int(stated["last"]),
        sealed_ms=int(stated["ts"]),
        reached=int(stated["position"]),
        previous=bytes.fromhex(stated["prev_hash"]),
        head=bytes.fromhex(stated["head"]),
        root=bytes.fromhex(stated["merkle_root"]),
        places=bytes.fromhex(stated["places"]),
        before=bytes.fromhex(stated["prev_checkpoint"]),
        key_id=str(stated["key_id"]),
    )
    if checkpoint.size < 1 or checkpoint.size != stated["tree_size"]:
        raise ValueError("not a checkpoint: its interval is empty or miscounted")
    return checkpoint, bytes.fromhex(stated["signature"])
