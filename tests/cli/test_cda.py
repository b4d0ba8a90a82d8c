"""`fhir-dmp cda`: there and back from the command line."""

from __future__ import annotations

import json

import pytest

from tests.cda.making import document, section
from tests.cda.test_writing import bundle, reference
from tests.cli.calling import CommandLine

LOSSY = document(section(text='<paragraph>x</paragraph><renderMultiMedia referencedObject="F9"/>'))


def test_a_file_goes_there_and_back(cli: CommandLine) -> None:
    given = cli.write("one.xml", document())
    there = given.with_name("one.json")
    assert cli("cda", "to-fhir", str(given), "--out", str(there)).status == 0
    assert json.loads(there.read_bytes())["type"] == "document"
    back = given.with_name("back.xml")
    assert cli("cda", "from-fhir", str(there), "--out", str(back)).status == 0
    assert cli("cda", "to-fhir", str(back), "--out", str(there)).status == 0


def test_losses_go_to_stderr_with_place_and_reason(cli: CommandLine) -> None:
    done = cli("cda", "check", str(cli.write("lossy.xml", LOSSY)))
    assert done.status == 1
    (line,) = (line for line in done.err.splitlines() if "figure" in line)
    assert line == (
        "/ClinicalDocument/component/structuredBody/component/section/text/renderMultiMedia: F9: "
        "a figure that shows nothing of this document"
    )


def test_a_sound_document_passes_the_check(cli: CommandLine) -> None:
    done = cli("cda", "check", str(cli.write("one.xml", document())))
    assert (done.status, done.err) == (0, "")
    assert "model       1.2.250.1.213.1.1.1.13" in done.out


@pytest.mark.parametrize("resource", [bundle, reference])
def test_fhir_becomes_a_file(cli: CommandLine, resource: object) -> None:
    assert callable(resource)
    given = cli.write("one.json", json.dumps(resource(), default=float).encode())
    out = given.with_name("out.xml")
    assert cli("cda", "from-fhir", str(given), "--out", str(out)).status == 0
    assert out.read_bytes().startswith(b"<?xml")


def test_what_is_no_cda_is_one_line_and_a_status(cli: CommandLine) -> None:
    done = cli("cda", "to-fhir", str(cli.write("bad.xml", b"<a/>")))
    assert done.status == 1
    assert "ClinicalDocument" in done.err


def test_a_file_becomes_a_page(cli: CommandLine) -> None:
    given = cli.write("one.xml", document())
    out = given.with_name("one.html")
    assert cli("cda", "to-html", str(given), "--out", str(out), "--language", "en").status == 0
    assert '<html lang="en">' in out.read_text("utf-8")
    assert cli("cda", "to-html", str(cli.write("bad.xml", b"<a/>"))).status == 1
