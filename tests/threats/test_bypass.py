"""Attacks on authorisation: each row of [security 8.1] is tried, and must fail as the row says."""

from __future__ import annotations

import json
from urllib.parse import urlsplit

import pytest

from fhir_dmp.identity.caller import Actor, Caller, Mode
from fhir_dmp.identity.scopes import maximum, parse
from fhir_dmp.ports import HistoryQuery
from tests import samples
from tests.flows.steps import Dossier, next_ins, next_oid
from tests.samples import Json
from tests.world import Client, Response, World

MASKED = ((samples.VISIBILITY, "MASQUE_PS"), (samples.CONFIDENTIALITY, "N"))
NORMAL = ((samples.CONFIDENTIALITY, "N"),)
OTHERS = "899700218920"


def same_answer(one: Response, other: Response) -> bool:
    """Say whether nobody could tell the answers apart, but for the id that was asked for and of the request."""

    def bare(answer: Response) -> tuple[int, bytes, dict[str, str]]:
        headers = {name: value for name, value in answer.headers.items() if name not in ("X-Request-Id", "Date")}
        return answer.status, answer.body, headers

    return bare(one) == bare(other)


@pytest.fixture
def authorised(world: World) -> tuple[Dossier, Client]:
    """A record, and a professional who may enter it and has written nothing in it."""
    opened = Dossier.open(world, next_ins())
    world.authorise(opened.ins, OTHERS)
    return opened, world.doctor(OTHERS, samples.CLINIC)


def stored(world: World) -> int:
    """Return how many versions there are."""
    return len(world.services.store.history(HistoryQuery(count=10_000)).versions)


@pytest.mark.statement("security TH1", "security H-1")
def test_another_patients_resource_answers_like_none_whatever_its_type(world: World) -> None:
    mine, other = Dossier.open(world, next_ins()), Dossier.open(world, next_ins())
    document = other.submit()
    consent = world.authorise(other.ins)
    binary = other.read(document)["content"][0]["attachment"]["url"]
    places = [f"Patient/{other.id}", f"DocumentReference/{document}", f"Consent/{consent}", binary]
    for place in places:
        type_ = place.split("/")[-2]
        for path in ("", "/_history", "/_history/1"):
            asked = mine.holder.get(f"/{type_}/{place.split('/')[-1]}{path}")
            unknown = mine.holder.get(f"/{type_}/0191a1b2-0000-7000-8000-00000000dead{path}")
            assert asked.status == 404, (place, path)
            assert same_answer(asked, unknown), (place, path)


@pytest.mark.statement("security TH2", "security H-2")
def test_nothing_is_written_into_or_moved_to_another_record(world: World) -> None:
    mine, other = Dossier.open(world, next_ins()), Dossier.open(world, next_ins())
    before = stored(world)
    foreign = {
        "resourceType": "Observation",
        "status": "final",
        "code": {"text": "x"},
        "subject": {"reference": f"Patient/{other.id}"},
    }
    assert mine.holder.post("/Observation", foreign).status in (403, 404)
    consent = samples.consent(other.id, "ps-authorisation", actor=[samples.consent_actor(samples.DOCTOR)])
    assert mine.holder.post("/Consent", consent).status in (403, 404)
    assert stored(world) == before
    document = mine.submit()
    before = stored(world)
    moved = mine.read(document)
    moved["subject"] = {"reference": f"Patient/{other.id}"}
    answer = world.doctor().put(f"/DocumentReference/{document}", moved, If_Match='W/"1"')
    assert 400 <= answer.status < 500
    assert stored(world) == before


@pytest.mark.statement("security TH3", "security H-3")
def test_the_content_of_a_masked_document_is_not_reached_directly(authorised: tuple[Dossier, Client]) -> None:
    opened, doctor = authorised
    masked = opened.read(opened.submit(labels=MASKED))
    binary = masked["content"][0]["attachment"]["url"].rpartition("/")[2]
    assert doctor.get(f"/Binary/{binary}").status == 404
    assert doctor.call("HEAD", f"/Binary/{binary}").status == 404
    assert opened.world.doctor().get(f"/Binary/{binary}").status == 200


