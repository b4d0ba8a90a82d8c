"""$everything, $docref and $document: a whole record, its documents, one document. fhir-rest 12, checklist J."""

from __future__ import annotations

from typing import Any

import pytest

from fhir_dmp.validation.validate import errors_in, validate
from tests.rest.shapes import link, made, named, observation, organization, patient
from tests.samples import ANOUK, BASILE, NURSE, document
from tests.structures import STRUCTURES
from tests.world import Client, Json, Response, World


def _shown(answer: Response, mode: str = "match") -> list[str]:
    assert answer.status == 200, answer.body
    return [named(each["resource"]) for each in answer.json.get("entry", []) if each["search"]["mode"] == mode]


def _pages(client: Client, path: str) -> list[Response]:
    found = [client.get(path)]
    while (following := link(found[-1], "next")) is not None:
        found.append(client.get(following))
        assert len(found) < 50
    return found


def _warnings(answer: Response) -> list[str]:
    outcomes = [each["resource"] for each in answer.json.get("entry", []) if each["search"]["mode"] == "outcome"]
    return [issue["diagnostics"] for outcome in outcomes for issue in outcome["issue"]]


@pytest.fixture
def record(wide: World) -> dict[str, str]:
    """Two patients, each with observations; the first one's refer to a practitioner and an organization."""
    admin = wide.admin
    doctor = made(admin, {"resourceType": "Practitioner", "name": [{"family": "CARLIER"}]})
    site = made(admin, organization("Clinique"))
    made(admin, organization("Elsewhere"))
    owner, other = made(admin, patient("PREMIER")), made(admin, patient("SECOND"))
    found = {"owner": named(owner), "other": named(other), "doctor": named(doctor), "site": named(site)}
    for number, month in enumerate(("2025-01", "2025-06", "2026-01")):
        more: Json = {"effectiveDateTime": f"{month}-10T10:00:00+01:00", "performer": [{"reference": named(doctor)}]}
        found[f"o{number}"] = named(made(admin, observation(named(owner), f"c{number}", **more)))
        made(admin, observation(named(other), f"c{number}", performer=[{"reference": named(site)}]))
    found["undated"] = named(made(admin, observation(named(owner), "undated")))
    stay = {"resourceType": "Encounter", "status": "finished", "class": {"code": "IMP"}}
    period = {"start": "2025-05-01", "end": "2025-07-01"}
    found["stay"] = named(
        made(
            admin,
            {
                **stay,
                "subject": {"reference": named(owner)},
                "period": period,
                "serviceProvider": {"reference": named(site)},
            },
        )
    )
    return found


