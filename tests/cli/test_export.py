"""`fhir-dmp export`, and an import of it into an empty store: the same record, contents and accesses included."""

from __future__ import annotations

import io
import json
import stat
import zipfile
from pathlib import Path
from typing import Any

import pytest

from fhir_dmp import bootstrap
from fhir_dmp.fhir.resource import content_of, parse_stored
from fhir_dmp.ports import AuditQuery, HistoryQuery, Key, Version
from tests import samples
from tests.cli.calling import CommandLine
from tests.world import World

Json = dict[str, Any]
INS = samples.ANOUK


def demo(cli: CommandLine) -> Path:
    """Load the demonstration, let the patient look at a document, and export her record."""
    with cli.world() as world:
        bootstrap.load_demo(world.services)
        patient = world.services.patient_id(None, INS)
        assert patient is not None
        world.patients[INS] = patient
        (document, *_) = world.admin.get(f"/DocumentReference?patient=Patient/{patient}&_sort=-date").entries
        assert world.patient().get(f"/DocumentReference/{document['id']}").status == 200
    done = cli("export", "--patient", INS, "--out", "record.zip")
    assert (done.status, done.err) == (0, "")
    return cli.folder / "record.zip"


def record(world: World) -> dict[Key, Json]:
    """Return every current resource of the store, without what the server stamps."""
    versions: dict[Key, Version] = {}
    before = None
    while True:
        page = world.services.store.history(HistoryQuery(count=500, before_seq=before))
        for version in page.versions:
            versions.setdefault(version.key, version)
        before = page.next_seq
        if before is None:
            break
    return {key: content_of(parse_stored(version.body)) for key, version in versions.items() if not version.deleted}


def of_patient(found: dict[Key, Json], names: list[str]) -> dict[Key, Json]:
    """Return what the archive should hold of a store that knows others too."""
    return {key: resource for key, resource in found.items() if str(key) in names}


def names_in(archive: Path) -> list[str]:
    """Return Type/id of every resource of an archive but the events."""
    found = []
    with zipfile.ZipFile(archive) as opened:
        for name in opened.namelist():
            if name.endswith(".ndjson") and name != "AuditEvent.ndjson":
                rows = [json.loads(line) for line in opened.read(name).splitlines()]
                found += [f"{row['resourceType']}/{row['id']}" for row in rows]
            elif name.startswith(("Binary/", "Bundle/")):
                found.append(name.removesuffix(".json"))
    return found


def labelled(code: str) -> list[Json]:
    """Return the JSON Patch that adds a visibility label."""
    value = {"coding": [{"system": samples.VISIBILITY, "code": code}]}
    return [{"op": "add", "path": "/securityLabel/-", "value": value}]


def events(world: World, patient: str) -> list[Json]:
    """Return the accesses, newest first, as the patient's record tells them."""
    found: list[Json] = []
    path: str | None = f"/AuditEvent?patient={patient}&_count=100"
    while path:
        answer = world.admin.get(path)
        assert answer.status == 200, answer.body
        found += answer.entries
        links = {link["relation"]: link["url"] for link in answer.json["link"]}
        path = links["next"].removeprefix(world.services.base) if "next" in links else None
    return found


def test_an_export_imported_into_an_empty_store_is_the_same_record(cli: CommandLine) -> None:
    archive = demo(cli)
    names = names_in(archive)
    with cli.world() as world:
        original = of_patient(record(world), names)
        patient = f"Patient/{world.services.patient_id(None, INS)}"
        accesses = [event["id"] for event in events(world, patient)]
        bodies = {key: world.admin.get(f"/{key}").body for key in original if key.type == "Binary"}
    assert len(bodies) > 10
    done = cli.imported(archive, store="other")
    assert (done.status, done.counts["refused"]) == (0, 0)
    with cli.world(store="other") as world:
        assert record(world) == original
        assert {key: world.admin.get(f"/{key}").body for key in bodies} == bodies
        told = events(world, patient)
    # The export itself was the last access before; the import follows, then what this test reads.
    kept = [event["id"] for event in told if event["id"] in accesses]
    assert set(accesses) - set(kept) <= set(accesses[:3])
    assert kept == [id_ for id_ in accesses if id_ in kept]
    assert len(kept) > 30


