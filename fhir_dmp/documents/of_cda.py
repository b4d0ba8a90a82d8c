"""Type, class and format of a published CDA: those that its header leads to, whatever the client says. [cda 3.3, 3.6]

The bindings of native metadata are preferred [dmp-fhir 6.1]; those of a CDA are not: its type decides who sees it.
A content that is no readable CDA is not judged here. [docs/adr/0090]
"""

from __future__ import annotations

from collections.abc import Iterator

from fhir_dmp.cda.datatypes import codeable
from fhir_dmp.cda.header import Header
from fhir_dmp.cda.metadata import SIGNATURE, class_coding, format_of
from fhir_dmp.documents.codes import classes_of
from fhir_dmp.documents.rules import Rules
from fhir_dmp.errors import Issue
from fhir_dmp.fhir.elements import codings_of, objects_of
from fhir_dmp.fhir.resource import Json
from fhir_dmp.terminology.aliases import TRE_A03_CLASS, TRE_A11_FORMAT, canonical_system
from fhir_dmp.terminology.codes import Code, Codes

#: What says of the format nothing but that the media type tells it all: no other value contradicts it.
_SUFFICIENT = (TRE_A11_FORMAT, "urn:ihe:iti:xds:2017:mimeTypeSufficient")


def cda_issues(docref: Json, header: Header, rules: Rules, place: str) -> list[Issue]:
    """Return where metadata and header of a CDA differ: errors, or warnings when the setting says so."""
    severity = "warning" if rules.cda_metadata == "warn" else "error"
    return [
        Issue(code, text, severity, (f"{place}.{path}",), rules.erreur(ours, "XDSRepositoryMetadataError"))
        for code, ours, path, text in _differences(docref, header, rules.codes)
    ]


def _differences(docref: Json, header: Header, codes: Codes) -> Iterator[tuple[str, str, str, str]]:
    if header.code is None:
        return
    if header.code.code == SIGNATURE:
        yield "business-rule", "type-inconnu", "type", "A signature is no clinical document."
        return
    type_ = (codes.system_of(header.code.system), header.code.code)
    class_ = codes.class_of(*type_)
    if class_ is None:
        text = f"The type of the CDA, {_said(type_)}, is not in the table of document types."
        yield "code-invalid", "type-inconnu", "type", text
    stated = _codes(docref.get("type"))
    if stated and type_ not in stated:
        text = f"The type of the CDA is {_said(type_)}; the metadata must say the same."
        yield "invariant", "metadonnee-discordante", "type", text
    classes = classes_of(docref)
    if class_ is not None and docref.get("category") and class_ not in classes:
        text = f"The type of the CDA leads to the class {class_} of {TRE_A03_CLASS}."
        yield "invariant", "metadonnee-discordante", "category", text
    format_ = format_of(header, codes)
    for one in objects_of(docref.get("content"))[:1]:
        formats = _codes({"coding": [one["format"]]}) if "format" in one else []
        if formats and not {format_, codes.fallback_format, _SUFFICIENT} & set(formats):
            text = f"The format of this CDA is {_said(format_)}."
            yield "invariant", "metadonnee-discordante", "content[0].format", text


def _codes(concept: object) -> list[Code]:
    return [(canonical_system(system or ""), code) for system, code in codings_of(concept)]


def _said(code: Code) -> str:
    return f"{code[0]}|{code[1]}"


def completed(docref: Json, header: Header | None, codes: Codes) -> Json:
    """Return the document with type, class and format of its CDA where the client said nothing."""
    if header is None or header.code is None:
        return docref
    system, code = format_of(header, codes)
    found = dict(docref)
    found.setdefault("type", codeable(header.code, codes))
    found.setdefault("category", [{"coding": [class_coding(header.code, codes)]}])
    content = [{**one, "format": one.get("format", {"system": system, "code": code})} for one in docref["content"][:1]]
    return {**found, "content": [*content, *docref["content"][1:]]}
