"""A whole store into another one: every version, content, access, notice and account, in the order of the original.

For the change to another database, and from a store in clear to an encrypted one. Nobody may write to the source
meanwhile. Interrupted, it goes on where it was: what the target holds already is left out. Checkpoints of the trail are
not copied, because each is signed over its own store: the target's trail is sealed anew.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from fhir_dmp.audit.codec import decode
from fhir_dmp.errors import ConfigurationError, Problem
from fhir_dmp.fhir.draft import Blob
from fhir_dmp.fhir.resource import parse_stored
from fhir_dmp.interactions.services import Services
from fhir_dmp.interactions.write import index_terms
from fhir_dmp.ports import AuditQuery, Commit, HistoryQuery, Key, Queued, ResourceStore, StateRecord, Version, Write
from fhir_dmp.search.query import Everything, Position, Search, SortKey
from fhir_dmp.search.terms import Terms

_KIND, _KEY = "copy", "progress"
_WINDOW = 500
#: Versions and bytes of contents in one commit; a commit of the source is never cut.
_MOST, _MOST_BYTES = 100, 16 << 20
_NOTICES = 10_000

Advance = Callable[[str, int], None]


@dataclass(frozen=True, slots=True)
class _Done:
    """How far the copy is: sequence of the last version, position of the last audit record, in the source."""

    seq: int = 0
    position: int = 0


def copy(services: Services, target: ResourceStore, advance: Advance = lambda what, count: None) -> None:
    """Copy the store of the services into the target. advance: is told what was done, and how many.

    Raises:
        ConfigurationError: the target holds something that is no unfinished copy.
    """
    done = _begun(target)
    for group in _groups(_versions(services.store, done.seq)):
        _commit_versions(group, services, target)
        done = _keep(replace(done, seq=group[-1].seq), target)
        advance("versions", len(group))
    while rows := services.store.ledger.rows(done.position, _WINDOW):
        records = [decode(data) for _, data, _ in rows]
        missing = tuple(each for each in records if target.audit_record(each.id) is None)
        if missing:
            target.commit(Commit(audit=missing))
        done = _keep(replace(done, position=rows[-1][0]), target)
        advance("audit records", len(rows))
    advance("notices", sum(_commit_notice(each, target) for each in _notices(services.store)))
    advance("records of the authorization server", _copy_state(services, target))
    target.state.remove(_KIND, _KEY)


def _begun(target: ResourceStore) -> _Done:
    mark = target.state.get(_KIND, _KEY, 0)
    if mark is not None:
        return _Done(**json.loads(mark.body))
    if target.sequence() > 0 or target.audit(AuditQuery(count=1)).records or target.state.kinds():
        raise ConfigurationError(Problem("--to", "the store is not empty", "name a new one"))
    return _keep(_Done(), target)


def _keep(done: _Done, target: ResourceStore) -> _Done:
    body = json.dumps({"seq": done.seq, "position": done.position})
    target.state.put(StateRecord(_KIND, _KEY, body), 0)
    return done


def _versions(store: ResourceStore, above: int) -> Iterator[Version]:
    """Yield every version above a sequence, oldest first: the history is read backwards once to know its windows."""
    ends: list[int | None] = [None]
    while True:
        page = store.history(HistoryQuery(count=_WINDOW, before_seq=ends[-1]))
        if page.next_seq is None or page.next_seq <= above:
            break
        ends.append(page.next_seq)
    for end in reversed(ends):
        page = store.history(HistoryQuery(count=_WINDOW, before_seq=end))
        yield from (version for version in reversed(page.versions) if version.seq > above)


def _groups(versions: Iterator[Version]) -> Iterator[list[Version]]:
    """Yield versions in groups that keep those of one moment together: contents with the documents that name them."""
    group: list[Version] = []
    contents = 0
    for version in versions:
        full = len(group) >= _MOST or contents >= _MOST_BYTES
        if full and version.updated_ms != group[-1].updated_ms:
            yield group
            group, contents = [], 0
        group.append(version)
        contents += len(version.body) + (_MOST_BYTES // 8 if version.blob else 0)
    if group:
        yield group


def _commit_versions(group: Sequence[Version], services: Services, target: ResourceStore) -> None:
    keys = list(dict.fromkeys(version.key for version in group))
    there, newest = target.read_many(keys), services.store.read_many(keys)
    blobs: dict[str, Blob] = {}
    writes = []
    for version in group:
        present = there.get(version.key)
        if present is None or present.version < version.version:
            current = newest[version.key].version == version.version
            writes.append(_write(version, services, target, blobs, current=current))
    # A resource that was written twice in one commit of the source is written in two of the target.
    for part in _without_repeats(writes):
        target.commit(Commit(writes=part, blobs=tuple(blobs[each.blob] for each in part if each.blob is not None)))


def _write(
    version: Version, services: Services, target: ResourceStore, blobs: dict[str, Blob], *, current: bool
) -> Write:
    """Return a version as the target writes it; only the newest is found by its terms."""
    terms = Terms(patient=version.patient)
    if current and not version.deleted:
        terms = index_terms(parse_stored(version.body), services)
    name = None
    if version.blob is not None:
        blob = target.blobs.stage(services.store.blobs.read(version.blob))
        name = blob.sha256
        blobs.setdefault(name, blob)
    return Write(
        type=version.type,
        id=version.id,
        version=version.version,
        updated_ms=version.updated_ms,
        body=version.body,
        terms=terms,
        method=version.method,
        deleted=version.deleted,
        blob=name,
    )


def _without_repeats(writes: Sequence[Write]) -> Iterator[tuple[Write, ...]]:
    cuts, seen = [0], set[Key]()
    for number, write in enumerate(writes):
        key = Key(write.type, write.id)
        if key in seen:
            cuts.append(number)
            seen = set()
        seen.add(key)
    for start, end in pairwise([*cuts, len(writes)]):
        if end > start:
            yield tuple(writes[start:end])


def _notices(store: ResourceStore) -> Iterator[Queued]:
    after: Position | None = None
    while True:
        page = store.search(Search(("Patient",), Everything(), (SortKey("_id"),), _WINDOW, after=after))
        for version in page.versions:
            yield from reversed(store.outbox.inbox(str(version.key), _NOTICES))
        after = page.next
        if after is None:
            return


def _commit_notice(queued: Queued, target: ResourceStore) -> int:
    notice = queued.notice
    if target.outbox.find(notice.id) is None:
        target.commit(Commit(notices=(notice,)))
    if queued.done_ms is not None:
        target.outbox.settle(notice.id, queued.outcome, queued.done_ms)
    elif (queued.due_ms, queued.attempts) != (notice.due_ms, 0):
        target.outbox.defer(notice.id, queued.due_ms, queued.attempts)
    return 1


def _copy_state(services: Services, target: ResourceStore) -> int:
    now_ms, count = services.clock.now_ms(), 0
    for kind in services.store.state.kinds():
        after = ""
        while page := services.store.state.listed(kind, now_ms, after=after, count=_WINDOW):
            for record in page:
                target.state.put(record, now_ms)
            count += len(page)
            after = page[-1].key
    return count
