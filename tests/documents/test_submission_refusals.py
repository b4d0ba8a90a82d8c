"""ITI-65 that is refused: one test for each row of the checks, with the code, the status and the place."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from fhir_dmp.documents.slices import is_submission
from fhir_dmp.errors import Conflict, DmpError, Forbidden, PreconditionFailed, Unprocessable
from fhir_dmp.fhir.resource import Json
from fhir_dmp.identity.caller import Actor, Caller
from fhir_dmp.patients.dossier import Status
from tests.documents import build
from tests.documents.record import DOCTOR, OTHER_DOCTOR, Record


@pytest.fixture
def record() -> Record:
    known = Record()
    known.dossier(build.INS, "anouk", birthDate="1985-04-17", gender="female")
    known.dossier(build.OTHER_INS, "paul")
    return known


def refused(record: Record, bundle: Json, caller: Caller = DOCTOR, **settings: object) -> DmpError:
    before = dict(record.held)
    with pytest.raises(DmpError) as caught:
        record.submit(bundle, caller, **settings)
    assert record.held == before
    return caught.value


def codes_of(error: DmpError) -> list[str]:
    return [coding.code for issue in error.issues for coding in issue.details]


def places_of(error: DmpError) -> list[str]:
    return [place for issue in error.issues for place in issue.expression]


@pytest.mark.statement("dmp-fhir 9.5/65")
def test_only_a_transaction_is_a_submission() -> None:
    assert not is_submission(build.submission() | {"type": "document"})


@pytest.mark.statement("dmp-fhir 9.5/66")
@pytest.mark.parametrize("number", [0, 2])
def test_there_is_exactly_one_submission_set(record: Record, number: int) -> None:
    sent = build.submission()
    sent["entry"][0:1] = [build.entry(build.submission_set(), f"urn:uuid:{n}") for n in range(number)]
    error = refused(record, sent)
    assert error.status == 422
    assert error.issues[0].code == "invariant"


@pytest.mark.statement("dmp-fhir 9.5/67")
def test_a_submission_creates_a_document(record: Record) -> None:
    error = refused(record, build.bundle(build.entry(build.submission_set(), build.SET_URL)))
    assert error.status == 422
    assert "at least one DocumentReference" in error.issues[0].diagnostics


@pytest.mark.statement("dmp-fhir 9.5/68")
@pytest.mark.parametrize("item", ["urn:uuid:unknown", "DocumentReference/unknown", "Binary/1", build.BINARY_URL])
def test_every_item_resolves_to_a_document(record: Record, item: str) -> None:
    sent = build.submission()
    sent["entry"][0]["resource"]["entry"].append({"item": {"reference": item}})
    error = refused(record, sent)
    assert (error.status, places_of(error)) == (422, ["Bundle.entry[0].resource.entry[1].item"])


@pytest.mark.statement("dmp-fhir 9.5/69", "dmp-fhir 9.5/73")
def test_every_document_is_listed(record: Record) -> None:
    sent = build.submission(None, build.entry(build.docref("1.2.3"), "urn:uuid:second"))
    error = refused(record, sent)
    assert (error.status, places_of(error)) == (422, ["Bundle.entry[3]"])


@pytest.mark.statement("dmp-fhir 9.5/70")
@pytest.mark.parametrize("other", [build.OTHER_INS, "168017218137243"])
def test_all_entries_name_the_same_patient(record: Record, other: str) -> None:
    subject = {"reference": f"Patient?identifier={build.INS_SYSTEM}|{other}"}
    error = refused(record, build.submission(build.docref(subject=subject)))
    assert (error.status, codes_of(error)) == (422, ["patient-discordant", "XDSPatientIdDoesNotMatch"])
    assert places_of(error) == ["Bundle.entry[1].resource.subject"]


def test_a_subject_does_not_contradict_itself(record: Record) -> None:
    subject = {"reference": "Patient/anouk", "identifier": {"system": build.INS_SYSTEM, "value": build.OTHER_INS}}
    error = refused(record, build.submission(build.docref(subject=subject)))
    assert "patient-discordant" in codes_of(error)


@pytest.mark.statement("dmp-fhir 9.5/71", "dmp-fhir 9.5/73")
@pytest.mark.parametrize(
    "entry",
    [
        build.entry({"resourceType": "Observation", "status": "final"}),
        build.entry({"resourceType": "Practitioner"}),
        build.entry({"resourceType": "List", "status": "current"}),
        build.entry(build.binary(), method="PUT", target="Binary/1"),
        build.entry(build.docref(), method="DELETE", target="DocumentReference/1"),
        build.entry(build.docref(), target="List"),
        build.entry(build.submission_set(), method="PUT", target="List/1"),
        {"resource": build.docref()},
        {"request": {"method": "GET", "url": "DocumentReference/1"}},
    ],
)
def test_nothing_else_has_a_place_in_a_submission(record: Record, entry: Json) -> None:
    error = refused(record, build.submission(None, entry))
    assert (error.status, places_of(error)) == (422, ["Bundle.entry[3]"])


@pytest.mark.statement("dmp-fhir 9.5/72")
def test_a_failing_entry_leaves_no_draft_at_all(record: Record) -> None:
    document = build.docref()
    document["content"][0]["attachment"]["size"] = 1
    refused(record, build.submission(document))
    assert sorted(held.type for held in record.held.values()) == ["Patient", "Patient"]


@pytest.mark.statement("dmp-fhir 9.5/74")
@pytest.mark.parametrize("url", ["urn:uuid:nowhere", "https://elsewhere.example/Binary/1", "Binary/1", build.SET_URL])
def test_an_attachment_is_an_entry_of_the_bundle(record: Record, url: str) -> None:
    document = build.docref()
    document["content"][0]["attachment"]["url"] = url
    error = refused(record, build.submission(document))
    assert (error.status, places_of(error)) == (422, ["Bundle.entry[1].resource.content[0].attachment.url"])


@pytest.mark.statement("dmp-fhir 9.5/75")
def test_content_types_agree(record: Record) -> None:
    sent = build.submission()
    sent["entry"][2]["resource"]["contentType"] = "application/pdf"
    error = refused(record, sent)
    assert (error.status, places_of(error)) == (422, ["Bundle.entry[1].resource.content[0].attachment.contentType"])


def test_the_two_names_of_a_cda_are_one_content_type(record: Record) -> None:
    sent = build.submission()
    sent["entry"][2]["resource"]["contentType"] = "text/xml; charset=UTF-8"
    assert record.submit(sent).replies[2].status == 201


@pytest.mark.parametrize(("element", "value"), [("hash", "2jmj7l5rSw0yVb/vlWAYkK/YBwk="), ("hash", "x"), ("size", 1)])
def test_hash_and_size_describe_the_content(record: Record, element: str, value: object) -> None:
    document = build.docref()
    document["content"][0]["attachment"][element] = value
    error = refused(record, build.submission(document))
    assert (error.status, codes_of(error)) == (422, ["empreinte-incorrecte", "XDSRepositoryMetadataError"])
    assert places_of(error) == [f"Bundle.entry[1].resource.content[0].attachment.{element}"]


@pytest.mark.statement("dmp-fhir 9.5/77")
@pytest.mark.parametrize("method", ["PUT", "POST"])
def test_a_submission_writes_no_patient(record: Record, method: str) -> None:
    patient = {"resourceType": "Patient", "id": "anouk"}
    target = "Patient/anouk" if method == "PUT" else "Patient"
    error = refused(record, build.submission(None, build.entry(patient, None, method, target)))
    assert (error.status, places_of(error)) == (422, ["Bundle.entry[3]"])


@pytest.mark.statement("dmp-fhir 9.5/83")
@pytest.mark.parametrize(("date", "accepted"), [("2026-06-21T00:04:59Z", True), ("2026-06-21T00:05:01Z", False)])
def test_a_submission_is_not_dated_in_the_future(record: Record, date: str, accepted: bool) -> None:
    if accepted:
        assert record.submit(build.submission(date=date)).replies[0].status == 201
    else:
        error = refused(record, build.submission(date=date))
        assert (error.status, places_of(error)) == (422, ["Bundle.entry[0].resource.date"])


@pytest.mark.statement("dmp-fhir 9.5/86")
def test_a_submission_set_cannot_be_updated(record: Record) -> None:
    id_ = record.submit(build.submission()).replies[0].id
    update = build.entry(build.submission_set(), method="PUT", target=f"List/{id_}")
    error = refused(record, build.submission(build.docref("1.2.3"), update))
    assert (error.status, places_of(error)) == (422, ["Bundle.entry[3]"])


def test_an_unknown_patient_has_no_dossier(record: Record) -> None:
    subject = {"reference": f"Patient?identifier={build.INS_SYSTEM}|168017218137243"}
    error = refused(record, build.submission(build.docref(subject=subject), subject=subject))
    assert (type(error), codes_of(error)) == (Unprocessable, ["dmp-inexistant", "XDSUnknownPatientId"])
    assert error.issues[0].code == "not-found"


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (Status.NONE, (422, "dmp-inexistant")),
        (Status.CLOSED, (422, "dmp-ferme")),
        (Status.OPPOSED, (403, "no-dmp")),
    ],
)
def test_the_dossier_must_be_open(record: Record, status: Status, expected: tuple[int, str]) -> None:
    record.statuses["Patient/anouk"] = status
    error = refused(record, build.submission())
    assert (error.status, codes_of(error)[0]) == expected


def test_the_source_patient_is_the_subject(record: Record) -> None:
    document = build.docref()
    document["contained"][3]["identifier"][0]["value"] = build.OTHER_INS
    error = refused(record, build.submission(document))
    assert (error.status, codes_of(error)[0]) == (422, "patient-discordant")
    assert places_of(error) == ["Bundle.entry[1].resource.context.sourcePatientInfo"]


def test_traits_agree_with_the_dossier(record: Record) -> None:
    document = build.docref()
    document["contained"][3]["birthDate"] = "1985-04-18"
    error = refused(record, build.submission(document))
    assert (error.status, codes_of(error)) == (422, ["traits-discordants"])
    warned = record.submit(build.submission(document), traits_check="warn").replies[1].issues
    assert [(issue.severity, issue.details[0].code) for issue in warned] == [("warning", "traits-discordants")]
    other = build.submission(build.docref("1.2.3") | {"contained": document["contained"]})
    assert record.submit(other, traits_check="off").replies[1].issues == ()


def test_the_same_document_twice_is_a_duplicate(record: Record) -> None:
    record.submit(build.submission())
    error = refused(record, build.submission())
    assert (type(error), error.issues[0].code) == (Conflict, "duplicate")
    assert codes_of(error) == ["doublon-uniqueid", "XDSDuplicateUniqueIdInRegistry"]
    assert places_of(error) == ["Bundle.entry[1].resource.masterIdentifier"]
    assert "DocumentReference/" not in error.issues[0].diagnostics


def test_another_content_under_a_known_unique_id_is_refused(record: Record) -> None:
    record.submit(build.submission())
    error = refused(record, build.submission(data=b"<other/>"))
    assert (error.status, codes_of(error)) == (409, ["hash-different", "XDSNonIdenticalHash"])


def test_a_unique_id_is_used_once_in_a_submission(record: Record) -> None:
    sent = build.bundle(
        build.entry(build.submission_set("urn:uuid:1", "urn:uuid:2"), build.SET_URL),
        build.entry(build.docref(), "urn:uuid:1"),
        build.entry(build.docref(), "urn:uuid:2"),
        build.entry(build.binary(), build.BINARY_URL),
    )
    error = refused(record, sent)
    assert (error.status, places_of(error)) == (409, ["Bundle.entry[2].resource.masterIdentifier"])


def test_the_unique_id_of_a_submission_set_is_new(record: Record) -> None:
    identifier = [{"system": "urn:ietf:rfc:3986", "value": "urn:oid:1.2.250.1.999.5"}]
    record.submit(build.submission(identifier=identifier))
    error = refused(record, build.submission(build.docref("1.2.3"), identifier=identifier))
    assert (error.status, places_of(error)) == (409, ["Bundle.entry[0].resource.identifier"])


def test_the_caller_is_an_author(record: Record) -> None:
    error = refused(record, build.submission(), OTHER_DOCTOR)
    assert (type(error), codes_of(error)) == (Forbidden, ["author-forged"])
    assert places_of(error) == ["Bundle.entry[1].resource.author"]


def test_an_institution_is_the_authoring_structure(record: Record) -> None:
    cabinet = Caller(Actor.STRUCTURE, "hub", structure="1750100125")
    assert record.submit(build.submission(), cabinet).replies[1].status == 201
    other = Caller(Actor.STRUCTURE, "hub", structure="1690000001", professional="899700218896")
    assert refused(record, build.submission(build.docref("1.2.3")), other).status == 403


def test_an_unresolved_urn_reference_is_refused(record: Record) -> None:
    document = build.docref(custodian={"reference": "urn:uuid:nowhere"})
    error = refused(record, build.submission(document))
    assert (error.status, places_of(error)) == (422, ["Bundle.entry[1].resource.custodian.reference"])


@pytest.mark.parametrize(
    "path",
    [
        *("masterIdentifier", "status", "type", "category", "subject", "date", "author", "content"),
        *("context.facilityType", "context.practiceSetting", "context.period", "context.sourcePatientInfo"),
        *("content.0.attachment.contentType", "content.0.attachment.url", "content.0.attachment.size"),
        *("content.0.attachment.hash", "content.0.attachment.title", "content.0.attachment.creation"),
        *("content.0.attachment.language", "content.0.format"),
    ],
)
def test_each_mandatory_element_is_named_when_it_is_missing(record: Record, path: str) -> None:
    document = build.docref()
    holder: Json = document
    *way, last = path.split(".")
    for step in way:
        holder = holder[int(step)] if step.isdigit() else holder[step]  # type: ignore[index]  # a list on the way
    del holder[last]
    error = refused(record, build.submission(document))
    assert error.status == 422
    expected = f"Bundle.entry[1].resource.{path.replace('.0.', '[0].')}"
    assert any(place.startswith(expected) for place in places_of(error))


def test_missing_profile_elements_are_warnings_when_the_setting_says_so(record: Record) -> None:
    document = build.docref()
    del document["context"]["practiceSetting"], document["content"][0]["attachment"]["hash"]
    plan = record.submit(build.submission(document), profiles="warn")
    assert [issue.severity for issue in plan.replies[1].issues] == ["warning", "warning"]
    stored = next(d.resource for d in plan.drafts if d.type == "DocumentReference")
    assert stored["content"][0]["attachment"]["hash"] == build.docref()["content"][0]["attachment"]["hash"]


def spoil_status(document: Json) -> None:
    document["status"] = "superseded"


def spoil_doc_status(document: Json) -> None:
    document["docStatus"] = "final"


def spoil_period(document: Json) -> None:
    document["context"]["period"] = {"start": "2026-06-12", "end": "2026-06-11"}


def spoil_date(document: Json) -> None:
    document["date"] = "2026-06"


def spoil_data(document: Json) -> None:
    document["content"][0]["attachment"]["data"] = "AAAA"


def spoil_second_content(document: Json) -> None:
    document["content"].append(document["content"][0])


def spoil_unused_contained(document: Json) -> None:
    document["contained"].append({"resourceType": "Organization", "id": "seul"})


def spoil_contained_version(document: Json) -> None:
    document["contained"][0]["meta"] = {"versionId": "1"}


def spoil_label(document: Json) -> None:
    document["securityLabel"].append(build.visibility("CACHE"))


def spoil_minor_label(document: Json) -> None:
    document["securityLabel"].append(build.visibility("INVISIBLE_REPRESENTANTS_LEGAUX"))


def spoil_two_bases(document: Json) -> None:
    document["securityLabel"].append(build.base_label("R"))


@pytest.mark.parametrize(
    ("spoil", "place"),
    [
        (spoil_status, "status"),
        (spoil_doc_status, "docStatus"),
        (spoil_period, "context.period.end"),
        (spoil_date, "date"),
        (spoil_data, "content[0].attachment.data"),
        (spoil_second_content, "content"),
        (spoil_unused_contained, "contained[4]"),
        (spoil_contained_version, "contained[0].meta"),
        (spoil_label, "securityLabel[1]"),
        (spoil_minor_label, "securityLabel"),
        (spoil_two_bases, "securityLabel"),
    ],
)
def test_a_document_against_its_profile_is_refused(record: Record, spoil: Callable[[Json], None], place: str) -> None:
    document = build.docref()
    spoil(document)
    error = refused(record, build.submission(document))
    assert (error.status, places_of(error)) == (422, [f"Bundle.entry[1].resource.{place}"])


def test_masked_and_invisible_combine_only_where_the_server_allows_it(record: Record) -> None:
    labels = [build.visibility("MASQUE_PS"), build.visibility("INVISIBLE_PATIENT"), build.base_label()]
    assert (
        refused(record, build.submission(build.docref(securityLabel=labels)), mask_plus_invisible=False).status == 422
    )
    plan = record.submit(build.submission(build.docref(securityLabel=labels)))
    assert plan.drafts[1].resource["securityLabel"] == labels


def test_a_minors_document_may_be_hidden_from_the_representatives(record: Record) -> None:
    record.dossier("168017218137243", "enfant", birthDate="2018-02-03")
    subject = {"reference": "Patient/enfant"}
    labels = [build.base_label(), build.visibility("INVISIBLE_REPRESENTANTS_LEGAUX")]
    document = build.docref(subject=subject, securityLabel=labels)
    document["contained"][3] = {"resourceType": "Patient", "id": "source"}
    assert refused(record, build.submission(document, subject=subject), minors=False).status == 422
    plan = record.submit(build.submission(document, subject=subject))
    assert plan.drafts[1].resource["securityLabel"] == labels[::-1]


def test_a_fhir_document_is_refused_when_the_option_is_off(record: Record) -> None:
    composition = {"resource": {"resourceType": "Composition"}}
    content = {"resourceType": "Bundle", "type": "document", "entry": [composition]}
    document = build.docref()
    document["content"][0]["attachment"]["contentType"] = "application/fhir+json"
    sent = build.submission(document)
    sent["entry"][2]["resource"] = content
    sent["entry"][2]["request"]["url"] = "Bundle"
    assert codes_of(refused(record, sent, fhir_documents=False)) == ["document-fhir-non-supporte"]
    assert record.submit(sent).replies[2].status == 201


@pytest.mark.parametrize("content", [{"type": "collection"}, {"type": "document", "entry": []}])
def test_a_fhir_document_is_a_document_that_starts_with_a_composition(record: Record, content: Json) -> None:
    sent = build.submission()
    sent["entry"][2] = build.entry({"resourceType": "Bundle", **content}, build.BINARY_URL)
    error = refused(record, sent)
    assert places_of(error)[0].startswith("Bundle.entry[2].resource")


def test_a_folder_update_is_of_a_known_folder_of_the_same_patient(record: Record) -> None:
    folder = build.folder(build.DOCUMENT_URL)
    update = build.entry(folder, method="PUT", target="List/unknown")
    error = refused(record, build.submission(None, update))
    assert (error.status, places_of(error)) == (422, ["Bundle.entry[3].request.url"])
    record.put({**folder, "subject": {"reference": "Patient/paul"}}, "unknown")
    error = refused(record, build.submission(None, update))
    assert (codes_of(error)[0], places_of(error)) == ("patient-discordant", ["Bundle.entry[3].resource.subject"])


def test_an_item_of_another_patient_is_refused(record: Record) -> None:
    record.put(build.docref("1.2.3", subject={"reference": "Patient/paul"}), "dpaul")
    sent = build.submission()
    sent["entry"][0]["resource"]["entry"].append({"item": {"reference": "DocumentReference/dpaul"}})
    assert codes_of(refused(record, sent))[0] == "patient-discordant"


def test_two_entries_have_different_full_urls(record: Record) -> None:
    sent = build.submission()
    sent["entry"][2]["fullUrl"] = build.DOCUMENT_URL
    assert "Bundle.entry[2].fullUrl" in places_of(refused(record, sent))


def test_a_conditional_patch_of_an_unknown_version_is_412(record: Record) -> None:
    old = record.submit(build.submission()).replies[1].id
    document = build.docref("1.2.3", relatesTo=build.replaces(f"DocumentReference/{old}"))
    patch = build.entry(build.superseding_patch(), method="PATCH", target=f"DocumentReference/{old}", ifMatch='W/"9"')
    assert isinstance(refused(record, build.submission(document, patch)), PreconditionFailed)


@pytest.mark.parametrize(
    "wrong",
    [
        {"entry": None},
        {"entry": [None, 3, "x", {}]},
        {
            "entry": [
                {
                    "resource": {"resourceType": "DocumentReference"},
                    "request": {"method": "POST", "url": "DocumentReference"},
                }
            ]
        },
        {"entry": [{"resource": {"resourceType": ["List"]}, "request": {"method": 3, "url": {}}}]},
    ],
)
def test_shapes_that_no_fhir_resource_has_are_refused_and_never_crash(record: Record, wrong: Json) -> None:
    assert refused(record, build.submission() | wrong).status == 422
