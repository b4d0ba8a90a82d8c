"""A CDA file becomes a submission that the record accepts."""

from __future__ import annotations

import base64
import hashlib
import json
import time
from collections.abc import Callable
from datetime import UTC
from pathlib import Path

import pytest

from fhir_dmp.cda.actors import ins_of
from fhir_dmp.cda.datatypes import date_time, instant
from fhir_dmp.cda.header import read_header
from fhir_dmp.cda.submission import Wrapping, patient_of, wrap
from fhir_dmp.cda.xml import parse
from fhir_dmp.errors import Unprocessable
from fhir_dmp.fhir.resource import Json
from fhir_dmp.patients.dossier import Status
from fhir_dmp.patients.identity import IdentityRules, opening_issues
from fhir_dmp.patients.ins import InsRules
from tests.cda.test_header import LEVEL_1, LEVEL_3, odd
from tests.documents.record import ADMIN, DOCTOR, Record, X, codes

SHARED = Path(__file__).resolve().parents[2] / "../shared/data"
CDA_FILES = sorted((SHARED / "cda").glob("*.xml"))
NIR = "urn:oid:1.2.250.1.213.1.4.8"
INS = (NIR, "285047511200314")


def parts(data: bytes, wrapping: Wrapping | None = None) -> tuple[Json, Json, Json]:
    bundle = wrap(data, codes(), wrapping or Wrapping())
    set_, document, binary = (entry["resource"] for entry in bundle["entry"])
    return set_, document, binary


def opened(data: bytes, ins: tuple[str, str] = INS) -> Record:
    record = Record()
    held = record.put(patient_of(read_header(data), ins), "patient")
    record.statuses[held.reference] = Status.ACTIVE
    return record


@pytest.mark.statement("cda B34")
@pytest.mark.parametrize("data", [LEVEL_1, LEVEL_3])
def test_the_wrapped_file_is_accepted_and_its_bytes_are_untouched(data: bytes) -> None:
    plan = opened(data).plan(wrap(data, codes()), ADMIN, absent_targets=True)
    assert [reply.status for reply in plan.replies] == [201, 201, 201]
    blob = plan.drafts[2].blob
    assert blob is not None
    assert blob.data == data


def test_its_author_may_submit_it() -> None:
    plan = opened(LEVEL_3).plan(wrap(LEVEL_3, codes()), DOCTOR, absent_targets=True)
    assert [issue.details[0].code for issue in plan.replies[1].issues] == ["cible-inconnue"]


@pytest.mark.statement("cda B42")
def test_a_known_predecessor_is_superseded() -> None:
    record = opened(LEVEL_3)
    earlier = LEVEL_3.replace(b"2026-000318-2", b"2026-000318-0").replace(b'-1"', b'-none"')
    earlier = earlier.replace(b"2026-000318-0", b"2026-000318-1")
    first = record.submit(wrap(earlier, codes()), ADMIN, absent_targets=True).replies[1].id
    record.submit(wrap(LEVEL_3, codes()), ADMIN)
    assert record.held[f"DocumentReference/{first}"].resource["status"] == "superseded"


@pytest.mark.statement("cda B23", "cda B27", "cda B30", "cda B31", "cda B32", "cda B34", "cda B35", "cda B44")
def test_the_metadata_of_a_structured_document() -> None:
    _, document, binary = parts(LEVEL_3)
    assert document["masterIdentifier"] == {"system": "urn:oid:1.2.250.1.999.7.1", "value": "2026-000318-2"}
    assert document["identifier"] == [
        {"use": "official", "type": {"text": "setId"}, "system": "urn:oid:1.2.250.1.999.7.1", "value": "2026-000318"}
    ]
    assert document["type"]["coding"][0]["system"] == "http://loinc.org"
    assert (document["category"][0]["coding"][0]["code"], document["date"]) == ("11", "2026-06-12T10:30:00+02:00")
    content = document["content"][0]
    assert content["format"]["code"] == "urn:asip:ci-sis:vsm:2012"
    assert content["attachment"] == {
        "contentType": "application/xml",
        "language": "fr-FR",
        "url": wrap(LEVEL_3, codes())["entry"][2]["fullUrl"],
        "size": len(LEVEL_3),
        "hash": base64.b64encode(hashlib.sha1(LEVEL_3).digest()).decode(),
        "title": "Synthèse médicale de Madame Bellanger",
        "creation": "2026-06-12T10:30:00+02:00",
    }
    assert base64.b64decode(binary["data"]) == LEVEL_3
    context = document["context"]
    assert context["period"] == {"start": "2026-06-12T10:00:00+02:00", "end": "2026-06-12T10:30:00+02:00"}
    assert [coding["code"] for coding in context["event"][0]["coding"]] == ["11429006", "CONS"]
    assert context["practiceSetting"]["coding"][0]["code"] == "AMBULATOIRE"
    assert context["facilityType"]["coding"][0]["code"] == "SA05"
    assert context["encounter"] == [{"identifier": {"system": "urn:oid:1.2.250.1.999.7.5", "value": "VISITE-12"}}]
    assert context["related"] == [
        {
            "identifier": {
                "type": {"coding": [{"system": "urn:ietf:rfc:3986", "code": "urn:ihe:iti:xds:2013:order"}]},
                "system": "urn:oid:1.2.250.1.999.7.3",
                "value": "PRESC-88",
            }
        }
    ]
    assert document["relatesTo"] == [
        {
            "code": "replaces",
            "target": {"identifier": {"system": "urn:oid:1.2.250.1.999.7.1", "value": "2026-000318-1"}},
        }
    ]


