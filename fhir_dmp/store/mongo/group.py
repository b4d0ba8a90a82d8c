"""The one door: commits that wait at the same time are judged and written together, in their order.

Whoever finds the door free takes everybody who waits along (so there is no thread of our own and no delay when nobody
else writes); the others find their answer ready.
"""

from __future__ import annotations

import random
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

from pymongo.errors import DuplicateKeyError, PyMongoError

from fhir_dmp.errors import DmpError, StoreUnavailable
from fhir_dmp.ports import Commit, Version
from fhir_dmp.search.terms import Terms
from fhir_dmp.store.mongo.audit import Trail
from fhir_dmp.store.mongo.blobs import MongoBlobs
from fhir_dmp.store.mongo.database import Database
from fhir_dmp.store.mongo.faults import Contention, answering
from fhir_dmp.store.mongo.gather import facts_of, gathered
from fhir_dmp.store.mongo.intents import Intents
from fhir_dmp.store.mongo.plan import Facts, Group
from fhir_dmp.store.mongo.transactions import Transaction, is_transient
from fhir_dmp.store.mongo.views import Doc, View

#: How often a group starts again after losing against another process, and the longest pause between, in s.
ATTEMPTS = 40
LONGEST_PAUSE_S = 0.1
#: Most writes that are taken along in one group.
GROUP_WRITES = 500

Answer = tuple[Version, ...] | DmpError


@dataclass
class _Waiting:
    """One commit at the door, and its answer once there is one."""

    commit: Commit
    answer: Answer | None = None


@dataclass
class _Judged:
    """The answers of a group, and what of it is to be written."""

    group: Group
    answers: list[Answer] = field(default_factory=list)

    @property
    def accepted(self) -> bool:
        """Whether there is anything to write."""
        return any(isinstance(answer, tuple) for answer in self.answers)


