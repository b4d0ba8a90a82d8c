"""National numbers, from their short forms to the canonical ones."""

from __future__ import annotations

import doctest

import pytest

from fhir_dmp.terminology import numbers
from fhir_dmp.terminology.numbers import professional_id, structure_id


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("10001234567", "810001234567"),
        ("810001234567", "810001234567"),
        ("751234567", "0751234567"),
        ("3750000001/AB12", "3750000001/AB12"),
        ("Claire", None),
        ("", None),
    ],
)
def test_a_professional_has_a_type_digit_before_the_number(text: str, expected: str | None) -> None:
    assert professional_id(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("750000001", "1750000001"),
        ("2A0000012", "12A0000012"),
        ("36030011223344", "336030011223344"),
        ("1750000001", "1750000001"),
        ("Hôpital", None),
    ],
)
def test_a_structure_has_a_type_digit_before_the_number(text: str, expected: str | None) -> None:
    assert structure_id(text) == expected


def test_the_examples_in_the_documentation_hold() -> None:
    assert doctest.testmod(numbers).failed == 0
