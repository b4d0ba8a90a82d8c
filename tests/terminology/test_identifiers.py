"""One spelling for the identifiers of professionals and structures: properties of the aliases. [dmp-fhir 2.5]"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fhir_dmp.terminology.aliases import PROFESSIONAL, STRUCTURE, canonical_identifier
from fhir_dmp.terminology.numbers import has_rpps_key

SYSTEMS = st.sampled_from(
    [
        "https://rpps.esante.gouv.fr",
        "http://rpps.fr",
        "https://finess.esante.gouv.fr",
        "http://finess.sante.gouv.fr",
        "https://sirene.fr",
        "http://sirene.fr",
        "https://adelirang.esante.gouv.fr",
        "https://rppsrang.esante.gouv.fr",
        "urn:oid:1.2.250.1.213.1.6.4.3",
        "urn:ietf:rfc:3986",
        PROFESSIONAL,
        STRUCTURE,
        "https://example.org/other",
    ]
)
NUMBERS = st.one_of(st.text(max_size=20), st.from_regex(r"[0-9]{1,16}", fullmatch=True))
RPPS = st.from_regex(r"[0-9]{11}", fullmatch=True)


@given(SYSTEMS, NUMBERS)
def test_a_canonical_identifier_is_its_own_canonical_form(system: str, value: str) -> None:
    once = canonical_identifier(system, value)
    assert canonical_identifier(*once) == once


@given(RPPS)
def test_both_addresses_of_the_register_and_the_national_number_are_one(number: str) -> None:
    forms = {canonical_identifier(system, number) for system in ("https://rpps.esante.gouv.fr", "http://rpps.fr")}
    assert forms == {(PROFESSIONAL, f"8{number}")}


@given(RPPS, st.integers(0, 99))
def test_a_rank_of_two_digits_is_that_of_three(number: str, rank: int) -> None:
    short, long = f"{number}{rank:02d}", f"{number}{rank:03d}"
    forms = [(STRUCTURE, f"4{short}"), (STRUCTURE, f"4{long}")]
    forms += [("https://rppsrang.esante.gouv.fr", each) for each in (short, long)]
    assert {canonical_identifier(*form) for form in forms} == {(STRUCTURE, f"4{long}")}


@given(RPPS, st.integers(0, 10), st.integers(1, 9))
def test_one_mistyped_digit_is_seen(number: str, place: int, by: int) -> None:
    right = next(f"8{number[:10]}{digit}" for digit in range(10) if has_rpps_key(f"8{number[:10]}{digit}"))
    wrong = str((int(right[1 + place]) + by) % 10)
    assert not has_rpps_key(right[: 1 + place] + wrong + right[2 + place :])
