"""The narrative of a section as XHTML: every word and cell, nothing that acts. [cda 9, group E]"""

from __future__ import annotations

import base64

import pytest

from fhir_dmp.cda.elements import first, tag, text_in
from tests.cda.making import back, code, converted, document, entry, observation, only, section, templates

DONE = '<statusCode code="completed"/>'


def div(text: str, entries: str = "") -> str:
    """Return the XHTML of a section with this narrative."""
    found: str = only(document(section(entries, text=text)), "Composition")["section"][0]["text"]["div"]
    return found


def returned(text: str, entries: str = "") -> str:
    """Return the text element that comes back, as XML."""
    from lxml import etree

    element = next(back(document(section(entries, text=text))).iter(tag("text")))
    return etree.tostring(element, encoding="unicode")


@pytest.mark.statement("cda E86")
def test_a_table_keeps_its_cells_and_spans() -> None:
    table = (
        '<table border="1"><caption>Bilan</caption><thead><tr><th colspan="2">A</th></tr></thead>'
        '<tbody><tr><td rowspan="2">B</td><td>C</td></tr><tr><td>D</td></tr></tbody></table>'
    )
    found = div(table)
    for part in ('<th colspan="2">A</th>', '<td rowspan="2">B</td>', "<caption>Bilan</caption>", "<td>D</td>"):
        assert part in found
    again = returned(table)
    for part in ('<th colspan="2">A</th>', '<td rowspan="2">B</td>', "<td>D</td>"):
        assert part in again


@pytest.mark.statement("cda E87")
@pytest.mark.parametrize(("style", "html"), [("Bold", "b"), ("Italics", "i"), ("Emphasis", "em")])
def test_a_style_survives(style: str, html: str) -> None:
    text = f'<paragraph><content styleCode="{style}">fort</content></paragraph>'
    assert f"<{html}>fort</{html}>" in div(text)
    assert f'<content styleCode="{style}">fort</content>' in returned(text)


def test_underlined_text_survives() -> None:
    text = '<paragraph><content styleCode="Underline">fort</content></paragraph>'
    assert '<span class="cda-Underline" style="text-decoration:underline">fort</span>' in div(text)
    assert '<content styleCode="Underline">fort</content>' in returned(text)


def test_several_styles_at_once_survive() -> None:
    text = '<paragraph><content ID="a1" styleCode="Bold Italics">fort</content></paragraph>'
    assert '<span id="a1" class="cda-Bold cda-Italics">fort</span>' in div(text)
    assert 'ID="a1"' in returned(text)
    assert 'styleCode="Bold Italics"' in returned(text)


@pytest.mark.statement("cda E88")
def test_lists_keep_their_kind_and_order() -> None:
    text = '<list listType="ordered"><item>un</item><item>deux<list><item>trois</item></list></item></list>'
    assert "<ol><li>un</li><li>deux<ul><li>trois</li></ul></li></ol>" in div(text)
    again = returned(text)
    assert again.index("un") < again.index("deux") < again.index("trois")
    assert 'listType="ordered"' in again


@pytest.mark.statement("cda E89")
@pytest.mark.parametrize(
    ("media", "size", "mark"),
    [("image/png", 10, "<img "), ("application/pdf", 10, "<a "), ("image/png", 300_000, "<a ")],
)
def test_a_figure_is_shown_or_linked(media: str, size: int, mark: str) -> None:
    data = base64.b64encode(bytes(size)).decode()
    figure = entry(
        f'<observationMedia classCode="OBS" moodCode="EVN" ID="F1">{templates("E103")}'
        f'<value mediaType="{media}" representation="B64">{data}</value></observationMedia>'
    )
    found = div('<renderMultiMedia referencedObject="F1"/>', figure)
    assert mark + 'class="cda-media-F1"' in found
    assert (f'src="data:{media};base64,{data}"' in found) is (mark == "<img ")
    assert '<renderMultiMedia referencedObject="F1"/>' in returned('<renderMultiMedia referencedObject="F1"/>', figure)


def test_a_figure_of_nothing_is_reported() -> None:
    found = converted(document(section(text='<paragraph>x</paragraph><renderMultiMedia referencedObject="F9"/>')))
    assert [issue.severity for issue in found.issues] == ["warning"]


