"""The life of a dossier as a property: whatever is asked in whatever order, Patient and Consents agree.

Plans run against a dossier in memory, read by the same functions as in the server.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fhir_dmp.access.consent import Reading
from fhir_dmp.access.consent_rules import check_consent
from fhir_dmp.access.facts import patient_facts
from fhir_dmp.access.rights import dossier_state, is_known_doctor
from fhir_dmp.errors import DmpError
from fhir_dmp.fhir.held import Held
from fhir_dmp.fhir.resource import Json
from fhir_dmp.patients import consents
from fhir_dmp.patients.blocks import BLOCK, plan_block, plan_unblock
from fhir_dmp.patients.closing import CLOSE, GRANTS, REOPEN, closing_motive, plan_closing, plan_reopening
from fhir_dmp.patients.doctors import plan_doctor
from fhir_dmp.patients.dossier import Status
from fhir_dmp.patients.grants import Candidate
from fhir_dmp.patients.oppositions import OPPOSE, plan_opposition
from fhir_dmp.patients.parameters import Arguments, Who, read_arguments
from fhir_dmp.patients.rights import AUTHORISE, plan_authorisation, plan_revocation
from fhir_dmp.patients.state import DossierState, Planned, Scribe
from fhir_dmp.terminology.national import CLOSING, CLOSING_MOTIVES
from tests.patients.test_identity import patient

X = "https://dmp-fhir.example/ig"
PROFESSIONAL = "urn:oid:1.2.250.1.71.4.2.1"
NOW = 1_781_260_000_000
PEOPLE: tuple[Who, ...] = ((PROFESSIONAL, "899700218896"), (PROFESSIONAL, "899700218904"))


@dataclass
class Life:
    """One dossier in memory."""

    person: Held = field(default_factory=lambda: Held("Patient", "p", 1, {**patient(active=True), "id": "p"}))
    acts: dict[str, Held] = field(default_factory=dict)
    made: int = 0

    @classmethod
    def opened(cls) -> Life:
        """An open dossier."""
        life = cls()
        act = life.scribe.on(life.state)
        life.store(Planned((life.scribe.new(life.state, consents.opening(act)),)))
        return life

    @property
    def reading(self) -> Reading:
        """How its Consents are read."""
        return Reading({}, UTC, X)

    @property
    def state(self) -> DossierState:
        """What plans see of it."""
        newest = list(reversed(self.acts.values()))
        facts = patient_facts(self.person.resource, [act.resource for act in newest], {}, NOW, X)
        return dossier_state(self.person, newest, facts, self.reading)

    @property
    def scribe(self) -> Scribe:
        """Who writes."""
        return Scribe(X, "Opérateur", "2.25.1", None, NOW, "2026-06-12", self._new_id)

    def _new_id(self, of: str | None) -> str:
        self.made += 1
        return f"c-{self.made}"

    def store(self, planned: Planned) -> None:
        """Write what was planned, versions checked as a store does."""
        for draft in planned.drafts:
            held = Held(draft.type, draft.id, draft.current + 1, {**draft.resource, "id": draft.id})
            before = self.person if draft.type == "Patient" else self.acts.get(draft.id)
            assert draft.current == (before.version if before else 0)
            if draft.type == "Patient":
                self.person = held
            else:
                assert check_consent(held.resource, self.reading) == ()
                self.acts.pop(draft.id, None)
                self.acts[draft.id] = held


def arguments(declared: Any, **values: Any) -> Arguments:
    """Return the Parameters of a call."""
    keys = {"boolean": "valueBoolean", "string": "valueString", "code": "valueCode", "date": "valueDate"}
    parts = [{"name": n, keys.get(declared[n], f"value{declared[n]}"): v} for n, v in values.items()]
    return read_arguments("x", {"resourceType": "Parameters", "parameter": parts}, declared)


def motive(code: str) -> Json:
    return {"coding": [{"system": CLOSING_MOTIVES, "code": code}]}


def named(who: Who) -> Json:
    return {"system": who[0], "value": who[1]}


def close(life: Life, code: str) -> Planned:
    return plan_closing(arguments(CLOSE, motif=motive(code)), life.state, life.scribe)


def reopen(life: Life) -> Planned:
    return plan_reopening(arguments(REOPEN, consentement=True), life.state, life.scribe)


def authorise(life: Life, who: Who, doctor: bool = False, end: str | None = None) -> Planned:
    given_ = {"medecinTraitant": doctor, **({"fin": end} if end else {})}
    person = Candidate(who, ("urn:oid:1.2.250.1.71.1.2.7", "10"), is_doctor=True)
    return plan_authorisation(arguments(AUTHORISE, **given_), life.state, life.scribe, person)


def revoke(life: Life, who: Who) -> Planned:
    return plan_revocation(life.state, who, X)


def doctor(life: Life, who: Who, action: str) -> Planned:
    return plan_doctor(action, life.state, life.scribe, Candidate(who, is_doctor=True), by_professional=False)


def block(life: Life, who: Who) -> Planned:
    return plan_block(arguments(BLOCK, professionnel=named(who)), life.state, life.scribe, None)


def unblock(life: Life, who: Who) -> Planned:
    return plan_unblock(arguments(BLOCK, professionnel=named(who)), life.state, X)


def oppose(life: Life, nature: str, wanted: bool) -> Planned:
    return plan_opposition(arguments(OPPOSE, nature=nature, valeur=wanted), life.state, life.scribe)


Step = tuple[Callable[..., Planned], tuple[Any, ...]]
WHO = st.sampled_from(PEOPLE)
STEPS: st.SearchStrategy[Step] = st.one_of(
    st.tuples(st.just(close), st.tuples(st.sampled_from(["patient-demande", "inactivite"]))),
    st.tuples(st.just(reopen), st.just(())),
    st.tuples(st.just(authorise), st.tuples(WHO, st.booleans(), st.sampled_from([None, "2026-12-31"]))),
    st.tuples(st.just(revoke), st.tuples(WHO)),
    st.tuples(st.just(doctor), st.tuples(WHO, st.sampled_from(["ajouter", "retirer"]))),
    st.tuples(st.just(block), st.tuples(WHO)),
    st.tuples(st.just(unblock), st.tuples(WHO)),
    st.tuples(
        st.just(oppose),
        st.tuples(st.sampled_from(["alimentation", "bris-de-glace", "centre-regulation"]), st.booleans()),
    ),
)


def agree(life: Life) -> None:
    """Check that Patient and Consents tell one story."""
    state = life.state
    acts = [act.resource for act in life.acts.values()]
    assert patient_facts(life.person.resource, acts, {}, NOW, X).dossier is state.status
    stored = life.person.resource
    closed = any(extension["url"] == CLOSING for extension in stored.get("extension", []))
    assert (state.status is Status.CLOSED) == closed == (stored["active"] is False)
    roles = {value for right in state.active("mt") for actor in right.actors for _, value in actor}
    listed = [each["identifier"]["value"] for each in stored.get("generalPractitioner", [])]
    assert sorted(listed) == sorted(roles) == sorted(state.doctors)
    for who in PEOPLE:
        mine = [right for right in state.active("ps-authorisation") if right.names(who)]
        assert len(mine) <= 1
        if who[1] in roles:
            assert mine
        if state.is_blocked(who):
            assert not mine
            assert who[1] not in roles
        assert len([right for right in state.active("block") if right.names(who)]) <= 1
    if closed:
        assert state.active(*GRANTS, permit=True) == ()
    assert len(state.active("emergency")) <= 1
    assert len(state.active("dmp-opening")) == 1


@given(st.lists(STEPS, max_size=25))
@settings(max_examples=120, deadline=None)
def test_any_sequence_of_operations_leaves_patient_and_consents_in_agreement(steps: list[Step]) -> None:
    life = Life.opened()
    for operation, values in steps:
        try:
            planned = operation(life, *values)
        except DmpError:
            continue
        life.store(planned)
        agree(life)


@given(st.lists(STEPS, max_size=25))
@settings(max_examples=120, deadline=None)
def test_a_block_vanishes_by_nothing_but_its_lifting(steps: list[Step]) -> None:
    life = Life.opened()
    life.store(block(life, PEOPLE[0]))
    for operation, values in steps:
        if operation is unblock and values == (PEOPLE[0],):
            continue
        try:
            life.store(operation(life, *values))
        except DmpError:
            continue
        assert life.state.is_blocked(PEOPLE[0])


@given(STEPS, st.lists(STEPS, max_size=10))
@settings(max_examples=120, deadline=None)
def test_an_operation_said_again_changes_nothing(step: Step, before: list[Step]) -> None:
    life = Life.opened()
    for operation, values in before:
        try:
            life.store(operation(life, *values))
        except DmpError:
            continue
    operation, values = step
    try:
        life.store(operation(life, *values))
        again = operation(life, *values)
    except DmpError:
        return
    assert again.drafts == ()


def test_reopening_revives_no_right_and_lifts_no_opposition() -> None:
    life = Life.opened()
    life.store(authorise(life, PEOPLE[0], doctor=True))
    life.store(close(life, "deces"))
    with pytest.raises(DmpError) as refused:
        reopen(life)
    assert refused.value.status == 422
    assert closing_motive(life.person.resource) == "deces"
    life = Life.opened()
    life.store(authorise(life, PEOPLE[0], doctor=True))
    life.store(oppose(life, "bris-de-glace", True))
    life.store(block(life, PEOPLE[1]))
    life.store(close(life, "patient-demande"))
    life.store(reopen(life))
    assert {right.kind for right in life.state.rights if right.active} == {"dmp-opening", "emergency", "block"}


def test_an_authorisation_recorded_by_a_doctor_tells_later_that_this_is_one() -> None:
    life = Life.opened()
    life.store(authorise(life, PEOPLE[0]))
    acts = [act.resource for act in life.acts.values()]
    assert is_known_doctor(PEOPLE[0][1], acts, life.reading)
    assert not is_known_doctor(PEOPLE[1][1], acts, life.reading)


@pytest.mark.parametrize(("code", "known"), [("10", True), ("60", False)])
def test_the_directory_tells_a_doctor_by_qualification_or_role(code: str, known: bool) -> None:
    number = PEOPLE[0][1]
    person: Json = {"resourceType": "Practitioner", "id": "a", "identifier": [named(PEOPLE[0])]}
    concept = {"coding": [{"system": "urn:oid:1.2.250.1.71.1.2.7", "code": code}]}
    role = {"resourceType": "PractitionerRole", "id": "r", "practitioner": {"reference": "Practitioner/a"}}
    qualified = {"Practitioner/a": {**person, "qualification": [{"code": concept}]}}
    by_role = {"Practitioner/a": person, "PractitionerRole/r": {**role, "code": [concept]}}
    for directory in (qualified, by_role):
        assert is_known_doctor(number, [], Reading(directory, UTC, X)) is known
    assert not is_known_doctor(PEOPLE[1][1], [], Reading(qualified, UTC, X))
