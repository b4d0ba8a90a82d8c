"""The codes of the French document metadata as one value: what is in a value set, and what derives from what.

The tables are mappings/codes/*.json (each names its public source). Systems are the canonical spellings of
terminology/aliases.py; every question may be asked in any known spelling.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from fhir_dmp.terminology.aliases import canonical_system

#: (canonical system, code)
Code = tuple[str, str]

VALUE_SETS = ("jdv-j02", "jdv-j04", "jdv-j06", "jdv-j07", "jdv-j08", "jdv-j10")


@dataclass(frozen=True, slots=True)
class Codes:
    """value_sets: name -> code -> French display. classes: type -> class. formats: CDA model template -> format;
    media_formats: format of an unstructured CDA by the media type of its body. systems: OID -> FHIR system.
    """

    value_sets: Mapping[str, Mapping[Code, str]]
    classes: Mapping[Code, str]
    formats: Mapping[str, Code]
    media_formats: Mapping[str, Code]
    fallback_format: Code
    systems: Mapping[str, str]

    @classmethod
    def load(cls, load_json: Callable[[str], Any]) -> Codes:
        """Build the value from the data files; `load_json` returns the content of `mappings/codes/<name>.json`."""

        def table(name: str) -> Any:
            return load_json(f"mappings/codes/{name}.json")

        types, formats = table("type-to-class"), table("template-to-format")
        return cls(
            value_sets={name: _members(table(name)) for name in VALUE_SETS},
            classes={**_flat(types["decided_classes"]), **_flat(types["classes"])},
            formats={template: (system, code) for template, (system, code) in formats["by_template"].items()},
            media_formats={media: (system, code) for media, (system, code) in formats["by_media_type"].items()},
            fallback_format=(formats["fallback"][0], formats["fallback"][1]),
            systems=table("code-systems")["systems"],
        )

    def contains(self, value_set: str, system: str | None, code: str) -> bool:
        """Say whether a code is in a value set (`jdv-j07`...)."""
        return system is not None and (canonical_system(system), code) in self.value_sets[value_set]

    def display(self, value_set: str, system: str, code: str) -> str | None:
        """Return the official French label, None when the value set has no such code."""
        return self.value_sets[value_set].get((canonical_system(system), code))

    def class_of(self, system: str | None, code: str) -> str | None:
        """Return the document class that derives from a document type, None when no table says so."""
        return None if system is None else self.classes.get((canonical_system(system), code))

    def system_of(self, oid: str) -> str:
        """Return the FHIR system of a code system's OID, `urn:oid:...` when it has no better name."""
        return self.systems.get(oid) or canonical_system(f"urn:oid:{oid}")


def _members(table: Mapping[str, Any]) -> dict[Code, str]:
    """A value set, and what another public list adds to it for the DMP."""
    return {**_flat(table["concepts"]), **_flat(table.get("also", {}))}


def _flat(concepts: Mapping[str, Mapping[str, str]]) -> dict[Code, str]:
    return {(system, code): value for system, part in concepts.items() for code, value in part.items()}
