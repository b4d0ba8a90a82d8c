"""Each statement of each profile, broken once: all are caught, by the rule that was broken."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import suppress

import pytest

from fhir_dmp import definitions
from fhir_dmp.errors import Issue
from fhir_dmp.validation.findings import Enough
from fhir_dmp.validation.run import Run, entries_at_hand
from tests.validation import mutants
from tests.validation.mutants import Json, Maker

RESOURCES = list(definitions.conformance(folders=("structure-definitions", "value-sets", "code-systems")))
PROFILES = definitions.profiles(RESOURCES)
mutants.LOADED.extend(RESOURCES)
URLS = [each["url"] for each in RESOURCES if each["resourceType"] == "StructureDefinition"]


def broken(value: Json, url: str) -> tuple[Issue, ...]:
    """Return what one profile says about a value."""
    run = Run(value)
    run.at_hand = entries_at_hand(value) if value.get("resourceType") == "Bundle" else {}
    judge = PROFILES.profile(url)
    assert judge is not None
    with suppress(Enough):
        judge(value, None, str(value.get("resourceType", "Extension")), run)
    return tuple(run.issues)


def rules_in(issues: tuple[Issue, ...]) -> set[str]:
    return {coding.code for issue in issues for coding in issue.details}


@pytest.mark.parametrize("url", URLS, ids=lambda url: url.rpartition("/")[2])
def test_every_broken_statement_of_a_profile_is_caught_by_its_rule(url: str) -> None:
    maker = Maker(PROFILES, url)
    whole = completed(maker.instance(), url)
    assert [issue.diagnostics for issue in broken(whole, url) if issue.severity == "error"] == []
    missed = []
    for mutant in mutants.mutants(maker, whole):
        found = broken(mutant.value, url)
        if mutant.rule not in rules_in(found):
            missed.append((mutant.rule, sorted(rules_in(found))))
        for issue in found:
            assert issue.expression
            assert issue.details[0].system in issue.diagnostics
    assert missed == []


def completed(value: Json, url: str) -> Json:
    """Add what constraints in FHIRPath want, which no snapshot tells in data."""
    kind = url.rpartition("IHE.BasicAudit.")[2].removeprefix("Patient")
    if "PrivacyDisclosure" in kind:
        value["subtype"] = [{"system": "http://terminology.hl7.org/CodeSystem/iso-21089-lifecycle", "code": "disclose"}]
    elif kind in ("Create", "Read", "Update", "Delete", "Query"):
        code = {"Query": "search-type"}.get(kind, kind.lower())
        value["subtype"] = [{"system": "http://hl7.org/fhir/restful-interaction", "code": code}]
    if "BasicAudit" in url:
        value["source"] = {"observer": value["agent"][0].get("who", {"display": "x"})}
    if value.get("resourceType") == "Observation":
        for component in value.get("component", ()):
            if not any(name.startswith("value") for name in component):
                component["dataAbsentReason"] = {"text": "x"}
    return value


def test_the_mutants_are_many_and_of_every_kind() -> None:
    kinds: Counter[str] = Counter()
    for url in URLS:
        maker = Maker(PROFILES, url)
        kinds.update(
            mutant.rule.rpartition("#")[2] for mutant in mutants.mutants(maker, completed(maker.instance(), url))
        )
    assert set(kinds) >= {"min", "max", "fixed", "pattern", "binding", "type", "targetProfile", "slicing"}
    assert sum(kinds.values()) > 500


def _event(value: Json) -> None:
    value["subtype"] = [{"system": "http://hl7.org/fhir/restful-interaction", "code": "operation"}]


def _identifier(kind: str, prefix: str) -> Callable[[Json], None]:
    def change(value: Json) -> None:
        for each in value["identifier"]:
            if each.get("type", {}).get("coding", [{}])[0].get("code") == kind or each["value"].startswith(prefix):
                each["value"] = "2026-1"

    return change


def _comment(*codes: str) -> Callable[[Json], None]:
    def change(value: Json) -> None:
        concept = {"coding": [{"code": code} for code in codes]}
        parts = [each for each in value["extension"] if each["url"] not in ("comment", "identityStatus")]
        status = {"url": "identityStatus", "valueCoding": {"code": "PROV" if len(codes) > 1 else "VALI"}}
        value["extension"] = [*parts, status, {"url": "comment", "valueCodeableConcept": concept}]

    return change


def _validated(system: str, *uses: str) -> Callable[[Json], None]:
    def change(value: Json) -> None:
        reliability = next(each for each in value["extension"] if each["url"].endswith("identity-reliability"))
        status = next(each for each in reliability["extension"] if each["url"] == "identityStatus")
        status["valueCoding"] = {"code": "VALI"}
        value["identifier"] = [{"use": use, "system": system, "value": "x"} for use in uses]

    return change


def _measured_nothing(value: Json) -> None:
    for name in ("component", "hasMember", "dataAbsentReason", "valueQuantity"):
        value.pop(name, None)


#: Each constraint in FHIRPath that our profiles state -> what breaks it and nothing else of its element.
BREAKS: dict[str, Callable[[Json], None]] = {
    "balp-disclosure": _event,
    "val-audit-source": lambda value: value["source"].update(observer={"display": "y"}),
    "mhd-startswithoid": lambda value: value.update(value=mutants.UUID),
    "mhd-startswithuuid": lambda value: value.update(value=mutants.OID),
    "balp-create": _event,
    "balp-read": _event,
    "balp-update": _event,
    "balp-delete": _event,
    "balp-query": _event,
    "dmp-entry-uuid": _identifier("entryUUID", "urn:uuid:"),
    "dmp-unique-id": _identifier("uniqueId", "urn:oid:"),
    "fr-core-identity-reliability-1": _comment("DOUT"),
    "fr-core-identity-reliability-2": _comment("DOUT", "FICT"),
    "fr-core-1": _validated("http://example.org/x", "usual"),
    "fr-core-2": _validated("urn:oid:1.2.250.1.213.1.4.8", "official", "official"),
    "vs-1": lambda value: value.update(effectiveDateTime="2026"),
    "vs-2": _measured_nothing,
    "vs-3": lambda value: value.update(component=[{"code": {"text": "x"}}]),
}
STATED = [
    (constraint["key"], each["url"])
    for each in RESOURCES
    if each["resourceType"] == "StructureDefinition"
    for element in each["differential"]["element"]
    if element.get("max") != "0"  # a slice that must be absent has nothing to judge
    for constraint in element.get("constraint", ())
]


@pytest.mark.parametrize(("key", "url"), STATED, ids=lambda part: part.rpartition("/")[2])
def test_every_broken_constraint_of_a_profile_is_caught_by_its_key(key: str, url: str) -> None:
    value = completed(Maker(PROFILES, url).instance(), url)
    assert not any(rule.endswith(f"#{key}") for rule in rules_in(broken(value, url)))
    BREAKS[key](value)
    found = [issue for issue in broken(value, url) if any(coding.code.endswith(f"#{key}") for coding in issue.details)]
    assert [issue.severity for issue in found] == ["error"]
    assert found[0].expression
