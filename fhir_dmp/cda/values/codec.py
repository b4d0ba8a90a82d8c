"""What a codec is: a pair of functions that read and write one data type.

A reader returns the value and whether the writer makes the same element of it again; when it does not, the engine
keeps the element beside the value.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import tzinfo
from typing import Any, NamedTuple, Protocol

from fhir_dmp.cda.knowledge import Knowledge, Part
from fhir_dmp.cda.places import Place
from fhir_dmp.cda.xml import Element
from fhir_dmp.fhir.resource import Json


class Read(NamedTuple):
    """A value read. exact: the writer gives the same elements back. value None: the elements say that there is none."""

    value: Any
    exact: bool


class Reader(Protocol):
    """What reading a value may need of the document around it."""

    knowledge: Knowledge
    zone: tzinfo

    def text_of(self, reference: str, element: Element) -> str | None:
        """Return the narrative text that a reference (`#id` or `id`) names, None when there is none."""

    def lose(self, element: Element, reason: str, *, kept: bool = False) -> None:
        """Report what has no place in FHIR."""


class Writer(Protocol):
    """What writing a value may need of the bundle around it."""

    knowledge: Knowledge

    def resolve(self, reference: Any) -> Json | None:
        """Return the resource that a Reference names, None when it is not in the bundle."""

    def drop(self, where: str, reason: str) -> None:
        """Report what has no place in CDA."""


Decoder = Callable[[Sequence[Element], Part, Reader], Read | None]
Encoder = Callable[[Any, Part, str, Writer], list[Element]]


@dataclass(frozen=True, slots=True)
class Codec:
    """One data type, both ways."""

    read: Decoder
    write: Encoder


def _never(value: Any, part: Part, name: str, writer: Writer) -> list[Element]:
    return []


PLAIN = Part((), None, Place(()), "", {})
