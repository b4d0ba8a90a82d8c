"""What the two ways to publish documents share: gathering what a submission refers to, and answering with it.

The decision itself is pure (documents.submission, documents.publish).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from fhir_dmp.access.decision import Op
from fhir_dmp.access.document import document_facts
from fhir_dmp.access.refusal import refusal
from fhir_dmp.access.writing import Change, may_write
from fhir_dmp.cda.header import Header, read_header
from fhir_dmp.documents.metadata import CDA_TYPE, media_type
from fhir_dmp.documents.survey import Gathered, Needs, survey_targets
from fhir_dmp.errors import DmpError
from fhir_dmp.fhir.draft import Blob, Draft
from fhir_dmp.fhir.elements import text_of
from fhir_dmp.fhir.held import Held
from fhir_dmp.fhir.resource import parse_stored
from fhir_dmp.interactions import authorise, gather, granular, known, scoping
from fhir_dmp.interactions.criteria import LOOKED_AT, criterion
from fhir_dmp.interactions.exchange import Call
from fhir_dmp.interactions.folders import MOST
from fhir_dmp.interactions.services import Services
from fhir_dmp.ports import Key, Version
from fhir_dmp.search.query import Search


def gathered(
    call: Call, needs: Needs, blobs: Mapping[int, Blob], media_types: Mapping[int, object], services: Services
) -> Gathered:
    """Read what the survey asks for, in two rounds: what is named, then what surrounds the targets.

    blobs, media_types: of each content, by the index of its entry.
    """
    headers = {
        index: header
        for index, blob in blobs.items()
        if media_type(text_of(media_types.get(index))) == CDA_TYPE and (header := _header(blob, services)) is not None
    }
    first = _round(call, needs, Gathered(blobs=blobs, headers=headers), services)
    second = _round(call, survey_targets(needs, first), first, services)
    statuses = {reference: gather.facts_of(reference, services).dossier for reference in second.patients()}
    return replace(second, statuses=statuses)


def _header(blob: Blob, services: Services) -> Header | None:
    """Return the header of a CDA, None of any other XML: that is stored as it is."""
    data = blob.data if blob.data is not None else b"".join(services.store.blobs.read(blob.sha256))
    try:
        return read_header(data)
    except DmpError:
        return None


def within_scopes(call: Call, drafts: Iterable[Draft], services: Services) -> None:
    """Check that the constraints of the token's scopes, if they have any, cover what a submission creates.

    Raises:
        Forbidden: something lies outside.
    """
    for draft in drafts:
        # The submission set of ITI-105 is the server's own: nobody needs a scope for it.
        asked = draft.type == "DocumentReference" or (draft.type == "List" and draft.entry is not None)
        if asked and draft.current == 0 and not granular.covers_content(call.caller, "c", draft.resource, services):
            raise granular.insufficient("c", draft.type)


def _round(call: Call, needs: Needs, known: Gathered, services: Services) -> Gathered:
    keys = [Key(type_, id_) for type_, id_ in needs.keys if f"{type_}/{id_}" not in known.held]
    read = services.store.read_many(keys) if keys else {}
    held = {str(key): _held(version) for key, version in read.items() if _known_to(call, version, services)}
    holding = {unique: version for unique in needs.uniques if (version := _holder(unique, services)) is not None}
    hidden = {str(version.key) for version in holding.values() if not _known_to(call, version, services)}
    holders = {unique: _held(version) for unique, version in holding.items()}
    found = {text: tuple(_searched(call, text, services)) for text in needs.criteria if text not in known.found}
    return replace(
        known,
        held={**known.held, **held},
        holders={**known.holders, **holders},
        found={**known.found, **found},
        hidden=known.hidden | hidden,
    )


def _held(version: Version) -> Held:
    return Held(version.type, version.id, version.version, parse_stored(version.body))


def _known_to(call: Call, version: Version, services: Services) -> bool:
    """Say whether a target may be known to the caller: not deleted, and no document hidden by a label."""
    if version.deleted:
        return False
    if version.type != "DocumentReference" or call.caller.is_admin:
        return True
    return known.may_know(call.caller, version, Op.REPLACE, services)


def _holder(unique: str, services: Services) -> Version | None:
    key = services.store.holder(unique)
    version = services.store.read(key) if key else None
    return version if version and not version.deleted else None


def _searched(call: Call, text: str, services: Services) -> Iterable[Held]:
    """Answer a criterion `Type?query` with current resources that the caller may know of: at most two, but all folders.

    Two tell that a criterion is not precise; every folder that holds a replaced document is completed.
    """
    type_, _, query = text.partition("?")
    looked_at, wanted = (MOST, MOST) if type_ == "List" else (LOOKED_AT, 2)
    parsed = criterion(type_, query, services)
    node = parsed.node
    if not call.caller.is_admin:
        node = scoping.restricted(call.caller, node, tuple(scoping.searched(parsed, None, services)), services)
    page = services.store.search(Search(types=(type_,), node=node, count=looked_at))
    return [_held(version) for version in page.versions if _known_to(call, version, services)][:wanted]


def may_feed(call: Call, patient: str, services: Services) -> None:
    """Decide on feeding the record of `Patient/id`: open, no opposition, caller not blocked.

    Raises:
        Forbidden: the reason the caller may know.
    """
    authorise.entered(call.caller, Op.CREATE, patient, services, documents=True)


def may_deposit(call: Call, patient: str, drafts: Iterable[Draft], services: Services) -> None:
    """Decide on each new document: its labels, its producer, what a patient may deposit (W1, W2).

    Raises:
        Forbidden, Unprocessable: with the reason.
    """
    decision, facts = gather.decided(call.caller, Op.CREATE, patient, services, documents=True)
    for draft in drafts:
        if draft.type != "DocumentReference" or draft.current:
            continue
        wanted = Change(Op.CREATE, after=document_facts(draft.resource))
        judged = may_write(call.caller, decision, wanted, facts, services.access)
        if not judged.permitted:
            raise refusal(judged, services.canonical, draft.type)


def all_versions(drafts: Iterable[Draft], services: Services) -> dict[Key, Version]:
    """Return the stored versions that drafts build upon, for their times."""
    keys = [Key(draft.type, draft.id) for draft in drafts if draft.current]
    return services.store.read_many(keys) if keys else {}
