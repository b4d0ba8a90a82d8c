"""Refusals as errors: the HTTP status, the reason for software and the words for people.

Each reason is a code of `{canonical_base}/CodeSystem/dmp-denial`; where the transactions of the record name the same
situation, the code of `{canonical_base}/CodeSystem/dmp-erreur` stands beside it.
"""

from __future__ import annotations

from dataclasses import dataclass

from fhir_dmp.access.decision import Decision, Effect, Verdict
from fhir_dmp.errors import (
    BadRequest,
    Coding,
    Conflict,
    DmpError,
    Forbidden,
    Gone,
    Hidden,
    Issue,
    NotFound,
    Unauthenticated,
    Unavailable,
    Unprocessable,
)


@dataclass(frozen=True, slots=True)
class Reason:
    """One reason. error: its dmp-erreur code. issue: issue type when not the status's own. first: dmp-erreur first."""

    french: str
    english: str
    error: str | None = None
    issue: str | None = None
    first: bool = False


REASONS: dict[str, Reason] = {
    "login": Reason("Authentification nécessaire.", "Authentication is needed.", issue="login"),
    "scope": Reason("Le jeton ne couvre pas cette opération.", "The token's scopes do not cover this interaction."),
    "actor-excluded": Reason(
        "Cette catégorie d'acteurs n'a pas accès au DMP.", "This category of actors has no access to the record."
    ),
    "mass-search": Reason(
        "La recherche doit être limitée à un patient accessible.", "The search must be limited to a reachable patient."
    ),
    "required": Reason("Un critère de patient est obligatoire.", "A patient criterion is required.", issue="required"),
    "audit-unavailable": Reason(
        "La traçabilité est indisponible.", "The audit trail cannot be written.", issue="transient"
    ),
    "no-dmp": Reason(
        "Le patient n'a pas de DMP ouvert.", "The patient has no open record.", "dmp-inexistant", "not-found"
    ),
    "dmp-closed": Reason("Le DMP est fermé.", "The record is closed.", "dmp-ferme"),
    "delegation": Reason(
        "La délégation ne couvre pas cette opération.", "No delegation in force covers this.", "non-autorise"
    ),
    "blocked": Reason(
        "Le patient a bloqué l'accès de ce professionnel.",
        "The patient has blocked this professional or structure.",
        "professionnel-bloque",
    ),
    "emergency-refused": Reason(
        "Le patient s'oppose à ce mode d'accès d'urgence.", "The patient refuses this emergency mode.", "non-autorise"
    ),
    "not-regulator": Reason(
        "Accès réservé aux régulateurs des centres déclarés.", "Only for regulators of the listed centres."
    ),
    "btg-not-allowed": Reason(
        "Bris de glace : motif absent ou profession non admise.",
        "Break-glass needs a reason and a profession that may use it.",
    ),
    "btg-limit": Reason(
        "Trop d'accès d'urgence aujourd'hui pour ce professionnel.",
        "Too many emergency accesses of this professional today.",
    ),
    "feeding-opposition": Reason(
        "Le patient s'oppose à l'alimentation de son DMP.",
        "The patient objects to feeding the record.",
        "opposition-alimentation",
    ),
    "feed-only": Reason(
        "Une structure alimente le DMP et ne le consulte pas.",
        "An institution feeds the record and does not read it.",
        "non-autorise",
    ),
    "authorisation-expired": Reason(
        "L'autorisation d'accès a expiré.", "The authorisation for this record has expired.", "autorisation-expiree"
    ),
    "authorisation-missing": Reason(
        "Aucune autorisation valide pour ce dossier : recueillir le consentement du patient, ou bris de glace.",
        "No valid authorisation for this record: collect the patient's consent, or break the glass.",
        "non-autorise",
    ),
    "app-not-granted": Reason(
        "Le patient n'a pas autorisé cette application.", "The holder has not agreed to this application."
    ),
    "app-classes": Reason(
        "Cette application n'est pas référencée pour écrire cette classe de documents.",
        "The application is not referenced for writing documents of this class.",
    ),
    "minor-access": Reason(
        "Un mineur de cet âge n'accède pas lui-même à son dossier.",
        "A minor of this age has no access of the own to the record.",
    ),
    "announce-delay": Reason(
        "Le délai d'annonce est passé : un document ancien n'est plus caché au patient.",
        "The time for announcing has passed: an older document is not hidden from the patient any more.",
        "transition-interdite",
        "business-rule",
    ),
    "default-deny": Reason("Accès refusé.", "Access is denied.", "non-autorise"),
    "read-only-mode": Reason("Ce mode d'accès ne permet que la lecture.", "This access mode is read only."),
    "author-only": Reason(
        "Réservé à l'auteur du document.", "Only an author of the document may do this.", "pas-auteur", first=True
    ),
    "author-forged": Reason(
        "L'auteur déclaré n'est ni l'appelant ni sa structure.",
        "The caller is neither an author of the document nor the authoring structure.",
    ),
    "label-forbidden": Reason(
        "L'appelant ne peut pas changer cette visibilité.", "The caller may not change this visibility label."
    ),
    "label-conflict": Reason(
        "Combinaison d'étiquettes de visibilité interdite.",
        "This combination of visibility labels is not allowed here.",
        issue="business-rule",
    ),
    "irreversible": Reason(
        "Un document rendu visible ne peut plus être caché.",
        "A document that was made visible cannot be hidden again.",
        "transition-interdite",
        "business-rule",
    ),
    "patient-deposit": Reason(
        "Un patient ne dépose que ses propres documents (classe 90).",
        "A patient deposits own documents only (class 90, the patient as author).",
    ),
    "consent-writer": Reason(
        "L'appelant ne peut pas écrire ce consentement.", "The caller may not write this consent."
    ),
    "mt-cannot-be-blocked": Reason(
        "Le médecin traitant ne peut pas être bloqué : retirer d'abord ce rôle.",
        "The médecin traitant cannot be blocked; remove that role first.",
        issue="business-rule",
    ),
}

