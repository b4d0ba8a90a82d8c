"""Each kind of clinical statement becomes its resource, and comes back. [cda 9, group D]"""

from __future__ import annotations

from typing import Any

import pytest

from fhir_dmp.cda.elements import at_path, first, tag
from fhir_dmp.cda.xml import clinical_document, parse
from fhir_dmp.fhir.resource import Json
from tests.cda.invariants import facts
from tests.cda.making import (
    back,
    code,
    concept,
    converted,
    document,
    entry,
    observation,
    only,
    related,
    resolved,
    resources,
    section,
    templates,
)

DONE = '<statusCode code="completed"/>'
CIM = "2.16.840.1.113883.6.3"
ABSENT = "2.16.840.1.113883.5.1150.1"
SNOMED = "2.16.840.1.113883.6.96"
PROBLEM = ("2.16.840.1.113883.10.20.1.28", "1.3.6.1.4.1.19376.1.5.3.1.4.5", "E37")
NOTE = (
    '<act classCode="ACT" moodCode="EVN">'
    + templates("1.3.6.1.4.1.19376.1.5.3.1.4.2", "E32")
    + code("48767-8")
    + "<text>À revoir</text>"
    + DONE
    + "</act>"
)
CIS = "1.2.250.1.213.2.3.1"


def value(code_: str, system: str = CIM, type_: str = "CD") -> str:
    """Return a coded value."""
    return f'<value xsi:type="{type_}" code="{code_}" codeSystem="{system}"/>'


def status(root: str, code_: str, system: str = SNOMED) -> str:
    """Return an observation that says something of its parent."""
    return related(observation(code("X") + DONE + value(code_, system), root), "REFR", ' inversionInd="false"')


def listed(*acts: str, roots: tuple[str, ...] = ("1.3.6.1.4.1.19376.1.5.3.1.4.5.2", "E39"), id_: str = "C-1") -> str:
    """Return the entry of a list of problems or allergies."""
    inside = "".join(related(act, "SUBJ", ' inversionInd="false"') for act in acts)
    return entry(
        f'<act classCode="ACT" moodCode="EVN">{templates(*roots)}<id root="1.2.250.1.999.8" extension="{id_}"/>'
        f'<code nullFlavor="NA"/><statusCode code="active"/><effectiveTime><low value="2026"/></effectiveTime>{inside}</act>'
    )


def problem(id_: str, code_: str, more: str = "", negated: str = "false", system: str = CIM) -> str:
    """Return a problem."""
    return observation(
        f'<id root="1.2.250.1.999.8" extension="{id_}"/>'
        + code("282291009", SNOMED)
        + DONE
        + '<effectiveTime><low value="201903"/><high value="20260110"/></effectiveTime>'
        + value(code_, system)
        + more,
        *PROBLEM,
        more=f' negationInd="{negated}"',
    )


def said(*entries: str) -> bytes:
    """Return the document of these entries."""
    return document(section("".join(entries)))


def returns(data: bytes) -> None:
    """Check that the document comes back with every fact of it."""
    assert facts(back(data)) == facts(clinical_document(parse(data)))


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


PRODUCT = (
    '<consumable><manufacturedProduct classCode="MANU"><manufacturedMaterial>'
    + code("60234100", CIS, displayName="PARACETAMOL 500 mg")
    + "<name>PARACETAMOL 500 mg</name><lotNumberText>L-77</lotNumberText></manufacturedMaterial></manufacturedProduct></consumable>"
)


def treatment(inside: str, *roots: str, mood: str = "EVN", more: str = "") -> str:
    """Return a substanceAdministration."""
    return f'<substanceAdministration classCode="SBADM" moodCode="{mood}"{more}>{templates(*roots)}{inside}</substanceAdministration>'


def act(inside: str, *roots: str, mood: str = "EVN") -> str:
    """Return an act."""
    return f'<act classCode="ACT" moodCode="{mood}">{templates(*roots)}{inside}</act>'


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


def organizer(inside: str, *roots: str, class_: str = "BATTERY") -> str:
    """Return an organizer."""
    return f'<organizer classCode="{class_}" moodCode="EVN">{templates(*roots)}{inside}</organizer>'


def component(act_: str) -> str:
    """Return a component."""
    return f"<component>{act_}</component>"


