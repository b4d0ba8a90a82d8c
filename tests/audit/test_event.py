"""AuditEvents: one golden event for the main kinds, the shape of every kind, and a second opinion on R4."""

from __future__ import annotations

import doctest
from base64 import b64decode
from dataclasses import replace
from typing import Any

import pytest
from fhir.resources.R4B.auditevent import AuditEvent

from fhir_dmp.audit import build, event
from fhir_dmp.audit.build import audit_record
from fhir_dmp.audit.event import Site, audit_event, tde_projection
from fhir_dmp.audit.kinds import EventKinds, event_kinds
from fhir_dmp.audit.record import AuditRecord
from fhir_dmp.definitions import read
from fhir_dmp.fhir.resource import Json
from fhir_dmp.identity.caller import Actor, Caller, Mode
from fhir_dmp.terminology.aliases import ACT_REASON, TRE_R248_ACCESS_MODE

BASE = "https://dmp-fhir.example/ig"
KINDS = event_kinds(read("audit/events.toml"), BASE)
SITE = Site("dmp.example", {"reference": "Device/dmp-server"})
DCM = "http://dicom.nema.org/resources/ontology/DCM"
INTERACTION = "http://hl7.org/fhir/restful-interaction"
REST = "http://terminology.hl7.org/CodeSystem/audit-event-type"
BALP = "https://profiles.ihe.net/ITI/BALP/StructureDefinition/IHE.BasicAudit."
ENTITY_TYPE = "http://terminology.hl7.org/CodeSystem/audit-entity-type"
ROLE = "http://terminology.hl7.org/CodeSystem/object-role"
PS_SYSTEM = "urn:oid:1.2.250.1.71.4.2.1"
PARTICIPATION = "http://terminology.hl7.org/CodeSystem/v3-ParticipationType"

MARTIN = Caller(
    Actor.PROFESSIONAL,
    "sub-1",
    client="lps-42",
    name="MARTIN Claire",
    professional="899700000001",
    roles=(("urn:oid:1.2.250.1.71.1.2.7", "10"),),
    jti="j-1",
    issuer="https://dmp.example/auth",
)


def record(kind: str, caller: Caller = MARTIN, **of: Any) -> AuditRecord:
    values: dict[str, Any] = {
        "id_": "e1",
        "recorded_ms": 1767261600120,
        "address": "192.0.2.7",
        "request_id": "req-1",
        "patient": "Patient/p1",
        **of,
    }
    return audit_record(caller, kind=kind, **values)


def told(kind: str, caller: Caller = MARTIN, **of: Any) -> Json:
    return audit_event(record(kind, caller, **of), KINDS, SITE)


@pytest.mark.statement("security L-1", "security L-9", "dmp-fhir 9.11/201")
def test_the_read_of_a_document_is_told_completely() -> None:
    assert told("iti-68", what=("DocumentReference/d1/_history/2",)) == {
        "resourceType": "AuditEvent",
        "id": "e1",
        "meta": {
            "versionId": "1",
            "lastUpdated": "2026-01-01T10:00:00.120Z",
            "profile": [f"{BALP}PatientRead"],
        },
        "type": {"system": REST, "code": "rest", "display": "RESTful Operation"},
        "subtype": [
            {"system": INTERACTION, "code": "read", "display": "read"},
            {"system": "urn:ihe:event-type-code", "code": "ITI-68", "display": "Retrieve Document"},
        ],
        "action": "R",
        "period": {"start": "2026-01-01T10:00:00.120Z", "end": "2026-01-01T10:00:00.120Z"},
        "recorded": "2026-01-01T10:00:00.120Z",
        "outcome": "0",
        "agent": [
            {
                "type": {"coding": [{"system": DCM, "code": "110152", "display": "Destination Role ID"}]},
                "who": {"identifier": {"value": "lps-42"}},
                "requestor": False,
                "network": {"address": "192.0.2.7", "type": "2"},
            },
            {
                "type": {"coding": [{"system": DCM, "code": "110153", "display": "Source Role ID"}]},
                "who": {"reference": "Device/dmp-server"},
                "requestor": False,
            },
            {
                "extension": [
                    {
                        "url": "https://profiles.ihe.net/ITI/BALP/StructureDefinition/ihe-otherId",
                        "valueIdentifier": {
                            "type": {
                                "coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "NPI"}]
                            },
                            "system": PS_SYSTEM,
                            "value": "899700000001",
                        },
                    }
                ],
                "type": {"coding": [{"system": PARTICIPATION, "code": "IRCP", "display": "information recipient"}]},
                "role": [{"coding": [{"system": "urn:oid:1.2.250.1.71.1.2.7", "code": "10"}]}],
                "who": {"identifier": {"system": "https://dmp.example/auth", "value": "sub-1"}},
                "altId": "899700000001",
                "name": "MARTIN Claire",
                "requestor": True,
                "policy": ["urn:ietf:params:oauth:jti:j-1"],
                "purposeOfUse": [
                    {"coding": [{"system": ACT_REASON, "code": "TREAT"}]},
                    {"coding": [{"system": TRE_R248_ACCESS_MODE, "code": "normal"}]},
                ],
            },
        ],
        "source": {
            "site": "dmp.example",
            "observer": {"reference": "Device/dmp-server"},
            "type": [{"system": event.SOURCE_TYPE, "code": "4", "display": "Application Server"}],
        },
        "entity": [
            {
                "what": {"reference": "DocumentReference/d1/_history/2"},
                "type": {"system": ENTITY_TYPE, "code": "2", "display": "System Object"},
                "role": {"system": ROLE, "code": "3", "display": "Report"},
            },
            {
                "what": {"reference": "Patient/p1"},
                "type": {"system": ENTITY_TYPE, "code": "1", "display": "Person"},
                "role": {"system": ROLE, "code": "1", "display": "Patient"},
            },
            {"what": {"identifier": {"value": "req-1"}}, "type": event.REQUEST_ID},
        ],
    }


