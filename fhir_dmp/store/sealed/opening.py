"""Opening a sealed store: the first time, every other time, and with the wrong key. Nothing is ever overwritten."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

from fhir_dmp.errors import ConfigurationError, Problem, StateConflict, StoreUnavailable
from fhir_dmp.ports import AuditQuery, ResourceStore, StateRecord
from fhir_dmp.store.sealed.keys import MARK_KIND, OWN_KINDS, PURPOSES, SETTING, DataKeys, Masters
from fhir_dmp.store.sealed.store import SealedStore

#: The mark of a sealed store, in its own state.
_KIND, _KEY = MARK_KIND, "store"


def seal(inner: ResourceStore, masters: Callable[[], Masters], elsewhere: ResourceStore | None = None) -> SealedStore:
    """Return the store behind its seal.

    masters: reads the file of the master keys. elsewhere: the store that keeps the data keys; this one when None.

    Raises:
        ConfigurationError: the store holds data in clear, was sealed with another master key, or its data keys are
            not where they should be.
    """
    apart = elsewhere is not None
    keys = DataKeys((elsewhere or inner).state, masters)
    mark = inner.state.get(_KIND, _KEY, _now_ms())
    if mark is None:
        _begin(inner, keys, apart=apart)
    elif bool(json.loads(mark.body)["apart"]) != apart:
        what = "are kept in a store of their own" if not apart else "are kept beside the record"
        raise ConfigurationError(Problem("store.data_keys_url", f"the data keys of this store {what}", "correct it"))
    for name in PURPOSES:
        try:
            keys.secret(name)
        except StoreUnavailable as error:
            what = f"the data key {name} of this store is missing"
            raise ConfigurationError(
                Problem(
                    "store.data_keys_url" if apart else "store.url", what, "restore the data keys; nothing was changed"
                )
            ) from error
    return SealedStore(inner, keys, elsewhere=elsewhere)


def refuse_sealed(inner: ResourceStore) -> None:
    """Refuse to open a sealed store without its key.

    Raises:
        ConfigurationError: it is sealed.
    """
    if inner.state.get(_KIND, _KEY, _now_ms()) is not None:
        raise ConfigurationError(Problem(SETTING, "this store is encrypted", "name the file of its master keys"))


def _begin(inner: ResourceStore, keys: DataKeys, *, apart: bool) -> None:
    """Seal an empty store. Several processes may begin at once: the keys of the first count."""
    state = set(inner.state.kinds()) - set(OWN_KINDS)
    if inner.sequence() > 0 or inner.audit(AuditQuery(count=1)).records or state:
        todo = "a store is encrypted from its beginning: copy this one into a new one (fhir-dmp copy)"
        raise ConfigurationError(Problem(SETTING, "this store holds data in clear", todo))
    for name in PURPOSES:
        keys.make(name)
    body = json.dumps({"apart": apart})
    try:
        inner.state.put(StateRecord(_KIND, _KEY, body), _now_ms(), expected=0)
    except StateConflict:
        return


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
