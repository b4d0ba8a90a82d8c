"""Is an identity good enough to open a dossier, and do two of them agree?"""

from __future__ import annotations

import copy
from typing import Any

import pytest

from fhir_dmp.fhir.resource import Json
from fhir_dmp.patients.identity import IdentityRules, discordances, opening_issues
from fhir_dmp.patients.ins import InsRules

CORE = "https://hl7.fr/ig/fhir/core"
STATUS, STATUS_2_1, INTERMEDIATE = (
    f"{CORE}/CodeSystem/{name}"
    for name in ("fr-core-cs-identity-status", "fr-core-cs-v2-0445", "fr-core-cs-fiabilite-identite")
)


def reliability(status: str | None = "QUAL", system: str = STATUS, *comments: str) -> Json:
    parts: list[Json] = [{"url": "comment", "valueCodeableConcept": {"coding": [{"code": code}]}} for code in comments]
    if status:
        parts.append({"url": "identityStatus", "valueCoding": {"system": system, "code": status}})
    return {"url": f"{CORE}/StructureDefinition/fr-core-identity-reliability", "extension": parts}


def patient(**elements: Any) -> Json:
    return {
        "resourceType": "Patient",
        "extension": [reliability()],
        "identifier": [{"use": "official", "system": "urn:oid:1.2.250.1.213.1.4.8", "value": "285047511200314"}],
        "name": [{"use": "official", "family": "BELLANGER", "given": ["Anouk"]}],
        "gender": "female",
        "birthDate": "1985-04-17",
        **elements,
    }


def faults(resource: Json, status_required: str = "QUAL") -> list[str]:
    rules = IdentityRules(InsRules("https://dmp-fhir.example/ig"), status_required)
    return [place for issue in opening_issues(resource, rules) for place in issue.expression]


def test_a_qualified_identity_is_good_enough() -> None:
    assert faults(patient()) == []


@pytest.mark.statement("dmp-fhir 9.2/26")
@pytest.mark.parametrize(
    ("name", "place"),
    [
        ({"use": "official", "given": ["Anouk"]}, "Patient.name[0].family"),
        ({"use": "official", "family": "BELLANGER"}, "Patient.name[0].given"),
        ({"use": "official", "family": "BELLANGER", "given": [" "]}, "Patient.name[0].given"),
        ({"use": "usual", "family": "BELLANGER", "given": ["Anouk"]}, "Patient.name"),
    ],
)
def test_the_official_name_has_family_and_given(name: Json, place: str) -> None:
    assert faults(patient(name=[name])) == [place]


@pytest.mark.parametrize("element", ["gender", "birthDate", "identifier"])
def test_the_other_traits_are_there(element: str) -> None:
    incomplete = patient()
    del incomplete[element]
    assert faults(incomplete) == [f"Patient.{element}"]


def test_a_gender_outside_the_ins_list_is_refused() -> None:
    assert faults(patient(gender="other")) == ["Patient.gender"]


@pytest.mark.statement("dmp-fhir 9.2/27")
@pytest.mark.parametrize(
    ("status", "system", "required", "accepted"),
    [
        ("QUAL", STATUS, "QUAL", True),
        ("QUAL", INTERMEDIATE, "QUAL", True),
        ("VALI", STATUS, "QUAL", False),
        ("VALI", STATUS_2_1, "QUAL", True),
        ("VALI", STATUS, "VALI", True),
        ("PROV", STATUS, "VALI", False),
        ("QUAL", "https://example.org/status", "QUAL", False),
        (None, STATUS, "QUAL", False),
        (None, STATUS, "", True),
        ("PROV", STATUS, "", True),
    ],
)
def test_the_status_is_as_strong_as_the_setting_asks(
    status: str | None, system: str, required: str, accepted: bool
) -> None:
    found = faults(patient(extension=[reliability(status, system)]), required)
    assert (found == []) is accepted


@pytest.mark.statement("dmp-fhir 9.2/28")
@pytest.mark.parametrize("comment", ["DOUT", "FICT"])
def test_a_doubtful_identity_is_provisional(comment: str) -> None:
    assert len(faults(patient(extension=[reliability("QUAL", STATUS, comment)]))) == 1
    assert faults(patient(extension=[reliability("PROV", STATUS, comment)]), "") == []


def test_doubtful_and_fictitious_exclude_each_other() -> None:
    assert len(faults(patient(extension=[reliability("PROV", STATUS, "DOUT", "FICT")]), "")) == 1


def test_a_comment_may_be_a_coding_as_in_older_releases() -> None:
    extension = reliability("QUAL")
    extension["extension"].append({"url": "comment", "valueCoding": {"code": "DOUT"}})
    assert len(faults(patient(extension=[extension]))) == 1


def test_two_ins_of_one_system_are_refused() -> None:
    twice = patient()
    twice["identifier"].append({"system": "urn:oid:1.2.250.1.213.1.4.8", "value": "155067200010159"})
    assert faults(twice) == ["Patient.identifier"]
    twice["identifier"][1]["use"] = "old"
    assert faults(twice) == []


def test_extensions_that_the_server_sets_are_refused() -> None:
    url = "https://interop.esante.gouv.fr/ig/fhir/dmp/StructureDefinition/dmp-fermeture"
    assert faults(patient(extension=[reliability(), {"url": url}])) == [f"Patient.extension('{url}')"]


@pytest.mark.parametrize(
    "stated",
    [
        {},
        {"name": [{"use": "official", "family": "Bellanger", "given": ["ANOUK"]}]},
        {"name": [{"family": "D’Aubigné", "given": ["anouk"]}], "birthDate": "1985"},
        {"gender": "unknown"},
    ],
)
def test_traits_that_say_the_same_or_less_agree(stated: Json) -> None:
    known = patient()
    known["name"].append({"use": "usual", "family": "D'AUBIGNE", "given": ["Anouk"]})
    assert discordances(stated, known) == ()


@pytest.mark.parametrize(
    ("stated", "element"),
    [
        ({"name": [{"family": "MOREL", "given": ["Anouk"]}]}, "name.family"),
        ({"name": [{"family": "BELLANGER", "given": ["Paul"]}]}, "name.given"),
        ({"birthDate": "1985-04-18"}, "birthDate"),
        ({"gender": "male"}, "gender"),
    ],
)
def test_traits_that_contradict_are_named(stated: Json, element: str) -> None:
    assert discordances(copy.deepcopy(stated), patient()) == (element,)
