"""FHIR XML: exact both ways, and deaf to attacks."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lxml import etree

from fhir_dmp.errors import BadRequest, Unprocessable
from fhir_dmp.fhir.resource import Json, Number, dump, parse
from fhir_dmp.fhir.xml import from_xml, to_xml
from tests.structures import PDSM_EXAMPLES, R4_EXAMPLES, STRUCTURES, exact, resources

HEAD = '<?xml version="1.0" encoding="UTF-8"?>'


def write(resource: Json) -> str:
    return to_xml(resource, STRUCTURES).decode()


def read(text: str | bytes) -> Json:
    return from_xml(text.encode() if isinstance(text, str) else text, STRUCTURES)


def patient(content: str, attributes: str = "") -> str:
    return f'<Patient xmlns="http://hl7.org/fhir"{attributes}>{content}</Patient>'


@pytest.mark.statement("fhir-rest A17")
@pytest.mark.skipif(not R4_EXAMPLES, reason="the shared folder with the public R4 examples is absent")
@pytest.mark.parametrize("pretty", [False, True], ids=["packed", "pretty"])
@pytest.mark.parametrize("path", R4_EXAMPLES + PDSM_EXAMPLES, ids=lambda path: path.name)
def test_a_public_example_survives_json_xml_json(path: Path, pretty: bool) -> None:
    resource = parse(path.read_bytes())
    xml = to_xml(resource, STRUCTURES, pretty=pretty)
    assert exact(from_xml(xml, STRUCTURES)) == exact(resource)
    assert etree.fromstring(xml).tag == f"{{http://hl7.org/fhir}}{resource['resourceType']}"


@pytest.mark.statement("fhir-rest A17")
@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(resources(), st.booleans())
def test_a_resource_made_from_the_definitions_survives_json_xml_json(resource: Json, pretty: bool) -> None:
    xml = to_xml(resource, STRUCTURES, pretty=pretty)
    assert exact(from_xml(xml, STRUCTURES)) == exact(resource)


@settings(deadline=None)
@given(st.text(min_size=1).filter(lambda text: not any(ord(c) < 32 and c not in "\t\r\n" for c in text)))
def test_any_text_survives(text: str) -> None:
    resource = {"resourceType": "Basic", "code": {"text": text.replace("\ufffe", "").replace("\uffff", "") or "x"}}
    assert read(write(resource)) == resource


def test_elements_are_written_in_the_order_of_the_definition() -> None:
    resource = {
        "resourceType": "Patient",
        "birthDate": "1990-01-31",
        "name": [{"given": ["Ana"], "use": "official", "id": "n1"}],
        "active": True,
        "id": "p1",
        "extension": [{"valueString": "v", "url": "http://example.org/e"}],
    }
    assert write(resource) == HEAD + patient(
        '<id value="p1"/>'
        '<extension url="http://example.org/e"><valueString value="v"/></extension>'
        '<active value="true"/>'
        '<name id="n1"><use value="official"/><given value="Ana"/></name>'
        '<birthDate value="1990-01-31"/>'
    )


@pytest.mark.statement("fhir-rest A14")
def test_nulls_and_twins_of_primitive_arrays_survive() -> None:
    body = (
        b'{"resourceType":"Patient","name":[{"given":["Ana",null,"Lou"],"_given":[null,{"extension":'
        b'[{"url":"http://example.org/e","valueString":"x"}]},{"id":"g3"}]}],"_birthDate":{"extension":'
        b'[{"url":"http://example.org/e","valueCode":"x"}]}}'
    )
    resource = parse(body)
    assert dump(resource) == body
    text = write(resource)
    assert '<given id="g3" value="Lou"/>' in text
    assert dump(read(text)) == body


def test_short_twin_arrays_are_filled_up() -> None:
    resource = {"resourceType": "Patient", "name": [{"given": ["a", "b"], "_given": [{"id": "x"}]}]}
    assert read(write(resource))["name"] == [{"given": ["a", "b"], "_given": [{"id": "x"}, None]}]


def test_an_array_of_twins_alone_has_no_values() -> None:
    twin = {"extension": [{"url": "http://example.org/e", "valueString": "x"}]}
    resource = {"resourceType": "Patient", "name": [{"_given": [twin, twin]}]}
    assert read(write(resource)) == resource


@pytest.mark.statement("fhir-rest A15")
@pytest.mark.parametrize("digits", ["1.00", "1", "-0.0", "0.000000001", "1E+3", "12345678901234567890", "1e10"])
def test_decimals_keep_their_digits(digits: str) -> None:
    body = b'{"resourceType":"Observation","valueQuantity":{"value":' + digits.encode() + b"}}"
    text = write(parse(body))
    assert f'<value value="{digits}"/>' in text
    assert dump(read(text)) == body


def test_numbers_and_booleans_become_json_values() -> None:
    parsed = read(patient('<active value="false"/><multipleBirthInteger value="2"/>'))
    assert parsed == {"resourceType": "Patient", "active": False, "multipleBirthInteger": 2}
    position = '<Location xmlns="http://hl7.org/fhir"><position><longitude value="2.10"/></position></Location>'
    value = read(position)["position"]["longitude"]
    assert isinstance(value, Number)
    assert value.text == "2.10"


class TestNarrative:
    """The div is kept as it was written."""

    DIV = (
        '<div xmlns="http://www.w3.org/1999/xhtml">A &amp; B<br />\n &#233; <!-- c --><img src=\'#a\' alt="x>y"/></div>'
    )

    def test_the_div_survives_to_the_letter(self) -> None:
        resource = {"resourceType": "Patient", "text": {"status": "generated", "div": self.DIV}}
        text = write(resource)
        assert self.DIV in text
        assert read(text) == resource

    def test_a_div_that_inherits_its_namespace_gets_it_written(self) -> None:
        text = patient(
            '<text><status value="generated"/><h:div>x <h:b>y</h:b></h:div></text>',
            ' xmlns:h="http://www.w3.org/1999/xhtml"',
        )
        div = read(text)["text"]["div"]
        assert div == '<h:div xmlns:h="http://www.w3.org/1999/xhtml">x <h:b>y</h:b></h:div>'
        assert read(write(read(text)))["text"]["div"] == div

    def test_an_empty_div_is_cut_out_too(self) -> None:
        div = '<div xmlns="http://www.w3.org/1999/xhtml" title="a>b"/>'
        assert read(patient(f'<text><status value="empty"/>{div}</text><active value="true"/>'))["text"]["div"] == div

    def test_line_ends_are_those_of_xml(self) -> None:
        text = '<text><div xmlns="http://www.w3.org/1999/xhtml">a\r\nb\rc</div></text>'
        assert read(patient(text))["text"]["div"] == '<div xmlns="http://www.w3.org/1999/xhtml">a\nb\nc</div>'

    @pytest.mark.parametrize("broken", ["<p>x", "text", "<div>x</div>", "", "<!DOCTYPE a><div/>"])
    def test_what_is_not_xhtml_cannot_break_the_document(self, broken: str) -> None:
        text = write({"resourceType": "Patient", "text": {"status": "generated", "div": broken}})
        div = etree.fromstring(text.encode())[0][-1]
        assert div.tag == "{http://www.w3.org/1999/xhtml}div"
        assert "".join(str(part) for part in div.itertext()) == broken

    def test_a_div_elsewhere_is_refused(self) -> None:
        with pytest.raises(BadRequest):
            read(patient('<div xmlns="http://www.w3.org/1999/xhtml">x</div>'))


def test_nested_resources_are_wrapped_by_their_element() -> None:
    bundle = {
        "resourceType": "Bundle",
        "type": "collection",
        "entry": [
            {"fullUrl": "urn:uuid:c757873d-ec9a-4326-a141-556f43239520", "resource": {"resourceType": "Patient"}},
            {"resource": {"resourceType": "Basic", "contained": [{"resourceType": "Device", "id": "d"}]}},
        ],
    }
    text = write(bundle)
    assert "<resource><Patient/></resource>" in text
    assert '<contained><Device><id value="d"/></Device></contained>' in text
    assert read(text) == bundle


def test_an_element_named_resource_type_is_not_the_type() -> None:
    instance = {"resourceId": "a", "resourceType": "Patient"}
    resource = {"resourceType": "ExampleScenario", "status": "draft", "instance": [instance]}
    assert read(write(resource)) == resource


@pytest.mark.parametrize(
    "resource",
    [
        {"resourceType": "Nope"},
        {"resourceType": "Patient", "nope": 1},
        {"resourceType": "Patient", "_nope": {"id": "x"}},
        {"resourceType": "Patient", "name": ["x"]},
        {"resourceType": "Bundle", "entry": [{"resource": {"id": "x"}}]},
    ],
)
def test_what_r4_does_not_define_has_no_place_in_xml(resource: Json) -> None:
    with pytest.raises(Unprocessable) as caught:
        write(resource)
    assert caught.value.issues[0].code == "structure"


def test_a_character_that_xml_cannot_hold_is_replaced() -> None:
    assert 'value="a\ufffdb"' in write({"resourceType": "Basic", "code": {"text": "a\uffffb"}})


@pytest.mark.statement("fhir-rest A16")
@pytest.mark.parametrize(
    "text",
    [
        "<!DOCTYPE Patient>" + patient(""),
        '<!DOCTYPE Patient SYSTEM "http://127.0.0.1:9/x.dtd">' + patient(""),
        '<!DOCTYPE Patient [<!ENTITY e SYSTEM "file:///etc/passwd">]>' + patient('<id value="&e;"/>'),
        '<!DOCTYPE l [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]>' + patient('<id value="&b;"/>'),
    ],
)
def test_a_document_with_a_doctype_is_refused(text: str) -> None:
    with pytest.raises(BadRequest) as caught:
        read(text)
    assert caught.value.issues[0].code == "security"


@pytest.mark.parametrize(
    ("text", "code", "place"),
    [
        ("", "structure", ()),
        ("<Patient", "structure", ()),
        (patient("")[:-3], "structure", ()),
        ("<Patient/>", "structure", ()),
        ('<Patient xmlns="http://example.org"/>', "structure", ()),
        ('<Nope xmlns="http://hl7.org/fhir"/>', "structure", ()),
        (patient("<nope/>"), "structure", ("Patient",)),
        (patient('<x:id xmlns:x="http://example.org" value="a"/>'), "structure", ("Patient.id",)),
        (patient("", ' id="x"'), "structure", ("Patient",)),
        (patient('<id value="x" other="y"/>'), "structure", ("Patient.id",)),
        (patient('<name other="y"/>'), "structure", ("Patient.name[0]",)),
        (patient("text"), "structure", ("Patient",)),
        (patient("<name>text</name>"), "structure", ("Patient.name[0]",)),
        (patient('<id value="x">text</id>'), "structure", ("Patient.id",)),
        (patient('<id value="x"><id value="y"/></id>'), "structure", ("Patient.id",)),
        (patient('<id value="x"/><id value="y"/>'), "structure", ("Patient.id",)),
        (patient("<name><given/></name>"), "structure", ("Patient.name[0].given[0]",)),
        (patient("<active/>"), "structure", ("Patient.active",)),
        (patient('<active value="True"/>'), "value", ("Patient.active",)),
        (patient('<multipleBirthInteger value="1.0"/>'), "value", ("Patient.multipleBirth",)),
        (patient('<multipleBirthInteger value="01"/>'), "value", ("Patient.multipleBirth",)),
        (patient("<contained/>"), "structure", ("Patient.contained[0]",)),
        (patient("<contained><Nope/></contained>"), "structure", ("Patient.contained[0]",)),
        (patient("<contained><Basic/><Basic/></contained>"), "structure", ("Patient.contained[0]",)),
        (patient("<name><given/><given value='x'/></name>"), "structure", ("Patient.name[0].given[0]",)),
        (patient('<id value="&nbsp;"/>'), "structure", ()),
        (patient('<id value="&#1;"/>'), "structure", ()),
    ],
)
def test_bad_xml_is_a_bad_request_that_names_the_place(text: str, code: str, place: tuple[str, ...]) -> None:
    with pytest.raises(BadRequest) as caught:
        read(text)
    (issue,) = caught.value.issues
    assert (issue.code, issue.expression) == (code, place)
    assert "line 1" in issue.diagnostics


def test_only_utf8_is_read() -> None:
    assert read(b"\xef\xbb\xbf" + patient('<id value="a"/>').encode()) == {"resourceType": "Patient", "id": "a"}
    for body in (patient("").encode("utf-16"), b'<?xml version="1.0"?>' + patient("<!-- \xe9 -->").encode("latin-1")):
        with pytest.raises(BadRequest):
            read(body)


def test_comments_instructions_and_schema_locations_are_passed_over() -> None:
    text = (
        '<?xml version="1.0"?><?xml-stylesheet href="x.xsl"?><!-- a -->'
        '<Patient xmlns="http://hl7.org/fhir" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'
        ' xsi:schemaLocation="http://hl7.org/fhir x.xsd">\n <!-- b --> <id value="a"/>\n</Patient>'
    )
    assert read(text) == {"resourceType": "Patient", "id": "a"}


def test_deep_nesting_is_refused() -> None:
    open_, close = '<extension url="u">' * 60, "</extension>" * 60
    with pytest.raises(BadRequest, match="nested deeper than 64"):
        read(patient(open_ + close))
    div = '<div xmlns="http://www.w3.org/1999/xhtml">' + "<b>" * 10000
    with pytest.raises(BadRequest, match="nested deeper than 100"):
        read(patient(f"<text>{div}"))


@pytest.mark.parametrize("depth", [30, 31, 32, 33])
def test_what_xml_may_nest_json_may_nest(depth: int) -> None:
    nested: Any = {"url": "u", "valueBoolean": True}
    for _ in range(depth - 1):
        nested = {"url": "u", "extension": [nested]}
    resource = {"resourceType": "Patient", "extension": [nested]}
    try:
        parse(dump(resource))
    except BadRequest:
        with pytest.raises(BadRequest):
            read(write(resource))
    else:
        assert read(write(resource)) == resource


@given(st.binary(max_size=200))
def test_noise_is_a_bad_request(noise: bytes) -> None:
    with pytest.raises(BadRequest):
        read(b"<" + noise)


@given(st.text(alphabet="<>/=\"'& ?!-[]aePatienvluxms:\n", max_size=120))
def test_noise_inside_a_resource_is_read_or_refused(noise: str) -> None:
    with suppress(BadRequest):
        assert read(patient(noise))["resourceType"] == "Patient"
