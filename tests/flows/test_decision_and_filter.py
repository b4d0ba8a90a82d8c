"""The decision on each document and the query put to a store agree: ten thousand random cases on every store.

A store is filled with random documents, indexed as the server indexes them; random callers with random records then
ask it for what they may see. [security 4.7]
"""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fhir_dmp.access.decide import enter
from fhir_dmp.access.decision import Op
from fhir_dmp.access.document import DocumentFacts, document_facts
from fhir_dmp.access.facts import PatientFacts
from fhir_dmp.access.restrict import restrict
from fhir_dmp.access.visibility import visible
from fhir_dmp.fhir.resource import dump
from fhir_dmp.identity.caller import Caller
from fhir_dmp.interactions.write import index_terms
from fhir_dmp.ports import Commit, Write
from fhir_dmp.terminology.aliases import TRE_A03_CLASS
from tests.access.people import CLINIC, RULES, docref, label, matrix, professional_ref, structure_ref
from tests.access.test_restrict import (
    CLASSES,
    CODES,
    NUMBERS,
    ROLE_CONTAINED,
    SYSTEMS,
    TYPES,
    callers,
    granted,
    holders,
    ops,
    professionals,
    records,
)
from tests.samples import Json
from tests.world import World

DOCUMENTS, EXAMPLES = 110, 100
SIGNERS = (
    *(professional_ref(number) for number in NUMBERS),
    structure_ref(CLINIC),
    {"reference": "#role"},
    {"reference": "Practitioner/x1"},
    {"reference": "Patient/p1"},
)


def drawn(random: Random, number: int) -> Json:
    """Return a random document."""
    labels = [(random.choice(CODES), random.choice(SYSTEMS)) for _ in range(random.choice([0, 0, 1, 1, 2]))]
    classes = random.choices(CLASSES, k=random.choice([0, 1, 1, 1, 2]))
    signed: dict[str, Any] = {"authenticator": random.choice(SIGNERS)} if random.random() < 0.2 else {}
    return docref(
        authors=random.choices(SIGNERS, k=random.choice([1, 1, 2])),
        type_=random.choice(TYPES),
        category=[{"coding": [{"system": TRE_A03_CLASS, "code": code} for code in classes]}],
        archived=random.random() < 0.2,
        patient=random.choice(["p1", "p1", "p1", "p2"]),
        status=random.choice(["current", "current", "superseded", "entered-in-error"]),
        contained=[ROLE_CONTAINED],
        securityLabel=[label(code, system) for code, system in labels],
        id=f"d{number}",
        **signed,
    )


@pytest.fixture(scope="module")
def stored(world: World) -> dict[str, DocumentFacts]:
    """Fill the store and return the facts of each document by id."""
    random, services = Random(4711), world.services
    documents = [drawn(random, number) for number in range(DOCUMENTS)]
    for start in range(0, DOCUMENTS, 20):
        writes = [
            Write("DocumentReference", each["id"], 1, 1_781_260_000_000, dump(each), index_terms(each, services))
            for each in documents[start : start + 20]
        ]
        services.store.commit(Commit(writes=tuple(writes)))
    return {each["id"]: document_facts(each) for each in documents}


asked: Any = st.one_of(st.tuples(callers, records), st.tuples(holders | professionals, granted))


@pytest.mark.statement("security P-43", "security P-42")
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(asked, ops, st.booleans())
def test_a_store_finds_exactly_what_the_decision_shows(
    world: World,
    stored: dict[str, DocumentFacts],
    who: tuple[Caller, PatientFacts],
    op: Op,
    deleted_asked: bool,
) -> None:
    caller, known = who
    decision = enter(caller, op, known, RULES, documents=True)
    node = restrict(caller, decision, known, RULES, matrix(), deleted_asked=deleted_asked)
    found = world.services.store.find("DocumentReference", node, DOCUMENTS)
    shown = {
        id_
        for id_, document in stored.items()
        if visible(caller, decision, document, known, RULES, matrix(), deleted_asked=deleted_asked).permitted
    }
    assert set(found) == shown
    assert world.services.store.count(("DocumentReference",), node) == len(shown)


def test_there_are_ten_thousand_cases() -> None:
    assert DOCUMENTS * EXAMPLES >= 10_000
