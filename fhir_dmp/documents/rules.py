"""The settings and tables that a decision about documents follows, as one value."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, tzinfo

from fhir_dmp.errors import Coding
from fhir_dmp.patients.ins import InsRules
from fhir_dmp.terminology.codes import Codes
from fhir_dmp.terminology.national import denial, erreur, xds_error


@dataclass(frozen=True, slots=True)
class Rules:
    """fhir_base: public FHIR base URL without trailing slash. ins.base: canonical base of the server's own codes.

    strict / warn: author_check, verify_hash, cda_metadata; strict / warn / off: traits_check; enforce / warn / off:
    profiles (the elements that PDSm makes mandatory). absent_targets: a replaced document that is not here is kept as a
    logical reference (import of a record). age_of_majority in years, counted in zone; skew in ms.
    """

    fhir_base: str
    codes: Codes
    ins: InsRules
    author_check: str = "strict"
    verify_hash: str = "strict"
    cda_metadata: str = "strict"
    traits_check: str = "strict"
    profiles: str = "enforce"
    mask_plus_invisible: bool = True
    minors: bool = True
    age_of_majority: int = 18
    skew_ms: int = 300_000
    fhir_documents: bool = True
    absent_targets: bool = False
    operator_name: str = "Opérateur du DMP"
    zone: tzinfo = UTC
    operator_oid: str = "2.25.287306243198211374602197231406178533376"

    @property
    def base(self) -> str:
        """The canonical base of the artefacts that this project defines."""
        return self.ins.base

    def erreur(self, code: str, xds: str | None = None) -> tuple[Coding, ...]:
        """Return the details of a submission error: our code, and the XDS code that means the same."""
        ours = (erreur(self.base, code),)
        return ours if xds is None else (*ours, xds_error(self.base, xds))

    def denial(self, code: str) -> tuple[Coding, ...]:
        """Return the details of an access refusal."""
        return (denial(self.base, code),)
