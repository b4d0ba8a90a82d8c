"""The URIs of a client: which may be registered, and when one that is asked for is the registered one.

RFC 6749 section 3.1.2, RFC 8252 section 7.3 (loopback addresses of native applications), RFC 9700 section 2.1 (exact
match).
"""

from __future__ import annotations

import re
from urllib.parse import SplitResult, urlsplit

#: Addresses, not names: `localhost` may resolve to something else.
LOOPBACK = frozenset({"127.0.0.1", "::1"})
_PRINTABLE = re.compile(r"[\x21-\x7e]{1,2000}")
_DEFAULT_PORT = {"https": 443, "http": 80}


def _split(uri: str) -> SplitResult | None:
    if not _PRINTABLE.fullmatch(uri) or "\\" in uri:
        return None
    try:
        parts = urlsplit(uri)
        parts.port  # noqa: B018 - raises when it is no number
    except ValueError:
        return None
    return parts


def problem_of(uri: str) -> str | None:
    """Return why a URI cannot be registered, or None.

    >>> problem_of("https://app.example/callback?x=1"), problem_of("http://127.0.0.1/callback")
    (None, None)
    >>> problem_of("http://app.example/callback")
    'must be https (http only on a loopback address)'
    >>> problem_of("https://app.example/callback#part")
    'must have no fragment'
    >>> problem_of("https://*.example/callback")
    'must have no wildcard'
    """
    parts = _split(uri)
    if parts is None or not parts.hostname:
        return "is no absolute URI"
    if "#" in uri:
        return "must have no fragment"
    if "*" in uri:
        return "must have no wildcard"
    if parts.username is not None or parts.password is not None:
        return "must have no user information"
    if parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK | {"localhost"}):
        return None
    return "must be https (http only on a loopback address)"


def same_redirect(registered: str, asked: str) -> bool:
    """Say whether the URI asked for is the registered one.

    >>> same_redirect("https://app.example/cb", "https://app.example/cb")
    True
    >>> same_redirect("https://app.example/cb", "https://app.example/cb/") # no prefix, no normalisation
    False
    >>> same_redirect("http://127.0.0.1/cb", "http://127.0.0.1:51004/cb")  # a native application takes a free port
    True
    >>> same_redirect("https://app.example/cb", "https://app.example:8443/cb")
    False
    """
    if registered == asked:
        return True
    one, other = _split(registered), _split(asked)
    if one is None or other is None or one.scheme != "http" or other.scheme != "http" or "@" in asked:
        return False
    if one.hostname not in LOOPBACK or one.hostname != other.hostname or "#" in asked:
        return False
    return (one.path, one.query) == (other.path, other.query)


def origin_of(uri: str) -> str | None:
    """Return the origin of a URI as browsers write it, or None.

    >>> origin_of("https://app.example:443/x"), origin_of("http://127.0.0.1:8000/x"), origin_of("app")
    ('https://app.example', 'http://127.0.0.1:8000', None)
    """
    parts = _split(uri)
    if parts is None or parts.scheme not in _DEFAULT_PORT or not parts.hostname:
        return None
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    port = "" if parts.port in (None, _DEFAULT_PORT[parts.scheme]) else f":{parts.port}"
    return f"{parts.scheme}://{host}{port}"