@pytest.mark.statement("cda B37", "cda B39")
def test_people_structures_and_devices_are_contained_once() -> None:
    _, document, _ = parts(LEVEL_3)
    inside = {part["id"]: part for part in document["contained"]}
    role = inside[document["author"][0]["reference"][1:]]
    assert document["authenticator"] == document["author"][0]
    assert [coding["code"] for coding in role["code"][0]["coding"]] == ["G15_10/SM26", "10"]
    assert role["specialty"][0]["coding"][0]["code"] == "SM26"
    assert role["code"][1]["text"] == "Médecin traitant"
    assert inside[role["practitioner"]["reference"][1:]]["name"][0]["family"] == "LEROY"
    assert role["organization"] == document["custodian"]
    device = inside[document["author"][1]["reference"][1:]]
    assert (device["resourceType"], device["owner"]) == ("Device", document["custodian"])
    assert [name["name"] for name in device["deviceName"]] == ["TensioSoft 2.1", "Tensiomètre T7"]
    kinds = [part["resourceType"] for part in document["contained"]]
    assert sorted(kinds) == ["Device", "Organization", "Patient", "Practitioner", "PractitionerRole"]


def test_the_source_patient_keeps_every_identifier_and_name() -> None:
    _, document, _ = parts(LEVEL_3)
    source = next(part for part in document["contained"] if part["resourceType"] == "Patient")
    assert [identifier["value"] for identifier in source["identifier"]] == ["285047511200314", "P-4471"]
    assert [(name["use"], name["family"]) for name in source["name"]] == [
        ("official", "BELLANGER"),
        ("usual", "MERCADIER"),
    ]
    assert (source["gender"], source["birthDate"]) == ("female", "1985-04-17")


def test_the_submission_set_names_source_facility_and_recipient() -> None:
    set_, _, _ = parts(LEVEL_3, Wrapping(submitted="2026-06-13T08:00:00Z", source="1.2.250.1.999.8"))
    designation, source, recipient = set_["extension"]
    assert designation["valueCodeableConcept"]["coding"][0]["code"] == "SA05"
    assert source["valueIdentifier"]["value"] == "urn:oid:1.2.250.1.999.8"
    assert recipient["url"].endswith("/pdsm-ext-intended-recipient")
    assert set_["date"] == "2026-06-13T08:00:00Z"


@pytest.mark.statement("cda B23", "cda B24", "cda B27")
def test_an_unstructured_document_takes_its_format_from_its_body() -> None:
    _, document, _ = parts(LEVEL_1)
    assert document["content"][0]["format"]["code"] == "urn:ihe:iti:xds-sd:pdf:2008"
    assert document["masterIdentifier"] == {
        "system": "urn:ietf:rfc:3986",
        "value": "urn:uuid:5b7c2e61-9a0d-4e0b-8c55-1f6e0c0a7d21",
    }
    assert document["securityLabel"][0]["coding"][0]["code"] == "R"
    assert document["context"]["period"] == {"start": "2026-06-10"}
    role = next(part for part in document["contained"] if part["resourceType"] == "PractitionerRole")
    assert role["specialty"][0]["coding"][0] == {"system": "urn:oid:1.2.250.1.71.4.2.6", "code": "G"}


def test_the_same_bytes_give_the_same_submission() -> None:
    assert json.dumps(wrap(LEVEL_3, codes())) == json.dumps(wrap(LEVEL_3, codes()))
    urls = [entry["fullUrl"] for data in (LEVEL_1, LEVEL_3) for entry in wrap(data, codes())["entry"]]
    assert len(set(urls)) == 6


