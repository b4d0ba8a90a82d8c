"""Launches, refusals and errors as people meet them in a browser; pictures are kept in build/screenshots."""

from __future__ import annotations

import hashlib
import json
from base64 import urlsafe_b64encode
from collections.abc import Callable
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
import requests

from fhir_dmp.demo import accounts as demo
from fhir_dmp.demo.people import ANOUK, DOCTOR
from tests.browser.conftest import Visitor
from tests.browser.stage import PASSWORD, Stage

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]
VERIFIER = "w" * 50
CHALLENGE = urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
Visit = Callable[..., Visitor]


def request_of(stage: Stage, client: str = "demo-app", **changes: str) -> str:
    """Return the URL of an authorization request."""
    values = {
        "response_type": "code", "client_id": client, "redirect_uri": stage.app.callback, "state": "state-é-%-+",
        "scope": "openid fhirUser launch/patient patient/*.rs", "aud": f"{stage.home}/fhir",
        "code_challenge": CHALLENGE, "code_challenge_method": "S256", **changes,
    }  # fmt: skip
    return f"{stage.home}/auth/authorize?{urlencode(values)}"


def answer(visitor: Visitor) -> dict[str, str]:
    """Wait until the application was told, and return what."""
    visitor.page.wait_for_url(visitor.stage.app.callback + "?**")
    return {name: values[0] for name, values in parse_qs(urlsplit(visitor.page.url).query).items()}


def token(stage: Stage, told: dict[str, str], client: str = "demo-app") -> dict[str, str]:
    """Redeem the code."""
    form = {"grant_type": "authorization_code", "code": told["code"], "client_id": client,
            "redirect_uri": stage.app.callback, "code_verifier": VERIFIER}  # fmt: skip
    response = requests.post(f"{stage.home}/auth/token", data=form, timeout=10)
    assert response.status_code == 200, response.text
    found: dict[str, str] = response.json()
    return found


def test_a_patient_goes_through_the_standalone_launch_without_any_script(visit: Visit, running: Stage) -> None:
    visitor = visit(java_script_enabled=False)
    visitor.page.goto(request_of(running, prompt="consent"))
    visitor.picture("1-sign-in")
    visitor.sign_in("mail", PASSWORD)
    visitor.picture("2-code")
    visitor.give_code(running.mailed_code())
    assert "Autoriser Carnet de démonstration ?" in visitor.text()
    visitor.picture("3-consent")
    visitor.page.click("button[value=allow]")
    told = answer(visitor)
    assert (told["state"], told["iss"]) == ("state-é-%-+", f"{running.home}/auth")
    given = token(running, told)
    read = requests.get(
        f"{running.home}/fhir/Patient/{given['patient']}",
        headers={"Authorization": f"Bearer {given['access_token']}"}, timeout=10,
    )  # fmt: skip
    assert read.json()["birthDate"] == ANOUK.born
    own = (running.home, running.app.origin)
    assert [url for url in visitor.fetched if not url.startswith(own)] == []
    visitor.page.goto(f"{running.home}/auth/manage")
    assert "Carnet de démonstration" in visitor.text()
    visitor.picture("4-applications")
    visitor.page.click("section button")
    assert "est retiré" in visitor.text()


def test_a_representative_picks_a_record_and_refuses(visit: Visit, running: Stage) -> None:
    visitor = visit()
    visitor.page.goto(request_of(running))
    visitor.sign_in("anouk", PASSWORD)
    visitor.give_code(running.shown_code("anouk"))
    assert "Pour qui ?" in visitor.text()
    visitor.picture("5-profile")
    visitor.page.click("main form button >> nth=0")
    assert "Choisissez une réponse" in visitor.text()
    visitor.picture("6-profile-error")
    visitor.page.check("#choice-1")
    visitor.page.click("main form button >> nth=0")
    assert "BELLANGER Lise" in visitor.text()
    visitor.page.click("button[value=refuse]")
    told = answer(visitor)
    assert (told["error"], "code" in told) == ("access_denied", False)


def test_a_doctor_is_launched_from_the_business_software(visit: Visit, running: Stage) -> None:
    basic = (demo.BACKEND.client_id, demo.BACKEND_SECRET)
    form = {"grant_type": "client_credentials", "scope": "__launch.create"}
    access = requests.post(f"{running.home}/auth/token", data=form, auth=basic, timeout=10)
    assert access.status_code == 200, access.text
    handle = requests.post(
        f"{running.home}/auth/launch",
        json={"client_id": "demo-lps", "user": DOCTOR.number, "ins": ANOUK.ins},
        headers={"Authorization": f"Bearer {access.json()['access_token']}"},
        timeout=10,
    ).json()
    asked = {"scope": "openid fhirUser launch patient/*.rs", "launch": handle["launch"], "prompt": "consent"}
    visitor = visit(locale="en-GB")
    visitor.page.goto(request_of(running, "demo-lps", **asked))
    assert "Sign in" in visitor.text()
    visitor.sign_in("doctor", PASSWORD)
    visitor.give_code(running.mailed_code())
    assert "BELLANGER Anouk" in visitor.text()
    visitor.picture("7-ehr-launch-consent")
    visitor.page.click("button[value=allow]")
    given = token(running, answer(visitor), "demo-lps")
    assert given["patient"]
    visitor.page.goto(request_of(running, "demo-lps", **asked))
    assert answer(visitor)["error"] == "invalid_request"
    visitor.page.goto(request_of(running, "demo-lps"))
    assert "Which patient?" in visitor.text()
    visitor.picture("8-patient")


