"""FHIR XML: a JSON tree to bytes and back, exactly. https://hl7.org/fhir/R4/xml.html

Digits of decimals, twins of primitives (`_given`), nulls in arrays and the narrative survive both ways. What XML cannot
say differently is not kept: comments, the order of JSON properties, CR LF inside a narrative (XML reads LF).
"""

from __future__ import annotations

import re
from decimal import Decimal
from itertools import zip_longest
from typing import Any
from xml.parsers import expat

from fhir_dmp.errors import Unprocessable
from fhir_dmp.fhir.resource import Json, Number
from fhir_dmp.fhir.structure import Structure, Structures
from fhir_dmp.fhir.xml_reader import FHIR, XHTML, from_xml

__all__ = ["from_xml", "to_xml"]

_HEAD = '<?xml version="1.0" encoding="UTF-8"?>'
_escapes = str.maketrans(
    {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "\n": "&#10;", "\r": "&#13;", "\t": "&#9;"}
)
_unfit = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


def to_xml(resource: Json, structures: Structures, *, pretty: bool = False) -> bytes:
    """Return the resource as FHIR XML (UTF-8); `pretty` indents by two.

    Raises:
        Unprocessable: the resource has a property that R4 does not define, so XML has no place for it.
    """
    writer = _Writer(structures, pretty)
    writer.resource(resource, "", 0)
    return "".join(writer.parts).encode()


class _Writer:
    """Collects the pieces of one document."""

    def __init__(self, structures: Structures, pretty: bool) -> None:
        self.parts = [_HEAD]
        self._structures = structures
        self._pretty = pretty

    def resource(self, node: Any, path: str, depth: int) -> None:
        type_ = node.get("resourceType") if isinstance(node, dict) else None
        if not isinstance(type_, str) or not self._structures.is_resource(type_):
            raise _no_place(path, "a resource of an unknown type")
        tag = type_ if depth else f'{type_} xmlns="{FHIR}"'
        self._object(node, type_, tag, type_, path or type_, depth)

    def _object(self, node: Any, type_: str, tag: str, closing: str, path: str, depth: int) -> None:
        structure = self._structures.get(type_)
        if structure is None or not isinstance(node, dict):
            raise _no_place(path, "something that is not an object")
        names = _ordered(node, structure, path)
        attributes = [name for name in names if structure.properties[name][0].attribute]
        self._break(depth)
        self.parts.append("<" + tag + "".join(f' {name}="{_escaped(node[name])}"' for name in attributes))
        children = [name for name in names if name not in attributes]
        if not children:
            self.parts.append("/>")
            return
        self.parts.append(">")
        for name in children:
            self._property(name, node, structure, path, depth + 1)
        self._break(depth)
        self.parts.append(f"</{closing}>")

    def _property(self, name: str, node: Json, structure: Structure, path: str, depth: int) -> None:
        element, type_ = structure.properties[name]
        place = f"{path}.{element.stem}"
        value = node.get(name)
        if type_ == "xhtml":
            self._break(depth)
            self.parts.append(_div(value))
        elif self._structures.is_primitive(type_):
            twin = node.get(f"_{name}")
            for one, other in zip_longest(*_lists(value, twin)):
                self._primitive(name, one, other, place, depth)
        else:
            for part in value if isinstance(value, list) else [value]:
                if type_ == "Resource":
                    self._break(depth)
                    self.parts.append(f"<{name}>")
                    self.resource(part, place, depth + 1)
                    self._break(depth)
                    self.parts.append(f"</{name}>")
                else:
                    self._object(part, type_, name, name, place, depth)

    def _primitive(self, name: str, value: Any, twin: Any, path: str, depth: int) -> None:
        twin = twin if isinstance(twin, dict) else {}
        self._break(depth)
        self.parts.append(f"<{name}")
        if "id" in twin:
            self.parts.append(f' id="{_escaped(twin["id"])}"')
        if value is not None:
            self.parts.append(f' value="{_escaped(value)}"')
        extensions = twin.get("extension", ())
        if not extensions:
            self.parts.append("/>")
            return
        self.parts.append(">")
        for extension in extensions:
            self._object(extension, "Extension", "extension", "extension", f"{path}.extension", depth + 1)
        self._break(depth)
        self.parts.append(f"</{name}>")

    def _break(self, depth: int) -> None:
        if self._pretty:
            self.parts.append("\n" + "  " * depth)


def _no_place(path: str, what: str) -> Unprocessable:
    return Unprocessable(f"XML has no place for {what}.", code="structure", expression=path or ())


def _ordered(node: Json, structure: Structure, path: str) -> list[str]:
    """Return the properties present (with a value, a twin, or both) in the order of the definition."""
    names = {name[1:] if name[:1] == "_" else name for name in node}
    if structure.is_resource:  # ExampleScenario.instance has an element of this name
        names.discard("resourceType")
    unknown = names - structure.properties.keys()
    if unknown:
        raise _no_place(path, f"a property that {structure.name} does not have")
    return sorted(names, key=structure.positions.__getitem__)


def _lists(value: Any, twin: Any) -> tuple[list[Any], list[Any]]:
    if isinstance(value, list) or isinstance(twin, list):
        return value if isinstance(value, list) else [], twin if isinstance(twin, list) else []
    return [value], [twin]


def _escaped(value: Any) -> str:
    if value.__class__ is str:
        text: str = value
    elif isinstance(value, Number):
        return value.text
    elif isinstance(value, bool):
        return "true" if value else "false"
    else:
        text = str(value) if isinstance(value, int | float | Decimal) else ""
    if not text.isprintable():
        text = _unfit.sub("\ufffd", text)  # validation refuses these; a document with one could not be read at all
    return text.translate(_escapes)


def _div(value: Any) -> str:
    """Return the narrative as it is, or as plain text when it is not XHTML (possible only without validation)."""
    text = value if isinstance(value, str) else ""
    if text.lstrip()[:1] == "<" and _is_xhtml(text):
        return text
    return f'<div xmlns="{XHTML}">{_escaped(text)}</div>'


def _is_xhtml(text: str) -> bool:
    names: list[str] = []
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.StartElementHandler = lambda name, _: names.append(name)
    parser.StartDoctypeDeclHandler = lambda *_: names.append("")
    parser.XmlDeclHandler = lambda *_: names.append("")
    try:
        parser.Parse(text, True)
    except (expat.ExpatError, UnicodeEncodeError):
        return False
    return names[0] == f"{XHTML} div"
