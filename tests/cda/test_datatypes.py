"""CDA data types in FHIR and back: no digit, precision, name part or use is lost. [cda 9, group C]"""

from __future__ import annotations

import base64
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fhir_dmp.cda.elements import TYPE, first, framed, make, same, tag
from fhir_dmp.cda.knowledge import Part
from fhir_dmp.cda.places import place
from fhir_dmp.cda.reading import Reading
from fhir_dmp.cda.rules import CODECS
from fhir_dmp.cda.values.flavors import FLAVORS, REASONS
from fhir_dmp.cda.values.units import is_ucum
from fhir_dmp.cda.xml import Element
from fhir_dmp.fhir.resource import Json
from tests.cda.making import back, code, document, entry, knowledge, observation, only, resources, section, templates

PART = Part((), None, place("x"), "", {})
DONE = '<statusCode code="completed"/>'


def reader() -> Reading:
    """Return a reader of an empty document."""
    return Reading(None, knowledge(), UTC, "test")


def observed(inside: str, *roots: str) -> Json:
    """Return the Observation of an entry with this content."""
    return only(document(section(entry(observation(code("1-1") + DONE + inside, *(roots or ("E48",)))))), "Observation")


def returned(inside: str, name: str = "value") -> Element:
    """Return the element that comes back."""
    data = document(section(entry(observation(code("1-1") + DONE + inside, "E48"))))
    found = next(back(data).iter(tag("observation")))
    element = first(found, name)
    assert element is not None
    return element


@settings(max_examples=60, deadline=None)
@given(st.decimals(allow_nan=False, allow_infinity=False, places=4, min_value=-9999, max_value=9999), st.integers(0, 3))
@pytest.mark.statement("cda C46")
def test_a_quantity_keeps_every_digit(value: object, zeros: int) -> None:
    text = f"{value}{'0' * zeros}"
    element = make("value", {"value": text, "unit": "mmol/L"})
    read = CODECS["quantity"].read([element], PART, reader())
    assert read is not None
    assert (read.value["value"].text, read.exact) == (text, True)
    (again,) = CODECS["quantity"].write(read.value, PART, "value", reader())
    assert same(again, element)


@pytest.mark.statement("cda C46")
def test_digits_survive_the_whole_way() -> None:
    value = '<value xsi:type="PQ" value="0.10" unit="g/L"/>'
    assert observed(value)["valueQuantity"]["value"].text == "0.10"
    assert returned(value).get("value") == "0.10"


@pytest.mark.statement("cda C47")
@pytest.mark.parametrize(
    ("unit", "system"),
    [
        ("mg", "http://unitsofmeasure.org"),
        ("10*9/L", "http://unitsofmeasure.org"),
        ("30067000", "http://standardterms.edqm.eu"),
        ("comprimé", None),
        ("UI", None),
    ],
)
def test_only_ucum_is_said_to_be_ucum(unit: str, system: str | None) -> None:
    quantity = observed(f'<value xsi:type="PQ" value="2" unit="{unit}"/>')["valueQuantity"]
    assert (quantity["unit"], quantity.get("system")) == (unit, system)


@pytest.mark.parametrize(
    "unit", ["mmol/L", "mm[Hg]", "/mL", "10*3/uL", "{tablet}", "mL/min/{1.73_m2}", "%", "1", "Cel", "m2"]
)
def test_usual_units_are_ucum(unit: str) -> None:
    assert is_ucum(unit, knowledge().units)


@pytest.mark.parametrize("unit", ["", "mmol /L", "UI", "30067000", "comprimé", "g//L", "/", "kk", "g."])
def test_other_words_are_not_ucum(unit: str) -> None:
    assert not is_ucum(unit, knowledge().units)


