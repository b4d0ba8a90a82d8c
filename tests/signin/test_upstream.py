"""Signing in with a real OpenID provider on its own port, through our pages."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlencode

import pytest

from fhir_dmp.identity.caller import Actor
from tests import samples
from tests.provider.running import Running, provider
from tests.signin.browser import HOST, Browser, Page
from tests.signin.scene import CALLBACK, LPS, LPS_CALLBACK, Scene, make_scene


@pytest.fixture(scope="module")
def idp() -> Iterator[Running]:
    with provider() as one:
        yield one


@pytest.fixture
def scene(idp: Running) -> Iterator[Scene]:
    yield make_scene(DMP_SECURITY_LOCAL_PROFESSIONALS="false", **idp.settings("psc"), **idp.settings("fc"))
    idp.misbehave()


def leave(browser: Browser, page: Page, which: str = "psc") -> str:
    """Follow the link to the provider; return its URL."""
    link = next(each for each in page.reader.links if f"/{which}/start" in each)
    response = browser.send("GET", link)
    assert response.status == 303
    return response.headers["Location"]


def come_back(idp: Running, browser: Browser, url: str, login: str, which: str = "psc") -> Page:
    """Choose a person at the provider and follow the callback."""
    answer = idp.sign_in(url, login)
    return browser.open(f"{HOST}/auth/{which}/callback?{urlencode(answer)}")


def signed_in(idp: Running, scene: Scene, login: str, **asked: str) -> tuple[Browser, Page]:
    browser = scene.browser()
    page = browser.open(scene.request(LPS, **{"scope": "openid fhirUser user/*.rs", **asked}))
    return browser, come_back(idp, browser, leave(browser, page), login)


def test_a_professional_signs_in_with_pro_sante_connect(idp: Running, scene: Scene) -> None:
    browser, page = signed_in(idp, scene, "carlier")
    assert "Autoriser Logiciel du cabinet ?" in page.text
    given = scene.redeem(browser.submit(page, decision="allow"), LPS)
    assert (given.caller.actor, given.caller.professional) == (Actor.PROFESSIONAL, "810100000016")
    assert (given.caller.structure, given.acr, given.amr) == ("1750999013", "eidas1", ("hwk",))
    assert "810100000016" not in given.caller.subject
    found = scene.world.admin.get(f"/{given.caller.fhir_user}").json
    assert found["identifier"][0]["value"] == "810100000016"
    browser, page = signed_in(idp, scene, "carlier")
    assert "code" in page.answer
    again = scene.redeem(page, LPS)
    assert (again.caller.subject, again.caller.fhir_user) == (given.caller.subject, given.caller.fhir_user)


@pytest.mark.statement("security A-19")
def test_the_situations_that_the_provider_tells_are_to_choose_from(idp: Running, scene: Scene) -> None:
    browser, page = signed_in(idp, scene, "tremblay")
    assert "Hôpital des Tilleuls (10 SM44)" in page.text
    page = browser.submit(browser.submit(page, choice="0"), decision="allow")
    assert scene.redeem(page, LPS).caller.roles[1][1] == "SM44"


def test_a_professional_without_any_situation_is_refused(idp: Running, scene: Scene) -> None:
    _, page = signed_in(idp, scene, "sans-lieu")
    assert page.answer["error"] == "access_denied"


def test_a_patient_signs_in_with_france_connect_and_is_found_by_identity(idp: Running, scene: Scene) -> None:
    browser = scene.browser()
    url = leave(browser, browser.open(scene.request()), "fc")
    assert "acr_values=eidas2" in url
    page = browser.submit(come_back(idp, browser, url, "anouk", "fc"), decision="allow")
    given = scene.redeem(page)
    assert (given.caller.actor, given.caller.patient) == (Actor.PATIENT, scene.world.patients[samples.ANOUK])
    assert given.acr == "eidas2"


def test_who_has_no_record_is_refused(idp: Running, scene: Scene) -> None:
    browser = scene.browser()
    url = leave(browser, browser.open(scene.request()), "fc")
    page = come_back(idp, browser, url, "inconnue", "fc")
    assert (page.status, "ne permet pas" in page.text) == (403, True)


def test_a_record_whose_traits_differ_is_not_taken_for_the_person(idp: Running) -> None:
    scene = make_scene(**idp.settings("fc"))
    patient = scene.world.admin.get(f"/Patient/{scene.world.patients[samples.ANOUK]}").json
    patient["birthDate"] = "1985-04"
    assert scene.world.admin.put(f"/Patient/{patient['id']}", patient).status == 200
    browser = scene.browser()
    url = leave(browser, browser.open(scene.request()), "fc")
    assert come_back(idp, browser, url, "anouk", "fc").status == 403


@pytest.mark.statement("security A-28")
@pytest.mark.parametrize("fault", ["acr", "nonce", "unknown-kid", "audience"])
def test_a_sign_in_that_does_not_fit_lets_nobody_in(idp: Running, scene: Scene, fault: str) -> None:
    browser = scene.browser()
    page = browser.open(scene.request(LPS))
    url = leave(browser, page)
    idp.misbehave(fault)
    page = come_back(idp, browser, url, "carlier")
    assert page.status == 403
    assert "Connexion" in page.text
    assert "Connexion" in browser.open(scene.request(LPS)).text


def test_who_refuses_at_the_provider_may_try_again(idp: Running, scene: Scene) -> None:
    browser = scene.browser()
    url = leave(browser, browser.open(scene.request(LPS)))
    page = come_back(idp, browser, url, "refuse")
    assert page.status == 403
    page = come_back(idp, browser, leave(browser, page), "carlier")
    assert "Quel patient ?" in page.text


@pytest.mark.statement("security TH22", "security H-18")
def test_an_answer_counts_for_its_provider_its_browser_and_once(idp: Running, scene: Scene) -> None:
    browser = scene.browser()
    url = leave(browser, browser.open(scene.request(LPS)))
    answer = idp.sign_in(url, "carlier")
    query = urlencode(answer)
    assert browser.open(f"/auth/fc/callback?{query}").status == 403
    assert scene.browser().open(f"/auth/psc/callback?{query}").status == 403
    assert "Quel patient ?" in browser.open(f"/auth/psc/callback?{query}").text
    assert browser.open(f"/auth/psc/callback?{query}").status == 403
    assert browser.open("/auth/psc/callback?state=unknown&code=x").status == 403


@pytest.mark.statement("security P-7")
def test_a_regulator_may_claim_the_mode_of_the_centre(idp: Running) -> None:
    scene = make_scene(DMP_ACCESS_REGULATION_CENTRES="1750999021", **idp.settings("psc"))
    scope = "openid launch/patient patient/*.rs __access_mode.centre_15"
    browser, page = signed_in(idp, scene, "fouquet", scope=scope)
    page = browser.submit(page, ins=samples.ANOUK)
    assert "Régulation médicale" in page.text
    page = browser.submit(browser.submit(page, reason="Appel au 15, malaise"), decision="allow")
    assert scene.redeem(page, LPS).caller.mode.value == "centre_15"
    _, page = signed_in(idp, scene, "carlier", scope=scope)
    assert page.answer["error"] == "invalid_scope"


def test_a_provider_that_is_away_is_said_so() -> None:
    scene = make_scene(DMP_UPSTREAM_PSC_DISCOVERY_URL="http://127.0.0.1:9/x")
    browser = scene.browser()
    page = browser.open(scene.request(LPS))
    link = next(each for each in page.reader.links if "/psc/start" in each)
    page = browser.open(link)
    assert page.status == 403
    assert CALLBACK not in page.url
    assert LPS_CALLBACK not in page.url
