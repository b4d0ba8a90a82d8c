"""`_content` and `_text`: documents are found by the words of what they hold. fhir-rest 6.3, D122"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import pytest

from fhir_dmp.cli.reindex import reindex
from fhir_dmp.demo.contents import pdf
from tests.rest.conftest import opened
from tests.rest.shapes import made, named, patient
from tests.samples import ANOUK, CONFIDENTIALITY, NURSE, VISIBILITY
from tests.world import Client, Json, World

CDA = """<?xml version="1.0" encoding="UTF-8"?><ClinicalDocument xmlns="urn:hl7-org:v3"><title>Compte rendu</title>
<component><structuredBody><component><section><title>Conclusion</title><text>Fracture du scaphoïde droit.</text>
</section></component></structuredBody></component></ClinicalDocument>"""


def _found(client: Client, world: World, query: str) -> set[str]:
    answer = client.get(f"/DocumentReference?patient=Patient/{world.patients[ANOUK]}&{quote(query, safe='=&,')}")
    assert answer.status == 200, answer.body
    assert answer.json["total"] == len(answer.entries)
    return {each["id"] for each in answer.entries}


@pytest.fixture
def documents(wide: World) -> dict[str, str]:
    """An open record with a CDA, a PDF and a plain text."""
    wide.open()
    wide.authorise()
    return {
        "cda": wide.submit("1.2.250.1.999.81.1", content=CDA.encode(), content_type="text/xml"),
        "pdf": wide.submit(
            "1.2.250.1.999.81.2", content=pdf(["Radiographie du thorax"]), content_type="application/pdf"
        ),
        "text": wide.submit("1.2.250.1.999.81.3", content="Asthme équilibré.".encode()),
    }


@pytest.mark.statement("fhir-rest D122")
@pytest.mark.parametrize(
    ("query", "kept"),
    [
        ("_content=scaphoide", {"cda"}),
        ("_content=SCAPHOÏDE fracture", {"cda"}),
        ("_content=scapho", {"cda"}),
        ("_content=thorax", {"pdf"}),
        ("_content=radiographie thorax", {"pdf"}),
        ("_content=equilibre", {"text"}),
        ("_content=thorax,asthme", {"pdf", "text"}),
        ("_content=thorax&_content=asthme", set()),
        ("_content=thorax asthme", set()),
        ("_content=inconnu", set()),
        ("_content=horax", set()),
        ("_content=consultation", {"cda", "pdf", "text"}),  # the title of each attachment
        ("_text=thorax", set()),  # these documents have no narrative of their own
    ],
)
def test_a_document_is_found_by_the_words_of_its_content(
    wide: World, documents: dict[str, str], query: str, kept: set[str]
) -> None:
    assert _found(wide.doctor(), wide, query) == {documents[name] for name in kept}


@pytest.mark.statement("fhir-rest D122")
def test_the_words_follow_the_document(wide: World, documents: dict[str, str]) -> None:
    doctor = wide.doctor()
    change = [{"op": "add", "path": "/extension/-", "value": _archived()}]
    answer = doctor.patch(f"/DocumentReference/{documents['pdf']}", change)
    assert answer.status == 200, answer.body
    assert _found(doctor, wide, "_content=thorax") == {documents["pdf"]}
    deletion = [{"op": "replace", "path": "/status", "value": "entered-in-error"}]
    assert doctor.patch(f"/DocumentReference/{documents['pdf']}", deletion).status == 200
    assert _found(doctor, wide, "_content=thorax") == set()


def _archived() -> Json:
    from fhir_dmp.terminology.sharing import IS_ARCHIVED

    return {"url": IS_ARCHIVED, "valueBoolean": True}


@pytest.mark.statement("fhir-rest D122")
def test_a_narrative_is_found_by_text_and_by_content(wide: World) -> None:
    admin = wide.admin
    div = '<div xmlns="http://www.w3.org/1999/xhtml"><p>Suivi de <b>l\'Hypertension</b> &amp; bilan</p></div>'
    one = made(admin, patient("A", text={"status": "generated", "div": div}))
    two = made(admin, patient("Hypertension"))
    assert [each["id"] for each in admin.get("/Patient?_text=hypertension bilan").entries] == [one["id"]]
    assert {each["id"] for each in admin.get("/Patient?_content=hypertension").entries} == {one["id"], two["id"]}
    assert admin.get("/Patient?_text=strong").entries == []
    assert admin.get("/Patient?_text:exact=x").status == 400


@pytest.mark.statement("fhir-rest D122", "fhir-rest E148")
def test_the_words_of_a_hidden_document_find_nothing(wide: World) -> None:
    wide.open()
    wide.authorise()
    wide.authorise(professional=NURSE)
    labels = [(CONFIDENTIALITY, "N"), (VISIBILITY, "MASQUE_PS")]
    masked = wide.submit("1.2.250.1.999.82.1", content=CDA.encode(), content_type="text/xml", labels=labels)
    unseen = wide.submit(
        "1.2.250.1.999.82.2",
        content=b"Annonce de la tumeur",
        labels=[(CONFIDENTIALITY, "N"), (VISIBILITY, "INVISIBLE_PATIENT")],
    )
    assert _found(wide.doctor(), wide, "_content=scaphoide") == {masked}
    assert _found(wide.doctor(NURSE, profession="60"), wide, "_content=scaphoide") == set()
    assert _found(wide.patient(), wide, "_content=scaphoide") == {masked}
    assert _found(wide.patient(), wide, "_content=tumeur") == set()
    assert unseen in _found(wide.doctor(), wide, "_content=tumeur")
    listed = f"/List?patient=Patient/{wide.patients[ANOUK]}&item:DocumentReference._content=tumeur"
    assert wide.patient().get(listed).entries == []
    assert len(wide.doctor().get(listed).entries) == 1


@pytest.mark.statement("fhir-rest E148")
def test_a_list_is_not_found_by_how_it_names_a_document(admin: Client) -> None:
    owner = made(admin, patient())
    listing: Json = {
        "resourceType": "List",
        "status": "current",
        "mode": "working",
        "title": "Classeur",
        "subject": {"reference": named(owner), "display": "Mme ESSAI"},
        "entry": [{"item": {"reference": "DocumentReference/1", "display": "Annonce de la tumeur"}}],
    }
    stored = admin.post("/List", listing)
    assert stored.status == 201, stored.body
    assert len(admin.get(f"/List?patient={named(owner)}&_content=classeur essai").entries) == 1
    assert admin.get(f"/List?patient={named(owner)}&_content=tumeur").entries == []


@pytest.mark.parametrize("store", ["memory", "sqlite"])
def test_contents_are_searched_once_the_setting_says_so_and_the_index_is_made_again(store: str, tmp_path: Path) -> None:
    for world in opened(store, tmp_path, DMP_DOCUMENTS_CONTENT_SEARCH_MS="0"):
        world.open()
        world.authorise()
        id_ = world.submit("1.2.250.1.999.83.1", content=CDA.encode(), content_type="text/xml")
        assert _found(world.doctor(), world, "_content=scaphoide") == set()
        searching = replace(world.services, read_pdf=lambda content: "")
        assert reindex(world.services.store, "DocumentReference", searching.terms, 1) == 1
        assert _found(world.doctor(), world, "_content=scaphoide") == {id_}
