"""The door from the command line to the house: builds the services, and closes them whatever happens."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from fhir_dmp.settings import Settings

if TYPE_CHECKING:
    from fhir_dmp.bootstrap import Wired


@contextmanager
def opened(settings: Settings) -> Iterator[Wired]:
    """Build the services for the time of a command."""
    from fhir_dmp import bootstrap  # importing it takes longer than a `--help` should

    services = bootstrap.build(settings)
    try:
        yield services
    finally:
        services.close()
