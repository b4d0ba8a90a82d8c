"""Token search: the four forms, case, modifiers, identifiers, contact points. fhir-rest 6.8"""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from fhir_dmp.errors import BadRequest, NotFound, Unprocessable
from fhir_dmp.terminology.aliases import TRE_A07_VISIBILITY, TRE_A08_CONFIDENTIALITY
from tests.search.shelf import Shelf, asked

LOINC = "http://loinc.org"
LETTER = {"system": LOINC, "code": "34133-9", "display": "Synthèse médicale"}
INS = "urn:oid:1.2.250.1.213.1.4.8"
V2_0203 = "http://terminology.hl7.org/CodeSystem/v2-0203"

DOCUMENTS = Shelf(
    {"resourceType": "DocumentReference", "id": "coded", "type": {"coding": [LETTER], "text": "Lettre de sortie"}},
    {"resourceType": "DocumentReference", "id": "bare", "type": {"coding": [{"code": "34133-9"}]}},
    {
        "resourceType": "DocumentReference",
        "id": "two",
        "type": {"coding": [{"system": LOINC, "code": "60591-5"}, {"system": "http://x.example", "code": "ABC"}]},
    },
    {"resourceType": "DocumentReference", "id": "none"},
)


@pytest.mark.statement("fhir-rest D90")
@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("34133-9", ["coded", "bare"]),
        (f"{LOINC}|34133-9", ["coded"]),
        ("|34133-9", ["bare"]),
        (f"{LOINC}|", ["coded", "two"]),
        ("http://x.example|abc", ["two"]),
        (f"{LOINC}|abc", []),
    ],
)
def test_a_token_has_four_forms(value: str, found: list[str]) -> None:
    assert DOCUMENTS.find("DocumentReference", f"type={value}") == found


@pytest.mark.statement("fhir-rest D91")
def test_not_finds_resources_without_the_element_too() -> None:
    assert DOCUMENTS.find("DocumentReference", "type:not=34133-9") == ["two", "none"]


@pytest.mark.statement("fhir-rest D92")
def test_not_with_two_alternatives_excludes_both() -> None:
    assert DOCUMENTS.find("DocumentReference", f"type:not=34133-9,{LOINC}|60591-5") == ["none"]


@pytest.mark.statement("fhir-rest D93")
@pytest.mark.parametrize(
    ("value", "found"), [("synth", ["coded"]), ("MEDICALE", ["coded"]), ("lettre sortie", ["coded"]), ("ettre", [])]
)
def test_text_finds_displays_and_the_text_of_a_concept(value: str, found: list[str]) -> None:
    assert DOCUMENTS.find("DocumentReference", f"type:text={value}") == found


def members(url: str) -> list[tuple[str | None, str]] | None:
    found: dict[str, list[tuple[str | None, str]]] = {
        "http://x.example/vs": [(LOINC, "34133-9"), (LOINC, "60591-5")],
        "http://x.example/empty": [],
    }
    return found.get(url)


@pytest.mark.statement("fhir-rest D94")
def test_in_and_not_in_look_codes_up_in_a_value_set() -> None:
    found = DOCUMENTS.find("DocumentReference", "type:in=http://x.example/vs", members=members)
    assert found == ["coded", "two"]
    found = DOCUMENTS.find("DocumentReference", "type:not-in=http://x.example/vs", members=members)
    assert found == ["bare", "none"]
    assert DOCUMENTS.find("DocumentReference", "type:in=http://x.example/empty", members=members) == []


def test_a_value_set_that_cannot_be_resolved_is_not_found() -> None:
    with pytest.raises(NotFound) as refused:
        DOCUMENTS.find("DocumentReference", "type:in=http://x.example/other", members=members)
    assert refused.value.issues[0].code == "not-found"


def test_a_value_set_with_too_many_codes_is_too_costly() -> None:
    with pytest.raises(Unprocessable) as refused:
        asked("DocumentReference", "type:in=x", members=lambda url: [(LOINC, str(n)) for n in range(1001)])
    assert refused.value.issues[0].code == "too-costly"


def hierarchy(system: str, code: str, direction: str) -> list[str] | None:
    if system != LOINC:
        return None
    return ["34133-9", "60591-5"] if (code, direction) == ("LP1", "below") else [code]


