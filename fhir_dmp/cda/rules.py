"""Applying the rules of a mapping to one element and one resource, both ways. [docs/adr/0050]

Reading: what a rule reads goes to its place; an element that its writer would not give back the same is kept beside the
value (extension `cda-source`), and so is what no rule reads. Writing: a kept element is used as long as it still means
the value that stands in FHIR; otherwise the value is written afresh. So nothing is lost, and FHIR always wins.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fhir_dmp.cda import attestation, held, narrative, parties, related, traits
from fhir_dmp.cda.elements import at_path, framed, make, name_of, read_fragment, tag
from fhir_dmp.cda.knowledge import Mapping_, Part, Rule, holds
from fhir_dmp.cda.places import EXTENSIONS, Place, get, place, put
from fhir_dmp.cda.values import (
    choice,
    classes,
    concepts,
    contacts,
    identifiers,
    moments,
    numbers,
    quantities,
    texts,
    timing,
)
from fhir_dmp.cda.values.codec import Codec, Read
from fhir_dmp.cda.xml import Element
from fhir_dmp.fhir.resource import Json

SOURCE = f"{EXTENSIONS}/cda-source"
REST = "rest"
#: Under which name the body of a level-1 document is kept that is not what it says to be.
BODY = "body"

_ROOMS = (choice, classes, concepts, contacts, identifiers, moments, numbers, quantities, texts, timing,
          attestation, held, narrative, parties, related, traits)  # fmt: skip
CODECS: dict[str, Codec] = {name: codec for room in _ROOMS for name, codec in room.CODECS.items()}


# --- reading -------------------------------------------------------------------------------------------------------


def read_value(elements: Sequence[Element], part: Part, reader: Any) -> Read | None:
    """Read the value that elements hold for a part."""
    if part.parts:
        holder: Json = {}
        read_parts(elements[0], part.parts, reader, holder)
        if holder and part.options.get("fixed"):
            for where, value in part.options["fixed"].items():
                if get(holder, place(where)) is None:
                    put(holder, place(where), value)
        return Read(holder or None, False)
    return CODECS[part.codec].read(elements, part, reader)


def read_parts(element: Element, parts: Sequence[Part], reader: Any, holder: Json) -> None:
    """Read the parts of an element into their places."""
    for part in parts:
        found = at_path(element, part.path)
        if part.to.many:
            for one in found:
                read = read_value([one], part, reader)
                if read is not None and read.value is not None:
                    put(holder, part.to, read.value)
        elif found:
            read = read_value(found, part, reader)
            if read is not None and read.value is not None:
                put(holder, part.to, read.value)


def _rule_value(units: Sequence[Element], rule: Rule, reader: Any) -> Read | None:
    if not rule.part.path:
        return read_value(units, rule.part, reader)
    found = at_path(units[0], rule.part.path)
    read = read_value(found, rule.part, reader) if found else Read(None, False)
    if read is None:
        return None
    return Read(read.value, read.exact and rule.frame is None and _is_bare(units[0], rule.part.path))


def _is_bare(unit: Element, path: Sequence[str]) -> bool:
    """Say whether an element holds nothing but what stands at the path."""
    for _ in path:
        if unit.attrib or len(unit) != 1:
            return False
        unit = unit[0]
    return True


def read_children(
    element: Element, mapping: Mapping_, reader: Any, resource: Json, keep: list[tuple[str, str]]
) -> list[Element]:
    """Read the children of an element by the rules; return those that no rule took.

    keep: receives (rule, XML) of what must be kept; an empty XML says that a default stands for nothing.
    """
    children = [child for child in element if isinstance(child.tag, str)]
    named: dict[str, list[Element]] = {}
    for child in children:
        named.setdefault(name_of(child), []).append(child)
    taken: set[Element] = set()
    for rule in mapping.rules:
        units = [one for one in named.get(rule.at, ()) if one not in taken and rule.matches(one, reader.templates)]
        if rule.many:
            for unit in units:
                read = _rule_value([unit], rule, reader)
                if read is not None:
                    taken.add(unit)
                    _placed(read, rule, resource, [unit], keep, reader)
        elif units:
            read = _rule_value(units, rule, reader)
            if read is not None:
                taken.update(units)
                _placed(read, rule, resource, units, keep, reader)
        if rule.default is not None and get(resource, rule.part.to) in (None, []):
            put(resource, rule.part.to, rule.default)
            if not any(unit in taken for unit in units):
                keep.append((rule.key, ""))
    return [one for one in children if one not in taken]


def _placed(
    read: Read, rule: Rule, resource: Json, units: Sequence[Element], keep: list[tuple[str, str]], reader: Any
) -> None:
    if read.value is not None:
        put(resource, rule.part.to, read.value)
        _implied(rule, resource)
    if not read.exact or rule.kept:
        keep.extend((rule.key, reader.kept(unit)) for unit in units)


def _implied(rule: Rule, resource: Json) -> None:
    """Set what a value implies beside itself: in the item of a list, or in the resource."""
    implied = rule.part.options.get("implies")
    if not implied:
        return
    holder = resource
    if rule.many:
        steps = rule.part.to.steps
        items = get(resource, Place(steps))
        holder = items[-1] if isinstance(items, list) and items else resource
    for where, value in implied.items():
        put(holder, place(where), value)


def source_extension(keep: Sequence[tuple[str, str]]) -> Json | None:
    """Return the extension that holds what is kept, None when nothing is."""
    if not keep:
        return None
    parts: list[Json] = []
    for key, xml in keep:
        parts.append({"url": key, "valueString": xml} if xml else {"url": key, "valueBoolean": False})
    return {"url": SOURCE, "extension": parts}


def kept_of(resource: Json) -> dict[str, list[Element | None]]:
    """Return what a resource keeps of its CDA: rule -> elements, None for a default that stands for nothing."""
    found: dict[str, list[Element | None]] = {}
    for extension in resource.get("extension", ()):
        if extension.get("url") != SOURCE:
            continue
        for part in extension.get("extension", ()):
            text = part.get("valueString")
            element = read_fragment(text) if isinstance(text, str) else None
            if element is not None or "valueBoolean" in part:
                found.setdefault(str(part.get("url")), []).append(element)
    return found


# --- writing -------------------------------------------------------------------------------------------------------


def write_children(
    resource: Json, mapping: Mapping_, writer: Any, kept: Mapping[str, list[Element | None]]
) -> list[Element]:
    """Return the elements of a resource by the rules, in no order of the schema."""
    pools: dict[Place, list[Any]] = {}
    pending: list[tuple[Rule, list[tuple[int, Element]]]] = []
    for rule in mapping.rules:
        if rule.many:
            pool = pools.setdefault(rule.part.to, list(enumerate(get(resource, rule.part.to) or [])))
            pending.append((rule, _matched(pool, rule, kept.get(rule.key, ()), writer)))
        else:
            pending.append((rule, list(enumerate(_single(resource, rule, kept.get(rule.key, ()), writer)))))
    found: list[Element] = []
    for rule, elements in pending:
        if rule.many and not rule.kept:
            pool = pools[rule.part.to]
            for item in list(pool):
                if item[1] != rule.default and holds(item[1], rule.when):
                    new = _encoded(item[1], rule, writer)
                    if new:
                        pool.remove(item)
                        elements += [(item[0], one) for one in new]
        found += [one for _, one in sorted(elements, key=lambda pair: pair[0])]
    return found


def _matched(pool: list[Any], rule: Rule, kept: Sequence[Element | None], writer: Any) -> list[tuple[int, Element]]:
    """Return the kept elements whose value still stands in the list; take these values out of it."""
    found: list[tuple[int, Element]] = []
    for unit in kept:
        if unit is None:
            continue
        reader = writer.rereader()
        read = _rule_value([unit], rule, reader)
        if read is None or read.value is None:
            found.append((-1, unit))
            continue
        match = next((item for item in pool if writer.equal(item[1], read.value, reader)), None)
        if match is not None:
            pool.remove(match)
            found.append((match[0], unit))
        elif writer.equal(None, read.value, reader):
            found.append((-1, unit))
    return found


def _single(resource: Json, rule: Rule, kept: Sequence[Element | None], writer: Any) -> list[Element]:
    current = gathered(resource, rule.part)
    units = [one for one in kept if one is not None]
    if kept:
        reader = writer.rereader()
        read = _rule_value(units, rule, reader) if units else None
        value = read.value if read is not None else None
        if value is None:
            value = rule.default
        if writer.equal(_owned(current, value, rule.part), value, reader):
            return units
    elif current is None or (not rule.part.to.steps and not current):
        return []
    if current is None or not holds(resource, rule.when) or rule.kept:
        return []
    return _encoded(current, rule, writer)


def _owned(current: Any, value: Any, part: Part) -> Any:
    """Return what of an element shared by several rules is this rule's."""
    owns = part.options.get("owns")
    if not owns or not isinstance(current, dict):
        return current
    names = {*owns, *(value or {})}
    found = {name: one for name, one in current.items() if name in names}
    if "extension" in found:
        urls = {one.get("url") for one in (value or {}).get("extension", ())}
        found["extension"] = [one for one in found["extension"] if one.get("url") in urls]
    return found or None


