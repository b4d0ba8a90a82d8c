"""What is derived from a CDA is the same whether the whole document is converted or its statements alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from fhir_dmp.cda.to_fhir import convert, statements
from fhir_dmp.cda.xml import clinical_document, parse
from fhir_dmp.documents.derived import derive
from fhir_dmp.fhir.resource import Json, dump
from tests.cda.making import document, entry, knowledge, observation, related, section, templates
from tests.cda.test_header import FILES

PARIS = ZoneInfo("Europe/Paris")
#: Every twelfth of the public samples: each takes a tenth of a second.
SHARED = sorted((Path(__file__).resolve().parents[2] / "../shared/data/cda").glob("*.xml"))[::12]
_PROBLEM = "1.3.6.1.4.1.19376.1.5.3.1.4.5"


def counting() -> Callable[[str], str]:
    """Return what gives the ids d1, d2..."""
    given: list[str] = []

    def next_id(patient: str) -> str:
        given.append(patient)
        return f"d{len(given)}"

    return next_id


def derived(bundle: Json) -> list[bytes]:
    """Return what is derived from the Bundle of a CDA, as it would be stored."""
    return [dump(draft.resource) for draft in derive(bundle, "DocumentReference/d", "Patient/p", counting())]


def both(data: bytes) -> tuple[list[bytes], list[bytes]]:
    """Return what is derived from the statements alone, and from the whole conversion."""
    element = clinical_document(parse(data))
    whole = convert(element, data, knowledge(), PARIS).bundle
    return derived(statements(element, knowledge(), PARIS)), derived(whole)


def test_a_wrapper_gives_its_identifier_to_what_it_groups_without_the_way_back() -> None:
    problem = observation('<id root="1.2.3.4"/><statusCode code="completed"/>', _PROBLEM)
    concern = (
        f'<act classCode="ACT" moodCode="EVN">{templates("1.3.6.1.4.1.19376.1.5.3.1.4.5.2")}'
        f'<id root="1.2.3.9"/><code nullFlavor="NA"/>{related(problem)}</act>'
    )
    alone, whole = both(document(section(entry(concern))))
    assert alone == whole
    assert any(b"urn:oid:1.2.3.9" in one for one in alone)
    assert not any(b"cda-source" in one or b"cda-wrapper" in one for one in alone)


@pytest.mark.parametrize("path", [*sorted(FILES.glob("*.xml")), *SHARED], ids=lambda path: path.stem)
def test_the_statements_alone_give_what_the_whole_conversion_gives(path: Path) -> None:
    alone, whole = both(path.read_bytes())
    assert alone == whole


def test_there_is_no_narrative_and_no_provenance_where_only_statements_are_wanted() -> None:
    said = observation('<code code="29463-7" codeSystem="2.16.840.1.113883.6.1"/><statusCode code="completed"/>')
    data = document(section(entry(said), "<paragraph>Poids relevé.</paragraph>"))
    element = clinical_document(parse(data))
    whole, alone = (
        dump(convert(element, data, knowledge(), PARIS).bundle),
        dump(statements(element, knowledge(), PARIS)),
    )
    assert b'"Observation"' in alone
    for part in (b"Provenance", b"<div"):
        assert part in whole
        assert part not in alone
