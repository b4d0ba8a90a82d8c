"""The profiles of this project and of the added packages, as they are now."""

from __future__ import annotations

import time
from pathlib import Path

from fhir_dmp import definitions, packages
from fhir_dmp.search.parameters import Registry
from fhir_dmp.validation.conformance import Profiles


class LiveProfiles:
    """The profiles of this project and of the added packages; a change of the packages is seen within a second."""

    def __init__(self, canonical_base: str, folder: Path, every_s: float = 1.0) -> None:
        self.base = definitions.base()
        self._canonical_base = canonical_base
        self._folder = folder
        self._every_s = every_s
        self._looked = time.monotonic()
        self._stamp = packages.stamp(folder)
        self._now = self._loaded()

    def __call__(self) -> Profiles:
        """Return the profiles as they are now."""
        if time.monotonic() - self._looked > self._every_s:
            self._looked = time.monotonic()
            stamp = packages.stamp(self._folder)
            if stamp != self._stamp:
                self._now, self._stamp = self._loaded(), stamp
        return self._now

    def registry(self) -> Registry:
        """Return the search parameters, those of the packages included."""
        added = [
            each
            for package in packages.added(self._folder)
            for each in package.resources
            if each["resourceType"] == "SearchParameter"
        ]
        return definitions.search_parameters_with(added) if added else definitions.search_parameters()

    def _loaded(self) -> Profiles:
        added = [each for package in packages.added(self._folder) for each in package.resources]
        resources = [*definitions.conformance(self._canonical_base), *added]
        return definitions.profiles(resources)
