"""Well-known client libraries complete both launches: fhirclient for JavaScript (npm) and fhirclient for Python."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
import requests

from fhir_dmp.demo import accounts as demo
from fhir_dmp.demo.people import ANOUK, DOCTOR
from tests.browser.conftest import Visitor
from tests.browser.stage import PASSWORD, Stage, fhirclient_js

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]
Visit = Callable[..., Visitor]
_PAGE = """<!DOCTYPE html><html><head><title>loading</title></head><body><script src="/fhir-client.js"></script><script>
FHIR.oauth2.{call}({options}).then(client => client && client.patient.read().then(patient => {{
  document.title = "done " + patient.birthDate + " " + client.patient.id;
}})).catch(error => {{ document.title = "failed " + error.message; }});
</script></body></html>"""


def handle(stage: Stage, user: str) -> str:
    """Ask for the handle of an EHR launch."""
    basic = (demo.BACKEND.client_id, demo.BACKEND_SECRET)
    form = {"grant_type": "client_credentials", "scope": "__launch.create"}
    access = requests.post(f"{stage.home}/auth/token", data=form, auth=basic, timeout=10).json()["access_token"]
    made = requests.post(
        f"{stage.home}/auth/launch", json={"client_id": "demo-lps", "user": user, "ins": ANOUK.ins},
        headers={"Authorization": f"Bearer {access}"}, timeout=10,
    )  # fmt: skip
    found: str = made.json()["launch"]
    return found


@pytest.fixture
def library(running: Stage) -> None:
    """Serve the JavaScript library from the application."""
    script = fhirclient_js()
    if script is None:
        pytest.skip("the npm package fhirclient is not installed (npm install --no-save fhirclient)")
    running.app.pages["/fhir-client.js"] = ("text/javascript", script.read_bytes())


def page(call: str, options: str) -> tuple[str, bytes]:
    return "text/html", _PAGE.format(call=call, options=options).encode()


@pytest.mark.usefixtures("library")
def test_the_javascript_client_completes_a_standalone_launch(visit: Visit, running: Stage) -> None:
    options = (
        f'{{iss: "{running.home}/fhir", clientId: "demo-app", scope: "openid fhirUser launch/patient patient/*.rs", '
        f'redirectUri: "{running.app.origin}/app.html", pkceMode: "required"}}'
    )
    running.app.pages["/start.html"] = page("authorize", options)
    running.app.pages["/app.html"] = page("ready", "")
    visitor = visit()
    visitor.page.goto(f"{running.app.origin}/start.html")
    visitor.page.wait_for_selector("#login")
    visitor.sign_in("mail", PASSWORD)
    visitor.give_code(running.mailed_code())
    visitor.page.click("button[value=allow]")
    visitor.page.wait_for_function("document.title.startsWith('done') || document.title.startsWith('failed')")
    assert visitor.page.title().startswith(f"done {ANOUK.born}")


@pytest.mark.usefixtures("library")
def test_the_javascript_client_completes_an_ehr_launch(visit: Visit, running: Stage) -> None:
    options = (
        '{clientId: "demo-lps", scope: "openid fhirUser launch patient/*.rs", '
        f'redirectUri: "{running.app.origin}/app.html", pkceMode: "required"}}'
    )
    running.app.pages["/launch.html"] = page("authorize", options)
    running.app.pages["/app.html"] = page("ready", "")
    launch = handle(running, DOCTOR.number)
    visitor = visit()
    visitor.page.goto(f"{running.app.origin}/launch.html?iss={running.home}/fhir&launch={launch}")
    visitor.page.wait_for_selector("#login")
    visitor.sign_in("doctor", PASSWORD)
    visitor.give_code(running.mailed_code())
    visitor.page.click("button[value=allow]")
    visitor.page.wait_for_function("document.title.startsWith('done') || document.title.startsWith('failed')")
    assert visitor.page.title().startswith(f"done {ANOUK.born}")


class Form:
    """A person without a browser, who fills in our forms."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.cookies: dict[str, str] = {}

    def open(self, url: str, form: dict[str, Any] | None = None) -> str:
        """Follow redirects until one leads away; return the page, or the URL that leads away."""
        for _ in range(10):
            sent = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
            answer = requests.request(
                "GET" if form is None else "POST", url, data=form, headers={"Cookie": sent}, allow_redirects=False,
                timeout=10,
            )  # fmt: skip
            form = None
            for name, value in answer.cookies.items():
                self.cookies[name] = value
            if answer.status_code != 303:
                return answer.text
            url = answer.headers["Location"]
            if url.startswith("/"):
                url = self.stage.home + url
            elif not url.startswith(self.stage.home):
                return url
        raise AssertionError("too many redirects")

    def post(self, shown: str, **values: Any) -> str:
        """Send the form of a page."""
        hidden = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', shown.partition("</form>")[0]))
        return self.open(f"{self.stage.home}/auth/continue", {**hidden, **values})


def smart(stage: Stage, client: str, **settings: str) -> Any:
    library = pytest.importorskip("fhirclient.client", reason="fhirclient for Python is not installed")
    values = {"app_id": client, "api_base": f"{stage.home}/fhir", "redirect_uri": stage.app.callback,
              "scope": "openid fhirUser patient/*.rs", **settings}  # fmt: skip
    made = library.FHIRClient(settings=values)
    made.prepare()
    return made


def test_the_python_client_completes_a_standalone_launch(running: Stage) -> None:
    made = smart(running, "demo-app")
    person = Form(running)
    shown = person.open(made.authorize_url)
    shown = person.post(shown, login="mail", password=PASSWORD)
    shown = person.post(shown, code=running.mailed_code())
    url = person.post(shown, decision="allow", scope=["patient/*.rs"]) if "<form" in shown else shown
    made.handle_callback(url)
    assert made.ready
    assert made.patient.birthDate.isostring == ANOUK.born


def test_the_python_client_completes_an_ehr_launch(running: Stage) -> None:
    made = smart(running, "demo-lps", launch_token=handle(running, DOCTOR.number))
    person = Form(running)
    shown = person.open(made.authorize_url)
    shown = person.post(shown, login="doctor", password=PASSWORD)
    shown = person.post(shown, code=running.mailed_code())
    url = person.post(shown, decision="allow", scope=["patient/*.rs"]) if "<form" in shown else shown
    made.handle_callback(url)
    assert made.patient.birthDate.isostring == ANOUK.born
