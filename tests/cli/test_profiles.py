"""`fhir-dmp validate`, `profiles` and `packages`."""

from __future__ import annotations

import json
import tarfile

from tests import samples
from tests.cli.calling import CommandLine

WEIGHT = "http://hl7.org/fhir/StructureDefinition/bodyweight"


def test_validate_judges_files_and_says_so_with_its_status(cli: CommandLine) -> None:
    (cli.folder / "good.json").write_text(json.dumps(samples.patient()))
    (cli.folder / "bad.json").write_text(json.dumps({**samples.patient(), "gender": "other"}))
    good = cli("validate", "good.json")
    assert (good.status, good.out.splitlines()[0]) == (0, "good.json: 0 errors, 0 other remarks")
    bad = cli("validate", "bad.json", "--json")
    (issue,) = json.loads(bad.out)["issue"]
    assert (bad.status, issue["expression"]) == (1, ["Patient.gender"])
    other = cli("validate", "good.json", "--profile", WEIGHT)
    assert (other.status, "The profile is about Observation" in other.out) == (1, True)


def test_the_profiles_are_written_as_a_package_that_can_be_added(cli: CommandLine) -> None:
    written = cli("profiles", "package", "ours.tgz")
    assert written.status == 0, written.err
    with tarfile.open(cli.folder / "ours.tgz") as archive:
        names = archive.getnames()
        about = json.load(archive.extractfile("package/package.json"))  # type: ignore[arg-type]
    assert about["fhirVersions"] == ["4.0.1"]
    assert "package/StructureDefinition-pdsm-simplified-publish.json" in names
    assert "package/ImplementationGuide-fhir-dmp.json" in names
    assert len(names) > 100
    assert cli("packages", "add", "ours.tgz").status == 0
    listed = cli("packages", "list")
    assert listed.out.startswith("org.fhir-dmp.profiles ")
    assert cli("packages", "remove", "org.fhir-dmp.profiles").status == 0
    assert cli("packages", "list").out == ""
    assert cli("packages", "remove", "org.fhir-dmp.profiles").status == 1
    assert WEIGHT in cli("profiles", "list").out.splitlines()


def test_a_package_that_the_server_could_not_start_with_is_refused(cli: CommandLine) -> None:
    parameter = {
        "resourceType": "SearchParameter",
        "id": "x",
        "url": "http://example.org/x",
        "code": "x",
        "base": ["Patient"],
        "type": "string",
        "expression": "Patient.name.where(",
    }
    (cli.folder / "broken").mkdir()
    (cli.folder / "broken" / "x.json").write_text(json.dumps(parameter))
    refused = cli("packages", "add", "broken")
    assert (refused.status, "http://example.org/x cannot be used" in refused.err) == (1, True)
    assert cli("packages", "list").out == ""
