"""Reference rewriting inside a transaction: temporary names become the ids that the server gave.

https://hl7.org/fhir/R4/http.html#trules. References, whole values of uri-like elements and the links of narratives are
rewritten, also inside contained resources and extensions; strings and markdown are left alone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from fhir_dmp.fhir.resource import Json
from fhir_dmp.fhir.structure import Structures

URI_TYPES = frozenset({"uri", "url", "canonical", "oid", "uuid"})
_LINK = re.compile(r'(\b(?:href|src)=")([^"]+)(")')


def rewrite(resource: Json, known: Mapping[str, str], structures: Structures, *, full_url: str | None = None) -> Json:
    """Return a copy in which every key of `known` (a fullUrl) became its value (`Type/id`).

    Relative references are completed with the root of the entry's own fullUrl before they are looked up.
    """
    writer = _Writer(known, structures, _root(full_url, resource))
    return writer.resource(resource)


def _root(full_url: str | None, resource: Json) -> str:
    """Return the root that relative references of this entry start from: its fullUrl less `/Type/id`."""
    if full_url is None or "/" not in full_url:
        return ""
    parts = full_url.rsplit("/", 2)
    return f"{parts[0]}/" if len(parts) == 3 and parts[1] == resource.get("resourceType") else ""


class _Writer:
    """One rewriting: the known names, and the types that tell which strings are links."""

    def __init__(self, known: Mapping[str, str], structures: Structures, root: str) -> None:
        self._known = known
        self._structures = structures
        self._root = root

    def resource(self, resource: Json) -> Json:
        return self._object(resource, str(resource.get("resourceType", "")))

    def _object(self, value: Json, type_: str) -> Json:
        return {name: self._property(name, part, type_, value) for name, part in value.items()}

    def _property(self, name: str, part: Any, type_: str, holder: Json) -> Any:
        if name == "reference" and isinstance(part, str):
            return self._reference(part)
        if name.startswith("_"):
            return self._value(part, "Element")
        resolved = self._structures.resolve(type_, name)
        return self._value(part, resolved[1] if resolved else "")

    def _value(self, value: Any, type_: str) -> Any:
        if isinstance(value, list):
            return [self._value(part, type_) for part in value]
        if isinstance(value, dict):
            return self.resource(value) if "resourceType" in value else self._object(value, type_)
        if isinstance(value, str):
            return self._text(value, type_)
        return value

    def _text(self, value: str, type_: str) -> str:
        if type_ in URI_TYPES:
            return self._known.get(value, value)
        if type_ == "xhtml":
            return _LINK.sub(lambda m: m[1] + self._known.get(m[2], m[2]) + m[3], value)
        return value

    def _reference(self, value: str) -> str:
        if value in self._known:
            return self._known[value]
        return self._known.get(self._root + value, value) if self._root else value
