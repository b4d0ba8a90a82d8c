"""The JSON Patch dialect of the PDSm guide: `/extension[url:'...']/valueBoolean` is no JSON Pointer, and is accepted.

Documented here because clients send it for archiving (TD3.3d). The filter becomes the index of the extension with
that URL, or an upsert; everything else passes unchanged. The caller adds the Warning header when told so.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from fhir_dmp.errors import Unprocessable
from fhir_dmp.fhir.json_patch import apply_operations
from fhir_dmp.fhir.resource import Json
from fhir_dmp.terminology.sharing import IS_ARCHIVED, PDSM

#: The PDSm page names the search parameter where it means the extension.
_ALIASES = {f"{PDSM}/SearchParameter/PDSm-isArchived": IS_ARCHIVED}
#: The value of the Warning header that goes with an accepted non-standard pointer.
WARNING = '299 - "non standard JSON Pointer accepted"'

_QUOTES = "'\"\u201c\u201d\u2018\u2019"
_FILTER = re.compile(rf"/(modifierExtension|extension)\[url:\s*[{_QUOTES}]?([^\]{_QUOTES}]+)[{_QUOTES}]?\](/.*)?")
_BOOLEANS = {"true": True, "false": False}
_WRITES = frozenset(("add", "replace"))


def normalise_pointers(operations: Sequence[Json], resource: Json) -> tuple[list[Json], bool]:
    """Return the operations as plain RFC 6902, one for one, and whether any of them used the dialect.

    `add` and `replace` on an extension that is absent append it. The strings "true" and "false" become booleans where
    the pointer ends in valueBoolean. Each filter is resolved on the resource as the operations before it leave it.
    """
    if not any(_FILTER.fullmatch(operation.get("path", "")) for operation in operations):
        return list(operations), False
    found: list[Json] = []
    state = resource
    for operation in operations:
        plain = _plain(operation, state)
        found.append(plain)
        try:
            state = apply_operations(state, [plain])
        except Unprocessable:
            # The patch itself fails at this operation too, and then says so with its index.
            return [*found, *operations[len(found) :]], True
    return found, True


def _plain(operation: Json, resource: Json) -> Json:
    match = _FILTER.fullmatch(operation["path"])
    if match is None:
        return operation
    kind, url, rest = match.group(1), match.group(2).strip(), match.group(3) or ""
    url = _ALIASES.get(url, url)
    plain = dict(operation)
    if rest == "/valueBoolean" and isinstance(operation.get("value"), str):
        plain["value"] = _BOOLEANS.get(operation["value"], operation["value"])
    index = _index_of(url, resource.get(kind))
    if index is None and operation["op"] in _WRITES and rest.count("/") < 2:
        plain["op"], plain["path"] = "add", f"/{kind}/-"
        plain["value"] = {"url": url, rest[1:]: plain["value"]} if rest else plain["value"]
        return plain
    if operation["op"] == "replace" and rest.count("/") == 1:
        plain["op"] = "add"  # the extension is there and may lack the element
    # An absent extension that is not written keeps an index out of range, so that the operation fails as it should.
    plain["path"] = f"/{kind}/{len(resource.get(kind) or ()) if index is None else index}{rest}"
    return plain


def _index_of(url: str, extensions: object) -> int | None:
    if not isinstance(extensions, list):
        return None
    return next((i for i, one in enumerate(extensions) if isinstance(one, dict) and one.get("url") == url), None)
