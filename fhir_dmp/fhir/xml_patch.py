"""XML Patch (RFC 5261) of a resource: its XML is patched and read again. https://www.rfc-editor.org/rfc/rfc5261

`sel` is the RFC's part of XPath, with one widening that FHIR needs: a predicate may compare an attribute of a child
(`f:telecom[f:system/@value='phone']`). Names without prefix are in the default namespace of the patch, and in FHIR's
when it has none. Comments and processing instructions are no part of a resource.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from lxml import etree

from fhir_dmp.errors import BadRequest, Unprocessable
from fhir_dmp.fhir.patch import MAX_OPERATIONS, refuse_depth
from fhir_dmp.fhir.resource import Json
from fhir_dmp.fhir.structure import Structures
from fhir_dmp.fhir.xml import from_xml, to_xml
from fhir_dmp.fhir.xml_reader import FHIR

_Element = etree._Element

_NAME = r"(?:[A-Za-z_][\w.\-]*:)?[A-Za-z_][\w.\-]*"
_QUOTED = r"""(?:'[^'\[\]]*'|"[^"\[\]]*")"""
_INNER = rf"(?:\.|@{_NAME}|{_NAME}(?:/{_NAME}){{0,3}}(?:/@{_NAME})?)"
_PREDICATE = rf"\[\s*(?:[1-9][0-9]{{0,5}}|{_INNER}\s*=\s*{_QUOTED})\s*\]"
_STEP = rf"(?:{_NAME}|\*)(?:{_PREDICATE}){{0,4}}"
_SELECTOR = re.compile(rf"/?(?P<path>{_STEP}(?:/{_STEP}){{0,63}})(?:/@(?P<attribute>{_NAME})|/(?P<text>text\(\)))?")
#: A name that stands for an element, to be given a prefix; quoted values and attributes are passed over.
_TOKENS = re.compile(rf"{_QUOTED}|@{_NAME}|{_NAME}|.", re.DOTALL)
_DEFAULT = "fhir-dmp-default"
_KINDS = ("add", "replace", "remove")
_POSITIONS = ("prepend", "before", "after")


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation. kind: add, replace or remove; place: its XPath in the patch, for refusals."""

    kind: str
    selector: re.Match[str]
    element: _Element
    place: str


@dataclass(frozen=True, slots=True)
class XmlPatch:
    """A patch that was read: its operations, in order."""

    operations: tuple[Operation, ...]


def read_xml_patch(content: bytes) -> XmlPatch:
    """Read a patch document; the name of its root does not matter (RFC 5261 leaves it to its users).

    Raises:
        BadRequest: not well-formed XML, or a DOCTYPE. Unprocessable: XML that is no patch.
    """
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, remove_comments=True, remove_pis=True
    )
    try:
        root = etree.fromstring(content, parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        place = f" (line {error.lineno})" if isinstance(error, etree.XMLSyntaxError) else ""
        raise BadRequest(f"The patch is not well-formed XML{place}.", code="structure") from error
    if root.getroottree().docinfo.doctype:  # type: ignore[union-attr]  # a parsed tree has one
        raise BadRequest("An XML Patch must not have a DOCTYPE.", code="security")
    if len(root) > MAX_OPERATIONS:
        raise Unprocessable(f"A patch has at most {MAX_OPERATIONS} operations.", code="too-costly")
    if not len(root):
        raise Unprocessable("An XML Patch holds add, replace or remove elements; this one holds none.")
    return XmlPatch(tuple(_operation(element, index) for index, element in enumerate(root, 1)))


def _operation(element: _Element, index: int) -> Operation:
    kind = etree.QName(element).localname
    place = f"/*/*[{index}]"
    if kind not in _KINDS:
        raise Unprocessable("An operation of an XML Patch is add, replace or remove.", expression=place)
    selector = _SELECTOR.fullmatch((element.get("sel") or "").strip())
    if selector is None:
        raise Unprocessable(
            "'sel' must be a path of elements with positions or comparisons, as RFC 5261 has them.",
            code="processing",
            expression=place,
        )
    if element.get("pos") not in (None, *_POSITIONS) or element.get("ws") not in (None, "before", "after", "both"):
        raise Unprocessable("'pos' or 'ws' has no meaning of RFC 5261.", code="processing", expression=place)
    return Operation(kind, selector, element, place)


def apply_xml_patch(resource: Json, patch: XmlPatch, structures: Structures) -> Json:
    """Return the patched copy.

    Raises:
        Unprocessable: a selector that does not find exactly one node, or a result that is no FHIR resource.
    """
    tree = etree.fromstring(to_xml(resource, structures))
    written = dict(_narratives(resource, from_xml(etree.tostring(tree), structures)))
    for operation in patch.operations:
        _apply(operation, tree)
    try:
        after = from_xml(etree.tostring(tree), structures)
    except BadRequest as error:
        raise Unprocessable(
            f"The patched resource is no FHIR: {error}", code="processing", expression=error.issues[0].expression
        ) from error
    refuse_depth(after)
    _restore(after, written)
    return after


def _apply(operation: Operation, tree: _Element) -> None:
    found = _only(operation, tree)
    if operation.selector["attribute"]:
        _on_attribute(operation, found)
    elif operation.selector["text"]:
        raise _refused(operation, "a FHIR resource has no text but that of its narrative; replace the element")
    elif operation.kind == "add":
        _add(operation, found)
    elif operation.kind == "replace":
        if len(operation.element) != 1:
            raise _refused(operation, "an element is replaced by exactly one element")
        if found.getparent() is None:
            raise _refused(operation, "the resource itself cannot be removed or replaced")
        _put(found, operation.element[0], "before")
        _remove(operation, found)
    else:
        _remove(operation, found)


def _only(operation: Operation, tree: _Element) -> _Element:
    """Return the one element that a selector finds."""
    spaces = {prefix: uri for prefix, uri in operation.element.nsmap.items() if prefix}
    spaces[_DEFAULT] = operation.element.nsmap.get(None) or FHIR
    path = _prefixed(operation.selector["path"])
    try:
        found = tree.getroottree().xpath(f"/{path}", namespaces=spaces)
    except etree.XPathError as error:
        raise _refused(operation, "'sel' uses a prefix that the patch does not declare") from error
    if not isinstance(found, list) or len(found) != 1:
        count = len(found) if isinstance(found, list) else 0
        raise _refused(operation, f"'sel' finds {count} nodes where it must find one")
    element = found[0]
    assert isinstance(element, _Element)  # the selector's grammar ends in an element
    return element


def _prefixed(path: str) -> str:
    """Give every element name without prefix the default one."""
    parts = []
    for token in _TOKENS.findall(path):
        plain = token[0].isalpha() or token[0] == "_"
        parts.append(f"{_DEFAULT}:{token}" if plain and ":" not in token else token)
    return "".join(parts)


def _on_attribute(operation: Operation, holder: _Element) -> None:
    name = operation.selector["attribute"]
    if operation.kind == "add":
        raise _refused(operation, "an attribute is added to the element that 'sel' names, with type='@name'")
    if name not in holder.attrib:
        raise _refused(operation, "'sel' finds 0 nodes where it must find one")
    if operation.kind == "remove":
        del holder.attrib[name]
    else:
        holder.set(name, operation.element.text or "")


def _add(operation: Operation, found: _Element) -> None:
    kind = operation.element.get("type")
    if kind is not None:
        name = kind.removeprefix("@")
        if not kind.startswith("@") or not re.fullmatch(_NAME, name) or ":" in name:
            raise _refused(operation, "'type' names an attribute: @name")
        if name in found.attrib:
            raise _refused(operation, "the attribute exists; replace it")
        found.set(name, operation.element.text or "")
        return
    if not len(operation.element):
        raise _refused(operation, "there is no element to add")
    position = operation.element.get("pos")
    if position in ("before", "after") and found.getparent() is None:
        raise _refused(operation, "nothing can stand beside the resource itself")
    added = list(operation.element)
    for element in reversed(added) if position in ("prepend", "after") else added:
        _put(found, element, position)


def _put(found: _Element, element: _Element, position: str | None) -> None:
    """Insert a copy: patches may be applied again on a newer version."""
    copy = etree.fromstring(etree.tostring(element, with_tail=False))
    if not copy.nsmap.get(None) and copy.tag[:1] != "{":
        _into_fhir(copy)
    if position == "before":
        found.addprevious(copy)
    elif position == "after":
        found.addnext(copy)
    elif position == "prepend":
        found.insert(0, copy)
    else:
        found.append(copy)


def _into_fhir(element: _Element) -> None:
    """Put elements without any namespace in FHIR's: the patch had no default namespace either."""
    for each in element.iter():
        if isinstance(each.tag, str) and not each.tag.startswith("{"):
            each.tag = f"{{{FHIR}}}{each.tag}"


