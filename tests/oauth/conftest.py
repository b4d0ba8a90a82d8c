"""Fixtures of the authorization server: one server over SQLite for each module, with the usual clients."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fhir_dmp.store.sqlite import open_sqlite
from tests.oauth.people import APP, CATALOGUE, PORTAL, Auth, backend, exchanger
from tests.world import make_world

PROXY = {"DMP_SERVER_TRUSTED_PROXIES": "127.0.0.1", "DMP_SECURITY_CLIENT_CERTIFICATE_HEADER": "Client-Cert"}


@pytest.fixture(scope="module")
def shared_auth(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Auth]:
    """A server with an open dossier."""
    store = open_sqlite(tmp_path_factory.mktemp("oauth") / "dmp.sqlite3")
    auth = Auth(make_world(store, None, **PROXY))
    auth.patient = auth.world.open()
    yield auth
    store.close()


@pytest.fixture
def auth(shared_auth: Auth) -> Auth:
    """The server of the module, its clients as they are at first."""
    for client in (APP, PORTAL, CATALOGUE, backend(), exchanger()):
        shared_auth.register(client)
    return shared_auth
