"""TD3.1, who finds what: authorisations, labels, closing, own deposits. [dmp-fhir 9.7, security 8.1]"""

from __future__ import annotations

import pytest

from fhir_dmp.identity.caller import Actor
from tests import samples
from tests.flows.steps import (
    CLOSING,
    Dossier,
    assert_refused,
    escaped,
    next_content,
    next_ins,
    next_oid,
    nothing_stored,
)
from tests.world import Client, World

URI = "urn:ietf:rfc:3986"
HIDDEN = (samples.VISIBILITY, "MASQUE_PS")
N = (samples.CONFIDENTIALITY, "N")


def stranger(world: World) -> Client:
    """A doctor who wrote nothing here."""
    return world.doctor(samples.OTHER_DOCTOR, samples.CLINIC)


@pytest.mark.statement("dmp-fhir 9.7/103")
def test_a_search_returns_only_current_documents_of_that_patient(world: World, dossier: Dossier) -> None:
    Dossier.open(world, next_ins()).submit()
    kept, old = dossier.submit(), dossier.submit()
    new = dossier.replace(old)
    dossier.authorise()
    assert set(dossier.found(world.doctor(), "status=current")) == {kept, new}
    assert dossier.found(world.doctor(), "status=superseded") == [old]
    assert set(dossier.found(world.doctor())) == {kept, old, new}


@pytest.mark.statement("dmp-fhir 9.7/103")
@pytest.mark.parametrize("criterion", ["patient", "subject", "patient.identifier", "subject:Patient.identifier"])
def test_every_way_to_name_the_patient_finds_the_same(world: World, dossier: Dossier, criterion: str) -> None:
    id_ = dossier.submit()
    dossier.authorise()
    value = f"{samples.INS}|{dossier.ins}" if "identifier" in criterion else f"Patient/{dossier.id}"
    answer = world.doctor().get(f"/DocumentReference?{criterion}={value}")
    assert answer.status == 200, answer.body
    assert [each["id"] for each in answer.entries] == [id_]


@pytest.mark.statement("dmp-fhir 9.7/104")
def test_without_authorisation_the_search_is_403_non_autorise(world: World, dossier: Dossier) -> None:
    dossier.submit()
    for client in (world.doctor(), stranger(world)):
        assert_refused(dossier.search(client, "status=current"), 403, "non-autorise", "authorisation-missing")


@pytest.mark.statement("dmp-fhir 9.7/105")
def test_with_an_expired_authorisation_the_search_is_403_autorisation_expiree(world: World, dossier: Dossier) -> None:
    dossier.authorise(samples.OTHER_DOCTOR, start="2026-01-01", end="2026-03-31")
    answer = dossier.search(stranger(world))
    assert_refused(answer, 403, "autorisation-expiree", "authorisation-expired")


@pytest.mark.statement("dmp-fhir 9.7/106")
def test_a_block_is_403_professionnel_bloque_even_with_an_authorisation(world: World, dossier: Dossier) -> None:
    dossier.authorise(samples.OTHER_DOCTOR)
    assert dossier.found(stranger(world)) == []
    world.consent(dossier.ins, "block", deny=True, actor=[samples.consent_actor(samples.OTHER_DOCTOR)])
    assert_refused(dossier.search(stranger(world)), 403, "professionnel-bloque", "blocked")


@pytest.mark.statement("dmp-fhir 9.7/107")
def test_on_a_closed_dossier_the_search_is_403_dmp_ferme(world: World, dossier: Dossier) -> None:
    id_ = dossier.submit()
    dossier.authorise(samples.OTHER_DOCTOR)
    path = dossier.path(id_)
    dossier.close()
    for client in (world.doctor(), stranger(world), dossier.holder):
        assert_refused(dossier.search(client), 403, "dmp-ferme", "dmp-closed")
        assert_refused(client.get(f"/DocumentReference/{id_}"), 403, "dmp-ferme")
        assert_refused(client.get(path), 403, "dmp-ferme")
    assert dossier.found(world.admin) == [id_]


