"""_include and _revinclude over HTTP. fhir-rest 7.2, checklist E142 to E147."""

from __future__ import annotations

from typing import Any

import pytest

from fhir_dmp.interactions import include as including
from tests.rest.shapes import link, made, named, observation, organization, patient
from tests.world import Json, Response, World


def _shown(answer: Response) -> dict[str, list[str]]:
    """Return the names of each search mode, in order."""
    assert answer.status == 200, answer.body
    found: dict[str, list[str]] = {"match": [], "include": [], "outcome": []}
    for each in answer.json.get("entry", []):
        resource = each["resource"]
        found[each["search"]["mode"]].append(named(resource) if "id" in resource else "OperationOutcome")
    return found


@pytest.fixture
def family(wide: World) -> dict[str, Json]:
    """An institution, its service, its doctor's role, a patient with a managing organisation, two observations."""
    admin = wide.admin
    top = made(admin, organization("Hôpital"))
    unit = made(admin, organization("Service", partOf={"reference": named(top)}))
    person = made(admin, {"resourceType": "Practitioner", "name": [{"family": "SOIN"}]})
    owner = made(admin, patient("MALADE", managingOrganization={"reference": named(unit)}))
    by = [{"reference": named(person)}]
    first = made(admin, observation(named(owner), performer=by))
    second = made(admin, observation(named(owner), "8480-6", performer=by, hasMember=[{"reference": named(first)}]))
    return {"top": top, "unit": unit, "person": person, "owner": owner, "first": first, "second": second}


@pytest.mark.statement("fhir-rest E142")
def test_one_parameter_with_and_without_target_type_and_all(wide: World, family: dict[str, Json]) -> None:
    admin, names = wide.admin, {key: named(each) for key, each in family.items()}
    path = "/Observation?code=8480-6"
    assert _shown(admin.get(f"{path}&_include=Observation:subject"))["include"] == [names["owner"]]
    assert _shown(admin.get(f"{path}&_include=Observation:subject:Patient"))["include"] == [names["owner"]]
    assert _shown(admin.get(f"{path}&_include=Observation:performer:Organization"))["include"] == []
    every = {names["owner"], names["person"], names["first"]}
    assert set(_shown(admin.get(f"{path}&_include=Observation:*"))["include"]) == every
    assert set(_shown(admin.get(f"{path}&_include=*"))["include"]) == every
    both = _shown(admin.get(f"{path}&_include=Observation:subject&_include=Observation:performer"))
    assert set(both["include"]) == {names["owner"], names["person"]}
    assert both["match"] == [names["second"]]


@pytest.mark.statement("fhir-rest E143")
def test_iterate_reaches_further_levels_and_a_cycle_ends(wide: World, family: dict[str, Json]) -> None:
    admin, names = wide.admin, {key: named(each) for key, each in family.items()}
    path = "/Observation?code=8480-6&_include=Observation:subject"
    once = _shown(admin.get(f"{path}&_include=Patient:organization"))["include"]
    assert once == [names["owner"]]
    for word in ("iterate", "recurse"):
        twice = _shown(admin.get(f"{path}&_include:{word}=Patient:organization"))["include"]
        assert twice == [names["owner"], names["unit"]]
    all_ = "&_include:iterate=Patient:organization&_include:iterate=Organization:partof"
    assert _shown(admin.get(path + all_))["include"] == [names["owner"], names["unit"], names["top"]]
    admin.put(f"/{names['top']}", {**family["top"], "partOf": {"reference": names["unit"]}})
    assert _shown(admin.get(path + all_))["include"] == [names["owner"], names["unit"], names["top"]]


@pytest.mark.statement("fhir-rest E144")
def test_what_refers_to_a_match_is_included(wide: World, family: dict[str, Json]) -> None:
    admin, names = wide.admin, {key: named(each) for key, each in family.items()}
    path = "/Organization?name=h%C3%B4pital"
    assert _shown(admin.get(f"{path}&_revinclude=Organization:partof"))["include"] == [names["unit"]]
    deeper = _shown(admin.get(f"{path}&_revinclude=Organization:partof&_revinclude:iterate=Patient:organization"))
    assert deeper["include"] == [names["unit"], names["owner"]]
    owner = "/Patient?family=malade"
    found = _shown(admin.get(f"{owner}&_revinclude=Observation:subject"))
    assert (found["match"], set(found["include"])) == ([names["owner"]], {names["first"], names["second"]})
    every = _shown(admin.get(f"{owner}&_revinclude=Observation:*"))
    assert set(every["include"]) == {names["first"], names["second"]}


@pytest.mark.statement("fhir-rest E145")
def test_what_is_included_is_not_counted_and_appears_once(wide: World, family: dict[str, Json]) -> None:
    admin, names = wide.admin, {key: named(each) for key, each in family.items()}
    answer = admin.get("/Observation?_include=*&_total=accurate&_count=10")
    shown = _shown(answer)
    assert answer.json["total"] == 2
    assert sorted(shown["match"]) == sorted([names["first"], names["second"]])
    assert sorted(shown["include"]) == sorted([names["owner"], names["person"]])
    paged = admin.get("/Observation?_include=Observation:subject&_count=1")
    assert _shown(paged)["include"] == [names["owner"]]
    assert _shown(admin.get(link(paged, "next") or ""))["include"] == [names["owner"]]


