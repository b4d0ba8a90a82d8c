"""The EHR launch: a handle for one application, one person and one use; and the whole way to a token."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from fhir_dmp.identity.caller import Actor, Caller
from fhir_dmp.identity.tokens import Validity, claims_of, sign
from tests import samples
from tests.signin.scene import APP, LPS, LPS_CALLBACK, Scene, make_scene
from tests.signin.token import get, tokens
from tests.world import Response

SCOPE = "openid fhirUser launch patient/*.rs"


@pytest.fixture
def scene() -> Scene:
    made = make_scene()
    made.professional()
    made.world.authorise()
    return made


def bearer(scene: Scene, scope: str = "__launch.create") -> str:
    """Return what the token endpoint gives a business software."""
    now = scene.world.clock.time_ms // 1000
    services = scene.world.services
    caller = Caller(Actor.STRUCTURE, "software", client="software", structure=samples.HOSPITAL)
    claims = claims_of(
        caller, issuer=services.issuer, audience=services.base, validity=Validity(now - 5, now + 300), jti="l-1"
    )
    return sign({**claims, "scope": scope}, services.verifier.keys)


def ask(scene: Scene, token: str | None = None, **changes: Any) -> Response:
    """Ask for a handle."""
    values = {"client_id": "lps", "user": samples.DOCTOR, "patient": scene.world.patients[samples.ANOUK], **changes}
    body = json.dumps({name: value for name, value in values.items() if value is not None}).encode()
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {token or bearer(scene)}"}
    return scene.world.request("POST", "/auth/launch", body, headers)


def handle(scene: Scene, **changes: Any) -> str:
    answer = ask(scene, **changes)
    assert answer.status == 200, answer.body
    assert (answer.json["expires_in"], answer.headers["Cache-Control"]) == (300, "no-store")
    found: str = answer.json["launch"]
    return found


def test_an_application_is_launched_on_the_patient_that_is_open(scene: Scene) -> None:
    context = [{"reference": "Practitioner/x", "role": "https://lps.example/role"}]
    launch = handle(
        scene, encounter="e-1", intent="reconcile", need_patient_banner=False, fhirContext=context, tenant="t-1"
    )
    browser = scene.browser()
    page = scene.sign_in(browser, browser.open(scene.request(LPS, scope=SCOPE, launch=launch)), "carlier")
    assert "BELLANGER Anouk" in page.text
    page = browser.submit(page, decision="allow")
    answer = tokens(scene, page, LPS)
    id_ = scene.world.patients[samples.ANOUK]
    told = {name: answer[name] for name in ("patient", "encounter", "intent", "need_patient_banner", "tenant")}
    assert told == {"patient": id_, "encounter": "e-1", "intent": "reconcile", "need_patient_banner": False,
                    "tenant": "t-1"}  # fmt: skip
    assert answer["fhirContext"] == context
    style = answer["smart_style_url"].removeprefix("http://127.0.0.1:8000")
    assert scene.world.request("GET", style, b"", {}).json["color_text"] == "#161616"
    assert get(scene, answer["access_token"], f"Patient/{id_}").status == 200


def test_the_patient_may_be_named_by_ins(scene: Scene) -> None:
    launch = handle(scene, patient=None, ins=samples.ANOUK)
    browser = scene.browser()
    page = scene.sign_in(browser, browser.open(scene.request(LPS, scope=SCOPE, launch=launch)), "carlier")
    given = scene.redeem(browser.submit(page, decision="allow"), LPS)
    assert given.context["patient"] == scene.world.patients[samples.ANOUK]


@pytest.mark.statement("security A-21", "security TH30", "security H-18")
def test_a_handle_is_used_once(scene: Scene) -> None:
    launch = handle(scene)
    asked = scene.request(LPS, scope=SCOPE, launch=launch)
    assert "Connexion" in scene.browser().open(asked).text
    page = scene.browser().open(asked)
    assert (page.url.startswith(LPS_CALLBACK), page.answer["error"]) == (True, "invalid_request")


def test_a_handle_lives_five_minutes(scene: Scene) -> None:
    launch = handle(scene)
    scene.world.clock.time_ms += 300_000
    page = scene.browser().open(scene.request(LPS, scope=SCOPE, launch=launch))
    assert page.answer["error"] == "invalid_request"


@pytest.mark.statement("security A-22", "security TH30", "security H-18")
def test_a_handle_is_for_the_person_it_was_made_for(scene: Scene) -> None:
    scene.professional("other", samples.OTHER_DOCTOR)
    launch = handle(scene)
    browser = scene.browser()
    page = scene.sign_in(browser, browser.open(scene.request(LPS, scope=SCOPE, launch=launch)), "other")
    assert page.answer["error"] == "access_denied"


@pytest.mark.statement("security A-23")
def test_a_handle_is_for_the_application_it_was_made_for(scene: Scene) -> None:
    other = replace(LPS, client_id="other", redirect_uris=("https://other.example/callback",))
    scene.world.services.clients.add(other)
    launch = handle(scene)
    page = scene.browser().open(scene.request(other, scope=SCOPE, launch=launch))
    assert page.answer["error"] == "invalid_request"
    assert "Connexion" in scene.browser().open(scene.request(LPS, scope=SCOPE, launch=launch)).text


def test_a_blocked_professional_is_refused_although_a_handle_was_made(scene: Scene) -> None:
    scene.world.consent(samples.ANOUK, "block", deny=True, actor=[samples.consent_actor(samples.DOCTOR)])
    launch = handle(scene)
    browser = scene.browser()
    page = scene.sign_in(browser, browser.open(scene.request(LPS, scope=SCOPE, launch=launch)), "carlier")
    assert page.answer["error"] == "access_denied"


@pytest.mark.parametrize(
    "changes",
    [
        {"client_id": None}, {"client_id": "nobody"}, {"client_id": "app"}, {"user": None}, {"user": "Claire"},
        {"patient": None}, {"ins": samples.ANOUK}, {"patient": "../x"}, {"patient": 7}, {"unknown": "x"},
        {"need_patient_banner": "yes"}, {"fhirContext": ["Observation/1"]}, {"fhirContext": [{"role": "launch"}]},
        {"fhirContext": [{"reference": "Patient/1"}]}, {"fhirContext": [{"reference": "https://x/Patient/1"}]},
        {"fhirContext": [{"reference": "Observation/1", "role": ""}]}, {"encounter": "a b"},
    ],
)  # fmt: skip
def test_a_handle_that_cannot_be_made_says_why(scene: Scene, changes: dict[str, Any]) -> None:
    answer = ask(scene, **changes)
    assert (answer.status, answer.json["error"]) == (400, "invalid_request")
    assert answer.json["error_description"]


def test_an_unknown_patient_is_told(scene: Scene) -> None:
    assert ask(scene, patient="nobody").status == 422
    assert ask(scene, patient=None, ins="168017218137243").status == 422


def test_only_software_that_was_granted_it_makes_handles(scene: Scene) -> None:
    assert ask(scene, bearer(scene, "system/Patient.rs")).status == 403
    headers = {"Content-Type": "application/json"}
    answer = scene.world.request("POST", "/auth/launch", b"{}", headers)
    assert (answer.status, "WWW-Authenticate" in answer.headers) == (401, True)
    assert scene.world.request("GET", "/auth/launch", b"", {}).status == 405
    for body in (b"{", b"[]", b"[" * 50_000):
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {bearer(scene)}"}
        assert scene.world.request("POST", "/auth/launch", body, headers).status == 400


def test_a_patients_application_is_not_launched_by_business_software(scene: Scene) -> None:
    scene.change_client(APP, launch_uris=("https://app.example/launch",), scope=APP.scope + " launch")
    launch = handle(scene, client_id="app")
    page = scene.browser().open(scene.request(scope="launch patient/*.rs", launch=launch))
    assert page.answer["error"] == "unauthorized_client"
