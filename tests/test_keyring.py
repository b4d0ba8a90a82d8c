"""Key files: made once, private, the same for all workers."""

from __future__ import annotations

import json
import stat
import threading
from pathlib import Path

import pytest

from fhir_dmp.errors import ConfigurationError
from fhir_dmp.keyring import folder_of, secret, signing_keys
from fhir_dmp.settings import Settings


def test_keys_are_made_once_and_readable_by_the_owner_only(tmp_path: Path) -> None:
    folder = tmp_path / "keys"
    first, again = signing_keys(folder), signing_keys(folder)
    assert first.current.kid == again.current.kid == first.current.thumbprint()
    (file,) = folder.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_workers_that_start_together_share_their_keys(tmp_path: Path) -> None:
    kids: list[str | None] = []
    secrets: list[bytes] = []
    barrier = threading.Barrier(8)

    def start() -> None:
        barrier.wait()
        secrets.append(secret(tmp_path, "cursor"))
        kids.append(signing_keys(tmp_path).current.kid)

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(kids)) == 1
    assert len(set(secrets)) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["access-token.jwks.json", "cursor.secret"]


def test_each_purpose_has_its_own_secret(tmp_path: Path) -> None:
    assert len(secret(tmp_path, "cursor")) == 32
    assert secret(tmp_path, "cursor") != secret(tmp_path, "pseudonym")
    assert signing_keys(tmp_path, "access-token").current.kid != signing_keys(tmp_path, "id-token").current.kid


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"keys": []}', '{"keys": [{"kty": "oct", "k": "YQ", "kid": "a"}]}', '{"keys": 3}']
)
def test_a_damaged_file_stops_the_start_and_names_itself(tmp_path: Path, content: str) -> None:
    path = tmp_path / "access-token.jwks.json"
    path.write_text(content)
    path.chmod(0o600)
    with pytest.raises(ConfigurationError, match="access-token"):
        signing_keys(tmp_path)


def test_a_public_key_cannot_sign(tmp_path: Path) -> None:
    public = json.dumps(signing_keys(tmp_path, "other").public())
    path = tmp_path / "access-token.jwks.json"
    path.write_text(public)
    path.chmod(0o600)
    with pytest.raises(ConfigurationError, match="no private key"):
        signing_keys(tmp_path)


def test_a_key_that_others_may_read_is_refused(tmp_path: Path) -> None:
    secret(tmp_path, "cursor")
    (tmp_path / "cursor.secret").chmod(0o644)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        secret(tmp_path, "cursor")


@pytest.mark.parametrize(
    ("environ", "folder"),
    [
        ({}, "var/keys"),
        ({"DMP_STORE_URL": "sqlite:////data/dmp/record.sqlite3"}, "/data/dmp/keys"),
        ({"DMP_STORE_URL": "mongodb://host/db"}, "var/keys"),
        ({"DMP_STORE_URL": "memory:"}, "var/keys"),
        ({"DMP_SECURITY_KEYS_DIR": "/etc/dmp/keys"}, "/etc/dmp/keys"),
    ],
)
def test_keys_lie_beside_the_record(environ: dict[str, str], folder: str) -> None:
    assert folder_of(Settings.load(environ)) == Path(folder)
