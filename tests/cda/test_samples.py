"""The project's own CDA samples are valid against the public CI-SIS schema."""

from __future__ import annotations

from pathlib import Path

import pytest
from lxml import etree

from tests.cda.test_header import FILES

SCHEMA = Path(__file__).resolve().parents[2] / "../shared/data/cda-xsd/CDA_extended.xsd"


@pytest.mark.skipif(not SCHEMA.is_file(), reason="the shared folder with the CDA schema is absent")
@pytest.mark.parametrize("path", sorted(FILES.glob("*.xml")), ids=lambda path: path.stem)
def test_a_sample_is_schema_valid(path: Path) -> None:
    schema = etree.XMLSchema(etree.parse(str(SCHEMA), etree.XMLParser(no_network=True)))
    document = etree.parse(str(path), etree.XMLParser(resolve_entities=False, no_network=True))
    schema.assertValid(document)
