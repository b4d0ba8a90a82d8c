"""What protects the pages: cookies, forged forms, headers, foreign addresses, other people's browsers."""

from __future__ import annotations

import re
from urllib.parse import urlencode

import pytest

from fhir_dmp.http.pages.wording import LANGUAGES, texts
from tests.signin.browser import Browser, Page
from tests.signin.scene import APP, Scene, make_scene

FORM = "application/x-www-form-urlencoded"


@pytest.fixture
def scene() -> Scene:
    made = make_scene()
    made.patient()
    return made


def consenting(scene: Scene) -> tuple[Browser, Page]:
    browser = scene.browser()
    return browser, scene.sign_in(browser, browser.open(scene.request()))


@pytest.mark.statement("security TH23", "security H-18")
@pytest.mark.parametrize("csrf", ["", "x" * 43, None, "é"])
def test_a_form_without_our_token_is_forged(scene: Scene, csrf: str | None) -> None:
    browser, page = consenting(scene)
    answer = browser.submit(page, csrf=csrf, decision="allow")
    assert answer.status == 403
    assert "code" in browser.submit(page, decision="allow").answer


@pytest.mark.statement("security TH23", "security H-18")
@pytest.mark.parametrize("headers", [{"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}])
def test_a_form_from_another_site_is_forged(scene: Scene, headers: dict[str, str]) -> None:
    browser, page = consenting(scene)
    fields = [*page.forms[0].fields, ("decision", "allow")]
    body = urlencode(fields).encode()
    response = scene.world.request(
        "POST", "/auth/continue", body,
        {"Content-Type": FORM, "Cookie": "; ".join(f"{k}={v}" for k, v in browser.cookies.items()), **headers},
    )  # fmt: skip
    assert response.status == 403


def test_a_token_of_another_browser_is_forged(scene: Scene) -> None:
    _, page = consenting(scene)
    stranger = scene.browser()
    own = stranger.open(scene.request())
    token = dict(own.forms[0].fields)["csrf"]
    answer = stranger.submit(page, csrf=token, decision="allow")
    assert (answer.status, "expiré" in answer.text) == (400, True)


def test_a_page_belongs_to_the_browser_that_began_it(scene: Scene) -> None:
    _, page = consenting(scene)
    assert scene.browser().open(page.url).status == 400


def test_the_cookie_changes_at_sign_in_and_the_old_one_is_worth_nothing(scene: Scene) -> None:
    browser = scene.browser()
    page = browser.open(scene.request())
    planted = dict(browser.cookies)
    scene.sign_in(browser, page)
    assert browser.cookies["__Host-dmp"] != planted["__Host-dmp"]
    thief = Browser(scene.world, planted)
    assert "Connexion" in thief.open(scene.request()).text


@pytest.mark.statement("security H-25")
def test_cookies_are_for_this_host_secure_and_out_of_reach_of_scripts(scene: Scene) -> None:
    response = scene.browser().send("GET", scene.request())
    place = response.headers["Location"]
    cookies = scene.browser().send("GET", place).cookies
    assert len(cookies) == 1
    for part in ("__Host-dmp=", "Secure", "HttpOnly", "SameSite=Lax", "Path=/"):
        assert part in cookies[0]
    assert "Domain" not in cookies[0]


@pytest.mark.statement("security H-26", "security TH23", "security H-18")
def test_every_page_forbids_scripts_frames_and_foreign_content(scene: Scene) -> None:
    browser, page = consenting(scene)
    pages = [page, browser.open("/"), browser.open("/auth/continue?r=none"), scene.browser().open(scene.request())]
    for each in pages:
        policy = each.response.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert "script-src" not in policy
        assert not [tag for tag, _ in each.reader.tags if tag in ("script", "style", "iframe", "img", "object")]
        assert not [values for _, values in each.reader.tags if any(k == "style" or k.startswith("on") for k in values)]
        sources = [v.get("href") or "" for tag, v in each.reader.tags if tag == "link"]
        assert sources == ["/auth/style.css"]
        assert each.response.headers["Cache-Control"] == "no-store"
        assert each.response.headers["Referrer-Policy"] == "no-referrer"
    assert "form-action 'self' https://app.example;" in page.response.headers["Content-Security-Policy"]


@pytest.mark.statement("security TH50", "security H-19")
def test_what_people_and_clients_write_is_never_markup(scene: Scene) -> None:
    scene.change_client(APP, name="<b>{{7*7}}</b>")
    browser = scene.browser()
    page = browser.open(scene.request(login_hint='"><script>alert(1)</script>'))
    assert b"<script" not in page.response.body
    assert b"<b>" not in page.response.body
    assert "{{7*7}}" in page.text
    page = browser.submit(page, login='"><script>', password="wrong")
    assert b"<script" not in page.response.body


@pytest.mark.statement("security TH21", "security H-18")
@pytest.mark.parametrize("r", ["//evil.example", "https://evil.example", "..%2f..", "%0d%0aLocation:%20x"])
def test_no_parameter_of_a_page_leads_elsewhere(scene: Scene, r: str) -> None:
    for path in (f"/auth/continue?r={r}", f"/auth/psc/start?r={r}"):
        response = scene.browser().send("GET", path)
        assert response.status == 400
        assert "Location" not in response.headers


def test_a_code_is_given_once_however_often_the_form_is_sent(scene: Scene) -> None:
    browser, page = consenting(scene)
    assert "code" in browser.submit(page, decision="allow").answer
    again = browser.submit(page, decision="allow")
    assert (again.status, "déjà été traitée" in again.text) == (400, True)


def test_a_form_of_a_later_step_does_not_skip_the_earlier_ones(scene: Scene) -> None:
    browser = scene.browser()
    page = browser.open(scene.request())
    answer = browser.submit(page, step="consent", decision="allow", scope=["patient/*.rs"])
    assert "Connexion" in answer.text
    assert "code" not in answer.answer


@pytest.mark.parametrize(
    ("header", "language", "word"), [("fr", "fr", "Connexion"), ("en-GB,fr;q=0.5", "en", "Sign in")]
)
def test_pages_speak_the_language_of_the_browser(scene: Scene, header: str, language: str, word: str) -> None:
    page = scene.browser(header).open(scene.request())
    assert page.response.headers["Content-Language"] == language
    assert ("html", {"lang": language}) in page.reader.tags
    assert word in page.text


def test_the_language_can_be_switched_and_stays(scene: Scene) -> None:
    browser = scene.browser()
    page = browser.open(scene.request())
    switch = next(link for link in page.reader.links if "lang=en" in link)
    page = browser.open(switch)
    assert "Sign in" in page.text
    assert "Sign in" in browser.open(scene.request()).text


def test_both_languages_say_everything() -> None:
    said = texts()
    assert set(said) == set(LANGUAGES)
    assert said["fr"].keys() == said["en"].keys()
    for key in said["fr"]:
        blanks = [sorted(re.findall(r"{\w+}", said[language][key])) for language in LANGUAGES]
        assert blanks[0] == blanks[1], key


def test_fields_have_labels_and_errors_lead_to_their_field(scene: Scene) -> None:
    browser = scene.browser()
    page = browser.submit(browser.open(scene.request()), login="anouk", password="wrong")
    tags = page.reader.tags
    labels = {v.get("for") for tag, v in tags if tag == "label"}
    inputs = [v for tag, v in tags if tag == "input" and v.get("type") != "hidden"]
    assert {v.get("id") for v in inputs} <= labels
    summary = next(v for tag, v in tags if tag == "div" and v.get("role") == "alert")
    assert "autofocus" in summary
    assert "#login" in page.reader.links
    broken = next(v for v in inputs if v.get("id") == "login")
    assert (broken["aria-invalid"], broken["aria-describedby"]) == ("true", "login-error")
    assert any(v.get("id") == "login-error" for _, v in tags)


def test_the_front_page_says_what_this_is_and_leads_on(scene: Scene) -> None:
    page = scene.browser().open("/")
    assert page.status == 200
    assert "FHIR R4" in page.text
    for link in page.reader.links:
        if link.startswith("/") and not link.startswith("/fhir") and link != "/auth/manage":
            assert scene.browser().send("GET", link).status == 200, link


def test_a_method_that_a_page_does_not_know_is_refused(scene: Scene) -> None:
    assert scene.browser().send("PUT", "/auth/authorize").status == 405
    assert scene.world.request("POST", "/auth/authorize", b"x" * 40_000, {"Content-Type": FORM}).status == 400