RESULT = observation(
    '<id root="1.2.250.1.999.8" extension="R-1"/>'
    + code("2339-0")
    + DONE
    + '<effectiveTime value="20260611080000+0200"/><value xsi:type="PQ" value="7.20" unit="mmol/L"/>'
    + '<interpretationCode code="H" codeSystem="2.16.840.1.113883.5.83"/>'
    + '<methodCode code="SP" codeSystem="1.2.250.1.213.2.3.5"/>'
    + '<participant typeCode="AUTHEN"><time value="20260611"/><participantRole>'
    + '<id root="1.2.250.1.71.4.2.1" extension="899700218904"/><playingEntity><name><family>MOREL</family></name></playingEntity>'
    + "</participantRole></participant>"
    + '<referenceRange><observationRange><value xsi:type="IVL_PQ"><low value="3.90" unit="mmol/L"/>'
    + '<high value="5.50" unit="mmol/L"/></value></observationRange></referenceRange>',
    "1.3.6.1.4.1.19376.1.3.1.6",
    "E80",
)


@pytest.mark.statement("cda D73", "cda D74")
def test_a_laboratory_report_keeps_its_hierarchy_and_each_result_what_it_says() -> None:
    isolate = organizer(
        code("18769-0") + DONE + component(RESULT), "1.3.6.1.4.1.19376.1.3.1.5", "E79", class_="CLUSTER"
    )
    battery = organizer(code("18719-5") + DONE + component(RESULT.replace("R-1", "R-2")) + component(isolate), "E78")
    report = act(code("18719-5") + DONE + related(battery, "COMP"), "1.3.6.1.4.1.19376.1.3.1", "E21")
    data = said(entry(report))
    found = converted(data)
    top = resolved(found, only(found, "DiagnosticReport")["result"][0])
    first_, second = (resolved(found, one) for one in top["hasMember"])
    assert first_["valueQuantity"]["unit"] == "mmol/L"
    assert concept(second["code"])[1] == "18769-0"
    inner = resolved(found, second["hasMember"][0])
    assert (concept(inner["interpretation"][0])[1], concept(inner["method"])[1]) == ("H", "SP")
    assert str(inner["referenceRange"][0]["low"]["value"]) == "3.90"
    assert resolved(found, inner["performer"][0])["resourceType"] == "PractitionerRole"
    assert concept(inner["category"][0])[1] == "laboratory"
    returns(data)


@pytest.mark.statement("cda D75")
def test_a_specimen_has_its_kind_and_both_times() -> None:
    received = act(
        code("SPRECEIVE", "1.3.5.1.4.1.19376.1.5.3.2") + '<effectiveTime value="20260611093000+0200"/>', "E107"
    )
    taken = (
        '<procedure classCode="PROC" moodCode="EVN">'
        + templates("1.3.6.1.4.1.19376.1.3.1.2", "E77")
        + '<effectiveTime value="20260611080000+0200"/><participant typeCode="PRD"><participantRole classCode="SPEC">'
        + '<id root="1.2.250.1.999.8" extension="S-1"/><playingEntity>'
        + code("UR", "2.16.840.1.113883.18.311")
        + "</playingEntity></participantRole></participant>"
        + related(received, "COMP")
        + "</procedure>"
    )
    data = said(entry(taken))
    found = only(data, "Specimen")
    assert concept(found["type"])[1] == "UR"
    assert found["collection"]["collectedDateTime"] == "2026-06-11T08:00:00+02:00"
    assert found["receivedTime"] == "2026-06-11T09:30:00+02:00"
    returns(data)


@pytest.mark.statement("cda D76")
def test_vital_signs_are_a_panel_of_their_category() -> None:
    weight = observation(code("29463-7") + DONE + '<value xsi:type="PQ" value="71" unit="kg"/>', "E50")
    data = said(entry(organizer(code("85353-1") + DONE + component(weight), "E49", class_="CLUSTER")))
    panel, sign = resources(data, "Observation")
    assert [concept(one["category"][0])[1] for one in (panel, sign)] == ["vital-signs"] * 2
    assert panel["hasMember"] == [{"reference": f"urn:uuid:{sign['id']}"}]
    returns(data)


@pytest.mark.statement("cda D77")
def test_an_imaging_study_keeps_the_uids_of_study_series_and_instance() -> None:
    instance = (
        '<observation classCode="DGIMG" moodCode="EVN">'
        + templates("E157")
        + '<id root="1.2.3.4.5.1.1"/>'
        + code("1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.2.6.1")
        + "</observation>"
    )
    series = act(
        '<id root="1.2.3.4.5.1"/><code code="113015" codeSystem="1.2.840.10008.2.16.4"><qualifier><name code="121139" codeSystem="1.2.840.10008.2.16.4"/><value code="CT" codeSystem="1.2.840.10008.2.16.4"/></qualifier></code>'
        + related(instance, "COMP"),
        "E156",
    )
    data = said(
        entry(act('<id root="1.2.3.4.5"/>' + code("113014", "1.2.840.10008.2.16.4") + related(series, "COMP"), "E155"))
    )
    study = only(data, "ImagingStudy")
    assert study["identifier"][0]["value"] == "urn:oid:1.2.3.4.5"
    (one,) = study["series"]
    assert (one["uid"], one["modality"]["code"], one["instance"][0]["uid"]) == ("1.2.3.4.5.1", "CT", "1.2.3.4.5.1.1")
    returns(data)