def gathered(resource: Json, part: Part) -> Any:
    """Return the value of a part as it stands in the resource; of a value made of values, those that it is made of."""
    current = get(resource, part.to) if part.to.steps else resource
    if not part.parts or current is None:
        return current
    found: Json = {}
    for one in part.parts:
        value = get(current, one.to)
        if value is None or value == []:
            continue
        for each in value if one.to.many else [value]:
            put(found, one.to, each)
    return found or None


def _encoded(value: Any, rule: Rule, writer: Any) -> list[Element]:
    """Return the elements of a value that was not in CDA before."""
    part = rule.part
    if not part.path and not part.parts:
        owned = _owned(value, {}, part) if part.to.steps else value
        elements = CODECS[part.codec].write(owned, part, rule.at, writer) if owned is not None else []
        for element in elements:
            for attribute, values in rule.attributes.items():
                if element.get(attribute) is None and values[0]:
                    element.set(attribute, values[0])
        return elements
    element = framed(rule.frame) if rule.frame else make(rule.at)
    return [element] if _filled(element, part, value, writer) else []


def _filled(element: Element, part: Part, value: Any, writer: Any) -> bool:
    """Set a value below an element; say whether something of it found its place."""
    if part.parts:
        done = [_filled_part(element, one, value, writer) for one in part.parts]
        return any(done)
    return _set_at(
        element, part.path, CODECS[part.codec].write(value, part, part.path[-1] if part.path else "", writer)
    )


