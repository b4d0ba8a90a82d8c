"""One spelling for systems and identifiers that France writes in several ways.

Stored resources keep the system as sent; only the index, the search and the access decision normalise.
"""

from __future__ import annotations

NOS = "https://mos.esante.gouv.fr/NOS"


def nos(name: str) -> str:
    """Return the canonical URL of an artefact of the national catalogue.

    >>> nos("TRE_A03-ClasseDocument")
    'https://mos.esante.gouv.fr/NOS/TRE_A03-ClasseDocument/FHIR/TRE-A03-ClasseDocument'
    """
    return f"{NOS}/{name}/FHIR/{name.replace('_', '-', 1)}"


TRE_A00_PRODUCER = nos("TRE_A00-ProducteurDocNonPS")
TRE_A03_CLASS = nos("TRE_A03-ClasseDocument")
TRE_A05_TYPE = nos("TRE_A05-TypeDocComplementaire")
TRE_A07_VISIBILITY = nos("TRE_A07-StatutVisibiliteDocument")
TRE_A08_CONFIDENTIALITY = nos("TRE_A08-HL7Confidentiality")
TRE_A11_FORMAT = nos("TRE_A11-IheFormatCode")
TRE_A06_FORMAT = nos("TRE_A06-FormatCodeComplementaire")
TRE_R02_SECTOR = nos("TRE_R02-SecteurActivite")
TRE_R248_ACCESS_MODE = f"{NOS}/TRE_R248_ModeAcces/FHIR/TRE-R248-ModeAcces"
MHD_LIST_TYPES = "https://profiles.ihe.net/ITI/MHD/CodeSystem/MHDlistTypes"
LOINC = "http://loinc.org"
UCUM = "http://unitsofmeasure.org"
ACT_REASON = "http://terminology.hl7.org/CodeSystem/v3-ActReason"
PARTICIPATION = "http://terminology.hl7.org/CodeSystem/v3-ParticipationType"
CONSENT_SCOPE = "http://terminology.hl7.org/CodeSystem/consentscope"
#: Professions (TRE_G15; 10 is a doctor), and those in training (TRE_G16).
PROFESSION = "urn:oid:1.2.250.1.71.1.2.7"
TRAINING = "urn:oid:1.2.250.1.71.1.2.8"

#: alias -> canonical code system
SYSTEMS: dict[str, str] = {
    "http://terminology.hl7.org/CodeSystem/v3-Confidentiality": TRE_A08_CONFIDENTIALITY,
    "urn:oid:2.16.840.1.113883.5.25": TRE_A08_CONFIDENTIALITY,
    nos("TRE_A07-StatusVisibiliteDocument"): TRE_A07_VISIBILITY,
    "urn:oid:1.2.250.1.213.1.1.4.13": TRE_A07_VISIBILITY,
    "http://ihe.net/fhir/ihe.formatcode.fhir/CodeSystem/formatcode": TRE_A11_FORMAT,
    "urn:oid:1.3.6.1.4.1.19376.1.2.3": TRE_A11_FORMAT,
    "http://profiles.ihe.net/ITI/MHD/CodeSystem/MHDlistTypes": MHD_LIST_TYPES,
    "urn:oid:1.2.250.1.213.1.1.4.6": TRE_A00_PRODUCER,
    "urn:oid:1.2.250.1.213.1.1.4.9": nos("TRE_A01-CadreExercice"),
    "urn:oid:1.2.250.1.213.1.1.4.5": nos("TRE_A02-ProfessionSavFaire-CISIS"),
    "urn:oid:1.2.250.1.213.1.1.4.1": TRE_A03_CLASS,
    "urn:oid:1.2.250.1.213.1.1.4.12": TRE_A05_TYPE,
    "urn:oid:2.16.840.1.113883.6.1": LOINC,
    "urn:oid:1.2.250.1.213.1.1.4.2.282": TRE_A06_FORMAT,
    "urn:oid:1.2.840.10008.2.6.1": nos("TRE_A09-DICOMuidRegistry"),
    "urn:oid:1.2.250.1.71.4.2.4": TRE_R02_SECTOR,
    nos("TRE_G15-ProfessionSante"): PROFESSION,
    "urn:oid:1.2.250.1.213.2.2": nos("TRE_R209-TypeActivite"),
    "urn:oid:1.2.250.1.213.1.1.4.341": nos("TRE_R269-AvailabilityStatusProvenanceOasis"),
    "urn:oid:1.2.250.1.213.1.6.1.107": nos("TRE_R85-RolePriseCharge"),
    "urn:oid:1.2.250.1.213.2.5": f"{NOS}/CCAM",
    "urn:oid:2.16.840.1.113883.6.96": "http://snomed.info/sct",
}