@pytest.mark.statement("cda D78")
@pytest.mark.parametrize(("mood", "type_"), [("EVN", "DeviceUseStatement"), ("INT", "DeviceRequest")])
def test_a_device_has_its_code(mood: str, type_: str) -> None:
    supply = (
        f'<supply classCode="SPLY" moodCode="{mood}">'
        + templates("E20")
        + '<id root="1.2.250.1.999.8" extension="D-1"/><effectiveTime xsi:type="IVL_TS"><low value="2024"/></effectiveTime>'
        + '<participant typeCode="DEV"><participantRole classCode="MANU"><playingDevice>'
        + code("J0101", "1.2.250.1.213.2.68")
        + "</playingDevice></participantRole></participant></supply>"
    )
    data = said(entry(supply))
    found = converted(data)
    use = only(found, type_)
    device = resolved(found, use["device" if mood == "EVN" else "codeReference"])
    assert concept(device["type"])[1] == "J0101"
    returns(data)


def procedure(inside: str, mood: str) -> str:
    """Return a procedure."""
    return f'<procedure classCode="PROC" moodCode="{mood}">{templates("1.3.6.1.4.1.19376.1.5.3.1.4.19", "E62")}{inside}</procedure>'


@pytest.mark.statement("cda D79")
def test_a_procedure_done_and_one_intended_are_two_kinds_of_resources() -> None:
    inside = '<id root="1.2.250.1.999.8" extension="X-1"/>' + code("HFFC018", "1.2.250.1.215.300.1") + DONE
    inside += (
        '<effectiveTime value="20260601"/>' + '<targetSiteCode code="72696002" codeSystem="2.16.840.1.113883.6.96"/>'
    )
    data = said(entry(procedure(inside, "EVN")), entry(procedure(inside.replace("X-1", "X-2"), "INT")))
    found = converted(data)
    done, wanted = only(found, "Procedure"), only(found, "ServiceRequest")
    assert (done["status"], done["performedDateTime"], concept(done["bodySite"][0])[1]) == (
        "completed",
        "2026-06-01",
        "72696002",
    )
    assert (wanted["intent"], concept(wanted["code"])[1]) == ("order", "HFFC018")
    returns(data)


@pytest.mark.statement("cda D80")
@pytest.mark.parametrize(("mood", "state"), [("ARQ", "planned"), ("EVN", "unknown")])
def test_an_encounter_asked_for_is_planned(mood: str, state: str) -> None:
    data = said(
        entry(
            f'<encounter classCode="ENC" moodCode="{mood}">'
            + templates("1.3.6.1.4.1.19376.1.5.3.1.4.14", "E58")
            + '<id root="1.2.250.1.999.8" extension="N-1"/>'
            + code("AMB", "2.16.840.1.113883.5.4")
            + '<effectiveTime><low value="20260701"/></effectiveTime></encounter>'
        )
    )
    stays = [one for one in resources(data, "Encounter") if one.get("identifier", [{}])[0].get("value") == "N-1"]
    assert [(one["status"], one["class"]["code"]) for one in stays] == [(state, "AMB")]
    returns(data)


@pytest.mark.statement("cda D82")
def test_a_relative_has_one_history_with_each_of_the_conditions() -> None:
    def history(relation: str, *codes: str) -> str:
        found = "".join(
            component(observation(code("G-1009", "1.2.250.1.213.2.12") + DONE + value(one), "E51")) for one in codes
        )
        subject = f'<subject typeCode="SBJ"><relatedSubject classCode="PRS">{code(relation, "2.16.840.1.113883.5.111")}</relatedSubject></subject>'
        return entry(organizer(DONE + subject + found, "E59", class_="CLUSTER"))

    data = said(history("MTH", "I10", "E11"), history("FTH", "C61"))
    mother, father = resources(data, "FamilyMemberHistory")
    assert (concept(mother["relationship"])[1], concept(father["relationship"])[1]) == ("MTH", "FTH")
    assert [concept(one["code"])[1] for one in mother["condition"]] == ["I10", "E11"]
    returns(data)