@pytest.mark.statement("security TH3", "security H-3")
def test_a_content_that_no_document_points_to_belongs_to_its_creator(world: World) -> None:
    made = world.doctor().call("POST", "/Binary", b"text", {"Content-Type": "text/plain"})
    assert made.status == 201, made.body
    place = urlsplit(made.headers["Location"]).path.split("/_history")[0].removeprefix("/fhir")
    assert world.doctor().get(place).status == 200
    assert world.doctor(OTHERS, samples.CLINIC).get(place).status == 404


@pytest.mark.statement("security TH4", "security H-4")
def test_a_search_of_everybody_is_refused_and_pages_have_a_size(world: World, shared: Dossier) -> None:
    doctor = world.doctor()
    for query in ("", "?", "?status=current", "?_count=1000000", "?_lastUpdated=gt2000"):
        answer = doctor.get(f"/DocumentReference{query}")
        assert answer.status in (400, 403), query
        assert answer.json["resourceType"] == "OperationOutcome"
    capped = world.admin.get(f"/DocumentReference?{shared.criterion}&_count=1000000")
    assert capped.status in (200, 400)


@pytest.mark.statement("security TH4", "security H-4")
def test_a_page_link_is_worth_nothing_to_another_caller_or_when_it_was_changed(
    authorised: tuple[Dossier, Client],
) -> None:
    opened, doctor = authorised
    for _ in range(3):
        opened.submit()
    first = doctor.get(f"/DocumentReference?{opened.criterion}&_count=1")
    link = next(each["url"] for each in first.json["link"] if each["relation"] == "next")
    path = "/" + link.partition("/fhir/")[2]
    assert doctor.get(path).status == 200
    assert opened.holder.get(path).status == 400
    assert opened.world.doctor(samples.NURSE).get(path).status == 400
    for at in range(len(path) - 40, len(path), 7):
        changed = path[:at] + ("A" if path[at] != "A" else "B") + path[at + 1 :]
        assert doctor.get(changed).status == 400


@pytest.mark.statement("security TH5", "security H-5")
def test_includes_bring_nothing_that_is_hidden(authorised: tuple[Dossier, Client]) -> None:
    opened, doctor = authorised
    unique = next_oid()
    masked = opened.submit(unique, labels=MASKED)
    opened.submit()
    found = doctor.get(f"/List?{opened.criterion}&_include=List:item&_include:iterate=DocumentReference:relatesto")
    assert found.status == 200
    assert masked.encode() not in found.body
    back = doctor.get(f"/Patient?_id={opened.id}&_revinclude=DocumentReference:patient")
    assert masked.encode() not in back.body
    everything = doctor.get(f"/DocumentReference?{opened.criterion}&_include=*&_revinclude=*")
    assert masked.encode() not in everything.body


@pytest.mark.statement("security TH6", "security H-6")
def test_chains_and_has_answer_the_same_with_and_without_a_hidden_document(world: World) -> None:
    answers: list[list[object]] = []
    for masked in (False, True):
        opened = Dossier.open(world, next_ins())
        world.authorise(opened.ins, OTHERS)
        doctor = world.doctor(OTHERS, samples.CLINIC)
        if masked:
            opened.submit(labels=MASKED, type_=(samples.LOINC, "18842-5"))
        asked: list[object] = []
        for query in (
            f"/Patient?_id={opened.id}&_has:DocumentReference:patient:type=18842-5",
            f"/List?{opened.criterion}&item.type=18842-5",
            f"/DocumentReference?{opened.criterion}&type=18842-5&_total=accurate",
        ):
            answer = doctor.get(query)
            asked.append((answer.status, answer.json.get("total"), len(answer.entries)))
        answers.append(asked)
    assert answers[0] == answers[1]


@pytest.mark.statement("security TH7", "security H-7")
def test_totals_pages_and_orders_know_only_what_is_visible(authorised: tuple[Dossier, Client]) -> None:
    opened, doctor = authorised
    visible = [opened.submit() for _ in range(2)]
    for _ in range(3):
        opened.submit(labels=MASKED)
    for extra in ("", "&_sort=date", "&_sort=-date", "&_sort=type", "&_summary=count", "&_count=2"):
        answer = doctor.get(f"/DocumentReference?{opened.criterion}&_total=accurate{extra}")
        assert answer.json["total"] == 2, extra
        if "count" not in extra:
            assert sorted(each["id"] for each in answer.entries) == sorted(visible)
        assert not [each for each in answer.json["link"] if each["relation"] == "next"]


