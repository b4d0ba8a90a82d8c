"""Inclusion proofs: one record, and the path from it to a signed checkpoint. Whoever has the public key can check one.

[security 6.4]
"""

from __future__ import annotations

from base64 import b64decode, b64encode

from fhir_dmp.audit.chain import Seal, checkpoint_of, leaf_of, link, links, merkle_path, root_of
from fhir_dmp.audit.signing import PublicKeys
from fhir_dmp.fhir.resource import Json


def proof_of(seal: Seal, seq: int, record: bytes) -> Json:
    """Return the proof that a record is number `seq` of the trail."""
    check = seal.checkpoint
    index = seq - check.first
    chained = links(check.first, check.previous, seal.leaves)
    return {
        "seq": seq,
        "record": b64encode(record).decode("ascii"),
        "prev_hash": (chained[index - 1] if index else check.previous).hex(),
        "path": [[side, sibling.hex()] for side, sibling in merkle_path(chained, index)],
        "checkpoint": seal.as_json(),
    }


def proven(proof: Json, keys: PublicKeys) -> bool:
    """Say whether the proof shows that its record is part of a trail that one of these keys signed.

    Raises:
        ValueError: it is not a proof.
    """
    try:
        check, signature = checkpoint_of(proof["checkpoint"])
        record = b64decode(proof["record"], validate=True)
        path = [(str(side), bytes.fromhex(sibling)) for side, sibling in proof["path"]]
        linked = link(int(proof["seq"]), bytes.fromhex(proof["prev_hash"]), leaf_of(record))
    except (KeyError, TypeError, AttributeError, OverflowError) as error:
        raise ValueError("not an inclusion proof") from error
    inside = check.first <= int(proof["seq"]) <= check.last
    return inside and root_of(linked, path) == check.root and keys.verifies(check, signature)
