"""Plans of single changes: create, update, patch, delete, each decided on what is stored now and nothing written yet.

A lone interaction commits one plan; a transaction joins many in one commit; so both obey the same rules.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from fhir_dmp.access.refusal import absent
from fhir_dmp.documents.codes import with_section
from fhir_dmp.documents.lifecycle import DELETED
from fhir_dmp.errors import (
    BadRequest,
    Conflict,
    Gone,
    Hidden,
    Issue,
    MethodNotAllowed,
    PreconditionFailed,
)
from fhir_dmp.fhir.draft import Blob, Draft
from fhir_dmp.fhir.links import relative
from fhir_dmp.fhir.resource import Json, is_id, parse_stored, same_content
from fhir_dmp.interactions import authorise, criteria, patching, permit
from fhir_dmp.interactions.contents import content_of_binary
from fhir_dmp.interactions.exchange import Call, Payload
from fhir_dmp.interactions.offer import VERSION_AWARE, offers
from fhir_dmp.interactions.services import Services
from fhir_dmp.interactions.write import checked, refuse_subset
from fhir_dmp.ports import Claim, Key, Version

PUT_MAKES = True


@dataclass(frozen=True, slots=True)
class Preconditions:
    """If-Match, If-None-Match and If-None-Exist of one change, from headers or from a bundle entry.

    waived: nobody read the resource before (an import), so that no version is asked for.
    """

    if_match: tuple[int, ...] | None = None
    if_match_any: bool = False
    if_none_match_any: bool = False
    if_none_exist: str | None = None
    waived: bool = False


@dataclass(frozen=True, slots=True)
class Change:
    """One decided change. Exactly one of draft, deletion and unchanged is set (unchanged: nothing to write).

    kind: its row of audit/events.toml. previous: the version it was decided on. claims: what keeps it race-free.
    deletes: it makes a document `entered-in-error`, so that folders drop it.
    """

    kind: str
    status: int
    draft: Draft | None = None
    deletion: Version | None = None
    unchanged: Version | None = None
    previous: Version | None = None
    patient: str | None = None
    claims: tuple[Claim, ...] = ()
    issues: tuple[Issue, ...] = ()
    key: Key | None = None
    details: tuple[tuple[str, str], ...] = ()
    deletes: bool = False


def of_type(resource: Json | None, type_: str) -> Json:
    """Return the resource when it is of the type that the URL names.

    Raises:
        BadRequest: no resource, or another type.
    """
    if resource is None:
        raise BadRequest(f"The body must be a {type_} resource.", code="structure")
    found = resource.get("resourceType")
    if found != type_:
        shown = found if isinstance(found, str) and found.isalnum() else "no resourceType"
        raise BadRequest(
            f"The URL names {type_}, the body holds {shown[:40]}.", code="invalid", expression="resourceType"
        )
    return resource


def create(
    call: Call, type_: str, payload: Payload, services: Services, conditions: Preconditions, *, id_: str | None = None
) -> Change:
    """Decide a create: 201, or 200 with what If-None-Exist found.

    Raises:
        PreconditionFailed: If-None-Exist found several.
    """
    offers(type_, "create")
    claims: tuple[Claim, ...] = ()
    if conditions.if_none_exist is not None:
        seen = services.store.sequence()
        found = criteria.matching(call, type_, conditions.if_none_exist, services)
        if len(found) > 1:
            raise PreconditionFailed("If-None-Exist matches several resources.", code="multiple-matches")
        if found:
            return Change("create", 200, unchanged=found[0], key=found[0].key, patient=found[0].patient)
        claims = (Claim(criteria.claim_key(type_, conditions.if_none_exist), seen),)
    resource, blob = _body(call, payload, type_, services)
    allowed = permit.to_write(call, "create", type_, None, resource, services)
    draft = Draft(type_, id_ or services.ids.resource(allowed.patient), resource, 0, "POST", blob)
    return Change(
        "create",
        201,
        draft=draft,
        patient=allowed.patient,
        claims=claims,
        key=Key(type_, draft.id),
        issues=(*checked(resource, services), *allowed.issues),
    )


def _body(call: Call, payload: Payload, type_: str, services: Services) -> tuple[Json, Blob | None]:
    if type_ == "Binary":
        return content_of_binary(payload, services, context=call.info.headers.get("x-security-context"))
    resource = of_type(payload.resource, type_)
    refuse_subset(resource)
    if type_ == "DocumentReference":
        relative(resource, call.info.base)
        resource = with_section(resource, services.documents.codes, services.documents.base)
    return resource, None


def update(call: Call, key: Key, payload: Payload, services: Services, conditions: Preconditions) -> Change:
    """Decide an update: 200, 201 when it makes the resource (or brings it back), or 200 unchanged."""
    offers(key.type, "update")
    authorise.need(call.caller, "u", key.type, services)
    if payload.resource is not None or key.type != "Binary":
        _same_id(of_type(payload.resource, key.type), key)
    current = _seen(call, key, services)
    _names_version(key, current, conditions)
    check_match(current, conditions)
    resource, blob = _body(call, payload, key.type, services)
    before = parse_stored(current.body) if current and not current.deleted else None
    allowed = permit.to_write(call, "update", key.type, before, resource, services, current=current)
    sent, resource = resource, allowed.resource or resource
    issues = (*checked(resource, services, stored=True, before=before), *allowed.issues)
    same_blob = (blob.sha256 if blob else None) == (current.blob if current else None)
    # Who sends what is stored changes nothing, whatever rules would add to it today.
    same = before is not None and (same_content(before, resource) or same_content(before, sent))
    if same and current is not None and same_blob:
        return Change("update", 200, unchanged=current, key=key, patient=allowed.patient, issues=issues)
    draft = Draft(key.type, key.id, resource, current.version if current else 0, "PUT", blob)
    status = 200 if before is not None else 201
    return Change(
        allowed.kind("update"),
        status,
        draft=draft,
        previous=current,
        patient=allowed.patient,
        issues=issues,
        key=key,
        details=allowed.details,
        deletes=_deletes(before, resource),
    )


def _deletes(before: Json | None, after: Json) -> bool:
    """Say whether a change deletes a document."""
    if before is None or after.get("resourceType") != "DocumentReference":
        return False
    return before.get("status") != DELETED == after.get("status")


def _seen(call: Call, key: Key, services: Services) -> Version | None:
    """Return the current version as far as the caller may know of it, before any answer that would tell of it."""
    current = services.store.read(key)
    if current is None or current.deleted:
        return current
    try:
        authorise.to_change(call, current, services)
    except Hidden:
        if key.type != "DocumentReference":
            raise
        return None  # nobody but an administrator makes one under an id of his own: refused in the same words
    return current


def _same_id(resource: Json, key: Key) -> None:
    if resource.get("id") != key.id:
        where = f"{key.type}.id"
        if "id" not in resource:
            raise BadRequest("An update needs the id in the body too.", code="invalid", expression=where)
        raise BadRequest("The id in the body is not the id in the URL.", code="invalid", expression=where)


def _names_version(key: Key, current: Version | None, conditions: Preconditions) -> None:
    """Check that a change of a type that is `versioned-update` says which version it was made on.

    Raises:
        BadRequest: required; with the current ETag.
    """
    stated = conditions.if_match is not None or conditions.if_match_any or conditions.if_none_match_any
    if key.type in VERSION_AWARE and current is not None and not (stated or conditions.waived):
        raise BadRequest(
            f"A change of a {key.type} needs If-Match with the version that it was made on; read it again.",
            code="required",
            expression="http.if-match",
            headers={"ETag": f'W/"{current.version}"'},
        )


def check_match(current: Version | None, conditions: Preconditions) -> None:
    """Apply If-Match and If-None-Match: * to the current version.

    Raises:
        PreconditionFailed: with the current ETag.
    """
    exists = current is not None and not current.deleted
    headers = {"ETag": f'W/"{current.version}"'} if current else {}
    if conditions.if_match_any and not exists:
        raise PreconditionFailed("If-Match: * needs an existing resource.", headers=headers)
    if conditions.if_match is not None and (
        current is None or not exists or current.version not in conditions.if_match
    ):
        raise PreconditionFailed(
            "The resource has another version than If-Match names; read it again.", headers=headers
        )
    if conditions.if_none_match_any and exists:
        raise PreconditionFailed("If-None-Match: * needs a free id, and this one is taken.", headers=headers)


def patch(call: Call, key: Key, payload: Payload, services: Services, conditions: Preconditions) -> Change:
    """Decide a patch: 200 with a new version, or 200 unchanged when it says what is already so."""
    precise = conditions.if_match is not None

    def patched(before: Json) -> Json:
        return patching.apply(before, payload, services, precise=precise)

    return rewritten(call, key, patched, services, conditions)


def rewritten(
    call: Call, key: Key, rewrite: Callable[[Json], Json], services: Services, conditions: Preconditions
) -> Change:
    """Decide a change that is made out of the current content: a patch, or an operation on one resource."""
    offers(key.type, "patch")
    authorise.need(call.caller, "u", key.type, services)
    current = services.store.read(key)
    if current is None:
        raise absent(key.type)
    authorise.to_change(call, current, services)
    if current.deleted:
        raise Gone(f"This {key.type} was deleted.", headers={"ETag": f'W/"{current.version}"'})
    _names_version(key, current, conditions)
    check_match(current, conditions)
    before = parse_stored(current.body)
    asked = rewrite(before)
    allowed = permit.to_write(call, "patch", key.type, before, asked, services, current=current)
    after = allowed.resource or asked
    issues = (*checked(after, services, stored=True, before=before), *allowed.issues)
    if same_content(before, after):
        return Change("patch", 200, unchanged=current, key=key, patient=allowed.patient, issues=issues)
    draft = Draft(key.type, key.id, after, current.version, "PATCH", None)
    return Change(
        allowed.kind("patch"),
        200,
        draft=draft,
        previous=current,
        patient=allowed.patient,
        issues=issues,
        key=key,
        details=allowed.details,
        deletes=_deletes(before, after),
    )


def delete(
    call: Call, key: Key, services: Services, conditions: Preconditions, *, leaving: frozenset[str] = frozenset()
) -> Change:
    """Decide a delete: 204 whether or not something was there (idempotent).

    leaving: resources (`Type/id`) whose references do not count, because the same commit deletes or rewrites them.
    """
    offers(key.type, "delete")
    authorise.need(call.caller, "d", key.type, services)
    current = services.store.read(key)
    if current is not None:
        authorise.to_change(call, current, services)
    check_match(current, conditions)
    if current is None or current.deleted:
        return Change("delete", 204, unchanged=current, key=key)
    before = parse_stored(current.body)
    allowed = permit.to_write(call, "delete", key.type, before, None, services, current=current)
    _unreferenced(call, key, leaving, services)
    return Change("delete", 204, deletion=current, previous=current, patient=allowed.patient, key=key)


def _unreferenced(call: Call, key: Key, leaving: frozenset[str], services: Services) -> None:
    """Refuse to delete what other current resources point at.

    Raises:
        Conflict: naming up to ten of them, those that the caller may see.
    """
    users = [name for name in criteria.referring(key, services, limit=10 + len(leaving)) if name not in leaving][:10]
    if users:
        raise Conflict(f"{criteria.said_of(users, call, services)} Delete or change them first.")


def conditional(call: Call, type_: str, query: str, services: Services) -> Version | None:
    """Return the one resource that a conditional request means, None when nothing matches.

    Raises:
        PreconditionFailed: several match.
    """
    found = criteria.matching(call, type_, query, services)
    if len(found) > 1:
        raise PreconditionFailed("The criteria match several resources.", code="multiple-matches")
    return found[0] if found else None


def free(key: Key, services: Services) -> None:
    """Check that a conditional update that matched nothing may make a resource with the id that its body gives.

    Raises:
        Conflict: another resource has the id.
    """
    current = services.store.read(key)
    if current is not None and not current.deleted:
        raise Conflict(
            "The id in the body belongs to a resource that the criteria do not match.", expression=f"{key.type}.id"
        )


def conditional_update(
    call: Call, type_: str, query: str, payload: Payload, services: Services, conditions: Preconditions
) -> Change:
    """Decide `PUT [type]?criteria` by the table of fhir-rest 4.5."""
    offers(type_, "update")
    resource = of_type(payload.resource, type_)
    body_id = resource.get("id")
    seen = services.store.sequence()
    match = conditional(call, type_, query, services)
    if match is not None:
        if body_id not in (None, match.id):
            raise BadRequest("The criteria match another id than the body's.", code="invalid", expression=f"{type_}.id")
        named = replace(payload, resource={**resource, "id": match.id})
        return update(call, match.key, named, services, conditions)
    claim = Claim(criteria.claim_key(type_, query), seen)
    if body_id is None:
        check_match(None, conditions)
        made = create(call, type_, payload, services, Preconditions())
        return replace(made, claims=(*made.claims, claim))
    if not (isinstance(body_id, str) and is_id(body_id)):
        raise BadRequest("The id in the body is not a FHIR id.", code="value", expression=f"{type_}.id")
    free(Key(type_, body_id), services)
    if not PUT_MAKES:
        raise MethodNotAllowed("Ids are given by the server; use POST.", headers={"Allow": "POST"})
    made = update(call, Key(type_, body_id), payload, services, conditions)
    return replace(made, claims=(*made.claims, claim))
