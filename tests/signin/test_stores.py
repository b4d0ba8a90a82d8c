"""The whole way through the pages on every store, and what happens when forms race."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from fhir_dmp.identity.accounts import AccountClass
from fhir_dmp.identity.caller import Actor
from fhir_dmp.oauth.clients import AUTHORIZATION_CODE, Client, Kind, UserClass
from fhir_dmp.signin.enrolling import Enrolment, enrol
from tests import samples
from tests.flows.stores import STORES
from tests.signin.browser import Browser
from tests.signin.scene import CALLBACK, PASSWORD, VISIT, Scene, make_scene
from tests.signin.token import get, refresh, tokens

SCOPE = "openid fhirUser launch/patient offline_access patient/*.rs"


@pytest.fixture(params=list(STORES))
def scene(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Scene]:
    store = STORES[request.param](tmp_path)
    made = make_scene(store)
    made.patient()
    yield made
    store.close()


def test_sign_in_agreement_refresh_withdrawal_and_logout(scene: Scene) -> None:
    browser = scene.browser()
    page = scene.sign_in(browser, browser.open(scene.request(scope=SCOPE)))
    given = tokens(scene, browser.submit(page, decision="allow"))
    assert get(scene, given["access_token"], f"Patient/{given['patient']}").status == 200
    renewed = refresh(scene, given["refresh_token"])
    assert renewed.status == 200
    page = browser.submit(browser.open("/auth/manage"))
    assert "est retiré" in page.text
    assert refresh(scene, renewed.json["refresh_token"]).status == 400
    assert "Vous êtes déconnecté" in browser.submit(browser.open("/auth/logout")).text


def test_forms_that_race_yield_one_code(scene: Scene) -> None:
    browser = scene.browser()
    page = scene.sign_in(browser, browser.open(scene.request(scope=SCOPE)))

    def allow(_: int) -> str:
        return Browser(scene.world, dict(browser.cookies)).submit(page, decision="allow").url

    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(allow, range(6)))
    assert len([url for url in answers if "code=" in url]) == 1
    consents = scene.world.patient().get(f"/Consent?patient=Patient/{scene.world.patients[samples.ANOUK]}").entries
    assert len([each for each in consents if "app-grant" in str(each["category"])]) == 1


def test_codes_that_race_get_five_tries_between_them(scene: Scene) -> None:
    browser = scene.browser()
    page = browser.submit(browser.open(scene.request()), login="anouk", password=PASSWORD)

    def guess(number: int) -> str:
        return Browser(scene.world, dict(browser.cookies)).submit(page, code=f"{number:06d}").text

    with ThreadPoolExecutor(6) as pool:
        said = list(pool.map(guess, range(12)))
    assert 1 <= len([each for each in said if "ou code incorrect" in each]) <= 5
    page = browser.submit(page, code=scene.code_of("anouk"))
    assert "Autoriser" not in page.text


def test_an_auditor_signs_in_with_an_authenticator(scene: Scene) -> None:
    console = Client(
        "console", "Console d'audit", Kind.AUDITOR_UI, user_classes=frozenset({UserClass.AUDITOR}),
        grant_types=(AUTHORIZATION_CODE,), scope="openid user/AuditEvent.rs", redirect_uris=(CALLBACK,),
    )  # fmt: skip
    scene.world.services.clients.add(console)
    enrol(Enrolment("auditor", PASSWORD, AccountClass.AUDITOR, family="N", given="O"), scene.desk, VISIT)
    browser = scene.browser()
    asked = scene.request(console, scope="openid user/AuditEvent.rs user/Patient.rs")
    page = browser.submit(scene.sign_in(browser, browser.open(asked), "auditor"), decision="allow")
    given = scene.redeem(page, console)
    assert (given.caller.actor, given.scope) == (Actor.AUDITOR, "openid user/AuditEvent.rs")
