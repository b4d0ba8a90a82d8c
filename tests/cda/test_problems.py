"""Problems and allergies become their resources, and come back. [cda 9, group D]"""

from __future__ import annotations

import pytest

from fhir_dmp.cda.elements import tag
from tests.cda.making import (
    back,
    code,
    concept,
    observation,
    only,
    related,
    resources,
)
from tests.cda.statements import (
    ABSENT,
    CIS,
    DONE,
    NOTE,
    PROBLEM,
    SNOMED,
    listed,
    problem,
    returns,
    said,
    status,
    value,
)


@pytest.mark.statement("cda D64")
def test_a_list_gives_a_condition_for_each_problem_with_both_ids() -> None:
    data = said(listed(problem("P-1", "J45"), problem("P-2", "I10")))
    conditions = resources(data, "Condition")
    assert [concept(one["code"])[1] for one in conditions] == ["J45", "I10"]
    assert [[id_["value"] for id_ in one["identifier"]] for one in conditions] == [["P-1", "C-1"], ["P-2", "C-1"]]
    assert (conditions[0]["onsetDateTime"], conditions[0]["abatementDateTime"]) == ("2019-03", "2026-01-10")
    returns(data)


def test_two_lists_of_the_same_id_stay_two() -> None:
    data = said(listed(problem("P-1", "J45")), listed(problem("P-2", "I10")))
    assert len(list(back(data).iter(tag("entry")))) == 2
    returns(data)


@pytest.mark.statement("cda D65")
def test_severity_certainty_status_and_comment_are_of_the_condition() -> None:
    more = (
        status("E29", "24484000")
        + status("E30", "413322009")
        + status("E171", "410605003")
        + related(NOTE, "SUBJ", ' inversionInd="true"')
    )
    data = said(listed(problem("P-1", "J45", more)))
    found = only(data, "Condition")
    assert concept(found["severity"])[1] == "24484000"
    assert concept(found["clinicalStatus"])[1] == "resolved"
    assert concept(found["verificationStatus"])[1] == "confirmed"
    assert found["note"] == [{"text": "À revoir"}]
    returns(data)


@pytest.mark.statement("cda D66")
def test_no_known_problem_is_one_condition_that_says_so() -> None:
    none = problem("P-1", "no-known-problems", negated="true", system=ABSENT)
    data = said(listed(none.replace('<high value="20260110"/>', "")))
    found = only(data, "Condition")
    assert concept(found["code"]) == (
        "http://hl7.org/fhir/uv/ips/CodeSystem/absent-unknown-uv-ips",
        "no-known-problems",
    )
    assert "clinicalStatus" not in found
    assert "verificationStatus" not in found
    returns(data)


def test_a_problem_that_has_ended_is_not_active_any_more() -> None:
    data = said(listed(problem("P-1", "J45"), problem("P-2", "I10", status("E30", "55561003"))))
    ended, contradicted = resources(data, "Condition")
    assert [one["code"] for one in ended["clinicalStatus"]["coding"]] == ["resolved"]
    assert [one["code"] for one in contradicted["clinicalStatus"]["coding"]] == ["inactive", "55561003"]
    returns(data)


@pytest.mark.statement("cda C63")
def test_a_denied_problem_is_refuted() -> None:
    data = said(listed(problem("P-1", "J45", negated="true")))
    assert concept(only(data, "Condition")["verificationStatus"])[1] == "refuted"
    returns(data)


ALLERGY = ("2.16.840.1.113883.10.20.1.18", "1.3.6.1.4.1.19376.1.5.3.1.4.6", "E41")
LIST_OF_ALLERGIES = ("1.3.6.1.4.1.19376.1.5.3.1.4.5.3", "E40")


def allergy(inside: str) -> str:
    """Return an allergy."""
    return observation('<id root="1.2.250.1.999.8" extension="A-1"/>' + inside, *ALLERGY)


@pytest.mark.statement("cda D67")
def test_an_allergy_has_its_substance_and_its_reaction() -> None:
    substance = (
        '<participant typeCode="CSM"><participantRole classCode="MANU"><playingEntity classCode="MMAT">'
        + code("60234100", CIS, displayName="PARACETAMOL")
        + "</playingEntity></participantRole></participant>"
    )
    rash = observation(code("418799008", SNOMED) + DONE + value("L50"), *PROBLEM)
    data = said(
        listed(
            allergy(
                code("DALG", "2.16.840.1.113883.5.4")
                + DONE
                + '<effectiveTime><low value="2018"/></effectiveTime>'
                + substance
                + related(rash, "MFST", ' inversionInd="true"')
                + status("E172", "CRITH", "2.16.840.1.113883.5.1063")
            ),
            roots=LIST_OF_ALLERGIES,
        )
    )
    found = only(data, "AllergyIntolerance")
    assert concept(found["code"])[1] == "60234100"
    assert (found["type"], found["category"], found["criticality"]) == ("allergy", ["medication"], "high")
    assert concept(found["reaction"][0]["manifestation"][0])[1] == "L50"
    returns(data)


@pytest.mark.statement("cda D68")
def test_no_known_allergy_is_one_resource_that_says_so() -> None:
    none = (
        '<participant typeCode="CSM"><participantRole><playingEntity>'
        + code("no-known-allergies", ABSENT)
        + "</playingEntity></participantRole></participant>"
    )
    data = said(listed(allergy(code("ALG", "2.16.840.1.113883.5.4") + DONE + none), roots=LIST_OF_ALLERGIES))
    assert concept(only(data, "AllergyIntolerance")["code"])[1] == "no-known-allergies"
    returns(data)
