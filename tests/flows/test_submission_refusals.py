"""TD2, option B: submissions (ITI-65) that are refused, and leave no trace. [dmp-fhir 9.5]"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy

import pytest

from tests import samples
from tests.flows.steps import (
    Dossier,
    assert_refused,
    attachment,
    next_content,
    next_ins,
    next_oid,
    nothing_stored,
)
from tests.flows.submissions import (
    BINARY,
    DOCUMENT,
    LIST,
    content_of,
    post,
    resource,
    submission,
)
from tests.samples import Json
from tests.world import World


@pytest.mark.statement("dmp-fhir 9.5/65")
@pytest.mark.parametrize("kind", ["document", "collection", "searchset", "history", "message", "transaction-response"])
def test_a_bundle_of_another_type_is_refused_on_the_base(shared: Dossier, kind: str) -> None:
    body = submission(shared)
    with nothing_stored(shared.world, content_of(body)):
        answer = post(shared, {**body, "type": kind})
    assert_refused(answer, 400, at="Bundle.type")


def drop(*indexes: int) -> Callable[[Json], None]:
    """Return a step that removes entries."""

    def step(body: Json) -> None:
        body["entry"] = [entry for index, entry in enumerate(body["entry"]) if index not in indexes]

    return step


def second_set(body: Json) -> None:
    again = deepcopy(body["entry"][LIST])
    again["fullUrl"] = "urn:uuid:6f1f1a3c-3b0a-4b52-9a51-a36d1a1f3c99"
    again["resource"]["identifier"][0]["value"] = f"urn:oid:{next_oid()}"
    body["entry"].append(again)


def dangling_item(body: Json) -> None:
    resource(body, LIST)["entry"].append({"item": {"reference": "urn:uuid:6f1f1a3c-3b0a-4b52-9a51-a36d1a1f3c98"}})


def unknown_item(body: Json) -> None:
    resource(body, LIST)["entry"].append({"item": {"reference": "DocumentReference/absent"}})


def unlisted_document(body: Json) -> None:
    resource(body, LIST)["entry"] = [{"item": {"reference": body["entry"][BINARY]["fullUrl"]}}]


def no_items(body: Json) -> None:
    del resource(body, LIST)["entry"]


def other_type(body: Json) -> None:
    practitioner = {"resourceType": "Practitioner", "active": True}
    body["entry"].append({"resource": practitioner, "request": {"method": "POST", "url": "Practitioner"}})


def other_method(body: Json) -> None:
    body["entry"][DOCUMENT]["request"] = {"method": "DELETE", "url": "DocumentReference/x"}


def lost_attachment(body: Json) -> None:
    attachment(resource(body, DOCUMENT))["url"] = "urn:uuid:6f1f1a3c-3b0a-4b52-9a51-a36d1a1f3c97"


def foreign_attachment(body: Json) -> None:
    attachment(resource(body, DOCUMENT))["url"] = "https://elsewhere.example/doc.pdf"


def other_media_type(body: Json) -> None:
    resource(body, BINARY)["contentType"] = "application/pdf"


def wrong_hash(body: Json) -> None:
    attachment(resource(body, DOCUMENT))["hash"] = "2jmj7l5rSw0yVb/vlWAYkK/YBwk="


def wrong_size(body: Json) -> None:
    attachment(resource(body, DOCUMENT))["size"] += 1


def future_date(body: Json) -> None:
    resource(body, LIST)["date"] = "2026-08-01T10:00:00+02:00"


def retired_set(body: Json) -> None:
    resource(body, LIST)["status"] = "retired"


def unresolved_reference(body: Json) -> None:
    reference = {"reference": "urn:uuid:6f1f1a3c-3b0a-4b52-9a51-a36d1a1f3c96"}
    resource(body, DOCUMENT)["context"]["encounter"] = [reference]


def orphan_contained(body: Json) -> None:
    resource(body, DOCUMENT)["contained"].append({"resourceType": "Practitioner", "id": "unused"})


def patient_entry(method: str) -> Callable[[Json], None]:
    """Return a step that adds a Patient entry."""

    def step(body: Json) -> None:
        patient = {"resourceType": "Patient", "id": "someone"}
        url = "Patient" if method == "POST" else "Patient/someone"
        full = "urn:uuid:6f1f1a3c-3b0a-4b52-9a51-a36d1a1f3c95"
        body["entry"].append({"fullUrl": full, "resource": patient, "request": {"method": method, "url": url}})

    return step


REFUSED: list[tuple[str, Callable[[Json], None], str, str, str]] = [
    ("no submission set", drop(LIST), "66", "", "Bundle.entry"),
    ("two submission sets", second_set, "66", "", "Bundle.entry[0]"),
    ("no document", drop(DOCUMENT, BINARY), "67", "", "Bundle.entry"),
    ("an item that is no entry", dangling_item, "68", "", "Bundle.entry[0].resource.entry[1].item"),
    ("an item that does not exist", unknown_item, "68", "", "Bundle.entry[0].resource.entry[1].item"),
    ("a document that is not listed", unlisted_document, "69", "", "Bundle.entry"),
    ("a set without items", no_items, "69", "", "Bundle.entry"),
    ("another resource type", other_type, "71", "", "Bundle.entry[3]"),
    ("another method", other_method, "71", "", "Bundle.entry[1]"),
    ("an attachment that is no entry", lost_attachment, "74", "", "Bundle.entry[1].resource.content[0].attachment.url"),
    ("an attachment elsewhere", foreign_attachment, "74", "", "Bundle.entry[1].resource.content[0].attachment.url"),
    ("another media type", other_media_type, "75", "", "Bundle.entry[1].resource.content[0].attachment.contentType"),
    ("a wrong hash", wrong_hash, "72", "empreinte-incorrecte", "Bundle.entry[1].resource.content[0].attachment.hash"),
    ("a wrong size", wrong_size, "72", "empreinte-incorrecte", "Bundle.entry[1].resource.content[0].attachment.size"),
    ("a set from the future", future_date, "83", "", "Bundle.entry[0].resource.date"),
    ("a retired set", retired_set, "66", "", "Bundle.entry[0].resource.status"),
    ("an unresolved urn", unresolved_reference, "73", "", "Bundle.entry[1].resource.context.encounter[0]"),
    ("an unused contained resource", orphan_contained, "72", "", "Bundle.entry[1].resource.contained"),
    ("a Patient by POST", patient_entry("POST"), "77", "", "Bundle.entry[3]"),
    ("a Patient by PUT", patient_entry("PUT"), "77", "", "Bundle.entry[3]"),
]


@pytest.mark.statement("dmp-fhir 9.5/66", "dmp-fhir 9.5/67", "dmp-fhir 9.5/68", "dmp-fhir 9.5/69", "dmp-fhir 9.5/71")
@pytest.mark.statement("dmp-fhir 9.5/72", "dmp-fhir 9.5/73", "dmp-fhir 9.5/74", "dmp-fhir 9.5/75", "dmp-fhir 9.5/77")
@pytest.mark.statement("dmp-fhir 9.5/83")
@pytest.mark.parametrize(
    ("spoil", "code", "place"),
    [pytest.param(spoil, code, place, id=f"9.5-{number}: {name}") for name, spoil, number, code, place in REFUSED],
)
def test_a_faulty_submission_is_422_names_the_entry_and_leaves_no_trace(
    shared: Dossier, spoil: Callable[[Json], None], code: str, place: str
) -> None:
    body = submission(shared)
    content = content_of(body)
    spoil(body)
    with nothing_stored(shared.world, content):
        answer = post(shared, body)
    assert_refused(answer, 422, *filter(None, [code]), at=place)


@pytest.mark.statement("dmp-fhir 9.5/70")
def test_subjects_that_differ_are_422_patient_discordant(world: World, dossier: Dossier) -> None:
    other = Dossier.open(world, next_ins())
    for index in (LIST, DOCUMENT):
        body = submission(dossier)
        resource(body, index)["subject"] = {"reference": f"Patient/{other.id}"}
        with nothing_stored(world, content_of(body)):
            answer = post(dossier, body)
        assert_refused(answer, 422, "patient-discordant", "XDSPatientIdDoesNotMatch")


@pytest.mark.statement("dmp-fhir 9.5/70")
def test_a_source_patient_with_another_ins_is_422_patient_discordant(shared: Dossier) -> None:
    body = submission(shared)
    resource(body, DOCUMENT)["contained"][-1]["identifier"][0]["value"] = samples.BASILE
    with nothing_stored(shared.world, content_of(body)):
        answer = post(shared, body)
    assert_refused(answer, 422, "patient-discordant", at="Bundle.entry[1].resource")


@pytest.mark.statement("dmp-fhir 9.5/62")
def test_only_an_author_submits(world: World, dossier: Dossier) -> None:
    stranger = world.doctor(samples.OTHER_DOCTOR, samples.CLINIC)
    body = submission(dossier)
    with nothing_stored(world, content_of(body)):
        assert_refused(stranger.post("", body), 403, "author-forged")
    colleague = world.doctor(samples.OTHER_DOCTOR, samples.HOSPITAL)
    assert colleague.post("", body).status == 200


@pytest.mark.statement("dmp-fhir 9.5/62")
def test_a_closed_or_opposed_or_unknown_dossier_takes_nothing(world: World, dossier: Dossier) -> None:
    world.consent(dossier.ins, "feeding-opposition", deny=True)
    opposed = submission(dossier)
    shut = Dossier.open(world, next_ins())
    shut.close()
    closed = submission(shut)
    unknown = samples.submission(next_oid(), ins=next_ins(), content=next_content())
    with nothing_stored(world, *map(content_of, (opposed, closed, unknown))):
        assert_refused(post(dossier, opposed), 403, "feeding-opposition", "opposition-alimentation")
        assert_refused(post(shut, closed), 422, "dmp-ferme")
        assert_refused(post(shut, unknown), 422, "dmp-inexistant")