@pytest.mark.statement("cda C48")
@pytest.mark.parametrize(
    ("bounds", "element", "said"),
    [
        ('<low value="1" unit="g"/><high value="2" unit="g"/>', "valueRange", {"low": "1", "high": "2"}),
        ('<low value="1" unit="g"/>', "valueQuantity", {"comparator": ">="}),
        ('<high value="2" unit="g" inclusive="false"/>', "valueQuantity", {"comparator": "<"}),
    ],
)
def test_an_interval_is_a_range_and_a_bound_a_comparator(bounds: str, element: str, said: dict[str, str]) -> None:
    value = f'<value xsi:type="IVL_PQ">{bounds}</value>'
    found = observed(value)[element]
    for key, text in said.items():
        assert (found[key] if key == "comparator" else str(found[key]["value"])) == text
    assert same(returned(value), first_of(value))


def first_of(xml: str) -> Element:
    """Return an element written by a test."""
    return framed(xml)


@pytest.mark.statement("cda C49", "cda C50")
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("2026", "2026"),
        ("202606", "2026-06"),
        ("20260612", "2026-06-12"),
        ("20260612103000+0200", "2026-06-12T10:30:00+02:00"),
        ("20260600", "2026-06"),
        ("20260000", "2026"),
    ],
)
def test_a_time_keeps_its_precision(text: str, said: str) -> None:
    assert observed(f'<effectiveTime value="{text}"/>')["effectiveDateTime"] == said
    assert returned(f'<effectiveTime value="{text}"/>', "effectiveTime").get("value") == text


@settings(max_examples=80, deadline=None)
@given(st.datetimes(min_value=datetime(1000, 1, 1)), st.sampled_from(["%Y", "%Y%m", "%Y%m%d", "%Y%m%d%H%M%S+0100"]))
@pytest.mark.statement("cda C49")
def test_any_time_comes_back_as_it_was(when: object, form: str) -> None:
    text = format(when, form).zfill(len(format(when, form)))
    if len(text.partition("+")[0]) not in (4, 6, 8, 14):
        return
    element = make("effectiveTime", {"value": text})
    read = CODECS["when"].read([element], PART, reader())
    assert read is not None
    (again,) = CODECS["when"].write(read.value, PART, "effectiveTime", reader())
    assert same(again, element)


@pytest.mark.parametrize("text", ["20261345", "2026-06-12", "20260612256199", "00000101", "demain"])
def test_an_impossible_date_is_kept_and_said_nowhere_in_fhir(text: str) -> None:
    result = observed(f'<effectiveTime value="{text}"/>')
    assert not [key for key in result if key.startswith("effective")]
    assert returned(f'<effectiveTime value="{text}"/>', "effectiveTime").get("value") == text


@pytest.mark.statement("cda C51")
def test_a_moment_is_a_date_time_and_bounds_are_a_period() -> None:
    assert observed('<effectiveTime value="20260612"/>')["effectiveDateTime"] == "2026-06-12"
    period = observed('<effectiveTime><low value="20260601"/><high value="202606"/></effectiveTime>')["effectivePeriod"]
    assert period == {"start": "2026-06-01", "end": "2026-06"}


def _treatment(times: str) -> Json:
    act = (
        '<substanceAdministration classCode="SBADM" moodCode="EVN">'
        + templates("1.3.6.1.4.1.19376.1.5.3.1.4.7.1", "E42")
        + DONE
        + times
        + "<consumable><manufacturedProduct><manufacturedMaterial>"
        + code("60234100", "1.2.250.1.213.2.3.1")
        + "</manufacturedMaterial></manufacturedProduct></consumable></substanceAdministration>"
    )
    return only(document(section(entry(act))), "MedicationStatement")


@pytest.mark.statement("cda C52", "cda C53")
def test_periods_and_events_are_the_timing_of_a_dosage() -> None:
    every = _treatment('<effectiveTime xsi:type="PIVL_TS" operator="A"><period value="8" unit="h"/></effectiveTime>')
    repeat = every["dosage"][0]["timing"]["repeat"]
    assert (
        repeat["frequency"],
        str(repeat["period"]),
        repeat["periodUnit"],
    ) == (1, "8", "h")
    event = _treatment('<effectiveTime xsi:type="EIVL_TS" operator="A"><event code="ACM"/></effectiveTime>')
    assert event["dosage"][0]["timing"]["repeat"]["when"] == ["ACM"]


