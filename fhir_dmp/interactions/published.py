"""The conformance resources that this server publishes of itself: everything in profiles/ but the tables of R4.

They are ordinary resources of the store, so that they are read, searched and included like any other. Written when they
are missing or differ from the release's; several processes may do so at once.
"""

from __future__ import annotations

from collections.abc import Iterable

from fhir_dmp.errors import VersionConflict
from fhir_dmp.fhir.draft import Draft
from fhir_dmp.fhir.resource import Json, dump, parse, parse_stored, same_content
from fhir_dmp.identity.caller import Actor, Caller
from fhir_dmp.interactions import record
from fhir_dmp.interactions.exchange import Call
from fhir_dmp.interactions.services import Services
from fhir_dmp.interactions.write import Plan, commit
from fhir_dmp.ports import Key, RequestInfo

#: Namespace under which the release writes its own artefacts; the setting canonical_base may give another.
RELEASED = "https://dmp-fhir.example/ig"


def publish(definitions: Iterable[Json], services: Services) -> int:
    """Store the definitions that are missing or differ; return how many were written."""
    wanted = {Key(each["resourceType"], each["id"]): _ours(each, services) for each in definitions}
    held = services.store.read_many(list(wanted))
    drafts = []
    for key, resource in wanted.items():
        current = held.get(key)
        if current is None or current.deleted or not same_content(parse_stored(current.body), resource):
            drafts.append(Draft(key.type, key.id, resource, current.version if current else 0, "PUT"))
    if not drafts:
        return 0
    operator = Caller(Actor.ADMIN, "operator", client="fhir-dmp")
    call = Call("PUT", (), operator, RequestInfo(request_id="start", address="127.0.0.1", base=services.base))
    entry = record.record(call, "import", services, what=[f"{draft.type}/{draft.id}" for draft in drafts])
    try:
        commit(Plan(drafts=tuple(drafts), previous=held), [entry], services)
    except VersionConflict:
        return 0  # another process of this release was faster
    return len(drafts)


def _ours(definition: Json, services: Services) -> Json:
    """Return a definition under the configured namespace."""
    if services.canonical == RELEASED:
        return definition
    return parse(dump(definition).replace(RELEASED.encode(), services.canonical.encode()))
