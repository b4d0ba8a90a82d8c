"""Canonical URLs of document sharing: IHE MHD and its French profile PDSm.

The spellings are those of the published artefacts; what other guides name is in terminology/national.py.
"""

from __future__ import annotations

from fhir_dmp.fhir.elements import extensions_of
from fhir_dmp.fhir.resource import Json

MHD = "https://profiles.ihe.net/ITI/MHD"
PDSM = "https://interop.esante.gouv.fr/ig/fhir/pdsm"
#: How the URL of a profile of either guide begins; MHD was published under http as well.
SHARING_PROFILES = (f"{PDSM}/", f"{MHD}/", "http://profiles.ihe.net/ITI/MHD/")

COMPREHENSIVE = f"{PDSM}/StructureDefinition/pdsm-comprehensive-document-reference"
SIMPLIFIED = f"{PDSM}/StructureDefinition/pdsm-simplified-publish"
SUBMISSION_SET = f"{PDSM}/StructureDefinition/pdsm-submissionset-comprehensive"
FOLDER = f"{PDSM}/StructureDefinition/pdsm-folder-comprehensive"
PROVIDE_BUNDLE = f"{PDSM}/StructureDefinition/pdsm-comprehensive-provide-document-bundle"

IS_ARCHIVED = f"{PDSM}/StructureDefinition/pdsm-ext-is-archived"
INTENDED_RECIPIENT = f"{PDSM}/StructureDefinition/pdsm-ext-intended-recipient"
DESIGNATION_TYPE = f"{MHD}/StructureDefinition/ihe-designationType"
SOURCE_ID = f"{MHD}/StructureDefinition/ihe-sourceId"
AUTHOR_ORGANISATION = f"{MHD}/StructureDefinition/ihe-authorOrg"
MHD_IDENTIFIER_TYPE = f"{MHD}/CodeSystem/IHE.MHD.MHDIdentifierType"


def is_archived(resource: Json) -> bool:
    """Say whether a DocumentReference or a List is archived; absence reads as no."""
    return any(part.get("valueBoolean") is True for part in extensions_of(resource, IS_ARCHIVED))
