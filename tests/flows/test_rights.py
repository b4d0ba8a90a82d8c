"""$dmp-autoriser, $dmp-revoquer, $dmp-medecin-traitant. [dmp-fhir 3.8, 9.10]"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from fhir_dmp.identity.caller import Mode
from tests import samples
from tests.flows.acts import (
    PROFESSIONAL,
    STRUCTURE,
    by_ins,
    call,
    consents,
    done,
    identifier,
    motive,
    patient,
    stranger,
    trail,
)
from tests.flows.steps import Dossier, assert_refused, next_ins, nothing_stored
from tests.world import Client, World

DOCTOR = identifier(samples.DOCTOR)
OTHER = identifier(samples.OTHER_DOCTOR)
NURSE = identifier(samples.NURSE)
#: A doctor of the directory who never calls.
LISTED = "899700219001"


def nurse(world: World) -> Client:
    """A nurse of the clinic."""
    return world.doctor(samples.NURSE, samples.CLINIC, profession="60")


@pytest.fixture
def listed(world: World) -> str:
    """A doctor whom only the directory knows."""
    body = {
        "resourceType": "Practitioner",
        "id": "listed-doctor",
        "identifier": [{"system": PROFESSIONAL, "value": LISTED}],
        "qualification": [{"code": {"coding": [{"system": "urn:oid:1.2.250.1.71.1.2.7", "code": "10"}]}}],
    }
    assert world.admin.put("/Practitioner/listed-doctor", body).status in (200, 201)
    return LISTED


def doctors(dossier: Dossier) -> list[str]:
    """Return the médecins traitants, as Patient and Consents both tell them."""
    named = [each["identifier"]["value"] for each in patient(dossier).get("generalPractitioner", [])]
    actors = [each["provision"]["actor"][0]["reference"]["identifier"]["value"] for each in consents(dossier, "mt")]
    assert sorted(named) == sorted(actors)
    return sorted(named)


@pytest.mark.statement("dmp-fhir 9.10/188")
def test_an_authorisation_makes_the_search_succeed(world: World, dossier: Dossier) -> None:
    id_ = dossier.submit()
    assert_refused(dossier.search(stranger(world)), 403, "non-autorise")
    consent = done(call(stranger(world), dossier, "dmp-autoriser"))["consent"]
    assert dossier.found(stranger(world)) == [id_]
    assert consent["status"] == "active"
    assert [c["code"] for c in consent["category"][1]["coding"]] == ["ps-authorisation", "autorisation-acces"]
    assert consent["provision"]["period"] == {"start": "2026-06-12"}
    assert consent["provision"]["actor"][0]["reference"]["identifier"] == OTHER
    assert consent["performer"] == [{"identifier": OTHER}]
    assert consent["patient"]["identifier"] == identifier(dossier.ins, samples.INS)
    (event,) = trail(dossier, "TD0.3")
    assert (event["action"], event["outcome"]) == ("C", "0")
    listed = stranger(world).get("/Consent?actor.identifier=" + samples.OTHER_DOCTOR + "&category=autorisation-acces")
    assert consent["id"] in {each["id"] for each in listed.entries}


@pytest.mark.statement("dmp-fhir 9.10/188")
def test_a_professional_lists_the_dossiers_that_may_be_entered(world: World) -> None:
    """TD0.4."""
    me = "899700219209"
    mine, ended, blocked, foreign = (Dossier.open(world, next_ins()) for _ in range(4))
    client = world.doctor(me, samples.CLINIC)
    for dossier in (mine, ended, blocked):
        done(call(client, dossier, "dmp-autoriser"))
    done(call(stranger(world), foreign, "dmp-autoriser"))
    done(call(client, ended, "dmp-revoquer"))
    done(call(blocked.holder, blocked, "dmp-bloquer", professionnel=identifier(me)))
    for spelling in (f"{PROFESSIONAL}|{me}", f"https://rpps.esante.gouv.fr|{me[1:]}", me):
        query = f"/Consent?actor.identifier={spelling}&category=autorisation-acces&status=active"
        answer = client.get(query)
        assert answer.status == 200, answer.body
        assert [each["patient"]["identifier"]["value"] for each in answer.entries] == [mine.ins]
    others = client.get(f"/Consent?actor.identifier={PROFESSIONAL}|{samples.OTHER_DOCTOR}&category=autorisation-acces")
    assert others.status == 403 or others.entries == []


@pytest.mark.statement("dmp-fhir 9.10/188")
def test_a_patient_authorises_a_professional_or_a_structure_by_any_spelling(world: World, dossier: Dossier) -> None:
    id_ = dossier.submit()
    rpps = identifier(samples.OTHER_DOCTOR[1:], "https://rpps.esante.gouv.fr")
    done(call(dossier.holder, dossier, "dmp-autoriser", professionnel=rpps))
    assert dossier.found(stranger(world)) == [id_]
    done(by_ins(dossier.holder, dossier.ins, "dmp-revoquer", professionnel=OTHER))
    assert_refused(dossier.search(stranger(world)), 403, "non-autorise")
    finess = identifier(samples.CLINIC[1:], "https://finess.esante.gouv.fr")
    done(call(dossier.holder, dossier, "dmp-autoriser", structure=finess))
    assert dossier.found(stranger(world)) == [id_]
    done(call(stranger(world), dossier, "dmp-revoquer", structure=identifier(samples.CLINIC, STRUCTURE)))
    assert_refused(dossier.search(stranger(world)), 403, "non-autorise")


@pytest.mark.statement("dmp-fhir 9.10/188")
def test_a_professional_authorises_nobody_else(world: World, dossier: Dossier) -> None:
    with nothing_stored(world):
        for given in ({"professionnel": DOCTOR}, {"structure": identifier(samples.HOSPITAL, STRUCTURE)}):
            assert_refused(call(stranger(world), dossier, "dmp-autoriser", **given), 403, "consent-writer")
            assert_refused(call(stranger(world), dossier, "dmp-revoquer", **given), 403, "consent-writer")


@pytest.mark.statement("dmp-fhir 9.10/188")
def test_authorising_again_changes_nothing_and_another_end_replaces(world: World, dossier: Dossier) -> None:
    first = done(call(stranger(world), dossier, "dmp-autoriser"))["consent"]
    with nothing_stored(world):
        again = done(call(stranger(world), dossier, "dmp-autoriser"))
    assert again["consent"] == first
    assert again["outcome"]["issue"][0]["severity"] == "information"
    second = done(call(stranger(world), dossier, "dmp-autoriser", fin="2026-06-30"))["consent"]
    assert second["provision"]["period"] == {"start": "2026-06-12", "end": "2026-06-30"}
    assert [each["id"] for each in consents(dossier, "ps-authorisation")] == [second["id"]]


@pytest.mark.statement("dmp-fhir 9.10/188")
def test_an_authorisation_ends_on_its_last_day(world: World) -> None:
    dossier = Dossier.open(world, next_ins())
    done(call(stranger(world), dossier, "dmp-autoriser", fin="2026-06-12"))
    assert dossier.found(stranger(world)) == []
    before = world.clock.time_ms
    world.clock.time_ms += 24 * 3_600_000
    try:
        assert_refused(dossier.search(stranger(world)), 403, "autorisation-expiree")
    finally:
        world.clock.time_ms = before


@pytest.mark.statement("dmp-fhir 9.10/188")
def test_a_setting_gives_authorisations_a_length(world: World, make: Callable[..., World]) -> None:
    limited = make(DMP_ACCESS_AUTHORISATION_DEFAULT_DAYS="365")
    dossier = Dossier.open(limited, next_ins())
    consent = done(call(stranger(limited), dossier, "dmp-autoriser"))["consent"]
    assert consent["provision"]["period"] == {"start": "2026-06-12", "end": "2027-06-12"}


@pytest.mark.statement("dmp-fhir 9.10/188")
@pytest.mark.parametrize(
    ("given", "status", "code"),
    [
        ({"fin": "2026-06-11"}, 422, "value"),
        ({"fin": "2026"}, 422, "value"),
        ({"professionnel": identifier("x")}, 422, "value"),
        ({"professionnel": {"value": "899700218896"}}, 422, "value"),
        ({"professionnel": identifier(samples.CLINIC, STRUCTURE)}, 422, "value"),
        ({"professionnel": OTHER, "structure": identifier(samples.CLINIC, STRUCTURE)}, 422, "business-rule"),
        ({"structure": identifier(samples.CLINIC, STRUCTURE), "medecinTraitant": True}, 422, "business-rule"),
        ({"mode": "hors-ligne"}, 422, "code-invalid"),
        ({"mode": "bris-de-glace"}, 403, "btg-not-allowed"),
        ({"mode": "bris-de-glace", "motifBrisDeGlace": " "}, 403, "btg-not-allowed"),
        ({"mode": "bris-de-glace", "motifBrisDeGlace": "Inconscient"}, 422, "not-supported"),
        ({"duree": "toujours"}, 400, "invalid"),
    ],
)
def test_refused_authorisations_name_what_is_wrong(
    world: World, dossier: Dossier, given: dict[str, object], status: int, code: str
) -> None:
    with nothing_stored(world):
        assert_refused(call(stranger(world), dossier, "dmp-autoriser", **given), status, code)


@pytest.mark.statement("dmp-fhir 9.10/188")
def test_nobody_is_authorised_on_a_closed_dossier_or_named_by_a_patient_who_names_nobody(
    world: World, dossier: Dossier
) -> None:
    assert_refused(call(dossier.holder, dossier, "dmp-autoriser"), 422, "required")
    done(call(dossier.holder, dossier, "dmp-fermer", motif=motive()))
    for client in (stranger(world), dossier.holder, world.admin):
        assert_refused(call(client, dossier, "dmp-autoriser", professionnel=OTHER), 422, "dmp-ferme")


@pytest.mark.statement("dmp-fhir 9.10/189")
def test_revoking_makes_the_search_fail_again_and_removes_the_role(world: World, dossier: Dossier) -> None:
    done(call(stranger(world), dossier, "dmp-autoriser", medecinTraitant=True))
    assert doctors(dossier) == [samples.OTHER_DOCTOR]
    assert dossier.found(stranger(world)) == []
    consent = done(call(stranger(world), dossier, "dmp-revoquer"))["consent"]
    assert consent["status"] == "inactive"
    assert_refused(dossier.search(stranger(world)), 403, "non-autorise")
    assert doctors(dossier) == []
    with nothing_stored(world):
        assert done(call(stranger(world), dossier, "dmp-revoquer"))["consent"] == consent


@pytest.mark.statement("dmp-fhir 9.10/189")
def test_revoking_what_never_was_is_404(world: World, dossier: Dossier) -> None:
    assert_refused(call(stranger(world), dossier, "dmp-revoquer"), 404, "not-found")


@pytest.mark.statement("dmp-fhir 9.10/189")
def test_revoking_one_of_two_whom_a_consent_names_keeps_the_other(world: World, dossier: Dossier) -> None:
    actors = [samples.consent_actor(samples.OTHER_DOCTOR), samples.consent_actor(samples.NURSE)]
    id_ = world.consent(dossier.ins, "ps-authorisation", actor=actors)
    done(call(dossier.holder, dossier, "dmp-revoquer", professionnel=OTHER))
    assert_refused(dossier.search(stranger(world)), 403, "non-autorise")
    assert dossier.found(nurse(world)) == []
    assert [each["id"] for each in consents(dossier, "ps-authorisation")] == [id_]


@pytest.mark.statement("dmp-fhir 9.10/190")
def test_leaving_the_role_keeps_the_authorisation(world: World, dossier: Dossier) -> None:
    masked = dossier.submit(labels=((samples.VISIBILITY, "MASQUE_PS"), (samples.CONFIDENTIALITY, "N")))
    done(call(stranger(world), dossier, "dmp-autoriser"))
    assert dossier.found(stranger(world)) == []
    done(call(stranger(world), dossier, "dmp-medecin-traitant", professionnel=OTHER, action="ajouter"))
    assert dossier.found(stranger(world)) == [masked]
    done(call(stranger(world), dossier, "dmp-medecin-traitant", professionnel=OTHER, action="retirer"))
    assert doctors(dossier) == []
    assert dossier.found(stranger(world)) == []
    assert len(consents(dossier, "ps-authorisation")) == 1
    again = done(call(stranger(world), dossier, "dmp-medecin-traitant", professionnel=OTHER, action="retirer"))
    assert again["outcome"]["issue"][0]["severity"] == "information"


@pytest.mark.statement("dmp-fhir 9.10/191")
def test_only_a_doctor_becomes_medecin_traitant(world: World, dossier: Dossier) -> None:
    done(call(nurse(world), dossier, "dmp-autoriser"))
    with nothing_stored(world):
        answer = call(nurse(world), dossier, "dmp-medecin-traitant", professionnel=NURSE, action="ajouter")
        assert_refused(answer, 422, "business-rule", at="Parameters.parameter.where(name='professionnel')")
        assert_refused(call(nurse(world), dossier, "dmp-autoriser", medecinTraitant=True), 422, "business-rule")
        for unknown in (NURSE, identifier("899700219999")):
            refused = call(dossier.holder, dossier, "dmp-medecin-traitant", professionnel=unknown, action="ajouter")
            assert_refused(refused, 422, "business-rule")


@pytest.mark.statement("dmp-fhir 9.10/191")
def test_several_doctors_are_medecins_traitants_at_once(world: World, dossier: Dossier) -> None:
    for client, who in ((world.doctor(), DOCTOR), (stranger(world), OTHER)):
        done(call(client, dossier, "dmp-autoriser"))
        shown = done(call(client, dossier, "dmp-medecin-traitant", professionnel=who, action="ajouter"))["patient"]
        assert who in [each["identifier"] for each in shown["generalPractitioner"]]
    assert doctors(dossier) == sorted([samples.DOCTOR, samples.OTHER_DOCTOR])
    with nothing_stored(world):
        done(call(world.doctor(), dossier, "dmp-medecin-traitant", professionnel=DOCTOR, action="ajouter"))


@pytest.mark.statement("dmp-fhir 9.10/191")
def test_a_doctor_designates_a_colleague_who_authorised_himself(world: World, dossier: Dossier) -> None:
    sent = {"professionnel": OTHER, "action": "ajouter"}
    assert_refused(call(world.doctor(), dossier, "dmp-medecin-traitant", **sent), 403, "authorisation-missing")
    done(call(world.doctor(), dossier, "dmp-autoriser"))
    assert_refused(call(world.doctor(), dossier, "dmp-medecin-traitant", **sent), 422, "business-rule")
    done(call(stranger(world), dossier, "dmp-autoriser"))
    done(call(world.doctor(), dossier, "dmp-medecin-traitant", **sent))
    assert doctors(dossier) == [samples.OTHER_DOCTOR]
    sent["action"] = "retirer"
    assert_refused(call(world.doctor(), dossier, "dmp-medecin-traitant", **sent), 403, "consent-writer")


@pytest.mark.statement("dmp-fhir 9.10/191")
def test_a_doctor_without_authorisation_does_not_take_the_role(world: World, dossier: Dossier) -> None:
    answer = call(stranger(world), dossier, "dmp-medecin-traitant", professionnel=OTHER, action="ajouter")
    assert_refused(answer, 403, "authorisation-missing", "non-autorise")
    answer = call(nurse(world), dossier, "dmp-medecin-traitant", professionnel=OTHER, action="ajouter")
    assert_refused(answer, 403, "consent-writer")


@pytest.mark.statement("dmp-fhir 9.10/191")
def test_the_patient_designates_a_doctor_of_the_directory_who_may_then_consult(
    world: World, dossier: Dossier, listed: str
) -> None:
    sent = {"professionnel": identifier(listed), "action": "ajouter"}
    done(call(dossier.holder, dossier, "dmp-medecin-traitant", **sent))
    assert doctors(dossier) == [listed]
    assert len(consents(dossier, "ps-authorisation")) == 1
    done(call(dossier.holder, dossier, "dmp-medecin-traitant", professionnel=identifier(listed), action="retirer"))
    assert dossier.found(world.doctor(listed, samples.CLINIC)) == []


@pytest.mark.statement("dmp-fhir 9.10/191")
@pytest.mark.parametrize("given", [{"action": "ajouter"}, {"professionnel": OTHER}])
def test_a_designation_needs_a_professional_and_an_action(
    world: World, dossier: Dossier, given: dict[str, object]
) -> None:
    assert_refused(call(dossier.holder, dossier, "dmp-medecin-traitant", **given), 422, "required")


def test_an_unknown_action_is_refused(world: World, dossier: Dossier) -> None:
    answer = call(dossier.holder, dossier, "dmp-medecin-traitant", professionnel=OTHER, action="changer")
    assert_refused(answer, 422, "code-invalid")


@pytest.mark.statement("dmp-fhir 9.10/188")
def test_concurrent_calls_leave_one_authorisation_and_no_right_beside_a_block(world: World, dossier: Dossier) -> None:
    calls: list[tuple[str, dict[str, Any]]] = [("dmp-autoriser", {"fin": f"2026-07-{day:02d}"}) for day in range(1, 5)]
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda each: call(stranger(world), dossier, each[0], **each[1]), calls))
    assert {answer.status for answer in answers} <= {200, 409}
    assert len(consents(dossier, "ps-authorisation")) == 1
    blocking: list[tuple[Client, str, dict[str, Any]]] = [
        (dossier.holder, "dmp-bloquer", {"professionnel": OTHER}),
        (stranger(world), "dmp-autoriser", {}),
    ]
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda each: call(each[0], dossier, each[1], **each[2]), blocking))
    if consents(dossier, "block"):
        assert consents(dossier, "ps-authorisation") == []


@pytest.mark.statement("dmp-fhir 9.10/193")
def test_break_glass_needs_a_reason_and_is_audited_with_its_purpose(world: World, dossier: Dossier) -> None:
    id_ = dossier.submit()
    for reason in (None, "  "):
        silent = world.doctor(samples.OTHER_DOCTOR, samples.CLINIC, mode=Mode.BREAK_GLASS, reason=reason)
        assert_refused(dossier.search(silent), 403, "btg-not-allowed")
    urgent = world.doctor(samples.OTHER_DOCTOR, samples.CLINIC, mode=Mode.BREAK_GLASS, reason="Patient inconscient")
    assert dossier.found(urgent) == [id_]
    events = world.admin.get(f"/AuditEvent?patient=Patient/{dossier.id}&outcome=0&subtype=ITI-67").entries
    assert events[0]["purposeOfEvent"][0]["coding"][0]["code"] == "BTG"
    assert b"Patient inconscient" in world.admin.get(f"/AuditEvent/{events[0]['id']}").body
