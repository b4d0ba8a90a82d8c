"""From drafts to one commit: the only way an interaction writes.

Sets id, version and time, checks what every stored resource must obey, extracts the index terms, and hands all of it,
with the audit record, to the store's one door.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from fhir_dmp.access.document import UNKNOWN_TERM, access_terms
from fhir_dmp.audit.record import AuditRecord
from fhir_dmp.documents.derived import DERIVED_TYPES, derived_terms
from fhir_dmp.documents.metadata import uniques
from fhir_dmp.errors import Issue, Unprocessable
from fhir_dmp.fhir.dates import instant
from fhir_dmp.fhir.draft import Blob, Draft
from fhir_dmp.fhir.elements import object_of, objects_of
from fhir_dmp.fhir.resource import Json, dump, stamped
from fhir_dmp.fhir.subset import SUBSETTED
from fhir_dmp.identity.caller import Caller
from fhir_dmp.interactions import telling
from fhir_dmp.interactions.creators import creator_term
from fhir_dmp.interactions.inspection import inspect
from fhir_dmp.interactions.remembered import marks_of
from fhir_dmp.interactions.services import Services
from fhir_dmp.interactions.words import Drafts, by_key, words_of
from fhir_dmp.ports import Claim, Commit, Key, Require, Version, Write
from fhir_dmp.search.extract import terms_of
from fhir_dmp.search.query import Term
from fhir_dmp.search.terms import Terms
from fhir_dmp.terminology.sharing import COMPREHENSIVE, SHARING_PROFILES, SIMPLIFIED, SUBMISSION_SET
from fhir_dmp.validation.conformance import judge
from fhir_dmp.validation.validate import errors_in, validate

log = logging.getLogger("fhir_dmp")

#: More than a document of the size limit can give.
_MOST_DERIVED = 100_000
_NEVER_INSIDE = frozenset({"Patient", "Consent", "DocumentReference"})
_MHD_TYPES = frozenset({"DocumentReference", "List"})


@dataclass(frozen=True, slots=True)
class Plan:
    """What an interaction decided to change. previous: the current versions it read, by key."""

    drafts: tuple[Draft, ...] = ()
    previous: Mapping[Key, Version] | None = None
    deletions: tuple[Version, ...] = ()
    claims: tuple[Claim, ...] = ()
    requires: tuple[Require, ...] = ()


def index_terms(resource: Json, services: Services, drafts: Drafts | None = MappingProxyType({})) -> Terms:
    """Return what the stores index of a resource: search terms, access terms, unique business keys.

    drafts: contents that the same commit brings; None: the words of contents are not needed.
    """
    is_document = resource["resourceType"] == "DocumentReference"
    content = words_of(resource, drafts, services) if is_document and drafts is not None else ""
    terms = terms_of(resource, services.registry, base=services.base, zone=services.zone, content=content)
    keys = uniques(resource)
    extra = access_terms(resource) if is_document else derived_terms(resource)
    return replace(terms, uniques=keys, tokens=(*terms.tokens, *extra)) if keys or extra else terms


def refuse_subset(resource: Json) -> None:
    """Refuse to store what a search cut down (fhir-rest 7.2).

    Raises:
        Unprocessable: meta.tag says SUBSETTED.
    """
    tags = objects_of(object_of(resource.get("meta")).get("tag"))
    if any(tag.get("code") == SUBSETTED for tag in tags):
        raise Unprocessable(
            "The resource is an excerpt (tag SUBSETTED); read it whole before writing it.",
            code="business-rule",
            expression=f"{resource['resourceType']}.meta.tag",
        )


def refuse_hidden_inside(resource: Json) -> None:
    """Refuse contained resources that have rules of their own, which nobody would apply in there (TH8).

    A Patient may stand in a document or a submission set, where MHD wants it as it was at the source.

    Raises:
        Unprocessable: business-rule.
    """
    type_ = str(resource.get("resourceType"))
    for index, inside in enumerate(objects_of(resource.get("contained"))):
        kind = str(inside.get("resourceType"))  # whatever stands there: the structure is judged after this
        if kind in _NEVER_INSIDE and not (kind == "Patient" and type_ in _MHD_TYPES):
            raise Unprocessable(
                f"A contained {kind} would escape the rules of access: refer to one of the record.",
                code="business-rule",
                expression=f"{type_}.contained[{index}]",
            )


def structural(resource: Json, services: Services) -> None:
    """Judge a resource against the structure of R4 alone, where rules with words of their own come before profiles.

    Raises:
        Unprocessable: with every error found, unless the mode of the type is warn or off.
    """
    errors = errors_in(validate(resource, services.structures))
    if errors and services.judging.mode_of(str(resource["resourceType"])) == "enforce":
        raise Unprocessable(issues=errors)


def checked(
    resource: Json, services: Services, *, stored: bool = False, before: Json | None = None
) -> tuple[Issue, ...]:
    """Judge a resource against the base definitions and its profiles; return the warnings.

    stored: the resource is as it will be kept; then the profiles of document sharing count too. Of what a client sends
    the documents room judges them, with the leniencies that are decided there. before: what was stored; a fault that
    was there already does not keep anybody from changing something else.

    Raises:
        Unprocessable: with every error found, unless the mode of the type is warn or off; whatever the mode, when the
            server cannot write its own part of `meta`.
    """
    type_ = str(resource["resourceType"])
    if not isinstance(resource.get("meta", {}), dict):
        raise Unprocessable("meta must be an object.", code="structure", expression=f"{type_}.meta")
    refuse_hidden_inside(resource)
    mode = services.judging.mode_of(type_)
    if mode == "off":
        return ()
    applied = as_stored if stored else _of_sent
    minimum = services.judging.minimum(type_)
    issues = judge(resource, services.profiles(), minimum, applied)
    issues = tuple(replace(issue, severity="warning") if is_lenient(issue) else issue for issue in issues)
    errors = tuple(issue for issue in issues if issue.severity in ("error", "fatal"))
    if errors and before is not None:
        known = {
            (issue.diagnostics, issue.expression) for issue in judge(before, services.profiles(), minimum, applied)
        }
        issues = tuple(_lessened(issue, known) for issue in issues)
        errors = tuple(issue for issue in issues if issue.severity in ("error", "fatal"))
    if errors and mode == "enforce":
        raise Unprocessable(issues=issues)
    return issues


def conforming(drafts: Sequence[Draft], services: Services) -> None:
    """Judge the documents and lists that a submission made, as they will be kept, by the profiles they claim.

    Raises:
        Unprocessable: one of them breaks its profile, and the mode of its type is enforce.
    """
    errors: list[Issue] = []
    for draft in drafts:
        if draft.type in ("DocumentReference", "List") and services.judging.mode_of(draft.type) == "enforce":
            found = judge(draft.resource, services.profiles(), services.judging.minimum(draft.type), as_stored)
            errors += (issue for issue in found if issue.severity in ("error", "fatal") and not is_lenient(issue))
    if errors:
        raise Unprocessable(issues=errors)


#: Statements of PDSm that this record does not insist on: authors may be references to stored resources, and a FHIR
#: document has neither hash nor size (of other contents the documents room wants both); a submission set that was
#: stored may be retired; XDS-France lets a patient or a device authenticate; the guide's own examples lack a custodian,
#: which the server fills in what is submitted. [dmp-fhir 4.1, 4.3, 4.7, 10 rows 9, 11, 24]
_LENIENT = frozenset(
    {
        (COMPREHENSIVE, "DocumentReference.contained#min"),
        (COMPREHENSIVE, "DocumentReference.custodian#min"),
        (COMPREHENSIVE, "DocumentReference.content.attachment.hash#min"),
        (COMPREHENSIVE, "DocumentReference.content.attachment.size#min"),
        (COMPREHENSIVE, "DocumentReference.authenticator#targetProfile"),
        (SUBMISSION_SET, "List.contained#min"),
        (SUBMISSION_SET, "List.status#fixed"),
    }
)


def is_lenient(issue: Issue) -> bool:
    """Say whether an issue is of a statement that the server does not insist on."""
    return any((coding.system, coding.code) in _LENIENT for coding in issue.details)


def _of_sent(url: str) -> bool:
    return not url.startswith(SHARING_PROFILES)


def as_stored(url: str) -> bool:
    """Say whether a declared profile counts for a stored resource."""
    return (
        url.partition("|")[0] != SIMPLIFIED
    )  # it describes what is sent: the server moves the content and sets the URL


def _lessened(issue: Issue, known: set[tuple[str, tuple[str, ...]]]) -> Issue:
    return replace(issue, severity="warning") if (issue.diagnostics, issue.expression) in known else issue


def _write(
    draft: Draft,
    previous: Version | None,
    now_ms: int,
    creator: Caller | None,
    contents: Drafts,
    services: Services,
) -> Write:
    updated = max(now_ms, previous.updated_ms + 1) if previous else now_ms
    version = draft.current + 1
    resource = stamped(draft.resource, id_=draft.id, version=version, updated=instant(updated))
    terms = index_terms(resource, services, contents)
    if creator is not None and draft.type in ("Binary", "Bundle"):
        terms = replace(terms, tokens=(*terms.tokens, creator_term(creator)))
    return Write(
        type=draft.type,
        id=draft.id,
        version=version,
        updated_ms=updated,
        body=dump(resource),
        terms=terms,
        method=draft.method,
        blob=draft.blob.sha256 if draft.blob else None,
    )


def _tombstone(version: Version, now_ms: int) -> Write:
    return Write(
        type=version.type,
        id=version.id,
        version=version.version + 1,
        updated_ms=max(now_ms, version.updated_ms + 1),
        body=b"",
        terms=Terms(patient=version.patient),
        method="DELETE",
        deleted=True,
    )


def commit(
    plan: Plan, audit: Sequence[AuditRecord], services: Services, *, creator: Caller | None = None
) -> dict[Key, Version]:
    """Write the plan and its audit records in one commit; return the new versions by key.

    creator: who may read a Binary until a document points to it. The audit records name versions by `Type/id`; the
    version numbers are completed here. Raises what the store raises.
    """
    inspect(plan.drafts, services)
    now = services.clock.now_ms()
    previous = plan.previous or {}
    plan = replace(plan, deletions=(*plan.deletions, *_following(plan, services)))
    contents = by_key(plan.drafts)
    writes = [
        _write(draft, previous.get(Key(draft.type, draft.id)), now, creator, contents, services)
        for draft in plan.drafts
    ]
    writes += [_tombstone(version, now) for version in plan.deletions]
    numbers = {f"{write.type}/{write.id}": write.version for write in writes}
    records = tuple(replace(record, what=tuple(_versioned(ref, numbers) for ref in record.what)) for record in audit)
    notices = telling.of_changes(records, writes, previous, services)
    blobs: dict[str, Blob] = {draft.blob.sha256: draft.blob for draft in plan.drafts if draft.blob}
    done = services.store.commit(
        Commit(
            writes=tuple(writes),
            claims=_claims(plan, marks_of(writes, {key: version.patient for key, version in previous.items()})),
            requires=plan.requires,
            blobs=tuple(blobs.values()),
            audit=(*records, *_alarms(writes, records, services)),
            notices=notices,
        )
    )
    services.facts.forget()
    return {version.key: version for version in done}


def _alarms(writes: Sequence[Write], records: Sequence[AuditRecord], services: Services) -> Iterator[AuditRecord]:
    """Yield a security alert for each document with a visibility label that is not understood (security 4.7).

    It is hidden from the patient and from professionals until somebody corrects the label.
    """
    for write in writes:
        if UNKNOWN_TERM in write.terms.tokens and not write.deleted and records:
            name = f"{write.type}/{write.id}/_history/{write.version}"
            log.warning("a visibility label that is not understood hides %s", name)
            yield replace(
                records[0],
                id=services.ids.resource(write.terms.patient),
                kind="unknown-label",
                patient=write.terms.patient,
                what=(name,),
                query=None,
                details=(),
                given=None,
            )


def _following(plan: Plan, services: Services) -> Iterator[Version]:
    """Yield what was derived from documents that this plan replaces, deletes or deprecates: it goes with them."""
    gone = [f"DocumentReference/{version.id}" for version in plan.deletions if version.type == "DocumentReference"]
    gone += [
        f"DocumentReference/{draft.id}"
        for draft in plan.drafts
        if draft.type == "DocumentReference" and draft.current and draft.resource.get("status") != "current"
    ]
    for document in gone:
        node = Term(f"source-document=r:{document}")
        for type_ in DERIVED_TYPES:
            keys = [Key(type_, id_) for id_ in services.store.find(type_, node, _MOST_DERIVED)]
            yield from services.store.read_many(keys).values() if keys else ()


def _claims(plan: Plan, marks: tuple[Claim, ...]) -> tuple[Claim, ...]:
    """Return the claims of a plan and the marks of its writes; a mark that the plan claims for itself is that claim."""
    own = {claim.key for claim in plan.claims}
    return (*plan.claims, *(mark for mark in marks if mark.key not in own))


def _versioned(reference: str, numbers: Mapping[str, int]) -> str:
    number = numbers.get(reference)
    return f"{reference}/_history/{number}" if number else reference
