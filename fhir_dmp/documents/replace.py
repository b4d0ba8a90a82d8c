"""Relations between documents: `relatesTo`, the supersession of a replaced document, folders that follow.

X is the stored document, Y the new one. [dmp-fhir 3.3]
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

from fhir_dmp.documents.authors import is_author
from fhir_dmp.documents.labels import labels_of
from fhir_dmp.documents.links import conditional, identifier_query, literal, relative, uuid_id
from fhir_dmp.documents.metadata import identifier_of, unique_key
from fhir_dmp.documents.rules import Rules
from fhir_dmp.documents.slices import Entry
from fhir_dmp.documents.subjects import Subject
from fhir_dmp.documents.survey import Gathered, folders_of, successors_of
from fhir_dmp.errors import Conflict, DmpError, Forbidden, Issue, Unprocessable
from fhir_dmp.fhir.elements import codings_of, object_of, objects_of, text_of
from fhir_dmp.fhir.held import Held
from fhir_dmp.fhir.resource import Json, same_content
from fhir_dmp.identity.caller import Caller
from fhir_dmp.terminology.aliases import TRE_A07_VISIBILITY, canonical_system

REPLACES = "replaces"


@dataclass(frozen=True, slots=True)
class Relation:
    """One relatesTo of a new document. target: the stored document; own: the target is another entry's fullUrl."""

    entry: Entry
    position: int
    code: str
    target: Held | None
    own: bool

    @property
    def place(self) -> str:
        """FHIRPath of the target."""
        return f"{self.entry.place}.relatesTo[{self.position}].target"


def find_document(text: str, gathered: Gathered, rules: Rules) -> Held | None:
    """Return the stored document that a literal, absolute or conditional reference designates."""
    pair = literal(text, rules.fhir_base)
    if pair is not None:
        return gathered.held.get(f"{pair[0]}/{pair[1]}") if pair[0] == "DocumentReference" else None
    query = conditional(text, rules.fhir_base)
    if query is None or query[0] != "DocumentReference":
        return None
    identifier = identifier_query(query[1])
    if identifier is not None:
        return _by_identifier(identifier, gathered)
    matches = gathered.found.get(f"{query[0]}?{query[1]}", ())
    return matches[0] if len(matches) == 1 else None


def _by_identifier(identifier: tuple[str, str], gathered: Gathered) -> Held | None:
    """By uniqueId, or by the entryUUID that this server made of the logical id."""
    holder = gathered.holder(unique_key("DocumentReference", identifier))
    id_ = uuid_id(identifier)
    return holder or (gathered.held.get(f"DocumentReference/{id_}") if id_ else None)


def relations(entries: Sequence[Entry], own: Mapping[str, str], gathered: Gathered, rules: Rules) -> list[Relation]:
    """Return every relatesTo of the new documents. `own`: fullUrls of the bundle."""
    found = []
    for entry in entries:
        for position, relation in enumerate(objects_of(entry.resource.get("relatesTo"))):
            target = object_of(relation.get("target"))
            text = text_of(target.get("reference"))
            identifier = identifier_of(target.get("identifier"))
            held = find_document(text, gathered, rules) if text else None
            if held is None and text is None and identifier is not None:
                held = _by_identifier(identifier, gathered)
            found.append(Relation(entry, position, str(relation.get("code")), held, text in own))
    return found


def relation_issues(
    found: Sequence[Relation], subject: Subject, caller: Caller, gathered: Gathered, rules: Rules
) -> list[Issue]:
    """Check every relation; return warnings.

    Raises:
        Unprocessable: cible-inconnue, patient-discordant, transition-interdite, or two replacements in one document.
        Conflict: cible-deja-remplacee.
        Forbidden: pas-auteur.
    """
    _one_replacement_each(found, rules)
    warnings: list[Issue] = []
    replaced: set[str] = set()
    for relation in found:
        if relation.own and relation.code != REPLACES:
            continue
        if relation.target is None:
            warnings.append(_unknown(relation, rules))
            continue
        if object_of(relation.target.resource.get("subject")).get("reference") != subject.reference:
            raise Unprocessable(
                "The target belongs to another patient.",
                expression=relation.place,
                details=rules.erreur("patient-discordant", "XDSPatientIdDoesNotMatch"),
            )
        if relation.code == REPLACES:
            fault = replacement_fault(relation, caller, subject, gathered, rules, replaced)
            if fault is not None:
                raise fault
            replaced.add(relation.target.id)
    return warnings


def _unknown(relation: Relation, rules: Rules) -> Issue:
    details = rules.erreur("cible-inconnue", "XDSUnreferencedObjectException")
    text = "The target of this relation is not known here."
    if relation.own or not rules.absent_targets:
        raise Unprocessable(text, code="not-found", expression=relation.place, details=details)
    return Issue("not-found", text, severity="warning", expression=(relation.place,), details=details)


