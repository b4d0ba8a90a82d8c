"""The page of a CDA: what is said is there, what acts is not."""

from __future__ import annotations

import base64
import html
import re
import string
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree
from lxml.html import document_fromstring

from fhir_dmp.cda.page import POLICY, page
from fhir_dmp.cda.page_words import LANGUAGES, WORDS
from fhir_dmp.errors import BadRequest
from tests.cda.making import document, section, unstructured

PIXEL = base64.b64encode(b"\x89PNG\r\n\x1a\n fictif").decode()
ALLOWED = frozenset(
    [
        "html",
        "head",
        "meta",
        "title",
        "style",
        "body",
        "a",
        "header",
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "main",
        "footer",
        "nav",
        "section",
        "div",
        "p",
        "span",
        "b",
        "i",
        "em",
        "sub",
        "sup",
        "ul",
        "ol",
        "li",
        "dl",
        "dt",
        "dd",
        "table",
        "caption",
        "thead",
        "tbody",
        "tfoot",
        "tr",
        "th",
        "td",
        "colgroup",
        "col",
        "br",
        "img",
        "pre",
    ]
)
ATTRIBUTES = frozenset(
    [
        "lang",
        "charset",
        "http-equiv",
        "content",
        "name",
        "class",
        "id",
        "href",
        "style",
        "colspan",
        "rowspan",
        "alt",
        "src",
        "download",
        "aria-labelledby",
        "aria-label",
    ]
)
LINKS = re.compile(
    r"(#|https?://|mailto:|data:(application/pdf|text/rtf|application/rtf|text/plain|image/\w+);base64,)"
)


def shown(data: bytes, language: str = "fr") -> str:
    """Return the page, after checking that every element, attribute and link of it is harmless."""
    made = page(data, language).decode()
    for element in document_fromstring(made).iter():
        assert isinstance(element.tag, str), element
        assert element.tag in ALLOWED, element.tag
        for name, value in ((str(name), str(value)) for name, value in element.attrib.items()):
            assert name in ATTRIBUTES, (element.tag, name)
            if name == "href":
                assert LINKS.match(value), value
            if name == "src":
                assert re.fullmatch(r"data:image/(png|jpeg|gif);base64,[A-Za-z0-9+/=]*", value), value
            if name == "style":
                assert re.fullmatch(r"[a-z0-9%\-:; .]*", value), value
    return made


def words(made: str) -> str:
    """Return what a person reads."""
    tree: Any = document_fromstring(made)
    text = tree.body.text_content()
    return " ".join(str(text).split())


def figure(data: str, type_: str = "image/png", id_: str = "F1") -> str:
    """Return an entry that holds an object of a narrative."""
    return (
        f'<entry><observationMedia classCode="OBS" moodCode="EVN" ID="{id_}">'
        f'<value mediaType="{type_}" representation="B64">{data}</value></observationMedia></entry>'
    )


def test_header_and_narrative_are_read_in_both_languages() -> None:
    data = document(section(text="<paragraph>Angine <content styleCode='Bold'>aiguë</content></paragraph>"))
    french, english = (shown(data, language) for language in LANGUAGES)
    for made in (french, english):
        for said in ("Anouk BELLANGER", "285047511200314", "Camille LEROY", "Centre de santé des Lilas", "Angine"):
            assert said in words(made)
        assert "<b>aiguë</b>" in made
    assert "Né(e) le17/04/1985" in words(french)
    assert "Born1985-04-17" in words(english)
    assert '<html lang="fr">' in french
    assert '<html lang="en">' in english
    assert WORDS["fr"].keys() == WORDS["en"].keys()


def test_a_page_has_landmarks_one_main_heading_and_a_way_to_each_section() -> None:
    inner = section(code_="11348-0")
    tree: Any = document_fromstring(page(document(section(more=inner), section(), section())))
    assert len(tree.xpath("//h1")) == len(tree.xpath("//main")) == len(tree.xpath("//header")) == 1
    ids = set(tree.xpath("//@id"))
    assert {link[1:] for link in tree.xpath("//a/@href")} <= ids
    assert set(tree.xpath("//@aria-labelledby")) <= ids
    assert [len(tree.xpath(f"//main//h{level}")) for level in (2, 3)] == [4, 1]  # the contents have a heading too
    assert len(tree.xpath("//nav//a")) == 3
    assert tree.xpath("//title/text()") == ["Synthèse médicale"]


def test_the_structure_of_a_narrative_is_kept() -> None:
    text = (
        '<table><caption>Bilan</caption><thead><tr><th colspan="2">Dosage</th></tr></thead>'
        '<tbody><tr><td rowspan="2">K</td><td>4,1</td></tr></tbody></table>'
        '<list listType="ordered"><item>un</item></list>'
    )
    made = shown(document(section(text=text)))
    assert "<caption>Bilan</caption>" in made
    assert '<th colspan="2">Dosage</th>' in made
    assert '<td rowspan="2">K</td>' in made
    assert "<ol><li>un</li></ol>" in made