def test_an_imported_record_is_found_by_the_words_of_its_contents(cli: CommandLine) -> None:
    archive = demo(cli)
    words = ("normale", "foyer", "traitement", "le")

    def found(store: str) -> dict[str, int]:
        with cli.world(store=store) as world:
            path = f"/DocumentReference?patient={world.services.patient_id(None, INS)}&_summary=count&_content="
            return {word: world.admin.get(path + word).json["total"] for word in words}

    done = cli.imported(archive, store="other")
    assert done.counts["refused"] == 0
    assert any(found("other").values())
    with cli.world() as world:
        patient = world.services.patient_id(None, INS)
        path = f"/DocumentReference?patient={patient}&_summary=count&_content="
        assert found("other") == {word: world.admin.get(path + word).json["total"] for word in words}


def test_accesses_are_told_as_the_first_server_told_them(cli: CommandLine) -> None:
    archive = demo(cli)
    with zipfile.ZipFile(archive) as opened:
        written = [json.loads(line) for line in opened.read("AuditEvent.ndjson").splitlines()]
    assert [event["recorded"] for event in written] == sorted(event["recorded"] for event in written)
    cli.imported(archive, store="other")
    with cli.world(store="other") as world:
        for event in written:
            (carried,) = event.pop("extension")
            assert carried["url"] == "https://dmp-fhir.example/ig/StructureDefinition/audit-record"
            assert world.admin.get(f"/AuditEvent/{event['id']}").json == event


def test_what_the_patient_has_read_is_still_known_after_an_import(cli: CommandLine) -> None:
    """A document that the patient has consulted can no longer be hidden from the patient."""
    cli.imported(demo(cli), store="other")
    with cli.world(store="other") as world:
        patient = f"Patient/{world.services.patient_id(None, INS)}"
        (document, *_) = world.admin.get(f"/DocumentReference?patient={patient}&_sort=-date").entries
        patch = labelled("INVISIBLE_PATIENT")
        answer = world.admin.patch(f"/DocumentReference/{document['id']}", patch)
        assert answer.status == 422
        assert "consulted" in answer.json["issue"][0]["diagnostics"]


def test_a_second_import_changes_nothing_and_an_older_archive_overwrites_nothing(cli: CommandLine) -> None:
    archive = demo(cli)
    first = cli.imported(archive, store="other").counts["stored"]
    with cli.world(store="other") as world:
        patient = f"Patient/{world.services.patient_id(None, INS)}"
        (document, *_) = world.admin.get(f"/DocumentReference?patient={patient}&status=current").entries
        patch = labelled("MASQUE_PS")
        world.admin.patch(f"/DocumentReference/{document['id']}", patch)
        before = record(world), len(_trail(world, patient))
    assert cli.imported(archive, store="other").counts == {"stored": 0, "unchanged": first, "refused": 0}
    with cli.world(store="other") as world:
        assert (record(world), len(_trail(world, patient))) == before


def _trail(world: World, patient: str) -> list[object]:
    return list(world.services.store.audit(AuditQuery(patient=patient, count=10_000)).records)


def test_the_archive_is_readable_by_its_owner_alone_and_leaves_no_half(cli: CommandLine) -> None:
    archive = demo(cli)
    assert stat.S_IMODE(archive.stat().st_mode) == 0o600
    assert list(cli.folder.glob("*.part")) == []
    with zipfile.ZipFile(archive) as opened:
        manifest = json.loads(opened.read("manifest.json"))
        assert opened.testzip() is None
    assert (manifest["format"], manifest["version"]) == ("fhir-dmp-export", 1)
    assert INS not in json.dumps(manifest)


