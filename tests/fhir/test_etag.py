"""If-Match and If-None-Match."""

from __future__ import annotations

import pytest

from fhir_dmp.errors import BadRequest
from fhir_dmp.fhir.etag import Tags, etag, parse_tags


@pytest.mark.parametrize(
    ("header", "tags"),
    [
        ('W/"3"', Tags(versions=frozenset({3}))),
        ('"3"', Tags(versions=frozenset({3}))),
        ('"1" , W/"2",\t"30"', Tags(versions=frozenset({1, 2, 30}))),
        (" * ", Tags(any=True)),
        ('"abc"', Tags()),
        ('W/"03"', Tags()),
        ('""', Tags()),
        ('"999999999999999999999999"', Tags()),
    ],
)
def test_a_header_names_versions(header: str, tags: Tags) -> None:
    assert parse_tags(header) == tags


@pytest.mark.parametrize(
    "header", ["", "3", 'w/"3"', 'W/"3', '"1",', '*, "1"', 'W/ "3"', '"1" "2"', ",".join(['"1"'] * 200)]
)
def test_a_malformed_header_is_refused(header: str) -> None:
    with pytest.raises(BadRequest) as caught:
        parse_tags(header, "If-None-Match")
    assert caught.value.issues[0].code == "value"
    assert caught.value.issues[0].diagnostics == 'If-None-Match must be * or a list of tags such as W/"3".'


@pytest.mark.statement("fhir-rest C57")
def test_a_list_with_one_right_member_matches() -> None:
    assert parse_tags('W/"1", W/"4"').matches(4)
    assert not parse_tags('W/"1", W/"4"').matches(3)


def test_a_star_matches_every_version_but_no_absent_resource() -> None:
    assert parse_tags("*").matches(7)
    assert not parse_tags("*").matches(None)
    assert not parse_tags('"abc"').matches(None)


def test_a_tag_is_written_as_it_is_read() -> None:
    assert parse_tags(etag(12)).versions == {12}
