"""Parsing a search: AND and OR, escapes, what is unknown, what is reported. fhir-rest 6.1, 6.2, 7.2"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_dmp.errors import BadRequest, NotFound, Unprocessable
from fhir_dmp.search.parse import parse
from fhir_dmp.search.query import Everything, Include, PatientCriterion, SortKey
from tests.search.shelf import BASE, REGISTRY, Shelf, asked, decoded, places, rules

INS = "urn:oid:1.2.250.1.213.1.4.8"


@pytest.mark.statement("fhir-rest D71")
def test_repetition_is_and_a_comma_is_or() -> None:
    shelf = Shelf(
        *(
            {"resourceType": "Patient", "id": name, "name": [{"given": list(given)}]}
            for name, given in {"ab": ("Anne", "Bea"), "ac": ("Anne", "Chloe"), "bc": ("Bea", "Chloe")}.items()
        )
    )
    assert shelf.find("Patient", "given=anne,bea") == ["ab", "ac", "bc"]
    assert shelf.find("Patient", "given=anne&given=bea") == ["ab"]
    assert shelf.find("Patient", "given=anne,bea&given=chloe") == ["ac", "bc"]


@pytest.mark.statement("fhir-rest D72")
@pytest.mark.parametrize("code", ["a,b", "a|b", "a$b", "a\\b"])
def test_escaped_separators_are_part_of_the_value(code: str) -> None:
    shelf = Shelf({"resourceType": "Patient", "id": "p", "identifier": [{"system": "http://x.example", "value": code}]})
    escaped = code.replace("\\", "\\\\").replace(",", "\\,").replace("|", "\\|").replace("$", "\\$")
    assert shelf.find("Patient", f"identifier={escaped}") == ["p"]
    assert shelf.find("Patient", f"identifier=http://x.example|{escaped}") == ["p"]


@pytest.mark.statement("fhir-rest D73")
def test_parameter_names_are_case_sensitive() -> None:
    query = asked("DocumentReference", "Status=current")
    assert query.node == Everything()
    assert [name for name, _ in query.ignored] == ["Status"]


@pytest.mark.statement("fhir-rest D74")
@pytest.mark.statement("dmp-fhir 9.7/128")
def test_an_unknown_parameter_is_ignored_reported_and_absent_from_what_was_applied() -> None:
    query = asked("DocumentReference", "foo=1&status=current&_unknown=2")
    assert [name for name, _ in query.ignored] == ["foo", "_unknown"]
    assert query.applied == (("status", "current"), ("_count", "20"))
    assert query.filters == {"status"}


@pytest.mark.statement("fhir-rest D75")
@pytest.mark.statement("dmp-fhir 9.7/128")
def test_strict_handling_refuses_every_unknown_parameter_by_name() -> None:
    with pytest.raises(BadRequest) as refused:
        asked("DocumentReference", "foo=1&status=current&bar.baz=2&_sort=nothing", strict=True)
    assert places(refused.value) == ["foo", "bar", "_sort"]
    assert {issue.code for issue in refused.value.issues} == {"not-supported"}


@pytest.mark.statement("fhir-rest D76")
@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize(
    "query",
    [
        "status:foo=current",
        "date:exact=2024",
        "description:not=x",
        "subject:exact=x",
        "location:exact=x",
        "relationship:not=a$b",
        "_lastUpdated:not=2024",
        "_id:text=x",
    ],
)
def test_an_unknown_modifier_is_always_refused(query: str, strict: bool) -> None:
    with pytest.raises(BadRequest) as refused:
        asked("DocumentReference", query, strict=strict)
    assert refused.value.issues[0].code == "not-supported"


@pytest.mark.statement("fhir-rest D124")
def test_an_empty_value_is_ignored_with_a_warning_even_in_strict_handling() -> None:
    query = asked("DocumentReference", "status=&type=,&date=2024", strict=True)
    assert [name for name, _ in query.ignored] == ["status", "type"]
    assert query.applied == (("date", "2024"), ("_count", "20"))


@pytest.mark.statement("fhir-rest D80")
def test_several_ids_are_alternatives_and_unknown_ones_are_simply_absent() -> None:
    shelf = Shelf({"resourceType": "Patient", "id": "a"}, {"resourceType": "Patient", "id": "b"})
    assert shelf.find("Patient", "_id=a,zz,b") == ["a", "b"]
    assert shelf.find("Patient", "_id=$where") == []


@pytest.mark.statement("fhir-rest D123")
def test_filter_and_named_queries_are_declared_unsupported() -> None:
    for query in ("_filter=status eq current", "_query=mine"):
        with pytest.raises(BadRequest) as refused:
            asked("DocumentReference", query)
        assert refused.value.issues[0].code == "not-supported"


def test_format_and_pretty_belong_to_another_layer() -> None:
    query = asked("DocumentReference", "_format=json&_pretty=true", strict=True)
    assert query.ignored == ()
    assert query.applied == (("_count", "20"),)


@pytest.mark.parametrize("name", ["_id[$ne]", "$where", "a b", "", "patient..x", "type:", ":x", "date\x00", "a" * 400])
def test_a_name_that_no_parameter_can_have_is_refused(name: str) -> None:
    with pytest.raises(BadRequest):
        parse(("Patient",), [(name, "1")], REGISTRY, rules())


def test_what_looks_like_code_for_a_database_is_only_text() -> None:
    shelf = Shelf({"resourceType": "Patient", "id": "p", "name": [{"family": '{"$ne":1}'}]})
    assert shelf.find("Patient", 'family:exact={"\\$ne":1}') == ["p"]
    assert shelf.find("Patient", "identifier=$where") == []
    with pytest.raises(BadRequest):
        asked("Patient", "family=a\x00b")


@pytest.mark.statement("fhir-rest D107")
def test_an_offset_whose_plus_was_not_encoded_is_repaired() -> None:
    parameters = decoded("date=ge2024-05-01T10:00+02:00")
    assert parameters == [("date", "ge2024-05-01T10:00 02:00")]
    query = parse(("DocumentReference",), parameters, REGISTRY, rules())
    assert query.node == asked("DocumentReference", "date=ge2024-05-01T10:00+02:00").node


# Controls


@pytest.mark.statement("fhir-rest E127")
@pytest.mark.parametrize(
    ("type_", "query", "count"),
    [
        ("Patient", "", 20),
        ("Patient", "_count=7", 7),
        ("Patient", "_count=0", 0),
        ("Patient", "_count=5000", 1000),
        ("DocumentReference", "", 50),
        ("DocumentReference", "_count=5000", 500),
    ],
)
def test_the_page_size_is_lowered_to_the_maximum_and_shown(type_: str, query: str, count: int) -> None:
    found = asked(type_, query, counts={"DocumentReference": (50, 500)})
    assert found.count == count
    assert found.applied == (("_count", str(count)),)


@pytest.mark.parametrize(
    "query",
    [
        "_count=-1",
        "_count=ten",
        "_count=1.5",
        "_count=1&_count=2",
        "_total=some",
        "_summary=yes",
        "_elements=a b",
        "_include=Patient",
        "_include=Patient:a:b:c",
    ],
)
def test_a_control_that_cannot_be_read_is_refused(query: str) -> None:
    with pytest.raises(BadRequest) as refused:
        asked("Patient", query)
    assert refused.value.issues[0].code == "value"


@pytest.mark.statement("fhir-rest E135")
@pytest.mark.statement("fhir-rest E137")
def test_sort_keys_are_read_in_order_and_unknown_ones_reported() -> None:
    query = asked("DocumentReference", "_sort=-date,_id,foo,type,relationship&_sort=-_lastUpdated")
    assert query.sort == (
        SortKey("date", descending=True),
        SortKey("_id"),
        SortKey("type"),
        SortKey("_lastUpdated", descending=True),
    )
    assert [name for name, _ in query.ignored] == ["_sort"]
    assert query.applied == (("_sort", "-date,_id,type,-_lastUpdated"), ("_count", "20"))


@pytest.mark.statement("fhir-rest E141")
def test_elements_and_summary_exclude_each_other() -> None:
    query = asked("Patient", "_elements=name,Patient.birthDate&_summary=false&_total=accurate")
    assert (query.elements, query.summary, query.total) == (("name", "Patient.birthDate"), "false", "accurate")
    with pytest.raises(BadRequest):
        asked("Patient", "_elements=name&_summary=text")


@pytest.mark.statement("fhir-rest E142")
@pytest.mark.statement("dmp-fhir 9.7/138")
def test_includes_are_read_and_wrong_ones_are_unknown_parameters() -> None:
    query = asked(
        "DocumentReference",
        "_include=DocumentReference:patient&_include:iterate=Patient:general-practitioner:Practitioner"
        "&_include=DocumentReference:*&_include=*&_revinclude=List:item&_revinclude:recurse=Provenance:target"
        "&_include=DocumentReference:status&_include=Nothing:patient&_include=DocumentReference:patient:Group"
        "&_revinclude=Patient:general-practitioner",
    )
    assert query.includes == (
        Include("DocumentReference", "patient"),
        Include("Patient", "general-practitioner", "Practitioner", iterate=True),
        Include("DocumentReference", "*"),
        Include("*", "*"),
        Include("List", "item", reverse=True),
        Include("Provenance", "target", iterate=True, reverse=True),
    )
    assert [name for name, _ in query.ignored] == ["_include", "_include", "_include", "_revinclude"]


@pytest.mark.statement("fhir-rest D120")
def test_type_limits_a_search_of_several_types() -> None:
    query = asked("Patient,Practitioner,Device", "_type=Practitioner,Patient&name=x&birthdate=2000")
    assert query.types == ("Patient", "Practitioner")
    assert query.applied == (("_type", "Patient,Practitioner"), ("name", "x"), ("_count", "20"))
    assert [name for name, _ in query.ignored] == ["birthdate"]
    with pytest.raises(BadRequest):
        asked("Patient,Practitioner", "_type=Nonsense")


def test_contained_resources_are_never_returned_alone() -> None:
    assert asked("Patient", "_contained=false").applied == (("_contained", "false"), ("_count", "20"))
    assert [name for name, _ in asked("Patient", "_contained=true&_containedType=container").ignored] == [
        "_contained",
        "_containedType",
    ]


# Patients


@pytest.mark.parametrize(
    ("type_", "query", "criterion"),
    [
        ("DocumentReference", "patient=p1", PatientCriterion(references=("Patient/p1",))),
        ("DocumentReference", "patient=Patient/p1,p2", PatientCriterion(references=("Patient/p1", "Patient/p2"))),
        ("DocumentReference", f"subject={BASE}/Patient/p1", PatientCriterion(references=("Patient/p1",))),
        ("DocumentReference", "subject:Patient=p1", PatientCriterion(references=("Patient/p1",))),
        ("DocumentReference", f"patient.identifier={INS}|1", PatientCriterion(identifiers=((INS, "1"),))),
        ("DocumentReference", "subject.identifier=1", PatientCriterion(identifiers=((None, "1"),))),
        ("DocumentReference", f"patient:identifier={INS}|1", PatientCriterion(identifiers=((INS, "1"),))),
        ("DocumentReference", f"subject:Patient.identifier={INS}|1", PatientCriterion(identifiers=((INS, "1"),))),
        ("DocumentReference", "patient._id=p1", PatientCriterion(references=("Patient/p1",))),
        ("Patient", f"identifier={INS}|1,{INS}|2", PatientCriterion(identifiers=((INS, "1"), (INS, "2")))),
        ("Patient", "_id=p1", PatientCriterion(references=("Patient/p1",))),
        ("AuditEvent", "patient=p1", PatientCriterion(references=("Patient/p1",))),
        (
            "DocumentReference",
            "patient=https://other.example/fhir/Patient/1",
            PatientCriterion(references=("https://other.example/fhir/Patient/1",)),
        ),
    ],
)
def test_a_criterion_that_limits_to_patients_is_told(type_: str, query: str, criterion: PatientCriterion) -> None:
    assert asked(type_, query).patients == (criterion,)


@pytest.mark.parametrize(
    "query",
    [
        "status=current",
        "patient.name=dupont",
        "patient:missing=false",
        "subject=Group/1",
        "subject=Patient/1,Group/1",
        "author=Patient/1",
        "_id=1",
        "identifier=x|1",
        "_has:List:item:subject=Patient/1",
        "author.identifier=x|1",
    ],
)
def test_other_criteria_do_not_limit_to_patients(query: str) -> None:
    assert asked("DocumentReference", query).patients == ()


def test_each_patient_criterion_is_told_and_a_compartment_is_one() -> None:
    query = asked("DocumentReference", f"patient=p1&patient.identifier={INS}|1", compartment=("Patient", "p3"))
    assert query.patients == (
        PatientCriterion(references=("Patient/p3",)),
        PatientCriterion(references=("Patient/p1",)),
        PatientCriterion(identifiers=((INS, "1"),)),
    )


# Anything

NAMES = st.one_of(
    st.sampled_from([part.code for part in REGISTRY.of("DocumentReference")]),
    st.sampled_from(["_sort", "_count", "_include", "_revinclude", "_elements", "_summary", "_total", "foo"]),
    st.builds(
        "{}{}{}".format,
        st.sampled_from(["patient", "author", "type", "date", "_has:List:item"]),
        st.sampled_from(["", ":Patient", ":missing", ":not", ":exact", ":identifier"]),
        st.sampled_from(["", ".name", ".identifier", ":status", ".x.y.z"]),
    ),
    st.text(max_size=12),
)
VALUES = st.one_of(
    st.text(max_size=20), st.sampled_from(["current", "2024", "a|b", "|", "$", "a$b", "ge2024", "-date"])
)


@given(st.lists(st.tuples(NAMES, VALUES), max_size=4), st.booleans())
def test_no_request_makes_the_parser_crash(parameters: list[tuple[str, str]], strict: bool) -> None:
    try:
        query = parse(("DocumentReference",), parameters, REGISTRY, rules(strict=strict))
    except (BadRequest, NotFound, Unprocessable):
        return
    again = parse(("DocumentReference",), query.applied, REGISTRY, rules(strict=strict))
    assert (again.node, again.sort, again.count, again.includes) == (
        query.node,
        query.sort,
        query.count,
        query.includes,
    )
    assert again.ignored == ()
