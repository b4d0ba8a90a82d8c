"""A server that is killed while it writes keeps what it acknowledged. `scripts/bench crash` runs more rounds."""

from __future__ import annotations

from pathlib import Path

import pytest

from .rounds import run


@pytest.mark.statement("fhir-rest F174")
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_every_acknowledged_write_survives_a_kill_and_nothing_is_half_written(tmp_path: Path) -> None:
    rounds = list(run(tmp_path, rounds=3, seconds=2.5, seed=20261122))
    assert [each.problems for each in rounds] == [(), (), ()]
    assert [each.refused for each in rounds] == [0, 0, 0]
    assert 0 < rounds[0].submissions < rounds[1].submissions < rounds[2].submissions
    assert 0 < rounds[0].updates < rounds[1].updates < rounds[2].updates
