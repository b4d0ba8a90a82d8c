"""The registry: official parameters, ours, contained chains, extension by packages."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from fhir_dmp.definitions import each_json, load_json
from fhir_dmp.fhir.path import compile_path
from fhir_dmp.search.extract import terms_of
from fhir_dmp.search.parameters import ParameterType
from fhir_dmp.search.reading import reader_of
from tests.search.shelf import BASE, PARIS, REGISTRY

PDSM = "https://interop.esante.gouv.fr/ig/fhir/pdsm/SearchParameter"
MHD = "https://profiles.ihe.net/ITI/MHD/SearchParameter"
OURS = "https://dmp-fhir.example/ig/SearchParameter"
SPECIFIED: Mapping[str, str] = {
    "DocumentReference": "identifier patient subject patient.identifier status type category date creation period "
    "period-start period-end facility setting format contenttype language security-label event related relatesto "
    "relatesTo relation relationship author author.given author.family author.identifier authenticator custodian "
    "encounter description location isArchived",
    "List": "code date identifier patient subject patient.identifier status title item notes source source.given "
    "source.family designationType sourceId authorOrg isArchived",
    "Patient": "identifier active family given name birthdate gender address birthplace general-practitioner deceased",
    "Practitioner": "identifier name family given active qualification-code",
    "PractitionerRole": "identifier practitioner organization role specialty active name",
    "Organization": "identifier name type partof active address-city address-postalcode",
    "Consent": "patient patient.identifier category status date period actor actor.identifier action purpose scope",
    "AuditEvent": "date patient patient.identifier agent type subtype action outcome entity period-start",
    "CareTeam": "identifier patient subject status category participant date start end participant-start "
    "participant-end managingOrganization",
    "Observation": "patient category code date value-quantity status device",
    "Appointment": "patient practitioner actor date status identifier",
    "Slot": "schedule start status service-type",
    "Schedule": "actor date specialty",
    "Encounter": "patient identifier date status class type",
    "Device": "identifier patient type",
}


@pytest.mark.parametrize("type_", SPECIFIED)
def test_a_type_offers_what_the_specification_names(type_: str) -> None:
    for code in [*SPECIFIED[type_].split(), "_id", "_lastUpdated", "_tag", "_security", "_profile", "_source"]:
        assert REGISTRY.get(type_, code) is not None, code


@pytest.mark.statement("dmp-fhir 9.1/3")
@pytest.mark.parametrize(
    ("type_", "code", "url"),
    [
        ("DocumentReference", "creation", f"{MHD}/DocumentReference-Creation"),
        ("DocumentReference", "period-start", f"{PDSM}/PDSm-DocumentReference-period-start"),
        ("DocumentReference", "period-end", f"{PDSM}/PDSm-DocumentReference-period-end"),
        ("DocumentReference", "isArchived", f"{PDSM}/PDSm-isArchived"),
        ("List", "isArchived", f"{PDSM}/PDSm-isArchived"),
        ("List", "designationType", f"{MHD}/List-DesignationType"),
        ("List", "sourceId", f"{MHD}/List-SourceId"),
        ("List", "authorOrg", f"{PDSM}/PDSm-List-authorOrg"),
        ("DocumentReference", "identifier", "http://hl7.org/fhir/SearchParameter/clinical-identifier"),
        ("DocumentReference", "patient", "http://hl7.org/fhir/SearchParameter/clinical-patient"),
        ("DocumentReference", "author.given", f"{OURS}/DocumentReference-author-given"),
    ],
)
def test_a_parameter_is_known_by_its_published_definition(type_: str, code: str, url: str) -> None:
    parameter = REGISTRY.get(type_, code)
    assert parameter is not None
    assert parameter.url == url


def test_every_expression_of_every_type_compiles() -> None:
    for type_ in REGISTRY.types:
        for parameter in REGISTRY.of(type_):
            if parameter.expression:
                compile_path(parameter.expression)
                reader_of(parameter.expression)
            else:
                assert parameter.type is ParameterType.SPECIAL, (type_, parameter.code)
            for component in parameter.components:
                compile_path(component.expression)


def test_the_table_covers_all_resource_types_and_no_others() -> None:
    assert len(REGISTRY.types) == 146
    assert {"Binary", "Parameters", "DocumentReference"} <= set(REGISTRY.types)
    assert not {"Resource", "DomainResource"} & set(REGISTRY.types)
    assert set(REGISTRY.compartments) == {"Patient", "Encounter", "Practitioner", "RelatedPerson", "Device"}
    assert REGISTRY.compartments["Patient"]["DocumentReference"] == ("subject", "author")


def test_our_definitions_are_search_parameters_named_by_their_id() -> None:
    found = dict(each_json("profiles/search-parameters"))
    assert len(found) > 25
    urls = [resource["url"] for resource in found.values()]
    assert len(set(urls)) == len(urls)
    for name, resource in found.items():
        assert resource["resourceType"] == "SearchParameter"
        assert Path(name).stem == resource["id"] == resource["url"].rpartition("/")[2]
        assert {"name", "status", "description", "code", "base", "type", "expression"} <= set(resource)


def test_the_table_says_where_it_comes_from() -> None:
    table = load_json("profiles/r4/search-parameters.json")
    assert table["source"]["fhirVersion"] == "4.0.1"
    assert all(row["url"].startswith("http://hl7.org/fhir/SearchParameter/") for row in table["parameters"])


def test_a_code_knows_the_system_that_its_binding_implies() -> None:
    status = REGISTRY.get("DocumentReference", "status")
    language = REGISTRY.get("DocumentReference", "language")
    assert status is not None
    assert language is not None
    assert status.system == "http://hl7.org/fhir/document-reference-status"
    assert language.system is None


def test_a_registry_can_be_extended_with_the_parameters_of_a_package() -> None:
    colour = {
        "resourceType": "SearchParameter",
        "url": "http://x.example/SearchParameter/colour",
        "code": "colour",
        "base": ["Device", "Unheard"],
        "type": "token",
        "expression": "Device.extension.where(url = 'http://x.example/colour').value.ofType(Coding)",
    }
    pair = {
        "resourceType": "SearchParameter",
        "url": "http://x.example/SearchParameter/pair",
        "code": "pair",
        "base": ["Device"],
        "type": "composite",
        "expression": "Device",
        "component": [
            {"definition": "http://x.example/SearchParameter/colour", "expression": "extension.value.ofType(Coding)"},
            {"definition": "http://hl7.org/fhir/SearchParameter/Device-status", "expression": "status"},
        ],
    }
    extended = REGISTRY.extended([pair, colour])
    assert REGISTRY.get("Device", "colour") is None
    device = {
        "resourceType": "Device",
        "status": "active",
        "extension": [{"url": "http://x.example/colour", "valueCoding": {"code": "red"}}],
    }
    found = terms_of(device, extended, base=BASE, zone=PARIS)
    assert {"colour=c:red", "pair=k:c:red$c:active"} <= set(found.tokens)
    assert "colour=c:red" not in terms_of(device, REGISTRY, base=BASE, zone=PARIS).tokens


def test_an_unknown_type_has_no_parameters_and_no_terms() -> None:
    assert REGISTRY.of("Nonsense") == ()
    assert REGISTRY.get("Nonsense", "_id") is None
    assert terms_of({"resourceType": "Nonsense"}, REGISTRY, base=BASE, zone=PARIS).tokens == ()
