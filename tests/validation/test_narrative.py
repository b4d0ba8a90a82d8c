"""Narrative safety: formatting is taken, whatever acts is refused."""

from __future__ import annotations

import pytest

from fhir_dmp.validation import narrative
from fhir_dmp.validation.primitives import Fault
from tests.structures import STRUCTURES

check = narrative.checker(STRUCTURES.narrative_elements, STRUCTURES.narrative_attributes)


def div(content: str) -> str:
    return f'<div xmlns="http://www.w3.org/1999/xhtml">{content}</div>'


@pytest.mark.parametrize(
    "content",
    [
        "texte",
        "<p class='a' id='b' title='c' style='color: red; width: 50%'>x</p>",
        "<td style='background-image: url(data: image/png;base64,iVBORw0KGgo=)'>x</td>",
        "<table border='1'><thead><tr><th colspan='2'>x</th></tr></thead><tbody><tr><td>y</td></tr></tbody></table>",
        "<a href='https://example.org/?a=b&amp;c=d'>x</a>",
        "<a href='mailto:a@example.org'>x</a> <a href='tel:+33102030405'>x</a> <a href='#part' name='n'>x</a>",
        "<a href='Patient/1'>x</a> <a href='a/b:c'>x</a>",
        "<img src='#img1' alt='x'/>",
        "<img src='data:image/png;base64,QUJD' alt='x'/>",
        "<!-- comment --><b>x</b>",
        "<span xml:lang='fr' lang='fr' dir='ltr'>x</span>",
        "&lt;script&gt;alert(1)&lt;/script&gt;",
        "&#233; &#xe9; <![CDATA[<x>]]>",
        "<kbd>x</kbd><address>y</address>",
    ],
)
def test_formatting_is_taken(content: str) -> None:
    assert check(div(content)) is None


@pytest.mark.statement("fhir-rest A18")
@pytest.mark.parametrize(
    "content",
    [
        "<script>alert(1)</script>",
        "<SCRIPT>alert(1)</SCRIPT>",
        "<p onclick='alert(1)'>x</p>",
        "<p OnClick='alert(1)'>x</p>",
        "<a href='javascript:alert(1)'>x</a>",
        "<a href='  JaVaScRiPt:alert(1)'>x</a>",
        "<a href='java&#10;script:alert(1)'>x</a>",
        "<a href='java&#x9;script:alert(1)'>x</a>",
        "<a href='&#xA0;javascript:alert(1)'>x</a>",
        "<a href='vbscript:x'>x</a>",
        "<a href='data:text/html,x'>x</a>",
        "<a href='data:image/png;base64,QUJD'>x</a>",
        "<img src='data:image/svg+xml,x'/>",
        "<img src='file:///etc/passwd'/>",
        "<p style='background: url(http://example.org/x)'>x</p>",
        "<p style='background: url(data:image/svg+xml;base64,PHN2Zz4=)'>x</p>",
        "<p style='background: url(data:text/html;base64,AAAA)'>x</p>",
        "<p style='b: url(data:image/png;base64,AAAA) url(http://example.org/x)'>x</p>",
        "<p style='expurl(data:image/png;base64,AAAA)ression: url(javascript:1)'>x</p>",
        "<p style='width: exp/* */ression(alert(1))'>x</p>",
        "<p style='w\\69 dth: 1'>x</p>",
        "<p style='@import x'>x</p>",
        "<iframe src='x'/>",
        "<object data='x'/>",
        "<embed src='x'/>",
        "<form action='x'><input/></form>",
        "<link href='x'/>",
        "<style>p {}</style>",
        "<base href='x'/>",
        "<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>",
        "<b xmlns='http://example.org/other'>x</b>",
        "<a xmlns:xlink='http://www.w3.org/1999/xlink' xlink:href='javascript:x'>x</a>",
        "<?php x ?>",
        "<p>x",
        "&nbsp;",
        "&undefined;",
        "<p a=b>x</p>",
        "<b>" * 200 + "x" + "</b>" * 200,
    ],
)
def test_what_acts_or_is_broken_is_refused(content: str) -> None:
    fault = check(div(content))
    assert fault is not None
    assert fault.code == "invalid"
    assert "alert" not in fault.text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "text",
        "<div>x</div>",
        "<p xmlns='http://www.w3.org/1999/xhtml'>x</p>",
        "<div xmlns='http://www.w3.org/1999/xhtml'>x</div><div>y</div>",
        "<?xml version='1.0'?><div xmlns='http://www.w3.org/1999/xhtml'>x</div>",
        "<!DOCTYPE div><div xmlns='http://www.w3.org/1999/xhtml'>x</div>",
        "<!DOCTYPE div [<!ENTITY e SYSTEM 'file:///etc/passwd'>]><div xmlns='http://www.w3.org/1999/xhtml'>&e;</div>",
        "<div xmlns='http://www.w3.org/1999/xhtml'>\ud800</div>",
        "<div xmlns='http://www.w3.org/1999/xhtml'>\x01</div>",
    ],
)
def test_a_narrative_is_one_xhtml_div(text: str) -> None:
    fault = check(text)
    assert fault is not None
    assert fault.code == "invalid"


@pytest.mark.parametrize("content", ["", "  \n", "<p> </p>", "<br/>"])
def test_a_narrative_says_something(content: str) -> None:
    assert check(div(content)) == Fault("invariant", "txt-2: the narrative has neither text nor an image.")


@pytest.mark.parametrize("value", [7, None, [div("x")], {}])
def test_a_narrative_is_a_string(value: object) -> None:
    fault = check(value)
    assert fault is not None
    assert fault.code == "structure"
