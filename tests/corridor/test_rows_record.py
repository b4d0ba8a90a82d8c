"""Blocks A, B and C of the decision table, row by row over HTTP. [security 4.3]"""

from __future__ import annotations

from typing import Any

import pytest

from fhir_dmp.errors import StoreUnavailable
from fhir_dmp.identity.caller import Actor, Caller
from fhir_dmp.identity.scopes import parse
from fhir_dmp.ports import Commit, Version
from fhir_dmp.store.memory import MemoryStore
from tests import samples
from tests.corridor.stage import (
    ACT_REASON,
    CLINIC,
    CLOSING,
    NURSE,
    SAMU,
    STRANGER,
    STRUCTURES,
    Stage,
    refused,
)
from tests.samples import Json
from tests.world import Client, make_world

UNKNOWN = "01900000-0000-7000-8000-000000000000"


# --- block A: the gate -----------------------------------------------------------------------------------------------


@pytest.mark.statement("security P-1 A1", "security H-31", "security L-8")
def test_a1_without_a_usable_token_nothing_is_read_and_the_attempt_is_recorded(stage: Stage) -> None:
    secret = "eyJhbGciOiJub25lIn0.c2VjcmV0LXRleHQ.x"
    for client in (stage.world.nobody, Client(stage.world, secret)):
        answer = client.get(f"/Patient/{stage.id}")
        refused(answer, 401, "login")
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")
        kept = stage.last
        assert (kept.kind, kept.outcome, kept.reason) == ("login-failure", "8", "login")
        assert (kept.actor, kept.subject, kept.patient, kept.query) == ("", "", None, None)
        assert secret not in repr(kept)
    stage.world.clock.time_ms += 20_000_000_000
    expired = stage.world.doctor()
    stage.world.clock.time_ms += 20_000_000_000
    refused(expired.get(f"/Patient/{stage.id}"), 401)
    assert stage.last.kind == "login-failure"


@pytest.mark.statement("security P-1 A2", "security G-19")
def test_a2_a_scope_that_does_not_cover_the_interaction_is_403_and_says_what_is_needed(stage: Stage) -> None:
    stage.authorise()
    narrow = stage.ps(scopes=parse("user/Observation.rs"))
    answer = stage.search(narrow)
    refused(answer, 403, "scope")
    assert 'error="insufficient_scope", scope="user/DocumentReference.s"' in answer.headers["WWW-Authenticate"]
    assert (stage.last.outcome, stage.last.reason) == ("8", "scope")


@pytest.mark.statement("security P-1 A3")
def test_a3_excluded_categories_of_actors_have_no_access_at_all(stage: Stage) -> None:
    stage.authorise()
    refused(stage.search(stage.ps(sector="SA13")), 403, "actor-excluded")
    occupational = (("urn:oid:1.2.250.1.71.1.2.7", "10"), ("urn:oid:1.2.250.1.71.4.2.5", "SM25"))
    refused(stage.search(stage.ps(roles=occupational)), 403, "actor-excluded")
    assert stage.found(stage.ps(sector="SA07")) == set()


@pytest.mark.statement("security P-1 A4", "security TH7")
def test_a4_a_search_of_nobody_in_particular_is_refused(stage: Stage) -> None:
    stage.authorise()
    client = stage.ps()
    refused(client.get("/DocumentReference?patient:missing=false"), 403, "mass-search")
    refused(client.get("/Observation?patient.birthdate=1985-04-17"), 403, "mass-search")
    refused(client.get("/Observation"), 400, "required")
    refused(client.get("/?_type=Observation,Condition"), 400, "required")
    refused(client.get("/Patient?gender=female"), 400, "required")


class Trailless(MemoryStore):
    """A store whose trail can be made to fail."""

    broken = False

    def commit(self, commit: Commit) -> tuple[Version, ...]:
        """Fail when asked to write the trail of a read."""
        if self.broken and not commit.writes:
            raise StoreUnavailable("The disk is full.")
        return super().commit(commit)


