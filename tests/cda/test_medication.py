"""Prescriptions, treatments and vaccines become their resources, and come back. [cda 9, group D]"""

from __future__ import annotations

import pytest

from tests.cda.making import (
    code,
    concept,
    converted,
    entry,
    observation,
    only,
    related,
    resolved,
    templates,
)
from tests.cda.statements import (
    DONE,
    PRODUCT,
    act,
    returns,
    said,
    treatment,
)

PRESCRIBED = ("1.3.6.1.4.1.19376.1.9.1.3.6", "E83", "1.3.6.1.4.1.19376.1.5.3.1.4.8")


@pytest.mark.statement("cda D69")
def test_a_prescription_is_a_request_with_quantity_substitution_and_ald() -> None:
    supply = (
        '<supply classCode="SPLY" moodCode="RQO">' + templates("E86") + '<quantity value="2" unit="{boîte}"/></supply>'
    )
    ald = observation(
        code("GEN-178", "1.2.250.1.213.1.1.4.322") + DONE + '<value xsi:type="BL" value="true"/>', "E48", "E48.13"
    )
    data = said(
        entry(
            treatment(
                '<id root="1.2.250.1.999.8" extension="M-1"/><text>Paracétamol</text>'
                + DONE
                + '<effectiveTime xsi:type="IVL_TS"><low value="20260612"/><high value="20260619"/></effectiveTime>'
                + '<effectiveTime xsi:type="PIVL_TS" operator="A"><period value="8" unit="h"/></effectiveTime>'
                + '<repeatNumber value="1"/><routeCode code="20053000" codeSystem="0.4.0.127.0.16.1.1.2.1"/>'
                + '<doseQuantity value="1" unit="{tablet}"/>'
                + PRODUCT
                + related(
                    act(
                        code("PINSTRUCT", "1.3.6.1.4.1.19376.1.5.3.2") + "<text>Au repas</text>" + DONE,
                        "E33",
                        mood="INT",
                    ),
                    "SUBJ",
                    ' inversionInd="true"',
                )
                + related(supply, "COMP")
                + related(act(code("N", "2.16.840.1.113883.5.1070") + DONE, "E87", mood="DEF"), "COMP")
                + related(ald, "RSON"),
                *PRESCRIBED,
                mood="INT",
            )
        )
    )
    found = converted(data)
    request = only(found, "MedicationRequest")
    assert (request["intent"], request["dispenseRequest"]["numberOfRepeatsAllowed"]) == ("order", 1)
    assert request["dispenseRequest"]["quantity"]["value"] == 2
    assert concept(request["substitution"]["allowedCodeableConcept"])[1] == "N"
    dosage = request["dosageInstruction"][0]
    assert dosage["timing"]["repeat"]["boundsPeriod"] == {"start": "2026-06-12", "end": "2026-06-19"}
    assert dosage["patientInstruction"] == "Au repas"
    assert concept(resolved(found, request["medicationReference"])["code"])[1] == "60234100"
    assert resolved(found, request["reasonReference"][0])["valueBoolean"] is True
    returns(data)


@pytest.mark.statement("cda D70")
def test_a_treatment_of_the_history_has_text_and_structured_timing() -> None:
    data = said(
        entry(
            treatment(
                "<text>1 comprimé au lever</text>"
                + '<statusCode code="active"/>'
                + '<effectiveTime xsi:type="IVL_TS"><low value="2026"/></effectiveTime>'
                + '<effectiveTime xsi:type="EIVL_TS" operator="A"><event code="ACM"/></effectiveTime>'
                + '<doseQuantity><low value="1" unit="{tablet}"/><high value="2" unit="{tablet}"/></doseQuantity>'
                + PRODUCT,
                "1.3.6.1.4.1.19376.1.5.3.1.4.7.1",
                "E42",
            )
        )
    )
    found = only(data, "MedicationStatement")
    assert (found["status"], found["effectivePeriod"]) == ("active", {"start": "2026"})
    assert "1 comprimé au lever" in found["text"]["div"]
    assert found["dosage"][0]["timing"]["repeat"]["when"] == ["ACM"]
    assert found["dosage"][0]["doseAndRate"][0]["doseRange"]["high"]["value"] == 2
    returns(data)


@pytest.mark.statement("cda C63")
def test_a_treatment_that_is_not_taken_says_so() -> None:
    data = said(entry(treatment(DONE + PRODUCT, "E42", more=' negationInd="true"')))
    assert only(data, "MedicationStatement")["status"] == "not-taken"
    returns(data)


VACCINE = ("1.3.6.1.4.1.19376.1.5.3.1.4.12", "E45")


@pytest.mark.statement("cda D71")
def test_a_vaccination_has_dose_number_lot_site_and_performer() -> None:
    rank = observation(
        code("30973-2") + DONE + '<value xsi:type="INT" value="2"/>', "2.16.840.1.113883.10.20.1.46", "E82"
    )
    data = said(
        entry(
            treatment(
                '<id root="1.2.250.1.999.8" extension="V-1"/>'
                + code("IMMUNIZ", "2.16.840.1.113883.5.4")
                + DONE
                + '<effectiveTime value="20260105"/>'
                + '<approachSiteCode code="LA" codeSystem="2.16.840.1.113883.5.1052"/>'
                + PRODUCT
                + '<performer><assignedEntity><id root="1.2.250.1.71.4.2.1" extension="899700218896"/></assignedEntity></performer>'
                + related(rank),
                *VACCINE,
                more=' negationInd="false"',
            )
        )
    )
    found = converted(data)
    vaccine = only(found, "Immunization")
    assert (vaccine["status"], vaccine["occurrenceDateTime"], vaccine["lotNumber"]) == (
        "completed",
        "2026-01-05",
        "L-77",
    )
    assert vaccine["protocolApplied"] == [{"doseNumberPositiveInt": 2}]
    assert concept(vaccine["vaccineCode"])[1] == "60234100"
    assert concept(vaccine["site"])[1] == "LA"
    assert resolved(found, vaccine["performer"][0]["actor"])["resourceType"] == "PractitionerRole"
    returns(data)


@pytest.mark.statement("cda C63")
def test_a_vaccination_that_was_not_done_says_so() -> None:
    data = said(
        entry(treatment(DONE + '<effectiveTime nullFlavor="UNK"/>' + PRODUCT, *VACCINE, more=' negationInd="true"'))
    )
    assert only(data, "Immunization")["status"] == "not-done"
    returns(data)


@pytest.mark.statement("cda D72")
def test_a_recommended_vaccine_is_a_recommendation() -> None:
    data = said(
        entry(treatment('<statusCode code="active"/><effectiveTime value="20270101"/>' + PRODUCT, "E47", mood="INT"))
    )
    (advice,) = only(data, "ImmunizationRecommendation")["recommendation"]
    assert concept(advice["vaccineCode"][0])[1] == "60234100"
    assert advice["dateCriterion"][0]["value"] == "2027-01-01"
    returns(data)
