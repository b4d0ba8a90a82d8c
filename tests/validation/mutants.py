"""Instances and mutants made from snapshots: what a profile wants, and what breaks each of its statements once.

An instance is built from the elements that the profile changes against R4; a mutant breaks one statement and names the
rule that must catch it, as `element id#rule`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from fhir_dmp.validation.base import CORE, Base
from fhir_dmp.validation.conformance import Profiles
from fhir_dmp.validation.tree import Node

Json = dict[str, Any]
Place = tuple[str | int, ...]

UUID = "urn:uuid:0f0e0d0c-0b0a-4908-8706-050403020100"
OID = "urn:oid:1.2.250.1.999.1.7"
_PRIMITIVES: dict[str, Any] = {
    "base64Binary": "QUJD",
    "boolean": True,
    "canonical": "http://example.org/x",
    "code": "x",
    "date": "2026-01-02",
    "dateTime": "2026-01-02T10:00:00Z",
    "decimal": 1,
    "id": "x",
    "instant": "2026-01-02T10:00:00Z",
    "integer": 1,
    "markdown": "x",
    "oid": OID,
    "positiveInt": 1,
    "string": "x",
    "time": "10:00:00",
    "unsignedInt": 1,
    "uri": "http://example.org/x",
    "url": "http://example.org/x",
    "uuid": UUID,
    "xhtml": '<div xmlns="http://www.w3.org/1999/xhtml">x</div>',
}
_COMPLEX: dict[str, Json] = {
    "Address": {"city": "x"},
    "Attachment": {"title": "x"},
    "CodeableConcept": {"text": "x"},
    "Coding": {"code": "x"},
    "HumanName": {"family": "x"},
    "Identifier": {"value": "x"},
    "Meta": {"source": "urn:x"},
    "Narrative": {"status": "empty", "div": _PRIMITIVES["xhtml"]},
    "Period": {"start": "2026-01-02"},
    "Quantity": {"value": 1},
    "Reference": {"display": "x"},
}
#: A code of each value set whose codes are made by rules.
_RULED = {
    "http://hl7.org/fhir/ValueSet/mimetypes": ("urn:ietf:bcp:13", "text/plain"),
    "http://hl7.org/fhir/ValueSet/ucum-units": ("http://unitsofmeasure.org", "mg"),
}
#: Values that a constraint in FHIRPath wants of an identifier, by the code of its type.
_IDENTIFIERS = {"entryUUID": UUID, "uniqueId": OID}
#: Values that a constraint or a value set of R4 wants, by the end of the element's id.
_WANTED: dict[str, Any] = {f"identifier:{kind}.value": value for kind, value in _IDENTIFIERS.items()} | {
    "attachment.contentType": "text/plain",
    "attachment.language": "fr-FR",
}


@dataclass(frozen=True, slots=True)
class Mutant:
    """A broken instance. rule: what must catch it, as `element id#rule`."""

    rule: str
    value: Json


class Maker:
    """Makes the fullest plain instance of a profile, and remembers where each element stands."""

    def __init__(self, profiles: Profiles, url: str) -> None:
        tree = profiles.tree(url)
        assert tree is not None, url
        self.root = tree
        self._profiles = profiles
        self._base: Base = profiles.base
        self.places: dict[str, Place] = {}
        self._contained: dict[str, Json] = {}

    def instance(self) -> Json:
        """Return the instance."""
        self.places = {self.root.id: ()}
        made: Json = {"resourceType": self.root.type} if self._base.structures.is_resource(self.root.type) else {}
        self._fill(self.root, made, ())
        if self.root.type == "Identifier":
            kinds = made.get("type", {}).get("coding", [{}])
            made["value"] = _IDENTIFIERS.get(kinds[0].get("code"), made["value"])
        if self._contained:
            made["contained"] = list(self._contained.values())
        return made

    def base_of(self, parent: Node, child: Node) -> Json:
        """Return what R4 says of an element."""
        for each in self._base.children(parent.type, parent.type):
            if each["path"].rpartition(".")[2] == child.name:
                return each
        return {}

    def changed(self, parent: Node, child: Node) -> bool:
        """Say whether the profile says more than R4 about an element or what is below it."""
        before, now = self.base_of(parent, child), child.definition
        keys = ("min", "max", "binding", "maxLength", "contentReference")
        if any(before.get(key) != now.get(key) for key in keys) or child.slices:
            return True
        if any(key.startswith(("fixed", "pattern", "minValue", "maxValue")) for key in now):
            return True
        if [(t.get("code"), t.get("targetProfile"), t.get("profile")) for t in before.get("type", ())] != [
            (t.get("code"), t.get("targetProfile"), t.get("profile")) for t in now.get("type", ())
        ]:
            return True
        if {each["key"] for each in now.get("constraint", ())} - {each["key"] for each in before.get("constraint", ())}:
            return True
        return any(self.changed(child, each) for each in child.children.values())

    def _fill(self, node: Node, made: Json, place: Place) -> None:
        for child in node.children.values():
            if child.top == 0 or not (child.low or self.changed(node, child)):
                continue
            if child.name in ("id",) or (child.name in made and not child.children):
                continue
            self._place(node, child, made, place)

    def _place(self, parent: Node, child: Node, made: Json, place: Place) -> None:
        element = self._base.structures.element(parent.type, child.name)
        slices = [each for each in child.slices if each.top != 0]
        if element is not None and element.is_list:
            listed = made.setdefault(child.name, [])
            for each in slices:
                for _ in range(max(1, each.low)):
                    self.places.setdefault(each.id, (*place, child.name, len(listed)))
                    listed.append(self.value(each, (*place, child.name, len(listed))))
            while len(listed) < max(child.low, 0 if slices else 1):
                listed.append(self.value(child, (*place, child.name, len(listed))))
            self.places[child.id] = (*place, child.name)
            if listed:
                self._below(child, listed[0], (*place, child.name, 0))
            return
        one = slices[0] if slices else child
        name = self._name(child, one)
        self.places[child.id] = self.places[one.id] = (*place, name)
        made[name] = self.value(one, (*place, name), made.get(name))

    def _below(self, child: Node, first: Any, place: Place) -> None:
        """What the element says of all its slices stands in the first one."""
        if child.slices and isinstance(first, dict):
            self._fill(child, first, place)

    def _name(self, child: Node, one: Node) -> str:
        if not child.name.endswith("[x]"):
            return child.name
        code = self._code(one)
        return child.name.removesuffix("[x]") + code[0].upper() + code[1:]

    @staticmethod
    def _code(node: Node) -> str:
        for key in node.definition:
            for prefix in ("fixed", "pattern"):
                if key.startswith(prefix):
                    name = key.removeprefix(prefix)
                    return next((code for code in node.codes if code.lower() == name.lower()), name)
        return node.codes[0]

    def value(self, node: Node, place: Place, known: Any = None) -> Any:
        """Return one value of an element."""
        fixed = node.value("fixed")
        if fixed is not None:
            return deepcopy(fixed)
        for end, wanted in _WANTED.items():
            if node.id.endswith(end):
                return wanted
        code = self._code(node) if node.codes else ""
        if self._base.structures.is_primitive(code):
            return node.value("pattern") or self._coded(node) or _PRIMITIVES[code]
        made: Any = deepcopy(node.value("pattern")) or deepcopy(known) or {}
        if self._base.structures.is_resource(code) and code != "Resource":
            return self._resource(node, code)
        if code == "Extension" and node.profiles("Extension") and not made:
            made = self._extension(node, place)
        elif not made and (profiled := self._profiled(node, code)) is not None:
            made = profiled
        self._fill(node, made, place)
        if not made:
            made = self._plain(node, code)
        return made

    def _coded(self, node: Node) -> str | None:
        binding = node.definition.get("binding") or {}
        if binding.get("strength") != "required":
            return None
        return next((code for _, code in self._codes(str(binding["valueSet"]))), None)

    def _codes(self, url: str) -> Iterator[tuple[str, str]]:
        bare = url.partition("|")[0]
        if bare in _RULED:
            yield _RULED[bare]
        for system, codes in (self._base.codes(bare) or {}).items():
            yield from ((system, code) for code in codes)
        for each in LOADED:
            if each["resourceType"] == "ValueSet" and each["url"] == bare:
                for part in each["compose"]["include"]:
                    yield from ((part["system"], concept["code"]) for concept in part.get("concept", ()))

    def _plain(self, node: Node, code: str) -> Any:
        binding = node.definition.get("binding") or {}
        coding = next(self._codes(str(binding.get("valueSet", ""))), None) if binding else None
        if coding and code in ("Coding", "CodeableConcept", "Quantity"):
            said: Json = {"system": coding[0], "code": coding[1]}
            return {"coding": [said]} if code == "CodeableConcept" else said
        if code == "Reference":
            targets = node.profiles("Reference", "targetProfile")
            type_ = str(self._profiles.type_of(targets[0]) if targets else "Patient")
            if "contained" in aggregation(node):
                self._contained[type_] = {"resourceType": type_, "id": type_}
                return {"reference": f"#{type_}"}
            return {"reference": f"{type_}/1"}
        if code in _COMPLEX:
            return deepcopy(_COMPLEX[code])
        return {"extension": [{"url": "http://example.org/e", "valueBoolean": True}]}

    def _extension(self, node: Node, place: Place) -> Json:
        return Maker(self._profiles, node.profiles("Extension")[0]).instance()

    def _profiled(self, node: Node, code: str) -> Json | None:
        """Return a value of the profile that a data type has here."""
        for url in node.profiles(code):
            if self._profiles.tree(url) is not None:
                return Maker(self._profiles, url).instance()
        return None

    def _resource(self, node: Node, code: str) -> Json:
        profiles = node.profiles(code)
        if profiles and self._profiles.tree(profiles[0]) is not None:
            return {**Maker(self._profiles, profiles[0]).instance(), "meta": {"profile": [profiles[0]]}}
        return {"resourceType": code}


LOADED: list[Json] = []


def aggregation(node: Node) -> list[str]:
    """Return the places that a reference may lead to, [] for any."""
    return [mode for each in node.definition.get("type", ()) for mode in each.get("aggregation", ())]


def at(value: Any, place: Place) -> Any:
    """Return what stands at a place."""
    for step in place:
        value = value[step]
    return value


def mutants(maker: Maker, whole: Json) -> Iterator[Mutant]:
    """Yield a mutant for each statement of the profile that R4 does not make itself."""
    for parent, child, around in _pairs(maker.root, ()):
        place = maker.places.get(child.id)
        holder = maker.places.get(parent.id)
        found: list[Mutant] = []
        if child.slice:
            found += _of_slice(child, place, whole)
        elif holder is not None:
            found += _of_element(maker, parent, child, place, _inside(parent, holder, whole), whole)
        if place is not None:
            found += _of_value(maker, parent, child, place, whole)
        for mutant in found:
            taken = _slice_taken(child, mutant.rule, around)
            if taken is None:
                yield mutant
            elif taken.low:
                yield Mutant(f"{taken.id}#min", mutant.value)


def _inside(parent: Node, holder: Place, whole: Json) -> Place:
    return (*holder, 0) if isinstance(at(whole, holder), list) else holder


#: A slice, and the paths that tell it from the others by their content.
Around = tuple[tuple[Node, tuple[str, ...]], ...]


def _pairs(node: Node, around: Around) -> Iterator[tuple[Node, Node, Around]]:
    for child in node.children.values():
        yield node, child, around
        yield from _pairs(child, around)
        given = (child.definition.get("slicing") or {}).get("discriminator") or [{"path": "url"}]
        paths = tuple(each["path"] for each in given if each.get("type") != "type")
        for each in child.slices:
            inner = (*around, (each, paths))
            yield node, each, inner
            yield from _pairs(each, inner)


def _slice_taken(child: Node, rule: str, around: Around) -> Node | None:
    """Return the slice that a break takes away, because the others are told from it by what is broken."""
    kind = rule.rpartition("#")[2]
    if kind == "max":
        return None  # more of the same takes nothing away
    for slice_, paths in around:
        inner = ".".join(step.partition(":")[0] for step in child.id[len(slice_.id) + 1 :].split("."))
        if child is slice_ and kind in ("min", "max"):
            continue
        for path in paths:
            if path == "$this" or not inner or f"{path}.".startswith(f"{inner}.") or f"{inner}.".startswith(f"{path}."):
                if path == "$this" and kind not in ("pattern", "fixed"):
                    continue
                return slice_
    return None


def _changed(whole: Json, change: Callable[[Json], None]) -> Json:
    copy = deepcopy(whole)
    change(copy)
    return copy


def _of_slice(node: Node, place: Place | None, whole: Json) -> Iterator[Mutant]:
    if place is None or not isinstance(place[-1], int):
        return
    *outer, index = place
    held = at(whole, tuple(outer))
    if node.low:

        def without(copy: Json) -> None:
            kept = at(copy, tuple(outer))
            kept[index] = deepcopy(kept[0] if index else kept[-1])
            if len(kept) == 1:
                del at(copy, tuple(outer[:-1]))[outer[-1]]

        if len(held) == 1 or held[index] != held[0 if index else -1]:
            yield Mutant(f"{node.id}#min", _changed(whole, without))
    if node.top is not None:

        def again(copy: Json) -> None:
            kept = at(copy, tuple(outer))
            kept.extend(deepcopy(kept[index]) for _ in range(int(node.top or 0)))

        yield Mutant(f"{node.id}#max", _changed(whole, again))


def _of_element(
    maker: Maker, parent: Node, child: Node, place: Place | None, holder: Place, whole: Json
) -> Iterator[Mutant]:
    before = maker.base_of(parent, child)
    if child.low > before.get("min", 0) and place is not None:
        yield Mutant(f"{child.id}#min", _changed(whole, lambda copy: at(copy, place[:-1]).pop(place[-1])))
    if child.top == 0 and before.get("max") != "0":
        value = _any_value(maker, parent, child)
        if value is not None:
            name, made = value
            yield Mutant(f"{child.id}#max", _changed(whole, lambda copy: at(copy, holder).update({name: made})))
    elif child.top is not None and before.get("max") == "*" and place is not None:
        listed = at(whole, place)
        if isinstance(listed, list) and listed and not child.slices:
            more = [*listed, *[deepcopy(listed[-1]) for _ in range(child.top)]]
            yield Mutant(
                f"{child.id}#max", _changed(whole, lambda copy: at(copy, place[:-1]).update({place[-1]: more}))
            )
    rules = (child.definition.get("slicing") or {}).get("rules")
    if rules == "closed" and place is not None and isinstance(at(whole, place), list):
        odd: Json = {"name": "odd"} if child.codes == ("BackboneElement",) else {"url": "http://example.org/odd"}
        yield Mutant(f"{child.id}#slicing", _changed(whole, lambda copy: at(copy, place).append(odd)))


def _any_value(maker: Maker, parent: Node, child: Node) -> tuple[str, Any] | None:
    element = maker._base.structures.element(parent.type, child.name)
    if element is None:
        return None
    name, code = element.property_names()[0]
    value: Any = _PRIMITIVES.get(code) or deepcopy(_COMPLEX.get(code)) or {"id": "x"}
    return name, [value] if element.is_list else value


def _of_value(maker: Maker, parent: Node, child: Node, place: Place, whole: Json) -> Iterator[Mutant]:
    value = at(whole, place)
    first = (*place, 0) if isinstance(value, list) else place
    held = at(whole, first) if value != [] else None
    if held is None:
        return
    for kind in ("fixed", "pattern"):
        if child.value(kind) is not None:
            odd = {"coding": [{"code": "odd"}]} if isinstance(held, dict) else "odd"
            yield Mutant(f"{child.id}#{kind}", _put(whole, first, odd))
    before = maker.base_of(parent, child)
    binding = child.definition.get("binding") or {}
    if binding.get("strength") in ("required", "extensible") and binding != before.get("binding"):
        odd_code = {"system": "http://example.org/odd", "code": "odd"}
        made: Any = odd_code if "code" in held and isinstance(held, dict) else {"coding": [odd_code]}
        yield Mutant(f"{child.id}#binding", _put(whole, first, made if isinstance(held, dict) else "odd"))
    if (
        child.name.endswith("[x]")
        and not child.slice
        and set(child.codes) < {t["code"] for t in before.get("type", ())}
    ):
        yield from _other_type(maker, parent, child, place, whole)
    targets = child.profiles("Reference", "targetProfile")
    if aggregation(child) == ["contained"]:
        yield Mutant(f"{child.id}#aggregation", _put(whole, first, {"reference": "http://example.org/x"}))
    known = [CORE + t for t in ("Resource",)]
    if targets and "Reference" in child.codes and not set(targets) & set(known) and isinstance(held, dict):
        said = [u for t in before.get("type", ()) for u in t.get("targetProfile", ())]
        if set(said) != set(targets):
            yield Mutant(f"{child.id}#targetProfile", _put(whole, first, {"reference": "Basic/1"}))


def _other_type(maker: Maker, parent: Node, child: Node, place: Place, whole: Json) -> Iterator[Mutant]:
    element = maker._base.structures.element(parent.type, child.name)
    others = [pair for pair in (element.property_names() if element else ()) if pair[1] not in child.codes]
    name, code = next(pair for pair in others if pair[1] in _PRIMITIVES or pair[1] in _COMPLEX)
    odd = _PRIMITIVES.get(code) or deepcopy(_COMPLEX.get(code))

    def change(copy: Json) -> None:
        holder = at(copy, place[:-1])
        del holder[place[-1]]
        holder[name] = odd

    yield Mutant(f"{child.id}#type", _changed(whole, change))


def _put(whole: Json, place: Place, value: Any) -> Json:
    def change(copy: Json) -> None:
        at(copy, place[:-1])[place[-1]] = value

    return _changed(whole, change)
