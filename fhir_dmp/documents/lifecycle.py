"""The life of a stored document: which of its metadata change, from what to what. [dmp-fhir 3.7, 4.3]

Only status, securityLabel and the archive flag do. Who may ask for it is decided in the access room; how a patch is
written (pointers, filters) in documents/patch_dialect.py. Here: the version before, what was asked, the version after.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fhir_dmp.documents.labels import (
    Label,
    LabelContext,
    labels_of,
    ordered,
    read,
    set_issues,
    visibility_of,
)
from fhir_dmp.documents.links import relative
from fhir_dmp.documents.metadata import list_kind
from fhir_dmp.documents.rules import Rules
from fhir_dmp.errors import Conflict, Unprocessable
from fhir_dmp.fhir.elements import extensions_of, object_of, objects_of, texts_of
from fhir_dmp.fhir.resource import Json, content_of, same_content
from fhir_dmp.terminology.sharing import IS_ARCHIVED, SHARING_PROFILES, is_archived
from fhir_dmp.terminology.visibility import HIDDEN_FROM_PATIENT, HIDDEN_FROM_REPRESENTATIVES

CURRENT, SUPERSEDED, DELETED = "current", "superseded", "entered-in-error"
_CHANGES = {
    CURRENT: (SUPERSEDED, DELETED),
    SUPERSEDED: (CURRENT, DELETED),
    DELETED: (),
}


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What a change depends on beside the document.

    minor: whether the patient is under age, None when the birth date is not known. successor: a current document
    replaces this one. consulted: the audit trail holds a consultation by the patient.
    """

    rules: Rules
    minor: bool | None = None
    successor: bool = False
    consulted: bool = False


def settle(before: Json, after: Json, circumstances: Circumstances) -> Json:
    """Return the version to store when `after` was asked for; `before` itself when nothing really changes.

    Labels are put in their order, with a base code; a deleted document gives up its profiles.

    Raises:
        Unprocessable: metadonnee-non-modifiable, transition-interdite, or labels against the rules.
        Conflict: a superseded document that has a current successor cannot be current again.
    """
    rules = circumstances.rules
    if _frozen_part(before, "", rules.fhir_base) != _frozen_part(after, "", rules.fhir_base):
        raise Unprocessable(
            "Only status, securityLabel and the archive flag of a document can change.",
            code="business-rule",
            expression="DocumentReference",
            details=rules.erreur("metadonnee-non-modifiable"),
        )
    _check_status(before, after, circumstances)
    _check_archive(before, after, rules)
    # What the server stores differs from what was asked for only in what may change.
    settled = {**before, "status": after.get("status"), "securityLabel": _labels(before, after, circumstances)}
    settled = _with_archive(settled, after)
    if settled["status"] == DELETED and before.get("status") != DELETED:
        settled = without_profiles(settled)
    return before if same_content(before, settled) else settled


def _frozen_part(value: Any, element: str, fhir_base: str) -> Any:
    """Return what must stay: everything but the three changeable elements, addresses of this server made relative."""
    if isinstance(value, str):
        return relative(value, fhir_base) if element in ("url", "reference") else value
    if isinstance(value, list):
        return [_frozen_part(part, element, fhir_base) for part in value]
    if not isinstance(value, dict):
        return value
    if not element:
        kept = {k: v for k, v in content_of(value).items() if k not in ("status", "securityLabel", "extension")}
        others = [part for part in objects_of(value.get("extension")) if part.get("url") != IS_ARCHIVED]
        value = {**kept, "extension": others} if others else kept
    return {key: _frozen_part(part, key, fhir_base) for key, part in value.items()}


def _check_status(before: Json, after: Json, circumstances: Circumstances) -> None:
    old, new = before.get("status"), after.get("status")
    if old == new:
        return
    details = circumstances.rules.erreur("transition-interdite")
    if new not in _CHANGES.get(str(old), ()):
        raise Unprocessable(
            f"A document that is {old} cannot become {str(new)[:32]}.",
            code="business-rule",
            expression="DocumentReference.status",
            details=details,
        )
    if new == CURRENT and circumstances.successor:
        raise Conflict(
            "A current document replaces this one; it cannot be current again.",
            expression="DocumentReference.status",
            details=details,
        )


def _check_archive(before: Json, after: Json, rules: Rules) -> None:
    flags = extensions_of(after, IS_ARCHIVED)
    place = f"DocumentReference.extension('{IS_ARCHIVED}')"
    if len(flags) > 1 or any(not isinstance(flag.get("valueBoolean"), bool) for flag in flags):
        raise Unprocessable("The archive flag is one extension with valueBoolean.", code="value", expression=place)
    if is_archived(before) != is_archived(after) and after.get("status") != CURRENT:
        raise Unprocessable(
            "Only a current document is archived or taken out of the archive.",
            code="business-rule",
            expression=place,
            details=rules.erreur("transition-interdite"),
        )


