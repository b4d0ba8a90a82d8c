"""Taking an agreement back, and ending a login: what people see, and what applications notice."""

from __future__ import annotations

from urllib.parse import urlencode

import pytest

from tests import samples
from tests.signin.browser import Browser
from tests.signin.scene import APP, LPS, Scene, make_scene
from tests.signin.token import get, refresh, tokens

SCOPE = "openid fhirUser launch/patient offline_access patient/*.rs"
BYE = "https://app.example/bye"


@pytest.fixture
def scene() -> Scene:
    made = make_scene()
    made.patient()
    made.professional()
    return made


def agreed(scene: Scene, scope: str = SCOPE) -> tuple[Browser, dict[str, str]]:
    """Return a browser that has agreed, and what the application got."""
    browser = scene.browser()
    page = scene.sign_in(browser, browser.open(scene.request(scope=scope)))
    return browser, tokens(scene, browser.submit(page, decision="allow"))


@pytest.mark.statement("security I-11", "security T-12", "security C-8")
def test_an_agreement_that_is_withdrawn_ends_everything_issued_under_it(scene: Scene) -> None:
    browser, given = agreed(scene)
    patient = f"Patient/{given['patient']}"
    assert get(scene, given["access_token"], patient).status == 200
    page = browser.open("/auth/manage")
    assert "Carnet" in page.text
    assert "toutes les données dans ce dossier" in page.text
    page = browser.submit(page)
    assert "est retiré" in page.text
    assert "Aucune application" in page.text
    assert refresh(scene, given["refresh_token"]).json["error"] == "invalid_grant"
    scene.world.clock.time_ms += 5_000
    assert get(scene, given["access_token"], patient).status == 401
    consents = scene.world.patient().get(f"/Consent?patient={patient}").entries
    ended = [each for each in consents if "app-grant" in str(each["category"])]
    assert [each["status"] for each in ended] == ["inactive"]
    assert "Autoriser Carnet ?" in browser.open(scene.request(scope=SCOPE)).text


def test_the_withdrawal_is_the_patients_own_act_in_the_trail(scene: Scene) -> None:
    browser, _ = agreed(scene)
    browser.submit(browser.open("/auth/manage"))
    events = scene.world.admin.get("/AuditEvent?date=ge2020-01-01&_count=50").entries
    update = next(e for e in events if e["action"] == "U" and "Consent/" in str(e["entity"]))
    assert any(agent.get("requestor") and agent["who"].get("identifier") for agent in update["agent"])
    assert "authorization-server" not in str(update)


def test_nobody_withdraws_what_is_not_theirs(scene: Scene) -> None:
    _, given = agreed(scene)
    scene.patient("basile", samples.BASILE)
    stranger = scene.browser()
    page = stranger.open("/auth/manage")
    page = scene.sign_in(stranger, page, "basile")
    assert "Aucune application" in page.text
    consents = scene.world.patient().get(f"/Consent?patient=Patient/{given['patient']}").entries
    grant = next(each["id"] for each in consents if "app-grant" in str(each["category"]))
    for key in (f"consent 0 {grant}", f"consent 9 {grant}", "client app", "consent 0 nothing", "", "x y z"):
        body = urlencode({"csrf": dict(stranger.open("/auth/logout").forms[0].fields)["csrf"], "step": "withdraw",
                          "grant": key}).encode()  # fmt: skip
        answer = stranger.open("/auth/manage", "POST", body, Content_Type="application/x-www-form-urlencoded")
        assert answer.status == 404, key
    assert refresh(scene, given["refresh_token"]).status == 200


def test_a_professional_takes_back_what_was_agreed_for_themselves(scene: Scene) -> None:
    browser = scene.browser()
    asked = scene.request(LPS, scope="openid offline_access user/*.rs")
    page = scene.sign_in(browser, browser.open(asked), "carlier")
    given = tokens(scene, browser.submit(page, decision="allow"), LPS)
    page = browser.submit(browser.open("/auth/manage"))
    assert "Logiciel du cabinet est retiré" in page.text
    assert refresh(scene, given["refresh_token"], LPS).json["error"] == "invalid_grant"


def test_the_page_asks_to_sign_in_first(scene: Scene) -> None:
    browser = scene.browser()
    page = browser.open("/auth/manage")
    assert "gérer les accès" in page.text
    assert browser.submit(page, login="anouk", password="wrong").status == 401
    assert "Vos applications" in scene.sign_in(browser, page).text


@pytest.mark.statement("security O-8")
def test_signing_out_ends_the_login_and_what_lives_with_it(scene: Scene) -> None:
    browser, given = agreed(scene, "openid online_access patient/*.rs")
    page = browser.open("/auth/logout")
    assert "Voulez-vous vous déconnecter" in page.text
    page = browser.submit(page)
    assert "Vous êtes déconnecté" in page.text
    assert "__Host-dmp" not in browser.cookies
    assert "Connexion" in browser.open(scene.request()).text
    assert refresh(scene, given["refresh_token"]).json["error"] == "invalid_grant"
    scene.world.clock.time_ms += 5_000
    assert get(scene, given["access_token"], f"Patient/{given['patient']}").status == 401


def test_what_was_granted_offline_survives_signing_out(scene: Scene) -> None:
    browser, given = agreed(scene)
    browser.submit(browser.open("/auth/logout"))
    assert refresh(scene, given["refresh_token"]).status == 200


def test_an_application_that_knows_the_login_ends_it_and_gets_the_person_back(scene: Scene) -> None:
    scene.change_client(APP, post_logout_redirect_uris=(BYE,))
    browser, given = agreed(scene)
    page = browser.open(f"/auth/logout?id_token_hint={given['id_token']}&post_logout_redirect_uri={BYE}&state=a%26b")
    assert page.url == f"{BYE}?state=a%26b"
    assert "Connexion" in browser.open(scene.request()).text


@pytest.mark.statement("security O-9", "security TH21", "security H-18")
@pytest.mark.parametrize("target", ["https://evil.example/", BYE + "/", BYE + "?x=1", "//evil.example"])
def test_a_return_address_that_is_not_registered_is_refused(scene: Scene, target: str) -> None:
    scene.change_client(APP, post_logout_redirect_uris=(BYE,))
    browser, given = agreed(scene)
    for hint in (given["id_token"], given["id_token"][:-4] + "AAAA", ""):
        page = browser.open(f"/auth/logout?id_token_hint={hint}&post_logout_redirect_uri={target}")
        assert page.status == 400
    page = browser.open(f"/auth/logout?post_logout_redirect_uri={BYE}&client_id=app")
    assert page.status == 400
    assert "code" in browser.open(scene.request(scope=SCOPE)).answer


def test_an_access_token_is_no_hint(scene: Scene) -> None:
    browser, given = agreed(scene)
    page = browser.open(f"/auth/logout?id_token_hint={given['access_token']}")
    assert "Voulez-vous" in page.text
