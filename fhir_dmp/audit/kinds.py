"""The table of event kinds, read from audit/events.toml: codings, roles of the agents, profile. Data, parsed purely."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fhir_dmp.fhir.resource import Json

BALP = "https://profiles.ihe.net/ITI/BALP/StructureDefinition/IHE.BasicAudit."


@dataclass(frozen=True, slots=True)
class EventKind:
    """How one kind of record is told. Codings are ready to be put into a resource; profile "" claims none.

    writer: agent.type of the user by kind of caller, None when the user is an information recipient.
    """

    type: Json
    subtypes: tuple[Json, ...]
    action: str
    client: Json
    server: Json
    reader: Json
    writer: Mapping[str, Json] | None = None
    profile: str = ""
    roles: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class EventKinds:
    """All kinds, and the system of the numbers of transactions (`operation#TD1.1`)."""

    kinds: Mapping[str, EventKind]
    transactions: str

    def get(self, name: str) -> EventKind:
        """Return the row of a kind; a suffix `#TDx` is not part of its name. An unknown kind is an operation."""
        return self.kinds.get(name.partition("#")[0]) or self.kinds["operation"]


def event_kinds(text: bytes, canonical_base: str) -> EventKinds:
    """Return the table written in TOML.

    Raises:
        KeyError, tomllib.TOMLDecodeError: the packaged table is damaged (a test reads every row).
    """
    table = tomllib.loads(text.decode("utf-8").replace("{X}", canonical_base))
    systems, displays = table["systems"], table["displays"]

    def coding(written: str) -> Json:
        name, _, code = written.partition("#")
        found: Json = {"system": systems[name], "code": code}
        return {**found, "display": displays[written]} if written in displays else found

    writers = {actor: coding(written) for actor, written in table["writers"].items()}
    rows = {name: _resolved(name, table["kinds"]) for name in table["kinds"]}
    kinds = {
        name: EventKind(
            type=coding(row.get("type", "rest#rest")),
            subtypes=tuple(coding(written) for written in row["subtypes"]),
            action=row["action"],
            client=coding(row["client"]),
            server=coding(row["server"]),
            reader=coding("participation#IRCP"),
            writer=writers if row.get("user") == "writer" else None,
            profile=row.get("profile", ""),
            roles=row.get("roles", {}),
        )
        for name, row in rows.items()
    }
    return EventKinds(kinds, systems["dmp"])


def _resolved(name: str, rows: Mapping[str, Any]) -> dict[str, Any]:
    row = rows[name]
    return {**_resolved(row["like"], rows), **row} if "like" in row else dict(row)
