"""$dmp-fermer and $dmp-reactiver. [dmp-fhir 3.8, 9.10]"""

from __future__ import annotations

import pytest

from fhir_dmp.identity.caller import Actor, Mode
from tests import samples
from tests.flows.acts import (
    HISTORICAL,
    MOTIVES,
    by_ins,
    call,
    consents,
    done,
    extension,
    identifier,
    motive,
    parameters,
    patient,
    stranger,
    trail,
)
from tests.flows.steps import Dossier, assert_refused, next_ins, nothing_stored
from tests.world import World


@pytest.mark.statement("dmp-fhir 9.10/185")
def test_closing_sets_inactive_the_closing_extension_and_ends_authorisations(world: World, dossier: Dossier) -> None:
    dossier.authorise()
    call(world.doctor(), dossier, "dmp-medecin-traitant", professionnel=identifier(samples.DOCTOR), action="ajouter")
    reason = "Souhait exprimé au cabinet"
    shown = done(call(world.doctor(), dossier, "dmp-fermer", motif=motive(), raison=reason))["patient"]
    stored = patient(dossier)
    closing = extension(stored, "dmp-fermeture")
    assert closing is not None
    assert closing["extension"] == [
        {"url": "dateFermeture", "valueDate": "2026-06-12"},
        {
            "url": "motifFermeture",
            "valueCodeableConcept": {
                "coding": [
                    {"system": MOTIVES, "code": "patient-demande"},
                    {"system": HISTORICAL, "code": "FERMETURE_DEMANDE_PATIENT"},
                ]
            },
        },
        {"url": "raisonFermeture", "valueString": reason},
    ]
    assert (stored["active"], "generalPractitioner" in stored) == (False, False)
    assert (shown["active"], extension(shown, "dmp-fermeture")) == (False, closing)
    for kind in ("ps-authorisation", "mt"):
        assert (len(consents(dossier, kind)), len(consents(dossier, kind, "inactive"))) == (0, 1)
    (legal,) = consents(dossier, "dmp-opening")
    assert legal["provision"]["type"] == "deny"
    assert legal["policy"] == [{"uri": "https://profiles.ihe.net/ITI/PCF/Policy-deny"}]
    assert [part["url"] for part in legal["extension"][0]["extension"]] == ["date", "motive", "reason"]
    assert_refused(dossier.search(world.doctor()), 403, "dmp-ferme")
    (event,) = trail(dossier, "TD1.4")
    assert (event["action"], event["outcome"]) == ("U", "0")
    assert [coding["code"] for coding in event["subtype"]] == ["operation", "TD1.4"]
    assert {each["what"]["reference"] for each in event["entity"] if "reference" in each.get("what", {})} >= {
        f"Patient/{dossier.id}/_history/3",
        f"Consent/{legal['id']}/_history/1",
    }


@pytest.mark.statement("dmp-fhir 9.10/186")
@pytest.mark.parametrize("given", [{}, {"raison": "sans motif"}, {"motif": {"coding": []}}])
def test_closing_without_motive_is_422(world: World, dossier: Dossier, given: dict[str, object]) -> None:
    with nothing_stored(world):
        answer = call(world.doctor(), dossier, "dmp-fermer", **given)
    assert_refused(answer, 422, "required")


@pytest.mark.statement("dmp-fhir 9.10/186")
def test_an_unknown_motive_and_a_wrong_date_are_422(world: World, dossier: Dossier) -> None:
    for wrong in (motive("ennui"), motive("patient-demande", "urn:other")):
        assert_refused(call(world.doctor(), dossier, "dmp-fermer", motif=wrong), 422, "code-invalid")
    for day in ("2026-06-13", "2026-06", "2026-02-30"):
        assert_refused(call(world.doctor(), dossier, "dmp-fermer", motif=motive(), date=day), 422, "value")