@pytest.mark.statement("dmp-fhir 9.7/107")
def test_a_closed_dossier_still_says_that_it_is_closed(world: World, dossier: Dossier) -> None:
    dossier.close()
    answer = world.doctor().get(f"/Patient?identifier={samples.INS}|{dossier.ins}")
    (patient,) = answer.entries
    assert patient["active"] is False
    assert CLOSING in {extension["url"] for extension in patient["extension"]}


@pytest.mark.statement("dmp-fhir 9.7/108")
@pytest.mark.parametrize("query", ["", "?status=current", "?date=ge2020", "?_id=x"])
def test_without_patient_criterion_the_search_is_400_administrators_excepted(world: World, query: str) -> None:
    for client in (world.doctor(), world.structure()):
        assert_refused(client.get(f"/DocumentReference{query}"), 400, "required")
    assert world.admin.get(f"/DocumentReference{query}").status == 200


@pytest.mark.statement("dmp-fhir 9.7/103")
def test_an_unknown_ins_finds_nothing_and_is_no_error(world: World) -> None:
    nobody = Dossier(world, next_ins(), "")
    assert nobody.found(world.doctor()) == []
    assert nobody.found(world.admin) == []
    assert nobody.found(world.doctor(), type_="List") == []


@pytest.mark.statement("dmp-fhir 9.7/121")
def test_deleted_documents_are_absent_unless_asked_by_those_who_may(world: World, dossier: Dossier) -> None:
    kept, gone = dossier.submit(), dossier.submit()
    dossier.delete(gone)
    for professional in (samples.DOCTOR, samples.OTHER_DOCTOR):
        dossier.authorise(professional)
    for client in (world.doctor(), stranger(world), dossier.holder, world.admin):
        assert dossier.found(client, "status=current") == [kept]
    for client in (world.doctor(), stranger(world), dossier.holder):
        assert dossier.found(client) == [kept]
    for client in (world.doctor(), dossier.holder, world.admin):
        assert dossier.found(client, "status=entered-in-error") == [gone]
    assert dossier.found(stranger(world), "status=entered-in-error") == []


@pytest.mark.statement("dmp-fhir 9.7/122")
def test_masked_documents_are_absent_and_uncounted_for_other_professionals(world: World, dossier: Dossier) -> None:
    shown, masked = dossier.submit(), dossier.submit(labels=(HIDDEN, N))
    dossier.authorise()
    dossier.authorise(samples.OTHER_DOCTOR)
    assert dossier.found(stranger(world)) == [shown]
    for client in (world.doctor(), dossier.holder):
        assert set(dossier.found(client)) == {shown, masked}
    counted = dossier.search(stranger(world), "_summary=count")
    assert counted.json["total"] == 1
    assert dossier.found(stranger(world), f"_id={masked}") == []
    assert dossier.found(stranger(world), f"security-label={samples.VISIBILITY}|MASQUE_PS") == []


@pytest.mark.statement("dmp-fhir 9.7/122")
def test_the_medecin_traitant_finds_masked_documents(world: World, dossier: Dossier) -> None:
    masked = dossier.submit(labels=(HIDDEN, N))
    identifier = {"system": "urn:oid:1.2.250.1.71.4.2.1", "value": samples.OTHER_DOCTOR}
    patient = world.admin.get(f"/Patient/{dossier.id}").json
    answer = world.admin.put(f"/Patient/{dossier.id}", {**patient, "generalPractitioner": [{"identifier": identifier}]})
    assert answer.status == 200, answer.body
    world.consent(dossier.ins, "mt", actor=[samples.consent_actor(samples.OTHER_DOCTOR)])
    assert dossier.found(stranger(world)) == [masked]


@pytest.mark.statement("dmp-fhir 9.7/122")
def test_a_mask_set_later_hides_at_once(world: World, dossier: Dossier) -> None:
    id_ = dossier.submit()
    dossier.authorise(samples.OTHER_DOCTOR)
    assert dossier.found(stranger(world)) == [id_]
    dossier.label(id_, "MASQUE_PS")
    assert dossier.found(stranger(world)) == []
    assert_refused(stranger(world).get(f"/DocumentReference/{id_}"), 404)