@pytest.mark.parametrize("ids", ["", "<id root='1.2.250.1.213.1.4.2' extension='0411886319605719371016'/>"])
def test_without_ins_the_caller_says_whose_document_it_is(ids: str) -> None:
    data = LEVEL_3.replace(b'<id root="1.2.250.1.213.1.4.8" extension="285047511200314"/>', ids.encode())
    with pytest.raises(Unprocessable, match="INS"):
        wrap(data, codes())
    _, document, _ = parts(data, Wrapping(patient=INS))
    assert document["subject"] == {"identifier": {"system": NIR, "value": "285047511200314"}}


def test_a_malformed_ins_counts_as_none() -> None:
    assert ins_of(read_header(LEVEL_3.replace(b"285047511200314", b"2850475112003")).patient) is None


TYPE = '<code code="{}" codeSystem="2.16.840.1.113883.6.1"/>'
CREATED = '<effectiveTime value="20260612"/>'


def test_an_old_header_without_much_still_gives_complete_metadata() -> None:
    author = "<author><assignedAuthor><id root='1.2.5'/></assignedAuthor></author>"
    data = odd(TYPE.format("11488-4") + CREATED + author)
    _, document, _ = parts(data, Wrapping(patient=INS))
    plan = opened(data).plan(wrap(data, codes(), Wrapping(patient=INS)), ADMIN)
    assert plan.replies[1].status == 201
    absent = document["context"]["practiceSetting"]["extension"][0]
    assert absent["valueCode"] == "unknown"
    assert document["content"][0]["attachment"]["title"] == "11488-4"
    assert document["content"][0]["attachment"]["creation"] == "2026-06-12"
    assert document["date"] == "2026-06-12T00:00:00+02:00"


@pytest.mark.parametrize("content", [CREATED, TYPE.format("11488-4"), TYPE.format("E1762") + CREATED])
def test_no_type_no_date_and_signatures_are_refused(content: str) -> None:
    with pytest.raises(Unprocessable):
        wrap(odd(content), codes(), Wrapping(patient=INS))


def test_a_patient_author_is_the_contained_patient() -> None:
    data = LEVEL_3.replace(
        b'<id root="1.2.250.1.71.4.2.1" extension="899700218896"/>',
        b'<id root="1.2.250.1.213.1.4.8" extension="285047511200314"/>',
    )
    _, document, _ = parts(data)
    assert document["author"][0] == document["context"]["sourcePatientInfo"]


def test_the_opened_patient_is_a_qualified_identity() -> None:
    person = patient_of(read_header(LEVEL_3), INS)
    assert opening_issues(person, IdentityRules(InsRules(X))) == ()
    assert [identifier["value"] for identifier in person["identifier"]] == ["285047511200314"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("20260612103000+0200", "2026-06-12T10:30:00+02:00"),
        ("20260612103000.123-0330", "2026-06-12T10:30:00-03:30"),
        ("20260612", "2026-06-12"),
        ("20260600", "2026-06"),
        ("20261301103000", None),
        (None, None),
    ],
)
def test_times_keep_their_precision_and_offset(text: str | None, expected: str | None) -> None:
    assert date_time(text, UTC) == expected


def test_an_instant_is_the_first_moment_of_a_partial_date() -> None:
    assert instant("2026", UTC) == "2026-01-01T00:00:00+00:00"


@pytest.mark.skipif(not CDA_FILES, reason="the shared folder with the public CDA samples is absent")
@pytest.mark.parametrize("path", CDA_FILES, ids=lambda path: path.stem)
def test_every_public_sample_is_accepted(path: Path) -> None:
    data = path.read_bytes()
    header = read_header(data)
    stated = ins_of(header.patient)
    ins = stated or INS
    wrapping = Wrapping(patient=None if stated else ins)
    record = opened(data, ins)
    rules = IdentityRules(InsRules(X, "warn", test_allowed=True))
    opening = opening_issues(record.held["Patient/patient"].resource, rules)
    assert [issue for issue in opening if issue.severity == "error"] == []
    bundle = wrap(data, codes(), wrapping, header)
    plan = record.plan(bundle, ADMIN, key_check="warn", test_allowed=True, absent_targets=True)
    assert [reply.status for reply in plan.replies] == [201, 201, 201]
    assert {issue.code for reply in plan.replies for issue in reply.issues} <= {"value", "not-found", "code-invalid"}


def test_reading_a_header_costs_little_more_than_parsing_the_file() -> None:
    """A ratio, because the machine that runs the tests is busy; on an idle one the header of 200 KB takes 1 ms."""
    entry = b"<entry><observation classCode='OBS'><code code='1' codeSystem='1.2'/></observation></entry>"
    data = LEVEL_3.replace(b"</section>", entry * 2000 + b"</section>")
    whole, parsing = (min(_seconds(work, data) for _ in range(9)) for work in (read_header, parse))
    assert whole < 3 * parsing


def _seconds(work: Callable[[bytes], object], data: bytes) -> float:
    start = time.process_time()
    work(data)
    return time.process_time() - start
