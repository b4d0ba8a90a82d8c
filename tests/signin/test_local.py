"""Signing in with a local account: codes, tries, locks, and what an attacker must not learn."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from fhir_dmp.identity.accounts import totp_now
from fhir_dmp.signin import accounts
from tests import samples
from tests.mail.server import Mailbox, running
from tests.signin.browser import Browser, Page
from tests.signin.scene import LPS, PASSWORD, Scene, make_scene

MAIL = "anouk@example.org"


@pytest.fixture
def scene() -> Scene:
    made = make_scene()
    made.patient()
    return made


@pytest.fixture
def box() -> Iterator[Mailbox]:
    with running() as one:
        yield one


def begin(scene: Scene) -> tuple[Browser, Page]:
    browser = scene.browser()
    return browser, browser.open(scene.request())


def test_a_code_comes_by_mail_and_nothing_else_is_in_the_message(box: Mailbox) -> None:
    scene = make_scene(DMP_MAIL_SMTP_URL=f"smtp://127.0.0.1:{box.port}")
    scene.patient(email=MAIL)
    browser, page = begin(scene)
    page = browser.submit(page, login="ANOUK ", password=PASSWORD)
    assert "envoyé par courriel" in page.text
    mail = box.messages[0]
    found = re.search(r"\b\d{6}\b", mail.get_content())
    assert (mail["To"], mail["Subject"], found is not None) == (MAIL, "Votre code de connexion", True)
    for private in ("BELLANGER", "Anouk", "285047511200314", "http", "Carnet"):
        assert private not in mail.get_content()
    assert found is not None
    page = browser.submit(page, code=f" {found[0][:3]} {found[0][3:]} ")
    assert "Autoriser Carnet ?" in page.text


def test_a_code_is_good_for_ten_minutes(box: Mailbox) -> None:
    scene = make_scene(DMP_MAIL_SMTP_URL=f"smtp://127.0.0.1:{box.port}")
    scene.patient(email=MAIL)
    browser, page = begin(scene)
    page = browser.submit(page, login="anouk", password=PASSWORD)
    found = re.search(r"\b\d{6}\b", box.messages[0].get_content())
    assert found is not None
    scene.world.clock.time_ms += 600_000
    page = browser.submit(page, code=found[0])
    assert (page.status, "n’est plus valable" in page.text) == (401, True)


def test_a_code_is_good_once(scene: Scene) -> None:
    browser, page = begin(scene)
    page = browser.submit(page, login="anouk", password=PASSWORD)
    code = scene.code_of("anouk")
    assert "Autoriser" in browser.submit(page, code=code).text
    other, page = begin(scene)
    page = other.submit(page, login="anouk", password=PASSWORD)
    assert other.submit(page, code=code).status == 401


def test_a_code_that_cannot_be_sent_is_said_so_and_nobody_is_let_in() -> None:
    scene = make_scene()
    scene.patient(email=MAIL)
    browser, page = begin(scene)
    page = browser.submit(page, login="anouk", password=PASSWORD)
    assert (page.status, "ne peut pas être envoyé" in page.text) == (503, True)


def test_the_password_alone_lets_nobody_in(scene: Scene) -> None:
    browser, page = begin(scene)
    browser.submit(page, login="anouk", password=PASSWORD)
    assert "Code à 6 chiffres" in browser.open(scene.request()).text


@pytest.mark.statement("security TH28", "security TH32", "security H-18")
def test_five_wrong_tries_lock_and_the_sixth_is_refused_even_when_right(scene: Scene) -> None:
    said = {}
    for login in ("anouk", "nobody"):
        browser, page = begin(scene)
        pages = [browser.submit(page, login=login, password="wrong") for _ in range(6)]
        assert [each.status for each in pages] == [401] * 5 + [429]
        assert int(pages[-1].response.headers["Retry-After"]) > 0
        said[login] = [each.text for each in pages]
    assert said["anouk"] == said["nobody"]
    browser, page = begin(scene)
    assert browser.submit(page, login="anouk", password=PASSWORD).status == 429
    scene.world.clock.time_ms += 61_000
    assert browser.submit(page, login="anouk", password=PASSWORD).status == 200


def test_a_lock_doubles_with_each_further_failure(scene: Scene) -> None:
    browser, page = begin(scene)
    waits = []
    for _ in range(5):
        browser.submit(page, login="anouk", password="wrong")
    for _ in range(3):
        answer = browser.submit(page, login="anouk", password="wrong")
        waits.append(int(answer.response.headers["Retry-After"]))
        scene.world.clock.time_ms += waits[-1] * 1000 + 1
        assert browser.submit(page, login="anouk", password="wrong").status == 401
    assert waits[0] <= 60 < waits[1] <= 120 < waits[2] <= 240


@pytest.mark.statement("security TH32", "security H-18")
def test_five_wrong_codes_end_the_sign_in(scene: Scene) -> None:
    browser, page = begin(scene)
    page = browser.submit(page, login="anouk", password=PASSWORD)
    answers = [browser.submit(page, code="000000") for _ in range(6)]
    assert [each.status for each in answers] == [401] * 5 + [429]
    assert browser.submit(page, code=scene.code_of("anouk")).status == 401


def test_a_disabled_account_looks_like_a_wrong_password(scene: Scene) -> None:
    browser, page = begin(scene)
    wrong = browser.submit(page, login="anouk", password="wrong").text
    accounts.disable("anouk", True, scene.desk)
    assert browser.submit(page, login="anouk", password=PASSWORD).text == wrong


def test_an_account_that_is_disabled_meanwhile_is_not_let_in(scene: Scene) -> None:
    browser, page = begin(scene)
    page = browser.submit(page, login="anouk", password=PASSWORD)
    accounts.disable("anouk", True, scene.desk)
    assert browser.submit(page, code=scene.code_of("anouk")).status == 401


def test_professionals_need_pro_sante_connect_unless_configured() -> None:
    scene = make_scene()
    scene.professional()
    strict = make_scene(DMP_SECURITY_LOCAL_PROFESSIONALS="false")
    strict.professional()
    for each, status in ((scene, 200), (strict, 401)):
        browser = each.browser()
        page = browser.open(each.request(LPS))
        form = page if page.forms[0].fields[-1][0] == "password" else None
        fields = {"csrf": page.forms[0].fields[0][1], "r": page.answer["r"], "step": "sign-in"}
        assert (form is not None) == (status == 200)
        assert browser.submit(page, **fields, login="carlier", password=PASSWORD).status == status


def test_failures_and_logins_are_on_record_without_password_or_code(scene: Scene) -> None:
    browser, page = begin(scene)
    browser.submit(page, login="anouk", password="a-wrong-password")
    page = browser.submit(page, login="anouk", password=PASSWORD)
    code = scene.code_of("anouk")
    browser.submit(page, code=code)
    events = scene.world.admin.get("/AuditEvent?date=ge2020-01-01&_count=100").body.decode()
    assert "110122" in events
    for secret in (PASSWORD, "a-wrong-password", f'"{code}"'):
        assert secret not in events


def test_a_time_based_code_is_known_to_the_operator_only_by_command(scene: Scene) -> None:
    account = accounts.of_login("anouk", scene.desk)
    assert account is not None
    assert len(totp_now(account, scene.world.clock.now_ms())) == 6


@pytest.mark.statement("security N-9", "security TH32", "security H-18")
def test_a_new_device_and_a_lock_are_told_to_the_holder_and_a_known_device_is_not(scene: Scene) -> None:
    def told() -> int:
        patient = f"Patient/{scene.world.patients[samples.ANOUK]}"
        waiting = scene.desk.services.store.outbox.inbox(patient, 100)
        return len([each for each in waiting if each.notice.event == "N9"])

    for agent, expected in (("first", 1), ("first", 1), ("second", 2)):
        browser, page = begin(scene)
        browser.headers["User-Agent"] = agent
        page = browser.submit(page, login="anouk", password=PASSWORD)
        browser.submit(page, code=scene.code_of("anouk"))
        assert told() == expected
    browser, page = begin(scene)
    for _ in range(7):
        browser.submit(page, login="anouk", password="wrong")
    assert told() == 3
    for _ in range(7):
        browser.submit(page, login="nobody", password="wrong")
    assert told() == 3
