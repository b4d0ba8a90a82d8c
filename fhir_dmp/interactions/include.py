"""_include and _revinclude: what a page's resources refer to, and what refers to them, one query a type and level.

Only resources of the records that were searched, and of directories, are included: nothing of a record leaves without
an audit record of it. References are followed as the caller sees them, hidden ones left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from fhir_dmp.access.decision import Op
from fhir_dmp.access.types import Kind, type_access
from fhir_dmp.fhir.resource import parse_stored
from fhir_dmp.identity.caller import Caller
from fhir_dmp.interactions import authorise, known, masks, scoping
from fhir_dmp.interactions.services import Services
from fhir_dmp.ports import Key, Version
from fhir_dmp.search.include import included as forward
from fhir_dmp.search.include import referring
from fhir_dmp.search.query import Include, Query, Search, both

#: More included resources than this end in a warning instead of a longer answer.
CAP = 1000
DEPTH = 8

Found = tuple[Version, bytes]


def included(
    caller: Caller, query: Query, page: Sequence[Found], patients: Sequence[str], services: Services
) -> tuple[list[Found], bool]:
    """Return what is included beside the matches, each once, only what the caller may see; and whether CAP cut it.

    page: the matches with their bodies as shown. patients: the records (`Patient/id`) that may be drawn from.
    """
    seen = {version.key for version, _ in page}
    found: list[Found] = []
    frontier = page
    existing = scoping.existing(caller, patients, services)
    for level in range(DEPTH):
        rules = [rule for rule in query.includes if level == 0 or rule.iterate]
        if not rules or not frontier:
            break
        fresh: list[Version] = []
        for version in [*_forward(frontier, rules, services), *_backward(frontier, rules, existing, services)]:
            if version.key in seen or version.deleted:
                continue
            seen.add(version.key)
            if may_be_shown(caller, version, patients, services):
                fresh.append(version)
        cut = len(found) + len(fresh) > CAP
        fresh = fresh[: CAP - len(found)]
        frontier = list(zip(fresh, masks.shown(caller, fresh, services), strict=True))
        found.extend(frontier)
        if cut:
            return found, True
    return found, False


def may_be_shown(caller: Caller, version: Version, patients: Sequence[str], services: Services) -> bool:
    """Say whether a resource may stand beside what was searched in these records (`Patient/id`)."""
    if not services.is_offered(version.type) or not authorise.may_read(caller, version, services):
        return False
    if caller.is_admin:
        return True
    record = f"Patient/{version.id}" if version.type == "Patient" else version.patient
    inside = record in patients or type_access(version.type).kind in (Kind.DIRECTORY, Kind.CONFORMANCE)
    if not inside or not caller.may("r", version.type):
        return False
    if version.type == "DocumentReference" and not known.exists_for(caller, version, Op.SEARCH, services):
        return False
    return authorise.readable(caller, version, services)


def _forward(frontier: Sequence[Found], rules: Sequence[Include], services: Services) -> Iterable[Version]:
    if all(rule.reverse for rule in rules):
        return []
    resources = [parse_stored(body) for _, body in frontier]
    names = forward(resources, rules, services.registry, base=services.base, zone=services.zone)
    keys = [Key(*name.split("/", 1)) for name in names[: CAP + 1]]
    return services.store.read_many(keys).values() if keys else []


def _backward(
    frontier: Sequence[Found], rules: Sequence[Include], existing: scoping.Existing, services: Services
) -> Iterable[Version]:
    found: list[Version] = []
    keys = [str(version.key) for version, _ in frontier]
    for rule in rules:
        if not rule.reverse:
            continue
        for source, node in referring(rule, keys, services.registry):
            allowed = both(node, existing(source))
            found.extend(services.store.search(Search(types=(source,), node=allowed, count=CAP + 1)).versions)
    return found
