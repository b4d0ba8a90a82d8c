"""Scopes: the grammar, wildcards, narrowing, role maxima. security 2.10."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_dmp.fhir.types import RESOURCE_TYPES
from fhir_dmp.identity.caller import Actor, Caller, Mode, Scope
from fhir_dmp.identity.scopes import LETTERS, MAX_SCOPES, ResourceScope, dump, maximum, narrow, parse, parse_one

TYPES = st.sampled_from(["*", "Patient", "DocumentReference", "Binary", "Consent"])
SCOPE = st.builds(
    Scope, st.sampled_from(["patient", "user", "system"]), TYPES, st.frozensets(st.sampled_from(LETTERS), min_size=1)
)
SCOPES = st.lists(SCOPE, max_size=6)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("patient/Patient.r", ResourceScope("patient", "Patient", "r")),
        ("user/*.cruds", ResourceScope("user", "*", "cruds")),
        ("system/Binary.read", ResourceScope("system", "Binary", "rs", v1=True)),
        ("system/Binary.write", ResourceScope("system", "Binary", "cud", v1=True)),
        ("system/*.*", ResourceScope("system", "*", "cruds", v1=True)),
        ("patient/Observation.rs?category=a|b", ResourceScope("patient", "Observation", "rs", (("category", "a|b"),))),
        ("user/*.s?_tag=x&_profile=y", ResourceScope("user", "*", "s", (("_tag", "x"), ("_profile", "y")))),
    ],
)
@pytest.mark.statement("security G-2")
def test_a_scope_of_the_grammar_is_read(text: str, expected: ResourceScope) -> None:
    assert parse_one(text) == expected


@pytest.mark.statement("security G-3", "security G-4")
@pytest.mark.parametrize(
    "text",
    [
        "",
        "openid",
        "launch/patient",
        "patient/Patient",
        "patient/Patient.",
        "patient/Patient.dus",
        "patient/Patient.rr",
        "patient/Patient.x",
        "patient/patient.r",
        "patient/Dossier.r",
        "Patient/Patient.r",
        "admin/Patient.r",
        "patient/Patient.read?status=x",
        "patient/Patient.r?",
        "patient/Patient.r?name=x",
        "patient/Patient.r?status=",
        "patient/*.r?status=x",
        "patient/Patient.r/extra",
        "patient//Patient.r",
        "patient/Patient.r?status:not=x",
    ],
)
def test_another_scope_grants_nothing(text: str) -> None:
    assert parse_one(text) is None
    assert parse(text) == ()


def test_a_constrained_scope_keeps_its_constraint() -> None:
    (constrained, plain) = parse("patient/Observation.rs?category=x user/Patient.r")
    assert (constrained.constraint, plain.constraint) == ((("category", "x"),), ())
    assert narrow((constrained,), parse("patient/*.rs")) == (constrained,)
    assert narrow(parse("patient/*.r"), (constrained,)) == (
        Scope("patient", "Observation", frozenset("r"), constrained.constraint),
    )


@pytest.mark.statement("security G-22", "security TH29", "security H-18")
@given(st.text("patientuserytm/*.rscud?&=|% DocumentReferenceBinary", max_size=60))
def test_no_text_grants_more_than_the_grammar(text: str) -> None:
    for scope in parse(text):
        assert scope.context in ("patient", "user", "system")
        assert scope.type == "*" or scope.type in RESOURCE_TYPES
        assert scope.letters
        assert scope.letters <= set(LETTERS)
        assert any(word.startswith(f"{scope.context}/{scope.type}.") for word in text.split())


@given(SCOPES)
def test_printing_and_parsing_agree(scopes: list[Scope]) -> None:
    assert parse(dump(scopes)) == tuple(scopes)


@given(SCOPES, SCOPES)
def test_narrowing_gives_exactly_what_both_permit(asked: list[Scope], limit: list[Scope]) -> None:
    granted = narrow(asked, limit)
    for context in ("patient", "user", "system"):
        for type_ in ("Patient", "DocumentReference", "Binary", "Consent", "List"):
            for letter in LETTERS:
                permitted = _may(granted, context, type_, letter)
                assert permitted == (_may(asked, context, type_, letter) and _may(limit, context, type_, letter))


@given(SCOPES)
def test_narrowing_by_itself_changes_no_permission_and_is_stable(scopes: list[Scope]) -> None:
    once = narrow(scopes, scopes)
    assert narrow(once, once) == once
    assert len({(scope.context, scope.type) for scope in once}) == len(once)


def _may(scopes: object, context: str, type_: str, letter: str) -> bool:
    assert isinstance(scopes, list | tuple)
    return any(s.context == context and s.type in ("*", type_) and letter in s.letters for s in scopes)


@pytest.mark.statement("security G-21")
def test_a_hundred_scopes_are_read_quickly_and_no_more() -> None:
    text = " ".join(["patient/DocumentReference.rs"] * 1000)
    start = time.process_time()
    found = parse(text[:8000])
    assert time.process_time() - start < 0.05
    assert len(found) == MAX_SCOPES
    assert parse(text) == ()


@pytest.mark.parametrize(
    ("actor", "mode", "may", "may_not"),
    [
        (Actor.PATIENT, Mode.NORMAL, ["r AuditEvent", "u Consent", "u Patient"], ["d Consent", "c List", "c Patient"]),
        (Actor.REPRESENTATIVE, Mode.NORMAL, ["r AuditEvent", "r DocumentReference"], ["d DocumentReference"]),
        (Actor.DELEGATE, Mode.NORMAL, ["r DocumentReference", "c Binary"], ["r AuditEvent", "r Consent", "u Consent"]),
        (Actor.PROFESSIONAL, Mode.NORMAL, ["d DocumentReference", "c List", "r Patient"], ["c Patient", "d Consent"]),
        (Actor.PROFESSIONAL, Mode.BREAK_GLASS, ["r DocumentReference"], ["u Patient", "u Consent"]),
        (Actor.PROFESSIONAL, Mode.REGULATION, ["s DocumentReference"], ["c Binary"]),
        (
            Actor.STRUCTURE,
            Mode.NORMAL,
            ["c List", "u DocumentReference", "s DocumentReference"],
            ["r DocumentReference"],
        ),
        (Actor.FEEDER, Mode.NORMAL, ["c DocumentReference", "r Patient"], ["u DocumentReference", "r Binary"]),
        (Actor.AUDITOR, Mode.NORMAL, ["r AuditEvent", "s AuditEvent"], ["r Patient", "c AuditEvent"]),
        (Actor.ADMIN, Mode.NORMAL, ["d Patient", "c Anything"], []),
    ],
)
def test_each_kind_has_its_maximum(actor: Actor, mode: Mode, may: list[str], may_not: list[str]) -> None:
    caller = Caller(actor, "x", scopes=maximum(actor, mode))
    for permission in may:
        assert caller.may(*permission.split()), permission
    for permission in may_not:
        assert not caller.may(*permission.split()), permission


@pytest.mark.statement("security G-20")
def test_a_patient_never_gets_the_scopes_of_a_user() -> None:
    assert narrow(parse("user/*.cruds system/*.cruds"), maximum(Actor.PATIENT)) == ()


def test_emergency_modes_stay_inside_one_patient() -> None:
    assert {scope.context for scope in maximum(Actor.PROFESSIONAL, Mode.BREAK_GLASS)} == {"patient"}