def codes(found: Json) -> tuple[str, list[str], str]:
    return found["type"]["code"], [part["code"] for part in found["subtype"]], found["action"]


def sides(found: Json) -> list[str]:
    return [agent["type"]["coding"][0]["code"] for agent in found["agent"]]


@pytest.mark.statement("security L-1", "security L-2", "dmp-fhir 9.11/202")
@pytest.mark.parametrize(
    ("kind", "expected", "agents", "profile"),
    [
        ("read", ("rest", ["read"], "R"), ["110152", "110153", "IRCP"], "PatientRead"),
        ("vread", ("rest", ["vread"], "R"), ["110152", "110153", "IRCP"], "PatientRead"),
        ("history", ("rest", ["vread", "history-instance"], "R"), ["110152", "110153", "IRCP"], "PatientRead"),
        ("search-type", ("rest", ["search-type"], "E"), ["110153", "110152", "IRCP"], "PatientQuery"),
        ("search-type#TD0.2", ("rest", ["search-type", "TD0.2"], "E"), ["110153", "110152", "IRCP"], "PatientQuery"),
        ("search-system", ("rest", ["search-system"], "E"), ["110153", "110152", "IRCP"], "PatientQuery"),
        ("create", ("rest", ["create"], "C"), ["110153", "110152", "AUT"], "PatientCreate"),
        ("update", ("rest", ["update"], "U"), ["110153", "110152", "AUT"], "PatientUpdate"),
        ("patch", ("rest", ["patch"], "U"), ["110153", "110152", "AUT"], "PatientUpdate"),
        ("patch#TD3.3a", ("rest", ["patch", "TD3.3a"], "U"), ["110153", "110152", "AUT"], "PatientUpdate"),
        ("delete", ("rest", ["delete"], "D"), ["110150", "custodian", "AUT"], "PatientDelete"),
        ("transaction", ("rest", ["transaction"], "E"), ["110153", "110152", "AUT"], None),
        ("batch", ("rest", ["batch"], "E"), ["110153", "110152", "AUT"], None),
        ("iti-65", ("110107", ["ITI-65"], "C"), ["110153", "110152", "IRCP"], None),
        ("iti-105", ("rest", ["create", "ITI-105"], "C"), ["110153", "110152", "AUT"], "PatientCreate"),
        ("iti-66", ("rest", ["search-type", "ITI-66"], "E"), ["110153", "110152", "IRCP"], "PatientQuery"),
        ("iti-67", ("rest", ["search-type", "ITI-67"], "E"), ["110153", "110152", "IRCP"], "PatientQuery"),
        ("iti-68", ("rest", ["read", "ITI-68"], "R"), ["110152", "110153", "IRCP"], "PatientRead"),
        ("operation#TD1.1", ("rest", ["operation", "TD1.1"], "E"), ["110153", "110152", "IRCP"], None),
        ("operation-create", ("rest", ["operation"], "C"), ["110153", "110152", "AUT"], None),
        ("operation-update#TD1.4", ("rest", ["operation", "TD1.4"], "U"), ["110153", "110152", "AUT"], None),
        ("access-refused", ("110113", ["AuthZ-Consent"], "E"), ["110150", "110152", "IRCP"], None),
        ("break-glass-opened", ("110113", ["110127"], "E"), ["110150", "110152", "IRCP"], None),
        ("login-failure", ("110114", ["110122"], "E"), ["110150", "110152", "IRCP"], None),
        ("token", ("110114", ["ITI-71"], "E"), ["110150", "110152", "IRCP"], None),
        ("import", ("110107", ["import"], "C"), ["110153", "110152", "AUT"], None),
        ("export", ("110106", ["disclose"], "R"), ["110152", "110153", "IRCP"], None),
        ("audit-read", ("110101", ["search-type"], "R"), ["110153", "110152", "IRCP"], None),
        ("no-such-kind", ("rest", ["operation"], "E"), ["110153", "110152", "IRCP"], None),
    ],
)
def test_each_kind_has_its_codes_its_sides_and_its_profile(
    kind: str, expected: object, agents: list[str], profile: str | None
) -> None:
    found = told(kind, what=("DocumentReference/d1/_history/1",), query="GET /fhir/x")
    assert codes(found) == expected
    assert sides(found) == agents
    assert found["meta"].get("profile") == ([BALP + profile] if profile else None)