@pytest.mark.statement("security P-1 A5", "security P-45")
def test_a5_what_cannot_be_recorded_is_not_answered() -> None:
    store = Trailless()
    stage = Stage(make_world(store))
    stage.world.open()
    id_ = stage.submit()
    stage.authorise()
    client, path = stage.ps(), stage.content(id_)
    store.broken = True
    for target in (f"/DocumentReference/{id_}", f"/DocumentReference?patient=Patient/{stage.id}", path, "/Patient/x"):
        answer = client.get(target)
        refused(answer, 503, "audit-unavailable", "transient")
        assert id_ not in answer.body.decode()
        assert b"compte rendu" not in answer.body


# --- block B: the record ---------------------------------------------------------------------------------------------


@pytest.mark.statement("security P-1 B1")
def test_b1_the_existence_of_an_unknown_record_is_answered_by_an_empty_bundle(stage: Stage) -> None:
    answer = stage.ps().get(f"/Patient?identifier={samples.INS}|{samples.BASILE}")
    assert (answer.status, answer.entries) == (200, [])


@pytest.mark.statement("security P-1 B2")
def test_b2_anything_else_on_an_unknown_patient_is_404(stage: Stage) -> None:
    client = stage.ps()
    refused(client.get(f"/Patient/{UNKNOWN}"), 404, "not-found")
    undocumented = stage.admin.post("/Patient", samples.patient(samples.BASILE)).json["id"]
    hidden = client.get(f"/Patient/{undocumented}", X_Request_Id="same")
    assert (hidden.status, hidden.body) == (404, client.get(f"/Patient/{UNKNOWN}").body)
    assert client.get(f"/DocumentReference?patient=Patient/{undocumented}").entries == []


@pytest.mark.statement("security P-1 B3")
def test_b3_a_record_that_is_not_open_is_not_fed(stage: Stage) -> None:
    stage.admin.post("/Patient", samples.patient(samples.BASILE))
    unopened = samples.submission("1.2.250.1.999.6.900", ins=samples.BASILE)
    refused(stage.author.post("", unopened), 422, "dmp-inexistant")
    opposed = stage.admin.post("/Patient", samples.patient(samples.CORSICAN)).json["id"]
    assert stage.admin.post("/Consent", samples.consent(opposed, "dmp-opening", deny=True)).status == 201
    bundle = samples.submission("1.2.250.1.999.6.901", ins=samples.CORSICAN)
    refused(stage.author.post("", bundle), 403, "no-dmp")


@pytest.mark.statement("security P-1 B4", "security P-34")
def test_b4_a_closed_record_tells_that_and_when_it_was_closed(stage: Stage) -> None:
    stage.close()
    (patient,) = stage.ps().get(f"/Patient?identifier={samples.INS}|{samples.ANOUK}").entries
    (closing,) = [each for each in patient["extension"] if each["url"] == CLOSING]
    told = {part["url"]: part for part in closing["extension"]}
    assert patient["active"] is False
    assert told["dateFermeture"]["valueDate"] == "2026-06-12"
    assert told["raisonFermeture"]["valueString"] == "Demande orale"


@pytest.mark.statement("security P-1 B5", "security P-1 B6", "security P-1 B7", "security P-34")
def test_b5_to_b7_a_closed_record_shows_its_accesses_and_nothing_else(stage: Stage) -> None:
    id_ = stage.submit()
    stage.authorise()
    path = stage.content(id_)
    stage.close()
    assert stage.search(stage.holder(), "AuditEvent").entries
    assert stage.search(stage.auditor, "AuditEvent").entries
    for client in (stage.holder(), stage.ps(), stage.author, stage.breaking_glass()):
        for answer in (stage.search(client), client.get(f"/DocumentReference/{id_}"), client.get(path)):
            refused(answer, 403, "dmp-closed", "dmp-ferme")
    refused(stage.author.post("", samples.submission("1.2.250.1.999.6.902")), 422, "dmp-ferme")
    refused(stage.status(stage.author, id_, "superseded"), 422, "dmp-ferme")
    refused(stage.observe(stage.holder()), 422, "dmp-ferme")


