"""Each statement of each profile, broken once and sent to `$validate`: the answer names the place, rule and profile."""

from __future__ import annotations

from collections import Counter

import pytest

from fhir_dmp.bootstrap import build
from fhir_dmp.fhir.path import compile_path
from fhir_dmp.settings import Settings
from fhir_dmp.store.memory import MemoryStore
from tests.validation import mutants
from tests.validation.mutants import Json, Maker
from tests.validation.test_mutants import PROFILES, RESOURCES, completed
from tests.world import Client, FixedClock, World

DEFINITIONS = [each for each in RESOURCES if each["resourceType"] == "StructureDefinition"]
OF_RESOURCES = [each["url"] for each in DEFINITIONS if each["kind"] == "resource"]
EXTENSIONS = [each for each in DEFINITIONS if each["type"] == "Extension"]


@pytest.fixture(scope="module")
def admin() -> Client:
    clock = FixedClock()
    return World(build(Settings(), store=MemoryStore(), clock=clock), clock).admin


def issues(admin: Client, resource: Json, url: str = "") -> list[Json]:
    """Ask what is wrong with a resource, as a profile when one is given; only 200 will do."""
    asked = f"?profile={url}" if url else ""
    answer = admin.post(f"/{resource['resourceType']}/$validate{asked}", resource)
    assert answer.status == 200, answer.body
    found: list[Json] = answer.json["issue"]
    return found


def told(found: list[Json], url: str) -> set[str]:
    """Return the rules of a profile that the issues name."""
    return {coding["code"] for issue in found for coding in _codings(issue) if coding["system"] == url}


def misplaced(found: list[Json], resource: Json) -> list[str]:
    """Return the places that do not lead into the resource: neither to something there, nor to where it is missing."""
    places = [place for issue in found if issue["severity"] != "information" for place in issue["expression"]]
    return [place for place in places if not _leads(place, resource)]


def _leads(place: str, resource: Json) -> bool:
    holder, _, _ = place.rpartition(".")
    return bool(compile_path(place).items(resource) or (holder and compile_path(holder).items(resource)))


def unexplained(found: list[Json]) -> list[Json]:
    """Return the issues that do not name a rule, those of profiles that do not say it in words, and repetitions."""
    faults = [issue for issue in found if issue["code"] not in ("informational", "not-supported")]
    silent = [
        issue
        for issue in faults
        if not _codings(issue)
        or not all(
            part in issue["diagnostics"]
            for coding in _codings(issue)
            if coding["system"] in PROFILES.urls()
            for part in (coding["system"], *coding["code"].split("#"))
        )
    ]
    times = Counter(each for issue in faults for each in _told(issue))
    return silent + [issue for issue in faults if any(times[each] > 1 for each in _told(issue))]


def _codings(issue: Json) -> list[Json]:
    found: list[Json] = issue.get("details", {}).get("coding", [])
    return found


def _told(issue: Json) -> list[tuple[str, str, str]]:
    """Return what an issue says: place, profile and rule. What a reference leads to is told by R4 or the profile."""
    return [
        (
            place,
            "" if rule == "targetProfile" else coding["system"],
            rule if rule == "targetProfile" else coding["code"],
        )
        for place in issue["expression"]
        for coding in _codings(issue)
        for rule in [coding["code"].rpartition("#")[2]]
    ]


@pytest.mark.parametrize("url", OF_RESOURCES, ids=lambda url: url.rpartition("/")[2])
def test_validate_explains_each_mutant_of_a_profile(admin: Client, url: str) -> None:
    maker = Maker(PROFILES, url)
    whole = completed(maker.instance(), url)
    assert [issue for issue in issues(admin, whole, url) if told([issue], url)] == []
    for mutant in mutants.mutants(maker, whole):
        found = issues(admin, mutant.value, url)
        assert mutant.rule in told(found, url), (mutant.rule, found)
        assert misplaced(found, mutant.value) == [], mutant.rule
        assert unexplained(found) == [], mutant.rule


@pytest.mark.parametrize("definition", EXTENSIONS, ids=lambda each: each["id"])
def test_validate_explains_each_mutant_of_an_extension_where_it_stands(admin: Client, definition: Json) -> None:
    url = definition["url"]
    maker = Maker(PROFILES, url)
    whole = completed(maker.instance(), url)
    for mutant in mutants.mutants(maker, whole):
        if mutant.rule == "Extension.url#fixed":
            continue  # another url is another extension
        resource = {"resourceType": "Basic", "code": {"text": "x"}, "extension": [mutant.value]}
        found = issues(admin, resource)
        assert mutant.rule in told(found, url), (mutant.rule, found)
        assert misplaced(found, resource) == [], mutant.rule
        assert unexplained(found) == [], mutant.rule
