"""A PDF is read for its words in another process, which hostile files can slow or kill and nothing else."""

from __future__ import annotations

import os
import threading
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from fhir_dmp.demo.contents import assembled, pdf
from fhir_dmp.extraction.pdf import text_of
from fhir_dmp.extraction.reader import PdfReader


@pytest.fixture
def reader() -> Iterator[PdfReader]:
    """A reader whose process ends with the test."""
    made = PdfReader(1.0)
    yield made
    made.close()


def _slow_pdf() -> bytes:
    """A small file whose one page takes minutes to read: a long stream of text operators, compressed."""
    stream = zlib.compress(b"BT /F1 9 Tf " + b"(a) Tj 1 0 0 1 3 4 Tm " * 3_000_000 + b"ET")
    parts = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 99 99]/Resources<</Font<</F1 5 0 R>>>>/Contents 4 0 R>>",
        b"<</Length %d/Filter/FlateDecode>>stream\n%s\nendstream" % (len(stream), stream),
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
    ]
    return assembled(parts)


def test_the_words_of_a_pdf_are_read(reader: PdfReader) -> None:
    assert "Silhouette cardiaque normale." in reader(pdf(["Radiographie", "Silhouette cardiaque normale."]))


@pytest.mark.parametrize("content", [b"", b"%PDF-1.7", b"no pdf", b"%PDF-1.4\n" + bytes(range(256)) * 20])
def test_what_is_no_pdf_has_no_words_and_harms_nobody(reader: PdfReader, content: bytes) -> None:
    assert reader(content) == ""
    assert "Normal" in reader(pdf(["Normal"]))


def test_a_file_that_takes_too_long_is_given_up_and_the_next_one_is_read(reader: PdfReader) -> None:
    start = time.monotonic()
    assert reader(_slow_pdf()) == ""
    assert time.monotonic() - start < 20
    assert "Normal" in reader(pdf(["Normal"]))


def test_a_process_that_died_is_started_again(reader: PdfReader) -> None:
    assert "Un" in reader(pdf(["Un"]))
    assert reader._process is not None
    reader._process.kill()
    reader._process.wait()
    assert "Deux" in reader(pdf(["Deux"]))


def test_threads_share_the_process(reader: PdfReader) -> None:
    found: dict[int, str] = {}

    def read(number: int) -> None:
        found[number] = reader(pdf([f"Page {number}"]))

    threads = [threading.Thread(target=read, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(f"Page {number}" in found[number] for number in range(8))


def test_the_process_reads_what_the_library_reads() -> None:
    assert "Bonjour" in text_of(pdf(["Bonjour"]))
    assert text_of(b"") == ""


def test_it_reads_wherever_the_server_was_started(
    reader: PdfReader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PYTHONPATH", raising=False)
    (tmp_path / "pypdf.py").write_text("raise SystemExit")  # what lies there is not run
    assert "Ailleurs" in reader(pdf(["Ailleurs"]))


def test_a_fork_has_a_process_of_its_own(reader: PdfReader) -> None:
    assert "Avant" in reader(pdf(["Avant"]))
    child = os.fork()
    if child == 0:
        found = reader(pdf(["Enfant"]))
        reader.close()
        os._exit(0 if "Enfant" in found else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert "Apres" in reader(pdf(["Apres"]))
