"""`DocumentReference/[id]/$xdm`: the archive of a document, and the same document read from it."""

from __future__ import annotations

import base64
import hashlib
import io
import zipfile

import pytest
from lxml import etree

from fhir_dmp.cda.xdm import RIM, documents, is_xdm
from tests import samples
from tests.cda.making import document
from tests.flows.steps import Dossier
from tests.world import World

CDA = document()
MASKED = ((samples.CONFIDENTIALITY, "N"), (samples.VISIBILITY, "MASQUE_PS"))


def opened(body: bytes) -> zipfile.ZipFile:
    """Open the archive of an answer."""
    return zipfile.ZipFile(io.BytesIO(body))


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("accept", [None, "*/*", "application/zip"])
def test_an_archive_holds_the_bytes_and_what_proves_them(dossier: Dossier, method: str, accept: str | None) -> None:
    id_ = dossier.submit(content=CDA, content_type="application/xml")
    headers = {"Accept": accept} if accept else {}
    answer = dossier.holder.call(method, f"/DocumentReference/{id_}/$xdm", None, headers)
    assert (answer.status, answer.headers["Content-Type"]) == (200, "application/zip"), answer.body
    assert answer.headers["Content-Disposition"] == 'attachment; filename="IHE_XDM.ZIP"'
    archive = opened(answer.body)
    assert archive.namelist()[:2] == ["INDEX.HTM", "README.TXT"]
    assert is_xdm(archive)
    (found,) = documents(archive)
    assert (found.data, found.error, found.warnings) == (CDA, None, ())
    assert found.stated is not None
    assert found.stated.hash == hashlib.sha1(CDA).hexdigest()
    assert found.stated.patient == (samples.INS.removeprefix("urn:oid:"), dossier.ins)


def test_the_metadata_are_those_of_the_document(dossier: Dossier) -> None:
    id_ = dossier.submit(content=CDA, content_type="application/xml", labels=MASKED)
    stored = dossier.read(id_)
    answer = dossier.holder.get(f"/DocumentReference/{id_}/$xdm")
    root = etree.fromstring(opened(answer.body).read("IHE_XDM/SUBSET01/METADATA.XML"))
    codes = [one.get("nodeRepresentation") for one in root.iter(f"{{{RIM}}}Classification")]
    for concept in (*stored["type"]["coding"], *stored["category"][0]["coding"], stored["content"][0]["format"]):
        assert concept["code"] in codes
    assert {"N", "MASQUE_PS"} <= set(codes)
    slots = {
        slot.get("name"): [value.text for value in slot.iter(f"{{{RIM}}}Value")] for slot in root.iter(f"{{{RIM}}}Slot")
    }
    assert slots["URI"] == ["DOC00001.XML"]
    assert slots["size"] == [str(len(CDA))]
    assert any(value and value.endswith("^D^^^IDNPS") for value in slots["authorPerson"])
    (member,) = root.iter(f"{{{RIM}}}Association")
    assert (member.get("sourceObject"), member.get("targetObject")) == ("SubmissionSet01", "Document01")
    ids = [element.get("id") for element in root.iter() if element.get("id")]
    assert len(ids) == len(set(ids))


def test_a_binary_comes_when_fhir_is_asked_for(dossier: Dossier) -> None:
    id_ = dossier.submit(content=CDA, content_type="application/xml")
    answer = dossier.holder.get(f"/DocumentReference/{id_}/$xdm", Accept="application/fhir+json")
    assert answer.json["contentType"] == "application/zip"
    assert is_xdm(opened(base64.b64decode(answer.json["data"])))


def test_another_content_keeps_its_type(dossier: Dossier) -> None:
    id_ = dossier.submit(content=b"%PDF-1.4 fictif", content_type="application/pdf")
    archive = opened(dossier.holder.get(f"/DocumentReference/{id_}/$xdm").body)
    assert archive.read("IHE_XDM/SUBSET01/DOC00001.PDF") == b"%PDF-1.4 fictif"


def test_a_hidden_document_has_no_archive(world: World, dossier: Dossier) -> None:
    id_ = dossier.submit(content=CDA, content_type="application/xml", labels=MASKED)
    world.authorise(dossier.ins, samples.OTHER_DOCTOR)
    other = world.doctor(samples.OTHER_DOCTOR, samples.CLINIC)
    refused = other.get(f"/DocumentReference/{id_}/$xdm")
    absent = other.get("/DocumentReference/0190aaaa-0000-7000-8000-000000000000/$xdm")
    assert (refused.status, refused.codes) == (absent.status, absent.codes)
    assert refused.status == 404