@pytest.mark.statement("security P-35")
def test_reopening_restores_the_content(stage: Stage) -> None:
    id_ = stage.submit()
    stage.close()
    patient = stage.admin.get(f"/Patient/{stage.id}").json
    kept = [each for each in patient["extension"] if each["url"] != CLOSING]
    stage.admin.put(f"/Patient/{stage.id}", {**patient, "active": True, "extension": kept})
    assert stage.found(stage.holder()) == {id_}


# --- block C: the person ---------------------------------------------------------------------------------------------


@pytest.mark.statement("security P-1 C1")
def test_c1_the_patient_reads_the_own_record_and_no_other(stage: Stage) -> None:
    id_ = stage.submit()
    assert stage.found(stage.holder()) == {id_}
    assert stage.holder().get(stage.content(id_)).status == 200
    stage.world.open(samples.BASILE)
    stranger = stage.world.patient(samples.BASILE)
    refused(stage.search(stranger), 403, "default-deny")
    for path in (f"/DocumentReference/{id_}", f"/Patient/{stage.id}", stage.content(id_)):
        type_ = path.split("/")[1]
        answer = stranger.get(path, X_Request_Id="same")
        unknown = stranger.get(f"/{type_}/{UNKNOWN}", X_Request_Id="same")
        assert (answer.status, answer.body, answer.headers) == (404, unknown.body, unknown.headers)


def minor(stage: Stage, birth: str = "2009-04-17") -> Stage:
    stage.world.open(samples.BASILE, birthDate=birth)
    return Stage(stage.world, samples.BASILE)


@pytest.mark.statement("security P-1 C2")
def test_c2_a_representative_reads_for_a_minor_or_under_a_protection_measure(stage: Stage) -> None:
    child = minor(stage)
    id_ = child.submit()
    assert child.found(child.holder(Actor.REPRESENTATIVE)) == {id_}
    role = {"system": "http://terminology.hl7.org/CodeSystem/v3-RoleCode", "code": "GUARD"}
    guardian = {
        "resourceType": "RelatedPerson",
        "active": True,
        "patient": {"reference": f"Patient/{stage.id}"},
        "relationship": [{"coding": [role]}],
    }
    place = stage.admin.post("/RelatedPerson", guardian).json["id"]
    assert stage.found(stage.holder(Actor.REPRESENTATIVE, fhir_user=f"RelatedPerson/{place}")) == set()
    assert stage.admin.put(f"/RelatedPerson/{place}", {**guardian, "id": place, "active": False}).status == 200
    answer = stage.search(stage.holder(Actor.REPRESENTATIVE, fhir_user=f"RelatedPerson/{place}"))
    refused(answer, 404, "not-found")


@pytest.mark.statement("security P-1 C3", "security P-38")
def test_c3_the_representative_of_an_adult_finds_nothing(stage: Stage) -> None:
    id_ = stage.submit()
    parent = stage.holder(Actor.REPRESENTATIVE)
    refused(stage.search(parent), 404, "not-found")
    answer = parent.get(f"/DocumentReference/{id_}", X_Request_Id="same")
    unknown = parent.get(f"/DocumentReference/{UNKNOWN}", X_Request_Id="same")
    assert (answer.status, answer.body, answer.headers) == (404, unknown.body, unknown.headers)


def delegation(stage: Stage, *classes: str, end: str = "2026-12-31") -> Client:
    """Return a delegate with a delegation, limited to document classes."""
    relative = {"resourceType": "RelatedPerson", "patient": {"reference": f"Patient/{stage.id}"}}
    place = stage.admin.post("/RelatedPerson", relative).json["id"]
    role = samples.consent_actor("x")["role"]
    consent = samples.consent(
        stage.id,
        "delegation",
        actor=[{"role": role, "reference": {"reference": f"RelatedPerson/{place}"}}],
        period={"start": "2026-01-02", "end": end},
    )
    limits: list[Json] = [
        {"url": "class", "valueCoding": {"system": samples.CLASSES, "code": code}} for code in classes
    ]
    if limits:
        url = "https://dmp-fhir.example/ig/StructureDefinition/dmp-delegation"
        consent["extension"] = [{"url": url, "extension": [{"url": "right", "valueCode": "read"}, *limits]}]
    made = stage.admin.post("/Consent", consent)
    assert made.status == 201, made.body
    return stage.holder(Actor.DELEGATE, delegation=(f"Consent/{made.json['id']}",))


