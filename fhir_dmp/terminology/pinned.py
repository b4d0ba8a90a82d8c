"""Definitions in the versions that somebody wants. https://hl7.org/fhir/R4/valueset-operation-expand.html"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from fhir_dmp.terminology.aliases import canonical_system
from fhir_dmp.terminology.code_system import CodeSystem, NotComputable
from fhir_dmp.terminology.value_set import Source, ValueSet

#: Preferred spelling of a code system -> version.
Versions = Mapping[str, str]


@dataclass(frozen=True)
class Pinned:
    """A Source whose code systems have certain versions.

    wanted: where a value set names none. forced: whatever it names. checked: any other is refused. used: what was
    asked for so far, code system -> its version.
    """

    source: Source
    wanted: Versions = field(default_factory=dict)
    forced: Versions = field(default_factory=dict)
    checked: Versions = field(default_factory=dict)
    used: dict[str, str] = field(default_factory=dict)

    def code_system(self, url: str, version: str | None = None) -> CodeSystem | None:
        """Return the code system with this canonical URL.

        Raises:
            NotComputable: it has another version than the one that is checked for.
        """
        name = canonical_system(url)
        found = self.source.code_system(url, self.forced.get(name) or version or self.wanted.get(name))
        if found is not None:
            check = self.checked.get(name)
            if check is not None and found.version != check:
                had = found.version or "none"
                raise NotComputable(f"The code system {url} is used in version {had}, not {check[:60]}.")
            if found.version:
                self.used[url] = found.version
        return found

    def value_set(self, url: str, version: str | None = None) -> ValueSet | None:
        """Return the ValueSet with this canonical URL."""
        return self.source.value_set(url, version)
