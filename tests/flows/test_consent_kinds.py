"""Each kind of Consent written as FHIR: accepted, refused, and what several together mean. [security 5]"""

from __future__ import annotations

from typing import Any

import pytest

from fhir_dmp.identity.caller import Actor, Caller, Mode
from tests import samples
from tests.flows.acts import call, consents, done, identifier
from tests.flows.steps import Dossier, assert_refused
from tests.samples import Json
from tests.world import Client, World

PCF = "https://profiles.ihe.net/ITI/PCF/StructureDefinition/IHE.PCF.consent"
#: The spelling of the kinds that the guides for implementers use.
KINDS = "https://dmp.example/fhir/CodeSystem/dmp-consent-kind"
PEOPLE, STRUCTURES = "urn:oid:1.2.250.1.71.4.2.1", "urn:oid:1.2.250.1.71.4.2.2"
ACT_REASON = "http://terminology.hl7.org/CodeSystem/v3-ActReason"
STRANGER = samples.OTHER_DOCTOR


def purposes(*codes: str) -> list[Json]:
    """Return purposes of use."""
    return [{"system": ACT_REASON, "code": code} for code in codes]


def made(world: World, type_: str, **more: Any) -> str:
    """Store a resource as the operator and return its reference."""
    answer = world.admin.post(f"/{type_}", {"resourceType": type_, **more})
    assert answer.status == 201, answer.body
    return f"{type_}/{answer.json['id']}"


def actor(reference: str) -> list[Json]:
    """Return an actor by literal reference."""
    return [{"role": samples.consent_actor("x")["role"], "reference": {"reference": reference}}]


def consent(dossier: Dossier, kind: str, *, level: str = "Basic", deny: bool = False, **provision: Any) -> Json:
    """Return a Consent as the guides write it: PCF profile, proof, policy, the kind under the guides' system."""
    found = samples.consent(dossier.id, kind, deny=deny, **provision)
    found["meta"] = {"profile": [PCF + level]}
    found["category"][1]["coding"][0]["system"] = KINDS
    found["organization"] = [{"reference": made(dossier.world, "Organization", name="Opérateur")}]
    found["policy"] = [{"uri": "https://dmp.example/policies/dmp-default-2025"}]
    return found


def stranger(world: World, **more: Any) -> Client:
    """A doctor who wrote nothing here."""
    return world.doctor(STRANGER, samples.CLINIC, **more)


@pytest.mark.statement("security C-1", "security C-12")
def test_each_kind_is_accepted_as_the_guides_write_it(world: World, dossier: Dossier) -> None:
    person = made(world, "Practitioner", identifier=[{"system": PEOPLE, "value": STRANGER}])
    clinic = made(world, "Organization", identifier=[{"system": STRUCTURES, "value": samples.CLINIC}])
    patient = {"reference": f"Patient/{dossier.id}"}
    relative = made(world, "RelatedPerson", patient=patient)
    team = made(world, "CareTeam", status="active", subject=patient, participant=[{"member": {"reference": person}}])
    year = {"start": "2026-01-02", "end": "2026-12-31"}
    nested = [{"type": "deny", "purpose": purposes("ETREAT")}]
    kinds = [
        consent(dossier, "dmp-opening", purpose=purposes("TREAT")),
        consent(dossier, "ps-authorisation", actor=actor(person), period=year, purpose=purposes("TREAT")),
        consent(dossier, "ps-authorisation", actor=actor(clinic), period=year, purpose=purposes("TREAT")),
        consent(dossier, "team-authorisation", actor=actor(team), purpose=purposes("TREAT")),
        consent(dossier, "block", deny=True, actor=actor(clinic)),
        consent(dossier, "mt", actor=actor(person)),
        consent(dossier, "emergency", level="Intermediate", purpose=purposes("BTG", "ETREAT"), provision=nested),
        consent(dossier, "delegation", actor=actor(relative), period=year),
        consent(dossier, "feeding-opposition", deny=True, actor=actor(clinic)),
        consent(dossier, "feeding-opposition", deny=True),
        consent(dossier, "info-team", actor=actor(team)),
    ]
    for each in kinds:
        answer = dossier.holder.post("/Consent", each)
        assert answer.status == 201, (each["category"], answer.body)
        stored = dossier.holder.get(f"/Consent/{answer.json['id']}").json
        assert stored["meta"]["profile"] == each["meta"]["profile"]
        assert {name: stored[name] for name in each if name != "meta"} == {n: each[n] for n in each if n != "meta"}
    grant = consent(dossier, "app-grant", actor=actor(made(world, "Device")), purpose=purposes("PATRQT"))
    assert_refused(dossier.holder.post("/Consent", grant), 403, "consent-writer")  # that is the consent page's
    assert world.admin.post("/Consent", grant).status == 201


@pytest.mark.statement("security C-12")
def test_a_consent_that_claims_the_profile_brings_proof_and_organisation(dossier: Dossier) -> None:
    whole = consent(dossier, "emergency", deny=True, purpose=purposes("BTG"))
    for name, place in (("sourceAttachment", "Consent.source"), ("organization", "Consent.organization")):
        answer = dossier.holder.post("/Consent", {key: value for key, value in whole.items() if key != name})
        assert_refused(answer, 422, "required", at=place)


