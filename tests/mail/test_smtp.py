"""One message over real sockets: accepted, refused for now, refused for good, in clear and over TLS."""

from __future__ import annotations

import datetime
import ipaddress
import socket
import ssl
from email.message import EmailMessage
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from fhir_dmp.errors import ConfigurationError, MailRefused, MailUnavailable
from fhir_dmp.mail.smtp import Smtp, smtp_of
from tests.mail import server
from tests.mail.server import running


def message(to: str = "anouk@example.org") -> EmailMessage:
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "dmp@example.org", to, "Votre code"
    mail.set_content("Bonjour,\n\nÀ bientôt.\n")
    return mail


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[ssl.SSLContext, str]:
    """Return the TLS context of a server at 127.0.0.1, and the file of the authority that vouches for it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mail")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .add_extension(x509.BasicConstraints(True, None), True)
        .sign(key, hashes.SHA256())
    )
    chain, secret = tmp_path / "mail.pem", tmp_path / "mail.key"
    chain.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    secret.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain, secret)
    return context, str(chain)


def test_a_message_arrives_as_it_was_written() -> None:
    with running() as box:
        smtp_of(f"smtp://127.0.0.1:{box.port}").send(message())
    assert box.recipients == ["anouk@example.org"]
    assert box.messages[0]["Subject"] == "Votre code"
    assert "À bientôt." in box.messages[0].get_content()


def test_a_temporary_refusal_is_worth_another_try() -> None:
    with running() as box:
        box.refusals["anouk@example.org"] = "451 greylisted"
        with pytest.raises(MailUnavailable):
            smtp_of(f"smtp://127.0.0.1:{box.port}").send(message())
    assert box.messages == []


def test_a_lasting_refusal_is_told_as_such() -> None:
    with running() as box:
        box.refusals["anouk@example.org"] = "550 no such mailbox"
        with pytest.raises(MailRefused, match="550") as refused:
            smtp_of(f"smtp://127.0.0.1:{box.port}").send(message())
    assert "anouk" not in str(refused.value)


def test_a_message_that_one_recipient_did_not_get_is_no_success() -> None:
    with running() as box:
        box.refusals["b@example.org"] = "451 later"
        with pytest.raises(MailUnavailable):
            smtp_of(f"smtp://127.0.0.1:{box.port}").send(message("a@example.org, b@example.org"))


def test_no_server_is_worth_another_try() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(MailUnavailable):
            smtp_of(f"smtp://127.0.0.1:{taken.getsockname()[1]}").send(message())


def test_tls_is_taken_where_it_is_offered(certificate: tuple[ssl.SSLContext, str]) -> None:
    context, authority = certificate
    with running(tls=context) as box:
        smtp_of(f"smtp://127.0.0.1:{box.port}?ca={authority}").send(message())
    assert box.secure == [True]


def test_a_certificate_that_nobody_vouches_for_is_refused(certificate: tuple[ssl.SSLContext, str]) -> None:
    with running(tls=certificate[0]) as box, pytest.raises(MailUnavailable):
        smtp_of(f"smtp://127.0.0.1:{box.port}").send(message())
    assert box.messages == []


def test_a_server_without_tls_is_refused_where_tls_is_required() -> None:
    with running() as box, pytest.raises(MailRefused, match="TLS"):
        smtp_of(f"smtp://127.0.0.1:{box.port}?tls=required").send(message())
    assert box.messages == []


def test_credentials_are_given_over_tls_and_checked(certificate: tuple[ssl.SSLContext, str]) -> None:
    context, authority = certificate
    with running(tls=context, auth=True) as box:
        smtp_of(f"smtp://dmp:mot%20de%20passe@127.0.0.1:{box.port}?ca={authority}").send(message())
        with pytest.raises(MailRefused, match="535"):
            smtp_of(f"smtp://dmp:faux@127.0.0.1:{box.port}?ca={authority}").send(message())
    assert len(box.messages) == 1


def test_a_password_does_not_travel_in_clear_to_another_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    # The name is resolved to this machine, so that the server is real and yet not known as local.
    real = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda host, *rest, **more: real("127.0.0.1", *rest, **more))
    with running() as box, pytest.raises(MailRefused, match="in clear"):
        smtp_of(f"smtp://{server.USER}:secret@mail.example:{box.port}").send(message())


def test_a_header_cannot_be_injected() -> None:
    with pytest.raises(ValueError, match=r"linefeed|newline"):
        message("anouk@example.org\r\nBcc: other@example.org")


@pytest.mark.parametrize(
    "url", ["http://mail:25", "smtp://", "mail:25", "smtp://mail:port", "smtp://mail:25?tls=maybe", "smtp://m?x=1"]
)
def test_a_url_that_names_no_mail_server_stops_the_start(url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"mail\.smtp_url"):
        smtp_of(url)


def test_a_password_is_not_shown() -> None:
    assert "secret" not in repr(smtp_of("smtp://u:secret@mail:25"))
    assert smtp_of("smtps://mail") == Smtp("mail", 465, implicit_tls=True)
