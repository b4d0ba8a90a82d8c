"""With documents.extract, what a CDA says is stored beside it, found like any resource, and lives with it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests import samples
from tests.cda.making import document, entry, observation, section, unstructured
from tests.flows.steps import Dossier, next_ins, next_oid
from tests.flows.submissions import submission
from tests.flows.test_replacement import at, supersede
from tests.samples import Json
from tests.world import Response, World

_GLUCOSE = observation(
    '<id root="A1C2E3F4-0000-4000-8000-000000000001"/>'
    '<code code="2339-0" codeSystem="2.16.840.1.113883.6.1" displayName="Glycémie"/>'
    '<statusCode code="completed"/><effectiveTime value="20260611080000+0200"/>'
    '<value xsi:type="PQ" value="5.10" unit="mmol/L"/>'
    '<performer><assignedEntity><id root="1.2.250.1.71.4.2.1" extension="899700218904"/>'
    "<assignedPerson><name><family>MOREL</family></name></assignedPerson></assignedEntity></performer>",
    "1.3.6.1.4.1.19376.1.3.1.6",
    "E80",
)
MASKED = (samples.VISIBILITY, "MASQUE_PS")
NORMAL = (samples.CONFIDENTIALITY, "N")


def report(value: str = "5.10") -> bytes:
    """Return a CDA of a laboratory result."""
    return document(section(entry(_GLUCOSE.replace("5.10", value))))


@pytest.fixture
def extracting(make: Callable[..., World]) -> Dossier:
    """The dossier of somebody where documents are extracted."""
    return Dossier.open(make(DMP_DOCUMENTS_EXTRACT="true"), next_ins())


def found(dossier: Dossier, client: Any = None, query: str = "code=2339-0") -> list[Json]:
    """Return the Observations of the dossier that a caller finds."""
    answer = (client or dossier.world.admin).get(f"/Observation?patient=Patient/{dossier.id}&{query}")
    assert answer.status == 200, answer.body
    return answer.entries


def deposited(dossier: Dossier, value: str = "5.10", **more: Any) -> str:
    """Submit the CDA."""
    return dossier.submit(content=report(value), content_type="application/xml", **more)


def test_a_result_of_a_cda_is_found_as_an_observation_that_names_its_document(extracting: Dossier) -> None:
    id_ = deposited(extracting)
    (result,) = found(extracting)
    assert result["subject"] == {"reference": f"Patient/{extracting.id}"}
    assert result["valueQuantity"]["value"] == 5.1
    assert result["extension"][0]["valueReference"] == {"reference": f"DocumentReference/{id_}"}
    assert [tag["code"] for tag in result["meta"]["tag"]] == ["cda"]
    # The people of the document stay inside: no directory tells them.
    assert {part["resourceType"] for part in result["contained"]} == {"Practitioner", "PractitionerRole"}
    assert extracting.world.admin.get("/Practitioner").json.get("entry", []) == []
    assert [one["id"] for one in found(extracting, query=f"source-document=DocumentReference/{id_}")] == [result["id"]]


def test_the_cda_itself_is_untouched(extracting: Dossier) -> None:
    stored = extracting.read(deposited(extracting))
    url = stored["content"][0]["attachment"]["url"]
    path = "/" + "/".join(url.split("/")[-2:])
    assert extracting.world.admin.get(path, Accept="application/xml").body == report()


def test_without_the_setting_nothing_is_derived(dossier: Dossier) -> None:
    deposited(dossier)
    assert found(dossier) == []


def test_what_came_of_a_masked_document_is_as_hidden_as_the_document(extracting: Dossier) -> None:
    world = extracting.world
    reader = world.doctor(samples.OTHER_DOCTOR, samples.CLINIC)
    world.authorise(extracting.ins, samples.OTHER_DOCTOR)
    deposited(extracting, "5.10")
    deposited(extracting, "6.20", labels=(NORMAL, MASKED))
    every = found(extracting)
    assert len(every) == 2
    (seen,) = found(extracting, reader)
    assert seen["valueQuantity"]["value"] == 5.1
    total = reader.get(f"/Observation?patient=Patient/{extracting.id}&_summary=count").json["total"]
    assert total == 1
    (hidden,) = (one["id"] for one in every if one["id"] != seen["id"])
    absent = reader.get("/Observation/00000000-0000-7000-8000-000000000000")
    answer = reader.get(f"/Observation/{hidden}")
    assert (answer.status, answer.codes) == (absent.status, absent.codes) == (404, absent.codes)
    assert reader.get(f"/Observation/{hidden}/_history").status == 404
    assert reader.get(f"/Observation/{seen['id']}").status == 200
    for path in ("$everything", "Observation", "*"):
        whole = reader.get(f"/Patient/{extracting.id}/{path}")
        assert whole.status == 200, whole.body
        assert hidden not in whole.body.decode()
        assert seen["id"] in whole.body.decode()
    joined = reader.get(f"/DocumentReference?patient=Patient/{extracting.id}&_revinclude=Observation:source-document")
    assert hidden not in joined.body.decode()
    assert len(found(extracting, extracting.holder)) == 2


def test_masking_a_document_later_hides_what_came_of_it(extracting: Dossier) -> None:
    world = extracting.world
    reader = world.doctor(samples.OTHER_DOCTOR, samples.CLINIC)
    world.authorise(extracting.ins, samples.OTHER_DOCTOR)
    id_ = deposited(extracting)
    (seen,) = found(extracting, reader)
    label = {"coding": [{"system": samples.VISIBILITY, "code": "MASQUE_PS"}]}
    change = [{"op": "add", "path": "/securityLabel/-", "value": label}]
    assert extracting.holder.patch(f"/DocumentReference/{id_}", change).status == 200
    assert found(extracting, reader) == []
    assert reader.get(f"/Observation/{seen['id']}").status == 404


def test_what_came_of_a_replaced_document_gives_way_to_what_comes_of_the_next(extracting: Dossier) -> None:
    old = deposited(extracting, "5.10")
    body = submission(
        extracting,
        relatesTo=[{"code": "replaces", "target": at(old)}],
        content=report("6.20"),
        content_type="application/xml",
    )
    body["entry"].append(supersede(f"DocumentReference/{old}"))
    answer: Response = extracting.world.doctor().post("", body)
    assert answer.status == 200, answer.body
    (result,) = found(extracting)
    assert result["valueQuantity"]["value"] == 6.2


def test_what_came_of_a_deleted_document_is_deleted_with_it(extracting: Dossier) -> None:
    id_ = deposited(extracting)
    (result,) = found(extracting)
    change = [{"op": "replace", "path": "/status", "value": "entered-in-error"}]
    assert extracting.world.doctor().patch(f"/DocumentReference/{id_}", change).status == 200
    assert found(extracting) == []
    assert extracting.world.admin.get(f"/Observation/{result['id']}").status == 410


def test_a_derived_resource_changes_with_its_document_alone(extracting: Dossier) -> None:
    deposited(extracting)
    (result,) = found(extracting)
    doctor = extracting.world.doctor()
    extracting.world.authorise(extracting.ins)
    changed = {**result, "status": "amended"}
    assert doctor.put(f"/Observation/{result['id']}", changed).status == 403
    assert doctor.delete(f"/Observation/{result['id']}").status == 403


def test_a_document_that_says_nothing_structured_is_stored_all_the_same(extracting: Dossier) -> None:
    deposited_ = extracting.submit(content=unstructured(), content_type="application/xml")
    assert extracting.read(deposited_)["status"] == "current"
    broken = extracting.submit(content=b"<ClinicalDocument", content_type="application/xml", unique=next_oid())
    assert extracting.read(broken)["status"] == "current"
    assert found(extracting, query="") == []