def _one_replacement_each(found: Sequence[Relation], rules: Rules) -> None:
    seen: set[int] = set()
    for relation in found:
        if relation.code == REPLACES:
            if relation.entry.index in seen:
                raise Unprocessable(
                    "A document replaces one document only.",
                    code="business-rule",
                    expression=f"{relation.entry.place}.relatesTo[{relation.position}]",
                    details=rules.erreur("transition-interdite"),
                )
            seen.add(relation.entry.index)


def replacement_fault(
    relation: Relation, caller: Caller, subject: Subject, gathered: Gathered, rules: Rules, replaced: set[str]
) -> DmpError | None:
    """Return why X cannot be replaced: its status, a successor, or a caller who is not its author."""
    held = relation.target
    assert held is not None  # checked by the caller
    status = held.resource.get("status")
    if status == "entered-in-error":
        return Unprocessable(
            "A deleted document cannot be replaced.",
            code="business-rule",
            expression=relation.place,
            details=rules.erreur("transition-interdite"),
        )
    if status == "superseded" or held.id in replaced:
        current = [one.reference for one in gathered.found.get(successors_of(held), ())]
        hint = f"; its current version is {current[0]}" if current else ""
        return Conflict(
            f"The target is superseded already{hint}.",
            expression=relation.place,
            details=rules.erreur("cible-deja-remplacee"),
        )
    if not caller.is_admin and not is_author(caller, held.resource, subject.every, gathered.known()):
        return Forbidden(
            "Only an author of a document, or somebody acting for the authoring structure, replaces it.",
            expression=relation.place,
            details=rules.erreur("pas-auteur"),
        )
    return None


def is_superseding_patch(parameters: Json) -> bool:
    """Say whether a FHIRPath Patch is the one of a replacement: status becomes superseded, parts in any order."""
    operations = objects_of(parameters.get("parameter"))
    if len(operations) != 1 or operations[0].get("name") != "operation":
        return False
    parts: dict[str, Any] = {}
    for part in objects_of(operations[0].get("part")):
        values = [value for key, value in part.items() if key.startswith("value")]
        name = str(part.get("name"))
        if name in parts or len(values) != 1:
            return False
        parts[name] = values[0]
    return parts == {"type": "replace", "path": "DocumentReference.status", "value": "superseded"}


def superseded(held: Held) -> Json:
    """Return X as it is stored once it has been replaced."""
    return {**held.resource, "status": "superseded"}


def is_superseding_update(sent: Json, held: Held, fhir_base: str) -> bool:
    """Say whether a full update of X changes nothing but its status, to superseded (the old form of the patch)."""
    before, after = ({**resource, "status": "current"} for resource in (held.resource, sent))
    return sent.get("status") == "superseded" and same_content(
        _localised(before, fhir_base), _localised(after, fhir_base)
    )


def _localised(value: Any, fhir_base: str) -> Any:
    """Absolute URLs of this server are what it shows; it stores relative ones."""
    if isinstance(value, str):
        return relative(value, fhir_base)
    if isinstance(value, list):
        return [_localised(part, fhir_base) for part in value]
    if isinstance(value, dict):
        return {key: _localised(part, fhir_base) for key, part in value.items()}
    return value


def inherited_labels(docref: Json, held: Held, place: str) -> tuple[list[Json], list[Issue]]:
    """Return the visibility labels that Y takes over from X, with a warning.

    All of them, unless Y carries a code of that system itself.
    """
    own = any(
        canonical_system(system or "") == TRE_A07_VISIBILITY for system, _ in codings_of(docref.get("securityLabel"))
    )
    old = [label.concept for label in labels_of(held.resource) if label.kind == "visibility"]
    if own or not old:
        return [], []
    text = "The visibility labels of the replaced document were carried over."
    return old, [Issue("informational", text, severity="warning", expression=(f"{place}.securityLabel",))]


def followed_folders(held: Held, successor: str, gathered: Gathered) -> Iterator[tuple[Held, Json]]:
    """Yield (folder, new content) for each current folder that holds X: Y joins it."""
    for folder in gathered.found.get(folders_of(held), ()):
        yield folder, with_item(folder.resource, successor)


def with_item(folder: Json, reference: str) -> Json:
    """Return a folder that holds this document too."""
    entries = objects_of(folder.get("entry"))
    if any(object_of(entry.get("item")).get("reference") == reference for entry in entries):
        return folder
    return {**folder, "entry": [*entries, {"item": {"reference": reference}}]}


def without_items(folder: Json, references: Set[str]) -> Json:
    """Return a folder that no longer holds these documents."""
    entries = objects_of(folder.get("entry"))
    kept = [one for one in entries if object_of(one.get("item")).get("reference") not in references]
    bare = {key: part for key, part in folder.items() if key != "entry"}
    return {**bare, "entry": kept} if kept else bare
