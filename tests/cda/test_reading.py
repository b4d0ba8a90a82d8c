"""A CDA of any level, model and age is read, and nothing of it disappears without a word. [cda 9, group A]"""

from __future__ import annotations

import base64
import time

import pytest

from fhir_dmp.cda.header import read_header
from fhir_dmp.cda.to_fhir import to_fhir
from fhir_dmp.errors import BadRequest
from fhir_dmp.fhir.resource import dump
from tests.cda.invariants import facts
from tests.cda.making import (
    back,
    code,
    converted,
    document,
    entry,
    knowledge,
    observation,
    only,
    related,
    resources,
    section,
    templates,
    unstructured,
)

DONE = '<statusCode code="completed"/>'
WEIGHT = observation(
    code("29463-7") + DONE + '<effectiveTime value="20260612"/><value xsi:type="PQ" value="71.50" unit="kg"/>',
    "1.3.6.1.4.1.19376.1.5.3.1.4.13.2",
    "E50",
)
PDF = b"%PDF-1.4 copie fictive"
COPY = (
    '<organizer classCode="CLUSTER" moodCode="EVN">'
    + templates("E18")
    + DONE
    + '<component><observationMedia classCode="OBS" moodCode="EVN"><value mediaType="application/pdf" '
    + f'representation="B64">{base64.b64encode(PDF).decode()}</value></observationMedia></component></organizer>'
)


@pytest.mark.statement("cda A1")
@pytest.mark.parametrize("roots", [("1.3.6.1.4.1.19376.1.2.20",), ("1.2.250.1.213.1.1.1.55",), ()])
def test_an_embedded_body_makes_level_1_whatever_the_templates(roots: tuple[str, ...]) -> None:
    found = converted(unstructured(PDF, model=templates(*roots)))
    (part,) = only(found, "Composition")["section"]
    binary = only(found, "Binary")
    assert part["entry"] == [{"reference": f"urn:uuid:{binary['id']}"}]
    assert (binary["contentType"], base64.b64decode(binary["data"])) == ("application/pdf", PDF)


@pytest.mark.statement("cda A2", "cda D81")
def test_a_structured_document_exposes_its_pdf_copy_as_an_attachment() -> None:
    found = converted(document(section(entry(WEIGHT)), section(entry(COPY), code_="55108-5")))
    assert len(only(found, "Composition")["section"]) == 2
    attachment = only(found, "DocumentReference")["content"][0]["attachment"]
    assert (attachment["contentType"], base64.b64decode(attachment["data"])) == ("application/pdf", PDF)


@pytest.mark.statement("cda A4")
def test_a_self_presenting_file_gives_the_resources_of_its_document() -> None:
    plain = document(section(entry(WEIGHT)))
    inside = plain.partition(b"?>\n")[2]
    wrapped = (
        b'<x:stylesheet xmlns:x="http://www.w3.org/1999/XSL/Transform" version="1.0">' + inside + b"</x:stylesheet>"
    )
    with_out = [entry["resource"] for entry in converted(plain).bundle["entry"]]
    with_it = [entry["resource"] for entry in converted(wrapped).bundle["entry"]]
    for each in (with_out, with_it):
        for resource in each:
            if resource["resourceType"] == "Provenance":  # it tells the bytes of the file apart
                del resource["entity"][0]["what"]["extension"]
    assert with_it == with_out


@pytest.mark.statement("cda A6")
def test_comments_and_instructions_before_the_root_are_read_over() -> None:
    head, _, rest = document(section(entry(WEIGHT))).partition(b"?>\n")
    data = head + b'?>\n<!-- a comment --><?xml-stylesheet href="x.xsl"?>\n<!-- another -->' + rest
    assert only(data, "Observation")["valueQuantity"]["value"].text == "71.50"


