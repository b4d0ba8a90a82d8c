"""Devices, acts, encounters, relatives and references become their resources, and come back. [cda 9, group D]"""

from __future__ import annotations

from typing import Any

import pytest

from fhir_dmp.cda.elements import at_path, first, tag
from fhir_dmp.fhir.resource import Json
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
    written,
)
from tests.cda.statements import (
    CIM,
    DONE,
    PRODUCT,
    RESULT,
    SNOMED,
    act,
    component,
    listed,
    organizer,
    problem,
    returns,
    said,
    status,
    treatment,
    value,
)


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


def _asked(code_: str) -> str:
    return entry(observation('<id root="1.2.250.1.999.8" extension="A-1"/>' + code(code_) + DONE, "E27", mood="INT"))


def test_a_plan_of_care_is_a_plan_of_what_its_section_asks_for() -> None:
    goal = entry(observation(code("29463-7") + DONE, "E27", mood="GOL"))
    data = document(section(_asked("2339-0") + goal, code_="18776-5"))
    found = converted(data)
    plan = only(found, "CarePlan")
    assert (plan["status"], plan["intent"], plan["title"]) == ("active", "plan", "Section")
    assert [resolved(found, one["reference"])["resourceType"] for one in plan["activity"]] == ["ServiceRequest"]
    assert [resolved(found, one)["resourceType"] for one in plan["goal"]] == ["Goal"]
    returns(data)


def test_another_section_is_no_plan() -> None:
    assert resources(said(_asked("2339-0")), "CarePlan") == []


def test_a_plan_from_elsewhere_gives_the_statements_that_it_refers_to() -> None:
    data = document(section(_asked("2339-0"), code_="18776-5"))
    found = converted(data)
    plan, wanted = only(found, "CarePlan"), only(found, "ServiceRequest")
    plan["note"] = [{"text": "Revoir dans un mois"}]
    part = found.bundle["entry"][0]["resource"]["section"][0]
    part["entry"] = [one for one in part["entry"] if wanted["id"] not in one["reference"]]
    again = written(found.bundle)
    assert resources(again.data, "ServiceRequest")[0]["code"] == wanted["code"]
    assert [issue.expression for issue in again.issues] == [("CarePlan.note",)]
