"""`$dmp-bloquer` and `$dmp-debloquer`: whom the patient keeps out. [dmp-fhir 3.8, security 5.4]

A block ends the authorisation at once, wins over every mode of access, and outlives closing and reopening; only
lifting it ends it, and that revives nothing.
"""

from __future__ import annotations

from collections.abc import Mapping

from fhir_dmp.errors import Conflict, NotFound, Unprocessable
from fhir_dmp.patients import consents
from fhir_dmp.patients.grants import dismissed, revoked
from fhir_dmp.patients.parameters import Arguments, Who, missing, place_of
from fhir_dmp.patients.state import DossierState, Planned, Scribe, must_be_open, note, without
from fhir_dmp.terminology.national import denial

BLOCK: Mapping[str, str] = {"professionnel": "Identifier", "raison": "string"}


def blocked_one(given: Arguments) -> Who:
    """Return whom a block is about.

    Raises:
        Unprocessable: nobody was named.
    """
    who = given.professional()
    if who is None:
        raise missing("professionnel", "the professional that the block is about")
    return who


def plan_block(given: Arguments, state: DossierState, scribe: Scribe, caller: Who | None) -> Planned:
    """Decide a block. caller: the calling professional, None for anybody else.

    The reason goes to the audit trail, which the patient reads, and not into the Consent, which the blocked one may.

    Raises:
        Unprocessable: closed, or a médecin traitant blocking himself. Conflict: a médecin traitant.
    """
    who = blocked_one(given)
    must_be_open(state, scribe.base)
    if caller == who:
        raise Unprocessable(
            "Nobody blocks himself: leave the role with $dmp-medecin-traitant, or the dossier with $dmp-revoquer.",
            code="business-rule",
            expression=place_of("professionnel"),
        )
    if who[1] in state.doctors:
        raise Conflict(
            "A médecin traitant cannot be blocked: take that role away first ($dmp-medecin-traitant, retirer).",
            code="business-rule",
            details=(denial(scribe.base, "mt-cannot-be-blocked"),),
        )
    reason = given.text("raison")
    details = (("reason", reason),) if reason else ()
    ending = (*revoked(state, who), *dismissed(state, who))
    for right in state.active(consents.BLOCK, permit=False):
        if right.current and right.names(who):
            issues = () if ending else (note("This professional is blocked already."),)
            return Planned(ending, right.held.id, issues, details)
    block = scribe.new(state, consents.block(scribe.on(state), consents.actor(who, scribe.base)))
    return Planned((block, *ending), block.id, details=details)


def plan_unblock(given: Arguments, state: DossierState, base: str) -> Planned:
    """Decide the end of a block. Said again, it changes nothing.

    Raises:
        NotFound: there never was one. Unprocessable: closed.
    """
    who = blocked_one(given)
    must_be_open(state, base)
    reason = given.text("raison")
    drafts = without([right for right in state.active(consents.BLOCK, permit=False) if right.names(who)], who)
    if drafts:
        return Planned(drafts, drafts[0].id, details=(("reason", reason),) if reason else ())
    former = next((r for r in state.rights if r.kind == consents.BLOCK and r.names(who)), None)
    if former is None:
        raise NotFound("No block of this dossier names this professional.")
    return Planned((), former.held.id, (note("This block was lifted already."),))
