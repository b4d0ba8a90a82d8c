"""TD3.1a, submission sets and folders: what finds them (ITI-66). [dmp-fhir 9.7]"""

from __future__ import annotations

import pytest

from tests import samples
from tests.flows.steps import Dossier, coded, next_content, next_oid, readable
from tests.world import Client, World


@pytest.fixture(scope="module")
def lists(world: World) -> tuple[Dossier, dict[str, str]]:
    """A submission set with an authoring structure, another one, and a folder."""
    dossier, doctor = readable(world)
    first = samples.submission(next_oid(), ins=dossier.ins, content=next_content())
    made = first["entry"][0]["resource"]
    made["title"] = "Consultation annuelle"
    made["date"] = "2026-02-02T10:00:00+01:00"
    made["source"] = {
        "extension": [
            {"url": f"{samples.MHD}/StructureDefinition/ihe-authorOrg", "valueReference": {"reference": "#structure"}}
        ],
        "reference": "#role",
    }
    made["extension"][0]["valueCodeableConcept"] = coded(samples.SECTORS, "SA05")
    made["extension"][1]["valueIdentifier"]["value"] = "urn:oid:1.2.250.1.999.8.1"
    url = first["entry"][1]["fullUrl"]
    folder = samples.submission_set(next_oid(), [url], ins=dossier.ins, title="Suivi")
    for name in ("source", "contained"):
        del folder[name]
    folder["meta"] = {"profile": [f"{samples.PDSM}/pdsm-folder-comprehensive"]}
    folder["code"] = coded(f"{samples.MHD}/CodeSystem/MHDlistTypes", "folder")
    first["entry"].append({"fullUrl": f"{url[:-1]}7", "resource": folder, "request": {"method": "POST", "url": "List"}})
    answer = doctor.post("", first)
    assert answer.status == 200, answer.body
    places = [entry["response"]["location"].split("/")[1] for entry in answer.json["entry"]]
    other = doctor.post("", samples.submission(next_oid(), ins=dossier.ins, content=next_content()))
    return dossier, {
        "set": places[0],
        "folder": places[3],
        "document": places[1],
        "unique": made["identifier"][0]["value"],
        "other": other.json["entry"][0]["response"]["location"].split("/")[1],
    }


@pytest.mark.statement("dmp-fhir 9.7/131")
def test_the_submission_sets_are_found_without_folders(world: World, lists: tuple[Dossier, dict[str, str]]) -> None:
    (dossier, made), doctor = lists, world.doctor()
    sets = {made["set"], made["other"]}
    assert set(dossier.found(doctor, "code=submissionset&status=current", "List")) == sets
    assert dossier.found(doctor, "code=folder", "List") == [made["folder"]]
    system = f"{samples.MHD}/CodeSystem/MHDlistTypes"
    for spelling in (system, system.replace("https:", "http:")):
        assert set(dossier.found(doctor, f"code={spelling}|submissionset", "List")) == sets


@pytest.mark.statement("dmp-fhir 9.7/132", "dmp-fhir 9.7/133")
@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("date=2026-02-02", "set"),
        ("date=ge2026-06-01&code=submissionset", "other"),
        ("identifier=urn:ietf:rfc:3986|{unique}", "set"),
        ("title=consultation", "set"),
        ("title:contains=ANNUELLE", "set"),
        ("title=suivi", "folder"),
        (f"designationType={samples.SECTORS}|SA05", "set"),
        ("designationType=SA05", "set"),
        ("sourceId=urn:oid:1.2.250.1.999.8.1", "set"),
        ("sourceId=urn:ietf:rfc:3986|urn:oid:1.2.250.1.999.8.1", "set"),
        ("source.family=carlier", "set other"),
        ("source:PractitionerRole.family=carlier", "set other"),
        ("source.given=hippolyte", "set other"),
        ("item=DocumentReference/{document}", "set folder"),
        ("item={document}&code=submissionset", "set"),
        (f"authorOrg.identifier=urn:oid:1.2.250.1.71.4.2.2|{samples.HOSPITAL}", "set"),
        ("status=current", "set other folder"),
        ("isArchived=false", "set other folder"),
    ],
)
def test_lists_are_found_by_every_parameter(
    world: World, lists: tuple[Dossier, dict[str, str]], query: str, names: str
) -> None:
    dossier, made = lists
    found = dossier.found(world.doctor(), query.format(**made), "List")
    assert set(found) == {made[name] for name in names.split()}


@pytest.mark.statement("dmp-fhir 9.7/133")
def test_author_org_finds_the_extension_on_the_source(world: World, dossier: Dossier, doctor: Client) -> None:
    organization = world.admin.post("/Organization", {"resourceType": "Organization", "name": "Clinique"}).json["id"]
    made = samples.submission(next_oid(), ins=dossier.ins, content=next_content())
    place = {"reference": f"Organization/{organization}"}
    made["entry"][0]["resource"]["source"] = {
        "extension": [{"url": f"{samples.MHD}/StructureDefinition/ihe-authorOrg", "valueReference": place}],
        "reference": "#role",
    }
    answer = doctor.post("", made)
    assert answer.status == 200, answer.body
    id_ = answer.json["entry"][0]["response"]["location"].split("/")[1]
    dossier.submit()
    assert dossier.found(doctor, f"authorOrg=Organization/{organization}", "List") == [id_]
    assert dossier.found(doctor, "authorOrg.name=clinique", "List") == [id_]