@pytest.mark.statement("security TH8", "security H-8")
@pytest.mark.parametrize("type_", ["Patient", "Consent", "DocumentReference"])
def test_contained_resources_carry_no_patient_consent_or_document(dossier: Dossier, type_: str) -> None:
    inside: Json = {"resourceType": type_, "id": "inside"}
    if type_ == "DocumentReference":
        inside |= {"status": "current", "content": [{"attachment": {"title": "x"}}]}
    elif type_ == "Consent":
        inside |= samples.consent(dossier.id, "ps-authorisation") | {"id": "inside"}
    observation = {
        "resourceType": "Observation",
        "status": "final",
        "code": {"text": "x"},
        "subject": {"reference": f"Patient/{dossier.id}"},
        "contained": [inside],
        "focus": [{"reference": "#inside"}],
    }
    before = stored(dossier.world)
    answer = dossier.world.admin.post("/Observation", observation)
    assert answer.status == 422, answer.body
    assert stored(dossier.world) == before


@pytest.mark.statement("security TH9", "security H-9")
@pytest.mark.parametrize(
    "request_",
    [
        {"method": "GET", "url": "http://evil.example/fhir/Patient"},
        {"method": "GET", "url": "//evil.example/Patient"},
        {"method": "GET", "url": "../auth/token"},
        {"method": "GET", "url": "Patient/../../metrics"},
        {"method": "GET", "url": "Patient%2f..%2f..%2fmetrics"},
        {"method": "TRACE", "url": "Patient/x"},
        {"method": "POST", "url": ""},
    ],
    ids=str,
)
def test_an_entry_of_a_bundle_reaches_nothing_but_this_api(dossier: Dossier, request_: Json) -> None:
    for kind in ("batch", "transaction"):
        bundle = {"resourceType": "Bundle", "type": kind, "entry": [{"request": request_}]}
        answer = dossier.world.admin.post("", bundle)
        if answer.status == 200:  # a read that fails does not undo what a bundle writes
            assert int(answer.json["entry"][0]["response"]["status"][:3]) >= 400
        else:
            assert 400 <= answer.status < 500


@pytest.mark.statement("security TH9", "security H-9")
def test_a_transaction_with_one_forbidden_entry_writes_nothing(dossier: Dossier) -> None:
    world = dossier.world
    other = Dossier.open(world, next_ins())
    note = {"resourceType": "Observation", "status": "final", "code": {"text": "x"}}
    entries = [
        {
            "request": {"method": "POST", "url": "Observation"},
            "fullUrl": f"urn:uuid:0191a1b2-0000-4000-8000-00000000000{n}",
            "resource": {**note, "subject": {"reference": f"Patient/{owner.id}"}},
        }
        for n, owner in enumerate((dossier, other))
    ]
    world.authorise(dossier.ins)
    before = stored(world)
    answer = world.doctor().post("", {"resourceType": "Bundle", "type": "transaction", "entry": entries})
    assert answer.status in (403, 404)
    assert stored(world) == before


@pytest.mark.statement("security TH10", "security H-10")
def test_a_conditional_create_is_no_oracle_for_hidden_resources(world: World) -> None:
    mine, other = Dossier.open(world, next_ins()), Dossier.open(world, next_ins())
    number = {"system": "urn:oid:1.2.3.4", "value": "hidden-one"}

    def note(owner: Dossier) -> Json:
        return {
            "resourceType": "Observation",
            "status": "final",
            "code": {"text": "x"},
            "identifier": [number],
            "subject": {"reference": f"Patient/{owner.id}"},
        }

    assert world.admin.post("/Observation", note(other)).status == 201
    criterion = f"identifier={number['system']}|{number['value']}&patient=Patient/{mine.id}"
    made = world.admin.post("/Observation", note(mine), If_None_Exist=criterion)
    assert made.status == 201
    world.authorise(mine.ins)
    asked = world.doctor().post(
        "/Observation", note(mine), If_None_Exist=f"identifier={number['system']}|{number['value']}"
    )
    never = world.doctor().post("/Observation", note(mine), If_None_Exist="identifier=urn:oid:1.2.3.4|never-used")
    assert asked.status in (200, 201, 400, 403, 412)
    assert other.id.encode() not in asked.body + asked.headers.get("Location", "").encode()
    assert never.status in (200, 201, 400, 403, 412)


