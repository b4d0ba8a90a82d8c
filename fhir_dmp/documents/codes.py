"""Judging the codes of a document's metadata, and the section of the citizen's view that they lead to.

Bindings are preferred: an unlisted code is a warning, never a refusal. [dmp-fhir 6.1, 6.4]
"""

from __future__ import annotations

from fhir_dmp.errors import Issue
from fhir_dmp.fhir.elements import codings_of, object_of, objects_of
from fhir_dmp.fhir.resource import Json
from fhir_dmp.terminology.aliases import LOINC, TRE_A03_CLASS, TRE_A05_TYPE, canonical_system
from fhir_dmp.terminology.codes import Codes

_LOINC_BIOLOGY = ("11502-2", "51969-4", "60568-3")
_LOINC_PREVENTION = ("11369-6", "87273-9", "75482-0", "75492-9", "83869-8", "96173-0")
#: Type decides before class.
_SECTION_OF_TYPE = {
    **{(LOINC, code): "biologie" for code in _LOINC_BIOLOGY},
    **{(LOINC, code): "prevention-depistage" for code in _LOINC_PREVENTION},
    **{
        (TRE_A05_TYPE, f"DOCPAT0{number}"): section
        for number, section in enumerate(
            (
                *("synthese", "traitements-soins", "comptes-rendus", "imagerie", "biologie"),
                *("prevention-depistage", "certificats", "synthese", "pieces-administratives"),
            ),
            start=1,
        )
    },
}
_SECTION_OF_CLASS = {
    "10": "comptes-rendus",
    "11": "synthese",
    "31": "imagerie",
    **dict.fromkeys(("42", "43", "44", "45"), "traitements-soins"),
    "52": "certificats",
    **dict.fromkeys(("60", "95"), "pieces-administratives"),
    "90": "expression-patient",
}


def classes_of(docref: Json) -> list[str]:
    """Return the TRE_A03 codes of a document's class."""
    return [
        code for system, code in codings_of(docref.get("category")) if canonical_system(system or "") == TRE_A03_CLASS
    ]


def derived_classes(docref: Json, codes: Codes) -> list[str]:
    """Return the classes that derive from a document's type."""
    found = (codes.class_of(system, code) for system, code in codings_of(docref.get("type")))
    return [class_ for class_ in found if class_ is not None]


def section_of(docref: Json, codes: Codes) -> str | None:
    """Return the section (code of mes-rubrique) that the type, else the class, leads to; None when none does."""
    for system, code in codings_of(docref.get("type")):
        section = _SECTION_OF_TYPE.get((canonical_system(system or ""), code))
        if section is not None:
            return section
    for class_ in (*classes_of(docref), *derived_classes(docref, codes)):
        if class_ in _SECTION_OF_CLASS:
            return _SECTION_OF_CLASS[class_]
    return None


def with_section(docref: Json, codes: Codes, base: str) -> Json:
    """Return the document with its section as meta.tag; a section sent by the client is replaced."""
    system = f"{base}/CodeSystem/mes-rubrique"
    section = section_of(docref, codes)
    meta = object_of(docref.get("meta"))
    if section is None and "tag" not in meta:
        return docref
    tags = [tag for tag in objects_of(meta.get("tag")) if tag.get("system") != system]
    if section is not None:
        tags.append({"system": system, "code": section})
    bare = {key: part for key, part in meta.items() if key != "tag"}
    return {**docref, "meta": {**bare, "tag": tags} if tags else bare}


def code_warnings(docref: Json, codes: Codes, place: str) -> list[Issue]:
    """Return a warning for each code outside its preferred binding, and for a class that the type does not give."""
    context = object_of(docref.get("context"))
    content = objects_of(docref.get("content"))
    bound = (
        ("jdv-j07", docref.get("type"), "type"),
        ("jdv-j06", docref.get("category"), "category"),
        ("jdv-j02", context.get("facilityType"), "context.facilityType"),
        ("jdv-j04", context.get("practiceSetting"), "context.practiceSetting"),
        ("jdv-j10", content[0].get("format") if content else None, "content[0].format"),
    )
    found = []
    for value_set, concept, path in bound:
        stated = list(codings_of(concept))
        if stated and not any(codes.contains(value_set, system, code) for system, code in stated):
            found.append(_warning("code-invalid", f"{place}.{path}", f"No code of {value_set.upper()} is given."))
    return found + _class_warnings(docref, codes, place)


def _class_warnings(docref: Json, codes: Codes, place: str) -> list[Issue]:
    derived, stated = derived_classes(docref, codes), classes_of(docref)
    if derived and stated and not set(derived) & set(stated):
        text = f"The type leads to the class {derived[0]}, not {stated[0]}."
        return [_warning("invariant", f"{place}.category", text)]
    return []


def _warning(code: str, place: str, text: str) -> Issue:
    return Issue(code, text, severity="warning", expression=(place,))
