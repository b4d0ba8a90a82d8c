"""`$everything` and `$docref` give what the scopes and the decision cover, and nothing beside. [security 2.11, 4.5]"""

from __future__ import annotations

import pytest

from fhir_dmp.identity.caller import Actor, Caller
from fhir_dmp.identity.scopes import parse
from fhir_dmp.terminology.aliases import PROFESSION
from tests import samples
from tests.flows.steps import Dossier, assert_refused, next_content
from tests.samples import Json
from tests.world import Client, World


def reader(world: World, scopes: str = "user/*.rs") -> Client:
    """A doctor who wrote nothing here, with these scopes."""
    caller = Caller(
        Actor.PROFESSIONAL,
        "reader",
        professional=samples.OTHER_DOCTOR,
        structure=samples.CLINIC,
        roles=((PROFESSION, "10"),),
        scopes=parse(scopes),
    )
    return world.as_(caller)


def whole(client: Client, dossier: Dossier) -> dict[str, list[Json]]:
    """Return all pages of the record, by type."""
    path = f"/Patient/{dossier.id}/$everything?_count=2"
    found: dict[str, list[Json]] = {}
    for _ in range(20):
        answer = client.get(path)
        assert answer.status == 200, answer.body
        for entry in answer.json.get("entry", []):
            found.setdefault(entry["resource"]["resourceType"], []).append(entry["resource"])
        links = {link["relation"]: link["url"] for link in answer.json["link"]}
        if "next" not in links:
            return found
        path = links["next"].removeprefix(dossier.world.services.base)
    raise AssertionError("the pages have no end")


@pytest.fixture
def filled(world: World, dossier: Dossier) -> Dossier:
    """A record with two documents, one of them masked, an Observation, and a reader who may consult."""
    dossier.submit(content=next_content())
    dossier.label(dossier.submit(content=next_content()), "MASQUE_PS")
    observation = {
        "resourceType": "Observation",
        "status": "final",
        "code": {"coding": [{"system": samples.LOINC, "code": "8867-4"}]},
        "subject": {"reference": f"Patient/{dossier.id}"},
    }
    assert world.admin.post("/Observation", observation).status == 201
    dossier.authorise(samples.OTHER_DOCTOR)
    return dossier


@pytest.mark.statement("security G-16")
def test_types_that_the_scopes_do_not_cover_are_absent(world: World, filled: Dossier) -> None:
    everything = whole(reader(world), filled)
    assert {"Patient", "DocumentReference", "Observation", "List", "Consent"} <= everything.keys()
    some = whole(reader(world, "user/Patient.rs user/DocumentReference.rs user/Observation.r"), filled)
    assert some.keys() == {"Patient", "DocumentReference"}  # an Observation may be read, but not searched
    assert_refused(reader(world, "user/Observation.rs").get(f"/Patient/{filled.id}/$everything"), 403, "scope")


@pytest.mark.statement("security P-10", "security P-42", "security G-16")
def test_what_is_hidden_is_absent_from_the_whole_record(world: World, filled: Dossier) -> None:
    assert len(whole(reader(world), filled)["DocumentReference"]) == 1
    assert len(whole(filled.holder, filled)["DocumentReference"]) == 2
    path = f"/DocumentReference/$docref?patient=Patient/{filled.id}"
    found = reader(world).get(path)
    assert (found.status, len(found.entries)) == (200, 1)
    assert len(filled.holder.get(path).entries) == 2
    stranger = world.doctor("899700218946", samples.CLINIC)
    assert_refused(stranger.get(f"/Patient/{filled.id}/$everything"), 403, "authorisation-missing")
