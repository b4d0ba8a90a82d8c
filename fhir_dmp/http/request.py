"""From a WSGI environ to the parts of a FHIR request: path segments, query, client address, public base.

PEP 3333. Everything is read from the raw strings of the server: building a full URL object would cost more than a read.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from ipaddress import ip_address, ip_network
from random import getrandbits
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_plus, urlsplit

from fhir_dmp.errors import BadRequest, MethodNotAllowed
from fhir_dmp.http.negotiation import DEFAULT, Wanted
from fhir_dmp.oauth.certificates import Presented, presented

if TYPE_CHECKING:
    from fhir_dmp.http.body import Body

Environ = Mapping[str, Any]
Pairs = tuple[tuple[str, str], ...]

#: What the FHIR API understands beside OPTIONS; method override headers have no effect.
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"})
ALLOW = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"
MAX_QUERY = 32_768
MAX_PARAMETERS = 1_000
MAX_HEADER = 8_192

_LOOPBACK = frozenset({"127.0.0.1", "::1", "::ffff:127.0.0.1", ""})
_REQUEST_ID = re.compile(r"[A-Za-z0-9.\-]{1,64}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
#: What FHIR strings may not hold: a parameter may span lines.
_FORBIDDEN = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]")
_HOST = re.compile(r"[A-Za-z0-9.\-]{1,253}(:\d{1,5})?|\[[0-9A-Fa-f:.]{2,45}\](:\d{1,5})?")


@dataclass(slots=True)
class Request:
    """One HTTP request in the words of FHIR, filled while it is read.

    method: empty until it is known to be one of ours; HEAD counts as GET, `head` tells the difference. applied: the
    preferences to echo in Preference-Applied.
    """

    environ: Environ
    request_id: str
    address: str
    base: str
    head: bool
    method: str = ""
    segments: tuple[str, ...] = ()
    raw_query: str = ""
    query: Pairs = ()
    wanted: Wanted = DEFAULT
    body: Body | None = None
    applied: list[str] = field(default_factory=list)

    def header(self, name: str) -> str:
        """Return a request header by its CGI name without HTTP_, or an empty text."""
        value: str = self.environ.get("HTTP_" + name, "")
        return value


def request_id_of(environ: Environ) -> str:
    """Return the client's X-Request-Id when it is well formed, else a new one."""
    given = environ.get("HTTP_X_REQUEST_ID")
    if given and _REQUEST_ID.fullmatch(given):
        return str(given)
    # To tell requests apart, not to keep a secret: the system's randomness would cost a third of a read.
    return f"{getrandbits(96):024x}"


def method_of(environ: Environ) -> str:
    """Return the method.

    Raises:
        MethodNotAllowed: none of HTTP's that FHIR uses.
    """
    method: str = environ["REQUEST_METHOD"]
    if method not in METHODS:
        raise MethodNotAllowed("This method is not part of the FHIR API.", headers={"Allow": ALLOW})
    return method


def segments_of(path: str) -> tuple[str, ...]:
    """Split the path below the base; one trailing slash is accepted.

    `path` is what WSGI gives: percent-decoded bytes read as Latin-1.

    >>> segments_of("/Patient/a/_history/2")
    ('Patient', 'a', '_history', '2')
    >>> segments_of("/")
    ()

    Raises:
        BadRequest: not UTF-8, a control character, or an empty segment.
    """
    if not path.isascii():
        path = _utf8(path)
    parts = path.split("/")
    if parts and not parts[0]:
        del parts[0]
    if parts and not parts[-1]:
        del parts[-1]
    for part in parts:
        if not part:
            raise BadRequest("The path has an empty segment.", code="value")
        if not part.isprintable() and _CONTROL.search(part):
            raise BadRequest("The path holds a control character.", code="value")
    return tuple(parts)


def _utf8(text: str) -> str:
    try:
        return text.encode("latin-1").decode("utf-8")
    except UnicodeError as error:
        raise BadRequest("The URL is not UTF-8.", code="value") from error


def parse_query(raw: str) -> Pairs:
    """Return the decoded (name, value) pairs of a query string or form, in order.

    >>> parse_query("_format=application/fhir+json&a=%C3%A9&b")
    (('_format', 'application/fhir json'), ('a', 'é'), ('b', ''))

    Raises:
        BadRequest: too long, too many parameters, not UTF-8 or a control character.
    """
    if not raw:
        return ()
    if not raw.isascii():
        raw = _utf8(raw)
    words = raw.split("&")
    if len(words) > MAX_PARAMETERS:
        raise BadRequest(f"More than {MAX_PARAMETERS} parameters.", code="too-costly")
    pairs = []
    for word in words:
        if word:
            name, _, value = word.partition("=")
            pairs.append((_decoded(name), _decoded(value)))
    return tuple(pairs)


def _decoded(text: str) -> str:
    if "%" not in text and "+" not in text:
        return text
    try:
        text = unquote_plus(text, errors="strict")
    except UnicodeDecodeError as error:
        raise BadRequest("A parameter is not UTF-8.", code="value") from error
    if not text.isprintable() and _FORBIDDEN.search(text):
        raise BadRequest("A parameter holds a control character.", code="value")
    return text


