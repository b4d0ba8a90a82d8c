"""`fhir-dmp access`: why somebody may see something, and the habilitation matrix that decides on it."""

from __future__ import annotations

import click

from fhir_dmp.cli.access_explain import explain
from fhir_dmp.cli.access_matrix import matrix


@click.group("access")
def command() -> None:
    """Explain access decisions; show, compare and activate the habilitation matrix.

    Example: fhir-dmp access explain --as ps:10001234567 --patient 285047511200314
    """


command.add_command(explain)
command.add_command(matrix)
