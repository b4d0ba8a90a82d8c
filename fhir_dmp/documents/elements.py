"""Which elements PDSm makes mandatory or forbids on a document and a submission set. [dmp-fhir 4.1 to 4.4]

Two lists for each profile: what the record cannot do without, refused always; and the rest of the profile, refused,
reported or ignored as the setting says.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import UTC
from typing import Any

from fhir_dmp.documents.rules import Rules
from fhir_dmp.errors import Issue
from fhir_dmp.fhir.dates import covered, moment
from fhir_dmp.fhir.elements import contained_of, extensions_of, object_of, objects_of, text_of
from fhir_dmp.fhir.resource import Json
from fhir_dmp.terminology.sharing import DESIGNATION_TYPE, SOURCE_ID

_STEP = re.compile(r"(\w+)(?:\[(\d+)\])?")

DOCUMENT_VITAL = (
    *("masterIdentifier.system", "masterIdentifier.value", "status", "subject", "author", "date", "content"),
    *("content[0].attachment.contentType", "content[0].attachment.url"),
)
DOCUMENT_PROFILE = (
    *("type", "category", "content[0].format", "content[0].attachment.language", "content[0].attachment.title"),
    *("content[0].attachment.creation", "context.period.start", "context.facilityType", "context.practiceSetting"),
    "context.sourcePatientInfo",
)
#: Mandatory unless the content is a native FHIR document.
CONTENT_PROFILE = ("content[0].attachment.size", "content[0].attachment.hash")
PUBLISH_VITAL = (
    *("masterIdentifier.system", "masterIdentifier.value", "status", "subject", "author", "date", "content"),
    *("content[0].attachment.contentType", "content[0].attachment.data", "content[0].attachment.title"),
)
SET_VITAL = ("status", "mode", "subject", "date", "entry")
FOLDER_VITAL = ("status", "mode", "subject", "date", "title", "entry")
DOCUMENT_FORBIDDEN = ("docStatus", "modifierExtension")
SET_FORBIDDEN = ("encounter", "orderedBy", "emptyReason")
FOLDER_FORBIDDEN = (*SET_FORBIDDEN, "source")


def value_at(resource: Json, path: str) -> Any:
    """Return the value at a dotted path (`content[0].attachment.title`), None when there is none."""
    value: Any = resource
    for step in path.split("."):
        match = _STEP.fullmatch(step)
        if match is None or not isinstance(value, dict):
            return None
        # A primitive that only says why it is absent (`_date`) counts as stated.
        value = value.get(match[1], value.get(f"_{match[1]}"))
        if match[2] is not None:
            value = value[int(match[2])] if isinstance(value, list) and int(match[2]) < len(value) else None
    return value


def missing(resource: Json, paths: Sequence[str], place: str, severity: str = "error") -> Iterator[Issue]:
    """Yield an issue for each path that holds nothing."""
    for path in paths:
        if value_at(resource, path) in (None, "", [], {}):
            name = path.replace("[0]", "")
            yield Issue(
                "required", f"The element {name} is missing.", severity=severity, expression=(f"{place}.{path}",)
            )


def forbidden(resource: Json, paths: Sequence[str], place: str) -> Iterator[Issue]:
    """Yield an error for each path that holds something."""
    for path in paths:
        if value_at(resource, path) not in (None, [], {}):
            yield Issue("business-rule", f"The element {path} is not allowed here.", expression=(f"{place}.{path}",))


def _profile_severity(rules: Rules) -> str | None:
    return {"enforce": "error", "warn": "warning"}.get(rules.profiles)


def document_issues(docref: Json, place: str, rules: Rules, *, fhir_document: bool) -> list[Issue]:
    """Return what a document's metadata lack or should not hold, on submission (4.1)."""
    found = list(missing(docref, DOCUMENT_VITAL, place))
    severity = _profile_severity(rules)
    if severity is not None:
        wanted = DOCUMENT_PROFILE if fhir_document else (*DOCUMENT_PROFILE, *CONTENT_PROFILE)
        found.extend(missing(docref, wanted, place, severity))
    if "authenticator" not in docref:
        found.append(_warning("required", f"{place}.authenticator", "No authenticator (legalAuthenticator) is named."))
    found.extend(forbidden(docref, (*DOCUMENT_FORBIDDEN, "content[0].attachment.data"), place))
    if len(objects_of(docref.get("category"))) > 1:
        found.append(_error("structure", f"{place}.category", "A document has one class."))
    return found + common_document_issues(docref, place)


