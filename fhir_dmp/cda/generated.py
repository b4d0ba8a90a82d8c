"""The narrative of a section that has none: a table of its entries, in the language of the document. [cda 6.2]"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any
from xml.sax.saxutils import escape

from fhir_dmp.cda.narrative import XHTML
from fhir_dmp.cda.values.numbers import digits
from fhir_dmp.cda.writing import Writing
from fhir_dmp.fhir.elements import object_of, objects_of
from fhir_dmp.fhir.resource import Json

_NAMES = ("code", "vaccineCode", "type", "relationship", "description", "event", "category")
_TIMES = (
    "effective",
    "onset",
    "performed",
    "occurrence",
    "period",
    "timing",
    "authoredOn",
    "whenHandedOver",
    "started",
    "date",
)
_CODED = ("interpretation", "clinicalStatus", "verificationStatus", "severity", "bodySite", "method", "statusReason")
_PLAIN = ("criticality", "lotNumber", "doseNumberPositiveInt")
#: A status that a reader must not miss; the ordinary ones go without saying.
_TELLING = frozenset(
    ("not-done", "not-taken", "entered-in-error", "cancelled", "stopped", "on-hold", "preliminary", "registered",
     "draft", "revoked", "planned", "intended", "amended", "corrected")
)  # fmt: skip


def table(resources: Sequence[Json], writer: Writing, language: str) -> Json:
    """Return the Narrative of these entries: what, value, when, and what else is said of each."""
    words = writer.knowledge.words[language if language in writer.knowledge.words else "fr"]
    return {"status": "generated", "div": f'<div xmlns="{XHTML}">{rows_of(resources, writer, words)}</div>'}


def rows_of(resources: Sequence[Json], writer: Writing, words: Any) -> str:
    """Return the table; columns that nothing is in are left out."""
    rows = [row for one in resources for row in _rows(one, writer, words, 0)]
    used = [column for column in range(4) if column == 0 or any(row[column] for row in rows)]
    head = "".join(f"<th>{escape(words['columns'][column])}</th>" for column in used)
    body = "".join("<tr>" + "".join(f"<td>{escape(row[column])}</td>" for column in used) + "</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _rows(resource: Json, writer: Writing, words: Any, depth: int) -> Iterator[tuple[str, str, str, str]]:
    name = "\u2013 " * depth + _label(resource, writer, words)
    yield name, _value(resource, words), _when(resource, words), "; ".join(_details(resource, writer, words))
    if depth < 8:
        for reference in objects_of(resource.get("hasMember")):
            member = writer.resolve(reference)
            if member is not None:
                yield from _rows(member, writer, words, depth + 1)


def _label(resource: Json, writer: Writing, words: Any) -> str:
    for name in ("medication", "device", "code"):
        product = writer.resolve(resource.get(f"{name}Reference") or (resource.get(name) if name == "device" else None))
        if product is not None and (found := _first(product, ("code", "type"))):
            return found
    found = _first(resource, _NAMES)
    for recommended in objects_of(resource.get("recommendation")):
        found = found or _first(recommended, ("vaccineCode", "targetDisease"))
    return found or str(words["types"].get(resource.get("resourceType"), resource.get("resourceType")))


def _first(resource: Json, names: Sequence[str]) -> str | None:
    for name in names:
        for concept in _each(resource.get(name)):
            if (text := said(concept)) is not None:
                return text
    return None


def _each(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def said(concept: Any) -> str | None:
    """Return the words of a CodeableConcept or Coding: its text, else a label, else a code."""
    if not isinstance(concept, dict):
        return None
    codings = [*objects_of(concept.get("coding")), *([concept] if concept.get("code") else [])]
    labels = [one.get("display") for one in codings] + [one.get("code") for one in codings]
    found = concept.get("text") or next((one for one in labels if one), None)
    return str(found) if found else None


def _choice(resource: Json, name: str) -> tuple[str, Any]:
    for key, value in resource.items():
        if key == name or (key.startswith(name) and key[len(name) : len(name) + 1].isupper()):
            return key[len(name) :], value
    return "", None


def _value(resource: Json, words: Any) -> str:
    _, value = _choice(resource, "value")
    if value is None:
        reason = said(resource.get("dataAbsentReason"))
        return reason or ""
    return _any(value, words)


def _any(value: Any, words: Any) -> str:
    if isinstance(value, bool):
        return str(words["yes" if value else "no"])
    if not isinstance(value, dict):
        return day(str(value), words) if _is_date(str(value)) else digits(value)
    if "low" in value or "high" in value:
        return " \u2013 ".join(quantity(object_of(value.get(end))) for end in ("low", "high") if end in value)
    if "numerator" in value:
        return " / ".join(quantity(object_of(value.get(end))) for end in ("numerator", "denominator"))
    if "start" in value or "end" in value:
        return period(value, words)
    return quantity(value) if "value" in value else said(value) or ""


def quantity(value: Json) -> str:
    """Return a Quantity in words: comparator, digits as they are, unit (curly annotations without braces)."""
    unit = str(value.get("unit") or value.get("code") or "").strip("{}")
    number = digits(value["value"]) if "value" in value else ""
    return " ".join(filter(None, (value.get("comparator"), number, "" if unit == "1" else unit)))


def _is_date(text: str) -> bool:
    return len(text) >= 10 and text[4:5] == "-" and text[:4].isdigit()


def day(text: str, words: Any) -> str:
    """Return a date as it is read in the language, at its own precision: 12/06/2026 10:30."""
    date, _, time = text.partition("T")
    ordered = "/".join(reversed(date.split("-"))) if words["day-first"] else date
    return f"{ordered} {time[:5]}" if time else ordered


def period(value: Json, words: Any) -> str:
    """Return a Period in words."""
    start, end = (day(str(value[name]), words) if value.get(name) else "" for name in ("start", "end"))
    if start and end:
        return f"{words['from']} {start} {words['to']} {end}"
    return f"{words['since']} {start}" if start else f"{words['until']} {end}" if end else ""


def _when(resource: Json, words: Any) -> str:
    for name in _TIMES:
        _, value = _choice(resource, name)
        if isinstance(value, str):
            return day(value, words)
        if isinstance(value, dict) and ("start" in value or "end" in value):
            return period(value, words)
    return ""


def _details(resource: Json, writer: Writing, words: Any) -> Iterator[str]:
    if resource.get("status") in _TELLING:
        yield str(words["statuses"].get(resource["status"], resource["status"]))
    for name in _CODED:
        for concept in _each(resource.get(name)):
            if (text := said(concept)) is not None:
                yield text
    for name in _PLAIN:
        if resource.get(name):
            yield f"{words['labels'].get(name, name)} {words['codes'].get(resource[name], resource[name])}"
    for one in objects_of(resource.get("referenceRange")):
        yield f"{words['labels']['referenceRange']} {_any(one, words) or one.get('text') or ''}".strip()
    for reaction in objects_of(resource.get("reaction")):
        found = [text for one in _each(reaction.get("manifestation")) if (text := said(one))]
        yield " ".join(filter(None, (", ".join(found), words["codes"].get(reaction.get("severity"), ""))))
    for dosage in [*objects_of(resource.get("dosage")), *objects_of(resource.get("dosageInstruction"))]:
        yield ", ".join(filter(None, _dosage(dosage, words)))
    for note in objects_of(resource.get("note")):
        yield str(note.get("text") or "")


def _dosage(dosage: Json, words: Any) -> Iterator[str]:
    yield str(dosage.get("text") or "")
    for rate in objects_of(dosage.get("doseAndRate"))[:1]:
        _, dose = _choice(rate, "dose")
        yield _any(dose, words) if dose else ""
    repeat = object_of(object_of(dosage.get("timing")).get("repeat"))
    if repeat.get("period"):
        unit = words["periods"].get(repeat.get("periodUnit"), repeat.get("periodUnit"))
        frequency = digits(repeat.get("frequency") or 1)
        yield words["every"].format(frequency=frequency, period=digits(repeat["period"]), unit=unit)
    yield ", ".join(str(words["moments"].get(code, code)) for code in _each(repeat.get("when")))
    yield said(dosage.get("route")) or ""
    yield str(dosage.get("patientInstruction") or "")
