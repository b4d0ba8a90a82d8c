"""What terminology operations are asked with and answer with: codes, Codings, concepts, and named parameters.

https://hl7.org/fhir/R4/operations.html#request
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from fhir_dmp.errors import BadRequest, NotFound
from fhir_dmp.fhir.elements import objects_of, text_of
from fhir_dmp.fhir.resource import Json, dump
from fhir_dmp.interactions import authorise, record
from fhir_dmp.interactions.exchange import Answer, Call
from fhir_dmp.interactions.operations.primitives import RESOURCE, Given, given
from fhir_dmp.interactions.operations.sent import well_formed
from fhir_dmp.interactions.read import current
from fhir_dmp.interactions.services import Services
from fhir_dmp.terminology.aliases import canonical_system
from fhir_dmp.terminology.value_set import split_canonical

_FOUND = TypeVar("_FOUND")


@dataclass(frozen=True, slots=True)
class Asked:
    """A code that is asked about. system None: it was not said. named: how the caller gave it (for `expression`)."""

    system: str | None
    code: str
    version: str | None = None
    display: str | None = None
    named: str = "code"


class Inputs:
    """The parameters of a call: primitives by name, and what only a body can carry."""

    def __init__(self, call: Call, declared: Mapping[str, tuple[str, ...]], refused: Collection[str] = ()) -> None:
        """Read them. refused: parameters of R4 without which the answer would be another, and which are not offered.

        Raises:
            BadRequest: one of those, or what `primitives.given` refuses.
        """
        asked = _wrapped(call, declared)
        body = asked.payload.resource if asked.payload else None
        self._parts = objects_of(body.get("parameter")) if body is not None else []
        for name in refused:
            if any(each.get("name") == name for each in self._parts) or any(key == name for key, _ in call.query):
                text = f"The parameter '{name}' is not supported, and without it the answer could be another."
                raise BadRequest(text, code="not-supported", expression=name)
        self._given: Given = given(asked, declared)

    def one(self, name: str) -> str | None:
        """Return a primitive parameter, None when it was not given.

        Raises:
            BadRequest: given several times.
        """
        return self._given.one(name)

    def all(self, name: str) -> tuple[str, ...]:
        """Return every value of a primitive parameter."""
        return self._given.all(name)

    def flag(self, name: str, default: bool = False) -> bool:
        """Return a boolean parameter."""
        return default if self.one(name) is None else self._given.flag(name)

    def number(self, name: str) -> int | None:
        """Return a count, None when it was not given.

        Raises:
            BadRequest: no whole number, or negative.
        """
        value = self.one(name)
        if value is None:
            return None
        if not value.isdecimal() or len(value) > 9:
            raise BadRequest(f"The parameter '{name}' is a whole number from 0.", code="value", expression=name)
        return int(value)

    def parts(self, name: str) -> list[list[Json]]:
        """Return the parts of every parameter of this name."""
        return [objects_of(each.get("part")) for each in self._parts if each.get("name") == name]

    def versions(self, name: str) -> dict[str, str]:
        """Return versions by code system (preferred spelling), from canonical URLs `system|version`.

        Raises:
            BadRequest: no version in one of them.
        """
        found = {}
        for value in self.all(name):
            system, version = split_canonical(value)
            if version is None:
                raise BadRequest(f"The parameter '{name}' is system|version.", code="value", expression=name)
            found[canonical_system(system)] = version
        return found

    def resource(self, name: str, type_: str) -> Json | None:
        """Return a resource that the body brings.

        Raises:
            BadRequest: of another type.
        """
        part = next((each for each in self._parts if each.get("name") == name), None)
        if part is None:
            return None
        found = part.get("resource")
        if not isinstance(found, dict) or found.get("resourceType") != type_:
            raise BadRequest(f"The parameter '{name}' needs a {type_} as resource.", code="value", expression=name)
        return found

    def codes(self, code: str = "code", coding: str = "coding", concept: str = "codeableConcept") -> list[Asked]:
        """Return what is asked about, from the one form in which it was given: code (with system, version and
        display), coding, or codeableConcept with one or several codings.

        Raises:
            BadRequest: in none of these forms, in several, or without a code.
        """
        forms = [self._bare(code), self._codings(coding, "valueCoding"), self._concept(concept)]
        named = [each for each in forms if each is not None]
        if len(named) != 1:
            what = f"Give either {code} (with system), {coding} or {concept}" if concept else f"Give {code} or {coding}"
            raise BadRequest(f"{what}, once.", code="required" if not named else "value", expression=code)
        if not named[0]:
            raise BadRequest("A code is missing.", code="required", expression=code)
        return named[0]

    def _bare(self, name: str) -> list[Asked] | None:
        code = self.one(name)
        if code is None:
            return None
        said = (self.one("system"), code, self.one("version") or self.one("systemVersion"), self.one("display"))
        return [Asked(*said, named=name)]

    def _codings(self, name: str, key: str) -> list[Asked] | None:
        part = next((each for each in self._parts if each.get("name") == name), None) if name else None
        if part is None:
            text = self.one(name) if name else None
            if text is None:
                return None
            system, bar, code = text.partition("|")
            return [Asked(system or None, code, named=name)] if bar and code else []
        return [asked] if (asked := _asked(part.get(key), name)) else []

    def _concept(self, name: str) -> list[Asked] | None:
        part = next((each for each in self._parts if each.get("name") == name), None) if name else None
        if part is None:
            return None
        value = part.get("valueCodeableConcept")
        codings = objects_of(value.get("coding")) if isinstance(value, dict) else []
        return [asked for each in codings if (asked := _asked(each, name))]

    @property
    def ignored(self) -> Given:
        """What was read, with a warning for each parameter that the operation does not have."""
        return self._given


def _wrapped(call: Call, declared: Mapping[str, tuple[str, ...]]) -> Call:
    """Return the call with Parameters as its body, also where the one resource that it takes was sent bare."""
    body = call.payload.resource if call.payload else None
    name = next((each for each, types in declared.items() if types == (RESOURCE,)), None)
    if call.payload is None or body is None or name is None or body.get("resourceType") != call.path[0]:
        return call
    made = {"resourceType": "Parameters", "parameter": [{"name": name, "resource": body}]}
    return replace(call, payload=replace(call.payload, resource=made))


def _asked(coding: Any, name: str) -> Asked | None:
    code = text_of(coding.get("code")) if isinstance(coding, dict) else None
    if code is None:
        return None
    system, version, display = (text_of(coding.get(key)) for key in ("system", "version", "display"))
    return Asked(system, code, version, display, named=name)


#: Parameters that say which code is asked about, as `primitives.given` declares them.
CODE: Mapping[str, tuple[str, ...]] = {
    "code": ("code", "string"),
    "system": ("uri", "string"),
    "version": ("string",),
    "coding": ("Coding",),
}
#: The same where a name may be judged, too, and one of several codes suffices.
CODED: Mapping[str, tuple[str, ...]] = {**CODE, "display": ("string",), "codeableConcept": ("CodeableConcept",)}


def definition(
    call: Call,
    inputs: Inputs,
    services: Services,
    *,
    body: tuple[str, Callable[[Json], _FOUND]],
    by_url: Callable[[str, str | None], _FOUND | None],
    version: str,
) -> _FOUND:
    """Return the definition that an operation works on: the instance, one sent along, or one named by canonical URL.

    body: name of the parameter that may carry it and how it is read; version: name of the parameter for its version.

    Raises:
        BadRequest: none is named. NotFound: it is not loaded.
    """
    type_ = call.path[0]
    name, read = body
    if len(call.path) == 3:
        found = current(call, services)
        authorise.to_read(call, found, services)
        return services.definitions.read(found, read)
    sent = inputs.resource(name, type_) if name else None
    if sent is not None:
        return read(well_formed(sent, services))
    url = inputs.one("url")
    if url is None:
        also = f", or send the {type_} as '{name}'" if name else ""
        raise BadRequest(f"Name a {type_} by its canonical URL as 'url'{also}.", code="required", expression="url")
    canonical, said = split_canonical(url)
    known = by_url(canonical, said or inputs.one(version))
    if known is None:
        raise unknown(f"The {type_}", url)
    return known


def unknown(what: str, url: str) -> NotFound:
    """Return the refusal of a definition that is not here."""
    return NotFound(f"{what} {url[:200]} is not loaded here.", code="not-found")


def parameters(*pairs: tuple[str, str, Any]) -> Json:
    """Return Parameters of (name, type, value); a value of None or "" is left out, a list of parts is nested.

    >>> parameters(("result", "boolean", True), ("message", "string", None))
    {'resourceType': 'Parameters', 'parameter': [{'name': 'result', 'valueBoolean': True}]}
    """
    return {"resourceType": "Parameters", "parameter": parts(*pairs)}


def parts(*pairs: tuple[str, str, Any]) -> list[Json]:
    """Return parameters as a list, as `parameters` writes them."""
    return [
        {"name": name, "part": value}
        if type_ == "part"
        else {"name": name, f"value{type_[0].upper()}{type_[1:]}": value}
        for name, type_, value in pairs
        if value is not None and value != ""
    ]


def answered(call: Call, services: Services, inputs: Inputs, body: Json) -> Answer:
    """Record the call and return its answer, with what was ignored."""
    record.keep(services, record.record(call, "operation", services, what=[call.path[-1]]))
    warnings = tuple(("Warning", f'299 - "{issue.diagnostics[:200]}"') for issue in inputs.ignored.issues)
    return Answer(body=dump(body), headers=warnings)