@pytest.fixture
def half_hidden(world: World, dossier: Dossier) -> tuple[str, str]:
    """A shown and a masked document in one submission; both doctors are authorised."""
    body = samples.submission(next_oid(), ins=dossier.ins, content=next_content())
    more = samples.submission(next_oid(), ins=dossier.ins, content=next_content(), labels=(HIDDEN, N))
    body["entry"] += more["entry"][1:]
    body["entry"][0]["resource"]["entry"].append({"item": {"reference": more["entry"][1]["fullUrl"]}})
    answer = world.doctor().post("", body)
    assert answer.status == 200, answer.body
    for professional in (samples.DOCTOR, samples.OTHER_DOCTOR):
        dossier.authorise(professional)
    places = [entry["response"]["location"].split("/") for entry in answer.json["entry"]]
    return places[1][1], places[3][1]


@pytest.mark.statement("dmp-fhir 9.7/122")
def test_references_to_hidden_documents_are_replaced_inside_lists(
    world: World, dossier: Dossier, half_hidden: tuple[str, str]
) -> None:
    shown, masked = half_hidden
    (found,) = dossier.search(stranger(world), "code=submissionset", "List").entries
    assert [entry["item"].get("reference") for entry in found["entry"]] == [f"DocumentReference/{shown}", None]
    assert found["entry"][1]["item"]["extension"][0]["valueCode"] == "masked"
    for path in (f"/List/{found['id']}", f"/List/{found['id']}/_history/1", f"/List/{found['id']}/_history"):
        answer = stranger(world).get(path)
        assert answer.status == 200
        assert masked.encode() not in answer.body
    included = dossier.search(stranger(world), "_revinclude=List:item")
    assert included.json["total"] == 1
    assert found["id"].encode() in included.body
    assert masked.encode() not in included.body
    (mine,) = dossier.search(world.doctor(), "code=submissionset", "List").entries
    assert len([entry for entry in mine["entry"] if "reference" in entry["item"]]) == 2


@pytest.mark.statement("dmp-fhir 9.7/122")
def test_a_list_of_nothing_but_hidden_documents_does_not_exist(world: World, dossier: Dossier) -> None:
    dossier.submit(labels=(HIDDEN, N))
    dossier.authorise()
    dossier.authorise(samples.OTHER_DOCTOR)
    (id_,) = dossier.found(world.doctor(), "code=submissionset", "List")
    assert dossier.found(stranger(world), "code=submissionset", "List") == []
    for path in (f"/List/{id_}", f"/List/{id_}/_history/1", f"/List/{id_}/_history"):
        assert_refused(stranger(world).get(path), 404)
    everything = stranger(world).get(f"/Patient/{dossier.id}/*")
    assert everything.status == 200
    assert {each["resourceType"] for each in everything.entries} <= {"Patient", "Consent"}


@pytest.mark.statement("dmp-fhir 9.7/122")
@pytest.mark.parametrize(
    ("type_", "query"),
    [
        ("List", "item=DocumentReference/{masked}"),
        ("List", f"item:DocumentReference.security-label={samples.VISIBILITY}|MASQUE_PS"),
        ("List", "item.identifier={unique}"),
        ("DocumentReference", "relatesto=DocumentReference/{masked}"),
        ("DocumentReference", "relationship=DocumentReference/{masked}$appends"),
        ("DocumentReference", "relatesto.identifier={unique}"),
        ("DocumentReference", "_has:DocumentReference:relatesto:identifier={unique}"),
    ],
)
def test_a_search_through_a_hidden_document_finds_nothing(
    world: World, dossier: Dossier, half_hidden: tuple[str, str], type_: str, query: str
) -> None:
    shown, masked = half_hidden
    unique = escaped(f"{URI}|{dossier.read(masked)['masterIdentifier']['value']}")
    for target, labels in ((masked, (N,)), (shown, (HIDDEN, N))):
        relation = [{"code": "appends", "target": {"reference": f"DocumentReference/{target}"}}]
        dossier.submit(relatesTo=relation, content=next_content(), labels=labels)
    if query.startswith("_has"):
        linked = [id_ for id_ in dossier.found(world.doctor()) if id_ not in half_hidden]
        hidden = next(id_ for id_ in linked if len(dossier.read(id_)["securityLabel"]) == 2)
        unique = escaped(f"{URI}|{dossier.read(hidden)['masterIdentifier']['value']}")
    asked = query.format(masked=masked, unique=unique)
    assert dossier.found(world.doctor(), asked, type_) != []
    assert dossier.found(stranger(world), asked, type_) == []


