"""Reading the claims of identity providers: what is there, what is absent, what is nonsense."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from fhir_dmp.identity.upstream import pivot_of, professional_of
from fhir_dmp.terminology.aliases import PROFESSION, TRAINING
from tests.provider.people import PEOPLE


def test_each_activity_is_a_practice_of_its_own() -> None:
    person = professional_of(PEOPLE["tremblay"])
    assert person is not None
    assert [(each.structure, each.sector, each.roles) for each in person.practices] == [
        ("1750999021", "SA01", ((PROFESSION, "10"), ("urn:oid:1.2.250.1.71.4.2.5", "SM44"))),
        ("1750999013", "SA07", ((PROFESSION, "10"),)),
    ]
    assert {each.work_situation for each in person.practices} == {"10C"}


def test_a_student_has_a_profession_in_training() -> None:
    claims = {
        "SubjectNameID": "810100000016",
        "SubjectRefPro": {"exercices": [{"codeProfession": "10", "codeCategorieProfessionnelle": "E"}]},
    }
    person = professional_of(claims)
    assert person is not None
    assert person.practices[0].profession == (TRAINING, "10")


def test_without_practice_records_the_roles_count() -> None:
    claims = {
        "preferred_username": "810100000016",
        "SubjectRole": ["10^1.2.250.1.213.1.1.5.5", "SM26^1.2.250.1.213.2.28"],
        "SubjectOrganizationID": "1750999013",
        "SubjectOrganization": "Cabinet",
        "Secteur_Activite": "SA07^1.2.250.1.71.4.2.4",
    }
    person = professional_of(claims)
    assert person is not None
    practice = person.practices[0]
    assert (practice.structure, practice.sector, len(practice.roles)) == ("1750999013", "SA07", 2)


def test_a_regulator_is_told_by_the_claim() -> None:
    found = {login: professional_of(PEOPLE[login]) for login in ("fouquet", "carlier")}
    assert {login: person.regulator for login, person in found.items() if person} == {"fouquet": True, "carlier": False}


def test_who_has_no_national_number_is_no_professional() -> None:
    assert professional_of(PEOPLE["anouk"]) is None


def test_a_pivot_identity_needs_name_given_names_and_date() -> None:
    pivot = pivot_of(PEOPLE["anouk"])
    assert pivot is not None
    assert (pivot.family, pivot.given, pivot.birth_date) == ("BELLANGER", ("Anouk",), "1985-04-17")
    for missing in ("family_name", "birthdate"):
        assert pivot_of({**PEOPLE["anouk"], missing: ""}) is None


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)
_NAMES = st.sampled_from(
    ["SubjectNameID", "SubjectRefPro", "SubjectRole", "family_name", "given_name", "birthdate", "given_name_array",
     "Acces_Regulation_Medicale", "SubjectOrganizationID", "exercices"]
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(_NAMES, _VALUES, max_size=8))
def test_no_userinfo_breaks_the_reading(claims: dict[str, Any]) -> None:
    professional_of({"SubjectNameID": "810100000016", **claims})
    pivot_of({**PEOPLE["anouk"], **claims})
