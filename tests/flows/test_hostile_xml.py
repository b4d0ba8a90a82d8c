"""Hostile and broken XML through every door that takes a CDA: refused in words, quickly, nothing lost. [cda 8]"""

from __future__ import annotations

import time
import tracemalloc
from typing import Any

import pytest

from tests.cda.making import code, document, entry, observation, section, templates
from tests.flows.steps import Dossier, next_ins
from tests.world import Client, World

CDA = document()
BODY = CDA.partition(b"?>\n")[2]


def laughs() -> bytes:
    """Return the DTD of a document that would be a thousand million words long."""
    lines = [b'<!ENTITY a0 "ha">', *(b'<!ENTITY a%d "%s">' % (n, b"&a%d;" % (n - 1) * 10) for n in range(1, 10))]
    return b"<!DOCTYPE x [" + b"".join(lines) + b"]>" + BODY.replace(b"Texte", b"&a9;")


def nested(depth: int) -> bytes:
    """Return a document whose narrative is so many levels deep."""
    return document(section(text="<content>" * depth + "x" + "</content>" * depth))


def sections(depth: int) -> bytes:
    """Return a document of sections within sections."""
    return document("<component><section>" * depth + "</section></component>" * depth)


HOSTILE: dict[str, bytes] = {
    "a doctype": b"<!DOCTYPE ClinicalDocument>" + BODY,
    "a harmless entity": b'<!DOCTYPE x [<!ENTITY a "b">]>' + BODY,
    "an external entity": b'<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]>' + BODY.replace(b"Texte", b"&a;"),
    "a parameter entity": b'<!DOCTYPE x [<!ENTITY % a SYSTEM "http://127.0.0.1:9/x.dtd"> %a;]>' + BODY,
    "an external subset": b'<!DOCTYPE x SYSTEM "http://127.0.0.1:9/x.dtd">' + BODY,
    "a doctype after a long prolog": b"<!--" + b"x" * 70_000 + b"--><!DOCTYPE x>" + BODY,
    "a doctype in UTF-16": ("<!DOCTYPE x>" + BODY.decode()).encode("utf-16"),
    "a billion laughs": laughs(),
    "an undeclared entity": BODY.replace(b"Texte", b"&nbsp;"),
    "another encoding": CDA.decode().replace("UTF-8", "ISO-8859-1").encode("latin-1"),
    "an encoding nobody has": CDA.replace(b'"UTF-8"', b'"UTF-7"'),
    "a wrong encoding": CDA.decode().encode("latin-1"),
    "XML 1.1": CDA.replace(b'version="1.0"', b'version="1.1"'),
    "a control character": CDA.replace(b"Texte", b"a\x01b"),
    "a zero byte": CDA.replace(b"Texte", b"a\x00b"),
    "300 levels": nested(300),
    "100,000 levels": nested(100_000),
    "300 levels of sections": sections(300),
    "the first half": CDA[: len(CDA) // 2],
    "all but the last byte": CDA[:-1],
    "two roots": CDA + b"<x/>",
    "no element": b'<?xml version="1.0"?>',
    "no CDA": b"<note xmlns='urn:hl7-org:v3'/>",
    "two documents": b"<x>" + BODY + BODY + b"</x>",
    "no namespace": BODY.replace(b'xmlns="urn:hl7-org:v3" ', b"", 1),
}
#: The ways in that read at once.
DOORS = ("/Binary/$cda-to-fhir", "/DocumentReference/$generate-metadata")


def refused(client: Client, path: str, data: bytes) -> None:
    """Send a document and see it refused in words within two seconds."""
    started = time.perf_counter()
    answer = client.post(path, data, Content_Type="application/xml")
    assert time.perf_counter() - started < 2
    assert answer.status == 400, answer.body[:300]
    assert answer.json["resourceType"] == "OperationOutcome"
    said = answer.json["issue"][0]["diagnostics"]
    assert said
    assert "root:" not in said  # of /etc/passwd


@pytest.mark.statement("cda A18", "cda A19", "cda A20", "cda A21", "cda A22")
@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("door", DOORS)
def test_hostile_xml_is_refused_at_once_in_words(world: World, door: str, name: str) -> None:
    refused(world.doctor(), door, HOSTILE[name])


def test_hostile_xml_is_refused_in_bounded_memory(world: World) -> None:
    client = world.doctor()
    for name in ("a billion laughs", "100,000 levels", "an external entity"):
        tracemalloc.start()
        try:
            refused(client, DOORS[0], HOSTILE[name])
            assert tracemalloc.get_traced_memory()[1] < 10 * len(HOSTILE[name]) + 5_000_000
        finally:
            tracemalloc.stop()


def test_an_inclusion_is_never_followed(world: World) -> None:
    inclusion = '<xi:include xmlns:xi="http://www.w3.org/2001/XInclude" href="file:///etc/passwd" parse="text"/>'
    data = document(section(text=f"<paragraph>{inclusion}</paragraph>"))
    for door in DOORS:
        assert b"root:" not in world.doctor().post(door, data, Content_Type="application/xml").body


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_xml_that_was_stored_comes_back_as_it_is_and_has_no_page(dossier: Dossier, name: str) -> None:
    reference = dossier.document(content=HOSTILE[name], content_type="application/xml")
    path = "/" + "/".join(reference["content"][0]["attachment"]["url"].split("/")[-2:])
    assert dossier.holder.get(path, Accept="application/xml").body == HOSTILE[name]
    assert dossier.holder.get(path, Accept="text/html").status == 406
    assert dossier.holder.post(f"{path}/$cda-to-fhir", b"").status == 400


ODD: dict[str, bytes] = {
    "a date that does not exist": document(birth='<birthTime value="19859941"/>'),
    "a date of letters": document(birth='<birthTime value="hier"/>'),
    "an unknown template": document(section(entry(observation(code("2339-0"), "1.2.3.4.5.6.7")))),
    "a reference to nothing": document(
        section(entry(observation(code("2339-0") + '<text><reference value="#absent"/></text>', "E48")))
    ),
    "a figure of nothing": document(section(text='<renderMultiMedia referencedObject="absent"/>')),
    "an entry of nothing": document(section("<entry/>")),
    "a section of nothing": document("<component><section/></component>"),
    "a value of an unknown type": document(
        section(entry(observation(code("2339-0") + '<value xsi:type="ZZ" value="1"/>', "E48")))
    ),
    "a quantity of words": document(
        section(entry(observation(code("2339-0") + '<value xsi:type="PQ" value="dix" unit="g"/>', "E48")))
    ),
    "an id without root": document(section(entry(observation("<id/>" + code("2339-0"), "E48")))),
    "150 levels": nested(150),
    "90 levels of sections": sections(90),
    "templates alone": document(section(entry(f'<act classCode="ACT" moodCode="EVN">{templates("E48")}</act>'))),
    "a name of 100,000 letters": document(name=f"<family>{'x' * 100_000}</family><given>y</given>"),
}


@pytest.mark.statement("cda A11", "cda A12")
@pytest.mark.parametrize("name", ODD)
def test_an_odd_document_is_read_or_refused_in_words_and_never_fails(dossier: Dossier, name: str) -> None:
    for door in DOORS:
        answer = dossier.holder.post(door, ODD[name], Content_Type="application/xml")
        assert answer.status in (200, 400, 422), answer.body[:300]
    reference: Any = dossier.document(content=ODD[name], content_type="application/xml")
    path = "/" + "/".join(reference["content"][0]["attachment"]["url"].split("/")[-2:])
    assert dossier.holder.get(path, Accept="application/xml").body == ODD[name]
    assert dossier.holder.get(path, Accept="text/html").status == 200


def test_hostile_xml_that_is_extracted_is_stored_all_the_same_and_derives_nothing(make: Any) -> None:
    world: World = make(DMP_DOCUMENTS_EXTRACT="true")
    dossier = Dossier.open(world, next_ins())
    for name, data in (HOSTILE | ODD).items():
        reference = dossier.document(content=data, content_type="application/xml")
        path = "/" + "/".join(reference["content"][0]["attachment"]["url"].split("/")[-2:])
        assert dossier.holder.get(path, Accept="application/xml").body == data, name
        derived = f"/Observation?source-document=DocumentReference/{reference['id']}"
        if name in HOSTILE:
            assert dossier.holder.get(derived).entries == [], name
