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
    from fhir_dmp.cli.files import whole
    from fhir_dmp.cli.progress import Progress
    from fhir_dmp.interactions import exporting

    system, _, ins = patient.rpartition("|")
    with closing(build(configuration.load())) as services:
        id_ = services.patient_id(system or None, ins)
        if id_ is None:
            raise click.ClickException("no record holds this INS: check the number and the store (DMP_STORE_URL)")
        progress = Progress("export", 0)
        with whole(out) as target, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
            exporting.note(f"Patient/{id_}", services)
            for part in exporting.parts(f"Patient/{id_}", services):
                with archive.open(part.name, "w", force_zip64=True) as file:
                    for chunk in part.chunks:
                        file.write(chunk)
                progress.advance(1)
        progress.finish()
    click.echo(f"{out}: {progress.done} files")
