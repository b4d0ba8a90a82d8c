"""`fhir-dmp validate`, `profiles` and `packages`."""

from __future__ import annotations

import json
import tarfile

from fhir_dmp import definitions
from fhir_dmp.fhir.resource import Json
from fhir_dmp.validation.conformance import judge
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
    before = set(cli.folder.rglob("*"))
    written = cli("profiles", "package", "ours.tgz")
    assert written.status == 0, written.err
    assert set(cli.folder.rglob("*")) - before == {cli.folder / "ours.tgz"}
    with tarfile.open(cli.folder / "ours.tgz") as archive:
        names = archive.getnames()
        held = {name: json.load(archive.extractfile(name)) for name in names}  # type: ignore[arg-type]
    about = held["package/package.json"]
    resources = {name: each for name, each in held.items() if "resourceType" in each}
    _the_index_and_the_guide_list(held, list(resources.values()))
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


def _the_index_and_the_guide_list(held: dict[str, Json], resources: list[Json]) -> None:
    index = {each["filename"]: each for each in held["package/.index.json"]["files"]}
    assert sorted(index) == sorted(
        name.removeprefix("package/") for name, each in held.items() if "resourceType" in each
    )
    for each in resources:
        listed = index[f"{each['resourceType']}-{each['id']}.json"]
        assert all(each[key] == value for key, value in listed.items() if key != "filename")
    guide = held["package/ImplementationGuide-fhir-dmp.json"]
    told = {each["reference"]["reference"] for each in guide["definition"]["resource"]}
    assert told == {f"{each['resourceType']}/{each['id']}" for each in resources if each is not guide}
    statement = held["package/CapabilityStatement-fhir-dmp.json"]
    assert (statement["kind"], "implementation" in statement) == ("capability", False)
    assert "extension" not in statement["rest"][0]["security"]
    profiles = definitions.profiles([each for each in resources if "url" in each])
    assert [issue for issue in judge(statement, profiles) if issue.severity == "error"] == []
    assert [issue for issue in judge(guide, profiles) if issue.severity == "error"] == []


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
