"""Small fictitious writes for the contract suite."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fhir_dmp.audit.record import AuditRecord
from fhir_dmp.errors import DmpError
from fhir_dmp.ports import Commit, Key, ResourceStore, Version, Write
from fhir_dmp.search.query import SortValue
from fhir_dmp.search.terms import NO_TERMS, Terms

T0 = 1_700_000_000_000
DOC = "DocumentReference"


def body_of(type_: str, id_: str, version: int, text: str = "") -> bytes:
    """Return bytes that no JSON library would write this way: spaces, digits and accents must survive."""
    meta = f'"meta":{{"versionId":"{version}"}}'
    return f'{{"resourceType":"{type_}", "id":"{id_}",{meta},"é":1.10,"text":"{text}"}}'.encode()


def doc(
    id_: str,
    version: int = 1,
    *,
    at: int = T0,
    type_: str = DOC,
    tokens: Sequence[str] = (),
    sort: Mapping[str, tuple[SortValue, SortValue]] | None = None,
    uniques: Sequence[str] = (),
    text: str = "",
    **more: Any,
) -> Write:
    """Return a write of one version."""
    terms = Terms(tokens=tuple(tokens), sort=sort or {}, uniques=tuple(uniques), **more)
    return Write(type_, id_, version, at, body_of(type_, id_, version, text), terms, "POST" if version == 1 else "PUT")


def gone(id_: str, version: int, *, at: int = T0, type_: str = DOC, terms: Terms = NO_TERMS) -> Write:
    """Return a deletion."""
    return Write(type_, id_, version, at, b"", terms, "DELETE", deleted=True)


def put(store: ResourceStore, *writes: Write) -> list[Version]:
    """Store each write in a commit of its own (every store can)."""
    return [store.commit(Commit(writes=(write,)))[0] for write in writes]


def ids(versions: Sequence[Version]) -> list[str]:
    """Return the ids of the versions, in their order."""
    return [version.id for version in versions]


def record(id_: str, at: int = T0, patient: str | None = "Patient/p1", **more: Any) -> AuditRecord:
    """Return an audit record of a read."""
    return AuditRecord(id_, "read", at, patient=patient, **more)


def refusal(store: ResourceStore, commit: Commit) -> DmpError:
    """Return the error with which the store refuses the commit."""
    try:
        store.commit(commit)
    except DmpError as error:
        return error
    raise AssertionError("the commit was accepted")


def key(id_: str, type_: str = DOC) -> Key:
    """Return the key of a document."""
    return Key(type_, id_)
