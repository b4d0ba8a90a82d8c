"""The JSON Patch dialect of the PDSm guide, made plain RFC 6902 before it is applied; everything else passes unchanged.

`/extension[url:'...']/valueBoolean` is no JSON Pointer, and clients send it for archiving (TD3.3d): the filter becomes
the index of the extension with that URL, or an upsert. `replace /securityLabel/0` means one label among others
(TD3.3a, b), never the loss of what stood there.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from fhir_dmp.documents.lifecycle import replace_label
from fhir_dmp.documents.rules import Rules
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
_LABEL = re.compile(r"/securityLabel/(\d{1,4})(/.*)?")
_BOOLEANS = {"true": True, "false": False}
_WRITES = frozenset(("add", "replace"))


def is_filtered(operations: Sequence[Json]) -> bool:
    """Say whether an operation has the pointer with a filter, which is answered with the Warning header."""
    return any(_FILTER.fullmatch(operation["path"]) for operation in operations)


def meant_labels(operations: Sequence[Json], resource: Json, rules: Rules, *, precise: bool) -> list[Json]:
    """Return the operations, one for one, in which `replace /securityLabel/{i}` gives all the labels it means. [3.7.3]

    precise: the request says which version it knows (If-Match). A test of the same index before makes it precise, too.

    Raises:
        Unprocessable: no label, no such index, or label-ambigu.
    """
    found: list[Json] = []
    tested: set[str] = set()
    state = resource
    for operation in operations:
        match = _LABEL.fullmatch(operation["path"])
        plain = operation
        if match is not None and operation["op"] == "test":
            tested.add(match[1])
        elif match is not None and operation["op"] == "replace" and not match[2]:
            known = precise or match[1] in tested
            labels = replace_label(state, int(match[1]), operation["value"], rules, precise=known)
            plain = {"op": "replace", "path": "/securityLabel", "value": labels}
        found.append(plain)
        try:
            state = apply_operations(state, [plain])
        except Unprocessable:
            return [*found, *operations[len(found) :]]
    return found


def normalise_pointers(operations: Sequence[Json], resource: Json) -> list[Json]:
    """Return the operations as plain RFC 6902, one for one.

    `add` and `replace` on an extension that is absent append it. The strings "true" and "false" become booleans where
    the pointer ends in valueBoolean. Each filter is resolved on the resource as the operations before it leave it.
    """
    if not is_filtered(operations):
        return list(operations)
    found: list[Json] = []
    state = resource
    for operation in operations:
        plain = _plain(operation, state)
        found.append(plain)
        try:
            state = apply_operations(state, [plain])
        except Unprocessable:
            # The patch itself fails at this operation too, and then says so with its index.
            return [*found, *operations[len(found) :]]
    return found


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
