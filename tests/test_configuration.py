"""Where settings come from, and their page."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fhir_dmp.configuration import as_table, load, rows
from fhir_dmp.errors import ConfigurationError
from fhir_dmp.settings import Settings

ROOT = Path(__file__).resolve().parents[1]


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    (tmp_path / "dmp.toml").write_text('[server]\nport = 9000\nhost = "::1"\n')
    settings = load({"DMP_SERVER_PORT": "9001"}, tmp_path)
    assert (settings.server.port, settings.server.host) == (9001, "::1")


def test_a_variable_may_name_a_file_with_the_value(tmp_path: Path) -> None:
    (tmp_path / "url").write_text("smtp://u:p@host:25\n")
    assert load({"DMP_MAIL_SMTP_URL_FILE": str(tmp_path / "url")}, tmp_path).mail.smtp_url == "smtp://u:p@host:25"
    with pytest.raises(ConfigurationError, match="DMP_MAIL_SMTP_URL_FILE"):
        load({"DMP_MAIL_SMTP_URL_FILE": str(tmp_path / "absent")}, tmp_path)


def test_another_file_can_be_named(tmp_path: Path) -> None:
    (tmp_path / "other.toml").write_text("[server]\nport = 1234\n")
    assert load({"DMP_CONFIG": str(tmp_path / "other.toml")}, tmp_path).server.port == 1234
    with pytest.raises(ConfigurationError, match="DMP_CONFIG"):
        load({"DMP_CONFIG": str(tmp_path / "absent.toml")}, tmp_path)


@pytest.mark.parametrize(
    ("toml", "message"),
    [
        ("[server]\nprot = 1\n", "server.prot"),
        ("[sever]\nport = 1\n", "sever"),
        ('[server]\nport = "x"\n', "server.port"),
        ("port = ", "dmp.toml"),
        ('[server]\naccess = "maybe"\n', "server.access"),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, toml: str, message: str) -> None:
    (tmp_path / "dmp.toml").write_text(toml)
    with pytest.raises(ConfigurationError, match=message):
        load({}, tmp_path)


#: What must be refused, for each kind of setting.
_WRONG: dict[Any, tuple[str, ...]] = {
    int: ("", "x", "1.5", "--5", "²", "9" * 5000, "-1", "99999999999"),
    bool: ("", "maybe", "2"),
    "choices": ("nonsense", "Strict"),
    "url": ("nonsense", "ftp://dmp.example", "https://", "https://dmp.example/a b"),
    "origin": ("*", "app.example", "https://app.example/path"),
    "network": ("everybody", "10.0.0.300", "10.0.0.0/40"),
    "oid": ("1", "urn:oid:1.2", "1..2", "1.02"),
    "host": ("a b", "http://host"),
    "mailbox": ("nobody", "Dossier <>"),
}


def _wrong_values() -> Iterator[tuple[str, str]]:
    """Yield the variable of each setting that has a form, with a value that is wrong for it."""
    for row in rows():
        kind = "choices" if row.choices else row.form or type(row.default)
        for value in _WRONG.get(kind, ()):
            yield row.variable, value


def test_every_wrong_value_of_every_setting_is_refused_by_its_name() -> None:
    tried = 0
    for variable, value in _wrong_values():
        with pytest.raises(ConfigurationError) as refused:
            Settings.load({variable: value})
        assert refused.value.problem.where == variable, value[:20]
        tried += 1
    assert tried > 200


def test_no_text_holds_a_control_character() -> None:
    for row in rows():
        if isinstance(row.default, str) and not row.choices:
            with pytest.raises(ConfigurationError, match=row.variable):
                Settings.load({row.variable: "a\0b"})


@pytest.mark.parametrize("value", ["3", "[1, 2]", "{a = 1}"])
def test_a_list_of_the_file_holds_texts(value: str) -> None:
    with pytest.raises(ConfigurationError, match=r"server\.types_off"):
        Settings.load({}, f"[server]\ntypes_off = {value}\n")


@pytest.mark.parametrize(
    ("name", "like"), [("DMP_SERVER_PROT", "DMP_SERVER_PORT"), ("DMP_STORE_URI_FILE", "DMP_STORE_URL")]
)
def test_a_variable_that_names_no_setting_stops_the_start(name: str, like: str) -> None:
    with pytest.raises(ConfigurationError, match=f"{name}: unknown setting: did you mean {like}"):
        Settings.load({name: "1"})


def test_variables_of_others_are_left_alone() -> None:
    assert Settings.load({"DMP_TEST_MONGO_URL": "x", "DMP_CONFIG": "y", "DMP": "z", "DMP_STORE_URL_FILE": "f"})


def test_a_store_in_memory_has_one_worker(tmp_path: Path) -> None:
    assert load({"DMP_STORE_URL": "memory:"}, tmp_path).server.workers == 1
    assert load({"DMP_SERVER_WORKERS": "3"}, tmp_path).server.workers == 3
    assert load({}, tmp_path).server.workers >= 1


def test_the_page_of_settings_is_current() -> None:
    assert (ROOT / "docs" / "settings.md").read_text(encoding="utf-8") == as_table()
    done = subprocess.run([sys.executable, "scripts/document-settings", "--check"], cwd=ROOT, check=False)
    assert done.returncode == 0


def test_every_setting_says_what_it_means() -> None:
    for row in rows():
        assert row.doc, row.name
        assert row.variable == "DMP_" + row.name.upper().replace(".", "_")