def test_an_export_leaves_a_trace(cli: CommandLine) -> None:
    with zipfile.ZipFile(demo(cli)) as opened:
        last = json.loads(opened.read("AuditEvent.ndjson").splitlines()[-1])
    assert last["subtype"][0]["code"] == "disclose"


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["--patient", "185032B12345628", "--out", "x.zip"], 1, "no record holds this INS"),
        (["--patient", INS, "--out", "missing/x.zip"], 2, "choose another file"),
        (["--patient", INS], 2, "--out"),
        (["--out", "x.zip"], 2, "--patient"),
    ],
)
def test_an_export_that_cannot_be_made_says_why(
    cli: CommandLine, arguments: list[str], status: int, words: str
) -> None:
    with cli.world() as world:
        world.open(INS)
    done = cli("export", *arguments)
    assert (done.status, done.out, len(done.err.splitlines())) == (status, "", 1)
    assert words in done.err
    assert list(cli.folder.glob("*.zip")) == []


# --- archives that are none, or not whole ---


def zipped(**files: str | bytes) -> bytes:
    """Return a ZIP archive; `__` in a name stands for a slash, `_json` for its suffix."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name.replace("__", "/").replace("_json", ".json"), content)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (zipped(README="hello"), "is no export of fhir-dmp (it has no manifest.json of one): unpack it"),
        (zipped(manifest_json='{"format": "other"}'), "is no export of fhir-dmp"),
        (zipped(manifest_json='{"format": "fhir-dmp-export", "patient": "Patient/x", "version": 9}'), "has form 9"),
        (zipped(manifest_json="{"), "400 The body is not JSON"),
        (b"PK\x03\x04 and then nothing", "The archive cannot be read"),
    ],
)
def test_an_archive_that_is_no_export_is_refused_in_words(cli: CommandLine, data: bytes, words: str) -> None:
    path = cli.write("strange.zip", data)
    assert cli.imported(path).status == 1
    (refusal,) = cli.refusals
    assert refusal["name"] == str(path)
    assert words in refusal["reason"]


def test_nothing_of_an_archive_is_read_when_its_patient_is_refused(cli: CommandLine) -> None:
    archive = demo(cli)
    with cli.world(store="other") as world:
        world.open(INS)
        before = record(world)
    assert cli.imported(archive, store="other").status == 1
    assert [refusal["code"] for refusal in cli.refusals] == ["duplicate", ""]
    with cli.world(store="other") as world:
        assert record(world) == before


def test_an_event_of_another_record_is_refused(cli: CommandLine) -> None:
    archive = demo(cli)
    with zipfile.ZipFile(archive) as opened:
        files = {name: opened.read(name) for name in opened.namelist()}
    manifest = json.loads(files["manifest.json"])
    files["manifest.json"] = json.dumps(manifest | {"patient": "Patient/somebody-else"}).encode()
    patient = json.dumps({"resourceType": "Patient", "id": "somebody-else"}).encode()
    forged = {"Patient.ndjson": patient} | {name: files[name] for name in ("manifest.json", "AuditEvent.ndjson")}
    done = cli.imported(cli.write("forged.zip", zipped(**forged)), store="other")
    assert done.counts["stored"] == 1
    assert {refusal["reason"] for refusal in cli.refusals} == {
        "400 This event belongs to another record than the archive's."
    }


def test_a_damaged_archive_is_refused_and_the_others_are_imported(cli: CommandLine) -> None:
    archive = demo(cli)
    data = bytearray(archive.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 400] = bytes(400)
    folder = cli.folder / "mixed"
    cli.write("mixed/damaged.zip", bytes(data))
    cli.write("mixed/good.json", {"resourceType": "Basic", "id": "b", "code": {"text": "x"}})
    done = cli.imported(folder, store="other")
    assert done.status == 1
    assert any("damaged.zip" in refusal["name"] for refusal in cli.refusals)
    with cli.services(store="other") as services:
        assert services.store.read(Key("Basic", "b")) is not None
