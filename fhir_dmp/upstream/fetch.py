"""Fetches a JSON document of an https URL that a third party gave us, without reaching into our own network.

[security 2.6, 8]: the name is resolved once, every address must be public, and the connection goes to the address that
was judged, with the name in TLS. No redirects, little time, little size.
"""

from __future__ import annotations

import json
import socket
import ssl
from collections.abc import Callable
from ipaddress import IPv6Address, ip_address
from time import monotonic
from typing import Any, Final
from urllib.parse import urlsplit

from requests.utils import DEFAULT_CA_BUNDLE_PATH
from urllib3 import BaseHTTPResponse, HTTPSConnectionPool, Timeout
from urllib3.exceptions import HTTPError

from fhir_dmp.errors import Unavailable
from fhir_dmp.oauth.jwks import Fetched

TIMEOUT_S: Final = 3
MAX_BYTES: Final = 64 * 1024
#: Host and port -> addresses.
Resolve = Callable[[str, int], list[str]]


def resolve(host: str, port: int) -> list[str]:
    """Return the addresses of a host, in the system's order."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(each[4][0]) for each in found))


def is_public(address: str) -> bool:
    """Say whether an address is one of the public internet.

    >>> is_public("198.51.100.7"), is_public("10.0.0.1"), is_public("127.0.0.1"), is_public("169.254.169.254")
    (False, False, False, False)
    >>> is_public("9.9.9.9"), is_public("2620:fe::fe"), is_public("::ffff:10.0.0.1"), is_public("64:ff9b::a00:1")
    (True, True, False, False)
    """
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(parsed, IPv6Address):
        inner = parsed.ipv4_mapped or parsed.sixtofour or (parsed.teredo[1] if parsed.teredo else None)
        if inner is not None:
            return is_public(str(inner))
        if parsed in _NAT64:
            return False
    return parsed.is_global and not parsed.is_multicast and not parsed.is_reserved


def _read(answer: BaseHTTPResponse) -> bytes:
    """Read the body within the size and the time that one document may take, however slowly it comes."""
    content, deadline = bytearray(), monotonic() + TIMEOUT_S
    while chunk := answer.read1(8192):
        content += chunk
        if len(content) > MAX_BYTES:
            raise Unavailable("The document is too big.")
        if monotonic() > deadline:
            raise Unavailable("The document comes too slowly.")
    return bytes(content)


class _Prefix:
    def __contains__(self, address: IPv6Address) -> bool:
        return int(address) >> 32 == 0x0064FF9B << 64


_NAT64 = _Prefix()


class Fetcher:
    """Fetches documents. allowed_hosts: names that may have private addresses. ca_file: more authorities, PEM."""

    def __init__(self, allowed_hosts: tuple[str, ...] = (), ca_file: str = "", resolver: Resolve = resolve) -> None:
        self._allowed = frozenset(host.lower() for host in allowed_hosts)
        self._resolve = resolver
        self._tls = ssl.create_default_context(cafile=DEFAULT_CA_BUNDLE_PATH)
        if ca_file:
            self._tls.load_verify_locations(cafile=ca_file)
        self._tls.minimum_version = ssl.TLSVersion.TLSv1_2

    def __call__(self, url: str) -> Fetched:
        """Return the document.

        Raises:
            Unavailable: it cannot be fetched, is no JSON, is too big, or lies where nobody may send us.
        """
        try:
            parts, port = urlsplit(url), urlsplit(url).port or 443
        except ValueError as error:
            raise Unavailable("Only https URLs are fetched.") from error
        if parts.scheme != "https" or not parts.hostname or parts.username is not None:
            raise Unavailable("Only https URLs are fetched.")
        address = self._address(parts.hostname, port)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        host = parts.hostname if port == 443 else f"{parts.hostname}:{port}"
        pool = HTTPSConnectionPool(
            address,
            port,
            ssl_context=self._tls,
            server_hostname=parts.hostname,
            assert_hostname=parts.hostname,
            timeout=Timeout(connect=TIMEOUT_S, read=TIMEOUT_S),
            retries=False,
            maxsize=1,
        )
        try:
            return self._get(pool, target, host)
        except (HTTPError, OSError, ValueError, RecursionError) as error:
            raise Unavailable(f"The document could not be fetched ({type(error).__name__}).") from error
        finally:
            pool.close()

    def _address(self, host: str, port: int) -> str:
        try:
            addresses = self._resolve(host, port)
        except OSError as error:
            raise Unavailable("The host of the document is not known.") from error
        if not addresses or (host.lower() not in self._allowed and not all(map(is_public, addresses))):
            raise Unavailable("The document lies on an address that is not public.")
        return addresses[0]

    def _get(self, pool: HTTPSConnectionPool, target: str, host: str) -> Fetched:
        headers = {"Accept": "application/json", "Host": host, "Accept-Encoding": "identity"}
        answer = pool.urlopen("GET", target, headers=headers, redirect=False, preload_content=False)
        try:
            if answer.status != 200:
                raise Unavailable(f"The document was not delivered (status {answer.status}).")
            parsed: Any = json.loads(_read(answer))
            return Fetched(parsed, answer.headers.get("Cache-Control", ""))
        finally:
            answer.close()
