"""The token endpoint and its neighbours, as an application calls them."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from fhir_dmp.oauth.clients import Client
from tests.signin.browser import Page
from tests.signin.scene import APP, VERIFIER, Scene
from tests.world import Response


def post(scene: Scene, path: str, **form: str) -> Response:
    """Post a form."""
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    return scene.world.request("POST", path, urlencode(form).encode(), headers)


def tokens(scene: Scene, page: Page, client: Client = APP) -> dict[str, Any]:
    """Redeem the code of an answer at the token endpoint."""
    answer = post(
        scene, "/auth/token", grant_type="authorization_code", code=page.answer["code"], client_id=client.client_id,
        redirect_uri=client.redirect_uris[0], code_verifier=VERIFIER,
    )  # fmt: skip
    assert answer.status == 200, answer.body
    return answer.json


def refresh(scene: Scene, token: str, client: Client = APP) -> Response:
    """Use a refresh token."""
    return post(scene, "/auth/token", grant_type="refresh_token", refresh_token=token, client_id=client.client_id)


def get(scene: Scene, token: str, path: str) -> Response:
    """Read a resource with a token."""
    return scene.world.request("GET", f"/fhir/{path}", b"", {"Authorization": f"Bearer {token}"})
