"""`fhir-dmp export`: one patient's whole record in one archive."""

from __future__ import annotations

import zipfile
from contextlib import closing
from pathlib import Path

import click


@click.command("export")
@click.option("--patient", required=True, metavar="INS", help="Whose record.")
@click.option("--out", required=True, type=click.Path(dir_okay=False, path_type=Path), help="Archive to write.")
def command(patient: str, out: Path) -> None:
    """Export a record: FHIR resources, documents, consents and the history of accesses. `import` reads it.

    Example: fhir-dmp export --patient 285047511200314 --out record.zip
    """
    from fhir_dmp import configuration
    from fhir_dmp.bootstrap import build
    from fhir_dmp.interactions import exporting

    with closing(build(configuration.load())) as services:
        id_ = services.patient_id(None, patient)
        if id_ is None:
            raise click.ClickException("no record holds this INS: check the number and the store (DMP_STORE_URL)")
        exporting.note(f"Patient/{id_}", services)
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
            count = 0
            for part in exporting.parts(f"Patient/{id_}", services):
                with archive.open(part.name, "w") as file:
                    for chunk in part.chunks:
                        file.write(chunk)
                count += 1
    click.echo(f"{out}: {count} files")
