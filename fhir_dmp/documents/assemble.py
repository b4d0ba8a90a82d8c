"""From a submission that passed every check to the versions to store. Nothing is refused here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from fhir_dmp.documents import of_cda
from fhir_dmp.documents.case import Case
from fhir_dmp.documents.checks import updated_folder
from fhir_dmp.documents.links import Resolve, resolver, rewrite
from fhir_dmp.documents.metadata import attachment_of, with_entry_uuid
from fhir_dmp.documents.replace import (
    REPLACES,
    Relation,
    find_document,
    followed_folders,
    inherited_labels,
    superseded,
    with_item,
)
from fhir_dmp.documents.slices import Entry, Slice
from fhir_dmp.documents.subjects import Subject
from fhir_dmp.documents.written import finished, with_custodian, with_subject
from fhir_dmp.errors import Issue
from fhir_dmp.fhir.draft import Draft
from fhir_dmp.fhir.elements import text_of
from fhir_dmp.fhir.held import Held
from fhir_dmp.fhir.resource import Json


@dataclass(frozen=True, slots=True)
class Stored:
    """A stored resource that answers an entry without being written."""

    type: str
    id: str
    version: int | None


@dataclass(frozen=True, slots=True)
class Built:
    """drafts: what to write. stored: what answers the entries that write nothing. issues: warnings."""

    drafts: tuple[Draft, ...]
    stored: Mapping[int, Stored]
    issues: tuple[Issue, ...]


@dataclass(slots=True)
class _Work:
    """What accumulates while the entries are built, in their order."""

    drafts: list[Draft] = field(default_factory=list)
    stored: dict[int, Stored] = field(default_factory=dict)
    issues: list[Issue] = field(default_factory=list)


def build(
    case: Case, subject: Subject, found: Sequence[Relation], patches: Mapping[str, Entry], links: Mapping[str, str]
) -> Built:
    """Return the drafts of a submission. `links`: every fullUrl, conditional reference and `entry:<i>` -> `Type/id`."""
    work = _Work()
    owners = _owners(case, links)
    for entry in case.entries:
        if entry.index in case.existing:
            work.stored[entry.index] = _held(case.existing[entry.index])
        elif entry.slice in (Slice.CONTENT, Slice.FHIR_DOCUMENT):
            _content(entry, case, links, owners, work)
        elif entry.slice is Slice.DOCUMENT:
            _document(entry, case, subject, [one for one in found if one.entry is entry], links, work)
        elif entry.slice is Slice.PATIENT:
            work.stored[entry.index] = _held(subject.held)
        elif entry.slice in (Slice.PATCH, Slice.OLD_REPLACEMENT):
            held = find_document(entry.url, case.gathered, case.rules)
            if held is not None and entry not in patches.values():
                work.stored[entry.index] = _held(held)
        else:
            _list(entry, case, subject, links, work)
    _supersede(case, found, patches, links, work)
    return Built(tuple(work.drafts), work.stored, tuple(work.issues))


def _held(held: Held) -> Stored:
    return Stored(held.type, held.id, held.version)


def _split(reference: str) -> tuple[str, str]:
    type_, _, id_ = reference.partition("/")
    return type_, id_


def _resolve(entry: Entry, case: Case, links: Mapping[str, str]) -> Resolve:
    return resolver(links, case.rules.fhir_base, entry.full_url)


def _owners(case: Case, links: Mapping[str, str]) -> dict[int, tuple[str, Held | None]]:
    """Return, for each content, the document that it belongs to: a new one rather than one that exists already."""
    found: dict[int, tuple[str, Held | None]] = {}
    for entry in case.of(Slice.DOCUMENT):
        content = case.content_of(entry)
        if content is None:
            continue
        existing = case.existing.get(entry.index)
        known = found.get(content.entry.index)
        if known is None or (known[1] is not None and existing is None):
            found[content.entry.index] = (links[f"entry:{entry.index}"], existing)
    return found


def _content(
    entry: Entry,
    case: Case,
    links: Mapping[str, str],
    owners: Mapping[int, tuple[str, Held | None]],
    work: _Work,
) -> None:
    """A content that only documents already stored refer to is theirs already: it is not stored twice."""
    owner, existing = owners.get(entry.index, (None, None))
    if existing is not None:
        url = text_of(attachment_of(existing.resource).get("url")) or ""
        type_, id_ = _split(url)
        if id_:
            work.stored[entry.index] = Stored(type_, id_, None)
            return
    type_, id_ = _split(links[f"entry:{entry.index}"])
    resource = {key: part for key, part in entry.resource.items() if key != "data"}
    if type_ == "Binary" and owner is not None:
        resource["securityContext"] = {"reference": owner}
    blob = case.gathered.blobs.get(entry.index) if type_ == "Binary" else None
    work.drafts.append(Draft(type_, id_, resource, blob=blob, entry=entry.index))


def _document(
    entry: Entry, case: Case, subject: Subject, own: Sequence[Relation], links: Mapping[str, str], work: _Work
) -> None:
    _, id_ = _split(links[f"entry:{entry.index}"])
    resource: Json = rewrite(entry.resource, _resolve(entry, case, links))
    resource = of_cda.completed(resource, case.cda_of(entry), case.rules.codes)
    resource, filled = with_custodian(with_subject(resource, subject), case.rules, entry.place)
    inherited: list[Json] = []
    for one in own:
        if one.code == REPLACES and one.target is not None:
            inherited, warned = inherited_labels(resource, one.target, entry.place)
            work.issues += warned
    content = case.content_of(entry)
    blob = content.blob if content is not None and not content.is_fhir_document else None
    work.issues += filled
    work.drafts.append(
        Draft("DocumentReference", id_, finished(resource, id_, blob, inherited, own, case.rules), entry=entry.index)
    )


def _list(entry: Entry, case: Case, subject: Subject, links: Mapping[str, str], work: _Work) -> None:
    resource = with_subject(rewrite(entry.resource, _resolve(entry, case, links)), subject)
    if entry.slice is Slice.FOLDER_UPDATE:
        held = updated_folder(entry, case)
        complete = with_entry_uuid(resource, held.id)
        work.drafts.append(Draft("List", held.id, complete, held.version, "PUT", entry=entry.index))
        return
    _, id_ = _split(links[f"entry:{entry.index}"])
    work.drafts.append(Draft("List", id_, with_entry_uuid(resource, id_), entry=entry.index))


def _supersede(
    case: Case, found: Sequence[Relation], patches: Mapping[str, Entry], links: Mapping[str, str], work: _Work
) -> None:
    """Supersede each replaced document, and let its successor join the folders that hold it."""
    for one in found:
        if one.code != REPLACES or one.target is None:
            continue
        held = one.target
        patch = patches.get(held.id)
        if patch is None:
            text = "The replaced document was superseded by the server; the submission holds no patch for it."
            work.issues.append(Issue("informational", text, severity="information", expression=(one.place,)))
        method = "PUT" if patch is not None and patch.slice is Slice.OLD_REPLACEMENT else "PATCH"
        work.drafts.append(
            Draft(held.type, held.id, superseded(held), held.version, method, entry=patch.index if patch else None)
        )
        join_folders(held, links[f"entry:{one.entry.index}"], case, work.drafts)


def join_folders(held: Held, successor: str, case: Case, drafts: list[Draft]) -> None:
    """Complete every current folder that holds X with Y, on top of what the submission changes in it already."""
    for folder, resource in followed_folders(held, successor, case.gathered):
        position = next((i for i, one in enumerate(drafts) if (one.type, one.id) == ("List", folder.id)), None)
        if position is None:
            drafts.append(Draft("List", folder.id, resource, folder.version, "PUT"))
        else:
            one = drafts[position]
            updated = with_item(one.resource, successor)
            drafts[position] = Draft(one.type, one.id, updated, one.current, one.method, one.blob, one.entry)