@pytest.mark.statement("security TH11", "security H-11")
def test_an_old_version_of_a_document_that_was_masked_since_is_gone(authorised: tuple[Dossier, Client]) -> None:
    opened, doctor = authorised
    document = opened.submit()
    assert doctor.get(f"/DocumentReference/{document}/_history/1").status == 200
    masking = [{"op": "replace", "path": "/securityLabel", "value": [
        {"coding": [{"system": samples.VISIBILITY, "code": "MASQUE_PS"}]},
        {"coding": [{"system": samples.CONFIDENTIALITY, "code": "N"}]}]}]  # fmt: skip
    assert opened.world.doctor().patch(f"/DocumentReference/{document}", masking).status == 200
    for path in ("", "/_history", "/_history/1", "/_history/2"):
        assert doctor.get(f"/DocumentReference/{document}{path}").status == 404
    since = doctor.get(f"/DocumentReference/_history?_since=2020-01-01&{opened.criterion}")
    assert document.encode() not in since.body


@pytest.mark.statement("security TH12", "security H-12")
def test_a_granular_scope_is_not_left_by_changing_the_element_it_names(dossier: Dossier) -> None:
    world = dossier.world
    categories = "http://terminology.hl7.org/CodeSystem/observation-category"

    def note(code: str) -> Json:
        return {
            "resourceType": "Observation",
            "status": "final",
            "code": {"text": "x"},
            "category": [{"coding": [{"system": categories, "code": code}]}],
            "subject": {"reference": f"Patient/{dossier.id}"},
        }

    narrow = world.as_(
        Caller(Actor.ADMIN, "operator", client="narrow", scopes=parse("system/Observation.cruds?category=laboratory"))
    )
    made = narrow.post("/Observation", note("laboratory"))
    assert made.status == 201, made.body
    other = world.admin.post("/Observation", note("vital-signs")).json["id"]
    id_ = made.json["id"]
    away = [{"op": "replace", "path": "/category/0/coding/0/code", "value": "vital-signs"}]
    assert narrow.patch(f"/Observation/{id_}", away).status == 403
    assert narrow.patch(f"/Observation/{id_}", [{"op": "remove", "path": "/category"}]).status == 403
    assert narrow.get(f"/Observation/{other}").status == 404
    into = [{"op": "replace", "path": "/category/0/coding/0/code", "value": "laboratory"}]
    assert narrow.patch(f"/Observation/{other}", into).status in (403, 404)
    assert world.admin.get(f"/Observation/{id_}").json["meta"]["versionId"] == "1"


@pytest.mark.statement("security TH13", "security H-13")
def test_a_clinical_token_opens_no_administration(world: World, shared: Dossier) -> None:
    for client in (world.admin, world.doctor(), shared.holder, world.nobody):
        named = {} if client.token is None else {"authorization": f"Bearer {client.token}"}
        for method, path in (("GET", "clients"), ("GET", "changes"), ("POST", "clients"), ("PUT", "clients/x")):
            body = b"{}" if method != "GET" else b""
            answer = world.request(method, f"/auth/admin/{path}", body, {**named, "content-type": "application/json"})
            assert answer.status == 401, (method, path, answer.body)


@pytest.mark.statement("security TH14", "security H-14")
def test_a_patient_cannot_assign_what_is_not_the_patients(dossier: Dossier) -> None:
    document = dossier.submit()
    hiding = [{"op": "add", "path": "/securityLabel/0", "value": {
        "coding": [{"system": samples.VISIBILITY, "code": "INVISIBLE_PATIENT"}]}}]  # fmt: skip
    answer = dossier.holder.patch(f"/DocumentReference/{document}", hiding)
    assert answer.status == 403, answer.body
    forged = [{"op": "replace", "path": "/author", "value": [{"display": "Somebody else"}]}]
    assert dossier.holder.patch(f"/DocumentReference/{document}", forged).status in (403, 422)
    shown = dossier.read(document)
    assert shown["meta"]["versionId"] == "1"


