"""How many documents were deposited whose deposit is compulsory. [dmp-fhir 6.4, order of 26 April 2022]

Counts alone: nothing of a person is read. A document counts once it is there, whether it was replaced since or not;
deleted ones do not.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any
from urllib.parse import urlencode

from fhir_dmp.interactions.criteria import criterion
from fhir_dmp.interactions.services import Services
from fhir_dmp.terminology.aliases import STRUCTURE

DOCUMENTS = "DocumentReference"


@dataclass(frozen=True, slots=True)
class Asked:
    """Days of DocumentReference.date, both included; structure: StructIdNat of the author's structure."""

    since: date | None = None
    until: date | None = None
    structure: str | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """One element of the order. since: the day from which its deposit is compulsory, empty: before the order."""

    code: str
    label: str
    since: str
    types: tuple[str, ...]
    documents: int


def report(table: Any, asked: Asked, services: Services) -> Iterator[Row]:
    """Yield a row for each element of mappings/mandatory-types.json, then one for all other documents."""
    counted = 0
    for element in table["elements"]:
        types = [(system, code) for system, codes in element["types"].items() for code in codes]
        count = _count([("type", ",".join(f"{system}|{code}" for system, code in types))], asked, services)
        counted += count
        yield Row(element["code"], element["label"], element["since"], tuple(code for _, code in types), count)
    yield Row("autres", "Autres documents", "", (), _count([], asked, services) - counted)


def _count(criteria: list[tuple[str, str]], asked: Asked, services: Services) -> int:
    pairs = [*criteria, ("status", "current,superseded")]
    if asked.since is not None:
        pairs.append(("date", f"ge{asked.since.isoformat()}"))
    if asked.until is not None:
        pairs.append(("date", f"lt{(asked.until + timedelta(days=1)).isoformat()}"))
    if asked.structure is not None:
        pairs.append(("author.organization.identifier", f"{STRUCTURE}|{asked.structure}"))
    query = criterion(DOCUMENTS, urlencode(pairs), services)
    return services.store.count((DOCUMENTS,), query.node)
