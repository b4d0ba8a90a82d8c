"""The codes of securityLabel: visibility (TRE_A07) and base confidentiality (TRE_A08). [dmp-fhir 6.3]"""

from __future__ import annotations

MASKED = "MASQUE_PS"
HIDDEN_FROM_PATIENT = "INVISIBLE_PATIENT"
HIDDEN_FROM_REPRESENTATIVES = "INVISIBLE_REPRESENTANTS_LEGAUX"
#: Labels that the DMP uses.
VISIBILITY = (MASKED, HIDDEN_FROM_PATIENT, HIDDEN_FROM_REPRESENTATIVES)
#: All that the code system holds.
KNOWN_VISIBILITY = frozenset({*VISIBILITY, "MASQUE_PSOCIAL", "MASQUE_PT"})
#: Base confidentiality, the only codes that say nothing about visibility.
BASE = ("N", "R", "V", "L", "M", "U")
#: Types of which single resources may be hidden from somebody who may enter the record.
HIDEABLE = frozenset({"DocumentReference", "Binary", "Bundle", "List", "Consent"})
