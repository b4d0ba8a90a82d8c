"""$dmp-bloquer, $dmp-debloquer, $dmp-opposition, $dmp-verifier-acces. [dmp-fhir 3.1, 3.8, 9.10]"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from fhir_dmp.identity.caller import Actor, Mode
from tests import samples
from tests.flows.acts import (
    HISTORICAL,
    STRUCTURE,
    by_ins,
    call,
    consents,
    done,
    identifier,
    motive,
    stranger,
    trail,
)
from tests.flows.steps import Dossier, assert_refused, next_content, next_ins, next_oid, nothing_stored
from tests.world import Client, World

DOCTOR = identifier(samples.DOCTOR)
OTHER = identifier(samples.OTHER_DOCTOR)
CENTRE = "1750100133"


def urgent(world: World) -> Client:
    """The other doctor, breaking the glass."""
    return world.doctor(samples.OTHER_DOCTOR, samples.CLINIC, mode=Mode.BREAK_GLASS, reason="Patient inconscient")


def regulator(world: World) -> Client:
    """A doctor of a regulation centre."""
    return world.doctor(samples.OTHER_DOCTOR, CENTRE, mode=Mode.REGULATION, regulator=True)


@pytest.fixture
def centre(world: World, make: Callable[..., World]) -> World:
    """A server that knows a regulation centre."""
    return make(DMP_ACCESS_REGULATION_CENTRES=CENTRE)


@pytest.mark.statement("dmp-fhir 9.10/192")
def test_a_block_refuses_every_mode_and_ends_the_authorisation(world: World, dossier: Dossier) -> None:
    id_ = dossier.submit()
    done(call(stranger(world), dossier, "dmp-autoriser"))
    assert dossier.found(stranger(world)) == [id_]
    consent = done(call(dossier.holder, dossier, "dmp-bloquer", professionnel=OTHER, raison="Mésentente"))["consent"]
    assert (consent["status"], consent["provision"]["type"]) == ("active", "deny")
    assert [c["code"] for c in consent["category"][1]["coding"]] == ["block", "blocage"]
    assert b"sentente" not in str(consent).encode()
    for client in (stranger(world), urgent(world)):
        assert_refused(dossier.search(client), 403, "professionnel-bloque", "blocked")
        assert_refused(client.get(f"/DocumentReference/{id_}"), 403, "professionnel-bloque")
        assert_refused(client.get(dossier.path(id_)), 403, "professionnel-bloque")
    assert consents(dossier, "ps-authorisation") == []
    (event,) = trail(dossier, "TD1.6")
    assert b"sentente" in world.admin.get(f"/AuditEvent/{event['id']}").body
    calls: dict[str, dict[str, Any]] = {
        "dmp-autoriser": {},
        "dmp-fermer": {"motif": motive()},
        "dmp-opposition": {"nature": "alimentation", "valeur": True},
    }
    for operation, given in calls.items():
        assert_refused(call(stranger(world), dossier, operation, **given), 403, "professionnel-bloque")
    assert_refused(call(dossier.holder, dossier, "dmp-autoriser", professionnel=OTHER), 403, "professionnel-bloque")
    assert_refused(
        world.doctor(samples.OTHER_DOCTOR).post("/Patient/$dmp-ouvrir", samples.opening(samples.patient(dossier.ins))),
        403,
        "professionnel-bloque",
    )


@pytest.mark.statement("dmp-fhir 9.10/192")
def test_a_block_refuses_the_regulation_centre_too(centre: World) -> None:
    dossier = Dossier.open(centre, next_ins())
    assert dossier.found(regulator(centre)) == []
    done(call(dossier.holder, dossier, "dmp-bloquer", professionnel=OTHER))
    assert_refused(dossier.search(regulator(centre)), 403, "professionnel-bloque")


@pytest.mark.statement("dmp-fhir 9.10/192")
def test_a_block_outlives_closing_and_reopening_and_lifting_it_revives_nothing(world: World, dossier: Dossier) -> None:
    done(call(stranger(world), dossier, "dmp-autoriser"))
    done(call(dossier.holder, dossier, "dmp-bloquer", professionnel=OTHER))
    done(call(dossier.holder, dossier, "dmp-fermer", motif=motive()))
    assert_refused(call(dossier.holder, dossier, "dmp-debloquer", professionnel=OTHER), 422, "dmp-ferme")
    assert_refused(call(stranger(world), dossier, "dmp-reactiver", consentement=True), 403, "professionnel-bloque")
    done(call(dossier.holder, dossier, "dmp-reactiver", consentement=True))
    assert_refused(dossier.search(stranger(world)), 403, "professionnel-bloque")
    assert_refused(dossier.search(urgent(world)), 403, "professionnel-bloque")
    lifted = done(call(dossier.holder, dossier, "dmp-debloquer", professionnel=OTHER))["consent"]
    assert lifted["status"] == "inactive"
    assert_refused(dossier.search(stranger(world)), 403, "non-autorise")
    assert dossier.found(urgent(world)) == []
    with nothing_stored(world):
        assert done(call(dossier.holder, dossier, "dmp-debloquer", professionnel=OTHER))["consent"] == lifted


@pytest.mark.statement("dmp-fhir 9.10/192")
def test_blocking_twice_is_one_block_and_lifting_none_is_404(world: World, dossier: Dossier) -> None:
    first = done(call(dossier.holder, dossier, "dmp-bloquer", professionnel=OTHER))["consent"]
    with nothing_stored(world):
        assert done(by_ins(dossier.holder, dossier.ins, "dmp-bloquer", professionnel=OTHER))["consent"] == first
    assert_refused(call(dossier.holder, dossier, "dmp-debloquer", professionnel=DOCTOR), 404, "not-found")
    assert_refused(call(dossier.holder, dossier, "dmp-bloquer"), 422, "required")


@pytest.mark.statement("dmp-fhir 9.10/192")
def test_the_medecin_traitant_cannot_be_blocked_until_the_role_is_removed(world: World, dossier: Dossier) -> None:
    done(call(stranger(world), dossier, "dmp-autoriser", medecinTraitant=True))
    with nothing_stored(world):
        refused = call(dossier.holder, dossier, "dmp-bloquer", professionnel=OTHER)
        assert_refused(refused, 409, "mt-cannot-be-blocked")
        assert_refused(call(stranger(world), dossier, "dmp-bloquer", professionnel=OTHER), 422, "business-rule")
    done(call(dossier.holder, dossier, "dmp-medecin-traitant", professionnel=OTHER, action="retirer"))
    done(call(dossier.holder, dossier, "dmp-bloquer", professionnel=OTHER))
    assert_refused(dossier.search(stranger(world)), 403, "professionnel-bloque")


@pytest.mark.statement("dmp-fhir 9.10/192")
def test_the_medecin_traitant_blocks_at_the_patients_request_and_no_other_professional(
    world: World, dossier: Dossier
) -> None:
    done(call(world.doctor(), dossier, "dmp-autoriser"))
    assert_refused(call(world.doctor(), dossier, "dmp-bloquer", professionnel=OTHER), 403, "consent-writer")
    done(call(world.doctor(), dossier, "dmp-medecin-traitant", professionnel=DOCTOR, action="ajouter"))
    done(call(world.doctor(), dossier, "dmp-bloquer", professionnel=OTHER))
    assert_refused(dossier.search(stranger(world)), 403, "professionnel-bloque")
    done(call(world.doctor(), dossier, "dmp-debloquer", professionnel=OTHER))


@pytest.mark.statement("dmp-fhir 9.10/194")
@pytest.mark.parametrize("nature", ["bris-de-glace", "OPPOSITION_BRIS_DE_GLACE", "opposition-bris-de-glace"])
def test_the_opposition_to_break_glass_makes_it_fail(world: World, dossier: Dossier, nature: str) -> None:
    assert dossier.found(urgent(world)) == []
    consent = done(call(dossier.holder, dossier, "dmp-opposition", nature=nature, valeur=True))["consent"]
    codes = [c["code"] for c in consent["category"][1]["coding"]]
    assert codes == ["emergency", "opposition-bris-de-glace", "OPPOSITION_BRIS_DE_GLACE"]
    assert_refused(dossier.search(urgent(world)), 403, "emergency-refused")
    with nothing_stored(world):
        again = done(call(dossier.holder, dossier, "dmp-opposition", nature="bris-de-glace", valeur=True))
        assert again["consent"] == consent
    lifted = done(call(dossier.holder, dossier, "dmp-opposition", nature=nature, valeur=False))["consent"]
    assert (lifted["id"], lifted["status"]) == (consent["id"], "inactive")
    assert dossier.found(urgent(world)) == []


@pytest.mark.statement("dmp-fhir 9.10/195", "dmp-fhir 9.10/196")
@pytest.mark.parametrize("nature", ["centre-regulation", "OPPOSITION_ACCES_URGENCE"])
def test_the_regulation_centre_succeeds_without_authorisation_unless_opposed(centre: World, nature: str) -> None:
    dossier = Dossier.open(centre, next_ins())
    id_ = dossier.submit()
    assert dossier.found(regulator(centre)) == [id_]
    done(call(centre.doctor(), dossier, "dmp-opposition", nature=nature, valeur=True))
    assert_refused(dossier.search(regulator(centre)), 403, "emergency-refused")
    assert dossier.found(urgent(centre)) == [id_]


@pytest.mark.statement("dmp-fhir 9.10/194", "dmp-fhir 9.10/195", "security C-7", "security P-4", "security P-5")
def test_the_two_emergency_modes_are_opposed_independently(centre: World) -> None:
    dossier = Dossier.open(centre, next_ins())
    for nature in ("bris-de-glace", "centre-regulation"):
        done(call(dossier.holder, dossier, "dmp-opposition", nature=nature, valeur=True))
    (settings,) = consents(dossier, "emergency")
    assert len(settings["provision"]["provision"]) == 2
    assert_refused(dossier.search(urgent(centre)), 403, "emergency-refused")
    assert_refused(dossier.search(regulator(centre)), 403, "emergency-refused")
    done(call(dossier.holder, dossier, "dmp-opposition", nature="bris-de-glace", valeur=False))
    assert dossier.found(urgent(centre)) == []
    assert_refused(dossier.search(regulator(centre)), 403, "emergency-refused")


@pytest.mark.statement("dmp-fhir 9.10/194")
def test_an_opposition_in_the_french_category_is_lifted_like_any_other(world: World, dossier: Dossier) -> None:
    made = samples.consent(dossier.id, "emergency", deny=True)
    made["category"][1]["coding"] = [
        {
            "system": "https://dmp-fhir.example/ig/CodeSystem/dmp-consent-categorie",
            "code": "opposition-bris-de-glace",
        }
    ]
    assert world.admin.post("/Consent", made).status == 201
    assert_refused(dossier.search(urgent(world)), 403, "emergency-refused")
    done(call(dossier.holder, dossier, "dmp-opposition", nature="bris-de-glace", valeur=False))
    assert dossier.found(urgent(world)) == []


@pytest.mark.statement("dmp-fhir 9.10/194")
def test_a_professional_records_an_opposition_and_lifts_none_that_keeps_him_out(world: World, dossier: Dossier) -> None:
    for nature in ("bris-de-glace", "centre-regulation", "alimentation"):
        sent = {"nature": nature, "auteur": DOCTOR}
        consent = done(call(stranger(world), dossier, "dmp-opposition", valeur=True, **sent))["consent"]
        assert consent["performer"] == [{"identifier": DOCTOR}]
        with nothing_stored(world):
            answer = call(stranger(world), dossier, "dmp-opposition", valeur=False, **sent)
            assert_refused(answer, 403, "consent-writer")


def deposit(client: Client, dossier: Dossier, **more: str) -> int:
    """Submit a document and return the status."""
    content = next_content()
    return client.post("", samples.submission(next_oid(), ins=dossier.ins, content=content, **more)).status


def test_the_opposition_to_feeding_refuses_everybody_or_one(world: World, dossier: Dossier) -> None:
    author = {"professional": samples.OTHER_DOCTOR, "structure": samples.CLINIC}
    one = {"nature": "alimentation", "professionnel": OTHER}
    consent = done(call(dossier.holder, dossier, "dmp-opposition", valeur=True, **one))["consent"]
    assert [c["code"] for c in consent["category"][1]["coding"]] == ["feeding-opposition", "opposition-alimentation"]
    assert deposit(stranger(world), dossier, **author) == 403
    assert deposit(world.doctor(), dossier) == 200
    done(call(dossier.holder, dossier, "dmp-opposition", nature="alimentation", valeur=True))
    assert deposit(world.doctor(), dossier) == 403
    done(call(dossier.holder, dossier, "dmp-opposition", nature="alimentation", valeur=False))
    assert deposit(world.doctor(), dossier) == 200
    assert deposit(stranger(world), dossier, **author) == 403
    done(call(dossier.holder, dossier, "dmp-opposition", valeur=False, **one))
    assert deposit(stranger(world), dossier, **author) == 200
    structure = identifier(samples.HOSPITAL, STRUCTURE)
    sent = {"nature": "alimentation", "structure": structure}
    done(call(dossier.holder, dossier, "dmp-opposition", valeur=True, **sent))
    assert deposit(world.doctor(), dossier) == 403


def test_an_opposition_to_creation_makes_a_stub_and_refuses_the_opening(world: World) -> None:
    ins = next_ins()
    consent = done(by_ins(world.doctor(), ins, "dmp-opposition", nature="creation", valeur=True))["consent"]
    id_ = consent["patient"]["reference"].partition("/")[2]
    stub = world.admin.get(f"/Patient/{id_}").json
    assert {name: part for name, part in stub.items() if name != "meta"} == {
        "resourceType": "Patient",
        "id": id_,
        "identifier": [{"use": "official", "system": samples.INS, "value": ins}],
        "active": False,
    }
    opening = samples.opening(samples.patient(ins))
    assert_refused(world.doctor().post("/Patient/$dmp-ouvrir", opening), 403, "no-dmp")
    assert world.doctor().get(f"/Patient?identifier={samples.INS}|{ins}").entries == []
    assert_refused(by_ins(world.doctor(), ins, "dmp-fermer", motif=motive()), 403, "no-dmp")
    with nothing_stored(world):
        again = done(by_ins(world.doctor(), ins, "dmp-opposition", nature="creation", valeur=True))
        assert again["consent"] == consent
    lifted = done(by_ins(world.doctor(), ins, "dmp-opposition", nature="creation", valeur=False))["consent"]
    assert (lifted["id"], lifted["status"]) == (consent["id"], "inactive")
    opened = world.doctor().post("/Patient/$dmp-ouvrir", opening)
    assert opened.status == 200, opened.body
    assert (opened.status, opened.json["parameter"][0]["resource"]["id"]) == (200, id_)


def test_an_opposition_to_creation_needs_an_ins_and_no_dossier(world: World, dossier: Dossier) -> None:
    wanted = {"nature": "creation", "valeur": True}
    assert_refused(by_ins(world.doctor(), dossier.ins, "dmp-opposition", **wanted), 409, "dmp-ouvert")
    done(call(dossier.holder, dossier, "dmp-fermer", motif=motive("FERMETURE_OPPOSITION", HISTORICAL)))
    assert_refused(by_ins(world.doctor(), dossier.ins, "dmp-opposition", **wanted), 409, "dmp-ferme")
    with nothing_stored(world):
        wrong = by_ins(world.doctor(), "123456789012345", "dmp-opposition", **wanted)
        assert_refused(wrong, 422, "ins-cle-invalide")
        assert_refused(by_ins(dossier.holder, next_ins(), "dmp-opposition", **wanted), 404, "dmp-inexistant")
        assert_refused(by_ins(urgent(world), next_ins(), "dmp-opposition", **wanted), 403, "scope")


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"valeur": True}, "required"),
        ({"nature": "alimentation"}, "required"),
        ({"nature": "tout", "valeur": True}, "code-invalid"),
        ({"nature": "bris-de-glace", "valeur": True, "professionnel": DOCTOR}, "business-rule"),
        ({"nature": "alimentation", "valeur": True, "auteur": {"value": "x"}}, "value"),
    ],
)
def test_wrong_oppositions_are_422(world: World, dossier: Dossier, given: dict[str, object], code: str) -> None:
    with nothing_stored(world):
        assert_refused(call(dossier.holder, dossier, "dmp-opposition", **given), 422, code)


# --- $dmp-verifier-acces ---------------------------------------------------------------------------------------------


@pytest.mark.statement("dmp-fhir 9.10/197")
def test_the_check_tells_the_state_the_authorisation_and_the_role(world: World, dossier: Dossier) -> None:
    found = done(by_ins(stranger(world), dossier.ins, "dmp-verifier-acces"))
    assert found == {
        "statutDmp": "actif",
        "autorisation": "NON_EXISTE",
        "medecinTraitant": False,
        "rattachementMes": False,
        "oppositions": {
            "creation": False,
            "alimentation": False,
            "brisDeGlace": False,
            "centreRegulation": False,
        },
    }
    done(call(stranger(world), dossier, "dmp-autoriser", medecinTraitant=True))
    done(call(dossier.holder, dossier, "dmp-opposition", nature="bris-de-glace", valeur=True))
    found = done(call(stranger(world), dossier, "dmp-verifier-acces"))
    assert (found["autorisation"], found["medecinTraitant"]) == ("VALIDE", True)
    assert found["oppositions"]["brisDeGlace"] is True
    assert found["oppositions"]["centreRegulation"] is False
    (event, _) = trail(dossier, "TD0.2")
    assert [coding["code"] for coding in event["subtype"]] == ["operation", "TD0.2"]


@pytest.mark.statement("dmp-fhir 9.10/197")
def test_the_check_of_a_closed_dossier_tells_date_motive_and_reason(world: World, dossier: Dossier) -> None:
    done(call(dossier.holder, dossier, "dmp-fermer", motif=motive(), raison="Souhait exprimé"))
    found = done(by_ins(stranger(world), dossier.ins, "dmp-verifier-acces"))
    assert found["statutDmp"] == "ferme"
    assert (found["fermeture"]["date"], found["fermeture"]["raison"]) == ("2026-06-12", "Souhait exprimé")
    assert [c["code"] for c in found["fermeture"]["motif"]["coding"]] == [
        "patient-demande",
        "FERMETURE_DEMANDE_PATIENT",
    ]


@pytest.mark.statement("dmp-fhir 9.10/197")
def test_the_check_of_an_unknown_ins_tells_that_there_is_no_dossier_and_is_audited(world: World) -> None:
    ins = next_ins()
    before = len(world.admin.get("/AuditEvent?date=ge2026-01-01&subtype=TD0.2&_count=500").entries)
    found = done(by_ins(stranger(world), ins, "dmp-verifier-acces"))
    assert (found["statutDmp"], found["autorisation"], found["medecinTraitant"]) == ("inexistant", "NON_EXISTE", False)
    after = len(world.admin.get("/AuditEvent?date=ge2026-01-01&subtype=TD0.2&_count=500").entries)
    assert after == before + 1
    done(by_ins(world.doctor(), ins, "dmp-opposition", nature="creation", valeur=True))
    opposed = done(by_ins(stranger(world), ins, "dmp-verifier-acces"))
    assert (opposed["statutDmp"], opposed["oppositions"]["creation"]) == ("inexistant", True)


@pytest.mark.statement("dmp-fhir 9.10/197")
def test_the_check_by_a_blocked_professional_tells_the_block_and_no_more(world: World, dossier: Dossier) -> None:
    done(call(dossier.holder, dossier, "dmp-bloquer", professionnel=OTHER))
    found = done(by_ins(stranger(world), dossier.ins, "dmp-verifier-acces"))
    assert set(found) == {"statutDmp", "autorisation", "medecinTraitant", "outcome"}
    assert (found["statutDmp"], found["autorisation"], found["medecinTraitant"]) == ("actif", "INTERDIT", False)
    codes = {c["code"] for c in found["outcome"]["issue"][0]["details"]["coding"]}
    assert codes == {"professionnel-bloque", "blocked"}


@pytest.mark.statement("dmp-fhir 9.10/197")
def test_the_check_with_an_expired_authorisation(world: World, dossier: Dossier) -> None:
    dossier.authorise(samples.OTHER_DOCTOR, start="2026-01-01", end="2026-03-31")
    assert done(by_ins(stranger(world), dossier.ins, "dmp-verifier-acces"))["autorisation"] == "EXPIRE"


@pytest.mark.statement("dmp-fhir 9.10/197")
def test_a_patient_checks_the_own_dossier_and_learns_nothing_of_others(world: World, dossier: Dossier) -> None:
    other = Dossier.open(world, next_ins())
    found = done(by_ins(dossier.holder, dossier.ins, "dmp-verifier-acces"))
    assert found["statutDmp"] == "actif"
    assert "autorisation" not in found
    foreign = by_ins(dossier.holder, other.ins, "dmp-verifier-acces")
    unknown = by_ins(dossier.holder, next_ins(), "dmp-verifier-acces")
    assert_refused(foreign, 404, "dmp-inexistant")
    assert foreign.body == unknown.body


@pytest.mark.statement("dmp-fhir 9.10/197")
def test_a_check_needs_an_ins_with_its_system(world: World, dossier: Dossier) -> None:
    assert_refused(world.doctor().post("/Patient/$dmp-verifier-acces", {"resourceType": "Parameters"}), 422, "required")
    sent = {
        "resourceType": "Parameters",
        "parameter": [{"name": "identifiant", "valueIdentifier": {"value": dossier.ins}}],
    }
    assert_refused(world.doctor().post("/Patient/$dmp-verifier-acces", sent), 400, "required")


# --- Consents --------------------------------------------------------------------------------------------------------


@pytest.mark.statement("dmp-fhir 9.10/198")
def test_professionals_write_no_consent_but_their_own_authorisation(world: World, dossier: Dossier) -> None:
    actor = {"actor": [samples.consent_actor(samples.OTHER_DOCTOR)]}
    for kind, deny in (("block", True), ("dmp-opening", True), ("emergency", True), ("feeding-opposition", True)):
        provision = actor if kind == "block" else {}
        made = samples.consent(dossier.id, kind, deny=deny, **provision)
        with nothing_stored(world):
            assert_refused(stranger(world).post("/Consent", made), 403, "consent-writer")
    third = samples.consent(dossier.id, "ps-authorisation", actor=[samples.consent_actor(samples.NURSE)])
    assert_refused(stranger(world).post("/Consent", third), 403, "consent-writer")
    (opening,) = consents(dossier, "dmp-opening")
    assert stranger(world).put(f"/Consent/{opening['id']}", {**opening, "status": "inactive"}).status in (403, 404)
    assert stranger(world).delete(f"/Consent/{opening['id']}").status == 405


@pytest.mark.statement("dmp-fhir 9.10/198")
def test_nobody_forges_the_profession_that_an_authorisation_keeps(world: World, dossier: Dossier) -> None:
    forged = samples.consent_actor(samples.NURSE)
    url = "https://dmp-fhir.example/ig/StructureDefinition/dmp-profession"
    forged["extension"] = [{"url": url, "valueCoding": {"system": "urn:oid:1.2.250.1.71.1.2.7", "code": "10"}}]
    made = samples.consent(dossier.id, "ps-authorisation", actor=[forged])
    for client in (world.doctor(samples.NURSE, samples.CLINIC, profession="60"), dossier.holder):
        assert_refused(client.post("/Consent", made), 403, "consent-writer")
    consent = done(call(stranger(world), dossier, "dmp-autoriser"))["consent"]
    ended = dossier.holder.put(f"/Consent/{consent['id']}", {**consent, "status": "inactive"}, If_Match='W/"1"')
    assert ended.status == 200, ended.body


@pytest.mark.statement("dmp-fhir 9.10/199")
def test_every_consent_of_the_operations_says_its_policy(world: World, dossier: Dossier) -> None:
    done(call(stranger(world), dossier, "dmp-autoriser", medecinTraitant=True))
    done(call(dossier.holder, dossier, "dmp-bloquer", professionnel=DOCTOR))
    for nature in ("alimentation", "bris-de-glace"):
        done(call(dossier.holder, dossier, "dmp-opposition", nature=nature, valeur=True))
    done(call(dossier.holder, dossier, "dmp-fermer", motif=motive()))
    found = world.admin.get(f"/Consent?patient=Patient/{dossier.id}").entries
    assert len(found) == 7
    assert all(consent["policy"][0]["uri"] for consent in found)
    for consent in found:
        again = {name: part for name, part in consent.items() if name not in ("id", "meta")}
        assert world.admin.post("/Consent", again).status == 201


@pytest.mark.statement("dmp-fhir 9.10/181")
def test_opening_stores_an_open_dossier_and_the_consent(world: World) -> None:
    ins = next_ins()
    answer = world.doctor().post("/Patient/$dmp-ouvrir", samples.opening(samples.patient(ins)))
    shown = done(answer)["patient"]
    opened = Dossier(world, ins, shown["id"])
    assert shown["active"] is True
    (consent,) = consents(opened, "dmp-opening")
    assert [c["code"] for c in consent["category"][1]["coding"]] == [
        "dmp-opening",
        "consentement-ouverture",
        "CONSENTEMENT_OUVERTURE_DMP",
    ]
    assert trail(opened, "TD1.1")[0]["action"] == "C"


@pytest.mark.statement("dmp-fhir 9.10/182")
def test_opening_without_consent_is_422(world: World) -> None:
    body = samples.opening(samples.patient(next_ins()))
    for changed in ([body["parameter"][0]], [body["parameter"][0], {"name": "consentement", "valueBoolean": False}]):
        with nothing_stored(world):
            answer = world.doctor().post("/Patient/$dmp-ouvrir", {**body, "parameter": changed})
        assert_refused(answer, 422, "business-rule")


@pytest.mark.statement("dmp-fhir 9.10/183")
def test_opening_again_is_idempotent_and_shows_no_contact_data(world: World) -> None:
    ins = next_ins()
    sent = samples.patient(ins, telecom=[{"system": "phone", "value": "0102030405"}])
    opened = Dossier.open(world, ins, telecom=sent["telecom"])
    with nothing_stored(world):
        for client in (world.doctor(), world.structure()):
            again = done(client.post("/Patient/$dmp-ouvrir", samples.opening(samples.patient(ins))))
            assert again["patient"]["id"] == opened.id
            assert "telecom" not in again["patient"]
        other = samples.opening(samples.patient(ins, birthDate="1985-04-18"))
        assert_refused(world.doctor().post("/Patient/$dmp-ouvrir", other), 422, "traits-discordants")


def test_operations_are_listed_with_their_definitions(world: World) -> None:
    statement = world.nobody.get("/metadata").json
    (resource,) = [each for each in statement["rest"][0]["resource"] if each["type"] == "Patient"]
    listed = {each["name"]: each["definition"] for each in resource["operation"]}
    names = ["fermer", "reactiver", "autoriser", "revoquer", "bloquer", "debloquer", "medecin-traitant"]
    for name in [*names, "verifier-acces", "opposition", "ouvrir"]:
        assert listed[f"dmp-{name}"] == f"https://dmp-fhir.example/ig/OperationDefinition/dmp-{name}"
        answer = world.doctor().get(f"/Patient/$dmp-{name}")
        assert (answer.status, answer.headers["Allow"]) == (405, "POST, OPTIONS")


def test_a_delegate_and_an_auditor_change_nothing(world: World, dossier: Dossier) -> None:
    for actor in (Actor.DELEGATE, Actor.AUDITOR):
        client = world.patient(dossier.ins, actor)
        with nothing_stored(world):
            assert_refused(call(client, dossier, "dmp-fermer", motif=motive()), 403, "scope")
