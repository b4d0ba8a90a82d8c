"""Following contacts: what changed since the last call, with what it replaces, and contents, in one call each.

[dmp-fhir 3.4, 3.6]
"""

from __future__ import annotations

import base64

import pytest

from tests import samples
from tests.flows.steps import Dossier, escaped, next_content, next_ins
from tests.samples import Json
from tests.world import Client, Response, World


@pytest.fixture
def reader(world: World, dossier: Dossier) -> Client:
    """A doctor who may read."""
    dossier.authorise()
    return world.doctor()


def now(dossier: Dossier) -> str:
    """Return the instant of the last change of a dossier, as a client notes it."""
    answer = dossier.search(dossier.world.admin, "_sort=-_lastUpdated&_count=1")
    found: str = answer.entries[0]["meta"]["lastUpdated"]
    return found


def modes(answer: Response) -> dict[str, set[str]]:
    """Return the ids by search mode."""
    assert answer.status == 200, answer.body
    found: dict[str, set[str]] = {"match": set(), "include": set()}
    for entry in answer.json["entry"]:
        found[entry["search"]["mode"]].add(entry["resource"]["id"])
    return found


def batch(client: Client, paths: list[str]) -> Json:
    """Get several URLs in one call."""
    entries = [{"request": {"method": "GET", "url": path.lstrip("/")}} for path in paths]
    answer = client.post("", {"resourceType": "Bundle", "type": "batch", "entry": entries})
    assert answer.status == 200, answer.body
    return answer.json


@pytest.mark.statement("dmp-fhir 9.7/119", "dmp-fhir 9.7/111")
def test_one_call_tells_created_replaced_relabelled_archived_and_withdrawn_with_what_they_replace(
    dossier: Dossier, reader: Client
) -> None:
    old, quiet, relabelled, archived, withdrawn = (dossier.submit(content=next_content()) for _ in range(5))
    since = now(dossier)
    new = dossier.replace(old)
    dossier.label(relabelled, "INVISIBLE_PATIENT")
    dossier.archive(archived)
    patch = [{"op": "replace", "path": "/status", "value": "superseded"}]
    assert reader.patch(f"/DocumentReference/{withdrawn}", patch).status == 200
    query = f"_lastUpdated=gt{escaped(since)}&_include=DocumentReference:relatesto"
    answer = dossier.search(reader, query)
    found = modes(answer)
    assert found["match"] == {old, new, relabelled, archived, withdrawn}
    by_id = {entry["resource"]["id"]: entry["resource"] for entry in answer.json["entry"]}
    assert by_id[new]["relatesTo"][0]["target"]["reference"].endswith(f"DocumentReference/{old}")
    assert (by_id[old]["status"], by_id[withdrawn]["status"]) == ("superseded", "superseded")
    assert quiet not in by_id
    nothing = dossier.search(reader, f"_lastUpdated=gt{escaped(now(dossier))}")
    assert nothing.json["total"] == 0


def test_what_a_new_document_replaced_long_ago_comes_along(dossier: Dossier, reader: Client) -> None:
    old = dossier.submit(content=next_content())
    new = dossier.replace(old)
    since = now(dossier)
    dossier.archive(new)
    found = modes(dossier.search(reader, f"_lastUpdated=gt{escaped(since)}&_include=DocumentReference:relatesto"))
    assert found == {"match": {new}, "include": {old}}


def test_what_is_hidden_does_not_come_along(world: World, dossier: Dossier) -> None:
    old = dossier.submit(content=next_content())
    dossier.label(old, "MASQUE_PS")
    masked = ((samples.CONFIDENTIALITY, "N"),)
    relation = [{"code": "transforms", "target": {"reference": f"DocumentReference/{old}"}}]
    new = dossier.submit(relatesTo=relation, labels=masked, content=next_content())
    dossier.authorise(samples.OTHER_DOCTOR)
    other = world.doctor(samples.OTHER_DOCTOR, samples.CLINIC)
    answer = dossier.search(other, "_lastUpdated=gt2020-01-01&_include=DocumentReference:relatesto")
    assert modes(answer) == {"match": {new}, "include": set()}
    assert old.encode() not in answer.body


@pytest.mark.statement("dmp-fhir 9.1/14")
def test_several_contents_come_in_one_call_in_their_order(dossier: Dossier, reader: Client) -> None:
    contents = [next_content() for _ in range(12)]
    paths = [dossier.path(dossier.submit(content=content)) for content in contents]
    answer = batch(reader, [*paths, "/Binary/absent"])
    assert answer["type"] == "batch-response"
    statuses = [entry["response"]["status"][:3] for entry in answer["entry"]]
    assert statuses == ["200"] * 12 + ["404"]
    got = [base64.b64decode(entry["resource"]["data"]) for entry in answer["entry"][:12]]
    assert got == contents


def test_a_batch_gives_no_content_that_is_hidden_or_of_another_dossier(world: World, dossier: Dossier) -> None:
    seen, masked = (dossier.path(dossier.submit(content=next_content())) for _ in range(2))
    hidden = dossier.submit(labels=((samples.VISIBILITY, "MASQUE_PS"), (samples.CONFIDENTIALITY, "N")))
    foreign = Dossier.open(world, next_ins())
    paths = [seen, dossier.path(hidden), foreign.path(foreign.submit(content=next_content())), masked]
    dossier.authorise(samples.OTHER_DOCTOR)
    answer = batch(world.doctor(samples.OTHER_DOCTOR, samples.CLINIC), paths)
    statuses = [entry["response"]["status"][:3] for entry in answer["entry"]]
    assert statuses == ["200", "404", "403", "200"]
