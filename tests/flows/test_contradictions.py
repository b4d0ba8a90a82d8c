"""What the sources say in two ways, and what this server does. [dmp-fhir 10]"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests import samples
from tests.flows.acts import PROFESSIONAL, call, done, extension, identifier, motive
from tests.flows.steps import (
    ARCHIVED,
    Dossier,
    attachment,
    next_content,
    next_ins,
    next_oid,
    nothing_stored,
    publication,
)
from tests.flows.submissions import ids, post, submission
from tests.flows.test_attributes import codes, label, patched, status
from tests.flows.test_replacement import at, to
from tests.samples import Json
from tests.world import World

URI = "urn:ietf:rfc:3986"
TYPES = f"{samples.MHD}/CodeSystem/IHE.MHD.MHDIdentifierType"
MISSPELT = f"{samples.NOS}/TRE_A07-StatusVisibiliteDocument/FHIR/TRE-A07-StatusVisibiliteDocument"


def stored(dossier: Dossier, body: Json) -> tuple[Json, list[Json]]:
    """Submit, and return the document as stored with the issues of the answer."""
    answer = post(dossier, body)
    assert answer.status == 200, answer.body
    issues = [i for each in answer.json["entry"] for i in each["response"].get("outcome", {}).get("issue", [])]
    return dossier.read(ids(answer)[1].split("/")[1]), issues


def changed(dossier: Dossier, change: Callable[[Json], object], index: int = 1) -> Json:
    """Return a submission in which one resource is changed."""
    body = submission(dossier)
    change(body["entry"][index]["resource"])
    return body


@pytest.mark.statement("dmp-fhir 10/1")
def test_a_deletion_is_entered_in_error_not_delete_and_superseded_alone_is_a_withdrawal(
    world: World, dossier: Dossier
) -> None:
    deleted, withdrawn = dossier.submit(), dossier.submit()
    with nothing_stored(world):
        assert world.doctor().delete(f"/DocumentReference/{deleted}").status == 405
    assert patched(dossier, deleted, status("entered-in-error")).json["status"] == "entered-in-error"
    assert patched(dossier, withdrawn, status("superseded")).status == 200
    assert dossier.found(dossier.holder) == [withdrawn]
    assert dossier.holder.get(dossier.path(withdrawn)).status == 200


@pytest.mark.statement("dmp-fhir 10/2")
def test_the_entry_uuid_is_the_id_and_outlives_every_change(dossier: Dossier) -> None:
    id_ = dossier.submit()
    (entry,) = dossier.read(id_)["identifier"]
    assert (entry["type"]["coding"][0]["code"], entry["value"]) == ("entryUUID", f"urn:uuid:{id_}")
    patched(dossier, id_, [{"op": "replace", "path": "/securityLabel/0", "value": label("MASQUE_PS")}])
    dossier.archive(id_)
    assert (dossier.read(id_)["id"], dossier.read(id_)["identifier"]) == (id_, [entry])
    assert dossier.read(dossier.replace(id_))["identifier"][0]["value"] != entry["value"]


@pytest.mark.statement("dmp-fhir 10/3", "dmp-fhir 10/21")
def test_date_and_creation_are_two_dates_and_both_are_searched(dossier: Dossier) -> None:
    body = changed(dossier, lambda x: attachment(x).update(creation="2026-02-03T08:00:00+01:00"))
    made, _ = stored(dossier, body)
    assert (made["date"][:10], attachment(made)["creation"][:10]) == ("2026-06-12", "2026-02-03")
    assert dossier.found(dossier.holder, "creation=2026-02-03") == [made["id"]]
    assert dossier.found(dossier.holder, "date=2026-06-12") == [made["id"]]
    assert dossier.found(dossier.holder, "date=2026-02-03") == []


@pytest.mark.statement("dmp-fhir 10/4")
def test_the_unique_id_is_found_as_master_identifier_and_as_identifier(dossier: Dossier) -> None:
    unique = next_oid()
    repeated = {
        "type": {"coding": [{"system": TYPES, "code": "uniqueId"}]},
        "system": URI,
        "value": f"urn:oid:{unique}",
    }
    id_ = dossier.submit(unique, identifier=[repeated])
    for value in (f"{URI}|urn:oid:{unique}", f"{URI}|urn:uuid:{id_}"):
        assert dossier.found(dossier.holder, f"identifier={value}") == [id_]
    assert dossier.read(id_)["masterIdentifier"]["value"] == f"urn:oid:{unique}"


@pytest.mark.statement("dmp-fhir 10/5")
def test_what_may_not_be_patched_is_422_not_405(dossier: Dossier) -> None:
    id_ = dossier.submit()
    answer = patched(dossier, id_, [{"op": "add", "path": "/description", "value": "x"}])
    assert (answer.status, "metadonnee-non-modifiable" in answer.codes) == (422, True)


@pytest.mark.statement("dmp-fhir 10/6")
@pytest.mark.parametrize("quotes", ["''", '""', "\u201c\u201d", "\u2018\u2019"])
@pytest.mark.parametrize("url", [ARCHIVED, f"{samples.PDSM.rsplit('/', 1)[0]}/SearchParameter/PDSm-isArchived"])
def test_the_archive_path_is_served_in_every_spelling(dossier: Dossier, quotes: str, url: str) -> None:
    path = f"/extension[url:{quotes[0]}{url}{quotes[1]}]/valueBoolean"
    answer = patched(dossier, dossier.submit(), [{"op": "replace", "path": path, "value": "true"}])
    assert answer.status == 200, answer.body
    assert answer.json["extension"] == [{"url": ARCHIVED, "valueBoolean": True}]
    assert answer.headers["Warning"].startswith("299")


@pytest.mark.statement("dmp-fhir 10/7")
def test_a_label_put_at_index_0_is_one_more_label(dossier: Dossier) -> None:
    id_ = dossier.submit()
    for code in ("INVISIBLE_PATIENT", "MASQUE_PS"):
        answer = patched(dossier, id_, [{"op": "replace", "path": "/securityLabel/0", "value": label(code)}])
    assert codes(answer.json) == ["MASQUE_PS", "INVISIBLE_PATIENT", "N"]


@pytest.mark.statement("dmp-fhir 10/8")
def test_a_simplified_publication_replaces_and_a_full_superseding_resource_is_read_too(
    world: World, dossier: Dossier
) -> None:
    old = dossier.submit()
    body = publication(next_oid(), ins=dossier.ins, content=next_content(), relatesTo=to(at(old)))
    assert world.doctor().post("/DocumentReference", body).status == 201
    assert dossier.read(old)["status"] == "superseded"
    other = dossier.read(dossier.submit())
    full = world.doctor().put(f"/DocumentReference/{other['id']}", {**other, "status": "superseded"})
    assert (full.status, full.json["status"]) == (200, "superseded")


@pytest.mark.statement("dmp-fhir 10/9", "dmp-fhir 10/10")
def test_custodian_and_type_of_the_unique_id_may_be_absent(dossier: Dossier) -> None:
    made, issues = stored(dossier, changed(dossier, lambda x: x.pop("custodian")))
    assert made["custodian"]["display"] == "Opérateur du DMP"
    assert any("custodian" in place for i in issues if i["severity"] == "information" for place in i["expression"])
    assert "type" not in made["masterIdentifier"]
    kind = {"coding": [{"system": TYPES, "code": "uniqueId"}]}
    made, _ = stored(dossier, changed(dossier, lambda x: x["masterIdentifier"].update(type=kind)))
    assert made["masterIdentifier"]["type"] == kind


@pytest.mark.statement("dmp-fhir 10/12", "dmp-fhir 10/13")
def test_classes_and_content_types_of_the_examples_are_warnings(dossier: Dossier) -> None:
    wrong = [{"coding": [{"system": samples.CLASSES, "code": "11"}]}]
    made, issues = stored(dossier, changed(dossier, lambda x: x.update(category=wrong)))
    assert made["category"] == wrong
    assert any("category" in place for i in issues if i["severity"] == "warning" for place in i["expression"])

    def as_in_the_examples(list_: Json) -> None:
        coding = list_["extension"][0]["valueCodeableConcept"]["coding"][0]
        coding.update(system=samples.CLASSES, code="10")

    _, issues = stored(dossier, changed(dossier, as_in_the_examples, index=0))
    assert "error" not in {issue["severity"] for issue in issues}


@pytest.mark.statement("dmp-fhir 10/14")
def test_the_key_of_the_examples_is_wrong_and_accepted_where_it_only_warns(make: Callable[..., World]) -> None:
    opening = samples.opening(samples.patient("123456789012345"))
    assert make().doctor().post("/Patient/$dmp-ouvrir", opening).status == 422
    assert make(DMP_IDENTITY_INS_KEY_CHECK="warn").doctor().post("/Patient/$dmp-ouvrir", opening).status == 200


@pytest.mark.statement("dmp-fhir 10/15")
def test_both_spellings_of_the_visibility_system_mean_the_same(world: World, dossier: Dossier) -> None:
    labels = ((MISSPELT, "MASQUE_PS"), (samples.CONFIDENTIALITY, "N"))
    id_ = dossier.submit(labels=labels, content=next_content())
    assert dossier.read(id_)["securityLabel"][0]["coding"][0]["system"] == MISSPELT
    for system in (MISSPELT, samples.VISIBILITY, "urn:oid:1.2.250.1.213.1.1.4.13"):
        assert dossier.found(dossier.holder, f"security-label={system}|MASQUE_PS") == [id_]
    dossier.authorise(samples.OTHER_DOCTOR)
    assert dossier.found(world.doctor(samples.OTHER_DOCTOR, samples.CLINIC)) == []


@pytest.mark.statement("dmp-fhir 10/16")
def test_an_extension_that_nobody_defines_comes_back_unchanged(dossier: Dossier) -> None:
    odd = {"url": f"{samples.MHD}/StructureDefinition/ihe-sourcePatientId", "valueReference": {"reference": "#person"}}
    answer = post(dossier, changed(dossier, lambda x: x["extension"].append(odd), index=0))
    assert answer.status == 200, answer.body
    list_ = dossier.world.admin.get(f"/{ids(answer)[0]}").json
    assert odd in list_["extension"]


@pytest.mark.statement("dmp-fhir 10/17")
def test_the_authors_organisation_is_found_where_it_is(dossier: Dossier) -> None:
    def signed(list_: Json) -> None:
        url = f"{samples.MHD}/StructureDefinition/ihe-authorOrg"
        list_["source"] = {
            "reference": "#person",
            "extension": [{"url": url, "valueReference": {"reference": "#structure"}}],
        }
        list_["contained"] = [each for each in list_["contained"] if each["id"] != "role"]

    answer = post(dossier, changed(dossier, signed, index=0))
    assert answer.status == 200, answer.body
    system = "urn:oid:1.2.250.1.71.4.2.2"
    found = dossier.found(dossier.holder, f"authorOrg.identifier={system}|{samples.HOSPITAL}", "List")
    assert found == [ids(answer)[0].split("/")[1]]


@pytest.mark.statement("dmp-fhir 10/18")
def test_an_internal_number_with_a_slash_names_a_professional(world: World, dossier: Dossier) -> None:
    inside = "3750100125/1453"
    done(call(dossier.holder, dossier, "dmp-autoriser", professionnel=identifier(inside, PROFESSIONAL)))
    assert dossier.found(world.doctor(inside, samples.HOSPITAL)) == []


@pytest.mark.statement("dmp-fhir 10/19")
def test_extensions_of_the_dossier_keep_the_address_of_the_published_examples(dossier: Dossier) -> None:
    done(call(dossier.holder, dossier, "dmp-fermer", motif=motive()))
    shown = dossier.world.doctor().get(f"/Patient?identifier={samples.INS}|{dossier.ins}").entries[0]
    for name in ("dmp-fermeture", "dmp-rattachement-mes", "dmp-medecin-traitant"):
        found = extension(shown, name)
        assert found is not None
        assert found["url"] == f"https://interop.esante.gouv.fr/ig/fhir/dmp/StructureDefinition/{name}"


@pytest.mark.statement("dmp-fhir 10/23")
def test_the_source_of_a_submission_may_be_a_practitioner(dossier: Dossier) -> None:
    def by_person(list_: Json) -> None:
        list_["source"] = {"reference": "#person"}
        list_["contained"] = [each for each in list_["contained"] if each["id"] == "person"]

    assert post(dossier, changed(dossier, by_person, index=0)).status == 200


@pytest.mark.statement("dmp-fhir 10/24")
def test_an_author_may_be_a_resource_of_the_directory(world: World) -> None:
    dossier = Dossier.open(world, next_ins())
    person: dict[str, Any] = {
        "resourceType": "Practitioner",
        "id": "outside",
        "identifier": [{"system": PROFESSIONAL, "value": samples.DOCTOR}],
        "name": [{"family": "CARLIER", "given": ["Hippolyte"]}],
    }
    assert world.admin.put("/Practitioner/outside", person).status in (200, 201)

    def outside(document: Json) -> None:
        document["author"] = [{"reference": "Practitioner/outside"}]
        document["authenticator"] = {"reference": "Practitioner/outside"}
        document["contained"] = [each for each in document["contained"] if each["id"] == "source"]

    made, _ = stored(dossier, changed(dossier, outside))
    assert dossier.found(dossier.holder, f"author.identifier={PROFESSIONAL}|{samples.DOCTOR}") == [made["id"]]
