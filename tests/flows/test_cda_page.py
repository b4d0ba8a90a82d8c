"""`GET Binary/[id]` with `Accept: text/html`: the page of a CDA, under the rights and the record of a retrieval."""

from __future__ import annotations

from typing import Any

import pytest

from tests import samples
from tests.cda.making import document, section
from tests.flows.steps import Dossier
from tests.world import World

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
CDA = document(section(text="<paragraph>Angine</paragraph><script>alert(1)</script>"))


def stored(dossier: Dossier, content: bytes = CDA, content_type: str = "application/xml", **more: Any) -> str:
    """Publish a document and return the path of its content."""
    reference = dossier.document(content=content, content_type=content_type, **more)
    return "/" + "/".join(reference["content"][0]["attachment"]["url"].split("/")[-2:])


@pytest.mark.parametrize("accept", ["text/html", BROWSER])
@pytest.mark.parametrize("media", ["application/xml", "text/xml"])
def test_a_browser_reads_a_cda_as_an_inert_page(world: World, dossier: Dossier, accept: str, media: str) -> None:
    answer = dossier.holder.get(stored(dossier, content_type=media), Accept=accept)
    assert (answer.status, answer.headers["Content-Type"]) == (200, "text/html;charset=utf-8")
    assert (answer.headers["Content-Disposition"], answer.headers["Content-Language"]) == ("inline", "fr")
    assert "Accept-Language" in answer.headers["Vary"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Cache-Control"] == "no-store, private"
    policy = answer.headers["Content-Security-Policy"]
    assert policy.startswith("sandbox allow-downloads; default-src 'none';")
    assert "Angine" in answer.body.decode()
    assert b"<script" not in answer.body


def test_the_labels_are_in_the_language_of_the_reader(dossier: Dossier) -> None:
    answer = dossier.holder.get(stored(dossier), Accept="text/html", Accept_Language="en-GB, fr;q=0.5")
    assert answer.headers["Content-Language"] == "en"
    assert "Skip to content" in answer.body.decode()


@pytest.mark.statement("cda A5")
@pytest.mark.parametrize("accept", [None, "*/*", "application/xml", "application/xml, text/html;q=0.9", "text/xml"])
def test_whoever_does_not_ask_for_a_page_gets_the_bytes(dossier: Dossier, accept: str | None) -> None:
    answer = dossier.holder.get(stored(dossier), **({"Accept": accept} if accept else {}))
    assert (answer.body, answer.headers["Content-Type"]) == (CDA, "application/xml")


def test_another_content_is_not_turned_into_a_page(dossier: Dossier) -> None:
    path = stored(dossier, b"<note/>")
    assert dossier.holder.get(path, Accept="text/html").status == 406
    answer = dossier.holder.get(path, Accept=BROWSER)
    assert (answer.status, answer.body) == (200, b"<note/>")
    assert answer.headers["Content-Security-Policy"].startswith("sandbox;")
    assert answer.headers["Content-Disposition"].startswith("attachment")


def test_a_page_has_the_validator_of_its_document(dossier: Dossier) -> None:
    path = stored(dossier)
    answer = dossier.holder.get(path, Accept="text/html")
    again = dossier.holder.get(path, Accept="text/html", If_None_Match=answer.headers["ETag"])
    assert (again.status, again.body) == (304, b"")


def test_a_hidden_document_has_no_page(world: World, dossier: Dossier) -> None:
    masked = ((samples.CONFIDENTIALITY, "N"), (samples.VISIBILITY, "MASQUE_PS"))
    path = stored(dossier, labels=masked)
    world.authorise(dossier.ins, samples.OTHER_DOCTOR)
    other = world.doctor(samples.OTHER_DOCTOR, samples.CLINIC)
    refused = other.get(path, Accept="text/html")
    absent = other.get("/Binary/0190aaaa-0000-7000-8000-000000000000", Accept="text/html")
    assert refused.status == absent.status == 404
    assert b"Angine" not in refused.body


def test_reading_the_page_is_recorded_as_a_retrieval(world: World, dossier: Dossier) -> None:
    path = stored(dossier)
    dossier.holder.get(path, Accept="text/html")
    events = world.admin.get(f"/AuditEvent?patient=Patient/{dossier.id}&_count=50").entries
    assert sum("ITI-68" in str(event["subtype"]) for event in events) == 1