@pytest.mark.statement("cda E90")
@pytest.mark.parametrize(
    "target",
    [
        "javascript:alert(1)",
        " JaVaScRiPt:alert(1)",
        "data:text/html,x",
        "java\tscript:x",
        "vbscript:x",
        "file:///etc/passwd",
    ],
)
def test_a_link_that_acts_is_removed_and_its_text_stays(target: str) -> None:
    data = document(section(text=f'<paragraph><linkHtml href="{target}">ici</linkHtml></paragraph>'))
    found = converted(data)
    html = only(found, "Composition")["section"][0]["text"]["div"]
    assert "href" not in html
    assert "ici" in html
    assert any("link" in issue.diagnostics for issue in found.issues)


@pytest.mark.parametrize("target", ["https://example.org/a?b=1&amp;c=2", "mailto:a@example.org", "#part"])
def test_a_plain_link_stays(target: str) -> None:
    assert f'<a href="{target}">ici</a>' in div(f'<paragraph><linkHtml href="{target}">ici</linkHtml></paragraph>')


@pytest.mark.statement("cda E91")
@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        '<paragraph onclick="alert(1)">x</paragraph>',
        '<iframe src="https://example.org"/>',
        '<content styleCode="Bold&quot; onload=&quot;alert(1)">x</content>',
        '<paragraph ID="a&quot; onfocus=&quot;alert(1)">x</paragraph>',
        '<table width="1px;background:url(javascript:x)"><tr><td>x</td></tr></table>',
        '<x:script xmlns:x="http://www.w3.org/1999/xhtml">alert(1)</x:script>',
    ],
)
def test_nothing_that_acts_reaches_the_page(text: str) -> None:
    found = div(f"<paragraph>avant</paragraph>{text}")
    for word in ("<script", "onclick", "onload=", "onfocus=", "<iframe", "javascript"):
        assert word not in found


@pytest.mark.statement("cda E92")
def test_a_footnote_keeps_its_text() -> None:
    text = "<paragraph>dose<footnote>selon le poids</footnote></paragraph>"
    assert '<span class="cda-footnote">selon le poids</span>' in div(text)
    assert "<footnote>selon le poids</footnote>" in returned(text)


@pytest.mark.statement("cda E93")
@pytest.mark.parametrize("mark", ["#t1", "t1"])
def test_a_reference_is_resolved_with_and_without_its_mark(mark: str) -> None:
    act = observation(
        f'<code code="1-1" codeSystem="2.16.840.1.113883.6.1"><originalText><reference value="{mark}"/></originalText></code>'
        f'<text><reference value="{mark}"/></text>' + DONE,
        "E48",
    )
    found = only(
        document(
            section(entry(act), text='<content ID="t1">Toux  <content styleCode="Bold">sèche</content></content>')
        ),
        "Observation",
    )
    assert found["code"]["text"] == "Toux sèche"
    assert "Toux sèche" in found["text"]["div"]


def test_a_reference_to_no_text_is_reported_and_left_out() -> None:
    act = observation(code("1-1") + '<text><reference value="#t9"/></text>' + DONE, "E48")
    found = converted(document(section(entry(act))))
    assert "text" not in only(found, "Observation")
    (issue,) = found.issues
    assert (issue.severity, issue.text) == ("warning", "#t9")


def test_spaces_and_special_characters_are_read_as_written() -> None:
    text = "<paragraph>a &lt; b &amp; c\n   d</paragraph>"
    assert "a &lt; b &amp; c d" in div(text)
    element = next(back(document(section(text=text))).iter(tag("paragraph")))
    assert text_in(element) == "a < b & c d"
    assert first(element, "paragraph") is None


def test_a_reference_in_another_case_leads_to_the_only_text_it_can_mean() -> None:
    act = observation(
        '<code code="1-1" codeSystem="1.2"><originalText><reference value="#fibriatri"/></originalText></code>'
    )
    text = (
        '<content ID="FibriAtri">Fibrillation</content><content ID="Double">a</content><content ID="double">b</content>'
    )
    found = converted(document(section(entry(act), text=text)))
    assert only(found, "Observation")["code"]["text"] == "Fibrillation"
    assert [issue.severity for issue in found.issues] == ["information"]
    unsure = converted(document(section(entry(act.replace("fibriatri", "DOUBLE")), text=text)))
    assert "text" not in only(unsure, "Observation")["code"]
    assert [issue.severity for issue in unsure.issues] == ["warning"]


def test_a_reference_to_a_figure_is_no_missing_text() -> None:
    media = (
        '<observationMedia classCode="OBS" moodCode="EVN" ID="F1"><value mediaType="image/png" representation="B64">AAAA</value>'
        "</observationMedia>"
    )
    act = observation(code("1-1") + '<text><reference value="#F1"/></text>')
    assert converted(document(section(entry(act) + entry(media)))).issues == ()