ATTACKS = [
    "<script>alert(1)</script>",
    '<html:script xmlns:html="http://www.w3.org/1999/xhtml">alert(1)</html:script>',
    '<paragraph onclick="alert(1)">x</paragraph>',
    '<content ID="&quot; onload=&quot;alert(1)">x</content>',
    "<content styleCode='\"&gt;&lt;script&gt;alert(1)&lt;/script&gt;'>x</content>",
    '<linkHtml href="javascript:alert(1)">x</linkHtml>',
    '<linkHtml href="&#9;javascript:alert(1)">x</linkHtml>',
    '<linkHtml href="data:text/html,&lt;script&gt;alert(1)&lt;/script&gt;">x</linkHtml>',
    '<linkHtml href="https://a.example/&quot; onmouseover=&quot;alert(1)">x</linkHtml>',
    '<iframe src="https://evil.example"/>',
    '<img xmlns="http://www.w3.org/1999/xhtml" src="x" onerror="alert(1)"/>',
    '<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>',
    "<paragraph>&lt;/style&gt;&lt;script&gt;alert(1)&lt;/script&gt;</paragraph>",
    '<table><tr><td align="left;background:url(//evil.example)" width="1;x:url(//evil)">x</td></tr></table>',
    '<table border="1;}body{display:none"><tr><td>x</td></tr></table>',
    '<form xmlns="http://www.w3.org/1999/xhtml" action="https://evil.example"><input name="p"/></form>',
    '<style>@import "https://evil.example";</style>',
    '<?xml-stylesheet href="https://evil.example/x.xsl"?><paragraph>x</paragraph>',
]


@pytest.mark.statement("cda E91", "cda E90")
@pytest.mark.parametrize("attack", ATTACKS)
def test_what_would_act_is_not_in_the_page(attack: str) -> None:
    shown(document(section(text=attack)))


@pytest.mark.parametrize(
    "data",
    ['"/&gt;&lt;script&gt;alert(1)&lt;/script&gt;', '"onerror="alert(1)', "%22", f'{PIXEL}"onload="alert(1)'],
)
def test_a_figure_that_is_no_base64_never_enters_an_attribute(data: str) -> None:
    made = shown(document(section(figure(data), text='<renderMultiMedia referencedObject="F1"/>')))
    assert "alert" not in made


@pytest.mark.parametrize("type_", ["text/html", "image/svg+xml", 'image/png"onerror="alert(1)', "application/x-sh", ""])
def test_a_content_of_another_type_is_named_and_not_handed_out(type_: str) -> None:
    made = shown(document(section(figure(PIXEL, html.escape(type_)))))
    assert PIXEL not in made
    assert "original" in words(made)


@pytest.mark.parametrize("part", ["title", "name", "language", "time", "code"])
def test_a_header_is_text_whatever_it_holds(part: str) -> None:
    evil = "&lt;script&gt;alert(1)&lt;/script&gt;&quot;&gt;"
    changed = {
        "title": f"<title>{evil}</title>",
        "name": f"<family>{evil}</family><given>{evil}</given>",
        "language": f'<languageCode code="{evil}"/>',
        "time": f'<effectiveTime value="{evil}"/>',
        "code": f'<code code="1" codeSystem="2" displayName="{evil}"/>',
    }
    made = shown(document(**{part: changed[part]}))
    assert "<script" not in made


@pytest.mark.statement("cda A4")
def test_a_self_presenting_file_is_shown_without_its_stylesheet() -> None:
    inside = document(section(text="<paragraph>Angine</paragraph>")).partition(b"?>\n")[2]
    data = (
        b'<?xml-stylesheet type="text/xsl" href="#s"?><x:stylesheet xmlns:x="http://www.w3.org/1999/XSL/Transform">'
        b'<x:template match="/"><html><script>alert(1)</script></html></x:template>' + inside + b"</x:stylesheet>"
    )
    made = shown(data)
    assert "Angine" in made
    assert "alert" not in made


@pytest.mark.parametrize(
    ("media", "content", "expected"),
    [
        ("text/plain", b"Sortie le 12 <juin>", "<pre>Sortie le 12 &lt;juin&gt;</pre>"),
        ("application/pdf", b"%PDF-1.4", '<a download="document.pdf" href="data:application/pdf;base64,JVBERi0xLjQ="'),
        ("image/png", b"\x89PNG", 'src="data:image/png;base64,iVBORw=="'),
    ],
)
def test_an_embedded_body_is_shown_or_handed_out(media: str, content: bytes, expected: str) -> None:
    assert expected in shown(unstructured(content, media))


def test_a_figure_has_its_caption_as_alternative_text() -> None:
    text = '<renderMultiMedia referencedObject="F1"><caption>Fond d\'œil</caption></renderMultiMedia>'
    made = shown(document(section(figure(PIXEL), text=text)))
    assert f'alt="Fond d\'œil" src="data:image/png;base64,{PIXEL}"' in made


def test_what_cannot_be_shown_is_said() -> None:
    assert WORDS["fr"]["lost"] in shown(document(section(text='<renderMultiMedia referencedObject="F9"/>')))
    assert WORDS["fr"]["lost"] not in shown(document(section()))


def test_the_policy_lets_nothing_run_or_load() -> None:
    rules = dict(rule.strip().partition(" ")[::2] for rule in POLICY.split(";"))
    assert rules["default-src"] == "'none'"
    assert "allow-scripts" not in rules["sandbox"]
    assert "unsafe-inline" not in rules["style-src"]
    assert "script-src" not in rules


TEXT = st.text(st.sampled_from(string.printable[:95] + "é\u2028\u00a0"), max_size=80)


@given(TEXT, TEXT, TEXT)
def test_any_text_is_text(title: str, text: str, target: str) -> None:
    title, text, target = (html.escape(one) for one in (title, text, target))
    narrative = f'<paragraph>{text}</paragraph><linkHtml href="{target}" styleCode="{text}">{text}</linkHtml>'
    made = shown(document(section(text=narrative), title=f"<title>{title}</title>"))
    assert " ".join(html.unescape(text).split()) in words(made)


@pytest.mark.parametrize("data", [b"", b"<a/>", b"%PDF-1.4", document()[:900]])
def test_what_is_no_cda_has_no_page(data: bytes) -> None:
    with pytest.raises(BadRequest):
        page(data)


def test_a_page_is_well_formed_where_xml_readers_look() -> None:
    body = shown(document(section())).partition("<body>")[2].partition("</body>")[0]
    etree.fromstring(f"<body>{body}</body>")
