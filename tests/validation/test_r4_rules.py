"""The constraints that profiles inherit from R4, each broken once in every profile that has it, through `$validate`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from fhir_dmp import definitions
from fhir_dmp.fhir.structure import Structures
from fhir_dmp.validation.base import DEFINITIONS
from tests.validation.mutants import Json, Maker
from tests.validation.test_mutants import BREAKS, PROFILES, RESOURCES, completed
from tests.validation.test_mutants_http import OF_RESOURCES, admin, issues, misplaced
from tests.world import Client

__all__ = ["admin"]  # the fixture
UCUM = "http://unitsofmeasure.org"
BASIC: Json = {"resourceType": "Basic", "code": {"text": "x"}}
HERE = "urn:uuid:0f0e0d0c-0b0a-4908-8706-050403020101"


def _bundle(type_: str, *entries: Json, **more: Any) -> Callable[[Json], None]:
    """Make the bundle of another type; a rule about types cannot be broken within a profile that fixes one."""
    return lambda value: value.update(type=type_, **more, **({"entry": list(entries)} if entries else {}))


def _contained(**more: Any) -> Callable[[Json], None]:
    return lambda value: value.update(contained=[{**BASIC, "id": "in", **more}])


def _entry(**more: Any) -> Callable[[Json], None]:
    def change(value: Json) -> None:
        value.setdefault("entry", [{"item": {"display": "x"}}])[0].update(more)

    return change


def _measured(**more: Any) -> Callable[[Json], None]:
    def change(value: Json) -> None:
        if not any(name.startswith("value") for name in value):
            value["valueString"] = "x"
        value["code"].setdefault("coding", [{"system": "http://example.org/x", "code": "x"}])
        value.update({**more, **({"component": [{"code": value["code"], "valueString": "x"}]} if not more else {})})

    return change


def _unpatiented(scope: str) -> Callable[[Json], None]:
    def change(value: Json) -> None:
        value.pop("patient", None)
        value["scope"] = {"coding": [{"system": "something", "code": scope}]}

    return change


def _without(*names: str) -> Callable[[Json], None]:
    def change(value: Json) -> None:
        for name in names:
            value.pop(name, None)

    return change


def _delegated(value: Json) -> None:
    member = {"member": {"reference": "Patient/1"}, "onBehalfOf": {"reference": "Organization/1"}}
    value.setdefault("participant", [{}])[0].update(member)


#: Key of a constraint of R4 -> what breaks it in any instance of its type.
R4: dict[str, Callable[[Json], None]] = {
    "bdl-1": _bundle("collection", {"resource": BASIC}, total=1),
    "bdl-2": _bundle("collection", {"resource": BASIC, "search": {"mode": "match"}}),
    "bdl-3": _bundle("collection", {"resource": BASIC, "request": {"method": "GET", "url": "x"}}),
    "bdl-4": _bundle("collection", {"resource": BASIC, "response": {"status": "200"}}),
    "bdl-5": _bundle("collection", {"link": [{"relation": "self", "url": "http://example.org/x"}]}),
    "bdl-7": _bundle("collection", *[{"fullUrl": HERE, "resource": BASIC}] * 2),
    "bdl-8": _bundle("collection", {"fullUrl": "http://example.org/Basic/1/_history/2", "resource": BASIC}),
    "bdl-9": _bundle("document", {"resource": BASIC}),
    "bdl-10": _bundle("document", {"resource": BASIC}),
    "bdl-11": _bundle("document", {"resource": BASIC}),
    "bdl-12": _bundle("message", {"resource": BASIC}),
    "ctm-1": _delegated,
    "dom-2": _contained(contained=[{**BASIC, "id": "inner"}]),
    "dom-3": _contained(),
    "dom-4": _contained(meta={"versionId": "1"}),
    "dom-5": _contained(meta={"security": [{"code": "x"}]}),
    "inv-1": lambda value: value["parameter"].append({"name": "x"}),
    "lst-1": lambda value: value.update(emptyReason={"text": "x"}, entry=[{"item": {"display": "x"}}]),
    "lst-2": _entry(deleted=True),
    "lst-3": lambda value: (_entry(date="2026-01-02")(value), value.update(mode="snapshot"))[0],
    "obs-3": lambda value: value.update(referenceRange=[{"appliesTo": [{"text": "x"}]}]),
    "obs-6": _measured(dataAbsentReason={"text": "x"}),
    "obs-7": _measured(),
    "org-1": _without("identifier", "name"),
    "org-2": lambda value: value.update(address=[{"use": "home", "city": "x"}]),
    "org-3": lambda value: value.update(telecom=[{"system": "phone", "value": "1", "use": "home"}]),
    "pat-1": lambda value: value.update(contact=[{"gender": "male"}]),
    "ppc-1": _without("policy", "policyRule"),
    "ppc-2": _unpatiented("patient-privacy"),
    "ppc-3": _unpatiented("research"),
    "ppc-4": _unpatiented("adr"),
    "ppc-5": _unpatiented("treatment"),
    "sev-1": lambda value: value.update(entity=[{"name": "x", "query": "QUJD"}]),
}
#: Constraints of R4 that are no statement about validity.
ADVICE = {"dom-6"}


def inherited() -> dict[str, set[str]]:
    """Return key -> URLs of the profiles of resources that have a constraint which another definition states."""
    found: dict[str, set[str]] = {}
    for each in RESOURCES:
        if each.get("url") in OF_RESOURCES:
            own = {rule["key"] for part in each["differential"]["element"] for rule in part.get("constraint", ())}
            for element in each["snapshot"]["element"]:
                for rule in element.get("constraint", ()):
                    if rule["key"] not in own and element["max"] != "0":
                        found.setdefault(rule["key"], set()).add(each["url"])
    return found


INHERITED = inherited()


def sound(url: str) -> Json:
    """Return an instance of a profile that obeys the constraints of R4, too."""
    value = completed(Maker(PROFILES, url).instance(), url)
    if value["resourceType"] == "Organization":
        value["name"] = "x"
    for contact in value.get("contact", ()):
        contact["name"] = {"family": "x"}
    for index, entry in enumerate(value.get("entry", ())):
        if "fullUrl" in entry:
            entry["fullUrl"] = f"http://example.org/Basic/{index}"
    return value


def test_no_constraint_that_a_profile_inherits_is_forgotten() -> None:
    assert INHERITED.keys() - ADVICE <= R4.keys() | BREAKS.keys()


@pytest.mark.parametrize("key", sorted(INHERITED.keys() - ADVICE))
def test_each_constraint_that_profiles_inherit_is_told_when_it_is_broken(admin: Client, key: str) -> None:
    for url in sorted(INHERITED[key]):
        value = sound(url)
        assert not _told(issues(admin, value, url), key), url
        (R4.get(key) or BREAKS[key])(value)
        found = issues(admin, value, url)
        (issue, *_) = _told(found, key)
        assert (issue["severity"], misplaced([issue], value)) == ("error", []), url


def _told(found: list[Json], key: str) -> list[Json]:
    """Return the issues that name a rule."""
    return [
        issue
        for issue in found
        if any(coding["code"].endswith(f"#{key}") for coding in issue.get("details", {}).get("coding", ()))
    ]


def _repeat(**more: Any) -> Json:
    return {"valueTiming": {"repeat": more}}


def _unit(name: str, **more: Any) -> Json:
    return {f"value{name}": {"value": 1, "system": UCUM, "code": "a", **more}}


#: Constraints of data types: what breaks each, as an extension of any resource.
OF_TYPES: dict[str, Json] = {
    "age-1": _unit("Age", value=-1),
    "att-1": {"valueAttachment": {"data": "QUJD"}},
    "cnt-3": _unit("Count", code="2"),
    "cpt-2": {"valueContactPoint": {"value": "1"}},
    "dis-1": _unit("Distance", system="http://example.org/units"),
    "drt-1": _unit("Duration", system="http://example.org/units"),
    "drq-1": {"valueDataRequirement": {"type": "Basic", "codeFilter": [{"path": "x", "searchParam": "x"}]}},
    "drq-2": {"valueDataRequirement": {"type": "Basic", "dateFilter": [{"valueDateTime": "2026"}]}},
    "ele-1": {"valuePeriod": {}},
    "exp-1": {"valueExpression": {"language": "text/fhirpath"}},
    "ext-1": {},
    "per-1": {"valuePeriod": {"start": "2026-02", "end": "2026-01"}},
    "qty-3": {"valueQuantity": {"value": 1, "code": "a"}},
    "rat-1": {"valueRatio": {"numerator": {"value": 1}}},
    "ref-1": {"valueReference": {"reference": "#nowhere"}},
    "rng-2": {"valueRange": {"low": {"value": 2}, "high": {"value": 1}}},
    "tim-1": _repeat(duration=1),
    "tim-2": _repeat(period=1),
    "tim-4": _repeat(duration=-1, durationUnit="h"),
    "tim-5": _repeat(period=-1, periodUnit="h"),
    "tim-6": _repeat(periodMax=1),
    "tim-7": _repeat(durationMax=1),
    "tim-8": _repeat(countMax=1),
    "tim-9": _repeat(offset=1, when=["C"]),
    "tim-10": _repeat(timeOfDay=["10:00:00"], when=["C"]),
    "trd-1": {
        "valueTriggerDefinition": {"type": "data-added", "data": [{"type": "Basic"}], "timingDate": "2026-01-02"}
    },
    "trd-2": {
        "valueTriggerDefinition": {
            "type": "named-event",
            "name": "x",
            "condition": {"language": "x", "expression": "x"},
        }
    },
    "trd-3": {"valueTriggerDefinition": {"type": "named-event"}},
}
OF_NARRATIVES = {
    "txt-1": '<div xmlns="http://www.w3.org/1999/xhtml"><script>x</script></div>',
    "txt-2": '<div xmlns="http://www.w3.org/1999/xhtml"> </div>',
}


@pytest.mark.parametrize("key", [*OF_TYPES, *OF_NARRATIVES])
def test_each_constraint_of_a_data_type_is_told_with_its_place(admin: Client, key: str) -> None:
    if key in OF_TYPES:
        resource = {**BASIC, "extension": [{"url": "http://example.org/e", **OF_TYPES[key]}]}
    else:
        resource = {**BASIC, "text": {"status": "generated", "div": OF_NARRATIVES[key]}}
    (issue,) = _told(issues(admin, resource), key)
    assert (issue["severity"], misplaced([issue], resource)) == ("error", [])
    assert issue["expression"][0].startswith("Basic.extension[0]" if key in OF_TYPES else "Basic.text.div")


def test_every_constraint_of_the_data_types_has_its_case() -> None:
    structures = PROFILES.base.structures
    paths: dict[str, list[list[str]]] = definitions.load_json(DEFINITIONS)["constraints"]
    of_types = {path: rows for path, rows in paths.items() if _is_data_type(path.partition(".")[0], structures)}
    stated = {row[0] for rows in of_types.values() for row in rows}
    assert stated - OF_TYPES.keys() - OF_NARRATIVES.keys() == set()


def _is_data_type(type_: str, structures: Structures) -> bool:
    """Say whether a type may be the value of an extension; ElementDefinitions stand in StructureDefinitions alone."""
    return structures.element("Extension", f"value{type_}") is not None or type_ in ("Narrative", "Element")
