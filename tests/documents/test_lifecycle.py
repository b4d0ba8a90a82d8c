"""What may change of a stored document, and how labels are set."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_dmp.documents.labels import visibility_of
from fhir_dmp.documents.lifecycle import Circumstances, replace_label, settle, settle_list
from fhir_dmp.errors import Conflict, DmpError, Unprocessable
from fhir_dmp.fhir.resource import Json, stamped
from tests.documents import build
from tests.documents.record import BASE, rules

ARCHIVED = f"{build.PDSM}/pdsm-ext-is-archived"
MASKED, HIDDEN, SECRET = (
    build.visibility(code) for code in ("MASQUE_PS", "INVISIBLE_PATIENT", "INVISIBLE_REPRESENTANTS_LEGAUX")
)
N = build.base_label()


def stored(**elements: Any) -> Json:
    document = build.docref(subject={"reference": "Patient/anouk"}, **elements)
    return stamped(document, id_="d1", version=3, updated="2026-06-12T10:00:00.000Z")


def after(before: Json, **elements: Any) -> Json:
    return {**copy.deepcopy(before), **elements}


def around(**settings: Any) -> Circumstances:
    facts = {key: settings.pop(key) for key in ("minor", "successor", "consulted") if key in settings}
    return Circumstances(rules(**settings), **facts)


def refused(before: Json, wanted: Json, circumstances: Circumstances | None = None) -> DmpError:
    with pytest.raises(DmpError) as caught:
        settle(before, wanted, circumstances or around())
    return caught.value


def code_of(error: DmpError) -> str:
    return error.issues[0].details[0].code


@pytest.mark.statement("dmp-fhir 9.9/155", "dmp-fhir 9.9/177")
@pytest.mark.parametrize(
    "change",
    [
        {"description": "autre"},
        {"masterIdentifier": {"system": "urn:ietf:rfc:3986", "value": "urn:oid:1.2"}},
        {"subject": {"reference": "Patient/paul"}},
        {"extension": [{"url": "https://example.org/x", "valueString": "y"}]},
        {"meta": {"profile": []}},
        {"contained": []},
    ],
)
def test_nothing_else_of_a_document_changes(change: Json) -> None:
    before = stored()
    error = refused(before, after(before, status="superseded", **change))
    assert (error.status, code_of(error)) == (422, "metadonnee-non-modifiable")


def test_what_the_server_shows_may_come_back_in_an_update() -> None:
    before = stored()
    shown = after(before, id="d1", status="superseded")
    before["content"][0]["attachment"]["url"] = "Binary/b1"
    shown["content"][0]["attachment"]["url"] = f"{BASE}/Binary/b1"
    settled = settle(before, shown, around())
    assert settled["status"] == "superseded"
    assert settled["content"] == before["content"]


@pytest.mark.statement("dmp-fhir 9.9/176")
def test_a_change_without_effect_is_the_version_before() -> None:
    before = stored()
    assert settle(before, copy.deepcopy(before), around()) is before
    again = after(before, securityLabel=[N, N])
    assert settle(before, again, around()) is before


@pytest.mark.parametrize(("old", "new"), [("current", "superseded"), ("current", "entered-in-error")])
@pytest.mark.parametrize("extra", [{}, {"securityLabel": [MASKED, N]}])
def test_a_current_document_is_withdrawn_or_deleted(old: str, new: str, extra: Json) -> None:
    before = stored(status=old, **extra)
    assert settle(before, after(before, status=new), around())["status"] == new


@pytest.mark.statement("dmp-fhir 9.9/170")
@pytest.mark.parametrize("new", ["current", "superseded"])
def test_a_deletion_cannot_be_undone(new: str) -> None:
    before = stored(status="entered-in-error")
    error = refused(before, after(before, status=new))
    assert (error.status, code_of(error)) == (422, "transition-interdite")
    assert settle(before, after(before), around()) is before


@pytest.mark.statement("dmp-fhir 9.9/171")
def test_a_superseded_document_becomes_current_unless_another_one_replaces_it() -> None:
    before = stored(status="superseded")
    assert settle(before, after(before, status="current"), around())["status"] == "current"
    assert isinstance(refused(before, after(before, status="current"), around(successor=True)), Conflict)


@pytest.mark.parametrize("status", ["preliminary", None, 3])
def test_an_unknown_status_is_refused(status: object) -> None:
    before = stored()
    assert code_of(refused(before, after(before, status=status))) == "transition-interdite"


@pytest.mark.statement("dmp-fhir 9.9/180")
def test_a_deleted_document_claims_no_profile_any_more() -> None:
    before = stored(meta={"profile": [f"{build.PDSM}/x", f"{build.MHD}/StructureDefinition/y", "https://own.example"]})
    settled = settle(before, after(before, status="entered-in-error"), around())
    assert settled["meta"]["profile"] == ["https://own.example"]
    last = stored(meta={"profile": [f"{build.PDSM}/x"]})
    assert "profile" not in settle(last, after(last, status="entered-in-error"), around())["meta"]


def flag(value: object) -> list[Json]:
    return [{"url": ARCHIVED, "valueBoolean": value}]


@pytest.mark.statement("dmp-fhir 9.9/174")
def test_the_archive_flag_is_set_and_unset() -> None:
    before = stored(extension=[{"url": "https://example.org/x", "valueString": "y"}])
    archived = settle(before, after(before, extension=[*before["extension"], *flag(True)]), around())
    assert archived["extension"] == [*before["extension"], *flag(True)]
    assert settle(archived, after(archived, extension=archived["extension"][::-1]), around()) is archived
    again = settle(archived, after(archived, extension=[*before["extension"], *flag(False)]), around())
    assert again["extension"][1] == flag(False)[0]


@pytest.mark.statement("dmp-fhir 9.9/175")
@pytest.mark.parametrize("status", ["superseded", "entered-in-error"])
def test_only_a_current_document_is_archived(status: str) -> None:
    before = stored(status=status)
    assert code_of(refused(before, after(before, extension=flag(True)))) == "transition-interdite"


@pytest.mark.parametrize("extension", [flag("true"), [*flag(True), *flag(False)], [{"url": ARCHIVED}]])
def test_the_archive_flag_is_one_boolean(extension: list[Json]) -> None:
    before = stored()
    assert isinstance(refused(before, after(before, extension=extension)), Unprocessable)


@pytest.mark.statement("dmp-fhir 9.9/157", "dmp-fhir 9.9/158")
def test_masking_adds_a_label_in_front_and_keeps_the_base() -> None:
    before = stored()
    labels = replace_label(before, 0, MASKED, rules(), precise=False)
    assert settle(before, after(before, securityLabel=labels), around())["securityLabel"] == [MASKED, N]


@pytest.mark.statement("dmp-fhir 9.9/159")
def test_normal_in_the_place_of_the_only_visibility_label_removes_it() -> None:
    assert replace_label(stored(securityLabel=[MASKED, N]), 0, N, rules(), precise=False) == [N]


def test_normal_where_nothing_is_masked_changes_nothing() -> None:
    before = stored()
    labels = replace_label(before, 0, copy.deepcopy(N), rules(), precise=False)
    assert settle(before, after(before, securityLabel=labels), around()) is before


@pytest.mark.statement("dmp-fhir 9.9/160")
def test_normal_is_ambiguous_when_two_visibility_labels_are_set() -> None:
    before = stored(securityLabel=[MASKED, HIDDEN, N])
    with pytest.raises(Unprocessable) as refusal:
        replace_label(before, 0, N, rules(), precise=False)
    assert code_of(refusal.value) == "label-ambigu"
    assert replace_label(before, 1, N, rules(), precise=True) == [MASKED, N]


def test_the_base_code_itself_can_be_replaced() -> None:
    restricted = build.base_label("R")
    assert replace_label(stored(securityLabel=[MASKED, N]), 1, restricted, rules(), precise=False) == [
        MASKED,
        restricted,
    ]
    assert replace_label(stored(securityLabel=[MASKED, N]), 0, restricted, rules(), precise=False) == [restricted]


@pytest.mark.parametrize("value", ["MASQUE_PS", None, {}, {"coding": []}, {"coding": "x"}])
def test_a_label_is_a_codeable_concept(value: object) -> None:
    with pytest.raises(Unprocessable):
        replace_label(stored(), 0, value, rules(), precise=False)


@pytest.mark.parametrize("index", [-1, 1])
def test_a_label_that_is_not_there_cannot_be_replaced(index: int) -> None:
    with pytest.raises(Unprocessable):
        replace_label(stored(), index, MASKED, rules(), precise=False)


@pytest.mark.statement("dmp-fhir 9.9/162")
def test_masked_and_invisible_coexist_where_the_server_allows_it() -> None:
    before = stored(securityLabel=[MASKED, N])
    both = after(before, securityLabel=[MASKED, N, HIDDEN])
    assert settle(before, both, around())["securityLabel"] == [HIDDEN, MASKED, N]
    assert refused(before, both, around(mask_plus_invisible=False)).status == 422


@pytest.mark.statement("dmp-fhir 9.9/163")
def test_hiding_from_representatives_needs_a_minor() -> None:
    before = stored()
    hidden = after(before, securityLabel=[SECRET, N])
    assert visibility_of(settle(before, hidden, around(minor=True))) == ("INVISIBLE_REPRESENTANTS_LEGAUX",)
    assert refused(before, hidden, around(minor=False)).status == 422
    grown_up = stored(securityLabel=[SECRET, N])
    assert settle(grown_up, after(grown_up, status="superseded"), around(minor=False))["securityLabel"] == [SECRET, N]


@pytest.mark.statement("dmp-fhir 9.9/164")
def test_an_unknown_visibility_code_is_refused() -> None:
    before = stored()
    error = refused(before, after(before, securityLabel=[build.visibility("CACHE"), N]))
    assert (error.status, error.issues[0].code) == (422, "code-invalid")


def test_a_consulted_document_cannot_be_hidden_any_more() -> None:
    before = stored()
    hidden = after(before, securityLabel=[HIDDEN, N])
    assert code_of(refused(before, hidden, around(consulted=True))) == "transition-interdite"
    assert (
        settle(before, after(before, securityLabel=[MASKED, N]), around(consulted=True))["securityLabel"][0] == MASKED
    )


label_lists = st.lists(st.sampled_from([MASKED, HIDDEN, N, build.base_label("R")]), max_size=4)


@pytest.mark.statement("dmp-fhir 9.9/165")
@given(label_lists, label_lists)
def test_labels_never_become_empty_and_keep_one_base_last(old: list[Json], new: list[Json]) -> None:
    before = stored(securityLabel=old or [N])
    wanted = after(before, securityLabel=new)
    if {"N", "R"} <= {label["coding"][0]["code"] for label in new}:
        assert refused(before, wanted).status == 422
        return
    labels = settle(before, wanted, around())["securityLabel"]
    kinds = [label["coding"][0]["code"] in ("N", "R") for label in labels]
    assert kinds.count(True) == 1
    assert kinds[-1]


def submission_set(**elements: Any) -> Json:
    return stamped(build.submission_set(), id_="l1", version=1, updated="2026-06-12T10:00:00.000Z") | elements


@pytest.mark.statement("dmp-fhir 9.5/86")
def test_a_submission_set_changes_its_status_and_archive_flag_only() -> None:
    before = submission_set()
    flagged = [*before["extension"], *flag(True)]
    assert settle_list(before, after(before, extension=flagged), rules())["extension"] == flagged
    assert settle_list(before, after(before, status="retired"), rules())["status"] == "retired"
    assert settle_list(before, after(before), rules()) is before
    changes: list[Json] = [{"title": "x"}, {"entry": []}, {"date": "2026-06-13"}, {"note": [{"text": "x"}]}]
    for change in changes:
        with pytest.raises(Unprocessable):
            settle_list(before, after(before, **change), rules())


def test_a_folder_changes_what_it_holds_but_not_its_patient() -> None:
    before = stamped(build.folder("DocumentReference/1"), id_="f", version=1, updated="2026-06-12T10:00:00.000Z")
    entry = [{"item": {"reference": "DocumentReference/2"}}]
    settled = settle_list(before, after(before, entry=entry, title="Autre"), rules())
    assert (settled["entry"], settled["title"]) == (entry, "Autre")
    with pytest.raises(Unprocessable):
        settle_list(before, after(before, subject={"reference": "Patient/paul"}), rules())
