"""Which representation the client wants, and what its own body claims to be.

https://hl7.org/fhir/R4/http.html#mime-type; RFC 9110, section 12. Order: `_format`, then `Accept`, then JSON.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

from fhir_dmp.errors import NotAcceptable, UnsupportedMedia


class Format(StrEnum):
    """The representations of a resource."""

    JSON = "json"
    XML = "xml"
    HTML = "html"


FHIR_JSON = "application/fhir+json"
FHIR_XML = "application/fhir+xml"
#: Names under which clients ask for a representation.
NAMES: dict[str, Format] = {
    FHIR_JSON: Format.JSON,
    "application/json": Format.JSON,
    "text/json": Format.JSON,
    FHIR_XML: Format.XML,
    "application/xml": Format.XML,
    "text/xml": Format.XML,
    "text/html": Format.HTML,
}
_SHORT = {"json": Format.JSON, "xml": Format.XML, "html": Format.HTML}
CONTENT_TYPES = {
    Format.JSON: f"{FHIR_JSON};charset=utf-8",
    Format.XML: f"{FHIR_XML};charset=utf-8",
    Format.HTML: "text/html;charset=utf-8",
}
_WILDCARDS = {"*/*": tuple(Format), "application/*": (Format.JSON, Format.XML), "text/*": (Format.HTML,)}
_FHIR_VERSIONS = frozenset({"4.0", "4.0.1"})
_CACHEABLE = 400


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to answer with. format: None when nothing that we have is acceptable.

    accept_raw: no FHIR media type was named, so a content may travel as its own bytes; accepts: the media types named,
    best first, () for anything. page: text/html was named, and is what suits best.
    """

    format: Format | None
    content_type: str
    accept_raw: bool = True
    accepts: tuple[str, ...] = ()
    page: bool = False

    def acceptable(self) -> Wanted:
        """Return self.

        Raises:
            NotAcceptable: no representation suits the client.
        """
        if self.format is None:
            raise NotAcceptable(
                f"No acceptable representation; this server offers {FHIR_JSON}, {FHIR_XML} (FHIR 4.0) and text/html."
            )
        return self


DEFAULT = Wanted(Format.JSON, CONTENT_TYPES[Format.JSON])
_NOTHING = Wanted(None, CONTENT_TYPES[Format.JSON], accept_raw=False)


@dataclass(frozen=True, slots=True)
class MediaType:
    """A media type, lower case, with its parameters."""

    name: str
    parameters: dict[str, str]

    @property
    def quality(self) -> float:
        """The q-value, 1 when absent or not a number."""
        try:
            return min(max(float(self.parameters.get("q", "1")), 0.0), 1.0)
        except ValueError:
            return 1.0

    @property
    def suits(self) -> bool:
        """Whether FHIR version and charset, when given, are ours."""
        return self.fhir_version_known and self.charset_known

    @property
    def fhir_version_known(self) -> bool:
        """Whether the FHIR version, when given, is R4."""
        return self.parameters.get("fhirversion", "4.0") in _FHIR_VERSIONS

    @property
    def charset_known(self) -> bool:
        """Whether the charset, when given, is UTF-8."""
        return self.parameters.get("charset", "utf-8").lower() in ("utf-8", "utf8")


def media_type(text: str) -> MediaType:
    """Read one media type.

    >>> media_type('Application/FHIR+JSON; charset="UTF-8"')
    MediaType(name='application/fhir+json', parameters={'charset': 'UTF-8'})
    """
    name, *rest = text.split(";")
    pairs = (part.partition("=") for part in rest if part.strip())
    return MediaType(name.strip().lower(), {key.strip().lower(): value.strip().strip('"') for key, _, value in pairs})


def negotiate(accept: str, query: Sequence[tuple[str, str]]) -> Wanted:
    """Decide the representation of the answer from `_format` and `Accept`."""
    if query:
        for name, value in query:
            if name == "_format" and value:
                return _by_format(value)
    if not accept or accept == "*/*":
        return DEFAULT
    return _by_accept(accept) if len(accept) <= _CACHEABLE else _decide(accept)


def _by_format(value: str) -> Wanted:
    # A plus that the client did not encode arrives as a space.
    asked = media_type(value.strip().replace(" ", "+"))
    chosen = _SHORT.get(asked.name) or NAMES.get(asked.name)
    if chosen is None or not asked.suits:
        return _NOTHING
    return Wanted(chosen, CONTENT_TYPES[chosen], accept_raw=False)


@lru_cache(maxsize=512)
def _by_accept(accept: str) -> Wanted:
    return _decide(accept)


def _decide(accept: str) -> Wanted:
    ranges = [media_type(part) for part in accept.split(",") if part.strip()]
    named = [r for r in ranges if r.quality > 0 and r.name]
    # Best first: quality, then a name before a wildcard, then the client's order (sorting is stable).
    named.sort(key=lambda r: (-r.quality, r.name in _WILDCARDS, r.name == "*/*"))
    refused = {NAMES[r.name] for r in ranges if r.quality == 0 and r.name in NAMES}
    anything = any(r.name == "*/*" for r in named) or not ranges
    accepts = () if anything else tuple(dict.fromkeys(r.name for r in named))
    raw = not any(r.name in (FHIR_JSON, FHIR_XML) for r in named)
    for wish in named:
        chosen = _format_of(wish, refused)
        if chosen:
            page = raw and NAMES.get(wish.name) is Format.HTML
            return Wanted(chosen, _content_type(wish.name, chosen, named), raw, accepts, page)
    return Wanted(None, CONTENT_TYPES[Format.JSON], raw, accepts)


def _format_of(wish: MediaType, refused: Iterable[Format]) -> Format | None:
    if not wish.suits:
        return None
    if wish.name in NAMES:
        return NAMES[wish.name]
    return next((each for each in _WILDCARDS.get(wish.name, ()) if each not in refused), None)


def _content_type(name: str, chosen: Format, named: list[MediaType]) -> str:
    """Echo a generic type only when the client named nothing but generic types."""
    generic = name in NAMES and name not in (FHIR_JSON, FHIR_XML)
    if generic and all(r.name in NAMES and r.name not in (FHIR_JSON, FHIR_XML) for r in named):
        return f"{name};charset=utf-8"
    return CONTENT_TYPES[chosen]


def wants_pretty(query: Sequence[tuple[str, str]]) -> bool:
    """Say whether `_pretty=true` was asked."""
    return any(name == "_pretty" and value == "true" for name, value in query)


def check_fhir_type(given: MediaType) -> None:
    """Check the parameters of a request body's type that FHIR reads.

    Raises:
        UnsupportedMedia: another charset than UTF-8, or another FHIR version than R4.
    """
    if not given.charset_known:
        raise UnsupportedMedia("Only the charset utf-8 is accepted.")
    if not given.fhir_version_known:
        raise UnsupportedMedia("Only FHIR version 4.0 is accepted.")