@pytest.mark.statement("cda A7", "cda A8")
def test_a_document_under_a_prefix_is_read_with_its_type_names() -> None:
    text = document(section(entry(WEIGHT))).decode()
    text = text.replace('xmlns="urn:hl7-org:v3"', 'xmlns:c="urn:hl7-org:v3"').replace('xsi:type="', 'xsi:type="c:')
    for mark, new in (("</", "</c:"), ("<", "<c:")):
        parts = text.split(mark)
        text = parts[0] + "".join(
            (new if part[0].isalpha() and not part.startswith("c:") else mark) + part for part in parts[1:]
        )
    quantity = only(text.encode(), "Observation")["valueQuantity"]
    assert (quantity["value"].text, quantity["code"]) == ("71.50", "kg")
    assert len(read_header(text.encode()).patient.ids) == 2


def test_a_type_name_under_a_foreign_prefix_is_not_taken_for_cda() -> None:
    value = '<value xmlns:f="urn:foreign" xsi:type="f:BL" value="true"/>'
    found = converted(document(section(entry(observation(code("1-1") + DONE + value, "E48")))))
    assert "valueBoolean" not in only(found, "Observation")


@pytest.mark.statement("cda A10")
def test_a_superseded_model_has_the_same_header() -> None:
    old, new = (
        only(document(model=f'<templateId root="{root}"/>'), "Composition")
        for root in ("1.3.6.1.4.1.19376.1.3.3", "1.2.250.1.213.1.1.1.55")
    )
    for resource in (old, new):
        resource["extension"] = [one for one in resource["extension"] if not one["url"].endswith("cda-source")]
    assert old == new


@pytest.mark.statement("cda A11")
def test_an_unknown_template_is_read_as_its_parent_and_without_one_by_its_class() -> None:
    child = observation(code("1-1") + DONE + '<value xsi:type="ST">x</value>', "E48", "E48.999")
    alone = observation(code("2-2") + DONE, "E999", mood="INT")
    found = converted(document(section(entry(child) + entry(alone))))
    assert only(found, "Observation")["valueString"] == "x"
    assert only(found, "ServiceRequest")["code"]["coding"][0]["code"] == "2-2"
    notes = [issue.diagnostics for issue in found.issues]
    assert any("3.48.999 is not known; read as its parent" in note for note in notes)
    assert any("3.999 is not known; read by the class of its act" in note for note in notes)


@pytest.mark.statement("cda A12", "cda F106")
def test_what_fhir_has_no_place_for_is_reported_with_its_place_and_comes_back() -> None:
    odd = observation(code("1-1") + DONE + '<repeatNumber value="3"/>', "E48")
    data = document(section(entry(odd)))
    found = converted(data)
    (issue,) = [one for one in found.issues if "repeatNumber" in one.expression[0]]
    assert (
        issue.expression[0]
        == "/ClinicalDocument/component/structuredBody/component/section/entry/observation/repeatNumber"
    )
    assert (issue.text, issue.severity) == ("3", "information")
    assert [one.get("value") for one in back(found).iter("{urn:hl7-org:v3}repeatNumber")] == ["3"]


@pytest.mark.statement("cda A12")
def test_every_statement_of_every_depth_is_a_resource_or_part_of_one() -> None:
    inner = related(observation(code("3-3") + DONE, "E48"), "COMP")
    middle = related(observation(code("2-2") + DONE + inner, "E48"), "COMP")
    found = converted(document(section(entry(observation(code("1-1") + DONE + middle, "E48")))))
    assert sorted(one["code"]["coding"][0]["code"] for one in resources(found, "Observation")) == ["1-1", "2-2", "3-3"]
    assert facts(back(found))[
        "act observation EVN", "1.2.250.1.213.1.1.3.48", f"3-3|{'2.16.840.1.113883.6.1'}", "False", "completed"
    ]


@pytest.mark.statement("cda A13")
def test_a_section_of_narrative_alone_has_text_and_no_entry() -> None:
    (part,) = only(document(section(text="<paragraph>Rien à signaler</paragraph>")), "Composition")["section"]
    assert "Rien à signaler" in part["text"]["div"]
    assert "entry" not in part


