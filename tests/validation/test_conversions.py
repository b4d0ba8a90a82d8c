"""What a CDA becomes is valid: against R4 with its constraints, and against every profile that it declares."""

from __future__ import annotations

from datetime import UTC
from pathlib import Path

import pytest

from fhir_dmp import definitions
from fhir_dmp.cda.to_fhir import to_fhir
from fhir_dmp.validation.conformance import judge
from tests.cda.making import code, document, entry, observation, section

PROFILES = definitions.profiles(definitions.conformance())
SHARED = sorted((Path(__file__).resolve().parents[2] / "../shared/data/cda").glob("*.xml"))


def errors(content: bytes) -> list[tuple[str, tuple[str, ...]]]:
    """Return what is wrong with the document that a CDA becomes."""
    bundle = to_fhir(content, definitions.cda_knowledge(), UTC, 50_000_000).bundle
    issues = judge(bundle, PROFILES)
    return [(each.diagnostics, each.expression) for each in issues if each.severity in ("error", "fatal")]


def test_what_our_own_documents_become_is_valid() -> None:
    measured = observation(
        code("29463-7") + '<statusCode code="completed"/><effectiveTime value="20260612"/>'
        '<value xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="PQ" value="71" unit="kg"/>',
        "1.3.6.1.4.1.19376.1.5.3.1.4.13",
    )
    for content in (document(), document(section()), document(section(entry(measured), code_="8716-3"))):
        assert errors(content) == []


@pytest.mark.skipif(not SHARED, reason="the shared folder with the public CDA documents is absent")
def test_what_the_public_documents_become_is_valid() -> None:
    found = {path.name: errors(path.read_bytes()) for path in SHARED}
    assert {name: wrong for name, wrong in found.items() if wrong} == {}
