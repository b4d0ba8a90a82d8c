"""Which web pages may call: registered origins on the API, every origin on what is public.

https://fetch.spec.whatwg.org/#http-cors-protocol. Never with credentials: tokens travel in a header.
"""

from __future__ import annotations

from collections.abc import Callable, Container

from fhir_dmp.http.request import ALLOW, Environ

_EXPOSED = (
    "ETag, Location, Content-Location, Last-Modified, Content-Disposition, Content-Range, Accept-Ranges, "
    "Preference-Applied, Retry-After, WWW-Authenticate, X-Request-Id, X-DMP-Warning, Allow"
)
_ACCEPTED = (
    "Authorization, Content-Type, Accept, Accept-Language, If-Match, If-None-Match, If-Modified-Since, If-None-Exist, "
    "Prefer, Range, X-Request-Id, X-Security-Context"
)
_MAX_AGE_S = 600


class Origins:
    """The origins whose pages may call: those of the settings, and those of registered clients."""

    def __init__(self, configured: tuple[str, ...], registered: Callable[[str], bool]) -> None:
        self._configured = frozenset(configured)
        self._registered = registered

    def __contains__(self, origin: object) -> bool:
        return origin in self._configured or (isinstance(origin, str) and self._registered(origin))


def shared_with(environ: Environ, origins: Container[str], public: bool) -> list[tuple[str, str]]:
    """Return the headers that let the calling page read the answer; none for other origins."""
    origin = environ.get("HTTP_ORIGIN")
    if not origin:
        return []
    if public:
        return [("Access-Control-Allow-Origin", "*"), ("Access-Control-Expose-Headers", _EXPOSED)]
    if origin not in origins:
        return [("Vary", "Origin")]
    return [
        ("Access-Control-Allow-Origin", origin),
        ("Access-Control-Expose-Headers", _EXPOSED),
        ("Vary", "Origin"),
    ]


def preflight(environ: Environ, origins: Container[str], public: bool) -> list[tuple[str, str]]:
    """Return the headers of an OPTIONS answer: what exists, and what the calling page may do."""
    shared = shared_with(environ, origins, public)
    if any(name == "Access-Control-Allow-Origin" for name, _ in shared):
        shared += [
            ("Access-Control-Allow-Methods", ALLOW),
            ("Access-Control-Allow-Headers", _ACCEPTED),
            ("Access-Control-Max-Age", str(_MAX_AGE_S)),
        ]
    return [("Allow", ALLOW), *shared]
