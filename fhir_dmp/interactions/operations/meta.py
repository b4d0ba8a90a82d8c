"""$meta, $meta-add, $meta-delete: profiles, tags and labels in use, and changes of those of one resource.

https://hl7.org/fhir/R4/resource-operation-meta.html. A change is an ordinary new version, decided and audited.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

from fhir_dmp.access.masking import DATA_ABSENT
from fhir_dmp.errors import BadRequest, Gone, Unprocessable
from fhir_dmp.fhir.resource import Json, dump, parse_stored
from fhir_dmp.interactions import authorise, changes, record, scoping, single
from fhir_dmp.interactions.criteria_rules import rules_of
from fhir_dmp.interactions.exchange import Answer, Call
from fhir_dmp.interactions.offer import offered
from fhir_dmp.interactions.read import current, key_of
from fhir_dmp.interactions.services import Services
from fhir_dmp.ports import Version
from fhir_dmp.search.parse import parse
from fhir_dmp.search.query import Search, SortKey, either

#: The lists of Meta that are united, added to and taken from.
PARTS = ("profile", "security", "tag")
#: More labelled resources than this are not gathered in one answer.
CAP = 10_000


def meta(call: Call, services: Services) -> Answer:
    """Return Parameters with a Meta: the instance's own, or the union of what a type or the whole server uses."""
    if len(call.path) == 3:
        return _of_instance(call, services)
    type_ = call.path[0] if len(call.path) == 2 else None
    scoping.to_browse_history(call, type_, services)
    types = (type_,) if type_ else sorted(filter(services.is_offered, services.store.types()))
    united = _united(version for each in types if "search" in offered(each) for version in _labelled(each, services))
    record.keep(services, record.record(call, "operation", services, what=[type_] if type_ else []))
    return _answer(united)


def _of_instance(call: Call, services: Services) -> Answer:
    version = current(call, services)
    allowed = authorise.to_read(call, version, services)
    if version.deleted:
        raise Gone(f"This {version.type} was deleted.", headers={"ETag": f'W/"{version.version}"'})
    what = [authorise.reference(version)]
    entry = record.record(call, "operation", services, patient=allowed.patient, what=what, details=allowed.details)
    record.keep(services, entry)
    return replace(_answer(parse_stored(version.body)["meta"]), headers=allowed.headers)


def _answer(shown: Json) -> Answer:
    # FHIR has no empty object: that nothing is in use is said in words.
    nothing = {"extension": [{"url": DATA_ABSENT, "valueCode": "not-applicable"}]}
    parameter = {"name": "return", "valueMeta": shown or nothing}
    return Answer(body=dump({"resourceType": "Parameters", "parameter": [parameter]}))


def _labelled(type_: str, services: Services) -> Iterator[Version]:
    """Yield the current resources of a type that have a profile, a tag or a label.

    Raises:
        Unprocessable: there are more than CAP.
    """
    rules = rules_of(services, strict=True)
    names = ("_profile", "_security", "_tag")
    node = either(*(parse((type_,), [(f"{n}:missing", "false")], services.registry, rules).node for n in names))
    after, seen = None, 0
    while True:
        page = services.store.search(Search((type_,), node, sort=(SortKey("_id"),), count=1000, after=after))
        yield from page.versions
        seen += len(page.versions)
        after = page.next
        if after is None:
            return
        if seen >= CAP:
            raise Unprocessable(f"More than {CAP} resources of this type have labels.", code="too-costly")


def _united(versions: Iterable[Version]) -> Json:
    found: dict[str, dict[Any, Any]] = {part: {} for part in PARTS}
    for version in versions:
        for part in PARTS:
            for value in parse_stored(version.body)["meta"].get(part, ()):
                found[part].setdefault(_identity(value), value)
    return {part: list(values.values()) for part, values in found.items() if values}


def _identity(value: Any) -> object:
    """Return what makes two entries the same: the URL of a profile, system and code of a coding."""
    return (value.get("system"), value.get("code")) if isinstance(value, dict) else value


def meta_add(call: Call, services: Services) -> Answer:
    """Add profiles, tags and labels to one resource; what is there already stays as it is."""
    return _changed(call, _joined, services)


def meta_delete(call: Call, services: Services) -> Answer:
    """Take profiles, tags and labels from one resource; what is not there is no error."""
    return _changed(call, _without, services)


def _joined(kept: list[Any], given: list[Any]) -> list[Any]:
    known = set(map(_identity, kept))
    return [*kept, *(value for value in given if _identity(value) not in known)]


def _without(kept: list[Any], given: list[Any]) -> list[Any]:
    gone = set(map(_identity, given))
    return [value for value in kept if _identity(value) not in gone]


def _changed(call: Call, change: Callable[[list[Any], list[Any]], list[Any]], services: Services) -> Answer:
    given = _given(call)

    def rewrite(before: Json) -> Json:
        meta = {**before["meta"], **{part: change(before["meta"].get(part, []), given.get(part, [])) for part in PARTS}}
        return {**before, "meta": {name: value for name, value in meta.items() if value}}

    decided = changes.rewritten(call, key_of(call.path), rewrite, services, single.preconditions(call))
    done = single.finish(call, decided, services)
    stored = services.store.read(key_of(call.path))
    assert stored is not None
    return replace(_answer(parse_stored(stored.body)["meta"]), version=done.version, updated_ms=done.updated_ms)


def _given(call: Call) -> Json:
    """Return the Meta of the parameter `meta`.

    Raises:
        BadRequest: there is none, or its lists are no lists.
    """
    body = call.payload.resource if call.payload else None
    parameters = body.get("parameter") if body and body.get("resourceType") == "Parameters" else None
    for parameter in parameters if isinstance(parameters, list) else ():
        found = parameter.get("valueMeta") if isinstance(parameter, dict) and parameter.get("name") == "meta" else None
        if isinstance(found, dict) and all(isinstance(found.get(part, []), list) for part in PARTS):
            return found
    raise BadRequest(
        "Send Parameters with a parameter `meta` (valueMeta).", code="required", expression="Parameters.parameter"
    )
