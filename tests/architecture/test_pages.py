"""The pages do not lie: commands, options, settings, scripts and links that they name exist; decisions have a form."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

from fhir_dmp.cli import COMMANDS, group
from fhir_dmp.configuration import rows
from fhir_dmp.settings import ROOMS

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")])
#: Commands of interfaces to come: pages may say that they are not there yet.
LATER = {"validate", "load-demo"}
NAMES = [path.relative_to(ROOT).as_posix() for path in PAGES]


def text_of(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def options() -> dict[str, set[str]]:
    """Return the options of each command, those of its own commands included."""
    found = {}
    for name in COMMANDS:
        command = group.get_command(click.Context(group), name)
        assert command is not None
        found[name] = options_of(command) | {"--help"}
    return found


def options_of(command: click.Command) -> set[str]:
    own = {option for parameter in command.params for option in parameter.opts}
    inner = command.commands.values() if isinstance(command, click.Group) else ()
    return own.union(*map(options_of, inner))


def code_of(name: str) -> list[str]:
    """Return what a page shows as code: fenced lines and inline spans."""
    parts = text_of(name).split("```")
    fenced = [line for block in parts[1::2] for line in block.splitlines()]
    return fenced + [span for prose in parts[::2] for span in re.findall(r"`([^`]+)`", prose)]


@pytest.mark.parametrize("name", NAMES)
def test_commands_and_options_that_a_page_names_exist(name: str) -> None:
    known = options()
    for code in code_of(name):
        for command, rest in re.findall(r"fhir-dmp ([a-z]+)([^|#)]*)", code):
            if command not in LATER:
                assert command in known, code
                assert set(re.findall(r"(?<![\w-])--[a-z]+(?:-[a-z]+)*", rest)) <= known[command], code


@pytest.mark.parametrize("name", NAMES)
def test_settings_and_scripts_that_a_page_names_exist(name: str) -> None:
    settings = {row.name for row in rows()} | {row.variable for row in rows()}
    text = text_of(name)
    named = set(re.findall(rf"`((?:{'|'.join(ROOMS)})\.[a-z_]+)[` =]", text))
    variables = set(re.findall(r"`(DMP_(?!TEST_|CONFIG|FERRETDB)[A-Z_]+)[`=]", text))
    named |= {each if each in settings else each.removesuffix("_FILE") for each in variables}
    modules = {path.parent.name + "." + path.stem for path in (ROOT / "fhir_dmp").rglob("*.py")}
    assert {each for each in named - settings if each not in modules and not _is_function(each)} == set()
    assert [each for each in re.findall(r"scripts/[a-z-]+(?:\.[a-z]+)?\b", text) if not (ROOT / each).exists()] == []


def _is_function(dotted: str) -> bool:
    """`store.commit` and the like are calls, not settings."""
    return dotted.split(".")[1] in {"commit", "erase", "search", "read", "submission", "py"}


@pytest.mark.parametrize("name", NAMES)
def test_links_of_a_page_lead_somewhere(name: str) -> None:
    page = ROOT / name
    for target in re.findall(r"\]\(([^)\s]+)\)", text_of(name)):
        if not target.startswith(("http://", "https://", "mailto:")):
            assert (page.parent / target.partition("#")[0]).exists(), target


def test_decisions_are_numbered_and_say_why() -> None:
    decisions = sorted((ROOT / "docs/adr").glob("*.md"))
    numbers = [path.name[:4] for path in decisions]
    assert len(set(numbers)) == len(numbers)
    for path in decisions:
        text = path.read_text(encoding="utf-8")
        assert re.match(rf"# {path.name[:4]}\. .+\n\nStatus: (accepted|superseded)", text), path.name
        for part in ("## Context", "## Alternatives", "## Decision", "## Consequences"):
            assert part in text, (path.name, part)


def test_the_index_of_statements_is_current() -> None:
    done = subprocess.run(
        [sys.executable, "scripts/statements", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


#: The home folder of whoever worked on a file has no place in it.
_HOME = re.compile(r"/home/[a-z]|/Users/[A-Z]|C:\\\\Users")


def test_no_file_of_the_product_holds_a_path_of_somebodys_machine() -> None:
    kept = [
        path
        for name in ("fhir_dmp", "docs", "scripts", "profiles", "mappings")
        for path in (ROOT / name).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    ]
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in kept
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1)
        if _HOME.search(line)
    ]
    assert found == []