class TestEverything:
    """`Patient/[id]/$everything`."""

    @pytest.mark.statement("fhir-rest J205")
    def test_the_patient_comes_first_then_the_record_and_what_it_refers_to(
        self, wide: World, record: dict[str, str]
    ) -> None:
        answer = wide.admin.get(f"/{record['owner']}/$everything")
        matches = _shown(answer)
        assert matches[0] == record["owner"]
        own = {record[name] for name in ("o0", "o1", "o2", "undated", "stay")}
        assert set(matches[1:]) == own
        assert len(matches) == 6
        assert set(_shown(answer, "include")) == {record["doctor"], record["site"]}
        assert answer.json["type"] == "searchset"
        assert all(each["fullUrl"].endswith(named(each["resource"])) for each in answer.json["entry"])

    @pytest.mark.statement("fhir-rest J205")
    @pytest.mark.parametrize("count", [1, 2, 3, 6, 100])
    def test_its_pages_show_each_resource_once(self, wide: World, record: dict[str, str], count: int) -> None:
        pages = _pages(wide.admin, f"/{record['owner']}/$everything?_count={count}")
        matches = [name for page in pages for name in _shown(page)]
        assert matches[0] == record["owner"]
        assert sorted(matches) == sorted({record[n] for n in ("owner", "o0", "o1", "o2", "undated", "stay")})
        assert all(len(_shown(page)) <= count for page in pages)
        assert all(_shown(page) for page in pages)
        first = link(pages[-1], "first")
        if len(pages) > 1:
            assert first is not None
            assert _shown(wide.admin.get(first)) == _shown(pages[0])

    @pytest.mark.statement("fhir-rest J205")
    def test_a_previous_link_leads_back_to_the_first_page(self, admin: Client, world: World) -> None:
        owner = made(admin, patient())
        for number in range(5):
            made(admin, observation(named(owner), f"c{number}"))
        pages = _pages(admin, f"/{named(owner)}/$everything?_count=2")
        assert [len(_shown(page)) for page in pages] == [2, 2, 2]
        back = link(pages[2], "previous")
        assert back is not None
        middle = admin.get(back)
        assert _shown(middle) == _shown(pages[1])
        back = link(middle, "previous")
        assert back is not None
        assert named(owner) in _shown(admin.get(back))

    @pytest.mark.statement("fhir-rest J205")
    @pytest.mark.parametrize(
        ("query", "kept"),
        [
            ("start=2025-06-01", {"o1", "o2", "undated", "stay"}),
            ("end=2025-05-31", {"o0", "undated", "stay"}),
            ("start=2025-06&end=2025-06", {"o1", "undated", "stay"}),
            ("start=2025-07-02&end=2025-12-31", {"undated"}),
            ("end=2025-01-10", {"o0", "undated"}),
        ],
    )
    def test_start_and_end_select_by_the_date_of_care(
        self, wide: World, record: dict[str, str], query: str, kept: set[str]
    ) -> None:
        matches = _shown(wide.admin.get(f"/{record['owner']}/$everything?{query}"))
        assert set(matches) == {record["owner"], *(record[name] for name in kept)}

    @pytest.mark.statement("fhir-rest J205")
    def test_types_are_chosen(self, wide: World, record: dict[str, str]) -> None:
        admin, path = wide.admin, f"/{record['owner']}/$everything"
        observations = {record[name] for name in ("o0", "o1", "o2", "undated")}
        assert set(_shown(admin.get(f"{path}?_type=Observation"))) == observations
        assert set(_shown(admin.get(f"{path}?_type=Encounter,Patient"))) == {record["owner"], record["stay"]}
        both = admin.get(f"{path}?_type=Observation&_type=Practitioner")
        assert (set(_shown(both)), _shown(both, "include")) == (observations, [record["doctor"]])
        assert _shown(admin.get(f"{path}?_type=Observation"), "include") == []
        assert _shown(admin.get(f"{path}?_type=Patient")) == [record["owner"]]

    @pytest.mark.statement("fhir-rest J205")
    def test_since_selects_by_the_time_of_change(self, wide: World, record: dict[str, str]) -> None:
        admin, path = wide.admin, f"/{record['owner']}/$everything"
        stored = admin.get(f"/{record['o2']}").json
        since = stored["meta"]["lastUpdated"]
        assert set(_shown(admin.get(f"{path}?_since={since}"))) == {record[n] for n in ("o2", "undated", "stay")}
        admin.put(f"/{record['owner']}", {**admin.get(f"/{record['owner']}").json, "gender": "female"})
        assert record["owner"] in _shown(admin.get(f"{path}?_since={since}"))
        assert _shown(admin.get(f"{path}?_since=2099-01-01T00:00:00Z")) == []

    @pytest.mark.statement("fhir-rest J205")
    def test_the_parameters_come_in_a_body_too(self, wide: World, record: dict[str, str]) -> None:
        parameters = [
            {"name": "_type", "valueCode": "Observation"},
            {"name": "_count", "valueInteger": 2},
            {"name": "start", "valueDate": "2025-06-01"},
        ]
        path = f"/{record['owner']}/$everything"
        answer = wide.admin.post(path, {"resourceType": "Parameters", "parameter": parameters})
        by_url = wide.admin.get(f"{path}?_type=Observation&_count=2&start=2025-06-01")
        assert _shown(answer) == _shown(by_url)
        assert len(_shown(answer)) == 2
        following = link(answer, "next")
        assert following is not None
        assert len(_shown(wide.admin.get(following))) == 1

    @pytest.mark.statement("fhir-rest J205")
    @pytest.mark.parametrize(
        ("query", "place"),
        [
            ("start=hier", "start"),
            ("end=2025-13", "end"),
            ("start=2026-01-01&end=2025-01-01", "end"),
            ("start=2025&start=2026", "start"),
            ("_since=x", "_since"),
            ("_count=0", "_count"),
            ("_count=-1", "_count"),
            ("_type=Frob", "_type"),
            ("_type=Practitioner", "_type"),
            ("_page=AAAA", None),
        ],
    )
    def test_what_cannot_be_read_is_400_with_its_name(self, admin: Client, query: str, place: str | None) -> None:
        answer = admin.get(f"/{named(made(admin, patient()))}/$everything?{query}")
        assert answer.status == 400, answer.body
        assert place is None or answer.expressions == [place]

    def test_an_unknown_parameter_is_ignored_aloud_or_refused(self, admin: Client) -> None:
        path = f"/{named(made(admin, patient()))}/$everything?frob=1"
        assert any("frob" in text for text in _warnings(admin.get(path)))
        refused = admin.get(path, Prefer="handling=strict")
        assert (refused.status, refused.expressions) == (400, ["frob"])

    def test_an_unknown_or_deleted_patient_is_404_or_405(self, admin: Client) -> None:
        assert admin.get("/Patient/nobody/$everything").status == 404
        assert admin.delete(f"/{named(made(admin, patient()))}/$everything").status == 405
        assert admin.get("/Observation/1/$everything").status == 404

    @pytest.mark.statement("fhir-rest J205")
    def test_what_is_hidden_is_absent_from_everything(self, wide: World) -> None:
        wide.open()
        wide.authorise()
        wide.authorise(professional=NURSE)
        plain = wide.submit("1.2.250.1.999.71.1")
        masked = wide.submit("1.2.250.1.999.71.2", labels=[*_normal(), _label("MASQUE_PS")])
        path = f"/Patient/{wide.patients[ANOUK]}/$everything"
        mine = [name for page in _pages(wide.doctor(), f"{path}?_count=3") for name in _shown(page)]
        assert {f"DocumentReference/{plain}", f"DocumentReference/{masked}"} <= set(mine)
        theirs = _pages(wide.doctor(NURSE, profession="60"), f"{path}?_count=3")
        names = [name for page in theirs for name in _shown(page)]
        assert f"DocumentReference/{plain}" in names
        assert not any(masked.encode() in page.body for page in theirs)

    @pytest.mark.statement("fhir-rest J205")
    def test_the_record_of_another_is_shut(self, world: World) -> None:
        world.open()
        world.open(BASILE, family="CASTAGNE", given="Basile")
        path = f"/Patient/{world.patients[BASILE]}/$everything"
        assert world.patient(ANOUK).get(path).status == 404
        assert world.patient(BASILE).get(path).status == 200
        assert world.doctor(NURSE).get(path).status == 403
        assert world.nobody.get(path).status == 401

    @pytest.mark.statement("fhir-rest J205")
    def test_only_types_that_the_token_covers_are_there(self, world: World) -> None:
        from dataclasses import replace

        from fhir_dmp.identity.caller import Actor, Caller
        from fhir_dmp.identity.scopes import parse

        world.open()
        world.admin.post("/Observation", observation(f"Patient/{world.patients[ANOUK]}"))
        caller = Caller(Actor.PATIENT, "account-x", client="portal", patient=world.patients[ANOUK])
        narrow = world.as_(replace(caller, scopes=parse("patient/Patient.rs patient/Observation.rs")))
        path = f"/Patient/{world.patients[ANOUK]}/$everything"
        assert {name.partition("/")[0] for name in _shown(narrow.get(path))} == {"Patient", "Observation"}
        reads = world.as_(replace(caller, scopes=parse("patient/Patient.rs patient/Observation.r")))
        assert {name.partition("/")[0] for name in _shown(reads.get(path))} == {"Patient"}

    def test_the_call_is_in_the_trail_of_the_record(self, world: World) -> None:
        world.open()
        id_ = world.patients[ANOUK]
        world.patient().get(f"/Patient/{id_}/$everything?start=2025-01-01")
        events = world.admin.get(f"/AuditEvent?patient=Patient/{id_}&_count=1").entries
        assert events[0]["subtype"][0]["code"] == "operation"
        assert any("query" in entity for entity in events[0]["entity"])


