"""An answer that left was recorded first: whoever kills the server at once finds the record of it."""

from __future__ import annotations

import sqlite3
import urllib.request
from pathlib import Path

import pytest

from fhir_dmp.audit.codec import decode
from tests.benchmarks import processes


@pytest.mark.statement("security L-21")
@pytest.mark.slow
def test_the_record_of_a_read_is_there_when_its_answer_has_arrived(tmp_path: Path) -> None:
    answered: list[str] = []
    for turn in range(3):
        with processes.server(tmp_path, "--workers", "1") as server:
            token = processes.token(server, tmp_path, "--as", "admin")
            for number in range(5):
                name = f"kill-{turn}-{number}-trace"
                headers = {"Authorization": f"Bearer {token}", "X-Request-Id": name}
                request = urllib.request.Request(f"{server.url}/fhir/Patient?_count=1", headers=headers)
                with urllib.request.urlopen(request, timeout=10) as answer:
                    answer.read()
                answered.append(name)
            server.kill()
    con = sqlite3.connect(tmp_path / "dmp.sqlite3")
    recorded = [decode(rec).request_id for (rec,) in con.execute("SELECT rec FROM audit ORDER BY seq")]
    con.close()
    assert [each for each in recorded if each in answered] == answered