@pytest.mark.statement("cda D83")
def test_a_pregnancy_and_a_birth_are_kept() -> None:
    weight = observation(code("8339-4") + DONE + '<value xsi:type="PQ" value="3250" unit="g"/>', "E53")
    birth = organizer(
        code("57075-4") + DONE + component(weight), "1.3.6.1.4.1.19376.1.5.3.1.4.13.5.2", "E56", class_="CLUSTER"
    )
    count = observation(code("11996-6") + DONE + '<value xsi:type="INT" value="2"/>', "E53")
    data = said(
        entry(
            organizer(code("118185001", SNOMED) + DONE + component(count) + component(birth), "E55", class_="CLUSTER")
        )
    )
    found = {concept(one["code"])[1]: one for one in resources(data, "Observation")}
    assert found["11996-6"]["valueInteger"] == 2
    assert found["8339-4"]["valueQuantity"]["value"] == 3250
    assert len(found["118185001"]["hasMember"]) == 2
    returns(data)


@pytest.mark.statement("cda D84")
def test_an_adverse_reaction_has_causality_severity_and_outcome() -> None:
    event = observation(
        '<id root="1.2.250.1.999.8" extension="E-1"/>'
        + code("DINT", "2.16.840.1.113883.5.4")
        + DONE
        + '<effectiveTime><low value="2025"/></effectiveTime>'
        + value("L27.0")
        + status("E211", "385434005")
        + status("E212", "24484000")
        + status("E213", "370996005"),
        "2.16.840.1.113883.10.20.1.18",
        "E210",
        more=' negationInd="false"',
    )
    data = said(entry(event))
    found = only(data, "AdverseEvent")
    names = {one["url"].rpartition("-")[2]: one for one in found["extension"]}
    assert concept(found["event"])[1] == "L27.0"
    assert concept(names["causality"]["valueCodeableConcept"])[1] == "385434005"
    assert concept(found["severity"])[1] == "severe"
    assert concept(names["outcome"]["valueCodeableConcept"])[1] == "370996005"
    returns(data)


@pytest.mark.statement("cda D85")
def test_a_reference_to_another_act_leads_to_its_resource() -> None:
    link = act(
        '<id root="1.2.250.1.999.8" extension="P-1"/>' + code("J45", CIM), "1.3.6.1.4.1.19376.1.5.3.1.4.4.1", "E36"
    )
    data = said(listed(problem("P-1", "J45")), entry(treatment(DONE + PRODUCT + related(link, "RSON"), "E42")))
    found = converted(data)
    (reason,) = only(found, "MedicationStatement")["reasonReference"]
    assert resolved(found, reason)["id"] == only(found, "Condition")["id"]
    returns(data)


def test_a_reference_to_nothing_is_reported_and_stands_nowhere_in_fhir() -> None:
    link = act('<id root="1.2.250.1.999.8" extension="P-9"/>' + code("J45", CIM), "E36")
    found = converted(said(entry(treatment(DONE + PRODUCT + related(link, "RSON"), "E42"))))
    assert "reasonReference" not in only(found, "MedicationStatement")
    assert any("not in this document" in issue.diagnostics for issue in found.issues)


def test_coverage_directives_and_external_documents_have_their_resources() -> None:
    payer = act(
        code("PAYER", "2.16.840.1.113883.5.4")
        + DONE
        + '<performer typeCode="PRF"><assignedEntity><id root="1.2.250.1.71.4.2.2" extension="1750100125"/></assignedEntity></performer>',
        "E94",
    )
    cover = act(code("48768-6") + DONE + related(payer, "COMP"), "1.3.6.1.4.1.19376.1.5.3.1.4.17", "E61", mood="DEF")
    directive = observation(code("304251008", SNOMED) + DONE + '<value xsi:type="BL" value="true"/>', "E54")
    link = act(
        code("1-1")
        + '<reference typeCode="REFR"><externalDocument><text><reference value="https://example.org/d"/></text></externalDocument></reference>',
        "E35",
    )
    data = said(entry(cover), entry(directive), entry(link))
    found = converted(data)
    assert concept(only(found, "Coverage")["type"])[1] == "PAYER"
    assert concept(only(found, "Consent")["category"][0])[1] == "304251008"
    assert only(found, "DocumentReference")["content"][0]["attachment"]["url"] == "https://example.org/d"
    returns(data)


def _obs(changes: Json) -> tuple[Any, Any]:
    data = said(entry(RESULT))
    found = converted(data)
    only(found, "Observation").update(changes)
    return found, back(found)


def test_what_is_changed_in_fhir_is_what_is_written() -> None:
    _, document_ = _obs(
        {
            "valueQuantity": {"value": 4, "unit": "mmol/L", "system": "http://unitsofmeasure.org", "code": "mmol/L"},
            "status": "preliminary",
        }
    )
    observed = next(document_.iter(tag("observation")))
    changed = first(observed, "value")
    assert changed is not None
    assert changed.get("value") == "4"
    assert at_path(observed, ("statusCode",))[0].get("code") == "active"
