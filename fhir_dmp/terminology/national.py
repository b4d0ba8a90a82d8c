"""Identifier systems, extension URLs and refusal codes of the French record, named once.

INS systems: [dmp-fhir 2.1]; DMP extensions: the URLs that the published JSON of the guide uses.
"""

from __future__ import annotations

import re

from fhir_dmp.errors import Coding

RFC_3986 = "urn:ietf:rfc:3986"

INS_NIR = "urn:oid:1.2.250.1.213.1.4.8"
INS_NIA = "urn:oid:1.2.250.1.213.1.4.9"
INS_TEST = "urn:oid:1.2.250.1.213.1.4.10"
INS_DEMO = "urn:oid:1.2.250.1.213.1.4.11"
#: Systems that may key a dossier, in order of preference.
INS_SYSTEMS = (INS_NIR, INS_NIA, INS_TEST, INS_DEMO)
#: Sex, year, month, place (Corsica: 2A, 2B), order, key.
INS_FORMAT = re.compile(r"[1-478][0-9]{2}[0-9]{2}(?:2[AB][0-9]{3}|[0-9]{5})[0-9]{3}[0-9]{2}")

DMP = "https://interop.esante.gouv.fr/ig/fhir/dmp"
CLOSING = f"{DMP}/StructureDefinition/dmp-fermeture"
CLOSING_MOTIVES = f"{DMP}/CodeSystem/dmp-motif-fermeture"
#: The motives in the vocabulary of the historical interface.
HISTORICAL_MOTIVES = "urn:oid:1.2.250.1.213.4.1.2.4"
ATTACHED = f"{DMP}/StructureDefinition/dmp-rattachement-mes"
IS_MT = f"{DMP}/StructureDefinition/dmp-medecin-traitant"

FR_CORE = "https://hl7.fr/ig/fhir/core"
IDENTITY_RELIABILITY = f"{FR_CORE}/StructureDefinition/fr-core-identity-reliability"
BIRTH_LIST_GIVEN = f"{FR_CORE}/StructureDefinition/fr-core-patient-birth-list-given-name"
IDENTITY_STATUS = f"{FR_CORE}/CodeSystem/fr-core-cs-identity-status"
#: FR Core 2.1 wrote VALI for what later releases call QUAL.
IDENTITY_STATUS_2_1 = f"{FR_CORE}/CodeSystem/fr-core-cs-v2-0445"
IDENTITY_STATUS_INTERMEDIATE = f"{FR_CORE}/CodeSystem/fr-core-cs-fiabilite-identite"
IDENTIFIER_TYPES = f"{FR_CORE}/CodeSystem/fr-core-cs-v2-0203"
HL7_IDENTIFIER_TYPES = "http://terminology.hl7.org/CodeSystem/v2-0203"

HISTORICAL_CONSENT = "urn:oid:1.2.250.1.213.4.1.2.3"


def erreur(base: str, code: str) -> Coding:
    """Return a code of the server's own error vocabulary; `base` is the configured canonical base."""
    return Coding(f"{base}/CodeSystem/dmp-erreur", code)


def denial(base: str, code: str) -> Coding:
    """Return a reason of an access refusal."""
    return Coding(f"{base}/CodeSystem/dmp-denial", code)


def xds_error(base: str, code: str) -> Coding:
    """Return the XDS error that means the same, for gateways."""
    return Coding(f"{base}/CodeSystem/xds-error", code)
