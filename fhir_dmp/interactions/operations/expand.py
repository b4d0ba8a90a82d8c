"""ValueSet/$expand: the codes of a value set, filtered, in pages or nested.

https://hl7.org/fhir/R4/valueset-operation-expand.html
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence

from fhir_dmp.errors import Unprocessable
from fhir_dmp.fhir.dates import instant
from fhir_dmp.fhir.fold import fold
from fhir_dmp.fhir.resource import Json
from fhir_dmp.interactions.exchange import Answer, Call
from fhir_dmp.interactions.operations.coded import Inputs, answered, definition
from fhir_dmp.interactions.operations.designations import in_language, wanted
from fhir_dmp.interactions.operations.primitives import RESOURCE
from fhir_dmp.interactions.services import Services
from fhir_dmp.interactions.terminology import Terminology
from fhir_dmp.terminology.aliases import canonical_system
from fhir_dmp.terminology.code_system import NotComputable
from fhir_dmp.terminology.listing import Row, rows
from fhir_dmp.terminology.nesting import Branch, nested
from fhir_dmp.terminology.pinned import Pinned
from fhir_dmp.terminology.value_set import Member, ValueSet, split_canonical

#: More codes are only given in pages.
CAP = 10_000
DECLARED = {
    "url": ("uri", "canonical", "string"),
    "valueSet": (RESOURCE,),
    "valueSetVersion": ("string",),
    "filter": ("string",),
    "offset": ("integer",),
    "count": ("integer",),
    "includeDesignations": ("boolean",),
    "designation": ("string",),
    "includeDefinition": ("boolean",),
    "activeOnly": ("boolean",),
    "excludeNested": ("boolean",),
    "excludeNotForUI": ("boolean",),
    "excludePostCoordinated": ("boolean",),
    "displayLanguage": ("code", "string"),
    "exclude-system": ("canonical", "uri", "string"),
    "system-version": ("canonical", "uri", "string"),
    "check-system-version": ("canonical", "uri", "string"),
    "force-system-version": ("canonical", "uri", "string"),
}
#: Parameters of R4 that are not offered: what is here has no other states than the present one, and no contexts.
REFUSED = ("context", "contextDirection", "date")
#: Members of the definition that an expansion repeats.
_KEPT = ("url", "version", "name", "title", "status", "experimental", "publisher", "copyright")


def expand(call: Call, services: Services) -> Answer:
    """Return the ValueSet with its expansion, in the order of the definition; flat unless `excludeNested` is false.

    Raises:
        BadRequest: no value set is named, or a parameter cannot be read or is not offered. NotFound: it is not loaded.
        Unprocessable: it cannot be listed from what is loaded, or it is too large to be given whole.
    """
    inputs = Inputs(call, DECLARED, REFUSED)
    terms = Terminology(services)
    asked = definition(
        call, inputs, services, body=("valueSet", ValueSet.read), by_url=terms.value_set, version="valueSetVersion"
    )
    source = Pinned(
        terms,
        wanted=inputs.versions("system-version"),
        forced=inputs.versions("force-system-version"),
        checked=inputs.versions("check-system-version"),
    )
    expansion: Json = {"identifier": f"urn:uuid:{uuid.uuid4()}", "timestamp": instant(services.clock.now_ms())}
    try:
        expansion |= _listed(asked, source, inputs)
    except NotComputable as error:
        raise Unprocessable(f"The value set cannot be expanded: {error}", code="not-supported") from error
    names = asked.resource if inputs.flag("includeDefinition") else _KEPT
    head = {name: asked.resource[name] for name in names if name in asked.resource}
    body: Json = {"resourceType": "ValueSet", "status": "active", **head}
    body["expansion"] = {name: value for name, value in expansion.items() if value != []}
    return answered(call, services, inputs, body)


def _listed(asked: ValueSet, source: Pinned, inputs: Inputs) -> Json:
    """Return total, parameters and content of the expansion.

    Raises:
        NotComputable: as `listing.rows`. Unprocessable: too many codes, or nested pages.
    """
    offset, count = inputs.number("offset"), inputs.number("count")
    words = fold(inputs.one("filter") or "").split()
    found = _kept(rows(asked, source, words=words, active_only=inputs.flag("activeOnly")), inputs)
    start = offset or 0
    if count is None and len(found) - start > CAP:
        what = f"The expansion has {len(found)} codes; ask for pages with count and offset, or give a filter."
        raise Unprocessable(what, code="too-costly", expression="count")
    told: Json = {"total": len(found)}
    if inputs.flag("excludeNested", default=True):
        told["offset"] = start
        page = found[start:] if count is None else found[start : start + count]
        told["contains"] = [_shown(row.member(), inputs) for row in page]
    elif offset is not None or count is not None:
        what = "Pages are flat: give either count and offset, or excludeNested=false."
        raise Unprocessable(what, code="not-supported", expression="excludeNested")
    else:
        told["contains"] = [_tree(branch, inputs) for branch in nested(found)]
    return {**told, "parameter": [*_said(inputs), *_versions(source)]}


def _kept(found: Sequence[Row], inputs: Inputs) -> Sequence[Row]:
    out = {canonical_system(split_canonical(url)[0]) for url in inputs.all("exclude-system")}
    if out:
        found = [row for row in found if canonical_system(row.system) not in out]
    return [row for row in found if not row.abstract] if inputs.flag("excludeNotForUI") else found


def _tree(branch: Branch, inputs: Inputs) -> Json:
    shown = _shown(branch.row.member(), inputs)
    return {**shown, "contains": [_tree(each, inputs) for each in branch.below]} if branch.below else shown


def _said(inputs: Inputs) -> Iterator[Json]:
    """Yield what decided on the content, as expansion.parameter."""
    for name, types in DECLARED.items():
        for value in inputs.all(name) if name not in ("url", "valueSet", "valueSetVersion") else ():
            if "boolean" in types:
                yield {"name": name, "valueBoolean": inputs.flag(name)}
            elif "integer" in types:
                yield {"name": name, "valueInteger": inputs.number(name)}
            else:
                yield {"name": name, "valueUri" if "uri" in types else "valueString": value}


def _versions(source: Pinned) -> list[Json]:
    return [{"name": "version", "valueUri": f"{url}|{version}"} for url, version in source.used.items()]


def _shown(member: Member, inputs: Inputs) -> Json:
    shown: Json = {"system": member.system} if member.system else {}
    if member.abstract:
        shown["abstract"] = True
    if member.inactive:
        shown["inactive"] = True
    if member.version:
        shown["version"] = member.version
    shown["code"] = member.code
    display = in_language(member.designations, inputs.one("displayLanguage")) or member.display
    if display:
        shown["display"] = display
    tokens = inputs.all("designation")
    if inputs.flag("includeDesignations", default=bool(tokens)):
        designations = [each for each in member.designations if wanted(each, tokens)]
        shown |= {"designation": designations} if designations else {}
    return shown
