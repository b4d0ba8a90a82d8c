"""Sending one message by SMTP (RFC 5321), at once. Queues, retries and templates are the business of others.

The server is named by `mail.smtp_url`: `smtp://user:password@host:port`, or `smtps://` for TLS from the start. On
`smtp:` TLS is taken whenever the server offers it (STARTTLS, RFC 3207); `?tls=required` refuses a server without.
A password never travels in clear: credentials need TLS, except towards this machine.
"""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.message import EmailMessage
from ipaddress import ip_address
from urllib.parse import parse_qs, unquote, urlsplit

from fhir_dmp.errors import ConfigurationError, MailRefused, MailUnavailable, Problem, RecipientRefused

_WHERE = "mail.smtp_url"
_PORTS = {"smtp": 587, "smtps": 465}


@dataclass(frozen=True, slots=True)
class Smtp:
    """A mail server. timeout_s: for the connection and each answer. ca_file: trust this authority, not the system's."""

    host: str
    port: int
    user: str = ""
    password: str = ""
    implicit_tls: bool = False
    require_tls: bool = False
    timeout_s: float = 10.0
    ca_file: str | None = None

    def __repr__(self) -> str:
        return f"Smtp({self.host}:{self.port})"

    def send(self, message: EmailMessage) -> None:
        """Hand one message over; when this returns, the server has accepted it for every recipient.

        Raises:
            MailUnavailable: no answer, or a temporary refusal (4xx): another try may succeed.
            MailRefused: a lasting refusal (5xx), or a server that does not offer what is required.
        """
        with _told(), self._connected() as client:
            refused = client.send_message(message)
            if refused:
                raise smtplib.SMTPRecipientsRefused(refused)

    def check(self) -> None:
        """Connect, authenticate and leave, without sending anything.

        Raises:
            MailUnavailable, MailRefused: as `send`.
        """
        with _told(), self._connected() as client:
            client.noop()

    @contextmanager
    def _connected(self) -> Iterator[smtplib.SMTP]:
        context = ssl.create_default_context(cafile=self.ca_file)
        client: smtplib.SMTP
        if self.implicit_tls:
            client = smtplib.SMTP_SSL(self.host, self.port, timeout=self.timeout_s, context=context)
        else:
            client = smtplib.SMTP(self.host, self.port, timeout=self.timeout_s)
        with client:
            client.ehlo_or_helo_if_needed()
            secure = self.implicit_tls
            if not secure and client.has_extn("starttls"):
                client.starttls(context=context)
                client.ehlo()
                secure = True
            if self.require_tls and not secure:
                raise MailRefused("The mail server offers no TLS and mail.smtp_url requires it.")
            if self.user:
                if not secure and not _is_here(self.host):
                    raise MailRefused("The mail server offers no TLS: the password is not sent in clear.")
                client.login(self.user, self.password)
            yield client


def smtp_of(url: str) -> Smtp:
    """Read `mail.smtp_url`.

    Raises:
        ConfigurationError: not such a URL.
    """
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError as error:
        raise ConfigurationError(Problem(_WHERE, "the port is no number", "smtp://host:port")) from error
    if parts.scheme not in _PORTS or not parts.hostname:
        raise ConfigurationError(Problem(_WHERE, "must be smtp://host:port or smtps://host:port"))
    options = parse_qs(parts.query)
    if options.keys() - {"tls", "ca"} or options.get("tls", ["required"]) != ["required"]:
        raise ConfigurationError(Problem(_WHERE, "the only options are tls=required and ca=FILE"))
    return Smtp(
        host=parts.hostname,
        port=port or _PORTS[parts.scheme],
        user=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        implicit_tls=parts.scheme == "smtps",
        require_tls="tls" in options,
        ca_file=options.get("ca", [None])[0],
    )


@contextmanager
def _told() -> Iterator[None]:
    """Turn what the library raises into two kinds: worth another try, or not. Addresses are not repeated."""
    try:
        yield
    except smtplib.SMTPRecipientsRefused as error:
        codes = [code for code, _ in error.recipients.values()]
        if codes and min(codes) >= 500:
            raise RecipientRefused(f"The mail server takes no mail for this address (SMTP {min(codes)}).") from error
        raise _refusal(min(codes, default=450)) from error
    except smtplib.SMTPResponseException as error:
        raise _refusal(error.smtp_code) from error
    except smtplib.SMTPNotSupportedError as error:
        raise MailRefused("The mail server does not offer what this message needs.") from error
    except (smtplib.SMTPException, OSError) as error:
        raise MailUnavailable("The mail server does not answer.") from error


def _refusal(code: int) -> MailRefused | MailUnavailable:
    if 500 <= code < 600:
        return MailRefused(f"The mail server refused the message for good (SMTP {code}).")
    return MailUnavailable(f"The mail server did not take the message this time (SMTP {code}).")


def _is_here(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
