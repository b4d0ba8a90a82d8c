"""XML Patch over HTTP: RFC 5261 on the XML of a resource. fhir-rest 10"""

from __future__ import annotations

import base64
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fhir_dmp.errors import Unprocessable
from fhir_dmp.fhir.xml_patch import apply_xml_patch, read_xml_patch
from tests.rest.shapes import bare, bundle, entry, made, named, patient, statuses
from tests.structures import STRUCTURES
from tests.world import Client, Response, World

XML_PATCH = {"Content_Type": "application/xml-patch+xml"}
DIV = '<div xmlns="http://www.w3.org/1999/xhtml">A&#160;B<br />"C"</div>'


def _patched(client: Client, path: str, operations: str, root: str = 'diff xmlns:f="http://hl7.org/fhir"') -> Response:
    name = root.partition(" ")[0]
    return client.patch(path, f"<{root}>{operations}</{name}>".encode(), **XML_PATCH)


@pytest.mark.statement("fhir-rest H183")
def test_elements_and_attributes_are_added_replaced_and_removed(wide: World) -> None:
    phone = [{"system": "phone", "value": "1"}, {"system": "email", "value": "a@example.org"}]
    stored = made(wide.admin, patient(birthDate="1990", telecom=phone, language="fr"))
    answer = _patched(
        wide.admin,
        f"/{named(stored)}",
        """
        <replace sel="f:Patient/f:birthDate/@value">1991</replace>
        <remove sel="/f:Patient/f:language"/>
        <add sel="f:Patient/f:name[1]"><f:given value="Anne"/></add>
        <add sel="f:Patient/f:name/f:given[1]" pos="before"><f:given value="Première"/></add>
        <replace sel="f:Patient/f:telecom[f:system/@value='phone']/f:value"><f:value value="2"/></replace>
        <remove sel="f:Patient/f:telecom[2]/f:value"/>
        <add sel="f:Patient/f:birthDate" type="@id">born</add>
        <add sel="f:Patient/f:telecom[1]" pos="after"><f:gender value="female"/></add>
        """,
    )
    assert answer.status == 200, answer.body
    assert answer.headers["ETag"] == 'W/"2"'
    assert bare(answer.json) == {
        "resourceType": "Patient",
        "name": [{"family": "ESSAI", "given": ["Première", "Zoé", "Anne"]}],
        "telecom": [{"system": "phone", "value": "2"}, {"system": "email"}],
        "gender": "female",
        "birthDate": "1991",
        "_birthDate": {"id": "born"},
    }


@pytest.mark.parametrize("root", ['diff xmlns="http://hl7.org/fhir"', "diff", "patch"])
def test_names_without_prefix_are_fhirs(admin: Client, root: str) -> None:
    stored = made(admin, patient())
    answer = _patched(admin, f"/{named(stored)}", '<add sel="Patient" pos="prepend"><active value="true"/></add>', root)
    assert (answer.status, answer.json.get("active")) == (200, True), answer.body


@pytest.mark.statement("fhir-rest H191")
def test_a_patch_that_changes_nothing_makes_no_version_and_spares_the_narrative(admin: Client) -> None:
    stored = made(admin, patient(text={"status": "generated", "div": DIV}, birthDate="1990-01-02"))
    path = f"/{named(stored)}"
    same = _patched(admin, path, '<replace sel="f:Patient/f:birthDate/@value">1990-01-02</replace>')
    assert (same.status, same.headers["ETag"]) == (200, 'W/"1"')
    other = _patched(admin, path, '<replace sel="f:Patient/f:birthDate/@value">1990</replace>')
    assert (other.headers["ETag"], other.json["text"]["div"]) == ('W/"2"', DIV)


