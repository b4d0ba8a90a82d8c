"""The nine sections of the patient's view: given by the server, searched and browsed in their order. [dmp-fhir 6.4]"""

from __future__ import annotations

import pytest

from fhir_dmp.definitions import load_json
from tests import samples
from tests.flows.steps import Dossier, next_content, next_ins
from tests.world import World

SECTIONS = [concept["code"] for concept in load_json("profiles/code-systems/mes-rubrique.json")["concept"]]
A05 = f"{samples.NOS}/TRE_A05-TypeDocComplementaire/FHIR/TRE-A05-TypeDocComplementaire"
#: Section -> (type, class) of a document in it.
PAPERS: dict[str, tuple[tuple[str, str], str]] = {
    "synthese": ((samples.LOINC, "60591-5"), "11"),
    "traitements-soins": ((samples.LOINC, "57833-6"), "42"),
    "comptes-rendus": ((samples.LOINC, "11488-4"), "10"),
    "imagerie": ((samples.LOINC, "18748-4"), "31"),
    "biologie": ((samples.LOINC, "11502-2"), "10"),
    "prevention-depistage": ((samples.LOINC, "11369-6"), "52"),
    "certificats": ((samples.LOINC, "89601-9"), "52"),
    "pieces-administratives": ((samples.LOINC, "86531-1"), "95"),
    "expression-patient": ((samples.LOINC, "74465-6"), "90"),
}


@pytest.fixture(scope="module")
def shelves(world: World) -> tuple[Dossier, dict[str, str]]:
    """A dossier with a document in each section, submitted in no order of sections, and the id of each."""
    dossier = Dossier.open(world, next_ins())
    ids = {}
    for day, section in enumerate(sorted(PAPERS), start=1):
        type_, class_ = PAPERS[section]
        date = f"2026-06-{day:02d}T10:00:00+02:00"
        ids[section] = dossier.submit(type_=type_, class_=class_, date=date, content=next_content())
    return dossier, ids


def test_every_section_has_its_documents(shelves: tuple[Dossier, dict[str, str]]) -> None:
    dossier, ids = shelves
    assert sorted(PAPERS) == sorted(SECTIONS)
    for section, id_ in ids.items():
        (tag,) = dossier.read(id_)["meta"]["tag"]
        assert tag == {"system": "https://dmp-fhir.example/ig/CodeSystem/mes-rubrique", "code": section}
        for value in (section, f"{tag['system']}|{section}"):
            assert dossier.found(dossier.holder, f"rubrique={value}") == [id_]
    both = dossier.found(dossier.holder, "rubrique=imagerie,biologie&_sort=rubrique")
    assert both == [ids["imagerie"], ids["biologie"]]
    assert len(dossier.found(dossier.holder, "rubrique:not=imagerie")) == 8
    assert dossier.found(dossier.holder, "rubrique=cuisine") == []


def test_sections_are_browsed_in_their_order_not_in_that_of_the_alphabet(
    shelves: tuple[Dossier, dict[str, str]],
) -> None:
    dossier, ids = shelves
    in_order = [ids[section] for section in SECTIONS]
    assert dossier.found(dossier.holder, "_sort=rubrique,-date") == in_order
    assert dossier.found(dossier.holder, "_sort=-rubrique") == in_order[::-1]
    first = dossier.search(dossier.holder, "_sort=rubrique&_count=4").json
    (link,) = [each["url"] for each in first["link"] if each["relation"] == "next"]
    second = dossier.holder.get(link.removeprefix(dossier.world.services.base)).json
    paged = [entry["resource"]["id"] for page in (first, second) for entry in page["entry"]]
    assert paged == in_order[:8]


def test_newest_come_first_within_a_section(world: World) -> None:
    dossier = Dossier.open(world, next_ins())
    dates = ("2026-03-01", "2026-05-01", "2026-04-01")
    old, new, middle = (dossier.submit(date=f"{day}T10:00:00+02:00", content=next_content()) for day in dates)
    scan = dossier.submit(type_=(samples.LOINC, "18748-4"), class_="31", content=next_content())
    assert dossier.found(dossier.holder, "_sort=rubrique,-date") == [new, middle, old, scan]


def test_a_section_sent_by_the_client_is_not_believed(world: World) -> None:
    dossier = Dossier.open(world, next_ins())
    tag = {"system": "https://dmp-fhir.example/ig/CodeSystem/mes-rubrique", "code": "imagerie"}
    profile = [f"{samples.PDSM}/pdsm-comprehensive-document-reference"]
    id_ = dossier.submit(meta={"profile": profile, "tag": [tag]}, content=next_content())
    assert [each["code"] for each in dossier.read(id_)["meta"]["tag"]] == ["comptes-rendus"]


def test_a_document_that_an_operator_stores_has_its_section_too(world: World) -> None:
    dossier = Dossier.open(world, next_ins())
    stored = dossier.read(dossier.submit(content=next_content()))
    kind = {"coding": [{"system": samples.LOINC, "code": "11502-2"}]}
    bare = {name: part for name, part in stored.items() if name != "meta"} | {"id": "moved-here", "type": kind}
    bare["masterIdentifier"] = {"system": "urn:ietf:rfc:3986", "value": "urn:oid:1.2.250.1.999.9.9.1"}
    del bare["identifier"]
    for expected in (201, 200):
        answer = world.admin.put("/DocumentReference/moved-here", bare)
        assert answer.status == expected, answer.body
        assert [tag["code"] for tag in answer.json["meta"]["tag"]] == ["biologie"]
    assert answer.json["meta"]["versionId"] == "1"
    assert dossier.found(dossier.holder, "rubrique=biologie") == ["moved-here"]
