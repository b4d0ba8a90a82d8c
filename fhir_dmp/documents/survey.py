"""What has to be read before a submission can be decided, and what was found. Two rounds: names first, then targets.

The survey is generous: it asks for everything that may be referred to and judges nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass, field

from fhir_dmp.cda.header import Header
from fhir_dmp.documents.authors import author_references
from fhir_dmp.documents.links import conditional, identifier_query, link_values, literal, uuid_id
from fhir_dmp.documents.metadata import identifier_of, unique_key, uniques
from fhir_dmp.documents.slices import Entry, Slice, entries_of
from fhir_dmp.fhir.draft import Blob
from fhir_dmp.fhir.elements import contained_of, object_of, objects_of, text_of
from fhir_dmp.fhir.held import Held
from fhir_dmp.fhir.resource import Json
from fhir_dmp.patients.dossier import Status
from fhir_dmp.patients.ins import every_ins, ins_in


@dataclass(frozen=True, slots=True)
class Needs:
    """What to read: current resources by (type, id), holders of unique business keys, and searches `Type?query`.

    Of a search at most two results matter, but for folders (`List`), which all matter.
    """

    keys: frozenset[tuple[str, str]] = frozenset()
    uniques: frozenset[str] = frozenset()
    criteria: frozenset[str] = frozenset()

    def __or__(self, other: Needs) -> Needs:
        """Return the union of two needs."""
        return Needs(self.keys | other.keys, self.uniques | other.uniques, self.criteria | other.criteria)


@dataclass(frozen=True, slots=True)
class Gathered:
    """What was read. Deleted resources, and those that the caller must not know of, are left out of held and found.

    held: by `Type/id`. holders: by unique key. found: by criterion, in no particular order. statuses: state of the
    dossier by `Patient/id`. blobs: content by entry index (0 for ITI-105); headers: of those contents that are CDA.
    hidden: references among the holders that the caller must not know of: their key is in use, but nothing can be
    resolved to them.
    """

    held: Mapping[str, Held] = field(default_factory=dict)
    holders: Mapping[str, Held] = field(default_factory=dict)
    found: Mapping[str, tuple[Held, ...]] = field(default_factory=dict)
    statuses: Mapping[str, Status] = field(default_factory=dict)
    blobs: Mapping[int, Blob] = field(default_factory=dict)
    headers: Mapping[int, Header] = field(default_factory=dict)
    hidden: frozenset[str] = frozenset()

    def holder(self, key: str) -> Held | None:
        """Return who holds a unique key, None when nobody does or the caller must not know."""
        held = self.holders.get(key)
        return None if held is None or held.reference in self.hidden else held

    def patients(self) -> dict[str, Held]:
        """Return every Patient among what was read, by reference: those whose dossier status is needed."""
        every = (*self.held.values(), *self.holders.values(), *(h for part in self.found.values() for h in part))
        return {held.reference: held for held in every if held.type == "Patient"}

    def known(self) -> dict[str, Json]:
        """Return what was read by literal reference, to resolve authors that are not contained."""
        return {reference: held.resource for reference, held in self.held.items()}


def survey(bundle: Json, *, fhir_base: str) -> Needs:
    """Return what the first round has to read for a provide-document bundle."""
    entries, _ = entries_of(bundle)
    own = {entry.full_url for entry in entries if entry.full_url}
    needs = Needs()
    for entry in entries:
        needs |= _entry_needs(entry, own, fhir_base)
    return needs


def survey_document(docref: Json, if_none_exist: str | None, *, fhir_base: str) -> Needs:
    """Return what the first round has to read for a simplified publication (ITI-105)."""
    entry = Entry(0, Slice.DOCUMENT, docref, "POST", "DocumentReference", None, if_none_exist)
    return _entry_needs(entry, set(), fhir_base)


def survey_targets(needs: Needs, gathered: Gathered) -> Needs:
    """Return what the second round has to read: what surrounds the documents that may be replaced.

    Folders that hold them, the current successor of those that are superseded already, and the identities behind
    authors that are resources of this server.
    """
    criteria = set()
    for held in documents_among(needs, gathered):
        criteria.add(folders_of(held))
        if held.resource.get("status") == "superseded":
            criteria.add(successors_of(held))
    return Needs(frozenset(_identities_behind(gathered)), frozenset(), frozenset(criteria))


def _identities_behind(gathered: Gathered) -> Iterator[tuple[str, str]]:
    """Yield the person and the structure that authors kept on this server (PractitionerRole) refer to."""
    for held in gathered.held.values():
        if held.type == "PractitionerRole":
            for name in ("practitioner", "organization"):
                text = text_of(object_of(held.resource.get(name)).get("reference"))
                pair = literal(text, "") if text else None
                if pair is not None:
                    yield pair


def documents_among(needs: Needs, gathered: Gathered) -> Iterator[Held]:
    """Yield the documents that the first round found by reference or criterion."""
    for type_, id_ in sorted(needs.keys):
        held = gathered.held.get(f"{type_}/{id_}")
        if held is not None and type_ == "DocumentReference":
            yield held
    for criterion in sorted(needs.criteria):
        yield from (held for held in gathered.found.get(criterion, ()) if held.type == "DocumentReference")
    for key in sorted(needs.uniques):
        holder = gathered.holder(key)
        if holder is not None and holder.type == "DocumentReference":
            yield holder


def folders_of(held: Held) -> str:
    """Return the criterion of the current folders that hold a document."""
    return f"List?code=folder&status=current&item={held.reference}"


def successors_of(held: Held) -> str:
    """Return the criterion of the current documents that replace a document."""
    return f"DocumentReference?status=current&relatesto={held.reference}"


def _entry_needs(entry: Entry, own: Set[str], fhir_base: str) -> Needs:
    resource = entry.resource
    needs = Needs(uniques=frozenset(uniques(resource)))
    if entry.slice in (Slice.CONTENT, Slice.FHIR_DOCUMENT):
        needs = Needs()
    if entry.if_none_exist:
        needs |= Needs(criteria=frozenset((f"{resource.get('resourceType')}?{entry.if_none_exist}",)))
    if entry.slice in (Slice.PATCH, Slice.OLD_REPLACEMENT, Slice.FOLDER_UPDATE, Slice.PATIENT):
        needs |= _named(entry.url, fhir_base)
    if entry.slice in (Slice.DOCUMENT, Slice.SUBMISSION_SET, Slice.NEW_FOLDER, Slice.FOLDER_UPDATE):
        needs |= _subject_needs(resource) | _reference_needs(resource, own, fhir_base)
    return needs


def _named(text: str, fhir_base: str) -> Needs:
    """Return what a reference to this server needs."""
    pair = literal(text, fhir_base)
    if pair is not None:
        return Needs(keys=frozenset((pair,)))
    query = conditional(text, fhir_base)
    if query is None:
        return Needs()
    identifier = identifier_query(query[1])
    if identifier is not None and query[0] in ("Patient", "DocumentReference"):
        return _business(query[0], identifier)
    return Needs(criteria=frozenset((f"{query[0]}?{query[1]}",)))


def _business(type_: str, identifier: tuple[str, str]) -> Needs:
    """A business identifier is a unique key, or (for documents) the entryUUID made of the logical id."""
    id_ = uuid_id(identifier) if type_ == "DocumentReference" else None
    keys = frozenset(((type_, id_),)) if id_ else frozenset[tuple[str, str]]()
    return Needs(keys, frozenset((unique_key(type_, identifier),)))


def _subject_needs(resource: Json) -> Needs:
    """A subject may also be a logical or a contained Patient."""
    subject = object_of(resource.get("subject"))
    stated = [ins for ins in (ins_in(object_of(subject.get("identifier"))),) if ins is not None]
    target = text_of(subject.get("reference")) or ""
    if target.startswith("#"):
        stated.extend(every_ins(contained_of(resource).get(target[1:], {})))
    return Needs(uniques=frozenset(unique_key("Patient", ins) for ins in stated))


def _reference_needs(resource: Json, own: Set[str], fhir_base: str) -> Needs:
    needs = Needs()
    authors = set(author_references(resource))
    for text, path in link_values(resource, ""):
        if text.startswith("#") or text in own:
            continue
        named = text in authors or path.startswith((".subject", ".relatesTo", ".entry"))
        if named or conditional(text, fhir_base) is not None:
            needs |= _named(text, fhir_base)
    for relation in objects_of(resource.get("relatesTo")):
        pair = identifier_of(object_of(relation.get("target")).get("identifier"))
        if pair is not None:
            needs |= _business("DocumentReference", pair)
    return needs
