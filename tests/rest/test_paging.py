"""Paging: stable while others write, sealed, lent to nobody. fhir-rest 7.1, checklist E131 to E134."""

from __future__ import annotations

import pytest

from tests.rest.shapes import SYSTEM, bundle, entry, link, made, named, observation, patient
from tests.samples import ANOUK, NURSE
from tests.world import Client, World


def _filled(client: Client, count: int) -> list[str]:
    """Store patients with ids in order and return their ids."""
    kind = "transaction" if client.world.services.store.transactional else "batch"
    ids = [f"p{number:04d}" for number in range(count)]
    for start in range(0, count, 500):
        part = ids[start : start + 500]
        sent = bundle(kind, *(entry("PUT", f"Patient/{i}", patient(f"N{i}", id=i)) for i in part))
        assert client.post("/", sent).status == 200
    return ids


@pytest.mark.statement("fhir-rest E131")
@pytest.mark.parametrize("order", ["", "&_sort=family", "&_sort=-_id"])
def test_paging_visits_every_resource_once_while_others_write(world: World, order: str) -> None:
    admin = world.admin
    ids = _filled(admin, 1000)
    seen: list[str] = []
    touched: set[str] = set()
    path: str | None = f"/Patient?_count=50{order}"
    page = 0
    while path:
        answer = admin.get(path)
        assert answer.status == 200, answer.body
        seen += [each["id"] for each in answer.entries]
        path = link(answer, "next")
        made(admin, patient(f"NOUVEAU{page}"))
        for at in (page * 13 % 1000, 999 - page * 17 % 1000):
            touched.add(ids[at])
            admin.put(f"/Patient/{ids[at]}", patient(f"M{page}-{at}", id=ids[at]))
        page += 1
    assert page < 30
    assert len(seen) == len(set(seen))
    assert set(ids) - touched <= set(seen)


@pytest.mark.statement("fhir-rest E131")
def test_paging_goes_on_when_the_last_row_of_a_page_is_deleted(wide: World) -> None:
    admin = wide.admin
    for number in range(6):
        made(admin, observation(code=f"c{number}", identifier=[{"system": SYSTEM, "value": str(number)}]))
    first = admin.get("/Observation?_count=2&_sort=identifier")
    admin.delete(f"/{named(first.entries[-1])}")
    second = admin.get(link(first, "next") or "")
    assert [each["identifier"][0]["value"] for each in second.entries] == ["2", "3"]


@pytest.mark.statement("fhir-rest E132")
@pytest.mark.parametrize("order", ["", "&_sort=family", "&_sort=-family,_id"])
def test_the_previous_link_goes_back_to_the_same_page(wide: World, order: str) -> None:
    admin = wide.admin
    _filled(admin, 9)
    pages = [admin.get(f"/Patient?_count=3{order}")]
    while (path := link(pages[-1], "next")) is not None:
        pages.append(admin.get(path))
    assert [len(page.entries) for page in pages] == [3, 3, 3]
    assert link(pages[0], "previous") is None
    back = admin.get(link(pages[2], "previous") or "")
    assert back.entries == pages[1].entries
    start = admin.get(link(back, "previous") or "")
    assert start.entries == pages[0].entries
    assert link(start, "previous") is None
    assert admin.get(link(start, "next") or "").entries == pages[1].entries
    assert admin.get(link(pages[2], "first") or "").entries == pages[0].entries


@pytest.mark.statement("fhir-rest E132")
@pytest.mark.parametrize("order", ["", "&_sort=family", "&_sort=-_id"])
def test_paging_back_shows_the_same_while_others_insert(wide: World, order: str) -> None:
    admin = wide.admin
    _filled(admin, 9)
    first = admin.get(f"/Patient?_count=3{order}")
    second = admin.get(link(first, "next") or "")
    third = admin.get(link(second, "next") or "")
    for family in ("AAA", "Np0004x", "ZZZ"):
        made(admin, patient(family))
    back = admin.get(link(third, "previous") or "")
    assert back.entries == second.entries
    assert admin.get(link(back, "previous") or "").entries == first.entries
    assert link(third, "next") is None


