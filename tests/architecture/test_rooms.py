"""The shape of the house: import contracts that hold and that bite, pure rooms, modules that say what they are."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "fhir_dmp"
PURE = ("documents", "access", "audit", "notices", "cda", "validation", "patients", "search", "identity",
        "terminology", "fhir")  # fmt: skip
MODULES = sorted(PACKAGE.rglob("*.py"))
#: Calls that read a clock, draw a number or ask the machine: arguments in a pure room.
IMPURE = {"datetime.now", "datetime.utcnow", "date.today", "time.time", "time.time_ns", "time.monotonic", "uuid.uuid4",
          "uuid4", "uuid.uuid1", "random.random", "secrets.token_urlsafe", "secrets.token_bytes", "open"}  # fmt: skip


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    """Check the import contracts of a folder that holds the package and pyproject.toml."""
    code = "from importlinter.cli import lint_imports_command as c; c(['--no-cache'])"
    environ = {**os.environ, "PYTHONPATH": str(folder)}
    return subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=environ, capture_output=True, text=True, check=False
    )


def test_the_import_contracts_hold() -> None:
    done = lint(ROOT)
    assert done.returncode == 0, done.stdout
    assert "0 broken" in done.stdout


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("fhir/bundle.py", "import fhir_dmp.search.query"),
        ("search/match.py", "import socket"),
        ("store/memory.py", "import fhir_dmp.store.sqlite.store"),
        ("http/app.py", "import fhir_dmp.store.memory"),
        ("newroom/__init__.py", '"""A room that no contract knows."""'),
    ],
)
def test_the_import_contracts_bite(tmp_path: Path, module: str, line: str) -> None:
    shutil.copytree(PACKAGE, tmp_path / "fhir_dmp", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    path = tmp_path / "fhir_dmp" / module
    path.parent.mkdir(exist_ok=True)
    before = path.read_text(encoding="utf-8") if path.exists() else ""
    path.write_text(f"{before}\n{line}\n", encoding="utf-8")
    done = lint(tmp_path)
    assert done.returncode != 0, done.stdout


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_a_module_says_what_it_is_about(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))


def calls(tree: ast.AST) -> set[str]:
    """Return the dotted names of every call."""
    return {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}


@pytest.mark.parametrize("room", PURE)
def test_a_pure_room_asks_no_clock_no_chance_and_no_disk(room: str) -> None:
    for path in sorted((PACKAGE / room).rglob("*.py")):
        found = calls(ast.parse(path.read_text(encoding="utf-8"))) & IMPURE
        assert found == set(), path.name


def test_the_door_of_the_package_imports_nothing() -> None:
    tree = ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8"))
    assert [node for node in tree.body if isinstance(node, (ast.Import, ast.ImportFrom))] == []


def test_the_architecture_page_names_every_room() -> None:
    page = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    rooms = {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").is_file()}
    rooms |= {path.stem for path in PACKAGE.glob("*.py") if path.stem != "__init__"}
    assert {room for room in rooms if f"`{room}`" not in page and f" {room} " not in page} == set()


def test_everything_is_caught_at_the_outer_doors_only() -> None:
    """Adapters wrap what they know; the doors of a request, an import, a group commit and a PDF stop the rest."""
    found = {
        path.relative_to(PACKAGE).as_posix()
        for path in MODULES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ExceptHandler) and (node.type is None or ast.unparse(node.type) == "Exception")
    }
    assert found <= {"http/fhir.py", "cli/import_work.py", "store/sqlite/writer.py", "extraction/pdf.py"}
