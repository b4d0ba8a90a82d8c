"""Folders follow what becomes of their documents: a deleted document leaves them, in the same commit (dmp-fhir 3.7.6).

Submission sets keep what they brought; a replaced document is joined by its successor (documents/replace.py).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from fhir_dmp.documents.replace import without_items
from fhir_dmp.fhir.draft import Draft
from fhir_dmp.fhir.resource import parse_stored
from fhir_dmp.interactions.changes import Change
from fhir_dmp.interactions.services import Services
from fhir_dmp.ports import Key, Version
from fhir_dmp.search.query import AnyTerm, Search, Term, both

#: No document lies in so many folders; beyond it some keep a reference to what was deleted.
MOST = 200


def left_behind(
    changes: Iterable[Change], written: Collection[Key], services: Services
) -> tuple[tuple[Draft, ...], dict[Key, Version]]:
    """Return the folders without the documents that these changes delete, and the versions they build upon.

    written: what the same commit writes anyway, folders that the client changes by itself among them.
    """
    names = frozenset(str(change.key) for change in changes if change.deletes)
    if not names:
        return (), {}
    held = both(Term("code=c:folder"), AnyTerm(tuple(f"item=r:{name}" for name in sorted(names))))
    page = services.store.search(Search(types=("List",), node=held, count=MOST))
    folders = {version.key: version for version in page.versions if version.key not in written}
    drafts = tuple(
        Draft("List", folder.id, without_items(parse_stored(folder.body), names), folder.version, "PUT")
        for folder in folders.values()
    )
    return drafts, folders
