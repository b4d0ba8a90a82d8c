"""A server with people who can sign in and applications that can ask: what the tests of this folder begin with."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any

from fhir_dmp.identity.accounts import Account, AccountClass, totp_now
from fhir_dmp.identity.upstream import Practice
from fhir_dmp.oauth.clients import AUTHORIZATION_CODE, REFRESH_TOKEN, Client, Finality, Kind, Referencing, UserClass
from fhir_dmp.oauth.codes import Authorization, Proof, challenge_of, redeem_code
from fhir_dmp.signin import accounts
from fhir_dmp.signin.enrolling import Enrolment, enrol
from fhir_dmp.signin.requests import encoded_query
from fhir_dmp.signin.visits import Visit
from fhir_dmp.store.memory import MemoryStore
from fhir_dmp.terminology.aliases import PROFESSION
from tests import samples
from tests.signin.browser import Browser, Page
from tests.world import FixedClock, World, make_world

PASSWORD = "une phrase de passe"
VERIFIER = "v" * 64
CALLBACK = "https://app.example/callback"
LPS_CALLBACK = "https://lps.example/callback"
CHILD = "210037511204542"
VISIT = Visit("test", "127.0.0.1")
APP = Client(
    "app",
    "Carnet",
    Kind.APP,
    user_classes=frozenset({UserClass.PATIENT}),
    grant_types=(AUTHORIZATION_CODE, REFRESH_TOKEN),
    scope="openid fhirUser profile launch/patient offline_access online_access patient/*.rs patient/Observation.c",
    redirect_uris=(CALLBACK,),
    legal_entity="Carnet SAS",
    referencing=Referencing("REF-1", "2026-01-01", Finality.PREVENTION),
)
LPS = Client(
    "lps",
    "Logiciel du cabinet",
    Kind.LPS,
    user_classes=frozenset({UserClass.PROFESSIONAL}),
    grant_types=(AUTHORIZATION_CODE, REFRESH_TOKEN),
    scope="openid fhirUser launch launch/patient launch/encounter offline_access patient/*.rs user/*.rs "
    "user/DocumentReference.cruds __access_mode.normal __access_mode.bris_de_glace __access_mode.centre_15",
    redirect_uris=(LPS_CALLBACK,),
    launch_uris=("https://lps.example/launch",),
)
CANAL = Practice((PROFESSION, "10"), "10C", None, "1750999013", "Cabinet du Canal", "SA07")
TILLEULS = Practice((PROFESSION, "10"), "10C", None, "1750999021", "Hôpital des Tilleuls", "SA01")


@dataclass
class Scene:
    """A world, and shorter words for what people do in it."""

    world: World

    @property
    def desk(self) -> Any:
        return self.world.services.desk

    def browser(self, language: str = "fr") -> Browser:
        """Return a browser that nobody has used."""
        return Browser(self.world, headers={"Accept-Language": language, "User-Agent": "test"})

    def patient(self, login: str = "anouk", ins: str = samples.ANOUK, **more: Any) -> Account:
        """Add the account of a patient, with codes of an authenticator."""
        return enrol(Enrolment(login, PASSWORD, patient=ins, **more), self.desk, VISIT)

    def professional(
        self, login: str = "carlier", number: str = samples.DOCTOR, practices: tuple[Practice, ...] = (CANAL,), **m: Any
    ) -> Account:
        """Add the local account of a professional."""
        asked = Enrolment(
            login, PASSWORD, AccountClass.PROFESSIONAL, family="CARLIER", given="Hippolyte", number=number,
            practices=practices, **m,
        )  # fmt: skip
        return enrol(asked, self.desk, VISIT)

    def request(self, client: Client = APP, /, **changes: str | None) -> str:
        """Return the URL of an authorization request."""
        values: dict[str, str | None] = {
            "response_type": "code",
            "client_id": client.client_id,
            "redirect_uri": client.redirect_uris[0],
            "scope": "openid fhirUser launch/patient patient/*.rs",
            "state": "state-of-the-app",
            "aud": self.world.services.base,
            "code_challenge": challenge_of(VERIFIER),
            "code_challenge_method": "S256",
            "nonce": "nonce-1",
        }
        values.update(changes)
        return "/auth/authorize?" + encoded_query((k, v) for k, v in values.items() if v is not None)

    def code_of(self, login: str) -> str:
        """Return the code that the authenticator of an account shows, a new one each time."""
        account = accounts.of_login(login, self.desk)
        assert account is not None
        self.world.clock.time_ms += 30_000
        return totp_now(account, self.world.clock.time_ms)

    def sign_in(self, browser: Browser, page: Page, login: str = "anouk", password: str = PASSWORD) -> Page:
        """Fill in the pages of signing in."""
        page = browser.submit(page, login=login, password=password)
        assert page.status == 200, page.text
        return browser.submit(page, code=self.code_of(login))

    def redeem(self, page: Page, client: Client = APP) -> Authorization:
        """Do what the token endpoint does with the code of an answer."""
        assert "code" in page.answer, (page.status, page.url, page.text)
        proof = Proof(client.client_id, client.redirect_uris[0], VERIFIER)
        return redeem_code(self.desk.state, page.answer["code"], proof, self.world.clock.now_ms())

    def change_client(self, client: Client, **changes: Any) -> Client:
        """Change a registered client."""
        changed = replace(client, **changes)
        self.world.services.clients.change(changed)
        self.world.clock.time_ms += 3_000
        return changed


def make_scene(store: Any = None, **environ: str) -> Scene:
    """Return a scene with two records and two applications; professionals may sign in locally."""
    # Starts with the time of this machine: other processes look at what is signed.
    clock = FixedClock(time.time_ns() // 1_000_000)
    settings = {"DMP_SECURITY_LOCAL_PROFESSIONALS": "true", **environ}
    world = make_world(store or MemoryStore(), clock, **settings)
    world.open(samples.ANOUK)
    world.open(samples.BASILE, family="QUEMENER", given="Basile")
    for client in (APP, LPS):
        world.services.clients.add(client)
    return Scene(world)
