"""The copies that fill a store are what the server itself would have stored."""

from __future__ import annotations

import doctest
from dataclasses import replace

from fhir_dmp.bootstrap import open_store
from fhir_dmp.ports import Version
from fhir_dmp.settings import Store
from fhir_dmp.store.memory import MemoryStore
from tests.benchmarks import filling
from tests.benchmarks.templates import templates
from tests.world import make_world

BASE = "http://127.0.0.1:8000/fhir"


def test_the_terms_of_a_copy_are_those_that_the_extractor_makes() -> None:
    services = make_world(MemoryStore(), DMP_SERVER_BASE_URL=BASE).services
    copies = list(filling.record_of(7, templates(BASE), filling.Filling("memory:", 10_000, BASE)))
    assert len(copies) == filling.PER_PATIENT + 3
    for copy in copies:
        expected = services.terms(Version(copy.type, copy.id, 1, copy.updated_ms, 1, copy.body))
        assert replace(copy.terms, words=()) == replace(expected, words=())
        # The contents are not in the filled store: the extractor finds the words of the metadata alone.
        for (name, words), (expected_name, beginning) in zip(copy.terms.words, expected.words, strict=True):
            assert name == expected_name
            assert words.startswith(beginning)


def test_a_filled_store_holds_as_many_documents_as_asked_for(tmp_path: object) -> None:
    url = f"sqlite:///{tmp_path}/dmp.sqlite3"
    filling.fill(filling.Filling(url, 300, BASE), processes=1)
    store = open_store(Store(url))
    assert store.types() == {"Consent": 6, "DocumentReference": 300, "Patient": 3}
    store.close()


def test_the_numbers_of_fictitious_patients_are_well_formed() -> None:
    assert doctest.testmod(filling).failed == 0