@pytest.mark.statement("fhir-rest D95")
def test_below_asks_for_a_code_and_its_descendants() -> None:
    found = DOCUMENTS.find("DocumentReference", f"type:below={LOINC}|LP1", hierarchy=hierarchy)
    assert found == ["coded", "two"]
    found = DOCUMENTS.find("DocumentReference", f"type:above={LOINC}|34133-9", hierarchy=hierarchy)
    assert found == ["coded"]


def test_a_hierarchy_that_is_not_known_is_refused() -> None:
    with pytest.raises(BadRequest) as refused:
        asked("DocumentReference", "type:below=http://x.example|abc", hierarchy=hierarchy)
    assert refused.value.issues[0].code == "not-supported"


PEOPLE = Shelf(
    {
        "resourceType": "Patient",
        "id": "anouk",
        "active": True,
        "gender": "female",
        "identifier": [
            {"type": {"coding": [{"system": V2_0203, "code": "PI"}]}, "system": "urn:oid:1.2.3", "value": "ab12"},
            {"system": INS, "value": "285047511200314"},
        ],
        "telecom": [
            {"system": "phone", "value": "06 12 34.56-78"},
            {"system": "email", "value": "Anouk@exemple.fr"},
        ],
    },
    {
        "resourceType": "Patient",
        "id": "basile",
        "active": False,
        "gender": "male",
        "identifier": [{"system": "urn:oid:1.2.3", "value": "AB12"}],
        "telecom": [{"system": "phone", "value": "anouk@exemple.fr"}],
    },
)


@pytest.mark.statement("fhir-rest D96")
def test_of_type_wants_type_and_value_of_one_identifier() -> None:
    assert PEOPLE.find("Patient", f"identifier:of-type={V2_0203}|PI|ab12") == ["anouk"]
    assert PEOPLE.find("Patient", f"identifier:of-type={V2_0203}|PI|285047511200314") == []
    with pytest.raises(BadRequest):
        PEOPLE.find("Patient", f"identifier:of-type={V2_0203}|PI")


@pytest.mark.statement("fhir-rest D97")
@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("active=true", ["anouk"]),
        ("active=false", ["basile"]),
        ("gender=female", ["anouk"]),
        ("gender=http://hl7.org/fhir/administrative-gender|female", ["anouk"]),
        ("gender=http://hl7.org/fhir/administrative-gender|", ["anouk", "basile"]),
        ("gender=http://x.example|female", []),
        ("_id=anouk", ["anouk"]),
        ("_id:not=anouk", ["basile"]),
    ],
)
def test_booleans_codes_with_an_implied_system_and_ids_are_tokens(query: str, found: list[str]) -> None:
    assert PEOPLE.find("Patient", query) == found


def test_a_boolean_is_true_or_false() -> None:
    with pytest.raises(BadRequest) as refused:
        PEOPLE.find("Patient", "active=maybe")
    assert refused.value.issues[0].code == "value"


@pytest.mark.statement("fhir-rest D98")
def test_identifiers_keep_their_case_and_codes_do_not() -> None:
    assert PEOPLE.find("Patient", "identifier=ab12") == ["anouk"]
    assert PEOPLE.find("Patient", "identifier=urn:oid:1.2.3|AB12") == ["basile"]
    assert PEOPLE.find("Patient", "gender=FEMALE") == ["anouk"]


@pytest.mark.statement("fhir-rest D99")
def test_a_phone_number_is_compared_without_blanks_and_email_looks_at_mail_addresses_only() -> None:
    assert PEOPLE.find("Patient", "phone=0612345678") == ["anouk"]
    assert PEOPLE.find("Patient", "phone=06-12-34-56-78") == ["anouk"]
    assert PEOPLE.find("Patient", "email=anouk@EXEMPLE.fr") == ["anouk"]
    assert PEOPLE.find("Patient", "telecom=email|anouk@exemple.fr") == ["anouk"]


@pytest.mark.statement("dmp-fhir 9.7/125")
@pytest.mark.parametrize(
    "system",
    [
        "http://terminology.hl7.org/CodeSystem/v3-Confidentiality",
        "urn:oid:2.16.840.1.113883.5.25",
        TRE_A08_CONFIDENTIALITY,
    ],
)
@pytest.mark.parametrize(
    "stored",
    [
        "http://terminology.hl7.org/CodeSystem/v3-Confidentiality",
        "urn:oid:2.16.840.1.113883.5.25",
        TRE_A08_CONFIDENTIALITY,
        TRE_A07_VISIBILITY,
    ],
)
def test_every_spelling_of_the_confidentiality_system_finds_the_same_label(system: str, stored: str) -> None:
    label = {"coding": [{"system": stored, "code": "N"}]}
    shelf = Shelf({"resourceType": "DocumentReference", "id": "d", "securityLabel": [label]})
    assert shelf.find("DocumentReference", f"security-label={system}|N") == ["d"]
    assert shelf.find("DocumentReference", f"security-label={system}|R") == []


