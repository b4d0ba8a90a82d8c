"""What a searchset holds: links, totals, order, projections. fhir-rest 7, checklist E (and D where HTTP matters)."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import pytest

from tests.rest.shapes import BASE, SYSTEM, bare, link, made, named, observation, organization, patient
from tests.world import Client, Response, World


def _families(answer: Response) -> list[str]:
    return [each["name"][0]["family"] for each in answer.entries]


def _people(client: Client, *families: str, **more: Any) -> None:
    for family in families:
        made(client, patient(family, **more))


@pytest.mark.statement("fhir-rest E126")
def test_a_searchset_has_full_urls_modes_and_a_self_link(wide: World) -> None:
    admin = wide.admin
    stored = made(admin, patient("UN"))
    answer = admin.get("/Patient?family=un&unheard=1&_count=5")
    assert (answer.status, answer.json["resourceType"], answer.json["type"]) == (200, "Bundle", "searchset")
    assert answer.json["id"]
    assert answer.json["meta"]["lastUpdated"]
    match, outcome = answer.json["entry"]
    assert match["fullUrl"] == f"{BASE}/{named(stored)}"
    assert match["search"] == {"mode": "match"}
    assert match["resource"] == stored
    assert outcome["search"] == {"mode": "outcome"}
    assert outcome["resource"]["issue"][0]["severity"] == "warning"
    assert outcome["resource"]["issue"][0]["code"] == "not-supported"
    assert link(answer, "self") == "/Patient?family=un&_count=5"


@pytest.mark.statement("fhir-rest E127")
def test_count_is_respected_and_lowered_to_the_maximum(admin: Client) -> None:
    _people(admin, "A", "B", "C")
    answer = admin.get("/Patient?_count=2")
    assert (len(answer.entries), link(answer, "self")) == (2, "/Patient?_count=2")
    assert link(answer, "next")
    assert link(admin.get("/Patient?_count=5000"), "self") == "/Patient?_count=1000"
    assert link(admin.get("/Patient"), "self") == "/Patient?_count=20"
    for wrong in ("-1", "x", "1.5", ""):
        assert admin.get(f"/Patient?_count={wrong}").status == (200 if wrong == "" else 400)


@pytest.mark.statement("fhir-rest E128")
@pytest.mark.parametrize("control", ["_count=0", "_summary=count"])
def test_counting_returns_the_total_only(wide: World, control: str) -> None:
    _people(wide.admin, "A", "B", "C")
    answer = wide.admin.get(f"/Patient?family=a,b&{control}")
    assert (answer.json["total"], "entry" in answer.json, link(answer, "next")) == (2, False, None)


@pytest.mark.statement("fhir-rest E129")
def test_an_accurate_total_is_the_number_of_matches_and_none_omits_it(wide: World) -> None:
    _people(wide.admin, *(f"P{number}" for number in range(7)))
    path: str | None = "/Patient?family=p&_count=3&_total=accurate"
    seen = 0
    while path:
        answer = wide.admin.get(path)
        assert answer.json["total"] == 7
        seen += len(answer.entries)
        path = link(answer, "next")
    assert seen == 7
    assert "total" not in wide.admin.get("/Patient?_total=none").json
    assert "total" not in wide.admin.get("/Patient").json


def test_an_estimated_total_says_that_it_is_one_or_is_exact(admin: Client) -> None:
    _people(admin, "A", "B")
    answer = admin.get("/Patient?_total=estimate")
    assert answer.json["total"] == 2


@pytest.mark.statement("fhir-rest E135")
def test_order_by_text_date_code_and_two_keys(wide: World) -> None:
    admin = wide.admin
    for family, birth, gender in (
        ("Ébène", "1990", "male"),
        ("dupont", "1990-05-02", "female"),
        ("ARC", None, "female"),
        ("Zola", "1980-01-01", None),
    ):
        more = {"birthDate": birth} if birth else {}
        made(admin, patient(family, **more, **({"gender": gender} if gender else {})))
    assert _families(admin.get("/Patient?_sort=family")) == ["ARC", "dupont", "Ébène", "Zola"]
    assert _families(admin.get("/Patient?_sort=-family")) == ["Zola", "Ébène", "dupont", "ARC"]
    assert _families(admin.get("/Patient?_sort=birthdate")) == ["Zola", "Ébène", "dupont", "ARC"]
    assert _families(admin.get("/Patient?_sort=-birthdate")) == ["Ébène", "dupont", "Zola", "ARC"]
    assert _families(admin.get("/Patient?_sort=gender,-family")) == ["dupont", "ARC", "Ébène", "Zola"]
    assert link(admin.get("/Patient?_sort=gender,-family"), "self") == "/Patient?_sort=gender,-family&_count=20"
    assert _families(admin.get("/Patient?_sort=_lastUpdated")) == ["Ébène", "dupont", "ARC", "Zola"]
    assert _families(admin.get("/Patient?_sort=-_lastUpdated")) == ["Zola", "ARC", "dupont", "Ébène"]
    ids = sorted(each["id"] for each in admin.get("/Patient").entries)
    assert [each["id"] for each in admin.get("/Patient?_sort=_id").entries] == ids


@pytest.mark.statement("fhir-rest E136")
def test_ties_are_broken_by_id_in_pages_too(wide: World) -> None:
    _people(wide.admin, *["MÊME"] * 5)
    whole = [each["id"] for each in wide.admin.get("/Patient?_sort=family").entries]
    paged: list[str] = []
    path: str | None = "/Patient?_sort=family&_count=2"
    while path:
        answer = wide.admin.get(path)
        paged += [each["id"] for each in answer.entries]
        path = link(answer, "next")
    assert paged == whole == sorted(whole)


@pytest.mark.statement("fhir-rest E137")
def test_an_unknown_sort_key_follows_the_handling(admin: Client) -> None:
    _people(admin, "B", "A")
    lenient = admin.get("/Patient?_sort=unheard,family")
    assert _families(lenient) == ["A", "B"]
    assert link(lenient, "self") == "/Patient?_sort=family&_count=20"
    assert lenient.json["entry"][-1]["search"]["mode"] == "outcome"
    strict = admin.get("/Patient?_sort=unheard", Prefer="handling=strict")
    assert (strict.status, strict.codes) == (400, {"not-supported"})


@pytest.mark.statement("fhir-rest E138")
def test_elements_keeps_what_must_stay_and_tags_the_rest(admin: Client) -> None:
    stored = made(admin, observation(note=[{"text": "x"}], valueInteger=3, issued="2026-01-01T00:00:00Z"))
    for answer in (
        admin.get("/Observation?_elements=value,issued").entries[0],
        admin.get(f"/{named(stored)}?_elements=value,Observation.issued,Patient.name").json,
    ):
        assert set(answer) == {"resourceType", "id", "meta", "status", "code", "valueInteger", "issued"}
        assert [each["code"] for each in answer["meta"]["tag"]] == ["SUBSETTED"]
        assert answer["meta"]["versionId"] == "1"


@pytest.mark.statement("fhir-rest E139")
@pytest.mark.parametrize("control", ["_elements=name", "_summary=true", "_summary=text", "_summary=data"])
def test_an_excerpt_cannot_be_stored(admin: Client, control: str) -> None:
    stored = made(admin, patient(birthDate="2000", text={"status": "empty", "div": DIV}))
    excerpt = admin.get(f"/{named(stored)}?{control}").json
    answer = admin.put(f"/{named(stored)}", excerpt)
    assert (answer.status, answer.codes, answer.expressions) == (422, {"business-rule"}, ["Patient.meta.tag"])
    assert admin.post("/Patient", excerpt).status == 422


DIV = '<div xmlns="http://www.w3.org/1999/xhtml">Texte</div>'


@pytest.mark.statement("fhir-rest E140")
def test_the_five_summaries(admin: Client) -> None:
    text = {"status": "generated", "div": DIV}
    stored = made(
        admin, patient(text=text, birthDate="2000", contact=[{"name": {"family": "A"}}], photo=[{"title": "p"}])
    )
    head = {"resourceType", "id", "meta"}

    def shown(summary: str) -> set[str]:
        found = admin.get(f"/Patient?_summary={summary}").entries[0]
        assert found == admin.get(f"/{named(stored)}?_summary={summary}").json
        subset = [each["code"] for each in found["meta"].get("tag", ())]
        assert subset == ([] if summary == "false" else ["SUBSETTED"])
        return set(found) - head

    assert shown("true") == {"name", "birthDate"}
    assert shown("text") == {"text"}
    assert shown("data") == {"name", "birthDate", "contact", "photo"}
    assert shown("false") == {"text", "name", "birthDate", "contact", "photo"}
    assert admin.get("/Patient?_summary=count").json["total"] == 1
    for wrong in ("yes", "TRUE"):
        assert admin.get(f"/Patient?_summary={wrong}").status == 400
        assert admin.get(f"/{named(stored)}?_summary={wrong}").status == 400


@pytest.mark.statement("fhir-rest E141")
@pytest.mark.parametrize("summary", ["true", "text", "data", "count"])
def test_elements_and_summary_exclude_each_other(admin: Client, summary: str) -> None:
    stored = made(admin, patient())
    for path in ("/Patient", f"/{named(stored)}"):
        assert admin.get(f"{path}?_elements=name&_summary={summary}").status == 400
        assert admin.get(f"{path}?_elements=name&_summary=false").status == 200


@pytest.mark.statement("fhir-rest E149")
def test_nothing_found_is_200_with_total_0_and_no_entry(wide: World) -> None:
    answer = wide.admin.get("/Patient?family=personne&_total=accurate")
    assert (answer.status, answer.json["total"], "entry" in answer.json) == (200, 0, False)


@pytest.mark.statement("fhir-rest E150")
@pytest.mark.parametrize(
    "query",
    [
        "family=dupont,arc&_sort=-family",
        "family:exact=d%27Arc",
        f"identifier={quote(SYSTEM)}%7CA-1",
        "birthdate=ge1990&birthdate=lt1991-02&unheard=x",
        "family=%C3%A9b%C3%A8ne&_summary=true",
        "_lastUpdated=ge2026-06-12T00:00:00%2B02:00",
        "_id=a,b&_format=json&_pretty=true",
        "family=a%5C,b%26c",
    ],
)
def test_the_self_link_finds_the_same(wide: World, query: str) -> None:
    admin = wide.admin
    for number, family in enumerate(("Dupont", "d'Arc", "Ébène", "a,b&c")):
        admin.put(
            f"/Patient/{'abcd'[number]}", patient(family, number=f"A-{number}", birthDate="1990", id="abcd"[number])
        )
    first = admin.get(f"/Patient?{query}")
    assert first.entries
    path = link(first, "self")
    assert path is not None
    again = admin.get(path)
    assert [bare(each) for each in again.entries] == [bare(each) for each in first.entries]
    assert link(again, "self") == path


@pytest.mark.statement("fhir-rest D74")
def test_an_unknown_parameter_is_ignored_aloud(admin: Client) -> None:
    _people(admin, "A")
    answer = admin.get("/Patient?unheard=1&other:exact=2")
    issues = answer.json["entry"][-1]["resource"]["issue"]
    assert [("unheard" in each["diagnostics"], "other" in each["diagnostics"]) for each in issues] == [
        (True, False),
        (False, True),
    ]
    assert link(answer, "self") == "/Patient?_count=20"


@pytest.mark.statement("fhir-rest D75")
def test_strict_handling_names_every_unknown_parameter(admin: Client) -> None:
    answer = admin.get("/Patient?unheard=1&other=2&family=x", Prefer="handling=strict")
    assert (answer.status, answer.codes) == (400, {"not-supported"})
    assert len(answer.json["issue"]) == 2


@pytest.mark.statement("fhir-rest D76")
@pytest.mark.parametrize("query", ["family:near=x", "birthdate:exact=2000", "gender:contains=ma", "_id:above=x"])
def test_an_unknown_modifier_is_400_in_both_modes(admin: Client, query: str) -> None:
    assert admin.get(f"/Patient?{query}").status == 400
    assert admin.get(f"/Patient?{query}", Prefer="handling=strict").status == 400


@pytest.mark.statement("fhir-rest D77")
@pytest.mark.parametrize("query", ["birthdate=xx2000", "birthdate=2000-13", "birthdate=hier", "_lastUpdated=x"])
def test_a_value_that_is_none_is_400(admin: Client, query: str) -> None:
    answer = admin.get(f"/Patient?{query}")
    assert (answer.status, answer.codes) == (400, {"value"})


@pytest.mark.statement("fhir-rest D78")
def test_a_search_by_post_equals_the_search_by_get(wide: World) -> None:
    admin = wide.admin
    _people(admin, "Dupont", "Durand", "Arc")
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    by_get = admin.get("/Patient?family=du&_sort=family&_count=10")
    by_post = admin.call("POST", "/Patient/_search?family=du", b"_sort=family&_count=10", form)
    assert (by_post.status, by_post.entries) == (200, by_get.entries)
    assert link(by_post, "self") == link(by_get, "self")
    system = admin.call("POST", "/_search", b"_type=Patient&family=du&_sort=_id", form)
    assert len(system.entries) == 2
    assert admin.call("POST", "/Patient/_search", b"", {}).status == 200


@pytest.mark.statement("fhir-rest D79")
@pytest.mark.parametrize("type_", ["application/fhir+json", "application/json", "text/plain"])
def test_a_search_by_post_takes_only_forms(admin: Client, type_: str) -> None:
    answer = admin.call("POST", "/Patient/_search", b'{"family":"x"}', {"Content-Type": type_})
    assert (answer.status, answer.codes) == (415, {"not-supported"})


@pytest.mark.statement("fhir-rest D118")
def test_a_chain_over_the_cap_is_422_and_no_partial_answer(world: World) -> None:
    from tests.store.stores import JOIN_CAP

    admin = world.admin
    for number in range(JOIN_CAP + 1):
        owner = made(admin, patient(f"MASSE{number}"))
        made(admin, observation(named(owner)))
    answer = admin.get("/Observation?subject:Patient.family=masse")
    assert (answer.status, answer.codes) == (422, {"too-costly"})
    assert len(admin.get("/Observation?subject:Patient.family=masse3").entries) == 2


@pytest.mark.statement("fhir-rest D120")
def test_a_system_search_takes_types_or_all_of_them(wide: World) -> None:
    admin = wide.admin
    one, two = made(admin, patient("UN")), made(admin, organization("Deux"))
    made(admin, observation())
    some = admin.get("/?_type=Patient,Organization")
    assert {named(each) for each in some.entries} == {named(one), named(two)}
    assert link(some, "self") == "?_type=Patient,Organization&_count=20"
    every = admin.get(f"/?_id={one['id']},{two['id']}")
    assert {named(each) for each in every.entries} == {named(one), named(two)}
    assert len(admin.get("/?_count=50").entries) == 3
    wrong = admin.get("/?_type=Patient,Unheard")
    assert (wrong.status, wrong.codes) == (400, {"value"})


@pytest.mark.statement("fhir-rest D121")
def test_a_compartment_search_equals_the_filter(wide: World) -> None:
    admin = wide.admin
    owner, other = made(admin, patient("UN")), made(admin, patient("DEUX"))
    mine = [made(admin, observation(named(owner), code)) for code in ("8867-4", "8480-6")]
    made(admin, observation(named(other)))
    condition = made(admin, {"resourceType": "Condition", "subject": {"reference": named(owner)}})
    found = admin.get(f"/{named(owner)}/Observation?_sort=_id")
    assert found.entries == admin.get(f"/Observation?subject={named(owner)}&_sort=_id").entries
    assert {named(each) for each in found.entries} == {named(each) for each in mine}
    narrowed = admin.get(f"/{named(owner)}/Observation?code=8480-6")
    assert [named(each) for each in narrowed.entries] == [named(mine[1])]
    everything = admin.get(f"/{named(owner)}/*")
    assert {named(each) for each in everything.entries} == {named(owner), named(condition), *map(named, mine)}
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    posted = admin.call("POST", f"/{named(owner)}/Observation/_search", b"code=8480-6", form)
    assert posted.entries == narrowed.entries
    assert admin.get("/Patient/nobody/Observation").entries == []
    assert admin.get(f"/{named(owner)}/Organization").status == 400
    assert admin.get(f"/{named(owner)}/Unheard").status == 404
    assert admin.get("/Organization/x/Observation").status == 404


@pytest.mark.statement("fhir-rest D124")
def test_an_empty_value_is_ignored_with_a_warning(admin: Client) -> None:
    _people(admin, "A")
    answer = admin.get("/Patient?family=")
    assert len(answer.entries) == 1
    assert answer.json["entry"][-1]["resource"]["issue"][0]["severity"] == "warning"


@pytest.mark.statement("fhir-rest D125")
def test_two_hundred_alternatives_are_answered(wide: World) -> None:
    _people(wide.admin, "P7", "P199", "P500")
    values = ",".join(f"P{number}" for number in range(200))
    assert set(_families(wide.admin.get(f"/Patient?family:exact={values}"))) == {"P7", "P199"}


def test_the_bodies_of_a_searchset_are_the_stored_bytes(admin: Client) -> None:
    text = json.dumps(observation(id="x", valueQuantity={"value": 7})).replace("7}", "7.100}")
    admin.call("PUT", "/Observation/x", text.encode(), {"Content-Type": "application/fhir+json"})
    assert b'"value":7.100' in admin.get("/Observation").body
    assert b'<value value="7.100"/>' in admin.get("/Observation?_format=xml").body


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
@pytest.mark.parametrize("below", ["", "/_history/1", "/_history"])
def test_a_parameter_that_means_nothing_here_is_refused_or_told(admin: Client, method: str, below: str) -> None:
    stored = made(admin, organization())
    path = f"/{named(stored)}{below}"
    if below and method != "GET":
        return
    body = stored if method == "PUT" else None
    strict = admin.call(method, f"{path}?frob=1&a%22b=2&_pretty=true", body, {"Prefer": "handling=strict"})
    assert (strict.status, strict.expressions) == (400, ["http.frob", "http.a?b"])
    assert admin.get(f"/{named(stored)}").headers["ETag"] == 'W/"1"'
    lenient = admin.call(method, f"{path}?frob=1&a%22b=2&_pretty=true", body)
    assert lenient.status in (200, 204)
    assert [part.partition(" was")[0] for part in lenient.headers["Warning"].split(", ")] == [
        '199 fhir-dmp "The parameter frob',
        '199 fhir-dmp "The parameter a?b',
    ]


def test_a_history_has_one_order_and_says_so(admin: Client) -> None:
    path = f"/{named(made(admin, organization()))}/_history"
    assert "Warning" not in admin.get(f"{path}?_sort=-_lastUpdated&_count=1", Prefer="handling=strict").headers
    assert "_sort" in admin.get(f"{path}?_sort=_lastUpdated").headers["Warning"]
    assert admin.get(f"{path}?_sort=_lastUpdated", Prefer="handling=strict").status == 400
    assert admin.get(f"{path}?_list=1", Prefer="handling=strict").status == 400
