"""`fhir-dmp serve` with a certificate of its own: TLS 1.2 and 1.3, and nothing older or plain."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.cli.test_commands import ROOT, refused, run

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")]


def certificate(folder: Path) -> tuple[Path, Path]:
    """Write a self-signed certificate for 127.0.0.1 and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    chain, secret = folder / "server.pem", folder / "server.key"
    chain.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    secret.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    secret.chmod(0o600)
    return chain, secret


def client(trusted: Path, low: ssl.TLSVersion, high: ssl.TLSVersion) -> ssl.SSLContext:
    """Return a client that speaks these versions only, as weakly as it can where they are old."""
    context = ssl.create_default_context(cafile=str(trusted))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version, context.maximum_version = low, high
    if high < ssl.TLSVersion.TLSv1_2:
        context.set_ciphers("ALL:@SECLEVEL=0")
    return context


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, Path]]:
    """The port of a server that speaks TLS, and its certificate."""
    folder = tmp_path_factory.mktemp("tls")
    chain, key = certificate(folder)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("DMP_")}
    settings = {"DMP_SERVER_TLS_CERTIFICATE": str(chain), "DMP_SERVER_TLS_KEY": str(key)}
    with (folder / "stderr").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-u", "-m", "fhir_dmp.cli", "serve", "--port", "0", "--workers", "1"],
            cwd=folder,
            env={**kept, **settings, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert "https://127.0.0.1:" in line
        port = int(line.rpartition(":")[2].partition("/")[0])
        for _ in range(300):
            with suppress(OSError):
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            time.sleep(0.1)
        yield port, chain
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)


@pytest.mark.statement("security S-11")
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_current_versions_of_tls_are_accepted_and_the_answer_names_https(
    served: tuple[int, Path], version: ssl.TLSVersion
) -> None:
    port, chain = served
    connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=20, context=client(chain, version, version))
    connection.request("GET", "/fhir/.well-known/smart-configuration")
    answer = connection.getresponse()
    assert answer.status == 200
    assert answer.getheader("Strict-Transport-Security")
    assert f'"token_endpoint":"https://127.0.0.1:{port}/auth/token"' in answer.read().decode().replace('": "', '":"')
    connection.close()


@pytest.mark.statement("security S-11")
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
def test_older_versions_of_tls_are_refused(served: tuple[int, Path], version: ssl.TLSVersion) -> None:
    port, chain = served
    with socket.create_connection(("127.0.0.1", port), 20) as plain, pytest.raises((ssl.SSLError, ConnectionError)):
        client(chain, version, version).wrap_socket(plain, server_hostname="127.0.0.1")


def test_plain_http_gets_no_answer_on_a_port_that_speaks_tls(served: tuple[int, Path]) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", served[0], timeout=20)
    with pytest.raises((http.client.HTTPException, ConnectionError)):  # noqa: PT012 - either step may meet the end
        connection.request("POST", "/auth/token", b"grant_type=client_credentials")
        connection.getresponse()
    connection.close()


@pytest.mark.parametrize("given", [("CERTIFICATE",), ("KEY",), ("CERTIFICATE", "KEY")])
def test_a_certificate_that_cannot_be_used_stops_the_start(tmp_path: Path, given: tuple[str, ...]) -> None:
    broken = tmp_path / "broken.pem"
    broken.write_text("no certificate")
    settings = {f"DMP_SERVER_TLS_{name}": str(broken) for name in given}
    refused(run(tmp_path, "serve", "--port", "0", **settings), 2, "server.tls_")