def common_document_issues(docref: Json, place: str) -> list[Issue]:
    """Return the faults that every way of publishing refuses."""
    found = []
    if "status" in docref and docref["status"] != "current":
        found.append(_error("business-rule", f"{place}.status", "A document is submitted with the status 'current'."))
    if len(objects_of(docref.get("content"))) > 1:
        found.append(_error("structure", f"{place}.content", "A document has one content."))
    if "date" in docref and moment(docref["date"]) is None:
        found.append(_error("value", f"{place}.date", "date must be an instant: date, time with seconds, and offset."))
    period = object_of(object_of(docref.get("context")).get("period"))
    start, end = (_start_ms(period.get(key)) for key in ("start", "end"))
    if start is not None and end is not None and end < start:
        found.append(_error("invariant", f"{place}.context.period.end", "The act ends before it starts."))
    return found + contained_issues(docref, place)


def set_issues(list_: Json, place: str, now_ms: int, rules: Rules) -> list[Issue]:
    """Return the faults of a submission set (4.3). [3.2.3 row 3]"""
    found = [*missing(list_, SET_VITAL, place), *forbidden(list_, SET_FORBIDDEN, place)]
    found.extend(_list_issues(list_, place))
    severity = _profile_severity(rules)
    if severity is not None:
        found.extend(missing(list_, ("source",), place, severity))
        for url in (DESIGNATION_TYPE, SOURCE_ID):
            if not extensions_of(list_, url):
                where = f"{place}.extension('{url}')"
                found.append(Issue("required", f"The extension {url} is missing.", severity, (where,)))
    for index, entry in enumerate(objects_of(list_.get("entry"))):
        found.extend(forbidden(entry, ("flag", "deleted", "date"), f"{place}.entry[{index}]"))
    date = _start_ms(list_.get("date"))
    if date is None and "date" in list_:
        found.append(_error("value", f"{place}.date", "date must be a FHIR dateTime."))
    elif date is not None and date > now_ms + rules.skew_ms:
        found.append(_error("business-rule", f"{place}.date", "The submission is dated in the future."))
    return found


def folder_issues(list_: Json, place: str) -> list[Issue]:
    """Return the faults of a folder (4.4)."""
    return [
        *missing(list_, FOLDER_VITAL, place),
        *forbidden(list_, FOLDER_FORBIDDEN, place),
        *_list_issues(list_, place),
    ]


def _list_issues(list_: Json, place: str) -> Iterator[Issue]:
    if "status" in list_ and list_["status"] != "current":
        yield _error("business-rule", f"{place}.status", "status must be 'current'.")
    if "mode" in list_ and list_["mode"] != "working":
        yield _error("business-rule", f"{place}.mode", "mode must be 'working'.")
    yield from contained_issues(list_, place)


def contained_issues(resource: Json, place: str) -> list[Issue]:
    """Return the faults of contained resources: no id, nested, versioned, or referred to by nothing (dom-2 to dom-4).

    https://hl7.org/fhir/R4/domainresource.html#invs
    """
    parts = objects_of(resource.get("contained"))
    if not parts:
        return []
    used = set(_local_references(resource))
    found = []
    for index, part in enumerate(parts):
        where = f"{place}.contained[{index}]"
        local = text_of(part.get("id"))
        if local is None:
            found.append(_error("required", f"{where}.id", "A contained resource needs an id."))
        elif f"#{local.removeprefix('#')}" not in used:
            found.append(_error("invariant", where, "Nothing refers to this contained resource."))
        if "contained" in part:
            found.append(_error("invariant", where, "A contained resource contains nothing itself."))
        if {"versionId", "lastUpdated"} & object_of(part.get("meta")).keys():
            found.append(_error("invariant", f"{where}.meta", "A contained resource has no version."))
    if len(contained_of(resource)) < sum("id" in part for part in parts):
        found.append(_error("invariant", f"{place}.contained", "Two contained resources have the same id."))
    return found


def _local_references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, part in value.items():
            if isinstance(part, str):
                if part.startswith("#") and (key in ("reference", "url", "uri") or key.startswith("value")):
                    yield part
            else:
                yield from _local_references(part)
    elif isinstance(value, list):
        for part in value:
            yield from _local_references(part)


def _error(code: str, place: str, text: str) -> Issue:
    return Issue(code, text, expression=(place,))


def _warning(code: str, place: str, text: str) -> Issue:
    return Issue(code, text, severity="warning", expression=(place,))


def _start_ms(value: Any) -> int | None:
    """Return where a dateTime starts: partial dates are read in UTC, a time needs its offset."""
    if isinstance(value, str) and "T" in value:
        return moment(value)
    found = covered(value, UTC)
    return None if found is None else found[0]
