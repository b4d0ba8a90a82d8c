"""The certificate with which a client connected, as the proxy that ended the TLS connection hands it on.

RFC 8705, RFC 9440 (header Client-Cert), and the URL-encoded PEM of common proxies. The proxy verifies chain, validity
and revocation; here the certificate is only read and compared.
"""

from __future__ import annotations

import binascii
import hashlib
from base64 import b64decode, urlsafe_b64encode
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import unquote

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from fhir_dmp.oauth.clients import Certificate

MAX_HEADER = 16_384


@dataclass(frozen=True, slots=True)
class Presented:
    """A certificate that was presented: names as RFC 4514 text, SHA-256 of the DER, validity in seconds."""

    subject: str
    issuer: str
    sha256: bytes
    not_before_s: float
    not_after_s: float

    @property
    def thumbprint(self) -> str:
        """The value of `cnf.x5t#S256`."""
        return urlsafe_b64encode(self.sha256).rstrip(b"=").decode()

    def is_valid_at(self, now_s: float) -> bool:
        """Say whether it is within its validity."""
        return self.not_before_s <= now_s <= self.not_after_s

    def is_of(self, registered: Certificate) -> bool:
        """Say whether it is the registered one, as far as that is said."""
        same = (
            not registered.subject or registered.subject == self.subject,
            not registered.issuer or registered.issuer == self.issuer,
            not registered.sha256 or registered.sha256 == self.sha256.hex(),
        )
        return all(same) and bool(registered.subject or registered.sha256)


@lru_cache(maxsize=512)
def presented(header: str) -> Presented | None:
    """Read the header of the proxy: `:base64 of DER:`, or a PEM, URL-encoded or not. None when it is neither."""
    if not header or len(header) > MAX_HEADER:
        return None
    try:
        if header.startswith(":"):
            certificate = x509.load_der_x509_certificate(b64decode(header.strip(":"), validate=True))
        else:
            certificate = x509.load_pem_x509_certificate(_pem(header).encode("ascii"))
        der = certificate.public_bytes(Encoding.DER)
        return Presented(
            certificate.subject.rfc4514_string(),
            certificate.issuer.rfc4514_string(),
            hashlib.sha256(der).digest(),
            certificate.not_valid_before_utc.timestamp(),
            certificate.not_valid_after_utc.timestamp(),
        )
    except (ValueError, UnicodeError, binascii.Error):
        return None


def _pem(header: str) -> str:
    text = unquote(header) if "%" in header else header
    start, end = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
    inner = text.partition(start)[2].partition(end)[0]
    # Proxies fold the lines of a PEM into spaces or tabs.
    return "\n".join([start, *inner.split(), end, ""])
