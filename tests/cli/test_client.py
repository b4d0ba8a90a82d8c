"""`fhir-dmp client` and `fhir-dmp keys`: the registry and the signing keys, and a running server that follows."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from fhir_dmp import keyring
from fhir_dmp.store.memory import MemoryStore
from tests import samples
from tests.cli.calling import CommandLine
from tests.oauth.people import certificate, jwks, rsa_key
from tests.world import World, make_world


def added(cli: CommandLine, *more: str, **_: Any) -> Any:
    """Register a client and return what was printed."""
    done = cli("client", "add", "--id", "carnet", "--name", "Carnet", *more)
    assert done.status == 0, done.err
    return json.loads(done.out)


def test_a_public_application_is_registered_and_listed(cli: CommandLine) -> None:
    told = added(
        cli, "--kind", "catalogue-app", "--type", "public", "--redirect-uri", "https://carnet.example/cb",
        "--scope", "openid launch/patient patient/*.rs", "--finality", "prevention", "--origin", "https://carnet.example",
    )  # fmt: skip
    assert told["token_endpoint_auth_method"] == "none"
    assert told["grant_types"] == ["authorization_code", "refresh_token"]
    assert told["user_classes"] == ["patient"]
    assert told["referencing"]["finality"] == "prevention"
    assert "client_secret" not in told
    assert told["token_endpoint"].endswith("/auth/token")
    listed = cli("client", "list").out
    assert "carnet" in listed
    assert "active" in listed
    (entry,) = json.loads(cli("client", "list", "--json").out)
    assert entry["redirect_uris"] == ["https://carnet.example/cb"]


def test_a_secret_is_shown_once_and_can_be_replaced(cli: CommandLine) -> None:
    told = added(cli, "--kind", "lps", "--type", "confidential", "--redirect-uri", "https://carnet.example/cb")
    assert len(told["client_secret"]) == 43
    assert "secret" not in cli("client", "list", "--json").out.replace("client_secret_basic", "")
    again = json.loads(cli("client", "rotate", "carnet").out)
    assert again["client_secret"] != told["client_secret"]


def test_software_is_registered_with_its_keys_or_its_certificate(cli: CommandLine, tmp_path: Path) -> None:
    from cryptography.hazmat.primitives.serialization import Encoding

    keys, pem = tmp_path / "keys.json", tmp_path / "client.pem"
    keys.write_text(json.dumps(jwks(rsa_key())))
    pem.write_bytes(certificate().public_bytes(Encoding.PEM))
    told = added(cli, "--kind", "feeder", "--jwks", str(keys), "--scope", "system/DocumentReference.c")
    assert (told["token_endpoint_auth_method"], told["grant_types"]) == ("private_key_jwt", ["client_credentials"])
    done = cli("client", "add", "--id", "two", "--name", "Two", "--kind", "lps", "--auth", "mtls",
                "--certificate", str(pem), "--structure", samples.HOSPITAL[1:],
                "--grant", "client_credentials")  # fmt: skip
    assert json.loads(done.out)["certificate"]["sha256"]


@pytest.mark.parametrize(
    ("options", "status", "text"),
    [
        (("--kind", "lps", "--redirect-uri", "http://carnet.example/cb"), 1, "redirect_uris"),
        (("--kind", "lps", "--type", "public", "--auth", "secret"), 2, "public"),
        (("--kind", "lps", "--auth", "private_key_jwt"), 1, "jwks"),
        (("--kind", "lps", "--jwks", "/nowhere"), 1, "--jwks"),
        (("--kind", "toy"), 2, "toy"),
        (("--kind", "catalogue-app", "--redirect-uri", "https://a.example/cb"), 1, "finality"),
        (("--kind", "lps", "--structure", "12"), 2, "FINESS"),
    ],
)
def test_what_cannot_be_registered_is_said_in_one_line(
    cli: CommandLine, options: tuple[str, ...], status: int, text: str
) -> None:
    done = cli("client", "add", "--id", "x", "--name", "X", *options)
    assert (done.status, done.out, text in done.err, done.err.count("\n")) == (status, "", True, 1), done.err


def test_an_id_is_taken_once_and_an_unknown_one_is_said(cli: CommandLine) -> None:
    added(cli, "--kind", "lps", "--redirect-uri", "https://carnet.example/cb")
    twice = cli(
        "client", "add", "--id", "carnet", "--name", "X", "--kind", "lps", "--redirect-uri", "https://a.example/"
    )
    assert (twice.status, "exists" in twice.err) == (1, True)
    for verb in ("disable", "enable", "rotate"):
        done = cli("client", verb, "nobody")
        assert (done.status, "nobody" in done.err) == (1, True)
    assert cli("client", "rotate", "carnet").status == 1


def test_a_client_is_suspended_and_restored(cli: CommandLine) -> None:
    added(cli, "--kind", "lps", "--redirect-uri", "https://carnet.example/cb")
    assert cli("client", "disable", "carnet").status == 0
    assert "suspended" in cli("client", "list").out
    assert cli("client", "enable", "carnet").status == 0
    assert "active" in cli("client", "list").out


def test_the_keys_are_listed_and_rotated(cli: CommandLine) -> None:
    before = cli("keys", "list").out.splitlines()
    assert [text.split()[0] for text in before] == ["access-token", "id-token"]
    assert cli("keys", "rotate").status == 0
    after = cli("keys", "list").out
    assert (after.count("signs"), after.count("published")) == (2, 2)
    assert cli("keys", "rotate", "--now", "--purpose", "access-token").status == 0
    assert cli("keys", "list").out.count("verifies") == 1


# --- a running server ------------------------------------------------------------------------------------------------


@pytest.fixture
def running(tmp_path: Path) -> tuple[World, Path]:
    """A server with keys of its own."""
    return make_world(MemoryStore(), None, DMP_SECURITY_KEYS_DIR=str(tmp_path)), tmp_path


def looked() -> None:
    """Wait until a running server has looked at its keys again."""
    time.sleep(keyring.LOOK_S + 0.1)


@pytest.mark.statement("security H-22")
def test_a_rotation_leaves_tokens_good_until_they_expire(running: tuple[World, Path]) -> None:
    world, folder = running
    before = world.admin
    now_s = world.clock.time_ms / 1000
    filed = keyring.rotate(folder, "access-token", now_s)
    looked()
    published = world.request("GET", "/auth/jwks", b"", {}).json["keys"]
    assert filed.keys[0].kid in {key["kid"] for key in published}
    assert world.services.verifier.keys.current.kid != filed.keys[0].kid
    world.clock.time_ms += keyring.ANNOUNCED_S * 1000 + 1000
    looked()
    assert world.services.verifier.keys.current.kid == filed.keys[0].kid
    assert before.get("/Patient?_summary=count").status == 200
    assert world.admin.get("/Patient?_summary=count").status == 200


@pytest.mark.statement("security H-23")
def test_an_emergency_rotation_ends_every_token(running: tuple[World, Path]) -> None:
    world, folder = running
    before = world.admin
    assert before.get("/Patient?_summary=count").status == 200
    keyring.rotate(folder, "access-token", world.clock.time_ms / 1000, alone=True)
    looked()
    assert before.get("/Patient?_summary=count").status == 401
    assert world.admin.get("/Patient?_summary=count").status == 200


def test_a_key_that_signed_long_ago_is_dropped(tmp_path: Path) -> None:
    now_s = 1_781_260_000.0
    first = keyring.key_file(tmp_path, "access-token").keys[0].kid
    keyring.rotate(tmp_path, "access-token", now_s, at_once=True)
    kept = keyring.rotate(tmp_path, "access-token", now_s + 60, at_once=True)
    assert first in {key.kid for key in kept.keys}
    later = keyring.rotate(tmp_path, "access-token", now_s + keyring.KEPT_S + 120, at_once=True)
    assert first not in {key.kid for key in later.keys}


def test_a_damaged_key_file_changes_nothing_of_what_runs(running: tuple[World, Path]) -> None:
    world, folder = running
    client = world.admin
    (folder / "access-token.jwks.json").write_text("broken")
    looked()
    assert client.get("/Patient?_summary=count").status == 200
