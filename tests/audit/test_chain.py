"""The chain of hashes, its trees, its signatures and its proofs, as values."""

from __future__ import annotations

import json
from dataclasses import replace
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_dmp.audit.chain import (
    GENESIS,
    decode,
    encode,
    leaf_of,
    links,
    merkle_path,
    merkle_root,
    next_checkpoint,
    root_of,
)
from fhir_dmp.audit.proof import proof_of, proven
from fhir_dmp.audit.signing import CheckpointKeys, checkpoint_keys, new_key, public_key_of_pem, public_keys

KEYS = CheckpointKeys((new_key(),))


def sealed(*records: bytes, last=None):  # type: ignore[no-untyped-def]
    leaves = b"".join(leaf_of(each) for each in records)
    start = 1 if last is None else last.checkpoint.reached + 1
    positions = range(start, start + len(records))
    check = next_checkpoint(last, positions, leaves, sealed_ms=7, key_id=KEYS.key_id)
    return KEYS.sealed(check, positions, leaves)


def test_a_link_is_the_hash_of_number_link_before_and_record() -> None:
    first = sha256(b"\x01" + (1).to_bytes(8, "big") + bytes(32) + sha256(b"a").digest()).digest()
    second = sha256(b"\x01" + (2).to_bytes(8, "big") + first + sha256(b"b").digest()).digest()
    assert links(1, GENESIS, leaf_of(b"a") + leaf_of(b"b")) == [first, second]


def test_the_tree_is_that_of_rfc_6962() -> None:
    hashes = [bytes([n]) * 32 for n in range(3)]
    one, two, three = (sha256(b"\x00" + each).digest() for each in hashes)
    assert merkle_root(hashes) == sha256(b"\x01" + sha256(b"\x01" + one + two).digest() + three).digest()


@given(st.integers(1, 70), st.data())
def test_every_path_leads_to_the_root_and_to_no_other(size: int, data: st.DataObject) -> None:
    hashes = [sha256(bytes([n])).digest() for n in range(size)]
    index = data.draw(st.integers(0, size - 1))
    path = merkle_path(hashes, index)
    assert root_of(hashes[index], path) == merkle_root(hashes)
    assert root_of(sha256(b"other").digest(), path) != merkle_root(hashes)


@given(st.lists(st.binary(max_size=40), min_size=1, max_size=20))
def test_a_seal_comes_back_as_it_was(records: list[bytes]) -> None:
    seal = sealed(*records)
    assert decode(encode(seal)) == seal
    follows = sealed(b"x", last=seal)
    assert decode(encode(follows)) == follows
    assert follows.checkpoint.before == seal.digest()
    assert follows.checkpoint.first == len(records) + 1


@given(st.binary(max_size=200))
def test_bytes_that_are_no_seal_are_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="not a"):
        decode(data)


@pytest.mark.parametrize("cut", [1, 32, 40])
def test_a_seal_that_was_cut_short_is_refused(cut: int) -> None:
    with pytest.raises(ValueError, match="not a"):
        decode(encode(sealed(b"a", b"b"))[:-cut])


@pytest.mark.statement("security L-13")
def test_a_checkpoint_is_verified_with_the_public_key_alone() -> None:
    seal = sealed(b"a", b"b")
    public = public_keys(json.loads(json.dumps(KEYS.public())))
    assert not any("d" in key for key in KEYS.public()["keys"])
    assert public.verifies(seal.checkpoint, seal.signature)
    assert not public.verifies(replace(seal.checkpoint, last=3), seal.signature)
    assert not public.verifies(seal.checkpoint, bytes(64))
    assert not CheckpointKeys((new_key(),)).verifiers().verifies(seal.checkpoint, seal.signature)


def test_a_rotated_set_signs_with_the_new_key_and_verifies_both() -> None:
    old = sealed(b"a")
    rotated = checkpoint_keys(json.loads(json.dumps(KEYS.rotated().private())))
    assert rotated.key_id != KEYS.key_id
    assert "d" not in rotated.private()["keys"][1]
    assert rotated.verifiers().verifies(old.checkpoint, old.signature)
    check = replace(old.checkpoint, key_id=rotated.key_id)
    assert rotated.verifiers().verifies(check, rotated.sign(check))


def test_a_public_key_may_come_as_pem() -> None:
    pem = KEYS.keys[0].as_pem(private=False)
    seal = sealed(b"a")
    assert public_key_of_pem(pem).verifies(seal.checkpoint, seal.signature)


@pytest.mark.parametrize("jwks", [{}, {"keys": []}, {"keys": [{"kty": "RSA", "kid": "a"}]}, {"keys": [1]}])
def test_what_is_no_set_of_ed25519_keys_is_refused(jwks: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"key"):
        checkpoint_keys(jwks)
    with pytest.raises(ValueError, match=r"key"):
        public_keys(jwks)


@pytest.mark.statement("security L-14")
@given(st.integers(1, 40), st.data())
def test_an_inclusion_proof_holds_for_its_record_and_for_nothing_else(size: int, data: st.DataObject) -> None:
    first = sealed(b"before")
    records = [b"record %d" % n for n in range(size)]
    seal = sealed(*records, last=first)
    index = data.draw(st.integers(0, size - 1))
    proof = json.loads(json.dumps(proof_of(seal, index + 2, records[index])))
    public = KEYS.verifiers()
    assert proven(proof, public)
    assert not proven({**proof, "record": "AAAA"}, public)
    assert not proven({**proof, "seq": proof["seq"] + 1}, public)
    assert not proven({**proof, "checkpoint": first.as_json()}, public)
    assert not proven(proof, CheckpointKeys((new_key(),)).verifiers())


@pytest.mark.parametrize("proof", [{}, [], None, {"checkpoint": {}}, "x"])
def test_what_is_no_proof_is_said_to_be_none(proof: object) -> None:
    with pytest.raises(ValueError, match="not an inclusion proof"):
        proven(proof, KEYS.verifiers())  # type: ignore[arg-type]
