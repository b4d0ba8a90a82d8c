"""CDA elements: names with prefixes, making, comparing, writing down, finding by path. No meaning here."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

from lxml import etree

from fhir_dmp.cda.xml import V3, Element

XSI: Final = "http://www.w3.org/2001/XMLSchema-instance"
NAMESPACES: Final[Mapping[str | None, str]] = {
    None: V3,
    "xsi": XSI,
    "sdtc": "urn:hl7-org:sdtc",
    "lab": "urn:oid:1.3.6.1.4.1.19376.1.3.2",
    "pharm": "urn:ihe:pharm:medication",
    "dcm": "urn:dicom-org:ps3-20",
}
TYPE: Final = f"{{{XSI}}}type"
#: The same, as lxml takes it (its stubs know of no default namespace).
BOUND: Final[Any] = dict(NAMESPACES)
_PREFIXES: Final = {uri: prefix for prefix, uri in NAMESPACES.items()}
_TAGS: dict[str, str] = {}


def tag(name: str) -> str:
    """Return the tag of a name; a name without prefix is of CDA.

    >>> tag("code"), tag("pharm:code")
    ('{urn:hl7-org:v3}code', '{urn:ihe:pharm:medication}code')
    """
    found = _TAGS.get(name)
    if found is None:
        prefix, _, local = name.rpartition(":")
        found = _TAGS[name] = f"{{{NAMESPACES[prefix or None]}}}{local}"
    return found


def name_of(element: Element) -> str:
    """Return the name of an element, as `tag` takes it; of a foreign namespace, the local name alone."""
    text = str(element.tag)
    if text.startswith("{urn:hl7-org:v3}"):
        return text[16:]
    uri, _, local = text[1:].rpartition("}")
    prefix = _PREFIXES.get(uri)
    return f"{prefix}:{local}" if prefix else local


def make(name: str, attributes: Mapping[str, str | None] | None = None, *children: Element) -> Element:
    """Return a new element; attributes that are None are left out."""
    element = copy.copy(_prototype(name))
    if attributes:
        for key, value in attributes.items():
            if value is not None:
                element.set(key, value)
    element.extend(children)
    return element


@lru_cache(maxsize=1024)  # names may come from stored resources: never let them fill the memory
def _prototype(name: str) -> Element:
    """Return an empty element to copy, which costs a fifth of declaring the namespaces again."""
    return etree.Element(tag(name), nsmap=BOUND)


def with_text(name: str, text: str) -> Element:
    """Return a new element that holds text."""
    element = make(name)
    element.text = text
    return element


def children(element: Element, name: str) -> Iterator[Element]:
    """Yield the children of a name."""
    yield from element.iterchildren(tag(name))


def first(element: Element | None, *path: str) -> Element | None:
    """Return the first element down a path of names."""
    for name in path:
        if element is None:
            return None
        element = next(element.iterchildren(tag(name)), None)
    return element


def at_path(element: Element, path: Sequence[str]) -> list[Element]:
    """Return every element down a path of names; an empty path is the element itself."""
    found = [element]
    for name in path:
        found = [child for parent in found for child in parent.iterchildren(tag(name))]
    return found


def text_in(element: Element | None) -> str | None:
    """Return all text of an element with single spaces, None when there is none."""
    if element is None:
        return None
    return " ".join("".join(str(part) for part in element.itertext()).split()) or None


def local_type(element: Element) -> str | None:
    """Return the local name of xsi:type, whose value is a qualified name: `c:CD` is CD when c is bound to CDA."""
    value = (element.get(TYPE) or "").strip()
    prefix, mark, local = value.rpartition(":")
    if mark and element.nsmap.get(prefix) != V3:
        return None
    return local or None


def same(left: Element, right: Element) -> bool:
    """Say whether two elements mean the same as XML: attributes in any order, white space between elements ignored."""
    if left.tag != right.tag or len(left) != len(right) or _attributes(left) != _attributes(right):
        return False
    if _words(left.text) != _words(right.text):
        return False
    return all(
        same(one, other) and _words(one.tail) == _words(other.tail) for one, other in zip(left, right, strict=True)
    )


def _attributes(element: Element) -> dict[str, str | None]:
    # A qualified name is compared by what it means; the name of a code system says nothing that its OID does not.
    return {
        str(key): (local_type(element) if key == TYPE else str(value))
        for key, value in element.attrib.items()
        if key != "codeSystemName"
    }


def _words(text: str | None) -> str:
    return " ".join(text.split()) if text else ""


def written(element: Element) -> str:
    """Return an element alone as text: what follows it is not of it, white space for layout is dropped."""
    alone = clone(element)
    tidy(alone)
    for part in alone.iter():
        # The prefix of a type name may be bound outside of what is kept; without one it means CDA everywhere.
        if TYPE in part.attrib and (local := local_type(part)):
            part.set(TYPE, local)
    etree.cleanup_namespaces(alone, keep_ns_prefixes=["xsi"] if b"xsi:" not in etree.tostring(alone) else None)
    return etree.tostring(alone, encoding="unicode", with_tail=False)


def tidy(element: Element) -> None:
    """Drop the white space between the elements of an element that has no text of its own."""
    for part in element.iter():
        if len(part) and not (part.text or "").strip() and not any((child.tail or "").strip() for child in part):
            part.text = None
            for child in part:
                child.tail = None


def clone(element: Element) -> Element:
    """Return a deep copy, without what follows the element."""
    return etree.fromstring(etree.tostring(element, with_tail=False), _FRAGMENTS)


_FRAGMENTS = etree.XMLParser(
    resolve_entities=False, no_network=True, load_dtd=False, huge_tree=True, remove_comments=True, remove_pis=True
)


def read_fragment(text: str) -> Element | None:
    """Return the element that a text holds, None when it is not XML or brings a DTD."""
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        return None
    try:
        return etree.fromstring(text.encode("utf-8"), _FRAGMENTS)
    except (etree.XMLSyntaxError, ValueError):
        return None


def framed(text: str) -> Element:
    """Return the element of a frame in `mappings/`: CDA is its default namespace, the known prefixes are bound."""
    bound = " ".join(f'xmlns{":" + prefix if prefix else ""}="{uri}"' for prefix, uri in NAMESPACES.items())
    head, mark, rest = text.partition(" ") if " " in text.partition(">")[0] else ("", "", "")
    if not mark:
        end = min(position for position in (text.find(">"), text.find("/>")) if position > 0)
        head, rest = text[:end], text[end:]
    return etree.fromstring(f"{head} {bound} {rest}".encode(), _FRAGMENTS)


def place_of(element: Element) -> str:
    """Return where an element stands: names with their position among equals, from the document on."""
    steps: list[str] = []
    current: Element | None = element
    while current is not None and current.tag != tag("ClinicalDocument"):
        name = name_of(current)
        before = sum(1 for _ in current.itersiblings(current.tag, preceding=True))
        after = next(current.itersiblings(current.tag), None)
        steps.append(f"{name}[{before + 1}]" if before or after is not None else name)
        current = current.getparent()
    return "/".join(["/ClinicalDocument", *reversed(steps)])


def sort(element: Element, order: Mapping[str, Sequence[str]]) -> None:
    """Put the children of an element, and theirs, into the order of the schema; equals keep their order."""
    for part in element.iter():
        names = order.get(name_of(part))
        if names is None or len(part) < 2:
            continue
        rank = {name: number for number, name in enumerate(names)}
        arranged = sorted(part, key=lambda child: rank.get(name_of(child), len(rank)))
        if arranged != list(part):
            part[:] = arranged


def acts_in(elements: Iterable[Element]) -> Iterator[Element]:
    """Yield every clinical statement in elements, outermost first."""
    for element in elements:
        yield from element.iter(*ACT_TAGS)


ACTS: Final = (
    "observation",
    "act",
    "procedure",
    "organizer",
    "substanceAdministration",
    "supply",
    "encounter",
    "observationMedia",
    "regionOfInterest",
)
ACT_TAGS: Final = tuple(tag(name) for name in ACTS)


def templates_of(element: Element) -> frozenset[str]:
    """Return the template roots of an element and of the act that it holds."""
    found = {(one.get("root") or "").strip() for one in element.iterchildren(_TEMPLATE)}
    for act in element.iterchildren(*ACT_TAGS):
        found.update((one.get("root") or "").strip() for one in act.iterchildren(_TEMPLATE))
    return frozenset(found)


_TEMPLATE: Final = tag("templateId")
