"""What leaves inside a visible resource: references to what does not exist for the caller are replaced.

A page is looked at as a whole: one read for all that its resources refer to.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from fhir_dmp.access.decision import Op
from fhir_dmp.access.masking import mask_references, may_name_hidden, references_to_check
from fhir_dmp.fhir.resource import dump, parse_stored
from fhir_dmp.identity.caller import Caller
from fhir_dmp.interactions import authorise, known
from fhir_dmp.interactions.services import Services
from fhir_dmp.ports import Key, Version


def shown(caller: Caller, versions: Sequence[Version], services: Services, op: Op = Op.READ) -> list[bytes]:
    """Return the bodies as the caller may see them. op: what the caller does with documents."""
    bodies = [version.body for version in versions]
    if caller.is_admin:
        return bodies
    suspects = {place: parse_stored(v.body) for place, v in enumerate(versions) if _is_suspect(v, services)}
    if not suspects:
        return bodies
    gone = hidden(
        caller, [name for resource in suspects.values() for name in references_to_check(resource)], op, services
    )
    for place, resource in suspects.items() if gone else ():
        kept = mask_references(resource, gone)
        if kept is not resource:
            bodies[place] = dump(kept)
    return bodies


def body_of(caller: Caller, version: Version, services: Services) -> bytes:
    """Return the body of one version as the caller may see it."""
    return shown(caller, [version], services)[0]


def _is_suspect(version: Version, services: Services) -> bool:
    if version.type == "DocumentReference" and version.body:
        return services.seen.may_name_hidden(version)
    return may_name_hidden(version.type, version.body)


def hidden(caller: Caller, names: Iterable[str], op: Op, services: Services) -> set[str]:
    """Return those of these `Type/id` that do not exist for the caller, or not at all."""
    wanted = set(names)
    gone = known.hidden_documents(caller, wanted, op, services)
    others = [name for name in wanted if not name.startswith("DocumentReference/")]
    held = services.store.read_many([Key(*name.split("/", 1)) for name in others]) if others else {}
    seen = {str(key) for key, version in held.items() if authorise.readable(caller, version, services)}
    return gone | (set(others) - seen)
