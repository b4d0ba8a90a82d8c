"""Chains, contained chains, _has, _list. fhir-rest 6.13 and dmp-fhir 5"""

from __future__ import annotations

from typing import Any

import pytest

from fhir_dmp.errors import BadRequest, Unprocessable
from fhir_dmp.search.joins import resolve_joins
from fhir_dmp.search.query import And, AnyTerm, Chain, Node, Not, Nothing, Or, Term
from tests.search.shelf import REGISTRY, Shelf, asked, rules

PSIDNAT = "urn:oid:1.2.250.1.71.4.2.1"
STRUCTURE = "urn:oid:1.2.250.1.71.4.2.2"
INS = "urn:oid:1.2.250.1.213.1.4.8"
ANOUK = "285047511200314"


def contained(*parts: dict[str, Any]) -> dict[str, Any]:
    """Return the author and the contained resources of a document."""
    return {"author": [{"reference": f"#{parts[0]['id']}"}], "contained": list(parts)}


ROLE = {
    "resourceType": "PractitionerRole",
    "id": "role",
    "practitioner": {"reference": "#pro"},
    "organization": {"reference": "#org"},
}
PRO = {
    "resourceType": "Practitioner",
    "id": "pro",
    "identifier": [{"system": PSIDNAT, "value": "899700218896"}],
    "name": [{"family": "Le Goff", "given": ["Maëlle"]}],
}
ORG = {
    "resourceType": "Organization",
    "id": "org",
    "name": "Clinique des Lilas",
    "identifier": [{"system": STRUCTURE, "value": "1750100125"}],
}

SHELF = Shelf(
    {
        "resourceType": "Patient",
        "id": "anouk",
        "name": [{"family": "Dupont", "given": ["Anouk"]}],
        "gender": "female",
        "birthDate": "1985-04-12",
        "identifier": [{"system": INS, "value": ANOUK}],
        "generalPractitioner": [{"reference": "Practitioner/stored"}],
        "managingOrganization": {"reference": "Organization/site"},
    },
    {"resourceType": "Patient", "id": "basile", "name": [{"family": "Martin", "given": ["Basile"]}], "gender": "male"},
    {
        "resourceType": "Practitioner",
        "id": "stored",
        "name": [{"family": "Kerouac", "given": ["Maëlle"]}],
        "identifier": [{"system": "https://rpps.esante.gouv.fr", "value": "99700218904"}],
    },
    {"resourceType": "Organization", "id": "site", "name": "Site Nord", "partOf": {"reference": "Organization/group"}},
    {"resourceType": "Organization", "id": "group", "name": "Groupe", "partOf": {"reference": "Organization/top"}},
    {"resourceType": "Organization", "id": "top", "name": "Holding"},
    {
        "resourceType": "DocumentReference",
        "id": "role-doc",
        "status": "current",
        "subject": {"reference": "Patient/anouk"},
        **contained(ROLE, PRO, ORG),
    },
    {
        "resourceType": "DocumentReference",
        "id": "pro-doc",
        "subject": {"reference": "Patient/anouk"},
        **contained(PRO),
    },
    {
        "resourceType": "DocumentReference",
        "id": "stored-doc",
        "subject": {"reference": "Patient/basile"},
        "author": [{"reference": "Practitioner/stored"}],
    },
    {
        "resourceType": "DocumentReference",
        "id": "logical-doc",
        "subject": {"identifier": {"system": INS, "value": ANOUK}},
        "author": [{"identifier": {"system": PSIDNAT, "value": "899700218896"}}],
    },
    {
        "resourceType": "List",
        "id": "set",
        "subject": {"reference": "Patient/anouk"},
        "source": {"reference": "#role"},
        "contained": [ROLE, PRO, ORG],
        "entry": [{"item": {"reference": "DocumentReference/role-doc"}}],
    },
    {
        "resourceType": "List",
        "id": "own",
        "subject": {"reference": "Patient/anouk"},
        "source": {"reference": "#me"},
        "contained": [{"resourceType": "Patient", "id": "me", "name": [{"family": "Dupont", "given": ["Anouk"]}]}],
    },
)


