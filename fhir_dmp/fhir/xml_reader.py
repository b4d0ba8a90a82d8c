"""FHIR XML bytes to the JSON tree. https://hl7.org/fhir/R4/xml.html

The parser is expat: it tells byte positions, so the narrative is cut out of the document as it was written. It fetches
nothing; a DOCTYPE is refused as soon as it begins, hence no entity is ever declared.
"""

from __future__ import annotations

import re
from typing import Any, NoReturn
from xml.parsers import expat
from xml.sax.saxutils import quoteattr

from fhir_dmp.errors import BadRequest
from fhir_dmp.fhir.resource import MAX_DEPTH, Json, Number
from fhir_dmp.fhir.structure import Element, Structure, Structures

FHIR = "http://hl7.org/fhir"
XHTML = "http://www.w3.org/1999/xhtml"
_XSI = "http://www.w3.org/2001/XMLSchema-instance "
MAX_XHTML_DEPTH = 100

_tag = re.compile(rb"""<(?:[^"'>]|"[^"]*"|'[^']*')*>""")
_decimal = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_integers = frozenset({"integer", "positiveInt", "unsignedInt"})


def from_xml(body: bytes, structures: Structures) -> Json:
    """Read one FHIR resource. The result is what `fhir.resource.parse` reads from the same resource in JSON.

    Raises:
        BadRequest: not well-formed UTF-8 XML, a DOCTYPE (`security`), another namespace, an element, attribute or
            text that R4 does not know at this place, a boolean or number that is none, nested too deeply. Line and
            FHIRPath tell where; content is never quoted.
    """
    if body[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise BadRequest("The XML is UTF-16; send UTF-8.", code="structure")
    return _Reader(body.removeprefix(b"\xef\xbb\xbf"), structures).read()


class _Frame:
    """An element that is open: a resource, an object, a primitive, or the holder of a resource."""

    __slots__ = ("depth", "element", "name", "node", "path", "structure", "twins", "value")

    def __init__(self, name: str, path: str, depth: int, structure: Structure | None, element: Element | None) -> None:
        self.name = name
        self.path = path
        self.depth = depth
        self.structure = structure
        self.element = element
        self.node: Json = {}
        self.twins: dict[str, list[Json | None]] = {}
        self.value: Any = None


class _Reader:
    """The state of reading one document: the open elements, and where the narrative began."""

    def __init__(self, body: bytes, structures: Structures) -> None:
        self._body = body
        self._structures = structures
        self._extension = structures.get("Extension")
        self._stack: list[_Frame] = []
        self._result: Json = {}
        self._div_start = 0
        self._div_depth = 0
        self._scope: list[tuple[str, str]] = []
        parser = expat.ParserCreate("utf-8", " ")
        parser.buffer_text = True
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._characters
        parser.StartDoctypeDeclHandler = self._doctype
        parser.StartNamespaceDeclHandler = lambda prefix, uri: self._scope.append((prefix or "", uri or ""))
        parser.EndNamespaceDeclHandler = lambda _: self._scope.pop()
        self._parser = parser

    def read(self) -> Json:
        """Return the resource of the document."""
        parser = self._parser
        try:
            parser.Parse(self._body, True)
        except expat.ExpatError as error:
            place = f"line {error.lineno}, column {error.offset + 1}"
            raise BadRequest(f"The body is not well-formed UTF-8 XML ({place}).", code="structure") from error
        finally:
            del self._parser  # the parser holds our methods: without this cut the body would wait for the collector
        return self._result

    def _fail(self, text: str, path: str = "", code: str = "structure") -> NoReturn:
        place = path or (self._stack[-1].path if self._stack else "")
        raise BadRequest(f"{text} (line {self._parser.CurrentLineNumber}).", code=code, expression=place or ())

    def _doctype(self, *_: object) -> None:
        self._fail("FHIR XML must not have a DOCTYPE", code="security")

    def _characters(self, text: str) -> None:
        if not self._div_depth and not text.isspace():
            self._fail("Text is allowed in a narrative only; values are written in the attribute 'value'")

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        if self._div_depth:
            self._div_depth += 1
            if self._div_depth > MAX_XHTML_DEPTH:
                self._fail(f"The narrative is nested deeper than {MAX_XHTML_DEPTH} levels")
            return
        namespace, _, local = name.rpartition(" ")
        parent = self._stack[-1] if self._stack else None
        if parent is None or (parent.structure is None and parent.element and parent.element.types[0] == "Resource"):
            self._start_resource(namespace, local, attributes, parent)
        elif parent.structure is None:
            self._start_extension(namespace, local, attributes, parent)
        else:
            self._start_element(namespace, local, attributes, parent, parent.structure)

    def _start_resource(self, namespace: str, local: str, attributes: dict[str, str], parent: _Frame | None) -> None:
        if namespace != FHIR:
            self._fail(f"A FHIR resource is an element of the namespace {FHIR}")
        if not self._structures.is_resource(local):
            self._fail("This element is not a resource of FHIR R4")
        if parent is not None and parent.node:
            self._fail("Only one resource is allowed here")
        path = parent.path if parent else local
        frame = self._push(local, path, parent.depth if parent else 1, self._structures.get(local), None)
        frame.node["resourceType"] = local
        self._attributes({key: value for key, value in attributes.items() if not key.startswith(_XSI)}, frame)

    def _start_extension(self, namespace: str, local: str, attributes: dict[str, str], parent: _Frame) -> None:
        """Open an extension of a primitive, the only child that a primitive may have."""
        if namespace != FHIR or local != "extension" or self._extension is None:
            self._fail("A primitive may only hold extensions")
        index = len(parent.node.get("extension", ()))
        frame = self._push(local, f"{parent.path}.extension[{index}]", parent.depth + 2, self._extension, None)
        self._attributes(attributes, frame)

    def _start_element(
        self, namespace: str, local: str, attributes: dict[str, str], parent: _Frame, structure: Structure
    ) -> None:
        found = structure.properties.get(local)
        if found is None or found[0].attribute:
            safe = f" '{local}'" if local.isalnum() and len(local) <= 64 else ""
            self._fail(f"{structure.name} has no element{safe}")
        element, type_ = found
        if namespace != (XHTML if type_ == "xhtml" else FHIR):
            self._fail("This element is in a wrong namespace", f"{parent.path}.{element.stem}")
        path = self._path(parent, element, local)
        if type_ == "xhtml":
            self._div_start, self._div_depth = self._parser.CurrentByteIndex, 1
            return
        inner = None if type_ == "Resource" or self._structures.is_primitive(type_) else self._structures.get(type_)
        frame = self._push(local, path, parent.depth + (2 if element.is_list else 1), inner, element)
        if inner is None and type_ != "Resource":
            self._primitive(type_, attributes, frame)
        else:
            self._attributes(attributes, frame)

    def _path(self, parent: _Frame, element: Element, local: str) -> str:
        if not element.is_list:
            if local in parent.node or f"_{local}" in parent.node:
                self._fail("This element does not repeat", f"{parent.path}.{element.stem}")
            return f"{parent.path}.{element.stem}"
        return f"{parent.path}.{element.stem}[{len(parent.node.get(local, ()))}]"

    def _push(self, name: str, path: str, depth: int, structure: Structure | None, element: Element | None) -> _Frame:
        if depth > MAX_DEPTH:
            self._fail(f"The XML is nested deeper than {MAX_DEPTH} levels of JSON")
        frame = _Frame(name, path, depth, structure, element)
        self._stack.append(frame)
        return frame

    def _attributes(self, attributes: dict[str, str], frame: _Frame) -> None:
        for name, value in attributes.items():
            found = frame.structure.properties.get(name) if frame.structure else None
            if found is None or not found[0].attribute:
                self._fail("This element has an attribute that FHIR does not define")
            frame.node[name] = value

    def _primitive(self, type_: str, attributes: dict[str, str], frame: _Frame) -> None:
        for name, value in attributes.items():
            if name == "value":
                frame.value = self._value(type_, value)
            elif name == "id":
                frame.node["id"] = value
            else:
                self._fail("A primitive has the attributes 'value' and 'id' only")

    def _value(self, type_: str, text: str) -> Any:
        if type_ == "boolean":
            if text not in ("true", "false"):
                self._fail("A boolean is 'true' or 'false'", code="value")
            return text == "true"
        if type_ != "decimal" and type_ not in _integers:
            return text
        found = _decimal.fullmatch(text)
        if found is None or (type_ != "decimal" and found.lastindex):
            self._fail("This is not a number that FHIR can write", code="value")
        return Number(text) if found.lastindex or len(text) > 15 else int(text)

    def _end(self, _: str) -> None:
        if self._div_depth:
            self._div_depth -= 1
            if not self._div_depth:
                self._stack[-1].node["div"] = self._div()
            return
        frame = self._stack.pop()
        for name, twins in frame.twins.items():
            _align(frame.node, name, twins)
        if not self._stack:
            self._result = frame.node
        else:
            self._attach(frame, self._stack[-1])

    def _attach(self, frame: _Frame, parent: _Frame) -> None:
        if frame.element is None:  # a resource in its holder, or an extension of a primitive
            if frame.name == "extension" and parent.structure is None:
                parent.node.setdefault("extension", []).append(frame.node)
            else:
                parent.node = frame.node
        elif frame.structure is not None or frame.element.types[0] == "Resource":
            if frame.structure is None and not frame.node:
                self._fail("A resource is expected inside this element", frame.path)
            self._put(frame.node, frame, parent)
        else:
            self._attach_primitive(frame, parent)

    def _put(self, value: Any, frame: _Frame, parent: _Frame) -> None:
        if frame.element is not None and frame.element.is_list:
            parent.node.setdefault(frame.name, []).append(value)
        else:
            parent.node[frame.name] = value

    def _attach_primitive(self, frame: _Frame, parent: _Frame) -> None:
        if frame.value is None and not frame.node:
            self._fail("This element has neither a value nor an extension", frame.path)
        if frame.element is not None and frame.element.is_list:
            self._put(frame.value, frame, parent)
            parent.twins.setdefault(frame.name, []).append(frame.node or None)
            return
        if frame.value is not None:
            parent.node[frame.name] = frame.value
        if frame.node:
            parent.node[f"_{frame.name}"] = frame.node

    def _div(self) -> str:
        """Return the narrative as written, with the namespaces it needs to stand alone."""
        tag = _tag.match(self._body, self._div_start)
        if tag and not tag[0].endswith(b"/>"):
            tag = _tag.match(self._body, self._parser.CurrentByteIndex)
        text = self._body[self._div_start : tag.end() if tag else None].decode()
        text = text.replace("\r\n", "\n").replace("\r", "\n")
        if _stands_alone(text):
            return text
        cut = re.match(r"<[^\s/>]+", text)
        at = cut.end() if cut else 0
        head = text[: text.index(">", at)]
        scope = {prefix: uri for prefix, uri in self._scope if uri != FHIR}
        wanted = {f"xmlns:{prefix}" if prefix else "xmlns": uri for prefix, uri in scope.items()}
        missing = "".join(f" {name}={quoteattr(uri)}" for name, uri in wanted.items() if f"{name}=" not in head)
        return text[:at] + missing + text[at:]


def _stands_alone(text: str) -> bool:
    names: list[str] = []
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.StartElementHandler = lambda name, _: names.append(name)
    try:
        parser.Parse(text, True)
    except expat.ExpatError:
        return False
    return names[0] == f"{XHTML} div"


def _align(node: Json, name: str, twins: list[Json | None]) -> None:
    """Write the twins of a repeating primitive beside its values; leave out the list that says nothing."""
    if any(twins):
        node[f"_{name}"] = twins
    if all(value is None for value in node[name]):
        del node[name]
