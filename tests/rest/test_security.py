"""The generic part of the API's security: tokens, scopes, hidden things, the trail, silence. fhir-rest L."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from fhir_dmp.identity.caller import Actor, Caller
from fhir_dmp.identity.scopes import parse
from fhir_dmp.ports import AuditQuery
from tests.rest.shapes import bundle, entry, made, named, observation, organization, patient
from tests.samples import ANOUK, CONFIDENTIALITY, NURSE, VISIBILITY
from tests.world import Client, Response, World

FORM = {"Content-Type": "application/x-www-form-urlencoded"}
SECRET = "BRINDILLE"


@pytest.mark.statement("fhir-rest L230")
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/Patient/x"),
        ("GET", "/Patient"),
        ("POST", "/Patient"),
        ("POST", "/"),
        ("GET", "/_history"),
        ("POST", "/Patient/_search"),
        ("GET", "/Unheard"),
        ("GET", "/Patient/x/$meta"),
    ],
)
def test_without_a_token_nothing_is_told(world: World, method: str, path: str) -> None:
    answer = world.nobody.call(method, path, patient() if method == "POST" and "_search" not in path else None)
    assert (answer.status, answer.codes) == (401, {"login"})
    assert answer.headers["WWW-Authenticate"].startswith("Bearer ")


@pytest.mark.statement("fhir-rest L230")
def test_an_expired_or_foreign_token_is_401(world: World) -> None:
    client = world.admin
    assert client.get("/Patient").status == 200
    world.clock.time_ms += 20_000_000_000
    answer = client.get("/Patient")
    assert (answer.status, answer.codes) == (401, {"expired"})
    assert 'error="invalid_token"' in answer.headers["WWW-Authenticate"]
    token = world.admin.token or ""
    for wrong in ("x", token[:-4] + "AAAA", token.rpartition(".")[0] + ".", "Bearer"):
        assert Client(world, wrong).get("/Patient").status == 401


@pytest.mark.statement("fhir-rest L231")
def test_a_scope_that_does_not_cover_the_interaction_is_403(world: World) -> None:
    stored = made(world.admin, organization())
    limited = replace(Caller(Actor.ADMIN, "small", client="c"), scopes=parse("system/Organization.r"))
    client = world.as_(limited)
    path = f"/{named(stored)}"
    assert client.get(path).status == 200
    for answer in (
        client.get("/Organization"),
        client.get("/Patient/x"),
        client.put(path, stored),
        client.patch(path, []),
        client.delete(path),
        client.post("/Organization", organization()),
        client.post("/", bundle("transaction", entry("DELETE", named(stored)))),
    ):
        assert (answer.status, answer.codes & {"forbidden"}) == (403, {"forbidden"}), answer.body
    batch = client.post("/", bundle("batch", entry("GET", named(stored)), entry("DELETE", named(stored))))
    assert [each["response"]["status"][:3] for each in batch.json["entry"]] == ["200", "403"]


@pytest.mark.statement("fhir-rest L231")
def test_what_is_hidden_answers_like_what_never_was(world: World) -> None:
    """Word for word, for every interaction that names an id."""
    world.open()
    world.authorise()
    world.authorise(professional=NURSE)
    masked = world.submit("1.2.250.1.999.7.1", labels=((CONFIDENTIALITY, "N"), (VISIBILITY, "MASQUE_PS")))
    stranger = world.doctor(NURSE, profession="60")
    asks: list[Callable[[str], Response]] = [
        lambda path: stranger.get(path),
        lambda path: stranger.get(f"{path}/_history/1"),
        lambda path: stranger.get(f"{path}/_history"),
        lambda path: stranger.get(f"{path}/$meta"),
        lambda path: stranger.patch(path, [{"op": "replace", "path": "/status", "value": "superseded"}]),
        lambda path: stranger.call("HEAD", path),
    ]
    for number, ask in enumerate(asks):
        hidden, unknown = ask(f"/DocumentReference/{masked}"), ask("/DocumentReference/never-was")
        assert (hidden.status, hidden.body) == (unknown.status, unknown.body), number
        assert hidden.status == 404
        assert set(hidden.headers) == set(unknown.headers)


def _last(world: World, count: int) -> list[str]:
    return [record.kind for _, record in world.services.store.audit(AuditQuery(count=count)).records]


@pytest.mark.statement("fhir-rest L232")
def test_every_interaction_leaves_a_record(wide: World) -> None:
    admin = wide.admin
    stored = made(admin, organization())
    path = f"/{named(stored)}"
    steps: list[tuple[str, Callable[[], Response]]] = [
        ("create", lambda: admin.post("/Organization", organization())),
        ("read", lambda: admin.get(path)),
        ("vread", lambda: admin.get(f"{path}/_history/1")),
        ("update", lambda: admin.put(path, {**organization("B"), "id": stored["id"]})),
        ("update", lambda: admin.put(path, {**organization("B"), "id": stored["id"]})),
        ("patch", lambda: admin.patch(path, [{"op": "replace", "path": "/name", "value": "C"}])),
        ("history", lambda: admin.get(f"{path}/_history")),
        ("history-system", lambda: admin.get("/_history?_count=1")),
        ("search-type", lambda: admin.get("/Organization?name=x")),
        ("search-type", lambda: admin.call("POST", "/Organization/_search", b"name=x", FORM)),
        ("search-system", lambda: admin.get("/?_type=Organization,Patient")),
        ("operation", lambda: admin.post("/Patient/$validate", patient())),
        ("operation", lambda: admin.get(f"{path}/$meta")),
        ("operation", lambda: admin.get("/$versions")),
        ("delete", lambda: admin.delete("/Organization?identifier=none")),
        ("delete", lambda: admin.delete(path)),
        ("delete", lambda: admin.delete(path)),
    ]
    for kind, step in steps:
        before = len(_last(wide, 500))
        assert step().status < 300
        found = _last(wide, 500)
        assert len(found) == before + 1, kind
        assert found[0] == kind
    before = len(_last(wide, 500))
    admin.post("/", bundle("batch", entry("GET", "Patient/x"), entry("POST", "Patient", patient())))
    assert {"read", "create"} <= set(_last(wide, len(_last(wide, 500)) - before))


@pytest.mark.statement("fhir-rest L232")
@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/Organization/never-was", 404),
        ("GET", "/Patient?birthdate=x", 400),
        ("DELETE", "/Patient/x", 405),
        ("POST", "/Patient/$unheard", 404),
        ("GET", "/Unheard/x", 404),
    ],
)
def test_a_failure_leaves_a_record_too(wide: World, method: str, path: str, status: int) -> None:
    before = len(_last(wide, 500))
    assert wide.admin.call(method, path).status == status
    records = wide.services.store.audit(AuditQuery(count=500)).records
    assert len(records) == before + 1
    assert records[0][1].outcome != "0"


@pytest.mark.statement("fhir-rest L232")
def test_the_trail_keeps_the_query_of_a_search_and_protects_it(world: World) -> None:
    admin = world.admin
    admin.get(f"/Patient?family={SECRET}")
    entries = admin.get("/AuditEvent?_count=5").entries
    text = str([each for each in entries if each.get("subtype", [{}])[0].get("code") == "search-type"])
    assert SECRET not in text, "the query is kept in base64, never in clear text"
    query = next(part["query"] for each in entries for part in each.get("entity", ()) if "query" in part)
    import base64

    assert SECRET in base64.b64decode(query).decode()


@pytest.mark.statement("fhir-rest L233")
def test_errors_repeat_neither_data_nor_tokens(world: World) -> None:
    admin, token = world.admin, world.admin.token or ""
    stored = made(admin, patient(SECRET, number=ANOUK))
    path = f"/{named(stored)}"
    secret_patch = [{"op": "test", "path": "/name/0/family", "value": f"{SECRET}X"}]
    answers = [
        admin.post("/Patient", patient(SECRET, gender=SECRET, birthDate=SECRET)),
        admin.put(path, patient(SECRET, id=SECRET)),
        admin.patch(path, secret_patch),
        admin.patch(path, [{"op": "replace", "path": f"/{SECRET}", "value": SECRET}]),
        admin.get(f"/Patient?birthdate={SECRET}"),
        admin.get(f"/Patient?identifier={SECRET}%7C%7C{ANOUK}"),
        admin.get(f"/Patient?_sort={SECRET}&birthdate=eq{ANOUK}"),
        admin.post("/", bundle("transaction", entry("POST", "Observation", observation(f"Patient?family={SECRET}X")))),
        admin.post(
            "/", bundle("transaction", entry("PUT", named(stored), patient(SECRET, id=stored["id"], active=SECRET)))
        ),
        admin.call("POST", "/Patient", f'{{"{SECRET}": '.encode(), {"Content-Type": "application/fhir+json"}),
        admin.call("POST", "/Patient", f"<{SECRET}>".encode(), {"Content-Type": "application/fhir+xml"}),
        admin.delete(f"/Organization?name={SECRET}&unheard={SECRET}"),
        admin.post("/Patient", patient(), If_None_Exist=f"birthdate={SECRET}"),
        Client(world, f"{token}{SECRET}").get("/Patient"),
    ]
    for number, answer in enumerate(answers):
        assert answer.status >= 400, number
        text = answer.body.decode() + str({n: v for n, v in answer.headers.items() if n != "X-Request-Id"})
        assert SECRET not in text, (number, text)
        assert ANOUK not in text, (number, text)
        assert token[:20] not in text


@pytest.mark.statement("fhir-rest A28")
def test_a_defect_shows_its_request_id_and_nothing_else(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError(SECRET)

    monkeypatch.setattr(world.services.store, "read", broken)
    answer = world.admin.get("/Patient/x", X_Request_Id="abc-1")
    assert (answer.status, answer.codes, answer.headers["X-Request-Id"]) == (500, {"exception"}, "abc-1")
    assert SECRET not in answer.body.decode()
    assert "abc-1" in answer.json["issue"][0]["diagnostics"]
    assert "Traceback" not in answer.body.decode()


@pytest.mark.statement("fhir-rest E130")
def test_a_search_counts_only_when_it_is_asked_to(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool] = []
    original = world.services.store.search

    def search(wanted):  # type: ignore[no-untyped-def]
        asked.append(wanted.total)
        return original(wanted)

    monkeypatch.setattr(world.services.store, "search", search)
    monkeypatch.setattr(world.services.store, "count", None)
    for query in ("", "?_total=none", "?family=x", "?_total=accurate", "?_summary=count", "?_count=0"):
        assert world.admin.get(f"/Patient{query}").status == 200
    assert asked == [False, False, False, True, True, True]
