"""What a broken rule costs, by type: nothing is stored (enforce), a warning (warn), or nothing is judged (off)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from fhir_dmp.errors import ConfigurationError, Problem

MODES = ("enforce", "warn", "off")


@dataclass(frozen=True, slots=True)
class Policy:
    """The mode of every type, and the profile that a type must have at least."""

    mode: str
    modes: Mapping[str, str]
    profiles: Mapping[str, tuple[str, ...]]

    @classmethod
    def read(cls, mode: str, types: Iterable[str], minimum: Iterable[str]) -> Policy:
        """Read the settings `validation.mode`, `validation.types` and `validation.minimum`.

        Raises:
            ConfigurationError: a setting is not `Type=mode` or `Type=URL`.
        """
        modes = dict(_pair("validation.types", text, "Type=mode") for text in types)
        for name, value in modes.items():
            if value not in MODES:
                raise ConfigurationError(
                    Problem("validation.types", f"'{value}' for {name} is no mode", f"one of {', '.join(MODES)}")
                )
        profiles: dict[str, tuple[str, ...]] = {}
        for text in minimum:
            name, url = _pair("validation.minimum", text, "Type=URL")
            profiles[name] = (*profiles.get(name, ()), url)
        return cls(mode, modes, profiles)

    def mode_of(self, type_: str) -> str:
        """Return the mode of a type."""
        return self.modes.get(type_, self.mode)

    def minimum(self, type_: str) -> tuple[str, ...]:
        """Return the profiles that a type must have at least."""
        return self.profiles.get(type_, ())


def _pair(setting: str, text: str, wanted: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (equals and name.strip().isalpha() and value.strip()):
        raise ConfigurationError(Problem(setting, f"'{text}' is not understood", f"write {wanted}"))
    return name.strip(), value.strip()