@pytest.mark.statement("fhir-rest D114")
@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("subject:Patient.family=dup", ["role-doc", "pro-doc"]),
        ("patient.family=dup", ["role-doc", "pro-doc"]),
        ("subject.family=dup", ["role-doc", "pro-doc"]),
        ("patient.family:exact=dupont", []),
        ("patient.family:exact=Dupont", ["role-doc", "pro-doc"]),
        ("patient.gender:not=female", ["stored-doc"]),
        ("patient.birthdate=lt1990", ["role-doc", "pro-doc"]),
        ("patient._id=basile", ["stored-doc"]),
        ("patient.deceased=false", ["role-doc", "pro-doc", "stored-doc"]),
    ],
)
def test_a_chain_asks_the_resource_that_is_referred_to(query: str, found: list[str]) -> None:
    assert SHELF.find("DocumentReference", query) == found


@pytest.mark.statement("fhir-rest D115")
def test_a_chain_may_follow_three_references_and_no_more() -> None:
    two = SHELF.find("DocumentReference", "patient.general-practitioner:Practitioner.family=kerouac")
    assert two == ["role-doc", "pro-doc"]
    three = SHELF.find("DocumentReference", "patient.organization.partof.name=groupe")
    assert three == ["role-doc", "pro-doc"]
    with pytest.raises(Unprocessable) as refused:
        SHELF.find("DocumentReference", "patient.organization.partof.partof.name=holding")
    assert refused.value.issues[0].code == "too-costly"


@pytest.mark.statement("fhir-rest D116")
def test_two_chains_through_one_reference_need_not_find_the_same_target() -> None:
    shelf = Shelf(
        {"resourceType": "Practitioner", "id": "a", "name": [{"family": "Aa", "given": ["Xx"]}]},
        {"resourceType": "Practitioner", "id": "b", "name": [{"family": "Bb", "given": ["Yy"]}]},
        {
            "resourceType": "DocumentReference",
            "id": "d",
            "author": [{"reference": "Practitioner/a"}, {"reference": "Practitioner/b"}],
        },
    )
    query = "author:Practitioner.family=aa&author:Practitioner.given=yy"
    assert shelf.find("DocumentReference", query) == ["d"]


@pytest.mark.statement("fhir-rest D117")
@pytest.mark.parametrize(
    "query",
    [
        "patient.nothing=x",
        "subject:Binary.name=x",
        "author:Group.code=x",
        "status.code=x",
        "patient:missing.name=x",
        "patient.status.code=x",
    ],
)
def test_a_chain_that_leads_nowhere_is_refused(query: str) -> None:
    with pytest.raises(BadRequest):
        asked("DocumentReference", query)


def test_a_bad_value_at_the_end_of_a_chain_is_refused() -> None:
    with pytest.raises(BadRequest) as refused:
        asked("DocumentReference", "patient.birthdate=soon")
    assert refused.value.issues[0].code == "value"


@pytest.mark.statement("dmp-fhir 9.7/120")
@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("author.given=maelle", ["role-doc", "pro-doc", "stored-doc"]),
        ("author.family=le goff", ["role-doc", "pro-doc"]),
        ("author.family=goff", ["role-doc", "pro-doc"]),
        ("author.family:exact=Le Goff", ["role-doc", "pro-doc"]),
        ("author.name=lilas", []),
        (f"author.identifier={PSIDNAT}|899700218896", ["role-doc", "pro-doc", "logical-doc"]),
        ("author.identifier=https://rpps.esante.gouv.fr|99700218896", ["role-doc", "pro-doc", "logical-doc"]),
        (f"author.identifier={PSIDNAT}|899700218904", ["stored-doc"]),
        (f"author.organization.identifier={STRUCTURE}|1750100125", ["role-doc"]),
        ("author.organization.identifier=https://finess.esante.gouv.fr|750100125", ["role-doc"]),
        ("author:Practitioner.family=goff", ["pro-doc"]),
        ("author:PractitionerRole.practitioner.family=goff", ["role-doc"]),
        ("author:Practitioner.family=kerouac", ["stored-doc"]),
    ],
)
def test_authors_are_found_whether_contained_stored_or_logical(query: str, found: list[str]) -> None:
    assert SHELF.find("DocumentReference", query) == found


