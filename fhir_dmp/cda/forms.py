"""What FHIR may say in two forms, in the one that the rules of `mappings/` write. [cda 6.2]

Resources that came from a CDA have that form already; those from elsewhere are brought into it before they are written.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fhir_dmp.cda.shapes import act_parts
from fhir_dmp.fhir.elements import object_of, objects_of
from fhir_dmp.fhir.resource import Json

_OF_PANEL = ("status", "category", "subject", "focus", "encounter", "performer", "issued", "device", "specimen")
_DOSAGES = {"MedicationStatement": "dosage", "MedicationRequest": "dosageInstruction"}


def in_form(bundle: Json) -> Json:
    """Return the bundle with contained resources as entries, products as Medication, components as members."""
    entries: list[Json] = []
    for number, entry in enumerate(objects_of(bundle.get("entry"))):
        if not isinstance(entry.get("resource"), dict):
            entries.append(entry)
            continue
        url = str(entry.get("fullUrl") or f"{entry['resource'].get('resourceType')}/{entry['resource'].get('id')}")
        local = url if url else f"#entry-{number}"
        outer, *inside = _hoisted(entry["resource"], local)
        entries.append({**entry, "resource": outer[1]})
        if not act_parts(outer[1]):
            changed, made = _changed(outer[1], local)
            entries[-1] = {**entry, "resource": changed}
            inside += made
        entries += [{"fullUrl": name, "resource": one} for name, one in inside]
    return {**bundle, "entry": entries}


def _hoisted(resource: Json, url: str) -> Iterator[tuple[str, Json]]:
    """Yield the resource, then those that it contains: a name inside one resource means nothing in another."""
    contained = [one for one in objects_of(resource.get("contained")) if one.get("id")]
    names = {f"#{one['id']}": f"{url}#{one['id']}" for one in contained}
    yield url, _renamed(resource, names) if names else resource
    for one in contained:
        yield names[f"#{one['id']}"], _renamed(one, names)


def _renamed(value: Any, names: dict[str, str]) -> Any:
    if isinstance(value, list):
        return [_renamed(one, names) for one in value]
    if not isinstance(value, dict):
        return value
    found = {key: _renamed(one, names) for key, one in value.items() if key != "contained"}
    if isinstance(found.get("reference"), str):
        found["reference"] = names.get(found["reference"], found["reference"])
    return found


def _changed(resource: Json, url: str) -> tuple[Json, list[tuple[str, Json]]]:
    changed, made = dict(resource), []
    if isinstance(changed.get("medicationCodeableConcept"), dict):
        name = f"{url}#cda-product"
        made.append((name, {"resourceType": "Medication", "code": changed.pop("medicationCodeableConcept")}))
        changed["medicationReference"] = {"reference": name}
    if changed.get("resourceType") == "Observation" and changed.get("component"):
        members = list(_members(changed, url))
        del changed["component"]
        changed["hasMember"] = [*objects_of(changed.get("hasMember")), *({"reference": name} for name, _ in members)]
        made += members
    key = _DOSAGES.get(str(changed.get("resourceType")))
    if key is not None:
        _told(changed, key)
    return changed, made


def _members(panel: Json, url: str) -> Iterator[tuple[str, Json]]:
    """Yield an Observation for each component: what is said of the whole is said of each."""
    shared = {key: value for key, value in panel.items() if key in _OF_PANEL or key.startswith("effective")}
    for number, component in enumerate(objects_of(panel.get("component"))):
        yield f"{url}#cda-component-{number}", {"resourceType": "Observation", **shared, **component}


def _told(resource: Json, key: str) -> None:
    """A dosage in words is an instruction to the patient, or a comment when there is another one."""
    dosages = [dict(one) for one in objects_of(resource.get(key))]
    notes = list(objects_of(resource.get("note")))
    for number, one in enumerate(dosages):
        text = one.pop("text", None)
        if text and number == 0 and "patientInstruction" not in one:
            one["patientInstruction"] = text
        elif text:
            notes.append({"text": text})
    if dosages:
        resource[key] = [one for one in dosages if one]
    if notes:
        resource["note"] = notes
    if not object_of(resource).get(key):
        resource.pop(key, None)
