"""Who wrote a document, as canonical identifiers, and whether a caller may sign it or act as its author.

Authorship is any author or authenticator identifier equal to the caller's, or to the caller's structure.
[dmp-fhir 4.7, security W1 to W3]
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType

from fhir_dmp.documents.metadata import Identifier, identifier_of
from fhir_dmp.documents.rules import Rules
from fhir_dmp.errors import Forbidden, Issue
from fhir_dmp.fhir.elements import contained_of, extensions_of, object_of, objects_of, text_of
from fhir_dmp.fhir.resource import Json
from fhir_dmp.identity.caller import Actor, Caller
from fhir_dmp.terminology.aliases import PROFESSIONAL, STRUCTURE
from fhir_dmp.terminology.numbers import has_rpps_key
from fhir_dmp.terminology.sharing import AUTHOR_ORGANISATION

_CITIZENS = (Actor.PATIENT, Actor.REPRESENTATIVE, Actor.DELEGATE)
#: Elements of an author resource that refer to further identities.
_FURTHER = ("practitioner", "organization", "owner", "patient", "managingOrganization")
#: First digit of an internal identifier (PSIdNat) -> first digit of its structure (StructIdNat).
_INTERNAL = {"3": "1", "4": "2", "5": "3"}

NOBODY: Mapping[str, Json] = MappingProxyType({})


def authors(docref: Json, known: Mapping[str, Json] = NOBODY) -> frozenset[Identifier]:
    """Return the canonical identifiers of every author and authenticator: persons, devices, structures, patients.

    known: resources of the server by literal reference (`Practitioner/x`), for authors that are not contained.
    """
    references = [*objects_of(docref.get("author")), *objects_of(docref.get("authenticator"))]
    return frozenset(_all_identities(docref, references, known))


def sources(list_: Json, known: Mapping[str, Json] = NOBODY) -> frozenset[Identifier]:
    """Return the canonical identifiers of the source of a submission set and of its organisation."""
    return frozenset(_all_identities(list_, objects_of(list_.get("source")), known))


def author_references(docref: Json) -> Iterator[str]:
    """Yield the literal references of authors and authenticators that are not contained."""
    for reference in (*objects_of(docref.get("author")), *objects_of(docref.get("authenticator"))):
        target = text_of(reference.get("reference"))
        if target is not None and not target.startswith("#"):
            yield target


def _all_identities(resource: Json, references: Iterable[Json], known: Mapping[str, Json]) -> Iterator[Identifier]:
    inside = contained_of(resource)
    seen: set[str] = set()
    pending = list(references)
    while pending:
        reference = pending.pop()
        pair = identifier_of(reference.get("identifier"))
        if pair is not None:
            yield from _with_structure(pair)
        for extension in extensions_of(reference, AUTHOR_ORGANISATION):
            pending.extend(objects_of(extension.get("valueReference")))
        target = text_of(reference.get("reference"))
        if target is None or target in seen:
            continue
        seen.add(target)
        person = inside.get(target[1:]) if target.startswith("#") else known.get(target)
        if person is not None:
            for identifier in objects_of(person.get("identifier")):
                found = identifier_of(identifier)
                if found is not None:
                    yield from _with_structure(found)
            pending.extend(object_of(person.get(name)) for name in _FURTHER)


def _with_structure(pair: Identifier) -> Iterator[Identifier]:
    """An identifier made of a structure's number and an internal one names the structure too."""
    yield pair
    system, value = pair
    if system == PROFESSIONAL and value[:1] in _INTERNAL and "/" in value:
        yield STRUCTURE, _INTERNAL[value[0]] + value[1 : value.index("/")]


def identities_of(caller: Caller, patient_ins: Iterable[Identifier] = ()) -> frozenset[Identifier]:
    """Return the identifiers under which a caller may sign: its own, its structure's; a citizen's are the INS.

    An institution without a person signs as the structure only.
    """
    if caller.actor in _CITIZENS:
        return frozenset(patient_ins)
    found = set()
    if caller.professional and caller.actor is Actor.PROFESSIONAL:
        found.add((PROFESSIONAL, caller.professional))
    if caller.structure:
        found.add((STRUCTURE, caller.structure))
    return frozenset(found)


def is_author(
    caller: Caller, docref: Json, patient_ins: Iterable[Identifier] = (), known: Mapping[str, Json] = NOBODY
) -> bool:
    """Say whether the caller is an author of the document, or acts for a structure that is."""
    return bool(identities_of(caller, patient_ins) & authors(docref, known))


def number_warnings(docref: Json, place: str) -> list[Issue]:
    """Return a warning for an author whose RPPS number has a wrong last digit: somebody mistyped it. [dmp-fhir 2.5]"""
    wrong = any(system == PROFESSIONAL and not has_rpps_key(value) for system, value in authors(docref))
    text = "An RPPS number of an author has a wrong control digit."
    return [Issue("value", text, severity="warning", expression=(f"{place}.author",))] if wrong else []


def check_author(
    caller: Caller,
    docref: Json,
    rules: Rules,
    place: str,
    patient_ins: Iterable[Identifier] = (),
    known: Mapping[str, Json] = NOBODY,
) -> Issue | None:
    """Check W1: who submits must be among the authors. Administrators (import) are exempt.

    Returns:
        A warning when rules.author_check is `warn`.

    Raises:
        Forbidden: author-forged, when it is `strict`.
    """
    if caller.is_admin or is_author(caller, docref, patient_ins, known):
        return None
    text = "The caller is neither an author of this document nor acting for the authoring structure."
    if rules.author_check == "warn":
        return Issue(
            "forbidden",
            text,
            severity="warning",
            expression=(f"{place}.author",),
            details=rules.denial("author-forged"),
        )
    raise Forbidden(text, expression=f"{place}.author", details=rules.denial("author-forged"))