@pytest.mark.parametrize(
    "body",
    [
        {"resourceType": "Patient"},
        {"resourceType": "Parameters", "parameter": [{"name": "motiff", "valueString": "x"}]},
        {"resourceType": "Parameters", "parameter": [{"name": "motif", "valueString": "x"}]},
        parameters(motif=motive()) | {"parameter": parameters(motif=motive())["parameter"] * 2},
        {"resourceType": "Parameters", "parameter": {"name": "motif"}},
        {"resourceType": "Parameters", "parameter": ["motif"]},
        parameters(motif=motive(), identifiant=identifier(samples.ANOUK, samples.INS)),
    ],
)
def test_parameters_that_cannot_be_understood_are_400(world: World, dossier: Dossier, body: dict[str, object]) -> None:
    with nothing_stored(world):
        answer = world.doctor().post(f"/Patient/{dossier.id}/$dmp-fermer", body)
    assert_refused(answer, 400)


@pytest.mark.statement("dmp-fhir 9.10/185")
def test_closing_again_is_200_for_the_same_motive_and_409_for_another(world: World, dossier: Dossier) -> None:
    done(call(dossier.holder, dossier, "dmp-fermer", motif=motive("FERMETURE_INACTIVITE", HISTORICAL)))
    with nothing_stored(world):
        again = done(call(world.doctor(), dossier, "dmp-fermer", motif=motive("inactivite")))
        assert again["patient"]["active"] is False
        assert again["outcome"]["issue"][0]["severity"] == "information"
        assert_refused(call(world.doctor(), dossier, "dmp-fermer", motif=motive()), 409, "dmp-ferme")


@pytest.mark.statement("dmp-fhir 9.10/185")
def test_a_dossier_is_closed_by_its_ins(world: World, dossier: Dossier) -> None:
    shown = done(by_ins(world.doctor(), dossier.ins, "dmp-fermer", motif=motive(), date="2026-05-02"))["patient"]
    closing = extension(shown, "dmp-fermeture")
    assert closing is not None
    assert closing["extension"][0]["valueDate"] == "2026-05-02"
    assert len(closing["extension"]) == 2


@pytest.mark.statement("dmp-fhir 9.10/185")
def test_an_unknown_dossier_is_404_on_every_operation(world: World) -> None:
    for operation, values in (
        ("dmp-fermer", {"motif": motive()}),
        ("dmp-reactiver", {"consentement": True}),
        ("dmp-autoriser", {"professionnel": identifier(samples.DOCTOR)}),
        ("dmp-revoquer", {"professionnel": identifier(samples.DOCTOR)}),
        ("dmp-medecin-traitant", {"professionnel": identifier(samples.DOCTOR), "action": "ajouter"}),
        ("dmp-bloquer", {"professionnel": identifier(samples.DOCTOR)}),
        ("dmp-debloquer", {"professionnel": identifier(samples.DOCTOR)}),
        ("dmp-opposition", {"nature": "alimentation", "valeur": True}),
    ):
        for client in (world.doctor(), world.admin):
            assert_refused(by_ins(client, next_ins(), operation, **values), 404, "dmp-inexistant")
        nobody = Dossier(world, "", "0191a1b2-0000-7000-8000-00000000abcd")
        assert_refused(call(world.doctor(), nobody, operation, **values), 404, "dmp-inexistant")
        assert_refused(world.doctor().post(f"/Patient/${operation}", parameters(**values)), 422, "required")


@pytest.mark.statement("dmp-fhir 9.10/185")
def test_who_may_not_close(world: World, dossier: Dossier) -> None:
    other = Dossier.open(world, next_ins())
    sent = {"motif": motive()}
    with nothing_stored(world):
        assert_refused(call(world.structure(), dossier, "dmp-fermer", **sent), 403, "scope")
        assert_refused(call(world.nobody, dossier, "dmp-fermer", **sent), 401)
        emergency = world.doctor(mode=Mode.BREAK_GLASS, reason="Inconscient")
        assert_refused(call(emergency, dossier, "dmp-fermer", **sent), 403, "scope")
        assert_refused(call(other.holder, dossier, "dmp-fermer", **sent), 404, "dmp-inexistant")
    unknown = Dossier(world, "", "0191a1b2-0000-7000-8000-00000000abcd")
    foreign = call(other.holder, dossier, "dmp-fermer", **sent)
    assert foreign.body == call(other.holder, unknown, "dmp-fermer", **sent).body


