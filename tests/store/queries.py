"""Generated resources that refer to each other, and FHIR queries over them, from one small vocabulary."""

from __future__ import annotations

from functools import partial
from typing import Any

from hypothesis import strategies as st

Json = dict[str, Any]

TYPES = ("Patient", "Observation", "Organization", "Encounter")
#: Ids of each type, so that references often meet and sometimes do not.
IDS = {"Patient": ("p1", "p2", "p3"), "Observation": ("o1", "o2", "o3", "o4"), "Organization": ("g1", "g2")}
IDS["Encounter"] = ("e1", "e2")

_FAMILIES = ("Durand", "Dupont", "Élodie-Durand", "D'Angelo", "Œuf")
_CODES = (("http://loinc.org", "8867-4"), ("http://loinc.org", "8480-6"), ("urn:x", "8867-4"), (None, "free"))
_DATES = ("2025", "2025-03", "2025-03-10", "2025-03-10T10:00:00+01:00", "2025-12-31T23:59:59.999Z", "2026-01-01")
_AMOUNTS = ("1", "1.0", "1.00", "100", "0.1", "-5", "1000")
_UNITS = ("g", "mg", "mm[Hg]")
_SYSTEM = "https://example.org/n"
_UCUM = "http://unitsofmeasure.org"


def _some(values: tuple[Any, ...] | list[Any]) -> st.SearchStrategy[Any]:
    return st.sampled_from(values)


def _reference(mark: str, *types: str) -> st.SearchStrategy[Json | None]:
    known = [f"{type_}/{mark}{id_}" for type_ in types for id_ in IDS[type_]]
    return st.one_of(st.none(), _some([{"reference": place} for place in known]))


def _without_none(resource: Json) -> Json:
    return {key: part for key, part in resource.items() if part not in (None, [])}


_concepts = _some(_CODES).map(
    lambda pair: {"coding": [{**({"system": pair[0]} if pair[0] else {}), "code": pair[1], "display": "Pouls moyen"}]}
)
_number = _some(_AMOUNTS)
_quantities = st.builds(
    lambda value, unit: {"value": value, "system": _UCUM, "code": unit, "unit": unit}, _number, _some(_UNITS)
)
_periods = st.builds(
    lambda start, end: _without_none({"start": start, "end": end}),
    st.one_of(st.none(), _some(_DATES)),
    st.one_of(st.none(), _some(_DATES)),
).filter(bool)
_effective = st.one_of(
    st.just({}),
    _some(_DATES).map(lambda date: {"effectiveDateTime": date}),
    _periods.map(lambda period: {"effectivePeriod": period}),
)
_components = st.lists(
    st.builds(lambda code, quantity: {"code": code, "valueQuantity": quantity}, _concepts, _quantities), max_size=2
)
_identifiers = st.lists(_some([{"system": _SYSTEM, "value": str(number)} for number in range(3)]), max_size=2)


def _patients(mark: str) -> st.SearchStrategy[Json]:
    return st.builds(
        lambda family, gender, birth, identifier, active, site: _without_none(
            {
                "resourceType": "Patient",
                "name": [{"family": family, "given": ["Zoé", "Anne"]}] if family else [],
                "gender": gender,
                "birthDate": birth,
                "identifier": identifier,
                "active": active,
                "managingOrganization": site,
            }
        ),
        st.one_of(st.none(), _some(_FAMILIES)),
        st.one_of(st.none(), _some(("male", "female"))),
        st.one_of(st.none(), _some(_DATES[:3])),
        _identifiers,
        st.one_of(st.none(), st.booleans()),
        _reference(mark, "Organization"),
    )


def _observations(mark: str) -> st.SearchStrategy[Json]:
    return st.builds(
        lambda code, effective, value, components, subject, encounter, members, performer: _without_none(
            {
                "resourceType": "Observation",
                "status": "final",
                "code": code,
                **effective,
                "valueQuantity": value,
                "component": components,
                "subject": subject,
                "encounter": encounter,
                "hasMember": [members] if members else [],
                "performer": [performer] if performer else [],
            }
        ),
        _concepts,
        _effective,
        st.one_of(st.none(), _quantities),
        _components,
        _reference(mark, "Patient"),
        _reference(mark, "Encounter"),
        _reference(mark, "Observation"),
        _reference(mark, "Organization"),
    )


def _organizations(mark: str) -> st.SearchStrategy[Json]:
    return st.builds(
        lambda name, parent: _without_none({"resourceType": "Organization", "name": name, "partOf": parent}),
        _some(_FAMILIES),
        _reference(mark, "Organization"),
    )


def _encounters(mark: str) -> st.SearchStrategy[Json]:
    return st.builds(
        lambda status, period, subject, site: _without_none(
            {
                "resourceType": "Encounter",
                "status": status,
                "class": {"code": "AMB"},
                "period": period,
                "subject": subject,
                "serviceProvider": site,
            }
        ),
        _some(("finished", "planned")),
        st.one_of(st.none(), _periods),
        _reference(mark, "Patient"),
        _reference(mark, "Organization"),
    )


_MAKERS = {
    "Patient": _patients,
    "Observation": _observations,
    "Organization": _organizations,
    "Encounter": _encounters,
}


def _with_id(id_: str, made: Json) -> Json:
    return {**made, "id": id_}


