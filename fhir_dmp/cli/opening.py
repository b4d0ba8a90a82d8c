"""The door from the command line to the house: builds the services, and closes them whatever happens."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol, cast

from fhir_dmp.settings import Settings

if TYPE_CHECKING:
    from fhir_dmp.http.services import Services
    from fhir_dmp.ports import Ids, Version
    from fhir_dmp.search.terms import Terms

    class Operated(Services, Protocol):
        """What commands need beside what the web layer needs; bootstrap.Services fulfils it."""

        @property
        def ids(self) -> Ids:
            """New identifiers."""

        def patient_id(self, system: str | None, value: str) -> str | None:
            """Return the logical id of the patient with this identifier, in any system when None."""

        def terms(self, version: Version) -> Terms:
            """Return the index terms of a stored version."""

    class Bootstrap(Protocol):
        """The module fhir_dmp.bootstrap."""

        def build(self, settings: Settings) -> Operated:
            """Wire everything."""

        def load_demo(self, services: Operated) -> None:
            """Load the demonstration record; doing it twice changes nothing."""

        def demo_accounts(self) -> Sequence[str]:
            """Return lines that present the people of the demonstration record."""


def bootstrap() -> Bootstrap:
    """Return the module that wires everything; importing it takes longer than a `--help` should."""
    return cast("Bootstrap", importlib.import_module("fhir_dmp.bootstrap"))


@contextmanager
def opened(settings: Settings) -> Iterator[Operated]:
    """Build the services for the time of a command."""
    services = bootstrap().build(settings)
    try:
        yield services
    finally:
        services.store.close()
