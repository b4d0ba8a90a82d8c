"""What waits between the client and the store reaches the disk encrypted only."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_dmp.http.spool import Spool


@given(st.lists(st.binary(max_size=300)), st.integers(1, 500))
def test_what_was_written_comes_back(parts: list[bytes], in_memory: int) -> None:
    with Spool(in_memory) as spool:
        assert [spool.write(part) for part in parts] == [len(part) for part in parts]
        assert b"".join(spool.chunks()) == b"".join(parts)
        assert b"".join(spool.chunks()) == b"".join(parts)


@pytest.mark.parametrize("in_memory", [10, 10_000_000])
def test_the_file_shows_nothing(in_memory: int) -> None:
    with Spool(in_memory) as spool:
        spool.write(b"Compte rendu confidentiel. " * 20_000)
        spool._file.seek(0)
        stored = spool._file.read()
        assert len(stored) == 540_000
        assert b"confidentiel" not in stored
