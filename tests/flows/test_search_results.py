"""TD3.1, how it is answered: results, what comes with them, order, pages. [dmp-fhir 9.7]"""

from __future__ import annotations

import pytest

from tests import samples
from tests.flows.steps import Dossier, assert_refused, coded, escaped, next_content, next_oid, readable
from tests.samples import Json
from tests.world import Client, World

OTHER_CLASS, OTHER_TYPE = "52", "87273-9"


@pytest.mark.statement("dmp-fhir 9.7/109")
def test_the_answer_is_a_searchset_with_total_self_link_and_full_urls(
    world: World, dossier: Dossier, doctor: Client
) -> None:
    id_ = dossier.submit()
    answer = dossier.search(doctor, "status=current")
    assert (answer.json["resourceType"], answer.json["type"], answer.json["total"]) == ("Bundle", "searchset", 1)
    links = {link["relation"]: link["url"] for link in answer.json["link"]}
    assert links["self"].startswith(f"{world.services.base}/DocumentReference?")
    assert "status=current" in links["self"]
    (entry,) = answer.json["entry"]
    assert entry["fullUrl"] == f"{world.services.base}/DocumentReference/{id_}"
    assert entry["search"] == {"mode": "match"}


@pytest.mark.statement("dmp-fhir 9.7/109")
def test_an_empty_result_has_total_0_and_no_entry(dossier: Dossier, doctor: Client) -> None:
    answer = dossier.search(doctor)
    assert answer.json["total"] == 0
    assert "entry" not in answer.json


@pytest.mark.statement("dmp-fhir 9.7/110")
def test_attachment_urls_are_absolute_everywhere_and_retrievable(
    world: World, dossier: Dossier, doctor: Client
) -> None:
    content = next_content()
    id_ = dossier.submit(content=content)
    found = dossier.search(doctor).entries[0]
    submission = dossier.found(doctor, type_="List")[0]
    prefer = {"Prefer": "return=representation"}
    patch = [{"op": "add", "path": "/securityLabel/-", "value": coded(samples.VISIBILITY, "MASQUE_PS")}]
    shown = [
        found,
        doctor.get(f"/DocumentReference/{id_}").json,
        doctor.get(f"/DocumentReference/{id_}/_history/1").json,
        doctor.get(f"/DocumentReference/{id_}/_history").json["entry"][0]["resource"],
        _included(doctor.get(f"/List?{dossier.criterion}&_include=List:item")),
        doctor.get(f"/Patient/{dossier.id}/DocumentReference").entries[0],
        doctor.patch(f"/DocumentReference/{id_}", patch, **prefer).json,
        dossier.read(id_),
    ]
    assert submission
    urls = {each["content"][0]["attachment"]["url"] for each in shown}
    assert len(urls) == 1
    (url,) = urls
    assert url.startswith(f"{world.services.base}/Binary/")
    assert doctor.get(url.removeprefix(world.services.base)).body == content


def _included(answer: object) -> Json:
    (found,) = [e["resource"] for e in answer.json["entry"] if e["search"]["mode"] == "include"]  # type: ignore[attr-defined]
    resource: Json = found
    return resource


@pytest.mark.statement("dmp-fhir 9.7/110")
def test_urls_are_absolute_in_the_representations_of_a_submission_too(world: World, dossier: Dossier) -> None:
    body = samples.submission(next_oid(), ins=dossier.ins, content=next_content())
    answer = world.doctor().post("", body, Prefer="return=representation")
    assert answer.status == 200, answer.body
    made, document, binary = (entry["resource"] for entry in answer.json["entry"])
    assert made["entry"] == [{"item": {"reference": f"DocumentReference/{document['id']}"}}]
    assert document["content"][0]["attachment"]["url"] == f"{world.services.base}/Binary/{binary['id']}"
    assert "data" not in binary


@pytest.mark.statement("dmp-fhir 9.7/111")
def test_relations_are_in_the_results(dossier: Dossier, doctor: Client) -> None:
    old = dossier.submit()
    new = dossier.replace(old)
    (found,) = dossier.search(doctor, "status=current").entries
    assert found["id"] == new
    assert found["relatesTo"] == [{"code": "replaces", "target": {"reference": f"DocumentReference/{old}"}}]
    assert dossier.found(doctor, f"relatesto=DocumentReference/{old}") == [new]
    assert dossier.found(doctor, f"relatesTo={old}") == [new]
    assert dossier.found(doctor, "relation=replaces") == [new]


@pytest.mark.statement("dmp-fhir 9.7/126")
def test_a_search_by_post_is_the_same(dossier: Dossier, doctor: Client) -> None:
    dossier.submit()
    got = dossier.search(doctor, "status=current&_count=10")
    form = {"content-type": "application/x-www-form-urlencoded"}
    body = f"patient.identifier={escaped(f'{samples.INS}|{dossier.ins}')}&status=current"
    posted = doctor.call("POST", "/DocumentReference/_search?_count=10", body.encode(), form)
    assert posted.status == 200, posted.body
    assert posted.entries == got.entries
    assert posted.json["total"] == got.json["total"]


@pytest.fixture(scope="module")
def seven(world: World) -> tuple[Dossier, list[str]]:
    """A dossier of seven documents, and their ids."""
    dossier, _ = readable(world)
    return dossier, [dossier.submit(date=f"2026-0{1 + n % 3}-10T10:00:00+01:00") for n in range(7)]


