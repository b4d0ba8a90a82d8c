"""`fhir-dmp import` of CDA files: whose record, which dossier, and the same bytes back over HTTP."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from fhir_dmp.cda.header import read_header
from tests import samples
from tests.cda.making import document
from tests.cli.calling import CommandLine
from tests.flows.test_hostile_xml import HOSTILE
from tests.world import World

SAMPLES = Path(__file__).resolve().parents[1] / "files/cda"
SHARED = Path(__file__).resolve().parents[2] / "../shared/data/cda"
LEVEL_3 = (SAMPLES / "consultation-level3.xml").read_bytes()
#: The public samples hold INS of the test authority, and old ones with wrong keys.
TEST_IDENTITIES = {"DMP_IDENTITY_INS_KEY_CHECK": "warn", "DMP_IDENTITY_INS_TEST_ALLOWED": "true"}
#: A well-formed INS for the documents that state none.
SOMEBODY = samples.BASILE


def without_ins(data: bytes) -> bytes:
    """Return a CDA whose patient has a local identifier only."""
    changed = re.sub(rb'root="1.2.250.1.213.1.4.8" extension="\d+"', b'root="1.2.250.1.999.2" extension="42"', data)
    assert changed != data
    return changed


def contents(world: World) -> list[bytes]:
    """Download the content of every document over HTTP, as an administrator."""
    found = []
    for reference in world.admin.get("/DocumentReference?_count=500").entries:
        (content,) = reference["content"]
        answer = world.admin.get(content["attachment"]["url"].removeprefix(world.services.base))
        assert answer.status == 200
        found.append(answer.body)
    return found


@pytest.mark.statement("cda B43")
def test_a_cda_comes_back_byte_for_byte(cli: CommandLine) -> None:
    for path in sorted(SAMPLES.glob("*.xml")):
        assert cli.imported("--open", path).counts["stored"] == 1
        assert cli.imported("--open", path).counts == {"stored": 0, "unchanged": 1, "refused": 0}
    with cli.world() as world:
        assert sorted(contents(world)) == sorted(path.read_bytes() for path in SAMPLES.glob("*.xml"))


def test_no_dossier_is_opened_unless_asked(cli: CommandLine) -> None:
    path = cli.write("one.xml", LEVEL_3)
    assert cli.imported(path).status == 1
    assert cli.refusals == [
        {
            "name": str(path),
            "code": "dmp-inexistant",
            "reason": "422 No dossier holds the INS of this document; open it first, or import with --open.",
        }
    ]
    with cli.services() as services:
        assert services.store.types() == {}


def test_a_dossier_is_opened_once_with_the_traits_of_the_header(cli: CommandLine) -> None:
    cli.imported("--open", SAMPLES)
    with cli.world() as world:
        (patient,) = world.admin.get(f"/Patient?identifier={samples.INS}|{samples.ANOUK}").entries
        assert (patient["name"][0]["family"], patient["birthDate"], patient["gender"]) == (
            "BELLANGER",
            "1985-04-17",
            "female",
        )
        (consent,) = world.admin.get(f"/Consent?patient=Patient/{patient['id']}").entries
        assert consent["category"][1]["coding"][0]["code"] == "dmp-opening"


def test_a_cda_without_ins_needs_a_patient(cli: CommandLine) -> None:
    path = cli.write("one.xml", without_ins(LEVEL_3))
    assert cli.imported("--open", path).status == 1
    assert cli.refusals[0]["reason"] == "422 The CDA states no INS; say whose it is with --patient."
    assert cli.imported("--open", "--patient", SOMEBODY, path).counts["stored"] == 1
    with cli.world() as world:
        (document,) = world.admin.get(f"/DocumentReference?patient.identifier={samples.INS}|{SOMEBODY}").entries
        assert document["subject"]["identifier"]["value"] == SOMEBODY


def test_the_ins_that_a_cda_states_wins_over_the_one_given(cli: CommandLine) -> None:
    assert cli.imported("--open", "--patient", SOMEBODY, cli.write("one.xml", LEVEL_3)).counts["stored"] == 1
    with cli.services() as services:
        assert services.patient_id(None, SOMEBODY) is None
        assert services.patient_id(None, samples.ANOUK) is not None


def test_the_patient_given_may_be_known_by_another_authority(cli: CommandLine) -> None:
    test_authority = "urn:oid:1.2.250.1.213.1.4.10"
    path = cli.write("one.xml", without_ins(LEVEL_3))
    named = f"{test_authority}|{SOMEBODY}"
    assert cli.imported("--open", "--patient", named, path, **TEST_IDENTITIES).counts["stored"] == 1
    other = cli.write("two.xml", without_ins(LEVEL_3).replace(read_header(LEVEL_3).id.root.encode(), b"2.25.77"))
    assert cli.imported("--patient", SOMEBODY, other, **TEST_IDENTITIES).counts["stored"] == 1
    with cli.services(**TEST_IDENTITIES) as services:
        assert services.store.types()["Patient"] == 1


def test_an_absent_predecessor_is_a_warning(cli: CommandLine) -> None:
    done = cli.imported("--open", "--warnings", "warnings.ndjson", cli.write("one.xml", LEVEL_3))
    assert (done.status, done.counts) == (0, {"stored": 1, "unchanged": 0, "refused": 0, "warnings": 1})
    assert '"code": "cible-inconnue"' in (cli.folder / "warnings.ndjson").read_text()
    replaced = read_header(LEVEL_3).replaced
    assert replaced is not None
    with cli.world() as world:
        (document,) = world.admin.get("/DocumentReference").entries
        assert document["relatesTo"][0]["target"]["identifier"]["value"] == replaced.extension


def test_another_content_under_the_id_of_a_document_is_refused(cli: CommandLine) -> None:
    cli.imported("--open", cli.write("one.xml", LEVEL_3))
    other = cli.write("other.xml", LEVEL_3.replace(b"</title>", b" bis</title>", 1))
    assert cli.imported("--open", other).status == 1
    assert [(refusal["name"], refusal["code"]) for refusal in cli.refusals] == [(str(other), "hash-different")]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"<ClinicalDocument", "not well-formed XML (line 1"),
        (b"<!DOCTYPE x><ClinicalDocument/>", "A DTD is not allowed"),
        (b"<html/>", "no ClinicalDocument"),
        (LEVEL_3.replace(b'extension="285047511200314"', b'extension="285047511200315"'), "control key"),
    ],
)
def test_a_bad_document_is_refused_in_words(cli: CommandLine, data: bytes, words: str) -> None:
    assert cli.imported("--open", cli.write("bad.xml", data)).status == 1
    assert words in cli.refusals[0]["reason"]


# --- the public samples ---


def shared_samples() -> list[Path]:
    return sorted(SHARED.glob("*.xml"))


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared folder with the public CDA samples is absent")
@pytest.mark.timeout(300)
def test_every_public_sample_is_submitted_and_downloaded_byte_for_byte(tmp_path: Path) -> None:
    assert len(shared_samples()) == 151
    for number, path in enumerate(shared_samples()):
        folder = tmp_path / str(number)
        folder.mkdir()
        store = f"sqlite:///{folder}/record.sqlite3"
        cli = CommandLine(folder, {"DMP_STORE_URL": store, "DMP_SERVER_ACCESS_LOG": "false", **TEST_IDENTITIES})
        done = cli.imported("--open", "--patient", SOMEBODY, path)
        assert (done.status, done.counts["stored"]) == (0, 1), (path.name, cli.refusals)
        with cli.world() as world:
            assert contents(world) == [path.read_bytes()], path.name


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared folder with the public CDA samples is absent")
@pytest.mark.timeout(300)
def test_second_contents_under_a_known_id_are_refused_and_reported(cli: CommandLine) -> None:
    cli.environ |= TEST_IDENTITIES
    ids = Counter((header.id.root, header.id.extension) for header in map(read_header, _all_bytes()))
    shared_ids = [count for count in ids.values() if count > 1]
    assert len(shared_ids) == 23
    cli.imported("--open", "--patient", SOMEBODY, SHARED, "--jobs", 2)
    codes = Counter(refusal["code"] for refusal in cli.refusals)
    # One sample replaces a document of the same person, or of another one: two samples have its id, and with two
    # processes either may come first.
    assert codes.pop("patient-discordant", 0) in (0, 1)
    assert codes == {"hash-different": sum(shared_ids) - len(shared_ids)}
    assert all(Path(refusal["name"]).is_file() for refusal in cli.refusals)
    again = cli.imported("--open", "--patient", SOMEBODY, SHARED)
    assert again.counts["stored"] == 0
    assert again.counts["refused"] == len(cli.refusals)


def _all_bytes() -> list[bytes]:
    return [path.read_bytes() for path in shared_samples()]


# --- the public examples in FHIR ---

EXAMPLES = SHARED.parent / "pdsm4dmp-examples"
#: The INS of every example; its control key is wrong.
EXAMPLE_INS = "123456789012345"


@pytest.mark.skipif(not EXAMPLES.is_dir(), reason="the shared folder with the examples of the guide is absent")
@pytest.mark.statement("dmp-fhir 9.12/206", "dmp-fhir 9.12/207", "dmp-fhir 9.12/208")
def test_the_examples_of_the_guide_are_imported_and_found_together(cli: CommandLine) -> None:
    cli.environ |= TEST_IDENTITIES
    with cli.world() as world:
        world.open(EXAMPLE_INS)
    for path in sorted(EXAMPLES.glob("*.json")):
        done = cli.imported(path, DMP_DOCUMENTS_VERIFY_HASH="warn")  # the published hashes are placeholders
        assert (done.status, done.counts["refused"]) == (0, 0), (path.name, cli.refusals)
    with cli.world() as world:
        found = world.admin.get(f"/DocumentReference?patient.identifier={samples.INS}|{EXAMPLE_INS}")
        kinds = {each["content"][0]["attachment"]["contentType"] for each in found.entries}
        assert (found.json["total"], kinds) == (4, {"application/fhir+json", "application/xml"})
        native = next(each for each in found.entries if each["id"] == "example-annexe-docref-fhir")
        path_of_content = native["content"][0]["attachment"]["url"].removeprefix(world.services.base)
        assert world.admin.get(path_of_content).json["type"] == "document"
    again = cli.imported(EXAMPLES, DMP_DOCUMENTS_VERIFY_HASH="warn")
    assert (again.counts["unchanged"], again.counts["refused"]) == (5, 0), (again.counts, cli.refusals)


def test_an_import_refuses_hostile_xml_file_by_file_and_goes_on(cli: CommandLine) -> None:
    paths = [cli.write(f"{number:02}.xml", data) for number, data in enumerate(HOSTILE.values())]
    done = cli.imported("--open", *paths, cli.write("good.xml", document()))
    assert (done.counts["stored"], done.counts["refused"]) == (1, len(HOSTILE)), cli.refusals
    assert not any("internal error" in one["reason"] for one in cli.refusals), cli.refusals


@pytest.mark.statement("cda B25")
def test_a_type_that_no_table_knows_is_refused_and_reported(cli: CommandLine) -> None:
    path = cli.write("other.xml", document(code='<code code="99999-9" codeSystem="2.16.840.1.113883.6.1"/>'))
    assert cli.imported("--open", path).counts["stored"] == 0
    assert [one["code"] for one in cli.refusals] == ["type-inconnu"]