@pytest.mark.statement("security P-1 C4", "security P-1 D4", "security P-39")
def test_c4_a_delegate_reads_the_classes_that_were_delegated(stage: Stage) -> None:
    report, other = stage.submit(), stage.submit(class_="42", type_=(samples.LOINC, "57833-6"))
    assert stage.found(delegation(stage)) == {report, other}
    limited = delegation(stage, "42")
    assert stage.found(limited) == {other}
    refused(limited.get(f"/DocumentReference/{report}"), 404)


@pytest.mark.statement("security P-1 C5")
def test_c5_without_a_delegation_in_force_there_is_nothing_to_read(stage: Stage) -> None:
    stage.submit()
    refused(stage.search(stage.holder(Actor.DELEGATE)), 403, "delegation")
    refused(stage.search(delegation(stage, end="2026-05-01")), 403, "delegation")
    refused(stage.observe(delegation(stage)), 403, "delegation")


@pytest.mark.statement("security P-1 C6", "security P-2")
def test_c6_a_block_beats_every_mode_and_every_authorisation(stage: Stage) -> None:
    id_ = stage.submit()
    stage.authorise()
    stage.block()
    for client in (stage.ps(), stage.breaking_glass(), stage.regulator()):
        for answer in (
            stage.search(client),
            client.get(f"/DocumentReference/{id_}"),
            client.get(f"/Patient/{stage.id}"),
        ):
            refused(answer, 403, "blocked", "professionnel-bloque")
        assert (stage.last.outcome, stage.last.reason, stage.last.patient) == ("8", "blocked", f"Patient/{stage.id}")


@pytest.mark.statement("security P-1 C6")
def test_c6_a_blocked_structure_blocks_its_people(stage: Stage) -> None:
    stage.authorise()
    stage.block(CLINIC, STRUCTURES)
    refused(stage.search(stage.ps()), 403, "blocked")
    assert stage.found(stage.ps(structure=samples.HOSPITAL)) == set()


@pytest.mark.statement("security P-1 C6", "security P-19")
def test_c6_a_blocked_author_does_not_even_reach_the_own_documents(stage: Stage) -> None:
    id_ = stage.submit()
    stage.block(samples.DOCTOR)
    refused(stage.author.get(f"/DocumentReference/{id_}"), 403, "blocked")
    refused(stage.author.get(stage.content(id_)), 403, "blocked")
    refused(stage.status(stage.author, id_, "entered-in-error"), 403, "blocked")
    refused(stage.author.post("", samples.submission("1.2.250.1.999.6.903")), 403, "blocked")


@pytest.mark.statement("security P-3")
def test_a_block_on_the_medecin_traitant_is_409(stage: Stage) -> None:
    stage.doctor()
    consent = samples.consent(stage.id, "block", deny=True, actor=[samples.consent_actor(STRANGER)])
    refused(stage.holder().post("/Consent", consent), 409, "mt-cannot-be-blocked")


@pytest.mark.statement("security P-1 C7", "security P-1 C8", "security P-5", "security P-6", "security P-7")
def test_c7_c8_regulators_of_listed_centres_read_unless_the_patient_refused(stage: Stage) -> None:
    id_ = stage.submit()
    stage.authorise(start="2025-01-01", end="2025-02-01")
    assert stage.found(stage.regulator()) == {id_}
    refused(stage.search(stage.regulator(regulator=False)), 403, "not-regulator")
    refused(stage.search(stage.regulator(structure="1990000002")), 403, "not-regulator")
    stage.refuse("ETREAT")
    refused(stage.search(stage.regulator()), 403, "emergency-refused")
    assert stage.found(stage.breaking_glass()) == {id_}