@pytest.mark.statement("dmp-fhir 9.7/127")
@pytest.mark.parametrize("sort", ["", "&_sort=date", "&_sort=-_lastUpdated", "&_sort=type,-date"])
def test_pages_hold_everything_once(world: World, seven: tuple[Dossier, list[str]], sort: str) -> None:
    (dossier, made), doctor = seven, world.doctor()
    answer = dossier.search(doctor, f"_count=3{sort}")
    assert answer.json["total"] == 7
    seen: list[str] = []
    for _ in range(9):
        seen += [each["id"] for each in answer.entries]
        links = {link["relation"]: link["url"] for link in answer.json["link"]}
        if "next" not in links:
            break
        answer = doctor.get(links["next"].removeprefix(world.services.base))
        assert answer.status == 200, answer.body
    assert len(seen) == 7
    assert set(seen) == set(made)


@pytest.mark.statement("dmp-fhir 9.7/127")
def test_a_page_is_stable_while_documents_arrive(world: World, dossier: Dossier, doctor: Client) -> None:
    made = {dossier.submit() for _ in range(4)}
    first = dossier.search(doctor, "_count=2")
    dossier.submit()
    next_url = next(link["url"] for link in first.json["link"] if link["relation"] == "next")
    second = doctor.get(next_url.removeprefix(world.services.base))
    assert {each["id"] for each in (*first.entries, *second.entries)} == made


@pytest.mark.statement("dmp-fhir 9.7/127")
def test_a_paging_link_belongs_to_its_caller_and_cannot_be_forged(
    world: World, dossier: Dossier, doctor: Client
) -> None:
    for _ in range(3):
        dossier.submit()
    links = {link["relation"]: link["url"] for link in dossier.search(doctor, "_count=1").json["link"]}
    path = links["next"].removeprefix(world.services.base)
    assert_refused(world.doctor(samples.OTHER_DOCTOR, samples.CLINIC).get(path), 400)
    assert_refused(doctor.get(path[:-2] + ("AA" if path[-2:] != "AA" else "BB")), 400)
    assert_refused(doctor.get(path.replace("/DocumentReference", "/List")), 400)


@pytest.mark.statement("dmp-fhir 9.7/127")
def test_the_page_size_is_50_by_default_and_500_at_most(dossier: Dossier, doctor: Client) -> None:
    assert "_count=50" in dossier.search(doctor).json["link"][0]["url"]
    assert "_count=500" in dossier.search(doctor, "_count=100000").json["link"][0]["url"]


@pytest.mark.statement("dmp-fhir 9.7/130")
def test_sort_orders_by_any_key(dossier: Dossier, doctor: Client) -> None:
    march = dossier.submit(date="2026-03-10T10:00:00+01:00")
    january = dossier.submit(date="2026-01-10T10:00:00+01:00", type_=(samples.LOINC, OTHER_TYPE))
    april = dossier.submit(date="2026-04-10T10:00:00+01:00")
    assert dossier.found(doctor, "_sort=date") == [january, march, april]
    assert dossier.found(doctor, "_sort=-date") == [april, march, january]
    assert dossier.found(doctor, "_sort=-_lastUpdated") == [april, january, march]
    assert dossier.found(doctor, "_sort=type,-date") == [april, march, january]
    assert dossier.found(doctor, "_sort=period") == [january, march, april]


@pytest.mark.statement("dmp-fhir 9.7/130")
def test_summary_elements_and_total(dossier: Dossier, doctor: Client) -> None:
    dossier.submit()
    dossier.submit()
    counted = dossier.search(doctor, "_summary=count")
    assert (counted.json["total"], "entry" in counted.json) == (2, False)
    for each in dossier.search(doctor, "_elements=status,masterIdentifier").entries:
        assert {"masterIdentifier", "status"} <= set(each)
        assert "author" not in each
        assert "description" not in each
        assert "SUBSETTED" in {tag["code"] for tag in each["meta"]["tag"]}
    for each in dossier.search(doctor, "_summary=true").entries:
        assert "SUBSETTED" in {tag["code"] for tag in each["meta"]["tag"]}
    # [dmp-fhir 3.4] the total of a document search is always given.
    for total in ("none", "estimate", "accurate"):
        assert dossier.search(doctor, f"_total={total}&_count=1").json.get("total", 2) == 2
    assert dossier.search(doctor, "_count=0").json["total"] == 2


@pytest.mark.statement("dmp-fhir 9.7/138")
def test_revinclude_brings_the_submission_sets_of_the_documents(dossier: Dossier, doctor: Client) -> None:
    ids = {dossier.submit() for _ in range(2)}
    answer = dossier.search(doctor, "_revinclude=List:item")
    assert answer.json["total"] == 2
    included = [e for e in answer.json["entry"] if e["search"]["mode"] == "include"]
    assert {e["resource"]["entry"][0]["item"]["reference"].split("/")[1] for e in included} == ids
    assert all(e["fullUrl"].endswith(f"/List/{e['resource']['id']}") for e in included)


@pytest.mark.statement("dmp-fhir 9.7/138")
def test_include_brings_the_patient_once(dossier: Dossier, doctor: Client) -> None:
    for _ in range(2):
        dossier.submit()
    answer = dossier.search(doctor, "_include=DocumentReference:patient")
    included = [e["resource"] for e in answer.json["entry"] if e["search"]["mode"] == "include"]
    assert [each["id"] for each in included] == [dossier.id]