def _label(code: str) -> tuple[str, str]:
    from tests.samples import VISIBILITY

    return (VISIBILITY, code)


def _normal() -> list[tuple[str, str]]:
    from tests.samples import CONFIDENTIALITY

    return [(CONFIDENTIALITY, "N")]


class TestDocref:
    """`DocumentReference/$docref`."""

    @pytest.fixture
    def documents(self, wide: World) -> dict[str, str]:
        """An open record with documents of two types and two years."""
        wide.open()
        wide.authorise()
        context = document("1.2.3")["context"]
        closed = {"start": "2024-03-01T09:00:00+01:00", "end": "2024-03-01T09:30:00+01:00"}
        old: Json = {"date": "2024-03-01T10:00:00+01:00", "context": {**context, "period": closed}}
        return {
            "old": wide.submit("1.2.250.1.999.72.1", **old),
            "new": wide.submit("1.2.250.1.999.72.2"),
            "letter": wide.submit("1.2.250.1.999.72.3", type_=("http://loinc.org", "11490-0")),
        }

    @staticmethod
    def _path(world: World, query: str = "") -> str:
        return f"/DocumentReference/$docref?patient={world.patients[ANOUK]}{query}"

    @pytest.mark.statement("fhir-rest J206")
    @pytest.mark.parametrize("query", ["", "?patient=", "?start=2024-01-01"])
    def test_without_patient_it_is_400(self, admin: Client, query: str) -> None:
        answer = admin.get(f"/DocumentReference/$docref{query}")
        assert (answer.status, answer.codes, answer.expressions) == (400, {"required"}, ["patient"])

    @pytest.mark.statement("fhir-rest J206")
    def test_the_current_documents_are_listed_newest_first(self, wide: World, documents: dict[str, str]) -> None:
        doctor = wide.doctor()
        answer = doctor.get(self._path(wide))
        names = _shown(answer)
        assert {name.partition("/")[2] for name in names} == set(documents.values())
        assert names[-1] == f"DocumentReference/{documents['old']}"
        assert answer.json["total"] == 3
        change = [{"op": "replace", "path": "/status", "value": "entered-in-error"}]
        assert doctor.patch(f"/DocumentReference/{documents['new']}", change).status == 200
        left = {name.partition("/")[2] for name in _shown(doctor.get(self._path(wide)))}
        assert left == {documents["old"], documents["letter"]}

    @pytest.mark.statement("fhir-rest J206")
    @pytest.mark.parametrize(
        ("query", "kept"),
        [
            ("&start=2026-01-01", {"new", "letter"}),
            ("&end=2024-12-31", {"old"}),
            ("&start=2024-03-01&end=2024-03-01", {"old"}),
            ("&start=2025-01-01&end=2025-12-31", set()),
            ("&type=http://loinc.org|11490-0", {"letter"}),
            ("&type=http://loinc.org|11490-0,http://loinc.org|11488-4", {"old", "new", "letter"}),
            ("&type=11488-4&end=2024-12-31", {"old"}),
            ("&on-demand=false&type=11490-0", {"letter"}),
        ],
    )
    def test_period_and_type_select(self, wide: World, documents: dict[str, str], query: str, kept: set[str]) -> None:
        found = {name.partition("/")[2] for name in _shown(wide.doctor().get(self._path(wide, query)))}
        assert found == {documents[name] for name in kept}

    @pytest.mark.statement("fhir-rest J206")
    def test_documents_on_demand_are_not_made_and_that_is_said(self, wide: World, documents: dict[str, str]) -> None:
        answer = wide.doctor().get(self._path(wide, "&on-demand=true"))
        assert (_shown(answer), answer.json["total"]) == ([], 0)
        assert any("on demand" in text for text in _warnings(answer))
        wrong = wide.doctor().get(self._path(wide, "&on-demand=maybe"))
        assert (wrong.status, wrong.expressions) == (400, ["on-demand"])

    @pytest.mark.statement("fhir-rest J206")
    def test_a_body_says_the_same_as_a_url(self, wide: World, documents: dict[str, str]) -> None:
        coding = {"system": "http://loinc.org", "code": "11490-0"}
        body = {
            "resourceType": "Parameters",
            "parameter": [
                {"name": "patient", "valueId": wide.patients[ANOUK]},
                {"name": "type", "valueCodeableConcept": {"coding": [coding]}},
                {"name": "on-demand", "valueBoolean": False},
                {"name": "end", "valueDateTime": "2026-12-31T00:00:00Z"},
            ],
        }
        assert _shown(wide.doctor().post("/DocumentReference/$docref", body)) == [
            f"DocumentReference/{documents['letter']}"
        ]

    def test_its_pages_are_followed(self, wide: World, documents: dict[str, str]) -> None:
        pages = _pages(wide.doctor(), self._path(wide, "&_count=1"))
        names = [name.partition("/")[2] for page in pages for name in _shown(page)]
        assert sorted(names) == sorted(documents.values())
        assert len(pages) == 3

    @pytest.mark.statement("fhir-rest J206")
    def test_it_shows_what_a_search_shows_and_no_more(self, world: World) -> None:
        world.open()
        world.authorise()
        world.authorise(professional=NURSE)
        masked = world.submit("1.2.250.1.999.72.9", labels=[*_normal(), _label("MASQUE_PS")])
        assert _shown(world.doctor().get(self._path(world))) == [f"DocumentReference/{masked}"]
        seen = world.doctor(NURSE, profession="60").get(self._path(world))
        assert (_shown(seen), seen.json["total"]) == ([], 0)
        assert world.doctor("899700218904").get(self._path(world)).status == 403
        assert world.structure().get(self._path(world)).status == 403
        assert world.doctor().get("/DocumentReference/$docref?patient=nobody").status == 404
        assert world.admin.get("/DocumentReference/$docref?patient=a_b").status == 400