#: National identifier of a professional (PSIdNat) and of a structure (StructIdNat).
PROFESSIONAL = "urn:oid:1.2.250.1.71.4.2.1"
STRUCTURE = "urn:oid:1.2.250.1.71.4.2.2"

_RPPS = {"https://rpps.esante.gouv.fr", "http://rpps.fr"}
_FINESS = {"https://finess.esante.gouv.fr", "http://finess.sante.gouv.fr"}
_SIRENE = {"https://sirene.fr", "http://sirene.fr"}
_ADELI_PRACTICE = "https://adelirang.esante.gouv.fr"
_RPPS_PRACTICE = "https://rppsrang.esante.gouv.fr"
#: Both practice numbers under their older name; their lengths tell them apart.
_PRACTICES = "urn:oid:1.2.250.1.213.1.6.4.3"
#: RPPS (11) and a rank of two digits, where others write three.
_SHORT_RANK = 13


def canonical_system(system: str) -> str:
    """Return the preferred spelling of a code system, itself when it has no alias."""
    return SYSTEMS.get(system, system)


def canonical_identifier(system: str, value: str) -> tuple[str, str]:
    """Return the national form of an identifier: RPPS and FINESS become PSIdNat and StructIdNat, OIDs get urn:oid:.

    >>> canonical_identifier("https://rpps.esante.gouv.fr", "99700218896")
    ('urn:oid:1.2.250.1.71.4.2.1', '899700218896')
    >>> canonical_identifier("https://finess.esante.gouv.fr", "750100125")
    ('urn:oid:1.2.250.1.71.4.2.2', '1750100125')
    >>> canonical_identifier("https://rppsrang.esante.gouv.fr", "0123456789009")
    ('urn:oid:1.2.250.1.71.4.2.2', '401234567890009')
    >>> canonical_identifier("urn:oid:1.2.250.1.213.1.6.4.3", "75901234501")
    ('urn:oid:1.2.250.1.71.4.2.2', '075901234501')
    >>> canonical_identifier("urn:ietf:rfc:3986", "1.2.250.1.999.1")
    ('urn:ietf:rfc:3986', 'urn:oid:1.2.250.1.999.1')
    """
    if system in _RPPS:
        return PROFESSIONAL, f"8{value}"
    if system in _FINESS:
        return STRUCTURE, f"1{value}"
    if system in _SIRENE and value.isdigit():
        return STRUCTURE, f"{2 if len(value) == 9 else 3}{value}"
    if system in (_ADELI_PRACTICE, _RPPS_PRACTICE, _PRACTICES):
        return STRUCTURE, _practice(value)
    if system == STRUCTURE and value[:1] == "4" and value.isdigit() and len(value) == 1 + _SHORT_RANK:
        return STRUCTURE, _practice(value[1:])
    if system == "urn:ietf:rfc:3986" and value[:1].isdigit() and value.replace(".", "").isdigit():
        return system, f"urn:oid:{value}"
    if system == "urn:ietf:rfc:3986" and value.lower().startswith("urn:uuid:"):
        return system, value.lower()
    return system, value


def _practice(number: str) -> str:
    """Return the StructIdNat of a practice: 4 and RPPS with a rank of three digits, or 0 and the ADELI number."""
    if not number.isdigit() or len(number) < _SHORT_RANK:
        return f"0{number}"
    return f"4{number[:11]}{number[11:].zfill(3)}"