@pytest.mark.statement("cda A14")
def test_nested_sections_keep_their_depth_and_narrative() -> None:
    inner = section(text="<paragraph>C</paragraph>")
    middle = section(text="<paragraph>B</paragraph>", more=inner)
    (outer,) = only(document(section(text="<paragraph>A</paragraph>", more=middle)), "Composition")["section"]
    texts = [part["text"]["div"] for part in (outer, outer["section"][0], outer["section"][0]["section"][0])]
    assert [letter in text for letter, text in zip("ABC", texts, strict=True)] == [True] * 3


@pytest.mark.statement("cda A15")
def test_a_title_that_is_null_gives_none_and_one_issue() -> None:
    data = document(section()).replace(b"<title>Section</title>", b'<title nullFlavor="NA"/>')
    found = converted(data)
    assert "title" not in only(found, "Composition")["section"][0]
    assert [issue.diagnostics for issue in found.issues] == ["the section has no title"]


@pytest.mark.statement("cda A16")
def test_three_megabytes_are_converted_in_a_few_seconds() -> None:
    picture = base64.b64encode(bytes(2_000_000)).decode()
    data = document(section(entry(COPY.replace(base64.b64encode(PDF).decode(), picture)) + entry(WEIGHT) * 400))
    begun = time.process_time()
    found = to_fhir(data, knowledge())
    assert len(found.bundle["entry"]) > 400
    assert time.process_time() - begun < 5


@pytest.mark.statement("cda A18", "cda A19", "cda A20")
@pytest.mark.parametrize(
    "dtd",
    [
        "<!DOCTYPE ClinicalDocument>",
        '<!DOCTYPE ClinicalDocument [<!ENTITY harmless "x">]>',
        '<!DOCTYPE a [<!ENTITY a "xxxxxxxxxx">' + "".join(f'<!ENTITY a{n} "{"&a;" * 10}">' for n in range(60)) + "]>",
    ],
)
def test_a_doctype_is_refused_before_anything_is_expanded(dtd: str) -> None:
    head, _, rest = document().partition(b"?>\n")
    begun = time.process_time()
    with pytest.raises(BadRequest, match="DTD"):
        to_fhir(head + b"?>\n" + dtd.encode() + rest, knowledge())
    assert time.process_time() - begun < 1


@pytest.mark.statement("cda A21")
def test_utf_16_with_a_mark_is_read_and_a_wrong_encoding_is_refused_with_its_line() -> None:
    text = document(section(text="<paragraph>Été</paragraph>")).decode()
    wide = text.replace('encoding="UTF-8"', 'encoding="UTF-16"').encode("utf-16")
    assert "Été" in only(wide, "Composition")["section"][0]["text"]["div"]
    with pytest.raises(BadRequest, match=r"line \d+"):
        to_fhir(text.encode("latin-1"), knowledge())


@pytest.mark.statement("cda A22")
def test_a_truncated_document_is_refused() -> None:
    data = document()
    for length in (10, len(data) // 2, len(data) - 5):
        with pytest.raises(BadRequest):
            to_fhir(data[:length], knowledge())


def test_the_same_bytes_give_the_same_bundle() -> None:
    data = document(section(entry(WEIGHT) * 3))
    assert dump(to_fhir(data, knowledge()).bundle) == dump(to_fhir(data, knowledge()).bundle)
    assert dump(to_fhir(data, knowledge()).bundle) != dump(to_fhir(document(), knowledge()).bundle)


def test_each_entry_tells_where_it_comes_from() -> None:
    found = converted(document(section(entry(WEIGHT))))
    provenance = only(found, "Provenance")
    assert provenance["target"] == [{"reference": f"urn:uuid:{only(found, 'Observation')['id']}"}]
    what = provenance["entity"][0]["what"]
    assert what["display"] == "/ClinicalDocument/component/structuredBody/component/section/entry"
    assert what["identifier"]["value"] == "2026-1"