@pytest.mark.statement("fhir-rest E133")
def test_a_paging_link_that_was_changed_is_400(admin: Client) -> None:
    _filled(admin, 3)
    path = link(admin.get("/Patient?_count=1"), "next") or ""
    head, _, sealed = path.partition("=")
    for wrong in ("", "x", sealed[:-2], f"A{sealed[1:]}", sealed.swapcase(), sealed + "AAAA", "é", "%00", "=" * 9):
        answer = admin.get(f"{head}={wrong}")
        assert (answer.status, answer.codes) in ((400, {"value"}), (400, {"invalid"})), wrong
    assert admin.get(path).status == 200


@pytest.mark.statement("fhir-rest E133")
def test_a_paging_link_of_another_search_is_400(admin: Client) -> None:
    _filled(admin, 3)
    sealed = (link(admin.get("/Patient?_count=1"), "next") or "").partition("=")[2]
    for path in ("/Observation", "/Patient/p0001/Observation", "/", "/Patient/_history", "/_history"):
        assert admin.get(f"{path}?_page={sealed}").status == 400, path


@pytest.mark.statement("fhir-rest E133")
def test_an_expired_paging_link_is_410(world: World) -> None:
    _filled(world.admin, 3)
    path = link(world.admin.get("/Patient?_count=1"), "next") or ""
    world.clock.time_ms += 3_500_000
    assert world.admin.get(path).status == 200
    world.clock.time_ms += 200_000
    answer = world.admin.get(path)
    assert (answer.status, answer.codes) == (410, {"expired"})


@pytest.mark.statement("fhir-rest E133")
def test_the_paging_link_of_another_caller_is_refused(world: World) -> None:
    id_ = world.open()
    world.authorise()
    world.authorise(professional=NURSE)
    for number in range(3):
        world.submit(f"1.2.250.1.999.2.{number}")
    doctor, nurse = world.doctor(), world.doctor(NURSE, profession="60")
    answer = doctor.get(f"/DocumentReference?patient=Patient/{id_}&_count=1")
    path = link(answer, "next") or ""
    assert doctor.get(path).status == 200
    assert nurse.get(path).status in (400, 403)
    assert world.patient().get(path).status in (400, 403)
    assert world.nobody.get(path).status == 401


@pytest.mark.statement("fhir-rest E134")
def test_paging_links_show_nothing_of_the_search(world: World) -> None:
    world.open()
    world.authorise()
    for number in range(3):
        world.submit(f"1.2.250.1.999.2.{number}")
    query = f"patient.identifier=urn:oid:1.2.250.1.213.1.4.8%7C{ANOUK}&_count=1"
    answer = world.doctor().get(f"/DocumentReference?{query}")
    for relation in ("next",):
        path = link(answer, relation) or ""
        assert path.startswith("/DocumentReference?_page=")
        assert ANOUK not in path
        assert path.count("=") == 1
    second = world.doctor().get(link(answer, "next") or "")
    assert ANOUK not in (link(second, "first") or "") + (link(second, "previous") or "")


def test_the_format_may_stand_beside_a_paging_link(admin: Client) -> None:
    _filled(admin, 3)
    path = link(admin.get("/Patient?_count=1&_format=json"), "next") or ""
    answer = admin.get(f"{path}&_format=xml")
    assert answer.headers["Content-Type"].startswith("application/fhir+xml")
    assert b"<Bundle" in answer.body


@pytest.mark.parametrize("path", ["/Patient?_count=2&_elements=active", "/?_type=Patient,Observation&_count=2"])
def test_projections_and_types_hold_on_every_page(wide: World, path: str) -> None:
    admin = wide.admin
    _filled(admin, 3)
    made(admin, observation())
    seen: list[str] = []
    following: str | None = path
    while following:
        answer = admin.get(following)
        assert answer.status == 200, answer.body
        seen += [named(each) for each in answer.entries]
        if "_elements" in path:
            assert all("name" not in each for each in answer.entries)
        following = link(answer, "next")
    assert len(seen) == len(set(seen)) == (3 if "_elements" in path else 4)


def test_the_totals_of_all_pages_agree(wide: World) -> None:
    admin = wide.admin
    _filled(admin, 5)
    first = admin.get("/Patient?_count=2&_total=accurate")
    second = admin.get(link(first, "next") or "")
    assert first.json["total"] == second.json["total"] == 5