@pytest.mark.statement("security P-1 C9", "security P-4")
def test_c9_break_glass_is_refused_when_the_patient_refused_it(stage: Stage) -> None:
    id_ = stage.submit()
    stage.refuse("BTG")
    refused(stage.search(stage.breaking_glass()), 403, "emergency-refused")
    assert stage.found(stage.regulator()) == {id_}


@pytest.mark.statement("security P-1 C10")
def test_c10_break_glass_needs_a_reason_and_a_profession_that_may(stage: Stage) -> None:
    stage.submit()
    for reason in (None, "", "   "):
        refused(stage.search(stage.breaking_glass(reason=reason)), 403, "btg-not-allowed")
    refused(stage.search(stage.breaking_glass(profession="80")), 403, "btg-not-allowed")


@pytest.mark.statement("security P-1 C11", "security L-6")
def test_c11_break_glass_reads_and_is_recorded_as_such(stage: Stage) -> None:
    id_ = stage.submit()
    client = stage.breaking_glass()
    assert stage.found(client) == {id_}
    assert client.get(stage.content(id_)).status == 200
    (event,) = stage.search(stage.holder(), "AuditEvent", f"&_count=1&entity=DocumentReference/{id_}").entries
    assert event["purposeOfEvent"][0]["coding"][0]["code"] == "BTG"
    assert {"type": "reason", "valueString": "coma"} in [
        detail for entity in event["entity"] for detail in entity.get("detail", [])
    ]


@pytest.mark.statement("security P-1 C12", "security P-37")
def test_c12_feeding_needs_no_authorisation_but_no_opposition_either(stage: Stage) -> None:
    stage.submit()
    stage.submit(client=stage.world.structure())
    actor = [samples.consent_actor(samples.HOSPITAL, STRUCTURES)]
    opposition = stage.consent("feeding-opposition", deny=True, actor=actor)
    for client in (stage.author, stage.world.structure()):
        refused(client.post("", samples.submission("1.2.250.1.999.6.904")), 403, "feeding-opposition")
    stage.submit(professional=STRANGER, structure=CLINIC, client=stage.ps())
    consent = stage.admin.get(f"/Consent/{opposition}").json
    everybody = {**consent, "provision": {"type": "deny"}}
    assert stage.admin.put(f"/Consent/{opposition}", everybody, If_Match='W/"1"').status == 200
    bundle = samples.submission("1.2.250.1.999.6.905", professional=STRANGER, structure=CLINIC)
    refused(stage.ps().post("", bundle), 403, "opposition-alimentation")


@pytest.mark.statement("security P-1 C13", "security P-31", "security P-32", "security P-33", "security P-1 W4")
def test_c13_w4_an_institution_feeds_and_reads_back_the_metadata_of_own_deposits_only(stage: Stage) -> None:
    institution = stage.world.structure()
    own = stage.submit(client=institution)
    foreign = stage.submit(professional=STRANGER, structure=CLINIC, client=stage.ps())
    oids = [stage.admin.get(f"/DocumentReference/{id_}").json["masterIdentifier"]["value"] for id_ in (own, foreign)]
    refused(stage.search(institution), 403, "feed-only")
    refused(institution.get(f"/DocumentReference/{own}"), 403, "scope")
    wide = stage.world.as_(
        Caller(
            Actor.STRUCTURE,
            "org",
            structure=samples.HOSPITAL,
            scopes=parse("system/DocumentReference.crus system/Binary.cr system/Patient.rs"),
        )
    )
    refused(wide.get(f"/DocumentReference/{own}"), 403, "feed-only")
    refused(wide.get(stage.content(own)), 403, "feed-only")
    (shown,) = stage.search(institution, query=f"&identifier=urn:ietf:rfc:3986|{oids[0]}").entries
    assert shown["id"] == own
    assert "content" not in shown
    assert "author" not in shown
    assert {"system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue", "code": "SUBSETTED"} in (
        shown["meta"]["tag"]
    )
    assert stage.search(institution, query=f"&identifier=urn:ietf:rfc:3986|{oids[1]}").entries == []
    feeder = stage.world.as_(Caller(Actor.FEEDER, "feeder", structure="1999999999"))
    refused(stage.search(feeder), 403, "scope")


