"""`fhir-dmp import` of FHIR files: what is stored, what is refused and how it is told, and doing it twice."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_dmp.cli.import_files import lines, units
from fhir_dmp.ports import Key
from tests import samples
from tests.cli.calling import CommandLine

Json = dict[str, Any]


def observation(id_: str | None = None, **more: Any) -> Json:
    """Return a measurement."""
    named = {} if id_ is None else {"id": id_}
    return {"resourceType": "Observation", **named, "status": "final", "code": {"text": "Poids"}, **more}


def ndjson(*rows: object) -> str:
    """Return lines; a string stands for itself."""
    return "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows)


def stored(cli: CommandLine, type_: str = "Observation") -> int:
    with cli.services() as services:
        return services.store.types().get(type_, 0)


# --- files of each kind ---


def test_a_json_resource_keeps_its_id_and_a_second_import_changes_nothing(cli: CommandLine) -> None:
    path = cli.write("one.json", '{"resourceType":"Observation","id":"w1","status":"final","code":{"text":"x"},'
                                 '"valueQuantity":{"value":1.10}}')  # fmt: skip
    assert cli.imported(path).counts == {"stored": 1, "unchanged": 0, "refused": 0}
    assert cli.imported(path).counts == {"stored": 0, "unchanged": 1, "refused": 0}
    with cli.services() as services:
        version = services.store.read(Key("Observation", "w1"))
        assert version is not None
        assert version.version == 1
        assert b'"value":1.10' in version.body


def test_a_resource_without_id_is_the_same_resource_the_second_time(cli: CommandLine) -> None:
    path = cli.write("two.ndjson", ndjson(observation(), observation(note=[{"text": "other"}])))
    assert cli.imported(path).counts == {"stored": 2, "unchanged": 0, "refused": 0}
    assert cli.imported(path).counts == {"stored": 0, "unchanged": 2, "refused": 0}
    assert stored(cli) == 2


def test_a_changed_resource_becomes_a_new_version(cli: CommandLine) -> None:
    cli.imported(cli.write("a.json", observation("w1")))
    assert cli.imported(cli.write("a.json", observation("w1", note=[{"text": "new"}]))).counts["stored"] == 1
    with cli.services() as services:
        version = services.store.read(Key("Observation", "w1"))
        assert version is not None
        assert version.version == 2


def test_fhir_xml_is_imported(cli: CommandLine) -> None:
    xml = '<?xml version="1.0"?>\n<!-- a comment --><Observation xmlns="http://hl7.org/fhir"><id value="x1"/>' \
          '<status value="final"/><code><text value="Poids"/></code></Observation>'  # fmt: skip
    assert cli.imported(cli.write("one.xml", xml)).counts["stored"] == 1
    with cli.services() as services:
        assert services.store.read(Key("Observation", "x1")) is not None


def test_a_file_is_known_by_its_first_bytes(cli: CommandLine) -> None:
    assert cli.imported(cli.write("export.txt", observation("w1"))).counts["stored"] == 1


def test_bad_lines_are_reported_by_number_and_the_others_are_stored(cli: CommandLine) -> None:
    path = cli.write(
        "mixed.ndjson",
        ndjson(
            observation("w1"),
            '{"resourceType": "Observation",',
            "",
            observation("w2"),
            '{"resourceType":"Observation","id":"w3","id":"w4"}',
            {"resourceType": "Dossier"},
            {"resourceType": "Observation", "id": "w5", "code": {"text": "x"}},
            observation("no_id"),
            '["not an object"]',
            observation("w6"),
        ),
    )
    done = cli.imported(path)
    assert (done.status, done.counts) == (1, {"stored": 3, "unchanged": 0, "refused": 6})
    (line,) = done.err.splitlines()
    assert line.startswith("fhir-dmp: 6 refused; the reasons are in import-report.ndjson; the first: ")
    found = {refusal["name"].removeprefix(str(path)): refusal for refusal in cli.refusals}
    assert {name: refusal["code"] for name, refusal in found.items()} == {
        ":2": "structure",
        ":5": "structure",
        ":6": "structure",
        ":7": "required",
        ":8": "value",
        ":9": "structure",
    }
    assert found[":2"]["reason"].startswith("400 The body is not JSON")
    assert "(Observation.status)" in found[":7"]["reason"]
    assert stored(cli) == 3


def test_the_same_resource_twice_in_a_file_is_two_versions_in_order(cli: CommandLine) -> None:
    path = cli.write("twice.ndjson", ndjson(observation("w1"), observation("w1", note=[{"text": "later"}])))
    assert cli.imported(path).counts["stored"] == 2
    with cli.services() as services:
        version = services.store.read(Key("Observation", "w1"))
        assert version is not None
        assert (version.version, b"later" in version.body) == (2, True)


@given(
    st.lists(st.sampled_from(["{}", "", '{"a":1}', '{"long":"' + "x" * 40 + '"}', "x", "  "]), max_size=20),
    st.integers(1, 60),
    st.booleans(),
)
def test_pieces_hold_every_line_once_with_its_number(rows: list[str], piece: int, end: bool) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.ndjson"
        path.write_text("\n".join(rows) + ("\n" if end else ""))
        found = [name.rpartition(":")[2] for unit in units([path], piece) for name, _ in lines(unit)]
    assert found == [str(number) for number, row in enumerate(rows, 1) if row.strip()]


def test_a_conditional_reference_becomes_the_one_it_means(cli: CommandLine) -> None:
    subject = {"reference": f"Patient?identifier={samples.INS}|{samples.ANOUK}"}
    path = cli.write("weight.json", observation("w1", subject=subject))
    assert cli.imported(path).status == 1
    assert cli.refusals[0]["reason"] == "422 The conditional reference matches nothing here. (Observation.subject)"
    opened(cli)
    assert cli.imported(path).counts["stored"] == 1
    assert cli.imported(path).counts["unchanged"] == 1
    with cli.world() as world:
        patient = world.services.patient_id(None, samples.ANOUK)
        assert world.admin.get("/Observation/w1").json["subject"] == {"reference": f"Patient/{patient}"}


# --- bundles ---


@pytest.mark.parametrize("kind", ["searchset", "collection"])
def test_the_entries_of_a_bundle_are_imported_one_by_one(cli: CommandLine, kind: str) -> None:
    said = {"resourceType": "OperationOutcome", "issue": [{"severity": "warning", "code": "value"}]}
    bundle = {
        "resourceType": "Bundle",
        "type": kind,
        "entry": [
            {"fullUrl": "https://elsewhere.example/fhir/Observation/w1", "resource": observation("w1")},
            {"resource": {"resourceType": "Observation", "id": "w2"}},
            {"fullUrl": "urn:uuid:1"},
            {"resource": said, "search": {"mode": "outcome"}},
            {"resource": observation("w3")},
        ],
    }
    path = cli.write("found.json", bundle)
    assert cli.imported(path).counts == {"stored": 2, "unchanged": 0, "refused": 2}
    assert [refusal["name"] for refusal in cli.refusals] == [f"{path}#entry[2]", f"{path}#entry[1]"]
    assert cli.imported(path).counts == {"stored": 0, "unchanged": 2, "refused": 2}


def test_a_history_bundle_is_refused(cli: CommandLine) -> None:
    path = cli.write("history.json", {"resourceType": "Bundle", "type": "history"})
    assert cli.imported(path).status == 1
    assert cli.refusals == [
        {
            "name": str(path),
            "code": "not-supported",
            "reason": "400 Bundles are imported when their type is transaction, batch, searchset, collection or "
            "document. (Bundle.type)",
        }
    ]


def weighing(kind: str) -> Json:
    """Return a bundle whose measurement refers to a person created beside it."""
    url = "urn:uuid:4c2a1d6e-5f0b-4f2e-9d0c-0f3b8a7c6d51"
    subject = {"resourceType": "Group", "type": "person", "actual": True, "name": "Cohorte"}
    measured = observation(subject={"reference": url})
    return {
        "resourceType": "Bundle",
        "type": kind,
        "entry": [
            {"resource": measured, "request": {"method": "POST", "url": "Observation"}},
            {"fullUrl": url, "resource": subject, "request": {"method": "POST", "url": "Group"}},
        ],
    }


def test_a_transaction_is_imported_whole_and_only_once(cli: CommandLine) -> None:
    path = cli.write("weighing.json", weighing("transaction"))
    assert cli.imported(path).counts == {"stored": 1, "unchanged": 0, "refused": 0}
    assert cli.imported(path).counts == {"stored": 0, "unchanged": 1, "refused": 0}
    assert (stored(cli), stored(cli, "Group")) == (1, 1)
    with cli.world() as world:
        (measured,) = world.admin.get("/Observation?code:text=Poids").entries
        assert world.admin.get(f"/{measured['subject']['reference']}").json["name"] == "Cohorte"


def test_a_transaction_with_a_bad_entry_leaves_nothing(cli: CommandLine) -> None:
    bundle = weighing("transaction")
    del bundle["entry"][1]["resource"]["type"]
    path = cli.write("weighing.json", bundle)
    assert cli.imported(path).counts == {"stored": 0, "unchanged": 0, "refused": 1}
    (refusal,) = cli.refusals
    assert refusal["name"] == str(path)
    assert refusal["reason"].startswith("422 ")
    assert (stored(cli), stored(cli, "Group")) == (0, 0)


def test_each_entry_of_a_batch_has_its_own_outcome(cli: CommandLine) -> None:
    bundle = weighing("batch")
    bundle["entry"][0]["resource"]["subject"] = {"display": "Cohorte"}
    bundle["entry"] += [
        {"resource": {"resourceType": "Observation"}, "request": {"method": "POST", "url": "Observation"}},
        {"request": {"method": "GET", "url": "Observation/unknown"}},
    ]
    path = cli.write("batch.json", bundle)
    assert cli.imported(path).counts == {"stored": 2, "unchanged": 0, "refused": 1}
    assert [refusal["name"] for refusal in cli.refusals] == [f"{path}#entry[2]"]
    assert cli.imported(path).counts == {"stored": 0, "unchanged": 2, "refused": 1}


def test_a_bundle_that_is_no_bundle_is_refused_in_words(cli: CommandLine) -> None:
    for body in (
        {"type": "transaction", "entry": {}},
        {"type": "batch", "entry": [1]},
        {"type": "searchset", "entry": 3},
    ):
        cli.imported(cli.write("odd.json", {"resourceType": "Bundle", **body}))
        assert [refusal for refusal in cli.refusals if refusal["code"] == "exception"] == []


# --- documents ---


def opened(cli: CommandLine, ins: str = samples.ANOUK) -> None:
    with cli.world() as world:
        world.open(ins)


def test_a_submission_is_stored_once_and_another_content_under_its_id_is_refused(cli: CommandLine) -> None:
    opened(cli)
    path = cli.write("submission.json", samples.submission("1.2.250.1.999.1.8.1"))
    assert cli.imported(path).counts == {"stored": 1, "unchanged": 0, "refused": 0}
    assert cli.imported(path).counts == {"stored": 0, "unchanged": 1, "refused": 0}
    other = cli.write("other.json", samples.submission("1.2.250.1.999.1.8.1", content=b"Autre contenu"))
    assert cli.imported(other).status == 1
    (refusal,) = cli.refusals
    assert (refusal["name"], refusal["code"]) == (str(other), "hash-different")
    assert refusal["reason"].startswith("409 This uniqueId is in use for another content.")
    assert stored(cli, "DocumentReference") == 1


def test_a_submission_needs_no_author_and_opens_no_dossier(cli: CommandLine) -> None:
    path = cli.write("submission.json", samples.submission("1.2.250.1.999.1.8.2"))
    assert cli.imported("--open", path).status == 1
    assert [refusal["code"] for refusal in cli.refusals] == ["dmp-inexistant"]


def test_a_document_without_id_is_published_once(cli: CommandLine) -> None:
    import base64

    opened(cli)
    document = samples.document("1.2.250.1.999.1.8.3")
    attachment = document["content"][0]["attachment"]
    attachment["data"] = base64.b64encode(samples.TEXT).decode()
    path = cli.write("published.json", document)
    assert cli.imported(path).counts == {"stored": 1, "unchanged": 0, "refused": 0}
    assert cli.imported(path).counts == {"stored": 0, "unchanged": 1, "refused": 0}


def test_a_binary_that_a_document_points_to_is_unchanged_the_second_time(cli: CommandLine) -> None:
    binary = {"resourceType": "Binary", "id": "b1", "contentType": "text/plain", "data": "Qm9uam91cg=="}
    document = {
        "resourceType": "DocumentReference",
        "id": "d1",
        "status": "current",
        "content": [{"attachment": {"url": "Binary/b1", "contentType": "text/plain"}}],
    }
    path = cli.write("both.ndjson", ndjson(binary, document))
    assert cli.imported(path).counts == {"stored": 2, "unchanged": 0, "refused": 0}
    assert cli.imported(path).counts == {"stored": 0, "unchanged": 2, "refused": 0}
    changed = cli.write("changed.json", {**binary, "data": "QXUgcmV2b2ly"})
    assert cli.imported(changed).status == 1
    assert cli.refusals[0]["reason"].startswith("405 ")
    with cli.world() as world:
        assert world.admin.get("/Binary/b1").body == b"Bonjour"


def test_a_native_document_bundle_is_a_resource(cli: CommandLine) -> None:
    composition = {
        "resourceType": "Composition",
        "status": "final",
        "type": {"text": "Synthèse"},
        "date": "2026-06-12",
        "author": [{"display": "CARLIER"}],
        "title": "Synthèse",
    }
    bundle = {
        "resourceType": "Bundle",
        "id": "doc1",
        "type": "document",
        "identifier": {"system": "urn:ietf:rfc:3986", "value": "urn:oid:1.2.250.1.999.1.8.4"},
        "timestamp": "2026-06-12T10:00:00Z",
        "entry": [{"fullUrl": "urn:uuid:4c2a1d6e-5f0b-4f2e-9d0c-0f3b8a7c6d52", "resource": composition}],
    }
    path = cli.write("document.json", bundle)
    assert cli.imported(path).counts == {"stored": 1, "unchanged": 0, "refused": 0}
    assert cli.imported(path).counts == {"stored": 0, "unchanged": 1, "refused": 0}


def test_an_audit_event_keeps_its_id_and_comes_once(cli: CommandLine) -> None:
    event = {
        "resourceType": "AuditEvent",
        "id": "event-1",
        "type": {"system": "http://terminology.hl7.org/CodeSystem/audit-event-type", "code": "rest"},
        "recorded": "2025-03-04T10:00:00Z",
        "agent": [{"requestor": True, "who": {"display": "Elsewhere"}}],
        "source": {"observer": {"display": "Elsewhere"}},
        "entity": [{"what": {"reference": "Patient/p1"}}],
    }
    path = cli.write("event.json", event)
    assert cli.imported(path).counts == {"stored": 1, "unchanged": 0, "refused": 0}
    assert cli.imported(path).counts == {"stored": 0, "unchanged": 1, "refused": 0}
    with cli.world() as world:
        told = world.admin.get("/AuditEvent/event-1").json
        assert {**told, "meta": None} == {**event, "meta": None}
        assert [each["id"] for each in world.admin.get("/AuditEvent?patient=Patient/p1").entries][-1] == "event-1"
    del event["recorded"]
    assert cli.imported(cli.write("event.json", {**event, "id": "event-2"})).status == 1


@pytest.mark.statement("dmp-fhir 9.12/209")
def test_a_superseded_document_with_an_oid_as_address_is_loaded_and_found(cli: CommandLine) -> None:
    opened(cli)
    with cli.services() as services:
        patient = services.patient_id(None, samples.ANOUK)
    document = samples.document("1.2.250.1.999.1.8.5", subject={"reference": f"Patient/{patient}"})
    document["content"][0]["attachment"]["url"] = "urn:oid:1.2.250.1.999.1.8.6"
    document |= {"id": "old-1", "status": "superseded"}
    assert cli.imported(cli.write("old.json", document)).counts["stored"] == 1
    with cli.world() as world:
        answer = world.admin.get("/DocumentReference?identifier=urn:oid:1.2.250.1.999.1.8.5")
        assert [(each["id"], each["status"]) for each in answer.entries] == [("old-1", "superseded")]
