"""What a CDA document says, as resources of their own beside it: linked to it, as visible as it, gone with it. Pure.

People and structures stay inside the resources (contained): a directory would show them to everybody. What is a
document, a consent or an identity itself is never derived. [docs/adr/0051]
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from fhir_dmp.fhir.draft import Draft
from fhir_dmp.fhir.elements import object_of, objects_of, text_of
from fhir_dmp.fhir.resource import Json

_BASE = "https://dmp-fhir.example/ig"
#: Extension of a derived resource: the document.
LINK = f"{_BASE}/StructureDefinition/source-document"
TAG = {"system": f"{_BASE}/CodeSystem/derived", "code": "cda"}
#: Index term of every derived resource.
DERIVED = "derived=c:cda"
#: Of FHIR the source alone keeps (docs/cda.md): what is needed to write the same CDA again is in the CDA itself.
_WAY_BACK = tuple(f"{_BASE}/StructureDefinition/cda-{name}" for name in ("source", "act", "wrapper"))


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


DERIVED_TYPES = _names(
    """AdverseEvent AllergyIntolerance CarePlan Condition Coverage DeviceRequest DeviceUseStatement
    DiagnosticReport Encounter FamilyMemberHistory Goal ImagingStudy Immunization ImmunizationRecommendation
    Media MedicationAdministration MedicationDispense MedicationRequest MedicationStatement Observation
    Procedure ServiceRequest Specimen"""
)
_INSIDE = _names("Practitioner PractitionerRole Organization Device RelatedPerson Location Medication")


def derived_from(resource: Json) -> str | None:
    """Return the document (`DocumentReference/id`) that a resource was derived from, None for any other resource."""
    for extension in objects_of(resource.get("extension")):
        if extension.get("url") == LINK:
            return text_of(object_of(extension.get("valueReference")).get("reference"))
    return None


def derived_terms(resource: Json) -> tuple[str, ...]:
    """Return the index term that tells a derived resource."""
    return (DERIVED,) if resource.get("resourceType") in DERIVED_TYPES and derived_from(resource) else ()


def is_derived(draft: Draft) -> bool:
    """Say whether a draft is a derived resource."""
    return draft.entry is None and derived_from(draft.resource) is not None


def derive(bundle: Json, document: str, patient: str, new_id: Callable[[str], str]) -> Iterable[Draft]:
    """Yield the drafts of what a document Bundle says.

    document: `DocumentReference/id`; patient: `Patient/id` of the record, whatever the CDA calls the patient.
    """
    resources = {entry["fullUrl"]: entry["resource"] for entry in bundle["entry"]}
    urls = {
        url: f"{resource['resourceType']}/{new_id(patient)}"
        for url, resource in resources.items()
        if resource["resourceType"] in DERIVED_TYPES
    }
    for url, reference in urls.items():
        moved = _Moved(resources, urls, document, patient)
        type_, _, id_ = reference.partition("/")
        yield Draft(type_, id_, moved.whole(resources[url]))


_CONTAINERS = (dict, list)


class _Moved:
    """One resource on its way out of the bundle."""

    def __init__(self, resources: Mapping[str, Json], urls: Mapping[str, str], document: str, patient: str) -> None:
        self._resources = resources
        self._urls = urls
        self._document = document
        self._patient = patient
        self._contained: dict[str, Json] = {}
        self._names: dict[str, str] = {}

    def whole(self, resource: Json) -> Json:
        """Return the resource as it is stored."""
        body = {key: self._value(value) for key, value in resource.items() if key not in ("id", "resourceType")}
        body = {key: value for key, value in body.items() if value is not None}
        link = {"url": LINK, "valueReference": {"reference": self._document}}
        extensions = [link, *(one for one in body.pop("extension", []) if one.get("url") not in _WAY_BACK)]
        found: Json = {"resourceType": resource["resourceType"], "meta": {"tag": [dict(TAG)]}}
        if self._contained:
            found["contained"] = list(self._contained.values())
        return {**found, "extension": extensions, **body}

    def _value(self, value: Any) -> Any:
        if isinstance(value, list):
            kept = [one for part in value if (one := self._value(part)) is not None]
            return kept or None
        if not isinstance(value, dict):
            return value
        if isinstance(value.get("reference"), str):
            return self._reference(value)
        found = {}
        for key, part in value.items():
            one = self._value(part) if isinstance(part, _CONTAINERS) else part  # most parts are texts
            if one is not None:
                found[key] = one
        # An extension or a part that held nothing but a reference to what is not stored goes with it.
        return found if found and set(found) != {"url"} else None

    def _reference(self, value: Json) -> Json | None:
        url = value["reference"]
        if url in self._urls:
            return {**value, "reference": self._urls[url]}
        resource = self._resources.get(url)
        if resource is None:
            return None
        if resource["resourceType"] == "Patient":
            return {**value, "reference": self._patient}
        if resource["resourceType"] not in _INSIDE:
            return None
        return {**value, "reference": f"#{self._inside(url, resource)}"}

    def _inside(self, url: str, resource: Json) -> str:
        name = self._names.get(url)
        if name is None:
            name = self._names[url] = f"p{len(self._names) + 1}"
            body = {key: self._value(part) for key, part in resource.items() if key not in ("id", "resourceType")}
            extensions = [one for one in body.pop("extension", None) or [] if one.get("url") not in _WAY_BACK]
            body = {key: part for key, part in body.items() if part is not None}
            head: Json = {"resourceType": resource["resourceType"], "id": name}
            self._contained[url] = {**head, **({"extension": extensions} if extensions else {}), **body}
        return name
