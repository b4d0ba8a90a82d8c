"""The settings of what the law and the national texts leave open, each through HTTP. [security 10]"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from fhir_dmp.identity.caller import Actor, Caller, Mode
from fhir_dmp.interactions import habilitation
from tests import samples
from tests.flows.steps import Dossier, assert_refused, next_ins
from tests.world import Client, World

Make = Callable[..., World]
TRAINING = "urn:oid:1.2.250.1.71.1.2.8"


def student(world: World) -> Client:
    """A doctor in training who may consult."""
    roles = ((TRAINING, "10"),)
    return world.as_(
        Caller(Actor.PROFESSIONAL, "student", professional=samples.OTHER_DOCTOR, structure=samples.CLINIC, roles=roles)
    )


def opened(world: World) -> Dossier:
    return Dossier.open(world, next_ins())


@pytest.mark.parametrize(("value", "status"), [("true", 200), ("false", 404)])
def test_whether_an_author_sees_the_own_masked_document(make: Make, value: str, status: int) -> None:
    world = make(DMP_ACCESS_AUTHOR_SEES_MASKED=value)
    dossier = opened(world)
    id_ = dossier.submit()
    dossier.authorise()
    dossier.label(id_, "MASQUE_PS")
    assert world.doctor().get(f"/DocumentReference/{id_}").status == status
    assert dossier.found(world.doctor()) == ([id_] if status == 200 else [])


@pytest.mark.parametrize(("value", "blocked"), [("false", True), ("true", False)])
def test_whether_break_glass_is_open_to_a_blocked_professional(make: Make, value: str, blocked: bool) -> None:
    world = make(DMP_ACCESS_BTG_OVERRIDES_BLOCK=value)
    dossier = opened(world)
    id_ = dossier.submit()
    world.consent(dossier.ins, "block", deny=True, actor=[samples.consent_actor(samples.OTHER_DOCTOR)])
    urgent = world.doctor(samples.OTHER_DOCTOR, samples.CLINIC, mode=Mode.BREAK_GLASS, reason="Patient inconscient")
    if blocked:
        assert_refused(dossier.search(urgent), 403, "blocked")
    else:
        assert dossier.found(urgent) == [id_]
    assert_refused(dossier.search(world.doctor(samples.OTHER_DOCTOR, samples.CLINIC)), 403, "blocked")


@pytest.mark.parametrize(("value", "status"), [("false", 404), ("true", 200)])
def test_whether_masked_documents_are_shown_in_an_emergency(make: Make, value: str, status: int) -> None:
    world = make(DMP_ACCESS_MASK_VISIBLE_IN_BTG=value)
    dossier = opened(world)
    id_ = dossier.submit()
    dossier.label(id_, "MASQUE_PS")
    urgent = world.doctor(samples.OTHER_DOCTOR, samples.CLINIC, mode=Mode.BREAK_GLASS, reason="Patient inconscient")
    assert urgent.get(f"/DocumentReference/{id_}").status == status
    assert dossier.found(urgent) == ([id_] if status == 200 else [])


@pytest.mark.parametrize(("value", "seen"), [("true", True), ("false", False)])
def test_whether_a_profession_in_training_reads_like_the_profession(make: Make, value: str, seen: bool) -> None:
    world = make(DMP_ACCESS_TRAINING_LIKE_PROFESSION=value)
    dossier = opened(world)
    id_ = dossier.submit()
    dossier.authorise(samples.OTHER_DOCTOR)
    expected = [id_] if seen else []
    assert dossier.found(student(world)) == expected
    text = "row_kind,profession_system,profession_code,class_code,type_code,read\n"
    habilitation.activate((text + "class,urn:oid:1.2.250.1.71.1.2.7,10,10,,Y\n").encode(), world.services)
    assert dossier.found(student(world)) == expected  # an activated matrix is read by the same setting
