"""Primitive parameters of an operation, from the URL of a GET or from the Parameters of a POST.

https://hl7.org/fhir/R4/operations.html#request. What is not declared is ignored aloud, or refused by strict handling.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fhir_dmp.errors import BadRequest, Issue
from fhir_dmp.fhir.resource import Json
from fhir_dmp.interactions.exchange import Call

#: What a URL may carry beside the parameters of the operation.
UNREPORTED = frozenset({"_format", "_pretty", "_page"})

#: Declares a parameter whose value is a resource: the operation takes it from the body itself.
RESOURCE = "Resource"

#: Declares a parameter that has parts instead of a value: the operation takes them from the body itself.
PARTS = "part"

Pairs = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Given:
    """The parameters of a call, in their order, and a warning for each that the operation does not have."""

    pairs: Pairs
    issues: tuple[Issue, ...] = ()

    def all(self, name: str) -> tuple[str, ...]:
        """Return every value of a parameter that may repeat."""
        return tuple(value for known, value in self.pairs if known == name and value)

    def one(self, name: str) -> str | None:
        """Return the value of a parameter, None when it was not given.

        Raises:
            BadRequest: given several times.
        """
        found = self.all(name)
        if len(found) > 1:
            raise BadRequest(f"The parameter '{name}' is given {len(found)} times.", code="value", expression=name)
        return found[0] if found else None

    def flag(self, name: str) -> bool:
        """Return a boolean, False when it was not given.

        Raises:
            BadRequest: neither true nor false.
        """
        value = self.one(name)
        if value not in (None, "true", "false"):
            raise BadRequest(f"The parameter '{name}' is true or false.", code="value", expression=name)
        return value == "true"


def given(call: Call, declared: Mapping[str, tuple[str, ...]]) -> Given:
    """Read the parameters of a call. declared: name -> the FHIR types that its value may have.

    Raises:
        BadRequest: a body that is no Parameters, a value of another type, or with strict handling an unknown parameter.
    """
    pairs = [(name, value) for name, value in call.query if name not in UNREPORTED]
    body = call.payload.resource if call.payload else None
    if body is not None:
        pairs += _of_body(body, declared)
    unknown = list(dict.fromkeys(name for name, _ in pairs if name not in declared))
    offered = ", ".join(declared)
    if unknown and call.info.strict:
        raise BadRequest(
            issues=[
                Issue(
                    "not-supported",
                    f"There is no parameter '{name[:60]}'; there are {offered}.",
                    expression=(name[:60],),
                )
                for name in unknown
            ]
        )
    issues = tuple(
        Issue("not-supported", f"The parameter '{name[:60]}' was ignored; there are {offered}.", severity="warning")
        for name in unknown
    )
    return Given(tuple(pair for pair in pairs if pair[0] in declared), issues)


def _of_body(body: Json, declared: Mapping[str, tuple[str, ...]]) -> Pairs:
    if body.get("resourceType") != "Parameters" or not isinstance(body.get("parameter", []), list):
        raise BadRequest("The body must be a Parameters resource.", code="structure", expression="resourceType")
    found = []
    for index, part in enumerate(body.get("parameter", [])):
        name = part.get("name") if isinstance(part, dict) else None
        if not isinstance(name, str):
            raise BadRequest(
                "A parameter needs a name.", code="required", expression=f"Parameters.parameter[{index}].name"
            )
        found.append((name, _text(part, declared[name], index) if name in declared else ""))
    return tuple(found)


def _text(part: Json, types: tuple[str, ...], index: int) -> str:
    """Return a primitive, or a Coding or CodeableConcept as the token that a search understands."""
    if RESOURCE in types and isinstance(part.get("resource"), dict):
        return ""
    if PARTS in types and isinstance(part.get("part"), list):
        return ""
    for type_ in types:
        value = part.get(f"value{type_[0].upper()}{type_[1:]}")
        text = _READERS.get(type_, _string)(value)
        if text is not None:
            return text
    wanted = " or ".join(f"value{type_[0].upper()}{type_[1:]}" for type_ in types)
    raise BadRequest(
        f"The parameter '{part['name']}' needs {wanted}.", code="value", expression=f"Parameters.parameter[{index}]"
    )


def _string(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _boolean(value: Any) -> str | None:
    return str(value).lower() if isinstance(value, bool) else None


def _integer(value: Any) -> str | None:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else None


def _coding(value: Any) -> str | None:
    code = value.get("code") if isinstance(value, dict) else None
    if not isinstance(code, str):
        return None
    escaped = code.replace("\\", "\\\\").replace(",", "\\,").replace("|", "\\|").replace("$", "\\$")
    return f"{value['system']}|{escaped}" if isinstance(value.get("system"), str) else escaped


def _concept(value: Any) -> str | None:
    codings = value.get("coding") if isinstance(value, dict) else None
    found = [text for coding in codings if (text := _coding(coding))] if isinstance(codings, list) else []
    return ",".join(found) or None


_READERS = {"boolean": _boolean, "integer": _integer, "Coding": _coding, "CodeableConcept": _concept}
