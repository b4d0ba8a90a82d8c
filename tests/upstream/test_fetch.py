"""Fetching key sets that third parties name: over TLS only, from public addresses only, little and quickly."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import ssl
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from fhir_dmp.errors import Unavailable
from fhir_dmp.oauth.jwks import ClientKeys
from fhir_dmp.upstream.fetch import MAX_BYTES, Fetcher, is_public
from tests.oauth.people import backend

HOST = "keys.sih.example"


@dataclass
class Keys:
    """A host of keys on this machine, under a name of its own."""

    port: int
    ca_file: str
    asked: list[str] = field(default_factory=list)

    def fetcher(self, *, allowed: bool = True, addresses: tuple[str, ...] = ("127.0.0.1",)) -> Fetcher:
        """Return a fetcher that resolves the name to this machine."""
        hosts = (HOST,) if allowed else ()
        return Fetcher(hosts, self.ca_file, lambda host, port: list(addresses))

    def url(self, path: str = "/jwks.json", host: str = HOST) -> str:
        """Return the URL of a document."""
        return f"https://{host}:{self.port}{path}"


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keys]:
    """Serve over TLS, with a certificate of our own making."""
    folder = tmp_path_factory.mktemp("tls")
    key_file, cert_file = _certificate(folder)
    found = Keys(0, str(cert_file))

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found.asked.append(f"{self.headers['Host']}{self.path}")
            with contextlib.suppress(OSError):  # whoever asked is gone
                self._answer()

        def _answer(self) -> None:
            if self.path == "/moved":
                self.send_response(302)
                self.send_header("Location", "https://127.0.0.1/secret")
                self.end_headers()
                return
            body = b"x" * (MAX_BYTES + 1) if self.path == "/big" else json.dumps({"keys": []}).encode()
            self.send_response(200 if self.path != "/absent" else 404)
            self.send_header("Cache-Control", "max-age=77")
            self.end_headers()
            for byte in body if self.path == "/slow" else ():
                self.wfile.write(bytes([byte]))
                self.wfile.flush()
                time.sleep(0.5)
            self.wfile.write(b"{" if self.path == "/broken" else body)

        def log_message(self, format: str, *args: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert_file, key_file)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    found.port = server.server_address[1]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield found
    server.shutdown()
    server.server_close()


def _certificate(folder: Path) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, HOST)])
    now = dt.datetime.now(dt.UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(now - dt.timedelta(1)).not_valid_after(now + dt.timedelta(2))
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(HOST)]), critical=False)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    key_file, cert_file = folder / "key.pem", folder / "cert.pem"
    pkcs8, plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    key_file.write_bytes(key.private_bytes(serialization.Encoding.PEM, pkcs8, plain))
    cert_file.write_bytes(builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    return key_file, cert_file


def test_a_key_set_is_fetched_under_its_own_name(keys: Keys) -> None:
    found = keys.fetcher()(keys.url("/jwks.json?x=1"))
    assert (found.content, found.cache_control) == ({"keys": []}, "max-age=77")
    assert keys.asked[-1] == f"{HOST}:{keys.port}/jwks.json?x=1"


@pytest.mark.statement("security K-16")
@pytest.mark.parametrize(
    "addresses",
    [
        ("127.0.0.1",),
        ("10.1.2.3",),
        ("::1",),
        ("169.254.169.254",),
        ("9.9.9.9", "127.0.0.1"),
        ("::ffff:127.0.0.1",),
        (),
    ],
)
def test_a_private_address_is_never_connected_to(keys: Keys, addresses: tuple[str, ...]) -> None:
    before = len(keys.asked)
    with pytest.raises(Unavailable, match="not public"):
        keys.fetcher(allowed=False, addresses=addresses)(keys.url())
    assert len(keys.asked) == before


def test_the_address_that_was_judged_is_the_one_that_is_used(keys: Keys) -> None:
    answers = iter([["127.0.0.1"], ["10.0.0.1"]])
    fetcher = Fetcher((HOST,), keys.ca_file, lambda host, port: next(answers))
    assert fetcher(keys.url()).content == {"keys": []}
    assert next(answers) == ["10.0.0.1"]


@pytest.mark.parametrize("path", ["/moved", "/absent", "/big", "/broken"])
def test_what_is_no_document_is_refused(keys: Keys, path: str) -> None:
    with pytest.raises(Unavailable):
        keys.fetcher()(keys.url(path))


def test_a_host_that_takes_its_time_is_given_up(keys: Keys) -> None:
    started = time.monotonic()
    with pytest.raises(Unavailable):
        keys.fetcher()(keys.url("/slow"))
    assert time.monotonic() - started < 20


@pytest.mark.parametrize(
    "url", ["http://keys.sih.example/jwks", "file:///etc/passwd", "https://a@keys.sih.example/", "https:///x"]
)
def test_only_https_is_fetched(keys: Keys, url: str) -> None:
    with pytest.raises(Unavailable, match="https"):
        keys.fetcher()(url)


def test_a_certificate_of_another_name_or_authority_is_refused(keys: Keys) -> None:
    other = Fetcher(("other.example",), keys.ca_file, lambda host, port: ["127.0.0.1"])
    with pytest.raises(Unavailable):
        other(keys.url(host="other.example"))
    with pytest.raises(Unavailable):
        Fetcher((HOST,), "", lambda host, port: ["127.0.0.1"])(keys.url())


def test_a_name_that_nobody_knows_is_unavailable(keys: Keys) -> None:
    def unknown(host: str, port: int) -> list[str]:
        raise OSError("no such host")

    with pytest.raises(Unavailable):
        Fetcher((HOST,), keys.ca_file, unknown)(keys.url())


@pytest.mark.parametrize("address", ["0.0.0.0", "100.64.0.1", "192.168.1.1", "172.16.0.1", "224.0.0.1", "fc00::1",
                         "fe80::1%eth0",
                         "2002:7f00:1::", "64:ff9b::7f00:1", "::", "x", "240.0.0.1", "255.255.255.255"])  # fmt: skip
def test_addresses_that_are_not_public(address: str) -> None:
    assert not is_public(address)


def test_a_client_with_keys_on_a_private_address_proves_nothing(keys: Keys) -> None:
    client = backend(jwks=None, jwks_uri=keys.url())
    with pytest.raises(Unavailable):
        ClientKeys(keys.fetcher(allowed=False)).find(client, "rsa-1", 0)