@pytest.mark.parametrize("kind", sorted(KINDS.kinds))
@pytest.mark.parametrize("outcome", ["0", "8"])
def test_every_kind_is_valid_fhir(kind: str, outcome: str) -> None:
    found = told(
        kind,
        what=("List/l1/_history/1", "DocumentReference/d1/_history/1"),
        query="GET /fhir/List?patient=p1",
        outcome=outcome,
        reason="blocked" if outcome == "8" else None,
        details=(("labels-before", "N"), ("labels-after", "MASQUE_PS N")),
    )
    assert AuditEvent.model_validate(found).id == "e1"


def test_the_patient_form_of_a_profile_is_claimed_only_when_a_patient_is_known() -> None:
    assert told("read", patient=None, what=("Device/d/_history/1",))["meta"]["profile"] == [f"{BALP}Read"]
    assert "profile" not in told("read")["meta"]
    assert "profile" not in told("search-type")["meta"]


@pytest.mark.statement("security L-3", "dmp-fhir 9.11/203")
def test_a_query_keeps_the_raw_request_in_base64() -> None:
    raw = "POST /fhir/DocumentReference/_search\npatient.identifier=urn:oid:1.2.250.1.213.1.4.8|2850475&note=é"
    entity = told("iti-67", query=raw)["entity"][0]
    assert b64decode(entity["query"]).decode() == raw
    assert entity["role"]["code"] == "24"
    assert "what" not in entity


@pytest.mark.statement("security L-5")
def test_a_refused_call_is_told_with_outcome_and_reason() -> None:
    found = told("iti-67", outcome="8", reason="authorisation-missing", query="GET /fhir/DocumentReference")
    assert (found["outcome"], found["outcomeDesc"]) == ("8", "authorisation-missing")
    assert found["entity"][-1] == {
        "type": {"system": "http://hl7.org/fhir/resource-types", "code": "OperationOutcome"},
        "detail": [{"type": "code", "valueString": "authorisation-missing"}],
    }


@pytest.mark.statement("security L-6", "dmp-fhir 9.10/193")
@pytest.mark.parametrize(("mode", "reason"), [(Mode.BREAK_GLASS, "BTG"), (Mode.REGULATION, "ETREAT")])
def test_an_emergency_is_told_as_purpose_of_the_event_with_its_motive(mode: Mode, reason: str) -> None:
    found = told("read", replace(MARTIN, mode=mode, reason="patient inconscient"), what=("DocumentReference/d1",))
    assert found["purposeOfEvent"] == [{"coding": [{"system": ACT_REASON, "code": reason}]}]
    used = [purpose["coding"][0]["code"] for purpose in found["agent"][2]["purposeOfUse"]]
    assert used == [reason, mode.value]
    assert found["entity"][1]["detail"] == [{"type": "reason", "valueString": "patient inconscient"}]


def test_the_submission_set_is_the_job_and_labels_before_and_after_are_details() -> None:
    found = told("iti-65", what=("List/l1/_history/1", "DocumentReference/d1/_history/1", "Binary/b1/_history/1"))
    assert [entity["role"]["code"] for entity in found["entity"][:4]] == ["20", "3", "3", "1"]
    labels = (("labels-before", "N"), ("labels-after", "MASQUE_PS N"))
    changed = told("patch#TD3.3a", what=("DocumentReference/d1/_history/2",), details=labels)
    assert [part["type"] for part in changed["entity"][0]["detail"]] == ["labels-before", "labels-after"]
    assert changed["subtype"][1] == {"system": BASE, "code": "TD3.3a"}


