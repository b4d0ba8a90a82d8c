"""Who wrote a document, under every way of saying it."""

from __future__ import annotations

import pytest

from fhir_dmp.documents.authors import authors, check_author, identities_of, is_author, sources
from fhir_dmp.errors import Forbidden
from fhir_dmp.fhir.resource import Json
from fhir_dmp.identity.caller import Actor, Caller
from tests.documents import build
from tests.documents.record import ADMIN, DOCTOR, rules

PROFESSIONAL, STRUCTURE = "urn:oid:1.2.250.1.71.4.2.1", "urn:oid:1.2.250.1.71.4.2.2"


def by(*contained: Json, reference: Json | None = None) -> Json:
    return {"contained": list(contained), "author": [reference or {"reference": "#a"}]}


def with_id(type_: str, system: str, value: str, **more: object) -> Json:
    return {"resourceType": type_, "id": "a", "identifier": [{"system": system, "value": value}], **more}


@pytest.mark.statement("dmp-fhir 9.2/29", "dmp-fhir 9.2/30")
@pytest.mark.parametrize(
    ("document", "expected"),
    [
        (by(with_id("Practitioner", "https://rpps.esante.gouv.fr", "99700218896")), {(PROFESSIONAL, "899700218896")}),
        (by(with_id("Practitioner", PROFESSIONAL, "899700218896")), {(PROFESSIONAL, "899700218896")}),
        (
            by(with_id("Practitioner", PROFESSIONAL, "3750100125/1453")),
            {(PROFESSIONAL, "3750100125/1453"), (STRUCTURE, "1750100125")},
        ),
        (
            by(with_id("Device", PROFESSIONAL, "5123/9", owner={"identifier": {"system": STRUCTURE, "value": "17"}})),
            {(PROFESSIONAL, "5123/9"), (STRUCTURE, "3123"), (STRUCTURE, "17")},
        ),
        (by(with_id("Patient", build.INS_SYSTEM, build.INS)), {(build.INS_SYSTEM, build.INS)}),
        (by(with_id("Organization", "http://finess.sante.gouv.fr", "750100125")), {(STRUCTURE, "1750100125")}),
        (by(reference={"identifier": {"system": PROFESSIONAL, "value": "8"}}), {(PROFESSIONAL, "8")}),
        (by(reference={"reference": "#nobody"}), set()),
        (by({"id": "a", "practitioner": {"reference": "#a"}}), set()),
        ({"authenticator": {"identifier": {"system": STRUCTURE, "value": "1"}}}, {(STRUCTURE, "1")}),
        ({"author": "x"}, set()),
    ],
)
def test_authors_are_canonical_identifiers(document: Json, expected: set[tuple[str, str]]) -> None:
    assert authors(document) == expected


def test_a_role_names_its_person_and_its_structure() -> None:
    assert authors(build.docref()) == {(PROFESSIONAL, "899700218896"), (STRUCTURE, "1750100125")}


def test_an_author_of_the_server_is_resolved() -> None:
    known: dict[str, Json] = {
        "PractitionerRole/r": {"practitioner": {"reference": "Practitioner/p"}},
        "Practitioner/p": {"identifier": [{"system": PROFESSIONAL, "value": "8"}]},
    }
    assert authors(by(reference={"reference": "PractitionerRole/r"}), known) == {(PROFESSIONAL, "8")}


def test_the_organisation_of_a_submission_set_is_an_extension_of_its_source() -> None:
    url = f"{build.MHD}/StructureDefinition/ihe-authorOrg"
    organisation = {"valueReference": {"identifier": {"system": STRUCTURE, "value": "1"}}, "url": url}
    assert sources({"source": {"extension": [organisation]}}) == {(STRUCTURE, "1")}


def test_who_signs_as_what() -> None:
    assert identities_of(DOCTOR) == {(PROFESSIONAL, "899700218896"), (STRUCTURE, "1750100125")}
    hub = Caller(Actor.FEEDER, "hub", professional="899700218896", structure="1750100125")
    assert identities_of(hub) == {(STRUCTURE, "1750100125")}
    assert identities_of(Caller(Actor.PATIENT, "anouk"), [(build.INS_SYSTEM, build.INS)]) == {
        (build.INS_SYSTEM, build.INS)
    }
    assert identities_of(Caller(Actor.AUDITOR, "audit")) == frozenset()


def test_an_auditor_is_nobodys_author() -> None:
    assert not is_author(Caller(Actor.AUDITOR, "audit"), build.docref())


def test_the_author_check_refuses_warns_or_exempts() -> None:
    stranger = Caller(Actor.PROFESSIONAL, "x", professional="810000000004")
    with pytest.raises(Forbidden) as refusal:
        check_author(stranger, build.docref(), rules(), "D")
    assert refusal.value.issues[0].details[0].system.endswith("/CodeSystem/dmp-denial")
    issue = check_author(stranger, build.docref(), rules(author_check="warn"), "D")
    assert issue is not None
    assert issue.severity == "warning"
    assert check_author(ADMIN, build.docref(), rules(), "D") is None
    assert check_author(DOCTOR, build.docref(), rules(), "D") is None
