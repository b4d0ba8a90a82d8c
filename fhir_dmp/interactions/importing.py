"""Import: resources, bundles and CDA documents that come from files, written under the rules of the API.

The importer acts as administrator: no author check, no dossier opened unless asked. Running it twice changes nothing:
what is there already with the same content counts as done, another content under a known uniqueId is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from fhir_dmp.errors import BadRequest, Conflict, DmpError
from fhir_dmp.fhir.resource import Json, is_id
from fhir_dmp.interactions import changes, record
from fhir_dmp.interactions.bundle_entries import payload_of
from fhir_dmp.interactions.changes import Change, Preconditions
from fhir_dmp.interactions.exchange import Answer, Call
from fhir_dmp.interactions.services import Services
from fhir_dmp.interactions.write import Plan, commit
from fhir_dmp.ports import Key

#: Resources written in one commit.
BATCH = 200
Handle = Callable[[Call], Answer]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one imported thing. name: where it stands in the input. status: stored, unchanged or refused."""

    name: str
    status: str
    reference: str = ""
    reason: str = ""
    code: str = ""


def refused(name: str, error: DmpError) -> Outcome:
    """Return the outcome of a refusal: its first issue, and the code that software acts upon."""
    issue = error.issues[0]
    code = issue.details[0].code if issue.details else issue.code
    place = f" ({issue.expression[0]})" if issue.expression else ""
    return Outcome(name, "refused", reason=f"{error.status} {issue.diagnostics}{place}", code=code)


def resources(call: Call, named: Iterable[tuple[str, Json]], services: Services, handle: Handle) -> Iterator[Outcome]:
    """Write resources, each under its own id when it has one; BATCH of them share a commit."""
    batch: list[tuple[str, Json]] = []
    for name, resource in named:
        if _is_message(resource):
            yield from _flush(call, batch, services, handle)
            batch = []
            yield from _one(call, name, resource, services, handle)
        else:
            batch.append((name, resource))
            if len(batch) >= BATCH:
                yield from _flush(call, batch, services, handle)
                batch = []
    yield from _flush(call, batch, services, handle)


def _is_message(resource: Json) -> bool:
    """Say whether this goes through an interaction of its own: a batch, a transaction, a document to publish."""
    type_ = resource.get("resourceType")
    if type_ == "Bundle":
        return resource.get("type") != "document"
    return (type_ == "DocumentReference" and "id" not in resource) or type_ == "Binary"


def _flush(call: Call, batch: Sequence[tuple[str, Json]], services: Services, handle: Handle) -> Iterator[Outcome]:
    if not batch:
        return
    planned: list[tuple[str, Change]] = []
    outcomes: dict[str, Outcome] = {}
    taken: set[Key] = set()
    for name, resource in batch:
        try:
            change = _change(call, resource, services)
        except DmpError as error:
            outcomes[name] = refused(name, error)
            continue
        if change.key is not None and change.key in taken:
            outcomes[name] = Outcome(name, "refused", str(change.key), "The same resource stands in this batch twice.")
        elif change.draft is None:
            outcomes[name] = Outcome(name, "unchanged", str(change.key))
        else:
            assert change.key is not None
            taken.add(change.key)
            planned.append((name, change))
    outcomes.update(_committed(call, planned, services))
    yield from (outcomes[name] for name, _ in batch)


def _change(call: Call, resource: Json, services: Services) -> Change:
    type_ = resource.get("resourceType")
    if not isinstance(type_, str) or not services.structures.is_resource(type_):
        raise BadRequest("This is no FHIR R4 resource: resourceType is unknown.", code="structure")
    payload = payload_of(resource, {})
    id_ = resource.get("id")
    if isinstance(id_, str) and is_id(id_):
        return changes.update(call, Key(type_, id_), payload, services, Preconditions())
    return changes.create(call, type_, payload, services, Preconditions())


def _committed(call: Call, planned: Sequence[tuple[str, Change]], services: Services) -> dict[str, Outcome]:
    """Write a batch in one commit; when one of them spoils it, write them one by one to find which."""
    if not planned:
        return {}
    try:
        _write(call, [change for _, change in planned], services)
    except Conflict as error:
        if len(planned) == 1:
            return {planned[0][0]: refused(planned[0][0], error)}
        found: dict[str, Outcome] = {}
        for each in planned:
            found.update(_committed(call, [each], services))
        return found
    return {name: Outcome(name, "stored", str(change.key)) for name, change in planned}


def _write(call: Call, planned: Sequence[Change], services: Services) -> None:
    what = [str(change.key) for change in planned]
    patients = {change.patient for change in planned}
    entry = record.record(call, "import", services, what=what, patient=patients.pop() if len(patients) == 1 else None)
    previous = {change.previous.key: change.previous for change in planned if change.previous}
    plan = Plan(drafts=tuple(change.draft for change in planned if change.draft), previous=previous)
    commit(plan, [entry], services)


def _one(call: Call, name: str, resource: Json, services: Services, handle: Handle) -> Iterator[Outcome]:
    type_ = resource.get("resourceType")
    if type_ == "Bundle" and resource.get("type") not in ("transaction", "batch"):
        inner = [
            (f"{name}#{index}", entry["resource"])
            for index, entry in enumerate(resource.get("entry", ()))
            if isinstance(entry, dict) and isinstance(entry.get("resource"), dict)
        ]
        yield from resources(call, inner, services, handle)
        return
    if type_ == "Bundle":
        path: tuple[str, ...] = ()
    else:
        path = (str(type_), str(resource["id"])) if "id" in resource else (str(type_),)
    method = "PUT" if len(path) == 2 else "POST"
    try:
        answer = handle(replace(call, method=method, path=path, payload=payload_of(resource, {})))
    except DmpError as error:
        yield _already(name, error) or refused(name, error)
        return
    yield Outcome(name, "stored", answer.location or "")


def _already(name: str, error: DmpError) -> Outcome | None:
    """Return "unchanged" for a document that is there already with the same content."""
    codes = {coding.code for issue in error.issues for coding in issue.details}
    return Outcome(name, "unchanged", reason="already stored") if "doublon-uniqueid" in codes else None


def submission(call: Call, name: str, bundle: Json, handle: Handle) -> Outcome:
    """Store one submission (a CDA wrapped from its header)."""
    try:
        handle(replace(call, method="POST", path=(), payload=payload_of(bundle, {})))
    except DmpError as error:
        return _already(name, error) or refused(name, error)
    return Outcome(name, "stored")