@pytest.mark.parametrize(
    ("caller", "who", "kind", "purpose"),
    [
        (
            Caller(Actor.PATIENT, "sub-p", patient="p1"),
            {"reference": "Patient/p1", "identifier": {"value": "sub-p"}},
            "INF",
            ["PATRQT"],
        ),
        (Caller(Actor.REPRESENTATIVE, "sub-r", patient="p1"), {"identifier": {"value": "sub-r"}}, "INF", ["PATRQT"]),
        (
            Caller(Actor.STRUCTURE, "", structure="1750100125"),
            {"identifier": {"system": "urn:oid:1.2.250.1.71.4.2.2", "value": "1750100125"}},
            "CST",
            ["TREAT", "normal"],
        ),
        (Caller(Actor.ADMIN, "operator"), {"identifier": {"value": "operator"}}, "CST", ["HSYSADMIN"]),
        (Caller(Actor.FEEDER, "am"), {"identifier": {"value": "am"}}, "CST", ["HPAYMT"]),
    ],
)
def test_each_actor_is_told_as_such(caller: Caller, who: Json, kind: str, purpose: list[str]) -> None:
    user = told("create", caller, what=("DocumentReference/d1",))["agent"][2]
    assert user["who"] == who
    assert user["type"]["coding"][0]["code"] == kind
    assert [part["coding"][0]["code"] for part in user["purposeOfUse"]] == purpose


def test_the_structure_of_a_professional_is_an_agent_of_its_own() -> None:
    found = told("read", replace(MARTIN, structure="1750100125"), what=("DocumentReference/d1",))
    assert found["agent"][3] == {
        "type": {"coding": [{"system": event.ROLE_CLASS, "code": "PROV"}]},
        "who": {"identifier": {"system": "urn:oid:1.2.250.1.71.4.2.2", "value": "1750100125"}},
        "requestor": False,
    }


def test_the_motive_of_an_emergency_is_kept_even_when_no_patient_is_known() -> None:
    caller = replace(MARTIN, mode=Mode.BREAK_GLASS, reason="appel")
    found = told("break-glass-opened", caller, patient=None)
    assert found["entity"][0]["detail"] == [{"type": "reason", "valueString": "appel"}]
    nobody = AuditRecord(id="e", kind="read", recorded_ms=0, structure="1750100125")
    assert audit_event(nobody, KINDS, SITE)["agent"][2]["altId"] == "1750100125"


def test_a_failed_login_without_known_user_names_client_and_server_only() -> None:
    found = audit_event(AuditRecord(id="e", kind="login-failure", recorded_ms=0, outcome="8"), KINDS, SITE)
    assert sides(found) == ["110150", "110152"]
    assert "entity" not in found


def test_an_event_posted_by_a_feeder_comes_back_as_it_came_under_our_id() -> None:
    posted = b'{"resourceType":"AuditEvent","id":"x","meta":{"profile":["p"]},"recorded":"2025-01-01T00:00:00Z"}'
    found = audit_event(record("create", given=posted), KINDS, SITE)
    assert found["id"] == "e1"
    assert found["recorded"] == "2025-01-01T00:00:00Z"
    assert found["meta"] == {"profile": ["p"], "versionId": "1", "lastUpdated": "2026-01-01T10:00:00.120Z"}


@pytest.mark.statement("security L-17")
def test_the_french_projection_has_at_most_two_agents_and_one_subtype() -> None:
    found = tde_projection(told("iti-68", what=("DocumentReference/d1",)))
    assert sides(found) == ["IRCP", "110153"]
    assert [part["code"] for part in found["subtype"]] == ["read"]
    assert found["meta"]["profile"] == [event.TDE_PROFILE]
    anonymous = AuditRecord(id="e", kind="read", recorded_ms=0)
    assert sides(tde_projection(audit_event(anonymous, KINDS, SITE))) == ["110152", "110153"]
    assert AuditEvent.model_validate(found).id == "e1"


def test_the_table_names_every_system_and_follows_the_canonical_base() -> None:
    other: EventKinds = event_kinds(read("audit/events.toml"), "https://example.org/ig")
    assert other.transactions == "https://example.org/ig"
    assert other.get("token-revoked").subtypes[0]["system"] == "https://example.org/ig/CodeSystem/dmp-audit"


@pytest.mark.parametrize("module", [event, build])
def test_the_examples_in_the_documentation_hold(module: Any) -> None:
    assert doctest.testmod(module).failed == 0