class Door:
    """Commits through transactions, or through intents where the server has none. Thread safe."""

    def __init__(
        self, database: Database, blobs: MongoBlobs, trail: Trail, client: Any, intents: Intents | None
    ) -> None:
        self._database = database
        self._blobs = blobs
        self._trail = trail
        self._client = client
        self._intents = intents
        self._queue: deque[_Waiting] = deque()
        self._lock = Lock()

    def commit(self, commit: Commit) -> tuple[Version, ...]:
        """Apply everything or nothing; errors as in the port."""
        with answering():
            self._blobs.put(commit.blobs)
            if commit == Commit(audit=commit.audit[:1]) and commit.audit:
                self._trail.append(commit.audit[0])
                return ()
        waiting = _Waiting(commit)
        self._queue.append(waiting)
        with self._lock:
            if waiting.answer is None:
                self._serve()
        if isinstance(waiting.answer, tuple):
            return waiting.answer
        assert waiting.answer is not None
        raise waiting.answer

    def _serve(self) -> None:
        """Answer those who wait, oldest first, until the queue that was found is empty."""
        todo = len(self._queue)
        while todo > 0:
            group = [self._queue.popleft()]
            todo -= 1
            size = len(group[0].commit.writes)
            while todo > 0 and size + len(self._queue[0].commit.writes) <= GROUP_WRITES:
                group.append(self._queue.popleft())
                todo -= 1
                size += len(group[-1].commit.writes)
            self._answer(group)

    def _answer(self, group: Sequence[_Waiting]) -> None:
        try:
            answers = self._apply([one.commit for one in group])
        except StoreUnavailable as error:
            answers = [_for_each_thread(error) for _ in group]
        except DmpError as error:
            if len(group) > 1:
                # one of them cannot be stored: each on its own, so that it spoils nobody else's
                for one in group:
                    self._answer([one])
                return
            answers = [error]
        except BaseException:
            for one in group:
                one.answer = StoreUnavailable("The commit was interrupted; nothing is known of its result.")
            raise
        for one, answer in zip(group, answers, strict=True):
            one.answer = answer

    def _apply(self, commits: Sequence[Commit]) -> list[Answer]:
        with answering():
            types = {write.type for commit in commits for write in commit.writes}
            for type_ in types:
                self._database.current(type_)  # refuses what is no name of a type
            self._database.prepare([*sorted(types), "history", "uniques", "claims", "outbox"])

            def gather(view: View, sequence: int) -> Facts:
                return facts_of(self._database, view, sequence, commits)

            return self._until_settled(lambda facts: _judge(facts, commits), gather, commits)

    def retag(self, versions: Sequence[Version], terms: Callable[[Version], Terms]) -> None:
        """Replace the index terms of current versions."""
        new = [(version, terms(version)) for version in versions]

        def gather(view: View, sequence: int) -> Facts:
            uniques = {unique for _, one in new for unique in one.uniques}
            keys = {version.key for version in versions}
            return gathered(self._database, view, sequence, keys, uniques, set(), tokens=True)

        def judge(facts: Facts) -> _Judged:
            group = Group(facts)
            for version, one in new:
                group.retag(version, one)
            return _Judged(group, [()])

        with answering(), self._lock:
            self._until_settled(judge, gather, ())

    def _until_settled(
        self, judge: Callable[[Facts], _Judged], gather: Callable[[View, int], Facts], commits: Sequence[Commit]
    ) -> list[Answer]:
        """Gather, judge and write; again from the start when another process was faster."""
        for attempt in range(ATTEMPTS):
            if attempt:
                time.sleep(random.uniform(0, min(LONGEST_PAUSE_S, 0.004 * 2**attempt)))  # noqa: S311 - not a secret
            try:
                if self._intents is not None:
                    return self._with_intents(self._intents, judge, gather, commits)
                return self._with_transaction(judge, gather, commits)
            except (Contention, DuplicateKeyError):
                continue
            except PyMongoError as error:
                if not is_transient(error):
                    raise
        raise StoreUnavailable("Too many writers at the same time; try again.")

    def _with_intents(
        self,
        intents: Intents,
        judge: Callable[[Facts], _Judged],
        gather: Callable[[View, int], Facts],
        commits: Sequence[Commit],
    ) -> list[Answer]:
        base = intents.begin()
        judged = judge(gather(View(base), base))
        if judged.accepted:
            self._keep_blobs(judged, commits)
            intents.write(judged.group.plan(self._places(commits)))
        return judged.answers

    def _with_transaction(
        self, judge: Callable[[Facts], _Judged], gather: Callable[[View, int], Facts], commits: Sequence[Commit]
    ) -> list[Answer]:
        with self._client.start_session() as session:
            transaction = Transaction(self._database, session)
            try:
                record = transaction.begin()
                judged = judge(gather(View(session=session), record["m"]))
                if judged.accepted:
                    self._keep_blobs(judged, commits)
                    transaction.write(judged.group.plan(self._places(commits)))
                return judged.answers
            finally:
                transaction.abandon()

    def _keep_blobs(self, judged: _Judged, commits: Sequence[Commit]) -> None:
        kept = [
            blob
            for commit, answer in zip(commits, judged.answers, strict=False)
            if isinstance(answer, tuple)
            for blob in commit.blobs
        ]
        self._blobs.keep(kept)

    def _places(self, commits: Sequence[Commit]) -> Mapping[str, tuple[str, int]]:
        """Return a place in the trail for each record of the commits."""
        places = {record.id: self._trail.place() for commit in commits for record in commit.audit}
        self._database.prepare(sorted({name for name, _ in places.values()}))
        return places


def _judge(facts: Facts, commits: Sequence[Commit]) -> _Judged:
    judged = _Judged(Group(facts))
    for commit in commits:
        try:
            judged.answers.append(judged.group.admit(commit))
        except DmpError as refusal:
            judged.answers.append(refusal)
    return judged


def _for_each_thread(error: StoreUnavailable) -> StoreUnavailable:
    """Return an error of its own for each caller: a traceback belongs to one thread."""
    copy = StoreUnavailable(str(error))
    copy.__cause__ = error.__cause__
    return copy


def new_record() -> Doc:
    """Return the commit record of an empty database."""
    return {"_id": "commit", "m": 0, "turn": 0}
