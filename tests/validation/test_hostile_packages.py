"""Packages that lie: about their size, their paths, their names, and the shape of what they define."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fhir_dmp import definitions, packages
from fhir_dmp.errors import BadRequest
from fhir_dmp.fhir.resource import Json
from fhir_dmp.terminology.loaded import Loaded
from fhir_dmp.validation.conformance import Profiles, judge
from tests import samples

MINE = "https://example.org/StructureDefinition/mine"
SETS = "https://example.org/ValueSet/mine"
EXTRA = "https://example.org/StructureDefinition/extra"


def definition(type_: str, url: str, *elements: Json) -> Json:
    return {
        "resourceType": "StructureDefinition",
        "id": url.rpartition("/")[2],
        "url": url,
        "name": "Mine",
        "status": "draft",
        "kind": "resource",
        "abstract": False,
        "type": type_,
        "baseDefinition": f"http://hl7.org/fhir/StructureDefinition/{type_}",
        "derivation": "constraint",
        "context": [{"type": "element", "expression": "Patient"}],
        "differential": {"element": [{"id": type_, "path": type_}, *elements]},
    }


def archive(path: Path, files: dict[str, bytes]) -> Path:
    """Write a package."""
    with tarfile.open(path, "w:gz") as made:
        for name, body in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(body)
            made.addfile(entry, io.BytesIO(body))
    return path


BODY = json.dumps(definition("Patient", MINE)).encode()


@pytest.mark.parametrize("name", ["../../escaped.json", "/etc/escaped.json", "package/../../escaped.json"])
def test_no_path_of_a_package_leads_out_of_it(tmp_path: Path, name: str) -> None:
    path = archive(
        tmp_path / "x.tgz", {name: BODY, "package/package.json": b'{"name": "../../escaped", "version": "1"}'}
    )
    kept = packages.keep(packages.read_package(path), tmp_path / "inner" / "added")
    assert kept.parent == tmp_path / "inner" / "added"
    assert {each.name for each in tmp_path.rglob("*escaped*")} == {kept.name}


def test_a_link_of_a_package_is_not_followed(tmp_path: Path) -> None:
    secret = tmp_path / "secret.json"
    secret.write_bytes(BODY)
    with tarfile.open(tmp_path / "x.tgz", "w:gz") as made:
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE):
            entry = tarfile.TarInfo("package/secret.json")
            entry.type, entry.linkname = kind, str(secret)
            made.addfile(entry)
    with pytest.raises(BadRequest, match="no conformance resource"):
        packages.read_package(tmp_path / "x.tgz")


def test_a_name_of_any_length_gives_a_file(tmp_path: Path) -> None:
    about = json.dumps({"name": "n" * 5000, "version": "1"}).encode()
    package = packages.read_package(
        archive(tmp_path / "x.tgz", {"package/package.json": about, "package/a.json": BODY})
    )
    assert packages.keep(package, tmp_path / "added").is_file()
    assert packages.drop("n" * 5000, tmp_path / "added")


def test_what_unpacks_to_too_much_is_refused_before_it_is_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packages, "MAX_TOTAL_BYTES", 100_000)
    path = archive(tmp_path / "x.tgz", {"package/a.json": BODY, "package/zeros.bin": bytes(200_000)})
    with pytest.raises(BadRequest, match="unpacks to more"):
        packages.read_package(path)


def test_a_header_that_asks_for_a_gigantic_text_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "MAX_FILE_BYTES", 100_000)
    entry = tarfile.TarInfo("pax")
    entry.type, entry.size = tarfile.XHDTYPE, 5 * 1024**3
    (tmp_path / "x.tgz").write_bytes(gzip.compress(entry.tobuf(tarfile.USTAR_FORMAT) + bytes(1024)))
    with pytest.raises(BadRequest, match="too large"):
        packages.read_package(tmp_path / "x.tgz")


def test_too_many_files_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "MAX_FILES", 3)
    path = archive(tmp_path / "x.tgz", {f"package/{number}.json": BODY for number in range(5)})
    with pytest.raises(BadRequest, match="3 files"):
        packages.read_package(path)


@pytest.mark.parametrize(
    "content",
    [b"", b"\x1f\x8b", b"\x1f\x8b\x08" + bytes(40), gzip.compress(b"no tar"), gzip.compress(bytes(512))[:-9]],
    ids=["empty", "magic alone", "broken stream", "no tar", "cut off"],
)
def test_a_damaged_package_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.tgz").write_bytes(content)
    with pytest.raises(BadRequest):
        packages.read_package(tmp_path / "x.tgz")


@pytest.mark.parametrize("body", [b"[" * 100_000, b'{"a":' * 100_000, b"\xff", b"1e", b'{"resourceType": NaN}'])
def test_what_is_no_json_is_refused(tmp_path: Path, body: bytes) -> None:
    path = archive(tmp_path / "x.tgz", {"package/a.json": body})
    with pytest.raises(BadRequest, match="not JSON"):
        packages.read_package(path)


BASE = definitions.base()
USE = {"discriminator": [{"type": "value", "path": "use"}], "rules": "open"}
CODE = [{"code": "code"}]
_sound: list[Json] = [
    definition(
        "Patient",
        MINE,
        {
            "id": "Patient.name",
            "path": "Patient.name",
            "slicing": {"discriminator": [{"type": "value", "path": "use"}]},
        },
        {"id": "Patient.name:o", "path": "Patient.name", "sliceName": "o", "min": 1, "max": "1"},
        {"id": "Patient.name:o.use", "path": "Patient.name.use", "min": 1, "fixedCode": "official"},
        {"id": "Patient.gender", "path": "Patient.gender", "binding": {"strength": "required", "valueSet": SETS}},
        {"id": "Patient.birthDate", "path": "Patient.birthDate", "maxValueDate": "2100-01-01", "maxLength": 10},
        {
            "id": "Patient.identifier",
            "path": "Patient.identifier",
            "constraint": [{"key": "x", "severity": "error", "human": "x", "expression": "value.exists()"}],
        },
    ),
    definition(
        "Extension", EXTRA, {"id": "Extension.value[x]", "path": "Extension.value[x]", "type": [{"code": "code"}]}
    ),
    {
        "resourceType": "ValueSet",
        "url": SETS,
        "status": "draft",
        "compose": {"include": [{"system": "https://example.org/s", "concept": [{"code": "female"}]}]},
    },
    {
        "resourceType": "CodeSystem",
        "url": "https://example.org/s",
        "status": "draft",
        "content": "complete",
        "concept": [{"code": "female", "concept": [{"code": "x"}]}],
    },
]
_junk: st.SearchStrategy[Any] = st.sampled_from(
    [None, True, 7, -1, 1.5, "", "x", "Patient.nose", "*", [], {}, [None], [[]], ["x"], {"a": []}]
)


@st.composite
def _deformed(draw: st.DrawFn) -> list[Json]:
    """Return the definitions with some of their parts replaced by anything, or taken away."""
    made = deepcopy(_sound)
    for _ in range(draw(st.integers(1, 3))):
        holder: Any = made[draw(st.integers(0, len(made) - 1))]
        for _ in range(draw(st.integers(0, 6))):
            keys = range(len(holder)) if isinstance(holder, list) else sorted(holder)
            inner = [key for key in keys if isinstance(holder[key], (dict, list)) and holder[key]]
            if not inner:
                break
            holder = holder[draw(st.sampled_from(inner))]
        key = draw(st.sampled_from(range(len(holder)) if isinstance(holder, list) else sorted(holder)))
        if key in ("resourceType", "url"):
            continue
        if draw(st.booleans()):
            holder[key] = draw(_junk)
        else:
            del holder[key]
            if not holder:
                break
    return made


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(_deformed())
def test_no_definition_of_any_shape_makes_the_judgement_fail(resources: list[Json]) -> None:
    profiles = Profiles(BASE, resources, Loaded(resources, definitions.terminology()))
    body = {
        **samples.patient(),
        "meta": {"profile": [MINE]},
        "extension": [{"url": EXTRA, "valueCode": "x"}, {"url": EXTRA, "extension": []}],
    }
    for issue in judge(body, profiles):
        assert issue.severity in ("error", "warning", "information")
    for url in profiles.urls():
        assert isinstance(profiles.unusable(url), str)
