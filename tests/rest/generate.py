"""The least that a valid resource of a type holds, made from the R4 structures."""

from __future__ import annotations

from functools import cache
from random import Random

from tests.samples import consent
from tests.structures import STRUCTURES, _Maker
from tests.world import Json


class _Sparing(Random):
    """Chooses the first of everything, and no optional part."""

    def random(self) -> float:
        return 0.999999

    def choice(self, seq):  # type: ignore[no-untyped-def]
        return seq[0]

    def randint(self, a: int, b: int) -> int:
        return a


#: What a constraint of R4 demands beyond the mandatory elements.
_DEMANDED: dict[str, Json] = {"Consent": consent("nobody", "emergency", deny=True)}


@cache
def _minimal(type_: str) -> Json:
    return {**_Maker(_Sparing(0)).resource(type_), **_DEMANDED.get(type_, {})}


def minimal(type_: str) -> Json:
    """Return a valid resource with nothing but its mandatory elements."""
    return dict(_minimal(type_))


TYPES = STRUCTURES.resource_types
