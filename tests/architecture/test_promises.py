"""What is offered is described: errors, settings, operations, search parameters, URLs, the wheel."""

from __future__ import annotations

import inspect
import json
import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from fhir_dmp import errors
from fhir_dmp.bootstrap import build
from fhir_dmp.configuration import rows
from fhir_dmp.definitions import each_json
from fhir_dmp.errors import BadRequest, DmpError
from fhir_dmp.http.openapi import document
from fhir_dmp.interactions.operations import ANY, OPERATIONS
from fhir_dmp.patients.dossier import read_opening
from fhir_dmp.settings import Settings
from fhir_dmp.store.memory import MemoryStore
from tests import samples

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
DEFINITIONS = dict(each_json("profiles/operation-definitions"))
#: https://hl7.org/fhir/R4/valueset-issue-type.html
ISSUE_TYPES = frozenset(
    """
    invalid structure required value invariant security login unknown expired forbidden suppressed processing
    not-supported duplicate multiple-matches not-found deleted too-long code-invalid extension too-costly
    business-rule conflict transient lock-error no-store exception timeout incomplete throttled informational
    """.split()  # noqa: SIM905 (a list of thirty words)
)


def error_classes() -> list[type[DmpError]]:
    """Return the tree of errors."""
    found = [each for _, each in inspect.getmembers(errors, inspect.isclass) if issubclass(each, DmpError)]
    return [each for each in found if each is not DmpError]


@pytest.mark.parametrize("error", error_classes(), ids=lambda each: each.__name__)
def test_every_error_has_a_status_an_issue_type_and_a_place_in_the_tree(error: type[DmpError]) -> None:
    assert 400 <= error.status < 600
    assert error.default_code in ISSUE_TYPES
    assert errors.__doc__ is not None
    assert re.search(rf"\b{error.__name__}\b", errors.__doc__)


def test_the_integrator_is_told_every_status() -> None:
    page = (DOCS / "integrator.md").read_text(encoding="utf-8")
    assert {error.status for error in error_classes() if f"| {error.status} |" not in page} == set()


def test_every_setting_is_documented() -> None:
    page = (DOCS / "settings.md").read_text(encoding="utf-8")
    assert [row.name for row in rows() if f"| `{row.name}` | `{row.variable}` |" not in page] == []


@pytest.mark.parametrize("name", [name for name, operation in OPERATIONS.items() if not operation.definition])
def test_an_operation_of_our_own_has_its_definition(name: str) -> None:
    operation, definition = OPERATIONS[name], DEFINITIONS[f"{name}.json"]
    assert definition["url"] == operation.canonical(Settings().canonical_base)
    assert (definition["id"], definition["code"]) == (name, name)
    assert {level for level in ("system", "type", "instance") if definition[level]} == set(operation.levels)
    assert ANY in operation.types or set(definition["resource"]) == set(operation.types)
    assert not (definition["affectsState"] and "GET" in operation.methods)


def test_every_definition_belongs_to_an_operation_and_is_valid() -> None:
    services = build(Settings(), store=MemoryStore())
    for name, definition in DEFINITIONS.items():
        assert name.removesuffix(".json") in OPERATIONS
        assert services.validate(definition) == ()


@pytest.mark.parametrize("name", ["consentement", "oppositionBrisDeGlace", "oppositionCentreRegulation", "auteur"])
def test_the_definition_of_opening_names_what_is_read(name: str) -> None:
    inputs = [each["name"] for each in DEFINITIONS["dmp-ouvrir.json"]["parameter"] if each["use"] == "in"]
    assert sorted(inputs) == sorted(
        ["patient", "consentement", "oppositionBrisDeGlace", "oppositionCentreRegulation", "auteur"]
    )
    body = samples.opening()
    body["parameter"] = [each for each in body["parameter"] if each["name"] != name] + [
        {"name": name, "valueCode": "x"}
    ]
    with pytest.raises(BadRequest, match=name):
        read_opening(body)


def test_openapi_holds_every_operation_that_the_statement_offers() -> None:
    services = build(Settings(), store=MemoryStore())
    capability = services.capability()
    api = document(capability, services.base)
    for resource in capability["rest"][0]["resource"]:
        for operation in resource.get("operation", ()):
            places = [
                path
                for path in api["paths"]
                if path.startswith(f"/{resource['type']}/") and path.endswith(f"/${operation['name']}")
            ]
            assert places, (resource["type"], operation["name"])
    assert "/Patient/$dmp-ouvrir" in api["paths"]


def test_every_search_parameter_of_the_guides_is_offered() -> None:
    services = build(Settings(), store=MemoryStore())
    offered = {
        parameter.get("definition")
        for resource in services.capability()["rest"][0]["resource"]
        for parameter in resource.get("searchParam", ())
    }
    known = {content["url"] for _, content in each_json("profiles/search-parameters")}
    chains = {content["url"] for _, content in each_json("profiles/search-parameters") if "." in content["code"]}
    assert known - chains <= offered


def test_everything_that_is_checked_in_continuous_integration_exists() -> None:
    check = (ROOT / "scripts/check").read_text(encoding="utf-8")
    for step in ("ruff format --check", "ruff check", "mypy", "lint-imports", "document-settings --check",
                 "statements --check", "scripts/test", "scripts/check-wheel"):  # fmt: skip
        assert step in check
    assert "exec scripts/check" in (ROOT / ".ci/run").read_text(encoding="utf-8")
    for name in re.findall(r"scripts/[a-z-]+", check):
        assert os.access(ROOT / name, os.X_OK), name


@pytest.mark.slow
@pytest.mark.skipif(find_spec("hatchling") is None, reason="hatchling is not installed: no wheel is built")
def test_the_wheel_holds_what_it_needs_and_starts(tmp_path: Path) -> None:
    built = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert built.returncode == 0, built.stderr
    (wheel,) = tmp_path.glob("*.whl")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("DMP_", "PYTHON"))}
    environ = {**kept, "PYTHONPATH": str(wheel), "DMP_STORE_URL": "memory:", "DMP_SECURITY_KEYS_DIR": str(tmp_path)}
    # A wheel is a ZIP archive; data files are read from disk, so it is unpacked first, as an installer does.
    site = tmp_path / "site"
    subprocess.run([sys.executable, "-m", "zipfile", "-e", str(wheel), str(site)], check=True)
    code = "import fhir_dmp, json; print(json.dumps(fhir_dmp.__file__)); from fhir_dmp.cli import main; main(['check'])"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env={**environ, "PYTHONPATH": str(site)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout.splitlines()[0]).startswith(str(site))
    assert (site / "fhir_dmp/_data/profiles/operation-definitions/dmp-ouvrir.json").is_file()
