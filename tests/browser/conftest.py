"""One server and one browser for the tests of this folder; named skips where the machine has no browser."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.browser.stage import SCREENSHOTS, Stage, chromium, stage

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

#: No sandbox: continuous integration runs as root. The browser speaks to nobody of its own accord.
_OPTIONS = (
    "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--no-first-run", "--disable-dev-shm-usage",
)  # fmt: skip


@pytest.fixture(scope="package")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """The server, the application and the mail server."""
    with stage(tmp_path_factory.mktemp("browser")) as one:
        yield one


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """Debian's Chromium."""
    library = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    program = chromium()
    if program is None:
        pytest.skip("no Chromium on this machine (DMP_TEST_CHROMIUM names one)")
    with library.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=program, headless=True, args=list(_OPTIONS))
        yield started
        started.close()


class Visitor:
    """A person at a browser of their own."""

    def __init__(self, context: BrowserContext, stage: Stage) -> None:
        self.stage = stage
        self.context = context
        self.page: Page = context.new_page()
        self.page.set_default_timeout(20_000)
        self.fetched: list[str] = []
        self.page.on("request", lambda request: self.fetched.append(request.url))

    def picture(self, name: str) -> None:
        """Keep a screenshot for those who look at the run."""
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=str(Path(SCREENSHOTS) / f"{name}.png"), full_page=True)

    def text(self) -> str:
        """Return what is read on the page."""
        return self.page.inner_text("body")

    def sign_in(self, login: str, password: str) -> None:
        """Fill in identifier and password."""
        self.page.fill("#login", login)
        self.page.fill("#password", password)
        self.page.click("main form button >> nth=0")

    def give_code(self, code: str) -> None:
        """Fill in the code."""
        self.page.fill("#code", code)
        self.page.click("main form button >> nth=0")


@pytest.fixture
def visit(browser: Browser, running: Stage) -> Iterator[Callable[..., Visitor]]:
    """Return what makes a visitor; options are those of a browser context (java_script_enabled, locale)."""
    contexts: list[BrowserContext] = []

    def make(**options: Any) -> Visitor:
        context = browser.new_context(**{"locale": "fr-FR", **options})
        contexts.append(context)
        return Visitor(context, running)

    yield make
    for context in contexts:
        context.close()