@pytest.mark.statement("security TH14", "security H-14")
def test_the_server_and_nobody_else_says_id_version_and_time(dossier: Dossier) -> None:
    note = {
        "resourceType": "Observation",
        "id": "chosen",
        "meta": {"versionId": "99", "lastUpdated": "2001-01-01T00:00:00Z"},
        "status": "final",
        "code": {"text": "x"},
        "subject": {"reference": f"Patient/{dossier.id}"},
    }
    made = dossier.world.admin.post("/Observation", note).json
    assert made["id"] != "chosen"
    assert made["meta"]["versionId"] == "1"
    assert not made["meta"]["lastUpdated"].startswith("2001")


@pytest.mark.statement("security TH16", "security H-16")
def test_one_token_has_one_role_and_no_scope_of_another(dossier: Dossier) -> None:
    for actor in (Actor.PATIENT, Actor.REPRESENTATIVE, Actor.DELEGATE):
        assert not [scope for scope in maximum(actor, Mode.NORMAL) if str(scope).startswith(("user/", "system/"))]
    other = Dossier.open(dossier.world, next_ins())
    professional = f"/Patient?identifier={samples.INS}|{other.ins}"
    answer = dossier.holder.get(professional)
    assert answer.status in (200, 403)
    assert other.id.encode() not in answer.body


@pytest.mark.statement("security TH17", "security H-17")
def test_a_withdrawn_authorisation_is_worth_nothing_on_the_next_request(dossier: Dossier) -> None:
    world = dossier.world
    consent = world.authorise(dossier.ins, OTHERS)
    doctor = world.doctor(OTHERS, samples.CLINIC)
    search = f"/DocumentReference?{dossier.criterion}"
    assert doctor.get(search).status == 200
    ended = world.admin.get(f"/Consent/{consent}").json | {"status": "inactive"}
    assert world.admin.put(f"/Consent/{consent}", ended, If_Match='W/"1"').status == 200
    assert doctor.get(search).status == 403


def test_the_body_of_a_refusal_holds_nothing_of_the_record(dossier: Dossier) -> None:
    dossier.submit(description="Compte rendu secret")
    stranger = dossier.world.doctor(OTHERS, samples.CLINIC)
    answer = stranger.get(f"/DocumentReference?{dossier.criterion}")
    assert answer.status == 403
    assert b"secret" not in answer.body
    assert dossier.ins.encode() not in json.dumps(answer.json).encode()


@pytest.mark.statement("security TH1", "security TH10", "security H-1", "security H-10")
def test_asking_whether_something_may_be_deleted_tells_nothing_of_what_is_hidden(world: World, shared: Dossier) -> None:
    def asked(client: Client, place: str) -> tuple[int, bytes]:
        mode = {"resourceType": "Parameters", "parameter": [{"name": "mode", "valueCode": "delete"}]}
        answer = client.post(f"/{place}/$validate", mode)
        return answer.status, answer.body.replace(place.encode(), b"")

    masked, other = shared.submit(next_oid(), content=b"Un document masque."), Dossier.open(world, next_ins())
    shared.label(masked, "MASQUE_PS")
    shared.authorise(samples.OTHER_DOCTOR)
    doctor = world.doctor(samples.OTHER_DOCTOR, samples.CLINIC)
    unknown = "DocumentReference/0190a0a0-0000-7000-8000-000000000000"
    told = world.admin.post(f"/DocumentReference/{masked}/$validate?mode=delete", {"resourceType": "Parameters"})
    assert b"List/" in told.body  # the submission set refers to it, as somebody who may know is told
    for client in (doctor, other.holder):
        assert asked(client, f"DocumentReference/{masked}") == asked(client, unknown)
    status, body = asked(shared.holder, f"Patient/{shared.id}")
    assert (status, b"conflict" in body) == (200, True)
    assert masked.encode() not in asked(doctor, f"Patient/{shared.id}")[1]
