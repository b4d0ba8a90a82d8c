"""Format, key and systems of the INS, and what keys a dossier."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_dmp.patients.ins import (
    Authority,
    InsRules,
    authority_of,
    every_ins,
    has_valid_key,
    ins_of,
    is_well_formed,
    key_of,
    verdicts,
)

NIR, NIA, TEST, DEMO = (f"urn:oid:1.2.250.1.213.1.4.{n}" for n in (8, 9, 10, 11))
X = "https://dmp-fhir.example/ig"


@pytest.mark.statement("dmp-fhir 9.2/16")
@pytest.mark.parametrize("ins", ["124018852493334", "155067200010159", "168017218137243", "285047511200314"])
def test_real_looking_matricules_are_valid(ins: str) -> None:
    assert has_valid_key(ins)


@pytest.mark.statement("dmp-fhir 9.2/17")
@pytest.mark.parametrize("ins", ["185032A12345601", "185032B12345628"])
def test_corsican_departments_are_read_as_19_and_18(ins: str) -> None:
    assert has_valid_key(ins)
    number = int(ins[:13].replace("A", "0").replace("B", "0")) - (1_000_000 if "A" in ins else 2_000_000)
    assert int(ins[13:]) == 97 - number % 97


@pytest.mark.parametrize(("ins", "key"), [("123456789012345", "11"), ("123456789012244", "12")])
def test_a_wrong_key_is_seen(ins: str, key: str) -> None:
    assert is_well_formed(ins)
    assert not has_valid_key(ins)
    assert key_of(ins[:13]) == key


@pytest.mark.statement("dmp-fhir 9.2/20")
@pytest.mark.parametrize(
    "ins", ["18503201234560", "1850320123456O1", "1850320123456012", "585032012345601", "185032C12345601", " " * 15, ""]
)
def test_malformed_matricules_are_refused(ins: str) -> None:
    assert not is_well_formed(ins)
    assert not has_valid_key(ins)


@given(st.from_regex(r"[1-478][0-9]{4}(2[AB][0-9]{3}|[0-9]{5})[0-9]{3}", fullmatch=True))
def test_a_number_with_its_own_key_is_valid_and_with_another_is_not(number: str) -> None:
    number = number.translate({ord(c): str(int(c)) for c in number if c.isdigit()})
    key = key_of(number)
    assert has_valid_key(number + key)
    assert 1 <= int(key) <= 97
    assert not has_valid_key(f"{number}{int(key) % 97 + 1:02d}")


@pytest.mark.statement("dmp-fhir 9.2/22")
def test_systems_are_told_apart_by_oid() -> None:
    assert [authority_of(system) for system in (NIR, NIA, TEST, DEMO, "urn:oid:1.2.250.1.213.1.4.2")] == [
        Authority.PRODUCTION,
        Authority.PRODUCTION,
        Authority.TEST,
        Authority.DEMONSTRATION,
        None,
    ]


def identified(*identifiers: dict[str, object]) -> dict[str, object]:
    return {"resourceType": "Patient", "identifier": list(identifiers)}


def test_the_nir_keys_the_dossier_before_the_nia() -> None:
    patient = identified({"system": NIA, "value": "2", "use": "temp"}, {"system": NIR, "value": "1"})
    assert ins_of(patient) == (NIR, "1")
    assert every_ins(patient) == ((NIR, "1"), (NIA, "2"))


@pytest.mark.statement("dmp-fhir 9.2/24")
@pytest.mark.parametrize("system", ["http://terminology.hl7.org/CodeSystem/v2-0203", None])
def test_a_billing_number_keys_nothing(system: str | None) -> None:
    coding = {"code": "NH"} | ({"system": system} if system else {})
    patient = identified({"type": {"coding": [coding]}, "system": NIR, "value": "285047511200314"})
    assert ins_of(patient) is None


def test_a_deactivated_ins_keys_nothing() -> None:
    assert ins_of(identified({"system": NIR, "value": "1", "use": "old"})) is None


@pytest.mark.parametrize("patient", [{}, {"identifier": "x"}, {"identifier": [None, {"system": NIR}, {"value": "1"}]}])
def test_a_patient_without_ins_has_none(patient: dict[str, object]) -> None:
    assert ins_of(patient) is None


def codes_and_severities(key_check: str, ins: tuple[str, str], *, creates: bool) -> list[tuple[str | None, str]]:
    found = verdicts(ins, InsRules(X, key_check), "Patient.identifier", creates=creates)
    return [(issue.details[0].code if issue.details else None, issue.severity) for issue in found]


@pytest.mark.parametrize(
    ("key_check", "creates", "expected"),
    [
        ("strict", True, [("ins-cle-invalide", "error")]),
        ("strict", False, [("ins-cle-invalide", "warning")]),
        ("warn", True, [("ins-cle-invalide", "warning")]),
        ("off", True, []),
    ],
)
def test_how_a_wrong_key_is_taken_depends_on_setting_and_use(
    key_check: str, creates: bool, expected: list[tuple[str, str]]
) -> None:
    assert codes_and_severities(key_check, (NIR, "123456789012345"), creates=creates) == expected


@pytest.mark.parametrize("key_check", ["strict", "warn", "off"])
def test_a_malformed_matricule_is_always_an_error_where_an_identity_is_created(key_check: str) -> None:
    assert codes_and_severities(key_check, (NIR, "123"), creates=True) == [("ins-format-invalide", "error")]


@pytest.mark.statement("dmp-fhir 9.2/23")
@pytest.mark.parametrize("system", [TEST, DEMO])
def test_test_and_demonstration_ins_need_the_setting(system: str) -> None:
    assert codes_and_severities("strict", (system, "285047511200314"), creates=True) == [(None, "error")]
    allowed = InsRules(X, "strict", test_allowed=True)
    assert verdicts((system, "285047511200314"), allowed, "Patient", creates=True) == ()