def query_of(environ: Environ) -> tuple[str, Pairs]:
    """Return the raw query string and its pairs.

    Raises:
        BadRequest: as `parse_query`, or a token in the URL (RFC 6750, section 2.3 is not offered).
    """
    raw: str = environ.get("QUERY_STRING", "")
    if not raw:
        return raw, ()
    if len(raw) > MAX_QUERY:
        raise BadRequest(f"The query is longer than {MAX_QUERY} characters; use POST _search.", code="too-long")
    pairs = parse_query(raw)
    refuse_token(pairs)
    return raw, pairs


def refuse_token(pairs: Pairs) -> None:
    """Refuse an access token outside of the Authorization header: URLs and forms end up in logs.

    Raises:
        BadRequest: there is one.
    """
    if any(name == "access_token" for name, _ in pairs):
        raise BadRequest(
            "invalid_request: send the access token in the Authorization header only.",
            headers={"WWW-Authenticate": 'Bearer realm="dmp", error="invalid_request"'},
        )


@dataclass(frozen=True, slots=True)
class Proxies:
    """Which peers may tell who the client is and under which URL the server is known."""

    trusted: Callable[[str], bool]
    base: str
    #: False when the operator configured the public URL: then no header changes it.
    base_follows_host: bool

    def client(self, environ: Environ) -> str:
        """Return the client's address: the nearest one that is no declared proxy."""
        address: str = environ.get("REMOTE_ADDR", "")
        if not self.trusted(address):
            return address
        for hop in reversed(_forwarded_for(environ)):
            candidate = _address(hop)
            if not candidate:
                break
            address = candidate
            if not self.trusted(address):
                break
        return address

    def is_plain(self, environ: Environ) -> bool:
        """Say whether the client's connection is http: to this server, unless from this machine, or to a proxy."""
        if environ.get("wsgi.url_scheme") == "https":
            return False
        peer = environ.get("REMOTE_ADDR", "")
        scheme = _forwarded_host(environ)[0] if self.trusted(peer) else ""
        return scheme != "https" if scheme else peer not in _LOOPBACK

    def certificate_from(self, header: str) -> Callable[[Environ], Presented | None]:
        """Return the function that reads the client's certificate from this header, of trusted peers only."""
        name = "HTTP_" + header.upper().replace("-", "_")

        def certificate(environ: Environ) -> Presented | None:
            if not header or not self.trusted(environ.get("REMOTE_ADDR", "")):
                return None
            return presented(environ.get(name, ""))

        return certificate

    def public_base(self, environ: Environ) -> str:
        """Return the FHIR base under which the client knows this server."""
        if not self.base_follows_host or not self.trusted(environ.get("REMOTE_ADDR", "")):
            return self.base
        scheme, host = _forwarded_host(environ)
        if not host or not _HOST.fullmatch(host):
            return self.base
        own = urlsplit(self.base)
        return f"{scheme if scheme in ('http', 'https') else own.scheme}://{host}{own.path}"


def proxies(addresses: tuple[str, ...], base: str, base_follows_host: bool) -> Proxies:
    """Compile the declared proxies (addresses or networks); undeclared ones are ignored."""
    networks = tuple(ip_network(address, strict=False) for address in addresses)

    @lru_cache(maxsize=1024)
    def trusted(address: str) -> bool:
        try:
            parsed = ip_address(address)
        except ValueError:
            return False
        return any(parsed in network for network in networks)

    return Proxies(trusted if networks else lambda _: False, base, base_follows_host)


def _forwarded_for(environ: Environ) -> list[str]:
    forwarded: str = environ.get("HTTP_FORWARDED", "")[:MAX_HEADER]
    if forwarded:
        return [pair.get("for", "") for pair in _forwarded(forwarded)]
    listed: str = environ.get("HTTP_X_FORWARDED_FOR", "")[:MAX_HEADER]
    return [part.strip() for part in listed.split(",")] if listed else []


def _forwarded_host(environ: Environ) -> tuple[str, str]:
    """Return what the nearest proxy says: (scheme, host), each possibly empty."""
    forwarded: str = environ.get("HTTP_FORWARDED", "")[:MAX_HEADER]
    if forwarded:
        nearest = _forwarded(forwarded)[-1]
        return nearest.get("proto", "").lower(), nearest.get("host", "")
    scheme = environ.get("HTTP_X_FORWARDED_PROTO", "").rpartition(",")[2].strip().lower()
    host = environ.get("HTTP_X_FORWARDED_HOST", "").rpartition(",")[2].strip()
    port = environ.get("HTTP_X_FORWARDED_PORT", "").rpartition(",")[2].strip()
    usual = {"http": "80", "https": "443"}.get(scheme)
    if host and port.isdigit() and port != usual and ":" not in host:
        host = f"{host}:{port}"
    return scheme, host


def _forwarded(header: str) -> list[dict[str, str]]:
    """Read RFC 7239: elements by comma, pairs by semicolon, values perhaps quoted."""
    elements = []
    for element in header.split(","):
        pairs = (pair.partition("=") for pair in element.split(";"))
        elements.append({name.strip().lower(): value.strip().strip('"') for name, _, value in pairs})
    return elements


def _address(hop: str) -> str:
    """Return the address of a hop without port and brackets, or an empty text when it names none."""
    text = hop.strip().strip('"')
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        return str(ip_address(text))
    except ValueError:
        return ""
