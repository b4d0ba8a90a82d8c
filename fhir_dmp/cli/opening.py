"""The door from the command line to the house: builds the services, and closes them whatever happens."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from fhir_dmp.settings import Settings

if TYPE_CHECKING:
    from fhir_dmp.bootstrap import Wired


def known_profession(code: str) -> str:
    """Return a profession as it is given, or refuse a code that the table of professions does not have."""
    from fhir_dmp import definitions

    (professions,) = definitions.load_json("mappings/codes/tre-g15.json")["concepts"].values()
    if code and "|" not in code and code not in professions:
        raise click.UsageError(
            f"--profession {code}: TRE_G15 has no such profession (10: doctor, 60: nurse); others as SYSTEM|CODE"
        )
    return code


@contextmanager
def opened(settings: Settings) -> Iterator[Wired]:
    """Build the services for the time of a command."""
    from fhir_dmp import bootstrap  # importing it takes longer than a `--help` should

    services = bootstrap.build(settings)
    try:
        yield services
    finally:
        services.close()