def _with_archive(settled: Json, after: Json) -> Json:
    """Return the resource with the archive flag that was asked for; an unchanged flag stays where it stands."""
    if extensions_of(settled, IS_ARCHIVED) == extensions_of(after, IS_ARCHIVED):
        return settled
    kept = [part for part in objects_of(settled.get("extension")) if part.get("url") != IS_ARCHIVED]
    extensions = [*kept, *extensions_of(after, IS_ARCHIVED)]
    bare = {key: part for key, part in settled.items() if key != "extension"}
    return {**bare, "extension": extensions} if extensions else bare


def _labels(before: Json, after: Json, circumstances: Circumstances) -> list[Json]:
    """Return the labels in their order. Rules about minors and consultation bind only labels that are new."""
    old = visibility_of(before)
    added = [code for code in visibility_of(after) if code not in old]
    minor = circumstances.minor if HIDDEN_FROM_REPRESENTATIVES in added else True
    issues = set_issues(after, LabelContext(circumstances.rules, minor), "DocumentReference")
    errors = [issue for issue in issues if issue.severity == "error"]
    if errors:
        raise Unprocessable(issues=errors)
    if circumstances.consulted and {HIDDEN_FROM_PATIENT, HIDDEN_FROM_REPRESENTATIVES} & set(added):
        raise Unprocessable(
            "The patient has consulted the document; it cannot be hidden any more.",
            code="business-rule",
            expression="DocumentReference.securityLabel",
            details=circumstances.rules.erreur("transition-interdite"),
        )
    return ordered(objects_of(after.get("securityLabel")), (*added, *old), objects_of(before.get("securityLabel")))


def without_profiles(resource: Json) -> Json:
    """Return a deleted document without the profiles whose status it no longer satisfies."""
    meta = object_of(resource.get("meta"))
    kept = [one for one in texts_of(meta.get("profile")) if not one.startswith(SHARING_PROFILES)]
    bare = {key: part for key, part in meta.items() if key != "profile"}
    return {**resource, "meta": {**bare, "profile": kept} if kept else bare}


def replace_label(resource: Json, index: int, value: Any, rules: Rules, *, precise: bool) -> list[Json]:
    """Return the labels after JSON Patch `replace /securityLabel/{index}`, read as the guides mean it. [3.7.3]

    A visibility label is added and nothing lost; the base code in the place of a visibility label removes that label.
    precise: the request says which label it means (a test on the index, or If-Match).

    Raises:
        Unprocessable: no CodeableConcept, no such index, or label-ambigu.
    """
    place = f"DocumentReference.securityLabel[{index}]"
    labels = labels_of(resource)
    if not 0 <= index < len(labels):
        raise Unprocessable("There is no label at this index.", code="not-found", expression=place)
    if not isinstance(value, dict) or not objects_of(value.get("coding")):
        raise Unprocessable("A label is a CodeableConcept with a coding.", code="value", expression=place)
    label = read(value)
    if label.kind == "visibility":
        return [value, *(one.concept for one in labels if (one.kind, one.code) != ("visibility", label.code))]
    old = labels[index]
    if label.kind == "base" and old.kind == "visibility":
        return _unmasked(labels, old, label, rules, place, precise=precise)
    return [value if position == index else one.concept for position, one in enumerate(labels)]


def _unmasked(
    labels: Sequence[Label], old: Label, base: Label, rules: Rules, place: str, *, precise: bool
) -> list[Json]:
    if sum(one.kind == "visibility" for one in labels) > 1 and not precise:
        raise Unprocessable(
            "Several visibility labels are set; say which one to remove (a test operation on the index, or If-Match).",
            code="business-rule",
            expression=place,
            details=rules.erreur("label-ambigu"),
        )
    kept = [one for one in labels if one is not old]
    if base.code == "N" and any(one.kind == "base" for one in kept):
        return [one.concept for one in kept]
    return [*(one.concept for one in kept if one.kind != "base"), base.concept]


_LIST_CHANGES = {
    "submissionset": frozenset({"status"}),
    "folder": frozenset({"status", "title", "note", "date", "entry", "text"}),
}


def settle_list(before: Json, after: Json, rules: Rules) -> Json:
    """Return the version of a submission set or folder to store; `before` itself when nothing changes.

    A submission set keeps everything but its status and archive flag; a folder its patient, code and identifiers. Any
    other List is no part of the documents: it changes freely, but never into one of these.

    Raises:
        Unprocessable: metadonnee-non-modifiable.
    """
    if list_kind(before) is None and list_kind(after) is None:
        return after
    free = _LIST_CHANGES.get(list_kind(before) or "", frozenset())
    frozen = [
        {k: v for k, v in _frozen_part(one, "", rules.fhir_base).items() if k not in free} for one in (before, after)
    ]
    if frozen[0] != frozen[1]:
        raise Unprocessable(
            "This part of the list cannot change.",
            code="business-rule",
            expression="List",
            details=rules.erreur("metadonnee-non-modifiable"),
        )
    changed = {**before, **{key: after[key] for key in free if key in after}}
    settled = _with_archive({k: v for k, v in changed.items() if k not in free or k in after}, after)
    return before if same_content(before, settled) else settled
