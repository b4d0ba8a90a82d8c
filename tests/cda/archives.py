"""IHE_XDM archives of the tests, written by hand: what another product would send."""

from __future__ import annotations

import hashlib
import io
import zipfile
from xml.sax.saxutils import escape

from fhir_dmp.cda.xdm import CONFIDENTIALITY, PATIENT_ID, RIM
from tests.cda.making import INS

PATIENT = f"{INS}^^^&1.2.250.1.213.1.4.8&ISO^NH"


def entry(data: bytes, **changes: str) -> str:
    """Return the DocumentEntry of a file; "" as a change leaves the slot out."""
    stated = {
        "URI": "DOC00001.XML",
        "hash": hashlib.sha1(data).hexdigest(),
        "size": str(len(data)),
        "type": "text/xml",
        "patient": PATIENT,
        "labels": "N",
    } | changes
    slots = "".join(
        f'<Slot name="{name}"><ValueList><Value>{escape(stated[name])}</Value></ValueList></Slot>'
        for name in ("URI", "hash", "size")
        if stated[name]
    )
    labels = "".join(
        f'<Classification classificationScheme="{CONFIDENTIALITY}" nodeRepresentation="{label}"/>'
        for label in stated["labels"].split()
    )
    patient = escape(stated["patient"], {'"': "&quot;"})
    return (
        f'<ExtrinsicObject id="Document01" mimeType="{stated["type"]}">{slots}{labels}'
        f'<ExternalIdentifier identificationScheme="{PATIENT_ID}" value="{patient}"/></ExtrinsicObject>'
    )


def metadata(*entries: str) -> bytes:
    """Return METADATA.XML."""
    return (
        '<?xml version="1.0" encoding="UTF-8"?><lcm:SubmitObjectsRequest '
        f'xmlns:lcm="urn:oasis:names:tc:ebxml-regrep:xsd:lcm:3.0"><RegistryObjectList xmlns="{RIM}">'
        f"{''.join(entries)}</RegistryObjectList></lcm:SubmitObjectsRequest>"
    ).encode()


def zipped(files: dict[str, bytes]) -> bytes:
    """Return a ZIP archive."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def xdm(data: bytes, **changes: str) -> bytes:
    """Return an archive of one document."""
    return zipped(
        {
            "INDEX.HTM": b"<html/>",
            "README.TXT": b"Logiciel fictif",
            "IHE_XDM/SUBSET01/METADATA.XML": metadata(entry(data, **changes)),
            "IHE_XDM/SUBSET01/DOC00001.XML": data,
        }
    )