@pytest.mark.statement("dmp-fhir 9.7/122")
def test_a_join_from_a_directory_into_a_record_finds_nothing(world: World, dossier: Dossier) -> None:
    made = world.admin.post("/Organization", {"resourceType": "Organization", "name": "x"}).json["id"]
    dossier.submit(custodian={"reference": f"Organization/{made}"})
    query = f"/Organization?_id={made}&_has:DocumentReference:custodian:status=current"
    assert [each["id"] for each in world.admin.get(query).entries] == [made]
    assert stranger(world).get(query).entries == []


@pytest.mark.statement("dmp-fhir 9.7/111", "dmp-fhir 9.7/122")
def test_a_relation_to_a_hidden_document_says_only_that_it_is_masked(world: World, dossier: Dossier) -> None:
    masked = dossier.submit(labels=(HIDDEN, N))
    relation = [{"code": "appends", "target": {"reference": f"DocumentReference/{masked}"}}]
    shown = dossier.submit(relatesTo=relation, content=next_content())
    dossier.authorise(samples.OTHER_DOCTOR)
    for answer in (
        dossier.search(stranger(world)),
        stranger(world).get(f"/DocumentReference/{shown}"),
        stranger(world).get(f"/DocumentReference/{shown}/_history/1"),
        stranger(world).get(f"/DocumentReference/{shown}/_history"),
    ):
        assert answer.status == 200, answer.body
        assert masked.encode() not in answer.body
        assert b'"masked"' in answer.body


@pytest.mark.statement("dmp-fhir 9.7/122")
def test_an_old_version_is_judged_by_the_labels_of_today(world: World, dossier: Dossier) -> None:
    id_ = dossier.submit()
    dossier.authorise(samples.OTHER_DOCTOR)
    assert stranger(world).get(f"/DocumentReference/{id_}/_history/1").status == 200
    dossier.label(id_, "MASQUE_PS")
    for path in (f"/DocumentReference/{id_}/_history/1", f"/DocumentReference/{id_}/_history"):
        assert_refused(stranger(world).get(path), 404)


@pytest.mark.statement("dmp-fhir 9.7/134")
def test_the_unique_id_alone_says_which_document_to_patch(world: World, dossier: Dossier) -> None:
    unique = next_oid()
    id_ = dossier.submit(unique)
    place = f"/DocumentReference?identifier={URI}|urn:oid:{unique}"
    patch = [{"op": "replace", "path": "/status", "value": "superseded"}]
    assert_refused(stranger(world).patch(place, patch), 403, "non-autorise")
    answer = world.doctor().patch(place, patch)
    assert (answer.status, answer.json["id"], answer.json["status"]) == (200, id_, "superseded")
    dossier.label(id_, "MASQUE_PS")
    dossier.authorise(samples.OTHER_DOCTOR)
    assert_refused(stranger(world).patch(place, patch), 404)


@pytest.mark.statement("dmp-fhir 9.7/123")
def test_documents_hidden_from_the_patient_are_absent_for_the_patient(world: World, dossier: Dossier) -> None:
    shown = dossier.submit()
    hidden = dossier.submit(labels=((samples.VISIBILITY, "INVISIBLE_PATIENT"), N))
    assert dossier.found(dossier.holder) == [shown]
    assert_refused(dossier.holder.get(f"/DocumentReference/{hidden}"), 404)
    dossier.authorise(samples.OTHER_DOCTOR)
    assert set(dossier.found(stranger(world))) == {shown, hidden}


