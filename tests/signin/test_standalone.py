"""The standalone launch through pages, as a browser without script sees it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fhir_dmp.identity.caller import Actor
from fhir_dmp.terminology.national import DMP
from tests import samples
from tests.signin.scene import APP, CALLBACK, CANAL, CHILD, LPS, LPS_CALLBACK, PASSWORD, TILLEULS, Scene, make_scene


@pytest.fixture
def scene() -> Scene:
    made = make_scene()
    made.patient()
    made.professional()
    return made


def test_a_patient_signs_in_agrees_and_the_application_gets_a_code(scene: Scene) -> None:
    browser = scene.browser()
    page = browser.open(scene.request())
    assert (page.status, "Carnet" in page.text) == (200, True)
    page = scene.sign_in(browser, page)
    assert "Autoriser Carnet ?" in page.text
    page = browser.submit(page, decision="allow")
    assert page.url.startswith(CALLBACK + "?code=")
    assert page.answer["state"] == "state-of-the-app"
    assert page.answer["iss"] == scene.world.services.issuer
    given = scene.redeem(page)
    id_ = scene.world.patients[samples.ANOUK]
    assert (given.caller.actor, given.caller.patient, given.context["patient"]) == (Actor.PATIENT, id_, id_)
    assert given.scope == "openid fhirUser launch/patient patient/*.rs"
    assert (given.acr, given.nonce, given.caller.app) == ("mfa", "nonce-1", "app")


@pytest.mark.statement("security A-1")
def test_the_request_may_come_as_a_form_too(scene: Scene) -> None:
    url, _, query = scene.request().partition("?")
    browser = scene.browser()
    page = browser.open(
        url, "POST", query.encode(), Content_Type="application/x-www-form-urlencoded", Origin="https://app.example"
    )
    assert (page.status, "Carnet" in page.text) == (200, True)
    assert browser.open(url, "POST", b"{}", Content_Type="application/json").status == 415


@pytest.mark.statement("security A-2", "security A-3")
@pytest.mark.parametrize("changes", [{"client_id": "nobody"}, {"redirect_uri": "https://evil.example/"}])
def test_what_cannot_be_trusted_is_a_page_and_never_a_redirect(scene: Scene, changes: dict[str, str]) -> None:
    response = scene.browser().send("GET", scene.request(APP, **changes))
    assert response.status == 400
    assert "Location" not in response.headers
    assert response.headers["Content-Type"].startswith("text/html")


def test_a_suspended_client_gets_a_page_that_names_the_error(scene: Scene) -> None:
    from fhir_dmp.oauth.clients import Status

    scene.change_client(APP, status=Status.SUSPENDED)
    page = scene.browser().open(scene.request())
    assert (page.status, "unauthorized_client" in page.text) == (400, True)


@pytest.mark.statement("security A-5", "security A-8", "security A-10", "security A-11", "security A-13")
@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"state": None}, "invalid_request"), ({"aud": None}, "invalid_request"),
        ({"aud": "https://other.example/fhir"}, "invalid_request"), ({"code_challenge": None}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"scope": None}, "invalid_scope"), ({"scope": "system/*.rs"}, "invalid_scope"),
        ({"scope": "openid user/*.rs"}, "invalid_scope"),
        ({"scope": "openid launch", "launch": "x" * 20}, "invalid_request"),
    ],
)  # fmt: skip
def test_other_faults_are_redirected_with_error_and_issuer(
    scene: Scene, changes: dict[str, str | None], error: str
) -> None:
    page = scene.browser().open(scene.request(APP, **changes))
    assert page.url.startswith(CALLBACK + "?")
    assert (page.answer["error"], page.answer["iss"]) == (error, scene.world.services.issuer)
    assert page.answer.get("state", "state-of-the-app") == "state-of-the-app"


@pytest.mark.statement("security A-15")
def test_when_nothing_can_be_granted_the_scope_is_invalid(scene: Scene) -> None:
    page = scene.browser().open(scene.request(scope="openid patient/Dossier.rs patient/Patient.sr patient/Patient.d"))
    assert page.answer["error"] == "invalid_scope"


@pytest.mark.statement("security A-16")
def test_who_refuses_on_the_consent_page_refuses_everything(scene: Scene) -> None:
    browser = scene.browser()
    page = scene.sign_in(browser, browser.open(scene.request()))
    page = browser.submit(page, decision="refuse")
    assert page.answer["error"] == "access_denied"
    assert "code" not in page.answer
    again = scene.browser().open(scene.request())
    assert "Connexion" in again.text


def test_who_gives_up_before_signing_in_is_told_to_the_application(scene: Scene) -> None:
    browser = scene.browser()
    page = browser.open(scene.request())
    page = browser.submit(page, len(page.forms) - 1)
    assert page.answer["error"] == "access_denied"


@pytest.mark.statement("security A-17")
def test_a_silent_request_never_shows_a_page(scene: Scene) -> None:
    browser = scene.browser()
    assert browser.open(scene.request(prompt="none")).answer["error"] == "login_required"
    page = scene.sign_in(browser, browser.open(scene.request()))
    assert browser.open(scene.request(prompt="none")).answer["error"] == "consent_required"
    browser.submit(page, decision="allow")
    assert "code" in browser.open(scene.request(prompt="none")).answer


def test_an_earlier_agreement_is_remembered_until_more_is_asked(scene: Scene) -> None:
    browser = scene.browser()
    page = browser.submit(scene.sign_in(browser, browser.open(scene.request())), decision="allow")
    assert "code" in page.answer
    assert "code" in browser.open(scene.request(scope="openid patient/Observation.rs")).answer
    assert "Autoriser" in browser.open(scene.request(scope="openid patient/Observation.crs")).text
    assert "Autoriser" in browser.open(scene.request(prompt="consent")).text


def test_a_new_sign_in_is_asked_for_when_the_application_wants_one(scene: Scene) -> None:
    browser = scene.browser()
    browser.submit(scene.sign_in(browser, browser.open(scene.request())), decision="allow")
    assert "Connexion" in browser.open(scene.request(prompt="login")).text
    scene.world.clock.time_ms += 3_600_000
    assert "Connexion" in browser.open(scene.request(max_age="60")).text
    assert "code" in browser.open(scene.request(max_age="86400")).answer


@pytest.mark.statement("security A-20")
@pytest.mark.parametrize("scope", ["patient/*.rs", "openid patient/Observation.read"])
def test_a_patient_scope_alone_still_yields_a_patient(scene: Scene, scope: str) -> None:
    browser = scene.browser()
    page = browser.submit(scene.sign_in(browser, browser.open(scene.request(scope=scope))), decision="allow")
    given = scene.redeem(page)
    assert given.context["patient"] == scene.world.patients[samples.ANOUK]
    assert given.scope == scope


@pytest.mark.statement("security A-18")
def test_who_may_open_several_records_picks_one(scene: Scene) -> None:
    scene.world.open(CHILD, family="BELLANGER", given="Lise", birthDate="2014-03-11")
    scene.patient("parent", represents=(CHILD,))
    browser = scene.browser()
    page = scene.sign_in(browser, browser.open(scene.request()), "parent")
    assert "BELLANGER Lise (vous êtes son représentant légal)" in page.text
    assert browser.submit(page).status == 422
    assert browser.submit(page, choice="7").status == 422
    page = browser.submit(browser.submit(page, choice="1"), decision="allow")
    given = scene.redeem(page)
    assert (given.caller.actor, given.caller.patient) == (Actor.REPRESENTATIVE, scene.world.patients[CHILD])
    assert (given.caller.fhir_user or "").startswith("RelatedPerson/")


def test_a_grown_up_child_is_no_longer_opened_by_the_parent(scene: Scene) -> None:
    scene.world.open(CHILD, family="BELLANGER", given="Lise", birthDate="2001-03-11")
    scene.patient("parent", represents=(CHILD,))
    browser = scene.browser()
    page = scene.sign_in(browser, browser.open(scene.request()), "parent")
    assert browser.submit(page, choice="1").answer["error"] == "access_denied"


def test_a_closed_record_is_refused_to_its_holder(scene: Scene) -> None:
    scene.patient("basile", samples.BASILE)
    id_ = scene.world.patients[samples.BASILE]
    motive = {"coding": [{"system": f"{DMP}/CodeSystem/dmp-motif-fermeture", "code": "patient-demande"}]}
    parameters = [{"name": "motif", "valueCodeableConcept": motive}]
    closing = {"resourceType": "Parameters", "parameter": parameters}
    answer = scene.world.doctor().post(f"/Patient/{id_}/$dmp-fermer", closing)
    assert answer.status == 200, answer.body
    browser = scene.browser()
    assert scene.sign_in(browser, browser.open(scene.request()), "basile").answer["error"] == "access_denied"


@pytest.mark.statement("security A-25")
def test_the_consent_page_says_in_plain_words_what_and_for_how_long(scene: Scene) -> None:
    scope = "openid fhirUser launch/patient offline_access patient/Observation.crs patient/AllergyIntolerance.rs"
    browser = scene.browser()
    page = scene.sign_in(browser, browser.open(scene.request(scope=scope)))
    for said in ("Lire, rechercher, ajouter les mesures et résultats dans ce dossier", "les allergies et intolérances",
                 "180 jours au plus", "prévention", "Carnet SAS", "BELLANGER Anouk"):  # fmt: skip
        assert said in page.text
    assert "Observation" not in page.text
    assert "retirer cette autorisation" in page.text


@pytest.mark.statement("security A-26")
def test_scopes_that_are_unticked_are_not_granted(scene: Scene) -> None:
    scope = "openid launch/patient offline_access patient/Observation.rs patient/Condition.rs"
    browser = scene.browser()
    page = scene.sign_in(browser, browser.open(scene.request(scope=scope)))
    assert browser.submit(page, decision="allow", scope=[]).status == 422
    page = browser.submit(page, decision="allow", scope=["patient/Condition.rs", "patient/*.cruds", "system/*.rs"])
    given = scene.redeem(page)
    assert given.scope == "openid launch/patient patient/Condition.rs"


def test_an_agreement_of_a_patient_is_a_consent_of_the_record(scene: Scene) -> None:
    browser = scene.browser()
    page = browser.submit(scene.sign_in(browser, browser.open(scene.request())), decision="allow")
    given = scene.redeem(page)
    consent = scene.world.patient().get(f"/Consent/{given.consents[-1]}").json
    assert consent["status"] == "active"
    assert consent["provision"]["actor"][0]["reference"]["identifier"]["value"] == "app"
    granted = [e["valueString"] for e in consent["extension"] if e["url"].endswith("/dmp-granted-scopes")]
    assert granted == [given.scope]
    browser.submit(browser.open(scene.request(prompt="consent")), decision="allow")
    found = scene.world.patient().get(f"/Consent?patient=Patient/{given.caller.patient}").entries
    assert len([c for c in found if "app-grant" in str(c["category"])]) == 1


def test_an_agreement_that_was_withdrawn_by_rest_is_asked_for_again(scene: Scene) -> None:
    browser = scene.browser()
    page = browser.submit(scene.sign_in(browser, browser.open(scene.request())), decision="allow")
    id_ = scene.redeem(page).consents[-1]
    patient = scene.world.patient()
    read = patient.get(f"/Consent/{id_}")
    changed = patient.put(f"/Consent/{id_}", {**read.json, "status": "inactive"}, If_Match=read.headers["ETag"])
    assert changed.status == 200, changed.body
    assert "Autoriser" in browser.open(scene.request()).text


@pytest.mark.statement("security A-19", "security P-50")
def test_a_professional_with_two_practices_must_choose(scene: Scene) -> None:
    scene.professional("tremblay", samples.OTHER_DOCTOR, (CANAL, TILLEULS))
    browser = scene.browser()
    page = scene.sign_in(browser, browser.open(scene.request(LPS, scope="openid fhirUser user/*.rs")), "tremblay")
    assert "Cabinet du Canal" in page.text
    assert browser.submit(page, choice="2").status == 422
    page = browser.submit(browser.submit(page, choice="1"), decision="allow")
    given = scene.redeem(page, LPS)
    assert (given.caller.structure, given.caller.sector) == ("1750999021", "SA01")


def test_a_work_situation_may_be_chosen_by_the_request(scene: Scene) -> None:
    scene.professional("tremblay", samples.OTHER_DOCTOR, (CANAL, TILLEULS))
    browser = scene.browser()
    asked = scene.request(LPS, scope="openid user/*.rs", work_situation="10C|1750999013")
    page = scene.sign_in(browser, browser.open(asked), "tremblay")
    assert scene.redeem(browser.submit(page, decision="allow"), LPS).caller.structure == "1750999013"
    foreign = scene.request(LPS, scope="openid user/*.rs", work_situation="10C|1999999999")
    assert browser.open(foreign).answer["error"] == "access_denied"


def test_a_professional_picks_a_patient_by_ins_or_among_those_who_authorised(scene: Scene) -> None:
    scene.world.authorise()
    asked = scene.request(LPS, scope="openid launch/patient patient/*.rs")
    browser = scene.browser()
    page = scene.sign_in(browser, browser.open(asked), "carlier")
    assert "BELLANGER Anouk" in page.text
    assert "QUEMENER" not in page.text
    basile = scene.world.patients[samples.BASILE]
    for wrong in ({"ins": "nonsense"}, {"ins": "168017218137243"}, {"choice": basile}, {}):
        assert browser.submit(page, **wrong).status == 422
    page = browser.submit(browser.submit(page, ins="1 55 06 72 000 101 59"), decision="allow")
    assert scene.redeem(page, LPS).context["patient"] == basile
    page = browser.submit(browser.open(asked), choice=scene.world.patients[samples.ANOUK])
    assert "code" in page.answer


def test_a_blocked_professional_is_refused(scene: Scene) -> None:
    scene.world.consent(samples.ANOUK, "block", deny=True, actor=[samples.consent_actor(samples.DOCTOR)])
    browser = scene.browser()
    page = scene.sign_in(browser, browser.open(scene.request(LPS)), "carlier")
    assert browser.submit(page, ins=samples.ANOUK).answer["error"] == "access_denied"


def test_people_of_another_class_than_the_clients_must_sign_in_as_somebody_else(scene: Scene) -> None:
    browser = scene.browser()
    scene.sign_in(browser, browser.open(scene.request()))
    assert "Connexion" in browser.open(scene.request(LPS)).text
    page = browser.submit(browser.open(scene.request(LPS)), login="anouk", password=PASSWORD)
    page = browser.submit(page, code=scene.code_of("anouk"))
    assert "Connexion" in page.text
    assert not page.url.startswith(LPS_CALLBACK)


@pytest.mark.statement("security A-27", "security P-4")
def test_breaking_the_glass_asks_for_a_reason_and_shows_the_setting(scene: Scene) -> None:
    asked = scene.request(LPS, scope="openid launch/patient patient/*.rs offline_access __access_mode.bris_de_glace")
    browser = scene.browser()
    page = browser.submit(scene.sign_in(browser, browser.open(asked), "carlier"), ins=samples.ANOUK)
    assert "elle n’a pas refusé cet accès" in page.text
    assert "BELLANGER Anouk" in page.text
    assert browser.submit(page, reason="urgent").status == 422
    page = browser.submit(page, reason="Patient inconscient aux urgences")
    assert "10 minutes, sans renouvellement" in page.text
    given = scene.redeem(browser.submit(page, decision="allow"), LPS)
    assert (given.caller.mode.value, given.caller.reason) == ("bris_de_glace", "Patient inconscient aux urgences")
    assert given.scope == "openid launch/patient __access_mode.bris_de_glace patient/*.rs"
    assert given.context["__access_mode"] == "bris_de_glace"


def test_breaking_the_glass_that_the_patient_refused_is_denied_before_any_reason(scene: Scene) -> None:
    scene.world.consent(
        samples.ANOUK, "emergency", deny=True,
        purpose=[{"system": "http://terminology.hl7.org/CodeSystem/v3-ActReason", "code": "BTG"}],
    )  # fmt: skip
    asked = scene.request(LPS, scope="openid patient/*.rs __access_mode.bris_de_glace")
    browser = scene.browser()
    page = browser.submit(scene.sign_in(browser, browser.open(asked), "carlier"), ins=samples.ANOUK)
    assert page.answer["error"] == "access_denied"


@pytest.mark.statement("security P-7")
def test_a_mode_that_the_person_may_not_claim_is_an_invalid_scope(scene: Scene) -> None:
    browser = scene.browser()
    asked = scene.request(LPS, scope="openid patient/*.rs __access_mode.centre_15")
    assert scene.sign_in(browser, browser.open(asked), "carlier").answer["error"] == "invalid_scope"
    both = scene.request(LPS, scope="patient/*.rs __access_mode.centre_15 __access_mode.normal")
    assert browser.open(both).answer["error"] == "invalid_scope"
    app = scene.request(scope="patient/*.rs __access_mode.bris_de_glace")
    assert scene.browser().open(app).answer["error"] in ("invalid_scope", "unauthorized_client")


def test_a_token_names_the_classes_that_its_application_reads_and_writes(scene: Scene) -> None:
    assert APP.referencing is not None
    scene.change_client(APP, referencing=replace(APP.referencing, read_classes=("10", "90"), write_classes=("90",)))
    browser = scene.browser()
    page = scene.sign_in(browser, browser.open(scene.request()))
    given = scene.redeem(browser.submit(page, decision="allow")).caller
    assert (given.app, given.app_classes, given.app_write_classes) == ("app", ("10", "90"), ("90",))
