"""What may change of a stored document: its status, its labels, its archive flag; and what each change is called.

[dmp-fhir 3.7.1, 3.7.2, 3.7.6, 3.7.7]. Pure: the resource before and after, as any kind of patch left it, and out comes
the resource to store, or a refusal. Who may do it is decided elsewhere (access.writing), by the named acts.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from fhir_dmp.documents.labels import LabelContext, ordered, set_issues, visibility_of
from fhir_dmp.documents.metadata import is_archived
from fhir_dmp.documents.rules import IS_ARCHIVED, MHD, PDSM, Rules
from fhir_dmp.errors import Conflict, Issue, Unprocessable
from fhir_dmp.fhir.elements import objects_of
from fhir_dmp.fhir.resource import Json

ALIAS_IS_ARCHIVED = f"{PDSM}/SearchParameter/PDSm-isArchived"
_FREE = frozenset({"id", "meta", "status", "securityLabel", "extension"})


class Act(StrEnum):
    """What a change of attributes does."""

    LABEL = "update-label"
    WITHDRAW = "replace"
    DELETE = "delete"
    ARCHIVE = "archive"


@dataclass(frozen=True, slots=True)
class AttributeChange:
    """acts: what the change does, none when it says what is so already. resource: what to store. details: what the
    audit keeps, as (name, value).
    """

    acts: tuple[Act, ...]
    resource: Json
    issues: tuple[Issue, ...] = ()
    details: tuple[tuple[str, str], ...] = ()


def changed_document(
    before: Json, after: Json, context: LabelContext, rules: Rules, *, replaced: bool
) -> AttributeChange:
    """Judge a changed DocumentReference.

    replaced: a current document replaces this one.

    Raises:
        Unprocessable: anything else changed (metadonnee-non-modifiable), a label that cannot be, or a status that
            cannot follow. Conflict: it cannot come back while its successor is current.
    """
    _only_attributes(before, after, rules)
    acts = list(_status_acts(before, after, rules, replaced=replaced))
    if is_archived(before) != is_archived(after):
        acts.append(_archive_act(after, rules))
    stored = dict(after)
    details: list[tuple[str, str]] = []
    issues: tuple[Issue, ...] = ()
    if before.get("securityLabel") != after.get("securityLabel"):
        stored, issues = _labelled(before, after, context)
        if visibility_of(before) != visibility_of(stored):
            acts.append(Act.LABEL)
            details += [("labels-before", " ".join(_codes(before))), ("labels-after", " ".join(_codes(stored)))]
    if Act.DELETE in acts:
        stored = _unprofiled(stored)
    return AttributeChange(tuple(acts), stored, tuple(issues), tuple(details))


def changed_list(before: Json, after: Json, rules: Rules) -> None:
    """Judge a changed List: of a submission set only status and archive flag may change.

    Raises:
        Unprocessable: metadonnee-non-modifiable.
    """
    codes = {coding.get("code") for coding in objects_of(before.get("code", {}).get("coding"))}
    if "submissionset" not in codes:
        if before.get("subject") != after.get("subject"):
            raise _fixed("List.subject", rules)
        return
    _only_attributes({**before, "securityLabel": None}, {**after, "securityLabel": None}, rules)


def _only_attributes(before: Json, after: Json, rules: Rules) -> None:
    type_ = before["resourceType"]
    for name in sorted(before.keys() | after.keys()):
        if name not in _FREE and before.get(name) != after.get(name):
            raise _fixed(f"{type_}.{name}", rules)
    if _others(before) != _others(after):
        raise _fixed(f"{type_}.extension", rules)


def _others(resource: Json) -> list[Json]:
    known = (IS_ARCHIVED, ALIAS_IS_ARCHIVED)
    return [part for part in objects_of(resource.get("extension")) if part.get("url") not in known]


def _fixed(place: str, rules: Rules) -> Unprocessable:
    return Unprocessable(
        "Only status, securityLabel and the archive flag may change after submission.",
        code="business-rule",
        expression=place,
        details=rules.erreur("metadonnee-non-modifiable"),
    )


def _status_acts(before: Json, after: Json, rules: Rules, *, replaced: bool) -> Iterator[Act]:
    old, new = before.get("status"), after.get("status")
    if old == new:
        return
    if old == "entered-in-error" or new not in ("current", "superseded", "entered-in-error"):
        raise _transition("This status cannot follow; a deleted document stays deleted.", rules)
    if new == "current" and replaced:
        raise Conflict(
            "A current document replaces this one; delete or withdraw that one first.",
            expression="DocumentReference.status",
            details=rules.erreur("transition-interdite"),
        )
    yield Act.DELETE if new == "entered-in-error" else Act.WITHDRAW


def _archive_act(after: Json, rules: Rules) -> Act:
    if after.get("status") != "current":
        raise _transition("Only a current document is archived.", rules)
    return Act.ARCHIVE


def _transition(why: str, rules: Rules) -> Unprocessable:
    return Unprocessable(
        why,
        code="business-rule",
        expression="DocumentReference.status",
        details=rules.erreur("transition-interdite"),
    )


def _labelled(before: Json, after: Json, context: LabelContext) -> tuple[Json, tuple[Issue, ...]]:
    recent = [code for code in visibility_of(after) if code not in visibility_of(before)]
    kept = ordered(objects_of(after.get("securityLabel")), recent, objects_of(before.get("securityLabel")))
    stored = {**after, "securityLabel": kept}
    issues = set_issues(stored, context, "DocumentReference")
    if any(issue.severity == "error" for issue in issues):
        raise Unprocessable(issues=issues)
    return stored, tuple(issues)


def _codes(resource: Json) -> list[str]:
    return [
        str(coding.get("code"))
        for concept in objects_of(resource.get("securityLabel"))
        for coding in objects_of(concept.get("coding"))
    ]


def _unprofiled(resource: Json) -> Json:
    """A deleted document claims no MHD or PDSm profile: their status does not know deletion."""
    meta = dict(resource.get("meta", {}))
    kept = [url for url in meta.pop("profile", []) if not str(url).startswith((MHD, PDSM))]
    if kept:
        meta["profile"] = kept
    return {**resource, "meta": meta}
