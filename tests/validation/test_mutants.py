"""Each statement of each profile, broken once: all are caught, by the rule that was broken."""

from __future__ import annotations

from collections import Counter
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
    if "BasicAudit" in url:
        code = {"Query": "search-type"}.get(kind, kind.lower())
        value["subtype"] = [{"system": "http://hl7.org/fhir/restful-interaction", "code": code}]
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
