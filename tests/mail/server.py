"""A real SMTP server on its own port (aiosmtpd), which keeps what it accepts and refuses what it is told to."""

from __future__ import annotations

import socket
import ssl
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, Envelope, LoginPassword

USER, PASSWORD = "dmp", "mot de passe"


class Mailbox:
    """Accepts every message, except for the recipients in `refusals` (address -> SMTP answer).

    answers: to give to the next messages instead; "break" keeps the message and cuts the connection without answer.
    """

    def __init__(self) -> None:
        self.messages: list[EmailMessage] = []
        self.recipients: list[str] = []
        self.refusals: dict[str, str] = {}
        self.answers: list[str] = []
        self.secure: list[bool] = []
        self.port = 0

    async def handle_RCPT(self, server: Any, session: Any, envelope: Envelope, address: str, options: list[str]) -> str:
        """Answer RCPT TO."""
        if address in self.refusals:
            return self.refusals[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Envelope) -> str:
        """Keep a message."""
        assert isinstance(envelope.content, bytes)
        answer = self.answers.pop(0) if self.answers else ""
        if answer and answer != "break":
            return answer
        self.messages.append(message_from_bytes(envelope.content, policy=policy.default))
        self.recipients += envelope.rcpt_tos
        self.secure.append(session.ssl is not None)
        if answer == "break":
            server.transport.abort()
        return "250 kept"


def _authenticate(server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
    right = isinstance(data, LoginPassword) and (data.login, data.password) == (USER.encode(), PASSWORD.encode())
    return AuthResult(success=right, handled=False)


@contextmanager
def running(tls: ssl.SSLContext | None = None, auth: bool = False) -> Iterator[Mailbox]:
    """Run a server; with `tls` it offers STARTTLS."""
    box = Mailbox()
    with socket.socket() as probe:  # the library connects to its own port and must know it before
        probe.bind(("127.0.0.1", 0))
        box.port = probe.getsockname()[1]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        controller = Controller(
            box,
            hostname="127.0.0.1",
            port=box.port,
            tls_context=tls,
            authenticator=_authenticate if auth else None,
            auth_required=auth,
            auth_require_tls=tls is not None,
        )
        controller.start()
    try:
        yield box
    finally:
        controller.stop()