def resources(mark: str) -> st.SearchStrategy[list[Json]]:
    """Return lists of resources whose ids begin with `mark`, most of them there, some missing."""
    every = [
        st.one_of(st.none(), *[_MAKERS[type_](mark).map(partial(_with_id, f"{mark}{id_}"))] * 4)
        for type_, ids in IDS.items()
        for id_ in ids
    ]
    return st.tuples(*every).map(lambda made: [resource for resource in made if resource is not None])


_prefixes = _some(("", "eq", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap"))
_date_values = st.builds(lambda prefix, date: prefix + date.replace("+", " "), _prefixes, _some(_DATES))
_family_values = _some(("du", "durand", "Élodie", "dange", "oeuf", "d angelo"))
_token_values = _some(
    ("8867-4", "http://loinc.org|8867-4", "http://loinc.org|", "|free", "8867-4,8480-6", "urn:x|8867-4,free", "none")
)
_quantity_values = st.builds(
    lambda prefix, value, unit: prefix + value + unit,
    _prefixes,
    _number,
    _some(("", "||g", f"|{_UCUM}|g", f"|{_UCUM}|mg", f"|{_UCUM}|mm[Hg]")),
)
_truths = _some(("true", "false"))

Pair = tuple[str, str]


def _pairs(name: str, values: st.SearchStrategy[str]) -> st.SearchStrategy[Pair]:
    return values.map(lambda value: (name, value))


def _local(mark: str, type_: str) -> st.SearchStrategy[str]:
    return _some([f"{mark}{id_}" for id_ in IDS[type_]] + [f"{type_}/{mark}{id_}" for id_ in IDS[type_]])


def criteria(mark: str) -> dict[str, st.SearchStrategy[Pair]]:
    """Return, for each type, single criteria on it."""
    organization = st.one_of(_pairs("name", _family_values), _pairs("partof", _local(mark, "Organization")))
    patient = st.one_of(
        _pairs("family", _family_values),
        _pairs("family:exact", _some(_FAMILIES)),
        _pairs("family:contains", _some(("ura", "ange", "oeu"))),
        _pairs("name:missing", _truths),
        _pairs("gender", _some(("male", "female,male"))),
        _pairs("gender:not", _some(("male", "male,female"))),
        _pairs("birthdate", st.builds(lambda p, d: p + d, _prefixes, _some(_DATES[:3]))),
        _pairs("identifier", _some((f"{_SYSTEM}|1", "2", f"{_SYSTEM}|", "|1", f"{_SYSTEM}|0,{_SYSTEM}|2"))),
        _pairs("active", _truths),
        _pairs("organization", _local(mark, "Organization")),
        _pairs("organization:missing", _truths),
        _pairs("organization.name", _family_values),
        _pairs("_id", _some([f"{mark}p1", f"{mark}p2,{mark}p3", "absent"])),
        _pairs("_content", _some(("zoe", "durand anne", "absent"))),
        _pairs("_has:Observation:patient:code", _token_values),
        _pairs("_has:Observation:patient:encounter.status", _some(("finished", "planned"))),
        _pairs("_has:Encounter:patient:_has:Observation:encounter:code", _token_values),
    )
    encounter = st.one_of(
        _pairs("status", _some(("finished", "planned,finished"))),
        _pairs("date", _date_values),
        _pairs("patient.family", _family_values),
        _pairs("_has:Observation:encounter:code", _token_values),
    )
    observation = st.one_of(
        _pairs("code", _token_values),
        _pairs("code:not", _token_values),
        _pairs("code:text", _some(("pouls", "moy", "rien"))),
        _pairs("date", _date_values),
        _pairs("date:missing", _truths),
        _pairs("value-quantity", _quantity_values),
        _pairs("combo-code", _token_values),
        _pairs("subject", _local(mark, "Patient")),
        _pairs("patient.family", _family_values),
        _pairs("subject:Patient.birthdate", st.builds(lambda p, d: p + d, _prefixes, _some(_DATES[:3]))),
        _pairs("patient.organization.name", _family_values),
        _pairs("encounter.patient.family", _family_values),
        _pairs("encounter.service-provider.partof.name", _family_values),
        _pairs("performer:Organization.name", _family_values),
        _pairs("has-member.code", _token_values),
        _pairs("_has:Observation:has-member:code", _token_values),
        st.builds(
            lambda code, value: ("code-value-quantity", f"{code}${value}"),
            _some(("8867-4", "http://loinc.org|8480-6", "free")),
            _quantity_values,
        ),
        st.builds(
            lambda code, value: ("component-code-value-quantity", f"{code}${value}"),
            _some(("8867-4", "http://loinc.org|8480-6", "free")),
            _quantity_values,
        ),
        st.builds(lambda code, date: ("code-value-date", f"{code}${date}"), _some(("8867-4", "free")), _date_values),
    )
    return {"Patient": patient, "Observation": observation, "Organization": organization, "Encounter": encounter}


_SORTS = {
    "Patient": ("family", "birthdate", "gender", "identifier", "organization", "_id"),
    "Observation": ("code", "date", "value-quantity", "subject", "_id"),
    "Organization": ("name", "partof", "_id"),
    "Encounter": ("date", "status", "patient", "_id"),
}


def sorts(type_: str) -> st.SearchStrategy[str]:
    """Return values of `_sort`, empty for none."""
    signed = [sign + code for code in _SORTS[type_] for sign in ("", "-")]
    return st.lists(_some(signed), max_size=2, unique_by=lambda key: key.removeprefix("-")).map(",".join)
