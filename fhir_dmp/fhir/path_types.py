"""The type names that FHIRPath meets in R4 JSON: choice suffixes, subtypes, and how an untyped value is recognised.

JSON names a type only where an element is a choice (`valueQuantity`) or a resource (`resourceType`). Elsewhere the type
is decided by shape: a JSON object passes for a data type when it holds no element that the type lacks.
https://hl7.org/fhir/R4/datatypes.html
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

_PRIMITIVE = (
    "base64Binary boolean canonical code date dateTime decimal id instant integer markdown oid positiveInt string time "
    "unsignedInt uri url uuid"
)
PRIMITIVES = frozenset(_PRIMITIVE.split())
_COMPLEX = (
    "Address Age Annotation Attachment CodeableConcept Coding ContactDetail ContactPoint Contributor Count "
    "DataRequirement Distance Dosage Duration Expression HumanName Identifier Meta Money ParameterDefinition Period "
    "Quantity Range Ratio Reference RelatedArtifact SampledData Signature Timing TriggerDefinition UsageContext"
)

#: The end of a choice element's JSON name -> the type that it stands for (`DateTime` -> `dateTime`).
SUFFIXES: dict[str, str] = {name[0].upper() + name[1:]: name for name in (*PRIMITIVES, *_COMPLEX.split())}

_CHOICE = (
    "abatement additive age allowed amount answer asNeeded author born bounds characteristic chargeItem code collected "
    "content created date deceased defaultValue definingSubstance definition detail diagnosis dose doseNumber due "
    "duration effective entity event example fastingStatus fixed identified indication instances item legallyBinding "
    "location manufacturer maxValue medication minValue minimumVolume module multipleBirth name occurred occurrence "
    "offset onset participantEffective pattern performed probability procedure product quantity rate reported "
    "scheduled seriesDoses serviced source start statusReason studyEffective subject substance target time timing "
    "topic used value when"
)
#: Every element that is a choice of types somewhere in R4 (`value[x]` is `value`).
CHOICES = frozenset(_CHOICE.split())

_PARENTS = {
    "url": "uri",
    "canonical": "uri",
    "uuid": "uri",
    "oid": "uri",
    "code": "string",
    "id": "string",
    "markdown": "string",
    "positiveInt": "integer",
    "unsignedInt": "integer",
    "Age": "Quantity",
    "Count": "Quantity",
    "Distance": "Quantity",
    "Duration": "Quantity",
}
_QUANTITY = frozenset(("value", "comparator", "unit", "system", "code"))
_SHAPES: dict[str, frozenset[str]] = {
    "Address": frozenset(
        ("use", "type", "text", "line", "city", "district", "state", "postalCode", "country", "period")
    ),
    "Annotation": frozenset(("authorReference", "authorString", "time", "text")),
    "Attachment": frozenset(("contentType", "language", "data", "url", "size", "hash", "title", "creation")),
    "CodeableConcept": frozenset(("coding", "text")),
    "Coding": frozenset(("system", "version", "code", "display", "userSelected")),
    "ContactPoint": frozenset(("system", "value", "use", "rank", "period")),
    "HumanName": frozenset(("use", "text", "family", "given", "prefix", "suffix", "period")),
    "Identifier": frozenset(("use", "type", "system", "value", "period", "assigner")),
    "Meta": frozenset(("versionId", "lastUpdated", "source", "profile", "security", "tag")),
    "Money": frozenset(("value", "currency")),
    "Period": frozenset(("start", "end")),
    "Range": frozenset(("low", "high")),
    "Ratio": frozenset(("numerator", "denominator")),
    "Reference": frozenset(("reference", "type", "identifier", "display")),
    "SampledData": frozenset(("origin", "period", "factor", "lowerLimit", "upperLimit", "dimensions", "data")),
    "Timing": frozenset(("event", "repeat", "code", "modifierExtension")),
    **dict.fromkeys(("Quantity", "Age", "Count", "Distance", "Duration"), _QUANTITY),
}
_ANY = frozenset(("Element", "BackboneElement"))
_NOT_DOMAIN = frozenset(("Bundle", "Binary", "Parameters"))

DATE = re.compile(r"\d{4}(-\d\d(-\d\d)?)?")
DATE_TIME = re.compile(r"\d{4}(-\d\d(-\d\d(T\d\d(:\d\d(:\d\d(\.\d{1,9})?)?)?(Z|[+-]\d\d:\d\d)?)?)?)?")
TIME = re.compile(r"\d\d:\d\d(:\d\d(\.\d{1,9})?)?")
_PATTERNS = {"date": DATE, "dateTime": DATE_TIME, "instant": DATE_TIME, "time": TIME}
_SYSTEM = {"Boolean": "boolean", "String": "string", "Integer": "integer", "Decimal": "decimal", "Date": "date"}
_SYSTEM |= {"DateTime": "dateTime", "Time": "time", "Quantity": "Quantity"}
_TYPE_NAME = re.compile(r"(?:.*/)?([A-Z][A-Za-z]+)/[A-Za-z0-9\-.]{1,64}(?:/_history/[A-Za-z0-9\-.]{1,64})?")
_STRINGS = frozenset(PRIMITIVES - {"boolean", "integer", "positiveInt", "unsignedInt", "decimal", *_PATTERNS})


def plain_name(specifier: str) -> str:
    """Return the type of a specifier without its namespace: `FHIR.Patient` is Patient, `System.String` string."""
    namespace, _, name = specifier.rpartition(".")
    return _SYSTEM.get(name, name) if namespace in ("", "System") else name


def choice_of(key: str) -> tuple[str, str] | None:
    """Split the JSON name of a choice element: `valueDateTime` is (value, dateTime); None when it is none."""
    for position in range(len(key) - 1, 0, -1):
        if key[position].isupper():
            suffix = SUFFIXES.get(key[position:])
            if suffix is not None and key[:position] in CHOICES:
                return key[:position], suffix
    return None


def is_kind_of(actual: str, wanted: str) -> bool:
    """Say whether a known type is the wanted one or derives from it (`Age` is a `Quantity`)."""
    step: str | None = actual
    while step is not None:
        if step == wanted:
            return True
        step = _PARENTS.get(step)
    if wanted in _ANY:
        return actual in PRIMITIVES or actual in _SHAPES
    if wanted == "DomainResource":
        return actual not in _NOT_DOMAIN and actual not in PRIMITIVES and actual not in SUFFIXES
    return wanted == "Resource" and actual not in PRIMITIVES and actual not in SUFFIXES


def subtypes(wanted: str) -> tuple[str, ...]:
    """Return the choice types that satisfy the wanted one, itself first."""
    return (wanted, *(name for name in SUFFIXES.values() if name != wanted and is_kind_of(name, wanted)))


def looks_like(value: Any, wanted: str) -> bool:
    """Say whether an untyped JSON value can be of the wanted type, by its shape alone."""
    if isinstance(value, dict):
        if "resourceType" in value:
            return is_kind_of(str(value["resourceType"]), wanted)
        shape = _SHAPES.get(wanted)
        return wanted in _ANY or (shape is not None and value.keys() <= (shape | {"id", "extension"}))
    if isinstance(value, bool):
        return wanted == "boolean"
    if isinstance(value, int):
        return wanted in ("integer", "positiveInt", "unsignedInt", "decimal")
    if isinstance(value, Decimal):
        return wanted == "decimal"
    if isinstance(value, str):
        pattern = _PATTERNS.get(wanted)
        return bool(pattern.fullmatch(value)) if pattern else wanted in _STRINGS
    return False


def type_of_reference(reference: str) -> str | None:
    """Return the resource type that a literal reference names (`Patient/1`, an absolute URL); None when it does not."""
    found = _TYPE_NAME.fullmatch(reference) if len(reference) <= 2048 else None
    return found.group(1) if found else None
