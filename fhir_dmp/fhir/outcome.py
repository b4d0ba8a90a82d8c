"""OperationOutcome: issues as a resource. https://hl7.org/fhir/R4/operationoutcome.html

`details.text` speaks to people, in French or English; `diagnostics` to developers, in English.
"""

from __future__ import annotations

from collections.abc import Iterable

from fhir_dmp.errors import Issue
from fhir_dmp.fhir.resource import Json

LANGUAGES = ("fr", "en")

#: Issue code -> what people read, in French and in English.
TEXTS: dict[str, tuple[str, str]] = {
    "business-rule": ("Une règle de gestion n'est pas respectée.", "A business rule is not met."),
    "code-invalid": ("Un code n'est pas admis à cet endroit.", "A code is not allowed here."),
    "conflict": ("La demande contredit l'état actuel du dossier.", "The request conflicts with the current state."),
    "deleted": ("Cette ressource a été supprimée.", "This resource has been deleted."),
    "duplicate": ("Cet identifiant est déjà utilisé.", "This identifier is already in use."),
    "exception": ("Erreur interne du serveur.", "Internal server error."),
    "expired": ("La session ou le lien a expiré.", "The session or the link has expired."),
    "extension": ("Une extension n'est pas admise.", "An extension is not allowed."),
    "forbidden": ("Vous n'avez pas le droit de faire cela.", "You are not allowed to do this."),
    "informational": ("Opération effectuée.", "Done."),
    "invalid": ("La demande n'est pas valide.", "The request is not valid."),
    "invariant": ("Le contenu ne respecte pas une règle du format.", "The content breaks a rule of the format."),
    "lock-error": ("Une autre écriture est en cours ; réessayez.", "Another write is in progress; try again."),
    "login": ("Authentification nécessaire.", "Authentication is required."),
    "multiple-matches": ("Plusieurs ressources correspondent au critère.", "Several resources match the criteria."),
    "not-found": ("Ressource introuvable.", "The resource was not found."),
    "not-supported": ("Ce serveur n'offre pas cette possibilité.", "This server does not support this."),
    "processing": ("La demande n'a pas pu être traitée.", "The request could not be processed."),
    "required": ("Un élément obligatoire manque.", "A mandatory element is missing."),
    "security": ("La demande est refusée pour des raisons de sécurité.", "Refused for security reasons."),
    "structure": ("La structure du contenu n'est pas correcte.", "The structure of the content is not correct."),
    "suppressed": ("Une partie du contenu n'est pas montrée.", "A part of the content is not shown."),
    "throttled": ("Trop de demandes ; réessayez plus tard.", "Too many requests; try again later."),
    "timeout": ("Le traitement a pris trop de temps.", "The processing took too long."),
    "too-costly": ("La demande est trop coûteuse ; précisez-la.", "The request is too costly; narrow it."),
    "too-long": ("Le contenu est trop volumineux.", "The content is too large."),
    "transient": ("Service momentanément indisponible.", "The service is temporarily unavailable."),
    "unknown": ("Identité inconnue.", "Unknown identity."),
    "value": ("Une valeur n'est pas correcte.", "A value is not correct."),
}


def operation_outcome(issues: Iterable[Issue], language: str = "en") -> Json:
    """Return an OperationOutcome with these issues, in their order; one `informational` issue when there is none.

    language: `fr` or `en` (a region after it is ignored); anything else reads English.
    """
    listed = [_issue(issue, language) for issue in issues]
    return {"resourceType": "OperationOutcome", "issue": listed or [_issue(success("No issue was found."), language)]}


def success(diagnostics: str, text: str | None = None) -> Issue:
    """Return the issue that says that all went well."""
    return Issue(code="informational", diagnostics=diagnostics, severity="information", text=text)


def text_for(code: str, language: str = "en") -> str:
    """Return what people read for an issue code."""
    french, english = TEXTS.get(code, TEXTS["processing"])
    return french if language[:2].lower() == "fr" else english


def _issue(issue: Issue, language: str) -> Json:
    details: Json = {}
    if issue.details:
        details["coding"] = [{"system": coding.system, "code": coding.code} for coding in issue.details]
    details["text"] = issue.text or text_for(issue.code, language)
    said: Json = {"severity": issue.severity, "code": issue.code, "details": details}
    if issue.diagnostics:
        said["diagnostics"] = issue.diagnostics
    if issue.expression:
        said["expression"] = list(issue.expression)
    return said