def _filled_part(element: Element, part: Part, holder: Any, writer: Any) -> bool:
    value = get(holder, part.to) if isinstance(holder, dict) else None
    if value is None or value == []:
        return False
    done = False
    for one in value if part.to.many else [value]:
        if part.parts:
            inner = make(part.path[-1]) if not part.options.get("frame") else framed(part.options["frame"])
            done = _filled(inner, Part((), None, part.to, part.codec, part.options, part.parts), one, writer) or done
            _set_at(element, part.path, [inner], append=part.to.many)
        elif part.path:
            new = CODECS[part.codec].write(one, part, part.path[-1], writer)
            done = _set_at(element, part.path, new, append=part.to.many) or done
        elif part.attribute:
            for made in CODECS[part.codec].write(one, part, "x", writer):
                element.set(part.attribute, made.get(part.attribute) or "")
                done = True
    return done


def _set_at(element: Element, path: Sequence[str], new: Sequence[Element], *, append: bool = False) -> bool:
    """Put elements at a path; a placeholder of the frame there gives way."""
    if not new or not path:
        return False
    parent = element
    for name in path[:-1]:
        child = next(parent.iterchildren(tag(name)), None)
        if child is None:
            child = make(name)
            parent.append(child)
        parent = child
    holder = next(parent.iterchildren(tag(path[-1])), None)
    if holder is not None and not append:
        for key, value in holder.attrib.items():
            if new[0].get(key) is None:
                new[0].set(key, value)
        parent.replace(holder, new[0])
        parent.extend(new[1:])
    else:
        parent.extend(new)
    return True
