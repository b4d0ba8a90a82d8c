"""The plan of a section "plan of care" as a CarePlan: what its entries ask for, aim at and are made for. [cda 4.1]

A CDA has no statement for the plan as a whole: the section is the plan. On the way back a plan gives what it refers to.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fhir_dmp.cda.reading import Reading
from fhir_dmp.cda.writing import Writing
from fhir_dmp.fhir.elements import object_of, objects_of
from fhir_dmp.fhir.resource import Json

_LOINC = "http://loinc.org"
#: Types that an activity of a plan may refer to in R4.
_ACTIVITIES = frozenset(
    ("Appointment", "CommunicationRequest", "DeviceRequest", "MedicationRequest", "NutritionOrder", "Task",
     "ServiceRequest", "VisionPrescription", "RequestGroup")
)  # fmt: skip
_PLACES = {"Goal": "goal", "Condition": "addresses"}


def plan_of(section: Json, entries: Sequence[Json], reader: Reading) -> Json | None:
    """Return the CarePlan of a section just read, None when it is no plan or holds no entry."""
    sections = reader.knowledge.tables["care-plan-sections"]
    codes = [one for one in objects_of(object_of(section.get("code")).get("coding")) if one.get("code") in sections]
    if not entries or not codes or reader.patient is None:
        return None
    found: Json = {
        "resourceType": "CarePlan",
        "status": "active",
        "intent": "plan",
        "category": [{"coding": [{"system": _LOINC, "code": codes[0]["code"]}]}],
        "subject": {"reference": reader.patient},
    }
    if section.get("title"):
        found["title"] = section["title"]
    for entry in entries:
        type_ = reader.type_of(entry["reference"])
        if type_ in _ACTIVITIES:
            found.setdefault("activity", []).append({"reference": dict(entry)})
        else:
            found.setdefault(_PLACES.get(type_, "supportingInfo"), []).append(dict(entry))
    return found


def unfolded(entries: Sequence[Json], writer: Writing) -> list[Json]:
    """Return the entries of a section with, in place of each CarePlan, what it refers to and is not there yet."""
    found: list[Json] = []
    present = {id(one) for one in entries}
    for entry in entries:
        if entry.get("resourceType") != "CarePlan":
            found.append(entry)
            continue
        writer.written.add(id(entry))
        _report(entry, writer)
        for reference in _references(entry):
            resource = writer.resolve(reference)
            if resource is not None and id(resource) not in present:
                present.add(id(resource))
                found.append(resource)
    return found


def _references(plan: Json) -> list[Any]:
    activities = [one["reference"] for one in objects_of(plan.get("activity")) if "reference" in one]
    return [*objects_of(plan.get("addresses")), *objects_of(plan.get("goal")), *activities,
            *objects_of(plan.get("supportingInfo"))]  # fmt: skip


_SAID = frozenset(
    ("resourceType", "id", "meta", "text", "status", "intent", "category", "subject", "title", "activity", "goal",
     "addresses", "supportingInfo", "extension")
)  # fmt: skip


def _report(plan: Json, writer: Writing) -> None:
    for name in plan:
        if name not in _SAID:
            writer.drop(f"CarePlan.{name}", "a plan of care is a section of CDA: it has no element for this")
    for number, one in enumerate(objects_of(plan.get("activity"))):
        if "detail" in one:
            writer.drop(f"CarePlan.activity[{number}].detail", "only what an activity refers to becomes a statement")