def test_breaking_the_glass_shows_where_one_is(visit: Visit, running: Stage) -> None:
    visitor = visit()
    scope = "openid launch/patient patient/*.rs __access_mode.bris_de_glace"
    visitor.page.goto(request_of(running, "demo-lps", scope=scope))
    visitor.sign_in("oudart", PASSWORD)
    visitor.give_code(running.shown_code("oudart"))
    visitor.page.fill("#ins", ANOUK.ins)
    visitor.page.click("main form button >> nth=0")
    assert "sans son autorisation" in visitor.text()
    visitor.page.click("main form button >> nth=0")
    assert "au moins 10 caractères" in visitor.text()
    visitor.picture("9-break-glass")
    visitor.page.fill("#reason", "Personne inconsciente, urgence vitale")
    visitor.page.click("main form button >> nth=0")
    assert "10 minutes, sans renouvellement" in visitor.text()
    visitor.page.click("button[value=allow]")
    assert "code" in answer(visitor)


def test_faults_are_pages_that_say_what_to_do(visit: Visit, running: Stage) -> None:
    visitor = visit()
    for name, changes in (
        ("unknown-client", {"client_id": "nobody"}),
        ("unknown-redirect", {"redirect_uri": "https://evil.example/"}),
    ):
        response = visitor.page.goto(request_of(running, **changes))
        assert response is not None
        assert response.status == 400
        assert "ne peut pas aboutir" in visitor.text()
        visitor.picture(f"10-{name}")
    visitor.page.goto(request_of(running, code_challenge_method="plain"))
    assert answer(visitor)["error"] == "invalid_request"


def test_an_error_takes_the_focus_and_leads_to_its_field_by_keyboard(visit: Visit, running: Stage) -> None:
    visitor = visit()
    visitor.page.goto(request_of(running))
    visitor.page.keyboard.press("Tab")
    assert visitor.page.evaluate("document.activeElement.className") == "skip"
    visitor.sign_in("nobody", "wrong")
    assert visitor.page.evaluate("document.activeElement.getAttribute('role')") == "alert"
    visitor.picture("11-sign-in-error")
    visitor.page.keyboard.press("Tab")
    visitor.page.keyboard.press("Enter")
    assert visitor.page.evaluate("document.activeElement.id") == "login"


def test_the_front_page_and_the_language_switch(visit: Visit, running: Stage) -> None:
    visitor = visit(viewport={"width": 380, "height": 700})
    visitor.page.goto(running.home + "/")
    visitor.picture("12-front")
    wide = visitor.page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert wide
    visitor.page.click("header a")
    assert visitor.page.get_attribute("html", "lang") == "en"
    visitor.page.goto(running.home + "/")
    assert visitor.page.get_attribute("html", "lang") == "en"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_its_ground(visit: Visit, running: Stage, scheme: str) -> None:
    visitor = visit(color_scheme=scheme)
    visitor.page.goto(request_of(running))
    ratios = json.loads(visitor.page.evaluate(_CONTRAST))
    assert ratios
    assert {name: ratio for name, ratio in ratios.items() if ratio < 4.5} == {}


#: Contrast (WCAG 2.1, 1.4.3) of every element that holds text.
_CONTRAST = """() => {
  const linear = v => v / 255 <= .03928 ? v / 255 / 12.92 : ((v / 255 + .055) / 1.055) ** 2.4;
  const light = ([r, g, b]) => .2126 * linear(r) + .7152 * linear(g) + .0722 * linear(b);
  const rgb = s => s.match(/[\\d.]+/g).map(Number);
  const ground = e => { for (; e; e = e.parentElement) { const c = rgb(getComputedStyle(e).backgroundColor);
                        if (c.length < 4 || c[3] > 0) return c.slice(0, 3); } return [255, 255, 255]; };
  const found = {};
  for (const e of document.querySelectorAll('h1,p,a:not(.skip),label,button,strong')) {
    if (!e.innerText || !e.innerText.trim()) continue;
    const [a, b] = [light(rgb(getComputedStyle(e).color)), light(ground(e))].sort((x, y) => y - x);
    found[e.tagName + ' ' + e.innerText.slice(0, 20)] = (a + .05) / (b + .05);
  }
  return JSON.stringify(found);
}"""
