"""The query of a search and the decision on each document say the same. Properties over random people and documents."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fhir_dmp.access.decide import enter
from fhir_dmp.access.decision import Effect, Op, Rules
from fhir_dmp.access.document import access_terms, document_facts
from fhir_dmp.access.facts import PatientFacts
from fhir_dmp.access.restrict import restrict
from fhir_dmp.access.visibility import visible
from fhir_dmp.definitions import each_json, load_json
from fhir_dmp.fhir.resource import Json
from fhir_dmp.identity.caller import Caller
from fhir_dmp.search.match import matches
from fhir_dmp.search.query import Everything, Nothing
from fhir_dmp.search.terms import Terms
from fhir_dmp.terminology.aliases import PROFESSION, TRE_A03_CLASS, canonical_identifier, canonical_system
from tests.access.people import (
    ADMIN,
    AUDITOR,
    BASE,
    CLINIC,
    FEEDER,
    RULES,
    authorised,
    blocked,
    breaking_glass,
    closed_person,
    consent,
    delegate,
    docref,
    facts,
    holder,
    institution,
    label,
    matrix,
    person,
    professional_ref,
    ps,
    regulator,
    representative,
    structure_ref,
)

NUMBERS = ["899700000001", "899700000002", "3750100125/77"]
SYSTEMS = [None, "urn:oid:1.2.250.1.213.1.1.4.13", "urn:oid:2.16.840.1.113883.5.25", "http://example.org/x"]
CODES = ["N", "R", "MASQUE_PS", "INVISIBLE_PATIENT", "INVISIBLE_REPRESENTANTS_LEGAUX", "MASQUE_PT", "other"]
TYPES = ["11502-2", "68599-0", "ATTEST-RESID", "EXPPAT_3", "83901-9", "00000-0"]
CLASSES = ["10", "11", "42", "90", "95", "99", "77"]
ROLE_CONTAINED = {
    "resourceType": "PractitionerRole",
    "id": "role",
    "practitioner": {"reference": "Practitioner/x1"},
    "organization": structure_ref(CLINIC),
}

authors = st.sampled_from(
    [
        *(professional_ref(number) for number in NUMBERS),
        structure_ref(CLINIC),
        {"reference": "#role"},
        {"reference": "Practitioner/x1"},
        {"reference": "Patient/p1"},
        {"display": "?"},
    ]
)
documents = st.builds(
    lambda labels, who, signed, type_, classes, archived, status, patient: docref(
        authors=who,
        type_=type_,
        category=[{"coding": [{"system": TRE_A03_CLASS, "code": code} for code in classes]}],
        archived=archived,
        patient=patient,
        status=status,
        contained=[ROLE_CONTAINED],
        securityLabel=[label(code, system) for code, system in labels],
        **({"authenticator": signed} if signed else {}),
    ),
    st.lists(st.tuples(st.sampled_from(CODES), st.sampled_from(SYSTEMS)), max_size=3),
    st.lists(authors, min_size=1, max_size=2),
    st.none() | authors,
    st.sampled_from(TYPES),
    st.lists(st.sampled_from(CLASSES), max_size=2),
    st.booleans(),
    st.sampled_from(["current", "superseded", "entered-in-error"]),
    st.sampled_from(["p1", "p1", "p1", "p2"]),
)

CATEGORY_10, CATEGORY_99 = docref(class_="10")["category"], docref(class_="99")["category"]
roles = st.sampled_from(
    [
        ((PROFESSION, "10"),),
        ((PROFESSION, "60"), ("urn:oid:1.2.250.1.71.4.2.5", "SM26")),
        (("urn:oid:1.2.250.1.213.1.6.1.140", "99"),),
        (),
    ]
)
professionals = st.builds(
    lambda make, number, held, structure, user: replace(
        make(number), roles=held, structure=structure or make(number).structure, fhir_user=user
    ),
    st.sampled_from([ps, breaking_glass, regulator]),
    st.sampled_from(NUMBERS),
    roles,
    st.sampled_from([None, None, CLINIC]),
    st.sampled_from([None, None, "Practitioner/x1"]),
)
callers = professionals | st.sampled_from(
    [
        holder(),
        holder("p2"),
        holder(app="app-7", app_classes=("42", "90")),
        representative(),
        delegate("c-del"),
        institution(),
        FEEDER,
        AUDITOR,
    ]
)

DELEGATION = {
    **consent("delegation", "permit", {"reference": "RelatedPerson/r"}, id_="c-del", period={"end": "2026-12-31"}),
    "extension": [
        {
            "url": f"{BASE}/StructureDefinition/dmp-delegation",
            "extension": [{"url": "right", "valueCode": "read"}, {"url": "class", "valueCoding": {"code": "10"}}],
        }
    ],
}
GRANT = consent("app-grant", "permit", {"reference": "Device/app-7"})
said = st.lists(
    st.sampled_from(
        [
            *(authorised(number) for number in NUMBERS),
            authorised(NUMBERS[0], period={"end": "2025"}),
            blocked(NUMBERS[1]),
            consent("emergency", "deny"),
            consent("feeding-opposition", "deny"),
            consent("ps-authorisation", "permit", structure_ref(CLINIC), id_="c-clinic"),
            DELEGATION,
            GRANT,
        ]
    ),
    max_size=5,
    unique_by=lambda part: str(part["id"]),
)
patients = st.sampled_from(
    [
        person(),
        person(birthDate="2012-05-05"),
        person(generalPractitioner=[professional_ref(NUMBERS[0])]),
        closed_person(),
    ]
)
records = st.builds(lambda consents, patient: facts(*consents, patient=patient), said, patients)
ops = st.sampled_from([op for op in Op if op not in (Op.CREATE, Op.EXIST)])


def tokens(document: Json) -> tuple[str, ...]:
    """The exact terms of the parameters that the restriction uses, as the extractor makes them."""
    found: list[str] = [f"status=c:{document['status']}", f"patient=r:{document['subject']['reference']}"]
    for name, value in (("type", [document["type"]]), ("category", document["category"])):
        found += [f"{name}=c:{coding['code'].lower()}" for concept in value for coding in concept["coding"]]
    for concept in document["securityLabel"]:
        for coding in concept["coding"]:
            code, system = coding["code"].lower(), canonical_system(coding.get("system", ""))
            found += [f"security-label=c:{code}", f"security-label=s:{system}|{code}"]
    for name, references in (("author", document["author"]), ("authenticator", [document.get("authenticator", {})])):
        for reference in references:
            if reference.get("reference", "#").startswith("#"):
                for part in [reference, *([ROLE_CONTAINED["practitioner"]] if "reference" in reference else [])]:
                    if "identifier" in part:
                        system, value = canonical_identifier(part["identifier"]["system"], part["identifier"]["value"])
                        found.append(f"{name}.identifier=s:{system}|{value}")
            else:
                found.append(f"{name}=r:{reference['reference']}")
    return tuple(found)


def terms(document: Json) -> Terms:
    return Terms(tokens=tuple(dict.fromkeys((*tokens(document), *access_terms(document)))))


def found_and_shown(
    caller: Caller,
    op: Op,
    known: PatientFacts,
    document: Json,
    deleted_asked: bool,
    index: Terms,
    rules: Rules = RULES,
) -> tuple[bool, bool]:
    decision = enter(caller, op, known, rules, documents=True)
    node = restrict(caller, decision, known, rules, matrix(), deleted_asked=deleted_asked)
    found = matches(node, index, id_="d1", updated_ms=0)
    verdict = visible(caller, decision, document_facts(document), known, rules, matrix(), deleted_asked=deleted_asked)
    return found, verdict.permitted


@pytest.mark.statement("security P-43", "security P-42")
@settings(max_examples=1500, deadline=None)
@given(callers, ops, records, documents, st.booleans())
@example(ps(NUMBERS[0]), Op.SEARCH, facts(authorised(NUMBERS[0])), docref("MASQUE_PS"), False)
@example(ps(NUMBERS[0]), Op.SEARCH, facts(authorised(NUMBERS[0])), docref(category=[*CATEGORY_10, *CATEGORY_99]), False)
def test_a_search_finds_exactly_what_the_decision_shows(
    caller: Caller, op: Op, known: PatientFacts, document: Json, deleted_asked: bool
) -> None:
    found, seen = found_and_shown(caller, op, known, document, deleted_asked, terms(document))
    assert found == seen


#: Every way in which the settings may change what is seen.
settled = st.builds(
    lambda author, block, emergency: replace(
        RULES, author_sees_masked=author, btg_overrides_block=block, mask_visible_in_btg=emergency
    ),
    st.booleans(),
    st.booleans(),
    st.booleans(),
)


@settings(max_examples=600, deadline=None)
@given(professionals, ops, records, documents, settled)
def test_query_and_decision_agree_whatever_the_settings(
    caller: Caller, op: Op, known: PatientFacts, document: Json, rules: Rules
) -> None:
    found, seen = found_and_shown(caller, op, known, document, False, terms(document), rules)
    assert found == seen


holders = st.sampled_from(
    [holder(app="app-7", app_classes=("42", "90")), delegate("c-del"), representative(), AUDITOR, institution(), FEEDER]
)
#: Records that nearly everybody may enter, so that the labels, the matrix and the authors decide.
granted = st.builds(
    lambda patient: facts(DELEGATION, GRANT, *(authorised(number) for number in NUMBERS), patient=patient), patients
)


@settings(max_examples=800, deadline=None)
@given(holders | professionals, ops, granted, documents, st.booleans())
def test_a_search_of_an_open_record_finds_exactly_what_the_decision_shows(
    caller: Caller, op: Op, known: PatientFacts, document: Json, deleted_asked: bool
) -> None:
    found, seen = found_and_shown(caller, op, known, document, deleted_asked, terms(document))
    assert found == seen


@pytest.mark.statement("security P-43")
@settings(max_examples=400, deadline=None)
@given(callers, records, documents, st.booleans())
def test_a_search_of_the_real_index_finds_exactly_what_the_decision_shows(
    caller: Caller, known: PatientFacts, document: Json, deleted_asked: bool
) -> None:
    extract = pytest.importorskip("fhir_dmp.search.extract", reason="the index terms extractor is not installed")
    index = extract.terms_of(document, registry(), base="https://dmp.example/fhir", zone=known.zone)
    index = replace(index, tokens=tuple(dict.fromkeys((*index.tokens, *access_terms(document)))))
    found, seen = found_and_shown(caller, Op.SEARCH, known, document, deleted_asked, index)
    assert found == seen


KEY_NAMES = (
    "a resourceType id author coding code system identifier value reference provision actor type period start "
    "category patient status subject securityLabel generalPractitioner extension url birthDate participant member"
)
KEYS = KEY_NAMES.split()
_REGISTRY: list[object] = []


def registry() -> object:
    """The search parameters of the server, read once."""
    if not _REGISTRY:
        parameters = pytest.importorskip("fhir_dmp.search.parameters")
        _REGISTRY.append(
            parameters.build_registry(
                load_json("profiles/r4/search-parameters.json"),
                [content for _, content in each_json("profiles/search-parameters")],
                load_json("profiles/r4/compartments.json"),
            )
        )
    return _REGISTRY[0]


def test_a_refused_caller_searches_nothing_and_the_operator_everything() -> None:
    known = facts()
    for caller in (ps("899700000003"), AUDITOR, holder("p2")):
        decision = enter(caller, Op.SEARCH, known, RULES, documents=True)
        assert restrict(caller, decision, known, RULES, matrix()) == Nothing()
    decision = enter(ADMIN, Op.SEARCH, known, RULES)
    assert restrict(ADMIN, decision, known, RULES, matrix()) == Everything()


@settings(max_examples=300, deadline=None)
@given(callers, st.sampled_from(Op), records, documents, st.sampled_from([*NUMBERS, None]))
def test_a_block_never_adds_access(
    caller: Caller, op: Op, known: PatientFacts, document: Json, number: str | None
) -> None:
    parties = professional_ref(number) if number else structure_ref(CLINIC)
    more = facts(consent("block", "deny", parties, id_="c-more"))
    harder = replace(known, blocks=(*known.blocks, *more.blocks))
    before, after = enter(caller, op, known, RULES, documents=True), enter(caller, op, harder, RULES, documents=True)
    assert before.permitted or not after.permitted
    thing = document_facts(document)
    seen = visible(caller, after, thing, harder, RULES, matrix())
    assert visible(caller, before, thing, known, RULES, matrix()).permitted or not seen.permitted


@settings(max_examples=300, deadline=None)
@given(callers, records, documents, st.sampled_from(["MASQUE_PS", "INVISIBLE_PATIENT", "MASQUE_PT"]))
def test_a_label_never_adds_access(caller: Caller, known: PatientFacts, document: Json, code: str) -> None:
    decision = enter(caller, Op.READ, known, RULES, documents=True)
    labelled = {**document, "securityLabel": [*document["securityLabel"], label(code)]}
    plain = visible(caller, decision, document_facts(document), known, RULES, matrix())
    hidden = visible(caller, decision, document_facts(labelled), known, RULES, matrix())
    assert plain.permitted or not hidden.permitted


@settings(max_examples=300, deadline=None)
@given(professionals, st.sampled_from(Op), said, patients)
def test_professionals_are_denied_by_default(caller: Caller, op: Op, consents: list[Json], patient: Json) -> None:
    """Whoever is permitted more than feeding or own documents has a consent, the MT role, or an emergency mode."""
    known = facts(*consents, patient=patient)
    decision = enter(caller, op, known, RULES, documents=True)
    if decision.effect is Effect.PERMIT and op in (Op.READ, Op.SEARCH, Op.RETRIEVE) and not decision.own_only:
        assert decision.row in ("C8", "C11", "C14") or decision.consent_ids
    if decision.effect is not Effect.PERMIT:
        assert decision.reason is not None
        assert decision.status >= 400


@settings(max_examples=200, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(KEYS),
                inner,
                max_size=4,
            )
        ),
        max_leaves=25,
    )
)
def test_odd_data_never_raises(value: object) -> None:
    odd: Json = value if isinstance(value, dict) else {"author": value, "subject": value, "category": value}
    known = facts(
        {**consent("block", "deny"), "provision": odd},
        {**odd, "patient": {"reference": "Patient/p1"}},
        patient={**person(), **odd, "id": "p1"},
        directory=[{**odd, "resourceType": "CareTeam", "id": "t"}],
    )
    for caller in (ps(), holder(), representative(), delegate()):
        decision = enter(caller, Op.READ, known, RULES, documents=True)
        visible(caller, decision, document_facts(odd), known, RULES, matrix())
    access_terms(odd)