@pytest.mark.statement("dmp-fhir 9.7/103")
@pytest.mark.parametrize(
    "query",
    [f"patient.identifier={INS}|{ANOUK}", f"subject.identifier={INS}|{ANOUK}", f"patient.identifier={ANOUK}"],
)
def test_a_patient_identifier_finds_stored_patients_and_logical_references(query: str) -> None:
    assert SHELF.find("DocumentReference", query) == ["role-doc", "pro-doc", "logical-doc"]
    assert SHELF.find("DocumentReference", query + "&status=current") == ["role-doc"]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("source.family=goff", ["set"]),
        ("source.given=anouk", ["own"]),
        ("source:Patient.given=anouk", ["own"]),
        ("source:PractitionerRole.name=maelle", ["set"]),
        ("source:Patient.given=maelle", []),
        ("source.given:contains=nou", ["own"]),
        (f"source.identifier={PSIDNAT}|899700218896", ["set"]),
        (f"source.organization.identifier={STRUCTURE}|1750100125", ["set"]),
    ],
)
def test_the_source_of_a_list_is_found_inside_it(query: str, found: list[str]) -> None:
    assert SHELF.find("List", query) == found


@pytest.mark.statement("fhir-rest D119")
@pytest.mark.parametrize(
    ("type_", "query", "found"),
    [
        ("Patient", "_has:DocumentReference:patient:status=current", ["anouk"]),
        ("Patient", "_has:DocumentReference:subject:_id=stored-doc,role-doc", ["anouk", "basile"]),
        ("DocumentReference", "_has:List:item:source.family=goff", ["role-doc"]),
        ("Patient", "_has:DocumentReference:patient:author:Practitioner.family=kerouac", ["basile"]),
        ("Patient", "_has:DocumentReference:patient:_has:List:item:subject=anouk", ["anouk"]),
        ("Practitioner", "_has:Patient:general-practitioner:gender=female", ["stored"]),
        ("Practitioner", "_has:Patient:general-practitioner:gender=male", []),
        ("Organization", "_has:Patient:organization:_has:DocumentReference:patient:status=current", ["site"]),
    ],
)
def test_has_finds_resources_that_others_refer_to(type_: str, query: str, found: list[str]) -> None:
    assert SHELF.find(type_, query) == found


@pytest.mark.parametrize(
    "query",
    [
        "_has:Nothing:patient:status=x",
        "_has:DocumentReference:status:status=x",
        "_has:DocumentReference:relatesto:status=x",
        "_has:DocumentReference:patient:nothing=x",
        "_has:DocumentReference:patient=x",
    ],
)
def test_a_has_that_cannot_be_is_refused(query: str) -> None:
    with pytest.raises(BadRequest):
        asked("Patient", query)


def test_has_and_chains_count_together() -> None:
    path = "_has:DocumentReference:patient:_has:List:item:source:PractitionerRole.organization.name=x"
    with pytest.raises(Unprocessable):
        asked("Patient", path)


@pytest.mark.statement("fhir-rest D120")
def test_list_finds_the_members_of_a_list() -> None:
    assert SHELF.find("DocumentReference", "_list=set") == ["role-doc"]
    assert SHELF.find("DocumentReference", "_list=unknown") == []
    with pytest.raises(BadRequest):
        SHELF.find("DocumentReference", "_list=$current-problems")


@pytest.mark.statement("fhir-rest D121")
def test_a_compartment_search_equals_the_filter_and_covers_every_type() -> None:
    anouk = rules(compartment=("Patient", "anouk")).compartment
    assert SHELF.find("DocumentReference", "", compartment=anouk) == ["role-doc", "pro-doc"]
    assert SHELF.find("List", "status:missing=true", compartment=anouk) == ["set", "own"]
    everything = SHELF.find_any(REGISTRY.types, "", compartment=anouk)
    assert everything == [
        "DocumentReference/role-doc",
        "DocumentReference/pro-doc",
        "List/set",
        "List/own",
        "Patient/anouk",
    ]
    assert SHELF.find("DocumentReference", "", compartment=("Practitioner", "stored")) == ["stored-doc"]


def test_a_chain_that_leads_nowhere_leaves_no_alternative_behind() -> None:
    """Else a store would have to look at every row to find that none of them is an alternative."""
    chain = Chain("author", (("Practitioner", Term("identifier=c:1")), ("Device", Term("identifier=c:1"))))
    here = Term("author.identifier=c:1")

    def resolved(node: Node, *found: str) -> Node:
        return resolve_joins(
            node, lambda type_, _: list(found) if type_ == "Practitioner" else [], lambda *_: list(found)
        )

    assert resolved(Or((chain, here))) == here
    assert resolved(Or((chain, chain))) == Nothing()
    assert resolved(And((chain, here))) == Nothing()
    assert resolved(Or((chain, here)), "p1") == AnyTerm(("author=r:Practitioner/p1", "author.identifier=c:1"))
    assert resolved(And((Not(chain), here)), "p1") == And((Not(AnyTerm(("author=r:Practitioner/p1",))), here))
