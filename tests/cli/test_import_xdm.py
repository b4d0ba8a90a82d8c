"""`fhir-dmp import` of IHE_XDM.ZIP archives, as secure health messaging carries them."""

from __future__ import annotations

import struct
import tracemalloc

import pytest

from tests import samples
from tests.cda.archives import entry, metadata, xdm, zipped
from tests.cda.making import INS, document
from tests.cli.calling import CommandLine
from tests.cli.test_import_cda import contents

CDA = document()
SUBSET = "IHE_XDM/SUBSET01/"
BASE = {f"{SUBSET}METADATA.XML": metadata(entry(CDA)), f"{SUBSET}DOC00001.XML": CDA}


def test_the_document_of_an_archive_is_stored_byte_for_byte_and_once(cli: CommandLine) -> None:
    path = cli.write("IHE_XDM.ZIP", xdm(CDA))
    assert cli.imported("--open", path).counts == {"stored": 1, "unchanged": 0, "refused": 0}
    assert cli.imported("--open", path).counts == {"stored": 0, "unchanged": 1, "refused": 0}
    with cli.world() as world:
        assert contents(world) == [CDA]


def test_every_submission_set_of_an_archive_is_read(cli: CommandLine) -> None:
    other = document(id='<id root="1.2.250.1.999.7.1" extension="2026-2"/>', set='<setId root="1.2.250.1.999.7.9"/>')
    files = BASE | {
        "ihe_xdm/subset02/metadata.xml": metadata(entry(other, URI="report.xml")),
        "ihe_xdm/subset02/report.xml": other,
    }
    done = cli.imported("--open", cli.write("two.zip", zipped(files)))
    assert done.counts["stored"] == 2, cli.refusals


def test_a_document_that_the_metadata_mask_is_stored_masked(cli: CommandLine) -> None:
    cli.imported("--open", cli.write("masked.zip", xdm(CDA, labels="N MASQUE_PS")))
    with cli.world() as world:
        (found,) = world.admin.get("/DocumentReference?_count=5").entries
        labels = [coding["code"] for label in found["securityLabel"] for coding in label["coding"]]
        assert sorted(labels) == ["MASQUE_PS", "N"]
        world.patients[INS] = world.admin.get(f"/Patient?identifier={samples.INS}|{INS}").entries[0]["id"]
        world.authorise(INS, samples.OTHER_DOCTOR)
        other = world.doctor(samples.OTHER_DOCTOR, samples.CLINIC)
        assert other.get(f"/DocumentReference/{found['id']}").status == 404


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"hash": "0" * 40}, "The hash is not that of METADATA.XML"),
        ({"hash": "xyz"}, "40 hexadecimal digits"),
        ({"size": "12"}, "states 12 bytes"),
        ({"size": "-1"}, "a number of bytes"),
        ({"URI": ""}, "no URI"),
        ({"URI": "../../../etc/passwd"}, "does not hold the file"),
        ({"URI": "/etc/passwd"}, "does not hold the file"),
        ({"URI": "..\\..\\windows.ini"}, "does not hold the file"),
        ({"URI": "https://evil.example/a.xml"}, "does not hold the file"),
        ({"type": "application/pdf"}, "Only CDA documents"),
        ({"patient": f"{samples.BASILE}^^^&1.2.250.1.213.1.4.8&ISO^NH"}, "another patient"),
    ],
)
def test_metadata_that_do_not_fit_their_file_are_refused_in_words(
    cli: CommandLine, changes: dict[str, str], words: str
) -> None:
    assert cli.imported("--open", cli.write("bad.zip", xdm(CDA, **changes))).status == 1
    assert any(words in one["reason"] for one in cli.refusals), cli.refusals
    with cli.services() as services:
        assert services.store.types() == {}


def test_a_file_without_hash_is_stored_with_a_warning(cli: CommandLine) -> None:
    path = cli.write("nohash.zip", xdm(CDA, hash=""))
    told = cli.folder / "warnings.ndjson"
    assert cli.imported("--open", "--warnings", told, path).counts["stored"] == 1
    assert "states no hash" in told.read_text("utf-8")


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({f"{SUBSET}DOC00001.XML": CDA}, "has no METADATA.XML"),
        ({"IHE_XDM/README.TXT": b"x"}, "holds no submission set"),
        (BASE | {f"{SUBSET}METADATA.XML": b"<a"}, "not well-formed"),
        (BASE | {f"{SUBSET}METADATA.XML": metadata()}, "names no document"),
        (BASE | {f"{SUBSET}METADATA.XML": b'<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>'}, "DTD"),
        (BASE | {f"{SUBSET}EXTRA.XML": b"<x/>"}, "does not name this file"),
        (BASE | {f"{SUBSET}doc00001.xml": b"<x/>"}, "two files of one name"),
        ({f"{SUBSET}{number}": b"" for number in range(2001)}, "holds 2001 files"),
        ({f"{SUBSET}METADATA.XML": metadata(entry(b"<a/>")), f"{SUBSET}DOC00001.XML": b"<a/>"}, "ClinicalDocument"),
    ],
)
def test_an_archive_that_is_not_whole_is_refused_in_words(
    cli: CommandLine, files: dict[str, bytes], words: str
) -> None:
    assert cli.imported("--open", cli.write("strange.zip", zipped(files))).status == 1
    assert any(words in one["reason"] for one in cli.refusals), cli.refusals


def test_one_bad_document_does_not_stop_the_others(cli: CommandLine) -> None:
    files = BASE | {f"{SUBSET}METADATA.XML": metadata(entry(b"x", URI="GONE.XML"), entry(CDA))}
    assert cli.imported("--open", cli.write("half.zip", zipped(files))).counts == {
        "stored": 1,
        "unchanged": 0,
        "refused": 1,
    }


def test_a_bomb_is_refused_without_being_inflated(cli: CommandLine) -> None:
    path = cli.write("bomb.zip", xdm(b"<" + b" " * 60_000_000))
    tracemalloc.start()
    try:
        assert cli.imported("--open", path).status == 1
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert "is too long" in cli.refusals[0]["reason"]
    assert peak < 300_000_000


def test_a_damaged_or_encrypted_file_is_refused(cli: CommandLine) -> None:
    data = bytearray(xdm(CDA))
    central = data.rfind(b"PK\x01\x02")
    (flags,) = struct.unpack_from("<H", data, central + 8)
    struct.pack_into("<H", data, central + 8, flags | 1)
    assert cli.imported("--open", cli.write("secret.zip", bytes(data))).status == 1
    assert "cannot be read" in cli.refusals[0]["reason"]
    data = bytearray(xdm(CDA))
    place = data.find(b"DOC00001.XML") + 40
    data[place : place + 40] = b"\0" * 40
    assert cli.imported("--open", cli.write("damaged.zip", bytes(data))).status == 1
