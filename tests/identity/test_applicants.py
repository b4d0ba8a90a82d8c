"""What an operator may ask a token for."""

from __future__ import annotations

import pytest

from fhir_dmp.errors import BadRequest, DmpError, Forbidden
from fhir_dmp.identity.applicants import Application, caller_of
from fhir_dmp.identity.caller import DOCTOR, Actor, Mode
from fhir_dmp.identity.scopes import dump, maximum


def test_a_professional_is_a_doctor_unless_said_otherwise() -> None:
    asked = Application("ps", "10001234567", structure="750000001")
    caller = caller_of(asked)
    assert (caller.professional, caller.structure, caller.roles) == ("810001234567", "1750000001", (DOCTOR,))
    assert caller.scopes == maximum(Actor.PROFESSIONAL)
    nurse = caller_of(Application("ps", "10001234567", profession="60"))
    assert nurse.roles == (("urn:oid:1.2.250.1.71.1.2.7", "60"),)


def test_a_structure_and_a_feeder_are_known_by_their_finess() -> None:
    assert caller_of(Application("org", "750000001")).structure == "1750000001"
    feeder = caller_of(Application("feeder", structure="750000001"))
    assert (feeder.structure, feeder.roles) == ("1750000001", (("urn:oid:1.2.250.1.213.1.1.4.6", "ALIM_AM"),))


def test_scopes_are_narrowed_to_the_kind() -> None:
    caller = caller_of(Application("patient", subject="p-1", patient="p-1", scope="patient/*.cruds user/*.rs openid"))
    assert dump(caller.scopes) == (
        "patient/*.rs patient/Binary.c patient/Consent.cu patient/DocumentReference.cu patient/Observation.c "
        "patient/Patient.u"
    )
    with pytest.raises(Forbidden, match="invalid_scope"):
        caller_of(Application("auditor", scope="user/Patient.rs"))


@pytest.mark.statement("security P-7")
def test_only_an_accredited_regulator_claims_centre_15() -> None:
    asked = Application("ps", "10001234567", structure="750000001", mode=Mode.REGULATION)
    with pytest.raises(Forbidden, match="not-regulator"):
        caller_of(asked)
    regulator = Application("ps", "10001234567", structure="750000001", mode=Mode.REGULATION, regulator=True)
    assert caller_of(regulator).regulator
    assert caller_of(regulator, ["750000001"]).mode is Mode.REGULATION
    assert caller_of(regulator, ["1750000001"]).mode is Mode.REGULATION
    with pytest.raises(Forbidden, match="regulation_centres"):
        caller_of(regulator, ["750000002"])


@pytest.mark.parametrize(
    ("asked", "error"),
    [
        (Application("king"), BadRequest),
        (Application("patient"), BadRequest),
        (Application("delegate", subject="x"), BadRequest),
        (Application("ps", "Claire"), BadRequest),
        (Application("ps"), BadRequest),
        (Application("org"), BadRequest),
        (Application("org", "12"), BadRequest),
        (Application("patient", patient="p", mode=Mode.BREAK_GLASS), Forbidden),
    ],
)
def test_what_is_missing_is_said(asked: Application, error: type[DmpError]) -> None:
    with pytest.raises(error):
        caller_of(asked)
