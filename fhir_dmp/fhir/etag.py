"""The entity tags of FHIR versions: `W/"3"`. https://hl7.org/fhir/R4/http.html#concurrency, RFC 9110 section 8.8.3"""

from __future__ import annotations

import re
from dataclasses import dataclass

from fhir_dmp.errors import BadRequest

_TAG = re.compile(r'(?:W/)?"([^"\x00-\x20\x7f]*)"')
_NUMBER = re.compile(r"[1-9][0-9]{0,17}")
_MAX_TAGS = 100


@dataclass(frozen=True, slots=True)
class Tags:
    """The versions that a header names; `any` for `*`. A tag that is no version of ours matches nothing."""

    any: bool = False
    versions: frozenset[int] = frozenset()

    def matches(self, version: int | None) -> bool:
        """Say whether the current version (None: there is no resource) is one of these."""
        return version is not None and (self.any or version in self.versions)


def etag(version: int) -> str:
    """Return the entity tag of a version: `W/"3"`."""
    return f'W/"{version}"'


def parse_tags(header: str, name: str = "If-Match") -> Tags:
    """Read an If-Match or If-None-Match header.

    >>> parse_tags('W/"3"').matches(3)
    True
    >>> sorted(parse_tags('"1", W/"12"').versions)
    [1, 12]
    >>> parse_tags("*").any
    True

    Raises:
        BadRequest: it is neither `*` nor a list of quoted tags.
    """
    text = header.strip(" \t")
    if text == "*":
        return Tags(any=True)
    tags = [_TAG.fullmatch(part.strip(" \t")) for part in text.split(",")]
    if len(tags) > _MAX_TAGS or None in tags:
        raise BadRequest(f'{name} must be * or a list of tags such as W/"3".', code="value")
    values = [tag.group(1) for tag in tags if tag is not None]
    return Tags(versions=frozenset(int(value) for value in values if _NUMBER.fullmatch(value)))