@pytest.mark.statement("fhir-rest E146")
def test_the_cap_of_includes_is_said_aloud(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(including, "CAP", 3)
    owner = made(world.admin, patient("MALADE"))
    for _ in range(5):
        made(world.admin, observation(named(owner)))
    answer = world.admin.get("/Patient?_revinclude=Observation:subject")
    shown = _shown(answer)
    assert (len(shown["match"]), len(shown["include"]), shown["outcome"]) == (1, 3, ["OperationOutcome"])
    issue = answer.json["entry"][-1]["resource"]["issue"][0]
    assert (issue["severity"], issue["code"]) == ("warning", "too-costly")


@pytest.mark.statement("fhir-rest E147")
def test_deleted_targets_are_not_included(wide: World) -> None:
    admin = wide.admin
    person = made(admin, {"resourceType": "Practitioner", "name": [{"family": "PARTI"}]})
    stored = made(admin, observation(performer=[{"reference": named(person)}]))
    unlinked = {**observation(), "id": stored["id"]}
    admin.put(f"/{named(stored)}", unlinked)
    admin.delete(f"/{named(person)}")
    admin.put(f"/{named(stored)}", {**observation(performer=[{"reference": named(person)}]), "id": stored["id"]})
    assert _shown(admin.get("/Observation?_include=Observation:performer"))["include"] == []


@pytest.mark.statement("fhir-rest E147", "fhir-rest E148")
def test_hidden_targets_are_not_included_and_count_nowhere(world: World) -> None:
    """A masked document shows itself to a stranger nowhere: not as a match, nor an include, a total or a chain."""
    from tests.samples import CONFIDENTIALITY, NURSE, VISIBILITY

    id_ = world.open()
    world.authorise()
    world.authorise(professional=NURSE)
    world.submit("1.2.250.1.999.3.1")
    world.submit("1.2.250.1.999.3.2", labels=((CONFIDENTIALITY, "N"), (VISIBILITY, "MASQUE_PS")))
    author, nurse = world.doctor(), world.doctor(NURSE, profession="60")
    path = f"/DocumentReference?patient=Patient/{id_}"

    def seen(client: Any, query: str) -> tuple[int, int]:
        answer = client.get(path + query)
        assert answer.status == 200, answer.body
        return answer.json["total"], len(answer.entries)

    assert seen(author, "") == (2, 2)
    assert seen(nurse, "") == (1, 1)
    assert seen(nurse, "&_count=1") == (1, 1)
    assert link(nurse.get(f"{path}&_count=1"), "next") is None
    assert seen(nurse, "&security-label=MASQUE_PS") == (0, 0)
    assert seen(nurse, "&_has:List:item:status=current") == (1, 1)
    lists = nurse.get(f"/List?patient=Patient/{id_}&_include=List:item")
    assert len(_shown(lists)["include"]) == 1


def test_a_wrong_include_is_an_unknown_parameter(wide: World) -> None:
    admin = wide.admin
    made(admin, observation())
    for wrong in ("Observation:unheard", "Unheard:subject", "Observation:subject:Medication", "Observation:code"):
        answer = admin.get(f"/Observation?_include={wrong}")
        assert (len(_shown(answer)["match"]), _shown(answer)["outcome"]) == (1, ["OperationOutcome"]), wrong
        assert link(answer, "self") == "/Observation?_count=20"
        assert admin.get(f"/Observation?_include={wrong}", Prefer="handling=strict").status == 400
    assert admin.get("/Observation?_include=nonsense").status == 400


def test_an_include_costs_one_query_for_each_type(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    admin = world.admin
    for number in range(20):
        person = made(admin, {"resourceType": "Practitioner", "name": [{"family": f"A{number}"}]})
        made(admin, observation(performer=[{"reference": named(person)}]))
    asked: list[str] = []
    store = world.services.store
    for name in ("read", "read_many", "search", "find", "history", "read_version"):
        original = getattr(store, name)

        def counted(*args: Any, _name: str = name, _original: Any = original, **more: Any) -> Any:
            asked.append(_name)
            return _original(*args, **more)

        monkeypatch.setattr(store, name, counted)
    answer = admin.get("/Observation?_include=Observation:performer&_count=50")
    assert len(_shown(answer)["include"]) == 20
    assert asked == ["search", "read_many"]
    asked.clear()
    answer = admin.get("/Practitioner?_revinclude=Observation:performer&_count=50")
    assert len(_shown(answer)["include"]) == 20
    assert asked == ["search", "search"]


def test_projections_hold_for_what_is_included(world: World) -> None:
    owner = made(world.admin, patient("MALADE", active=True))
    made(world.admin, observation(named(owner), note=[{"text": "x"}]))
    answer = world.admin.get("/Observation?_include=Observation:subject&_elements=Observation.code,Patient.active")
    match, included = (each["resource"] for each in answer.json["entry"])
    assert "note" not in match
    assert "subject" not in match
    assert set(included) == {"resourceType", "id", "meta", "active"}