_ERRORS: dict[int, type[DmpError]] = {
    400: BadRequest,
    401: Unauthenticated,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    410: Gone,
    422: Unprocessable,
    503: Unavailable,
}


def absent(type_: str) -> NotFound:
    """Return the answer for an id that does not exist. What is hidden answers with the same words."""
    return NotFound(_absence(type_))


def hidden(type_: str) -> Hidden:
    """Return the answer for what exists and must look like an id that does not."""
    return Hidden(_absence(type_))


def _absence(type_: str) -> str:
    return f"There is no {type_} with this id."


def codings_of(reason: str, canonical_base: str) -> tuple[Coding, ...]:
    """Return the codings of a reason: dmp-denial, and the dmp-erreur code of the same situation."""
    denial = Coding(f"{canonical_base}/CodeSystem/dmp-denial", reason)
    known = REASONS.get(reason)
    if known is None or known.error is None:
        return (denial,)
    error = Coding(f"{canonical_base}/CodeSystem/dmp-erreur", known.error)
    return (error, denial) if known.first else (denial, error)


def blocked_notice(canonical_base: str) -> Issue:
    """Return what a blocked professional is told beside the little that may be shown of a record."""
    reason = REASONS["blocked"]
    return Issue(
        "forbidden",
        reason.english,
        severity="warning",
        details=codings_of("blocked", canonical_base),
        text=f"{reason.french} / {reason.english}",
    )


def refusal(decision: Decision | Verdict, canonical_base: str, type_: str) -> DmpError:
    """Return the error that tells the caller no. Nothing in it depends on the record's content.

    type_: the resource type that was asked for, so that what is hidden answers word for word like an unknown id.
    """
    if decision.status == 404 or (decision.effect is Effect.FILTER and decision.status != 410):
        return hidden(type_)
    if decision.status == 410:
        return Gone("The document was deleted by its author.")
    reason = decision.reason or "default-deny"
    known = REASONS.get(reason, REASONS["default-deny"])
    kind = _ERRORS.get(decision.status, Forbidden)
    issue = known.issue
    if issue is None and kind is Unprocessable:
        issue = "business-rule"
    if kind is Forbidden and reason == "no-dmp":
        issue = "forbidden"
    return kind(
        known.english,
        code=issue,
        details=codings_of(reason, canonical_base),
        text=f"{known.french} / {known.english}",
        headers={"WWW-Authenticate": 'Bearer realm="dmp", error="insufficient_scope"'} if reason == "scope" else None,
    )