@pytest.mark.statement("fhir-rest H184", "fhir-rest H190")
@pytest.mark.parametrize(
    "operation",
    [
        '<remove sel="f:Patient/f:frob"/>',
        '<remove sel="f:Patient/f:name/f:given"/>',
        '<remove sel="f:Patient"/>',
        '<replace sel="f:Patient/f:id/@value">other</replace>',
        '<replace sel="f:Patient/f:meta/f:versionId/@value">9</replace>',
        '<replace sel="f:Patient/f:name"/>',
        '<replace sel="f:Patient/f:gender/@value">x</replace>',
        '<add sel="f:Patient"/>',
        '<add sel="f:Patient"><f:frob value="1"/></add>',
        '<add sel="f:Patient" pos="before"><f:active value="true"/></add>',
        '<add sel="f:Patient" pos="under"><f:active value="true"/></add>',
        '<add sel="f:Patient" type="@value">x</add>',
        '<add sel="f:Patient"><f:gender value="autre"/></add>',
        '<remove sel="g:Patient/g:name"/>',
        '<remove sel="//f:name"/>',
        '<remove sel="f:Patient/f:name[last()]"/>',
        '<remove sel="f:Patient/f:name | f:Patient"/>',
        '<remove sel=""/>',
        "<remove/>",
        '<move sel="f:Patient/f:name"/>',
        "",
    ],
)
def test_what_cannot_be_done_is_422_and_changes_nothing(admin: Client, operation: str) -> None:
    stored = made(admin, patient(name=[{"family": "ESSAI", "given": ["A", "B"]}]))
    answer = _patched(admin, f"/{named(stored)}", operation)
    assert answer.status == 422, answer.body
    assert admin.get(f"/{named(stored)}").json == stored


@pytest.mark.statement("fhir-rest H185")
@pytest.mark.parametrize(
    "body",
    [
        b"<diff",
        b"",
        b"[]",
        b'<!DOCTYPE d [<!ENTITY e SYSTEM "file:///etc/passwd">]><diff><remove sel="Patient/name">&e;</remove></diff>',
    ],
)
def test_what_is_no_xml_is_400(admin: Client, body: bytes) -> None:
    stored = made(admin, patient())
    answer = admin.patch(f"/{named(stored)}", body, **XML_PATCH)
    assert answer.status == 400, answer.body
    assert b"root:" not in answer.body


@pytest.mark.statement("fhir-rest H192", "fhir-rest F171")
def test_it_obeys_if_match_and_works_in_a_bundle(admin: Client) -> None:
    stored = made(admin, patient())
    operation = b'<diff xmlns:f="http://hl7.org/fhir"><add sel="f:Patient"><f:gender value="male"/></add></diff>'
    late = admin.patch(f"/{named(stored)}", operation, If_Match='W/"7"', **XML_PATCH)
    assert late.status == 412
    wrapped = {
        "resourceType": "Binary",
        "contentType": "application/xml-patch+xml",
        "data": base64.b64encode(operation).decode(),
    }
    answer = admin.post("", bundle("transaction", entry("PATCH", named(stored), wrapped)))
    assert statuses(answer) == ["200 OK"], answer.body
    assert admin.get(f"/{named(stored)}").json["gender"] == "male"


NAMES = st.sampled_from(["f:Patient", "f:name", "f:given", "*", "Patient", "f:name[1]", "f:given[.='x']", "@value"])


@settings(max_examples=150, deadline=None)
@given(
    st.lists(NAMES, min_size=1, max_size=4).map("/".join),
    st.sampled_from(["add", "replace", "remove"]),
    st.sampled_from(["", '<f:given value="x"/>', "text", '<f:name><f:family value="Y"/></f:name>']),
    st.sampled_from(["", ' pos="prepend"', ' pos="after"', ' type="@value"', ' type="@id"']),
)
def test_whatever_is_asked_a_resource_or_a_refusal_comes_back(sel: str, kind: str, content: str, more: str) -> None:
    before = patient(id="1")
    text = f'<diff xmlns:f="http://hl7.org/fhir"><{kind} sel="{sel}"{more}>{content}</{kind}></diff>'
    untouched = patient(id="1")
    with suppress(Unprocessable):
        assert apply_xml_patch(before, read_xml_patch(text.encode()), STRUCTURES)["resourceType"] == "Patient"
    assert before == untouched