class TestDocument:
    """`Composition/[id]/$document`."""

    @staticmethod
    def _composition(admin: Client) -> dict[str, str]:
        owner = made(admin, patient("DOCUMENT"))
        site = made(admin, organization("Service"))
        doctor = made(admin, {"resourceType": "Practitioner", "name": [{"family": "CARLIER"}]})
        role: Json = {
            "resourceType": "PractitionerRole",
            "practitioner": {"reference": named(doctor)},
            "organization": {"reference": named(site)},
        }
        author = made(admin, role)
        seen = made(admin, observation(named(owner), performer=[{"reference": named(doctor)}]))
        composition: Json = {
            "resourceType": "Composition",
            "status": "final",
            "type": {"coding": [{"system": "http://loinc.org", "code": "11488-4"}]},
            "subject": {"reference": named(owner)},
            "date": "2026-06-12T10:00:00+02:00",
            "author": [{"reference": named(author)}],
            "title": "Consultation",
            "section": [{"title": "Mesures", "entry": [{"reference": named(seen)}]}],
        }
        stored = made(admin, composition)
        parts = {"owner": owner, "site": site, "doctor": doctor, "author": author, "seen": seen, "composition": stored}
        return {name: named(part) for name, part in parts.items()}

    @staticmethod
    def _references(value: Any) -> list[str]:
        from fhir_dmp.fhir.resource import references

        return [holding["reference"] for holding, _ in references(value)]

    @pytest.mark.statement("fhir-rest J207")
    def test_it_starts_with_the_composition_and_is_self_contained(self, wide: World) -> None:
        parts = self._composition(wide.admin)
        answer = wide.admin.get(f"/{parts['composition']}/$document")
        assert answer.status == 200, answer.body
        document = answer.json
        assert document["type"] == "document"
        assert errors_in(validate(document, STRUCTURES)) == ()
        entries = document["entry"]
        assert entries[0]["resource"]["resourceType"] == "Composition"
        assert {named(each["resource"]) for each in entries} == set(parts.values())
        urls = {each["fullUrl"] for each in entries}
        root = entries[0]["fullUrl"].removesuffix(parts["composition"])
        for each in entries:
            for reference in self._references(each["resource"]):
                assert root + reference in urls, reference
        assert document["identifier"]["value"].startswith("urn:uuid:")
        assert document["timestamp"]

    @pytest.mark.statement("fhir-rest J207")
    def test_the_same_content_is_the_same_document(self, wide: World) -> None:
        parts = self._composition(wide.admin)
        path = f"/{parts['composition']}/$document"
        first, again = wide.admin.get(path), wide.admin.get(path)
        assert first.body == again.body
        seen = wide.admin.get(f"/{parts['seen']}").json
        wide.admin.put(f"/{parts['seen']}", {**seen, "status": "amended"})
        changed = wide.admin.get(path).json
        assert changed["identifier"] != first.json["identifier"]
        assert changed["timestamp"] > first.json["timestamp"]

    @pytest.mark.statement("fhir-rest J207")
    def test_persist_stores_it_once(self, wide: World) -> None:
        parts = self._composition(wide.admin)
        path = f"/{parts['composition']}/$document"
        body = {"resourceType": "Parameters", "parameter": [{"name": "persist", "valueBoolean": True}]}
        stored = wide.admin.post(path, body)
        assert stored.status == 201, stored.body
        place = f"/Bundle/{stored.json['id']}"
        assert stored.headers["Location"].endswith(f"{place}/_history/1")
        kept = wide.admin.get(place).json
        assert (kept["type"], kept["identifier"]) == ("document", wide.admin.get(path).json["identifier"])
        again = wide.admin.post(path, body)
        assert (again.status, again.json["meta"]["versionId"]) == (200, "1")
        assert wide.admin.post(f"{path}?persist=false", {"resourceType": "Parameters"}).status == 200
        assert wide.admin.delete(place).status == 204
        assert wide.admin.post(path, body).json["meta"]["versionId"] == "3"

    def test_persist_changes_something_and_is_not_called_by_get(self, admin: Client) -> None:
        path = f"/{self._composition(admin)['composition']}/$document"
        refused = admin.get(f"{path}?persist=true")
        assert (refused.status, refused.headers["Allow"]) == (405, "POST")
        graph = admin.get(f"{path}?graph=GraphDefinition/1")
        assert (graph.status, graph.expressions) == (400, ["graph"])

    @pytest.mark.statement("fhir-rest J207")
    def test_a_part_that_is_not_there_leaves_no_broken_link(self, wide: World) -> None:
        admin = wide.admin
        parts = self._composition(admin)
        stored = admin.get(f"/{parts['composition']}").json
        stored["section"][0]["entry"].append({"reference": "Observation/never-was", "display": "Une mesure"})
        assert admin.put(f"/{parts['composition']}", stored).status == 200
        document = admin.get(f"/{parts['composition']}/$document").json
        assert "never-was" not in str(document)
        assert len(document["entry"][0]["resource"]["section"][0]["entry"]) == 2

    @pytest.mark.statement("fhir-rest J207")
    def test_nothing_of_another_record_or_hidden_from_the_caller_is_in_it(self, world: World) -> None:
        admin = world.admin
        world.open()
        world.open(BASILE, family="CASTAGNE", given="Basile")
        world.authorise()
        world.authorise(professional=NURSE)
        masked = world.submit("1.2.250.1.999.73.1", labels=[*_normal(), _label("MASQUE_PS")])
        foreign = made(admin, observation(f"Patient/{world.patients[BASILE]}", "foreign"))
        own = made(admin, observation(f"Patient/{world.patients[ANOUK]}", "own"))
        entries = [named(foreign), named(own), f"DocumentReference/{masked}"]
        composition: Json = {
            "resourceType": "Composition",
            "status": "final",
            "type": {"text": "Note"},
            "subject": {"reference": f"Patient/{world.patients[ANOUK]}"},
            "date": "2026-06-12",
            "author": [{"display": "CARLIER"}],
            "title": "Note",
            "section": [{"title": "Parts", "entry": [{"reference": name} for name in entries]}],
        }
        path = f"/{named(made(admin, composition))}/$document"
        for client, shown in ((world.doctor(), True), (world.doctor(NURSE, profession="60"), False)):
            answer = client.get(path)
            assert answer.status == 200, answer.body
            assert foreign["id"] not in answer.body.decode()
            assert named(own) in answer.body.decode()
            assert (masked in answer.body.decode()) is shown
        assert world.doctor("899700218904").get(path).status == 403
        assert admin.get("/Composition/nothing/$document").status == 404
