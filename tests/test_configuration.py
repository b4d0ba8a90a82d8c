"""Where settings come from, and their page."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from fhir_dmp.configuration import as_table, load, rows
from fhir_dmp.errors import ConfigurationError

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