@pytest.mark.statement("security C-12")
def test_what_the_operations_write_claims_the_profile(dossier: Dossier) -> None:
    done(call(dossier.holder, dossier, "dmp-autoriser", professionnel=identifier(STRANGER)))
    done(call(dossier.holder, dossier, "dmp-opposition", nature="bris-de-glace", valeur=True))
    for kind in ("dmp-opening", "ps-authorisation", "emergency"):
        (stored,) = consents(dossier, kind)
        assert stored["meta"]["profile"][0].startswith(PCF)


@pytest.mark.statement("security C-14")
def test_a_third_level_of_provisions_is_422(dossier: Dossier) -> None:
    deep = [{"type": "permit", "provision": [{"type": "deny"}]}]
    answer = dossier.holder.post("/Consent", consent(dossier, "emergency", purpose=purposes("BTG"), provision=deep))
    assert_refused(answer, 422, "not-supported", at="Consent.provision.provision[0].provision")


@pytest.mark.statement("security C-2")
@pytest.mark.parametrize(
    ("period", "status"),
    [
        ({"start": "2026-01-01", "end": "2026-12-31"}, 200),
        ({"start": "2026-06-12"}, 200),
        ({"end": "2026-06-12"}, 200),
        ({"start": "2026-06-13"}, 403),
        ({"end": "2026-06-11"}, 403),
    ],
)
def test_an_authorisation_counts_in_its_period_only(
    world: World, dossier: Dossier, period: dict[str, str], status: int
) -> None:
    """The clock of these tests stands at 12 June 2026; a date covers its whole day."""
    dossier.submit()
    asked = consent(dossier, "ps-authorisation", actor=[samples.consent_actor(STRANGER)], period=period)
    assert dossier.holder.post("/Consent", asked).status == 201
    assert dossier.search(stranger(world)).status == status


@pytest.mark.statement("security C-3")
def test_a_refusal_beats_a_permission(world: World, dossier: Dossier) -> None:
    id_ = dossier.submit()
    patient = {"reference": f"Patient/{dossier.id}"}
    member = {"identifier": {"system": PEOPLE, "value": STRANGER}}
    team = made(world, "CareTeam", status="active", subject=patient, participant=[{"member": member}])
    assert dossier.holder.post("/Consent", consent(dossier, "team-authorisation", actor=actor(team))).status == 201
    assert dossier.found(stranger(world)) == [id_]
    told = dossier.holder.post("/Consent", consent(dossier, "team-authorisation", deny=True, actor=actor(team)))
    assert_refused(dossier.search(stranger(world)), 403, "authorisation-missing")
    ended = {**told.json, "status": "inactive"}
    assert dossier.holder.put(f"/Consent/{told.json['id']}", ended, If_Match='W/"1"').status == 200
    dossier.authorise(STRANGER)
    assert dossier.found(stranger(world)) == [id_]
    structure = [samples.consent_actor(samples.CLINIC, STRUCTURES)]
    assert dossier.holder.post("/Consent", consent(dossier, "block", deny=True, actor=structure)).status == 201
    assert_refused(dossier.search(stranger(world)), 403, "blocked")


@pytest.mark.statement("security C-4")
def test_of_two_permissions_the_one_that_names_the_person_counts(world: World, dossier: Dossier) -> None:
    """Both open the record; the trail names the Consent that the access rests on."""
    dossier.submit()
    structure = [samples.consent_actor(samples.CLINIC, STRUCTURES)]
    of_clinic = dossier.holder.post("/Consent", consent(dossier, "ps-authorisation", actor=structure)).json["id"]
    grounds = [_ground(world, dossier)]
    of_person = dossier.holder.post(
        "/Consent", consent(dossier, "ps-authorisation", actor=[samples.consent_actor(STRANGER)])
    ).json["id"]
    grounds.append(_ground(world, dossier))
    assert grounds == [f"Consent/{of_clinic}", f"Consent/{of_person}"]


def _ground(world: World, dossier: Dossier) -> str:
    """Search as the stranger and return the Consent that the audit event names."""
    assert dossier.search(stranger(world)).status == 200
    auditor = world.as_(Caller(Actor.AUDITOR, "auditor", client="audit"))
    event = auditor.get(f"/AuditEvent?patient=Patient/{dossier.id}&_count=1").entries[0]
    details = [d for entity in event["entity"] for d in entity.get("detail", [])]
    return next(str(d["valueString"]) for d in details if d["type"] == "consent")


@pytest.mark.statement("security C-7", "security P-4")
def test_each_emergency_mode_is_refused_by_itself_in_one_consent(world: World, dossier: Dossier) -> None:
    """Permitted at large, with the regulation centre nested as an exception: break-glass goes on."""
    id_ = dossier.submit()
    nested = [{"type": "deny", "purpose": purposes("ETREAT")}]
    written = consent(dossier, "emergency", level="Intermediate", purpose=purposes("BTG", "ETREAT"), provision=nested)
    stored = dossier.holder.post("/Consent", written).json
    urgent = stranger(world, mode=Mode.BREAK_GLASS, reason="Patient inconscient")
    assert dossier.found(urgent) == [id_]
    nested[0]["purpose"] = purposes("BTG")
    changed = {**stored, "provision": {**stored["provision"], "provision": nested}}
    assert dossier.holder.put(f"/Consent/{stored['id']}", changed, If_Match='W/"1"').status == 200
    assert_refused(dossier.search(urgent), 403, "emergency-refused")
