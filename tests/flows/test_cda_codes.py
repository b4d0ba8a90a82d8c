"""Type, class and format of a published CDA come from its header; another value is refused. [cda 3.3, 3.4, 3.6]"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests import samples
from tests.cda.making import document, unstructured
from tests.flows.steps import Dossier, next_ins, next_oid, nothing_stored, publication
from tests.samples import Json
from tests.world import Response, World

XML = "application/xml"
SUMMARY = document()
LETTER = document(code='<code code="11488-4" codeSystem="2.16.840.1.113883.6.1" displayName="CR"/>')
UNKNOWN = document(code='<code code="99999-9" codeSystem="2.16.840.1.113883.6.1" displayName="Autre"/>')
ELSEWHERE = document(code='<code code="SYNTH" codeSystem="2.16.840.1.113883.6.1" displayName="Synthèse"/>')
SIGNATURE = document(code='<code code="E1762" codeSystem="1.2.250.1.213.1.1.4.12" displayName="Signature"/>')
REPORT = (samples.LOINC, "11488-4")
SUMMARY_TYPE = (samples.LOINC, "60591-5")


def submitted(dossier: Dossier, content: bytes, **more: Any) -> Response:
    """Submit a CDA by ITI-65, with these metadata."""
    body = samples.submission(next_oid(), ins=dossier.ins, content=content, content_type=XML, **more)
    return dossier.world.doctor().post("", body)


def published(dossier: Dossier, content: bytes, without: tuple[str, ...] = (), **more: Any) -> Response:
    """Publish a CDA by ITI-105, without some metadata."""
    body = publication(next_oid(), ins=dossier.ins, content=content, content_type=XML, **more)
    for name in without:
        body.pop(name, None)
        body["content"][0].pop(name, None)
    return dossier.world.doctor().post("/DocumentReference", body)


def code_of(concept: Json) -> str:
    """Return the first code."""
    found: str = concept["coding"][0]["code"]
    return found


@pytest.mark.statement("cda B25")
@pytest.mark.parametrize("send", [submitted, published])
@pytest.mark.parametrize("content", [UNKNOWN, ELSEWHERE, SIGNATURE], ids=["code", "system", "signature"])
def test_a_cda_of_an_unknown_type_is_refused(dossier: Dossier, send: Callable[..., Response], content: bytes) -> None:
    with nothing_stored(dossier.world):
        answer = send(dossier, content, type_=REPORT)
    assert answer.status == 422, answer.body
    assert {"type-inconnu", "XDSRepositoryMetadataError"} <= answer.codes
    assert any(place.endswith("type") for place in answer.expressions)


@pytest.mark.statement("cda B25")
@pytest.mark.parametrize("send", [submitted, published])
def test_the_type_is_the_pair_of_code_and_system_of_the_cda(dossier: Dossier, send: Callable[..., Response]) -> None:
    stored = dossier.read(dossier.submit(content=SUMMARY, content_type=XML))
    assert [(one["system"], one["code"]) for one in stored["type"]["coding"]] == [SUMMARY_TYPE]
    refused = send(dossier, SUMMARY, type_=REPORT, class_="11")
    assert (refused.status, "metadonnee-discordante" in refused.codes) == (422, True)
    assert refused.expressions[0].endswith("type")


@pytest.mark.statement("cda B26")
@pytest.mark.parametrize("send", [submitted, published])
@pytest.mark.parametrize(("content", "right", "wrong"), [(SUMMARY, "11", "10"), (LETTER, "10", "90")])
def test_the_class_is_that_of_the_table_never_that_of_the_client(
    dossier: Dossier, send: Callable[..., Response], content: bytes, right: str, wrong: str
) -> None:
    with nothing_stored(dossier.world):
        refused = send(dossier, content, class_=wrong)
    assert (refused.status, "metadonnee-discordante" in refused.codes) == (422, True)
    assert [place for place in refused.expressions if place.endswith("category")]
    assert send(dossier, content, class_=right).status in (200, 201)


@pytest.mark.statement("cda B25", "cda B26", "cda B27")
def test_what_a_publication_leaves_out_is_told_by_the_cda(dossier: Dossier) -> None:
    answer = published(dossier, SUMMARY, without=("type", "category", "format"))
    assert answer.status == 201, answer.body
    stored = answer.json
    assert (code_of(stored["type"]), code_of(stored["category"][0])) == ("60591-5", "11")
    assert stored["content"][0]["format"]["code"] == "urn:asip:ci-sis:vsm:2012"


@pytest.mark.statement("cda B27")
@pytest.mark.parametrize(
    ("format_", "status"),
    [
        ("urn:ihe:iti:xds-sd:pdf:2008", 200),
        ("urn:ihe:iti:xds:2017:mimeTypeSufficient", 200),
        ("urn:ihe:iti:xds-sd:text:2008", 422),
    ],
)
def test_another_format_than_that_of_the_body_is_refused(dossier: Dossier, format_: str, status: int) -> None:
    body = samples.submission(next_oid(), ins=dossier.ins, content=unstructured(), content_type=XML)
    body["entry"][1]["resource"]["content"][0]["format"] = {"system": samples.FORMATS, "code": format_}
    answer = dossier.world.doctor().post("", body)
    assert answer.status == status, answer.body


@pytest.mark.parametrize("content", [b"<ClinicalDocument xmlns='urn:hl7-org:v3'/>", b"<note/>", b"no xml"])
def test_xml_that_is_no_cda_is_judged_by_its_metadata_alone(dossier: Dossier, content: bytes) -> None:
    assert submitted(dossier, content, class_="11").status == 200


def test_an_archive_of_old_documents_may_be_taken_in_with_warnings(make: Callable[..., World]) -> None:
    lenient = Dossier.open(make(DMP_DOCUMENTS_CDA_METADATA="warn"), next_ins())
    answer = submitted(lenient, UNKNOWN, type_=REPORT, class_="11")
    assert answer.status == 200, answer.body
    outcome = answer.json["entry"][1]["response"]["outcome"]
    told = {coding["code"] for issue in outcome["issue"] for coding in issue.get("details", {}).get("coding", ())}
    assert {"type-inconnu", "metadonnee-discordante"} <= told


def test_metadata_that_are_only_read_say_that_the_type_is_unknown(world: World) -> None:
    answer = world.doctor().post("/DocumentReference/$generate-metadata", UNKNOWN, Content_Type=XML)
    parts = {one["name"]: one["resource"] for one in answer.json["parameter"]}
    assert code_of(parts["return"]["category"][0]) == "10"
    assert [issue["severity"] for issue in parts["outcome"]["issue"]] == ["warning"]