def _remove(operation: Operation, found: _Element) -> None:
    parent = found.getparent()
    if parent is None:
        raise _refused(operation, "the resource itself cannot be removed or replaced")
    parent.remove(found)
    while len(parent) == 0 and not parent.attrib and parent.getparent() is not None and not (parent.text or "").strip():
        emptied, parent = parent, parent.getparent()
        assert parent is not None
        parent.remove(emptied)  # FHIR has no empty elements


def _refused(operation: Operation, why: str) -> Unprocessable:
    return Unprocessable(f"{operation.kind}: {why}.", code="processing", expression=operation.place)


# --- narratives, which another XML writer would spell differently ----------------------------------------------------


def _narratives(before: Any, again: Any) -> Iterator[tuple[str, str]]:
    """Yield (narrative as it comes out of the tree, narrative as stored) for each one of a resource."""
    if isinstance(before, dict) and isinstance(again, dict):
        for key, part in before.items():
            other = again.get(key)
            if key == "div" and isinstance(part, str) and isinstance(other, str):
                yield other, part
            else:
                yield from _narratives(part, other)
    elif isinstance(before, list) and isinstance(again, list):
        for part, other in zip(before, again, strict=False):
            yield from _narratives(part, other)


def _restore(after: Any, written: Mapping[str, str]) -> None:
    """Spell the narratives that were not changed as they were stored, in place."""
    if isinstance(after, dict):
        for key, part in after.items():
            if key == "div" and isinstance(part, str):
                after[key] = written.get(part, part)
            else:
                _restore(part, written)
    elif isinstance(after, list):
        for part in after:
            _restore(part, written)