@pytest.mark.statement("cda C54")
def test_a_code_that_is_other_is_its_text_alone() -> None:
    value = '<value xsi:type="CD" nullFlavor="OTH"><originalText>Toux sèche</originalText></value>'
    assert observed(value)["valueCodeableConcept"] == {"text": "Toux sèche"}
    assert returned(value).get("nullFlavor") == "OTH"


@pytest.mark.statement("cda C55")
def test_translations_stay_in_order() -> None:
    others = "".join(code(f"T{n}", "1.2.250.1.999.9", "translation") for n in range(7))
    value = f'<value xsi:type="CD" code="J45" codeSystem="2.16.840.1.113883.6.3">{others}</value>'
    codings = observed(value)["valueCodeableConcept"]["coding"]
    assert [one["code"] for one in codings] == ["J45", *(f"T{n}" for n in range(7))]
    assert [one.get("code") for one in returned(value)] == [f"T{n}" for n in range(7)]


@pytest.mark.statement("cda C56")
def test_the_side_of_a_site_is_kept() -> None:
    side = f"<qualifier>{code('272741003', '2.16.840.1.113883.6.96', 'name')}{code('24028007', '2.16.840.1.113883.6.96', 'value')}</qualifier>"
    site = f'<targetSiteCode code="72696002" codeSystem="2.16.840.1.113883.6.96">{side}</targetSiteCode>'
    (qualifier,) = observed(site)["bodySite"]["extension"]
    assert [one["valueCoding"]["code"] for one in qualifier["extension"]] == ["272741003", "24028007"]
    assert same(returned(site, "targetSiteCode"), first_of(site))


@pytest.mark.statement("cda C57")
def test_base64_with_line_breaks_gives_the_original_bytes() -> None:
    content = bytes(range(256)) * 3
    lines = base64.encodebytes(content).decode()
    media = (
        '<observationMedia classCode="OBS" moodCode="EVN">'
        + templates("E103")
        + f'<value mediaType="image/png" representation="B64">\n{lines}\n</value></observationMedia>'
    )
    found = only(document(section(entry(media))), "Media")
    assert base64.b64decode(found["content"]["data"], validate=True) == content


@pytest.mark.statement("cda C58")
def test_birth_name_and_used_name_are_the_official_and_the_usual_one() -> None:
    official, usual = only(document(), "Patient")["name"]
    assert (official["use"], official["family"], official["given"]) == ("official", "BELLANGER", ["Anouk"])
    assert official["extension"][0]["valueString"] == "Anouk Jeanne"
    assert (usual["use"], usual["family"], usual["given"]) == ("usual", "MERCADIER", ["Anouk"])


@pytest.mark.statement("cda C59")
def test_two_given_names_stay_two() -> None:
    author = (
        "<assignedPerson><name><given>Camille</given><given>Inès</given><family>LEROY</family></name></assignedPerson>"
    )
    data = document(
        author='<author><time value="20260612"/><assignedAuthor><id root="1.2.250.1.71.4.2.1" extension="899700218896"/>'
        + author
        + "</assignedAuthor></author>"
    )
    names = [one["name"][0] for one in resources(data, "Practitioner") if len(one["name"][0].get("given", ())) == 2]
    assert names[0]["given"] == ["Camille", "Inès"]
    given_ = [one.text for one in next(back(data).iter(tag("assignedAuthor"))).iter(tag("given"))]
    assert given_ == ["Camille", "Inès"]


_PARTS = (
    "houseNumber",
    "streetNameType",
    "streetName",
    "additionalLocator",
    "unitID",
    "postBox",
    "postalCode",
    "city",
    "county",
    "state",
    "country",
)
_WORD = st.text("abcdéÉ' -0123456789", min_size=1, max_size=9).map(lambda text: " ".join(text.split())).filter(bool)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.sampled_from(_PARTS), unique=True, min_size=1),
    st.data(),
    st.sampled_from(["H", "HP", "HV", "WP", "TMP", None]),
)
@pytest.mark.statement("cda C60")
def test_an_address_comes_back_part_by_part(names: list[str], data: st.DataObject, use: str | None) -> None:
    element = make("addr", {"use": use})
    for name in names:
        child = make(name)
        child.text = data.draw(_WORD)
        element.append(child)
    read = CODECS["address"].read([element], PART, reader())
    assert read is not None
    (again,) = CODECS["address"].write(read.value, PART, "addr", reader())
    said = sorted((one.tag, one.text) for one in again)
    assert said == sorted((one.tag, one.text) for one in element)
    assert again.get("use") == use