@pytest.mark.statement("dmp-fhir 9.7/124")
def test_documents_hidden_from_representatives_are_there_for_the_patient(world: World) -> None:
    minor = Dossier.open(world, next_ins(), birthDate="2009-05-04")
    hidden = minor.submit(labels=((samples.VISIBILITY, "INVISIBLE_REPRESENTANTS_LEGAUX"), N))
    shown = minor.submit()
    representative = world.patient(minor.ins, Actor.REPRESENTATIVE)
    assert minor.found(representative) == [shown]
    assert set(minor.found(minor.holder)) == {shown, hidden}
    assert_refused(representative.get(minor.path(hidden)), 404)


@pytest.mark.statement("dmp-fhir 9.7/134")
def test_td31b_gives_the_id_that_serves_a_later_patch(world: World, dossier: Dossier) -> None:
    unique = next_oid()
    id_ = dossier.submit(unique)
    dossier.authorise()
    assert dossier.found(world.doctor(), f"identifier={URI}|urn:oid:{unique}") == [id_]
    patch = [{"op": "replace", "path": "/status", "value": "entered-in-error"}]
    assert world.doctor().patch(f"/DocumentReference/{id_}", patch).status == 200


@pytest.mark.statement("dmp-fhir 9.7/135")
def test_td31b_needs_no_authorisation_for_own_documents_and_projects_them(world: World, dossier: Dossier) -> None:
    unique, other = next_oid(), next_oid()
    mine = dossier.submit(unique)
    dossier.submit(other, stranger(world), professional=samples.OTHER_DOCTOR, structure=samples.CLINIC)
    for client in (world.doctor(), world.structure()):
        answer = dossier.search(client, f"identifier={URI}|urn:oid:{unique}")
        assert answer.status == 200, answer.body
        assert answer.json["total"] == 1
        (found,) = answer.entries
        assert found["id"] == mine
        names = ("resourceType", "id", "meta", "masterIdentifier", "identifier", "status", "subject", "securityLabel")
        assert set(found) == set(names)
        assert "SUBSETTED" in {tag["code"] for tag in found["meta"]["tag"]}
        assert dossier.found(client, f"identifier={URI}|urn:oid:{other}") == []


@pytest.mark.statement("dmp-fhir 9.7/135")
def test_an_institution_reads_nothing_else(world: World, dossier: Dossier) -> None:
    id_ = dossier.submit()
    for query in ("", "status=current", f"_id={id_}"):
        assert_refused(dossier.search(world.structure(), query), 403, "non-autorise", "feed-only")
    for path in (f"/DocumentReference/{id_}", dossier.path(id_)):
        assert world.structure().get(path).status in (403, 404)


@pytest.mark.statement("dmp-fhir 9.7/136")
def test_td31b_returns_superseded_documents(world: World, dossier: Dossier) -> None:
    unique = next_oid()
    old = dossier.submit(unique)
    dossier.replace(old)
    for client in (world.doctor(), world.structure()):
        (found,) = dossier.search(client, f"identifier={escaped(f'{URI}|urn:oid:{unique}')}").entries
        assert (found["id"], found["status"]) == (old, "superseded")


@pytest.mark.statement("dmp-fhir 9.7/121")
def test_a_hidden_target_cannot_be_replaced_and_looks_unknown(world: World, dossier: Dossier) -> None:
    masked = dossier.submit(labels=(HIDDEN, N))
    relation = [{"code": "replaces", "target": {"reference": f"DocumentReference/{masked}"}}]
    unique = dossier.read(masked)["masterIdentifier"]
    missing = [{"code": "replaces", "target": {"reference": "DocumentReference/0191a1b2-0000-7000-8000-00000000abcd"}}]
    by_key = [{"code": "replaces", "target": {"identifier": unique}}]
    asked = [{"code": "replaces", "target": {"reference": f"DocumentReference?identifier={URI}|{unique['value']}"}}]
    answers = []
    for each in (relation, missing, by_key, asked):
        content = next_content()
        body = samples.submission(
            next_oid(),
            ins=dossier.ins,
            professional=samples.OTHER_DOCTOR,
            structure=samples.CLINIC,
            content=content,
            relatesTo=each,
        )
        with nothing_stored(world, content):
            answers.append(stranger(world).post("", body))
    for answer in answers:
        assert_refused(answer, 422, "cible-inconnue", "XDSUnreferencedObjectException")
    assert len({answer.body for answer in answers}) == 1