def test_the_holder_and_the_representative_of_a_minor_close(world: World) -> None:
    minor = Dossier.open(world, next_ins(), birthDate="2009-05-04")
    shown = done(call(world.patient(minor.ins, Actor.REPRESENTATIVE), minor, "dmp-fermer", motif=motive()))
    assert shown["patient"]["active"] is False


@pytest.mark.statement("dmp-fhir 9.10/187")
def test_reopening_restores_documents_and_revives_no_authorisation(world: World, dossier: Dossier) -> None:
    id_ = dossier.submit()
    dossier.authorise(samples.OTHER_DOCTOR)
    done(call(dossier.holder, dossier, "dmp-fermer", motif=motive()))
    shown = done(call(stranger(world), dossier, "dmp-reactiver", consentement=True))["patient"]
    assert shown["active"] is True
    assert extension(shown, "dmp-fermeture") is None
    assert dossier.found(dossier.holder) == [id_]
    assert_refused(dossier.search(stranger(world)), 403, "non-autorise")
    done(call(stranger(world), dossier, "dmp-autoriser"))
    assert dossier.found(stranger(world)) == [id_]
    (legal,) = consents(dossier, "dmp-opening")
    assert "CONSENTEMENT_REACTIVATION_DMP" in {c["code"] for c in legal["category"][1]["coding"]}
    assert legal["provision"]["type"] == "permit"
    history = world.admin.get(f"/Patient/{dossier.id}/_history").json["entry"]
    assert [extension(e["resource"], "dmp-fermeture") is not None for e in history] == [False, True, False]
    assert trail(dossier, "TD1.2")[0]["outcome"] == "0"


@pytest.mark.statement("dmp-fhir 9.10/187")
def test_a_dossier_that_the_operator_closed_by_hand_revives_nothing_either(world: World, dossier: Dossier) -> None:
    dossier.authorise(samples.OTHER_DOCTOR)
    dossier.close()
    done(by_ins(world.doctor(), dossier.ins, "dmp-reactiver", consentement=True))
    assert_refused(dossier.search(stranger(world)), 403, "non-autorise")


@pytest.mark.statement("dmp-fhir 9.10/187")
def test_reopening_needs_consent_and_a_closed_dossier(world: World, dossier: Dossier) -> None:
    assert_refused(call(world.doctor(), dossier, "dmp-reactiver", consentement=True), 409, "dmp-ouvert")
    done(call(world.doctor(), dossier, "dmp-fermer", motif=motive()))
    for given in ({}, {"consentement": False}):
        assert_refused(call(world.doctor(), dossier, "dmp-reactiver", **given), 422, "business-rule")


@pytest.mark.statement("dmp-fhir 9.10/187")
@pytest.mark.parametrize("code", [("deces", MOTIVES), ("FERMETURE_DECES", HISTORICAL)])
def test_a_dossier_closed_by_death_is_not_reopened(world: World, dossier: Dossier, code: tuple[str, str]) -> None:
    done(call(world.doctor(), dossier, "dmp-fermer", motif=motive(*code)))
    for client in (world.doctor(), world.admin):
        assert_refused(call(client, dossier, "dmp-reactiver", consentement=True), 422, "business-rule")


@pytest.mark.statement("dmp-fhir 9.10/184")
def test_opening_a_closed_dossier_is_409_and_points_to_reopening(world: World, dossier: Dossier) -> None:
    done(call(world.doctor(), dossier, "dmp-fermer", motif=motive()))
    answer = world.doctor().post("/Patient/$dmp-ouvrir", samples.opening(samples.patient(dossier.ins)))
    assert_refused(answer, 409, "dmp-ferme")
    assert f"Patient/{dossier.id}/$dmp-reactiver" in answer.json["issue"][0]["diagnostics"]


def test_a_refused_closing_is_in_the_trail(world: World, dossier: Dossier) -> None:
    call(world.doctor(), dossier, "dmp-fermer")
    (event,) = trail(dossier, "TD1.4")
    assert (event["outcome"], event["outcomeDesc"]) == ("4", "required")