@pytest.mark.statement("security P-1 C14")
def test_c14_the_medecin_traitant_consults(stage: Stage) -> None:
    id_ = stage.submit()
    stage.doctor()
    assert stage.found(stage.ps()) == {id_}


@pytest.mark.statement("security P-1 C15")
def test_c15_an_authorisation_is_for_the_person_or_for_the_structure(stage: Stage) -> None:
    id_ = stage.submit()
    consent = stage.authorise_structure()
    assert stage.found(stage.ps()) == stage.found(stage.ps(NURSE, profession="10")) == {id_}
    refused(stage.search(stage.ps(structure=samples.HOSPITAL)), 403, "authorisation-missing")
    stage.search(stage.ps())
    assert ("consent", f"Consent/{consent}") in stage.last.details


def team(stage: Stage, *, agreed: bool) -> None:
    members = [{"member": {"identifier": {"system": "urn:oid:1.2.250.1.71.4.2.1", "value": STRANGER}}}]
    made: dict[str, Any] = {
        "resourceType": "CareTeam",
        "status": "active",
        "subject": {"reference": f"Patient/{stage.id}"},
        "participant": members,
    }
    place = stage.admin.post("/CareTeam", made).json["id"]
    if agreed:
        role = samples.consent_actor("x")["role"]
        stage.consent("team-authorisation", actor=[{"role": role, "reference": {"reference": f"CareTeam/{place}"}}])


@pytest.mark.statement("security P-1 C16", "security P-29", "security P-30")
def test_c16_a_team_member_consults_once_the_patient_agreed_to_the_team(stage: Stage) -> None:
    id_ = stage.submit()
    team(stage, agreed=False)
    refused(stage.search(stage.ps()), 403, "authorisation-missing")
    team(stage, agreed=True)
    assert stage.found(stage.ps()) == {id_}


@pytest.mark.statement("security P-1 C17")
def test_c17_an_author_without_authorisation_reads_the_own_documents_and_no_search(stage: Stage) -> None:
    own = stage.submit()
    foreign = stage.submit(professional=STRANGER, structure=CLINIC, client=stage.ps())
    assert stage.author.get(f"/DocumentReference/{own}").status == 200
    assert stage.author.get(stage.content(own)).status == 200
    refused(stage.author.get(f"/DocumentReference/{foreign}"), 403, "authorisation-missing")
    refused(stage.search(stage.author), 403, "authorisation-missing")
    refused(stage.author.get(f"/Patient/{stage.id}"), 403, "authorisation-missing")


@pytest.mark.statement("security P-1 C17")
def test_c17_an_author_may_be_a_resource_of_the_directory(stage: Stage) -> None:
    system = "urn:oid:1.2.250.1.71.4.2.1"
    person = {"resourceType": "Practitioner", "identifier": [{"system": system, "value": STRANGER}]}
    practitioner = stage.admin.post("/Practitioner", person).json["id"]
    role = {"resourceType": "PractitionerRole", "practitioner": {"reference": f"Practitioner/{practitioner}"}}
    place = stage.admin.post("/PractitionerRole", role).json["id"]
    made = []
    for number, author in enumerate((f"Practitioner/{practitioner}", f"PractitionerRole/{place}")):
        document = {
            "resourceType": "DocumentReference",
            "id": f"written-{number}",
            "status": "current",
            "subject": {"reference": f"Patient/{stage.id}"},
            "author": [{"reference": author}],
            "type": {"coding": [{"system": samples.LOINC, "code": "11488-4"}]},
            "securityLabel": [{"coding": [{"system": samples.VISIBILITY, "code": "MASQUE_PS"}]}],
            "content": [{"attachment": {"contentType": "text/plain"}}],
        }
        assert stage.admin.put(f"/DocumentReference/written-{number}", document).status == 201
        made.append(document["id"])
    for id_ in made:
        assert stage.ps().get(f"/DocumentReference/{id_}").status == 200
        refused(stage.ps(NURSE).get(f"/DocumentReference/{id_}"), 404)
    stage.authorise()
    stage.authorise(NURSE)
    assert stage.found(stage.ps()) == set(made)
    assert stage.found(stage.ps(NURSE)) == set()