def test_an_address_changed_in_fhir_is_written_as_changed() -> None:
    element = framed(
        "<addr use='H'><houseNumber>12</houseNumber><streetName>rue A</streetName><city>Lyon</city></addr>"
    )
    read = CODECS["address"].read([element], PART, reader())
    assert read is not None
    changed = {**read.value, "line": ["3 rue B"]}
    (again,) = CODECS["address"].write(changed, PART, "addr", reader())
    assert [one.text for one in again] == ["3 rue B", "Lyon"]


@pytest.mark.statement("cda C61")
@pytest.mark.parametrize("use", ["H", "HP", "HV", "WP", "DIR", "PUB", "EC", "MC", "PG", None])
@pytest.mark.parametrize(
    "value", ["tel:+33600000001", "fax:+33100000000", "mailto:a@example.org", "http://example.org/a"]
)
def test_a_telecom_comes_back_with_its_use(use: str | None, value: str) -> None:
    element = make("telecom", {"value": value, "use": use})
    read = CODECS["telecom"].read([element], PART, reader())
    assert read is not None
    (again,) = CODECS["telecom"].write(read.value, PART, "telecom", reader())
    assert again.get("use") == use
    assert read.exact == same(again, element)


@pytest.mark.statement("cda C62")
@pytest.mark.parametrize("flavor", sorted(REASONS))
def test_why_a_value_is_absent_is_told_both_ways(flavor: str) -> None:
    data = document(section(entry(observation(f'<code nullFlavor="{flavor}"/>' + DONE, "E48"))))
    (extension,) = only(data, "Observation")["code"]["extension"]
    assert extension["valueCode"] == REASONS[flavor]
    element = first(next(back(data).iter(tag("observation"))), "code")
    assert element is not None
    # The schema does not know NP.
    assert element.get("nullFlavor") == ("UNK" if flavor == "NP" else flavor)
    written = CODECS["concept"].write({"extension": [extension]}, PART, "code", reader())[0]
    assert written.get("nullFlavor") == FLAVORS[REASONS[flavor]]


@pytest.mark.statement("cda C63")
def test_a_denied_value_is_marked_so_that_nobody_takes_it_for_said() -> None:
    inside = code("1-1") + DONE + '<value xsi:type="CD" code="J45" codeSystem="2.16.840.1.113883.6.3"/>'
    data = document(section(entry(observation(inside, "E48", more=' negationInd="true"'))))
    (mark,) = only(data, "Observation")["modifierExtension"]
    assert mark["valueBoolean"] is True
    assert next(back(data).iter(tag("observation"))).get("negationInd") == "true"


@pytest.mark.statement("cda C63")
def test_not_and_false_are_one_negation() -> None:
    inside = code("1-1") + DONE + '<value xsi:type="BL" value="false"/>'
    data = document(section(entry(observation(inside, "E48", more=' negationInd="true"'))))
    found = only(data, "Observation")
    assert found["valueBoolean"] is False
    assert "modifierExtension" not in found
    element = next(back(data).iter(tag("observation")))
    assert (element.get("negationInd"), element.find(tag("value")).get("value")) == ("true", "false")  # type: ignore[union-attr]


def test_a_type_is_written_without_the_prefix_of_its_source() -> None:
    data = document(
        section(
            entry(
                observation(
                    code("1-1")
                    + DONE
                    + '<value xmlns:c="urn:hl7-org:v3" xsi:type="c:CE" code="A" codeSystem="1.2.3"/>',
                    "E48",
                )
            )
        )
    )
    element = next(back(data).iter(tag("value")))
    assert (element.get(TYPE), element.get("code")) == ("CE", "A")
