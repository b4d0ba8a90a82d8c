"""Results, specimens, vital signs and images become their resources, and come back. [cda 9, group D]"""

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
    resources,
    templates,
)
from tests.cda.statements import (
    DONE,
    RESULT,
    act,
    component,
    organizer,
    returns,
    said,
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


def test_an_earlier_result_is_what_the_result_is_a_sequel_to_and_no_part_of_it() -> None:
    earlier = observation(
        code("2339-0") + DONE + '<effectiveTime value="20250611"/><value xsi:type="PQ" value="6.0" unit="mmol/L"/>'
    )
    data = said(entry(RESULT.replace("</observation>", related(earlier, "REFR") + "</observation>")))
    found = converted(data)
    now, before = resources(found, "Observation")
    (sequel,) = (one for one in now["extension"] if one["url"].endswith("observation-sequelTo"))
    assert resolved(found, sequel["valueReference"])["id"] == before["id"]
    assert ("hasMember" in now, str(before["valueQuantity"]["value"])) == (False, "6.0")
    assert found.counted.specific == found.counted.acts
    returns(data)
