"""A server with the demonstration, a mail server, and an application of its own on another port."""

from __future__ import annotations

import os
import re
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from unittest import mock

from fhir_dmp import configuration
from fhir_dmp.bootstrap import build
from fhir_dmp.demo import accounts as demo
from fhir_dmp.demo.people import ANOUK, DOCTOR
from fhir_dmp.identity.accounts import AccountClass, totp_now
from fhir_dmp.identity.upstream import Practice
from fhir_dmp.signin import accounts
from fhir_dmp.signin.enrolling import Enrolment, enrol
from fhir_dmp.signin.visits import Visit
from fhir_dmp.terminology.aliases import PROFESSION
from tests.cli.test_serve import serving
from tests.mail.server import Mailbox, running

ROOT = Path(__file__).resolve().parents[2]
SCREENSHOTS = Path(os.environ.get("DMP_TEST_SCREENSHOTS", ROOT / "build/screenshots"))
PASSWORD = demo.PASSWORD


def chromium() -> str | None:
    """Return the browser of this machine."""
    named = os.environ.get("DMP_TEST_CHROMIUM")
    return named or next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def fhirclient_js() -> Path | None:
    """Return the browser build of the npm package fhirclient, when somebody installed it."""
    folder = Path(os.environ.get("DMP_TEST_NODE_MODULES", ROOT / "node_modules"))
    found = folder / "fhirclient/build/fhir-client.min.js"
    return found if found.exists() else None


@dataclass
class App:
    """An application: serves its pages and keeps what its callback was told."""

    port: int = 0
    pages: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    told: list[str] = field(default_factory=list)

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def callback(self) -> str:
        return f"{self.origin}/callback"


@contextmanager
def application() -> Iterator[App]:
    """Run an application on a free port."""
    app = App()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            if path == "/callback":
                app.told.append(self.path)
            media, content = app.pages.get(path, ("text/html", b"<h1>Application</h1>"))
            self.send_response(200)
            self.send_header("Content-Type", media)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    app.port = server.server_port
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield app
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@dataclass
class Stage:
    """Everything that runs."""

    port: int
    app: App
    box: Mailbox
    environ: dict[str, str]

    @property
    def home(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def mailed_code(self) -> str:
        """Return the code of the last message."""
        found = re.search(r"\b\d{6}\b", self.box.messages[-1].get_content())
        assert found is not None
        return found[0]

    def shown_code(self, login: str) -> str:
        """Return the code that an authenticator shows."""
        services = build(configuration.load(self.environ))
        try:
            account = accounts.of_login(login, services.desk)
            assert account is not None
            return totp_now(account, services.clock.now_ms())
        finally:
            services.close()


@contextmanager
def stage(folder: Path) -> Iterator[Stage]:
    """Run it all."""
    with running() as box, application() as app:
        environ = {
            "DMP_STORE_URL": f"sqlite:///{folder}/dmp.sqlite3",
            "DMP_MAIL_SMTP_URL": f"smtp://127.0.0.1:{box.port}",
            "DMP_SERVER_ACCESS_LOG": "false",
            "DMP_SERVER_WORKERS": "1",
            "DMP_IDENTITY_INS_TEST_ALLOWED": "true",
        }
        toml = folder / "dmp.toml"
        toml.write_text(
            f'[store]\nurl = "{environ["DMP_STORE_URL"]}"\n[mail]\nsmtp_url = "{environ["DMP_MAIL_SMTP_URL"]}"\n'
            "[server]\nworkers = 1\naccess_log = false\n"
        )
        with serving(folder, "--demo") as (_, port, _), mock.patch.dict(os.environ, environ):
            services = build(configuration.load(environ))
            try:
                pages = (f"{app.origin}/app.html", app.callback)
                for client in (demo.APP, demo.LPS):
                    changed = replace(
                        client, redirect_uris=pages, allowed_origins=(app.origin,),
                        launch_uris=(f"{app.origin}/launch.html",) if client.launch_uris else (),
                    )  # fmt: skip
                    services.clients.change(changed)
                # Codes by mail come as often as one signs in; those of an authenticator change every 30 s only.
                practice = Practice((PROFESSION, DOCTOR.profession), "10C", None, DOCTOR.structure, "Canal")
                doctor = Enrolment(
                    "doctor", PASSWORD, AccountClass.PROFESSIONAL, "doctor@example.org", DOCTOR.family, DOCTOR.given,
                    number=DOCTOR.number, practices=(practice,),
                )  # fmt: skip
                holder = Enrolment("mail", PASSWORD, patient=ANOUK.ins, email="anouk@example.org")
                for asked in (holder, doctor):
                    enrol(asked, services.desk, Visit("test", "127.0.0.1"))
            finally:
                services.close()
            yield Stage(port, app, box, environ)
