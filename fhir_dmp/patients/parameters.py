"""The Parameters of an operation on a dossier, read strictly: a misspelt parameter must not pass for an absent one.

Each operation declares its parameters as a table (name -> FHIR type), which its OperationDefinition repeats.
https://hl7.org/fhir/R4/parameters.html
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from fhir_dmp.errors import BadRequest, Unprocessable
from fhir_dmp.fhir.elements import text_of
from fhir_dmp.fhir.resource import Json
from fhir_dmp.patients.ins import Ins, ins_in
from fhir_dmp.terminology.aliases import PROFESSIONAL, STRUCTURE, canonical_identifier

#: (national identifier system, value) of a professional or a structure, in the canonical spelling.
Who = tuple[str, str]

#: Names the dossier of an operation that is called on the type.
IDENTIFIER = "identifiant"
MAX_TEXT = 2000
_KINDS: dict[str, type] = {
    "boolean": bool,
    "string": str,
    "code": str,
    "date": str,
    "Identifier": dict,
    "CodeableConcept": dict,
}
_PROFESSIONAL_FORM = re.compile(r"0[0-9A-Z]{9}|8[0-9]{11}|[13456][0-9A-Z]+/\S+")
_STRUCTURE_FORM = re.compile(r"[0-9A-Za-z]{5,40}")
_DAY = re.compile(r"\d{4}-\d\d-\d\d")


def place_of(name: str) -> str:
    """Return the FHIRPath of a parameter."""
    return f"Parameters.parameter.where(name='{name}')"


@dataclass(frozen=True, slots=True)
class Arguments:
    """The parameters that were given, by name, with values of the declared types."""

    values: Mapping[str, Any]

    def flag(self, name: str) -> bool | None:
        """Return a boolean, None when it was not given."""
        value = self.values.get(name)
        return value if isinstance(value, bool) else None

    def text(self, name: str) -> str | None:
        """Return a string or code without surrounding spaces, None when it was not given or is blank.

        Raises:
            Unprocessable: longer than a reason needs; reasons are kept in the audit trail for ever.
        """
        value = text_of(self.values.get(name))
        if value is not None and len(value) > MAX_TEXT:
            raise Unprocessable(
                f"'{name}' may have {MAX_TEXT} characters at most.", code="too-long", expression=place_of(name)
            )
        return value.strip() if value is not None else None

    def day(self, name: str) -> str | None:
        """Return a whole date, None when it was not given.

        Raises:
            Unprocessable: a partial date, or no date of the calendar.
        """
        value = text_of(self.values.get(name))
        if value is None:
            return None
        try:
            if _DAY.fullmatch(value):
                return date.fromisoformat(value).isoformat()
        except ValueError:
            pass
        raise Unprocessable(f"'{name}' must be a whole date: YYYY-MM-DD.", code="value", expression=place_of(name))

    def concept(self, name: str) -> Json | None:
        """Return a CodeableConcept, None when it was not given."""
        value = self.values.get(name)
        return value if isinstance(value, dict) else None

    def identifier(self, name: str) -> Json | None:
        """Return an Identifier, None when it was not given."""
        return self.concept(name)

    def ins(self) -> Ins | None:
        """Return the INS that names the dossier, None when `identifiant` was not given.

        Raises:
            BadRequest: it is not the system and value of an INS; whether somebody holds it is another question.
        """
        identifier = self.identifier(IDENTIFIER)
        if identifier is None:
            return None
        found = ins_in(identifier)
        if found is None:
            raise BadRequest(
                "'identifiant' needs the system and the value of an INS (NIR or NIA).",
                code="required" if not text_of(identifier.get("system")) else "value",
                expression=place_of(IDENTIFIER),
            )
        return found

    def professional(self, name: str = "professionnel") -> Who | None:
        """Return the national identifier of a professional, None when it was not given."""
        return self._who(name, PROFESSIONAL, _PROFESSIONAL_FORM, "a professional (PSIdNat or RPPS)")

    def structure(self, name: str = "structure") -> Who | None:
        """Return the national identifier of a structure, None when it was not given."""
        return self._who(name, STRUCTURE, _STRUCTURE_FORM, "a structure (StructIdNat, FINESS or SIRET)")

    def _who(self, name: str, system: str, form: re.Pattern[str], what: str) -> Who | None:
        identifier = self.identifier(name)
        if identifier is None:
            return None
        stated, value = text_of(identifier.get("system")) or "", text_of(identifier.get("value")) or ""
        found = canonical_identifier(stated, value.strip())
        if found[0] != system or not form.fullmatch(found[1]):
            raise Unprocessable(
                f"'{name}' needs the system and the value of the national identifier of {what}.",
                code="value",
                expression=place_of(name),
            )
        return found


def missing(name: str, what: str) -> Unprocessable:
    """Return the refusal of a call that lacks a parameter."""
    return Unprocessable(f"The parameter '{name}' is missing: {what}.", code="required", expression=place_of(name))


def read_arguments(operation: str, parameters: Json | None, declared: Mapping[str, str]) -> Arguments:
    """Read the Parameters of an operation. declared: name -> FHIR type; `identifiant` is always known.

    Raises:
        BadRequest: no Parameters resource, a parameter that is unknown, given twice, or of another type.
    """
    if parameters is None or parameters.get("resourceType") != "Parameters":
        raise BadRequest(f"${operation} takes a Parameters resource.", code="structure")
    listed = parameters.get("parameter", [])
    if not isinstance(listed, list):
        raise BadRequest("Parameters.parameter must be an array.", code="structure", expression="Parameters.parameter")
    known = {IDENTIFIER: "Identifier", **declared}
    values: dict[str, Any] = {}
    for index, part in enumerate(listed):
        place = f"Parameters.parameter[{index}]"
        name = part.get("name") if isinstance(part, dict) else None
        if not isinstance(name, str) or name not in known:
            raise BadRequest(f"${operation} knows the parameters {', '.join(known)}.", expression=f"{place}.name")
        if name in values:
            raise BadRequest(f"The parameter '{name}' was given twice.", expression=place)
        values[name] = _value(name, part, known[name], place)
    return Arguments(values)


def _value(name: str, part: Json, kind: str, place: str) -> Any:
    key = f"value{kind[0].upper()}{kind[1:]}"
    value = part.get(key)
    if not isinstance(value, _KINDS[kind]):
        raise BadRequest(f"The parameter '{name}' needs {key}.", expression=place)
    return value