@pytest.mark.statement("security P-1 C18", "security P-27")
def test_c18_an_expired_authorisation_says_that_it_expired(stage: Stage) -> None:
    stage.authorise(start="2025-01-01", end="2026-01-01")
    refused(stage.search(stage.ps()), 403, "authorisation-expired", "autorisation-expiree")


@pytest.mark.statement("security P-1 C19", "security P-28")
def test_c19_without_authorisation_the_answer_is_403_and_no_empty_bundle(stage: Stage) -> None:
    for type_ in ("DocumentReference", "List", "Observation"):
        answer = stage.search(stage.ps(), type_)
        refused(answer, 403, "authorisation-missing", "non-autorise")
    refused(stage.ps().get(f"/Patient/{stage.id}/*"), 403, "authorisation-missing")


@pytest.mark.statement("security P-1 C20", "security P-1 C21", "security P-48")
def test_c20_c21_an_auditor_reads_the_trail_and_nothing_else(stage: Stage) -> None:
    id_ = stage.submit()
    events = stage.auditor.get("/AuditEvent?date=ge2026-01-01").entries
    assert events
    assert stage.auditor.get(f"/AuditEvent/{events[0]['id']}").status == 200
    refused(stage.search(stage.auditor), 403, "scope")
    wide = stage.world.as_(Caller(Actor.AUDITOR, "auditor", scopes=parse("user/*.rs")))
    refused(stage.search(wide), 403, "default-deny")
    refused(wide.get(f"/DocumentReference/{id_}"), 403, "default-deny")
    refused(wide.get(f"/Patient/{stage.id}"), 403, "default-deny")
    refused(stage.search(stage.ps(), "AuditEvent"), 403, "default-deny")


@pytest.mark.statement("security P-49")
def test_a_link_between_patients_gives_no_access(stage: Stage) -> None:
    stage.world.open(samples.BASILE)
    other = Stage(stage.world, samples.BASILE)
    patient = stage.admin.get(f"/Patient/{stage.id}").json
    link = [{"type": "seealso", "other": {"reference": f"Patient/{other.id}"}}]
    assert stage.admin.put(f"/Patient/{stage.id}", {**patient, "link": link}).status == 200
    stage.authorise()
    answer = stage.ps().get(f"/Patient?identifier={samples.INS}|{samples.ANOUK}&_include=Patient:link&_include=*")
    assert [each["resource"]["id"] for each in answer.json["entry"]] == [stage.id]
    refused(other.search(stage.ps()), 403, "authorisation-missing")


@pytest.mark.statement("security TH2")
def test_a_token_for_one_patient_reaches_no_other(stage: Stage) -> None:
    stage.world.open(samples.BASILE)
    other = Stage(stage.world, samples.BASILE)
    id_ = other.submit()
    other.authorise()
    stage.authorise()
    bound = stage.ps(scopes=parse("patient/*.rs"), patient=stage.id)
    assert stage.search(bound).status == 200
    refused(other.search(bound), 403, "default-deny")
    refused(bound.get(f"/DocumentReference/{id_}"), 404)
    refused(bound.get(f"/Patient/{other.id}/Observation"), 403)


@pytest.mark.statement("security P-1 C15")
def test_an_authorisation_for_another_purpose_opens_nothing(stage: Stage) -> None:
    actor = [samples.consent_actor(STRANGER)]
    stage.consent("ps-authorisation", actor=actor, purpose=[{"system": ACT_REASON, "code": "HRESCH"}])
    refused(stage.search(stage.ps()), 403, "authorisation-missing")


def test_the_samu_is_the_one_of_the_settings(stage: Stage) -> None:
    assert stage.world.services.access.regulation_centres == {SAMU}