@pytest.mark.parametrize(
    ("asked_for", "stored"),
    [
        (("https://rpps.esante.gouv.fr", "99700218896"), ("urn:oid:1.2.250.1.71.4.2.1", "899700218896")),
        (("urn:oid:1.2.250.1.71.4.2.1", "899700218896"), ("http://rpps.fr", "99700218896")),
        (("https://finess.esante.gouv.fr", "750100125"), ("urn:oid:1.2.250.1.71.4.2.2", "1750100125")),
    ],
)
def test_national_identifiers_are_found_in_every_spelling(asked_for: tuple[str, str], stored: tuple[str, str]) -> None:
    shelf = Shelf(
        {"resourceType": "Practitioner", "id": "p", "identifier": [{"system": stored[0], "value": stored[1]}]}
    )
    assert shelf.find("Practitioner", "identifier={}|{}".format(*asked_for)) == ["p"]
    assert shelf.find("Practitioner", f"identifier={stored[1]}") == ["p"]
    assert shelf.find("Practitioner", f"identifier={asked_for[0]}|") == (["p"] if "urn" in asked_for[0] else [])


def test_an_oid_without_prefix_is_the_same_document_identifier() -> None:
    shelf = Shelf(
        {
            "resourceType": "DocumentReference",
            "id": "d",
            "masterIdentifier": {"system": "urn:ietf:rfc:3986", "value": "1.2.250.1.999.7"},
        }
    )
    assert shelf.find("DocumentReference", "identifier=urn:ietf:rfc:3986|urn:oid:1.2.250.1.999.7") == ["d"]


@pytest.mark.parametrize("value", ["|", "a|b|c"])
def test_a_token_of_another_shape_is_refused(value: str) -> None:
    with pytest.raises(BadRequest) as refused:
        asked("DocumentReference", f"type={value}")
    assert refused.value.issues[0].code == "value"


def test_units_keep_their_case() -> None:
    unit = {"system": "http://unitsofmeasure.org", "code": "mL"}
    shelf = Shelf({"resourceType": "DocumentReference", "id": "d", "type": {"coding": [unit]}})
    assert shelf.find("DocumentReference", "type=http://unitsofmeasure.org|mL") == ["d"]
    assert shelf.find("DocumentReference", "type=http://unitsofmeasure.org|ML") == []


CODINGS = st.fixed_dictionaries(
    {}, optional={"system": st.sampled_from(["http://a", "http://b"]), "code": st.sampled_from(["X", "x", "Y", "z"])}
)
ASKED = st.tuples(st.sampled_from([None, "", "http://a", "http://b"]), st.sampled_from(["X", "y", "Z", ""]))


def naive(system: str | None, code: str, codings: list[dict[str, str]]) -> bool:
    """Say what the table of fhir-rest 6.8 says."""

    def holds(coding: dict[str, str]) -> bool:
        same = coding.get("code", "").lower() == code.lower() and "code" in coding
        if system is None:
            return same
        if system == "":
            return same and "system" not in coding
        return coding.get("system") == system and (same or code == "")

    return any(holds(coding) for coding in codings)


@given(
    codings=st.lists(CODINGS, max_size=3), alternatives=st.lists(ASKED, min_size=1, max_size=3), negated=st.booleans()
)
def test_search_agrees_with_the_definition_for_any_codings(
    codings: list[dict[str, str]], alternatives: list[tuple[str | None, str]], negated: bool
) -> None:
    wanted = [(system, code) for system, code in alternatives if (system, code) not in ((None, ""), ("", ""))]
    assume(wanted)
    value = ",".join(code if system is None else f"{system}|{code}" for system, code in wanted)
    shelf = Shelf({"resourceType": "DocumentReference", "id": "d", "type": {"coding": codings}})
    expected = any(naive(system, code, codings) for system, code in wanted) is not negated
    name = "type:not" if negated else "type"
    assert shelf.find("DocumentReference", f"{name}={value}") == (["d"] if expected else [])
