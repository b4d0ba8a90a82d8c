"""ValueSet/$expand: the codes of a value set, filtered and in pages.

https://hl7.org/fhir/R4/valueset-operation-expand.html
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from fhir_dmp.errors import Unprocessable
from fhir_dmp.fhir.dates import instant
from fhir_dmp.fhir.resource import Json
from fhir_dmp.interactions.exchange import Answer, Call
from fhir_dmp.interactions.operations.coded import Inputs, answered, definition
from fhir_dmp.interactions.operations.primitives import RESOURCE
from fhir_dmp.interactions.services import Services
from fhir_dmp.interactions.terminology import Terminology
from fhir_dmp.search.fold import fold
from fhir_dmp.terminology.aliases import canonical_system
from fhir_dmp.terminology.code_system import NotComputable
from fhir_dmp.terminology.value_set import Member, ValueSet, members, split_canonical

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
    "displayLanguage": ("code", "string"),
    "exclude-system": ("canonical", "uri", "string"),
}
#: Members of the definition that an expansion repeats.
_KEPT = ("url", "version", "name", "title", "status", "experimental", "publisher", "copyright")


def expand(call: Call, services: Services) -> Answer:
    """Return the ValueSet with its expansion: flat, in the order of the definition.

    Raises:
        BadRequest: no value set is named, or a parameter cannot be read. NotFound: it is not loaded.
        Unprocessable: it cannot be listed from what is loaded, or it is too large to be given whole.
    """
    inputs = Inputs(call, DECLARED)
    terms = Terminology(services)
    asked = definition(
        call, inputs, services, body=("valueSet", ValueSet.read), by_url=terms.value_set, version="valueSetVersion"
    )
    offset, count = inputs.number("offset") or 0, inputs.number("count")
    try:
        found = members(asked, terms, active_only=inputs.flag("activeOnly"))
    except NotComputable as error:
        raise Unprocessable(f"The value set cannot be expanded: {error}", code="not-supported") from error
    kept = _filtered(found, inputs)
    if count is None and len(kept) - offset > CAP:
        what = f"The expansion has {len(kept)} codes; ask for pages with count and offset, or give a filter."
        raise Unprocessable(what, code="too-costly", expression="count")
    page = kept[offset:] if count is None else kept[offset : offset + count]
    expansion = {
        "identifier": f"urn:uuid:{uuid.uuid4()}",
        "timestamp": instant(services.clock.now_ms()),
        "total": len(kept),
        "offset": offset,
        "parameter": _said(inputs),
        "contains": [_shown(member, inputs) for member in page],
    }
    head = {name: asked.resource[name] for name in _KEPT if name in asked.resource}
    body: Json = {"resourceType": "ValueSet", "status": "active", **head}
    body["expansion"] = {name: value for name, value in expansion.items() if value != []}
    return answered(call, services, inputs, body)


def _filtered(found: Sequence[Member], inputs: Inputs) -> Sequence[Member]:
    out = {canonical_system(split_canonical(url)[0]) for url in inputs.all("exclude-system")}
    kept = [member for member in found if canonical_system(member.system) not in out] if out else found
    words = fold(inputs.one("filter") or "").split()
    return [member for member in kept if _matches(member, words)] if words else kept


def _matches(member: Member, words: Sequence[str]) -> bool:
    """Say whether each word begins a word of one of the names, or the code; without regard to case and accents."""
    names = (member.code, member.display, *(str(each.get("value", "")) for each in member.designations))
    parts = [part for name in names for part in fold(name).split()]
    return all(any(part.startswith(word) for part in parts) for word in words)


def _said(inputs: Inputs) -> list[Json]:
    """Return what decided on the content, as expansion.parameter."""
    said: list[Json] = []
    for name in ("filter", "displayLanguage"):
        said += [{"name": name, "valueString": value} for value in inputs.all(name)]
    said += [{"name": "exclude-system", "valueUri": value} for value in inputs.all("exclude-system")]
    if inputs.one("activeOnly") is not None:
        said.append({"name": "activeOnly", "valueBoolean": inputs.flag("activeOnly")})
    if (count := inputs.number("count")) is not None:
        said.append({"name": "count", "valueInteger": count})
    return said


def _shown(member: Member, inputs: Inputs) -> Json:
    shown: Json = {"system": member.system} if member.system else {}
    if member.abstract:
        shown["abstract"] = True
    if member.inactive:
        shown["inactive"] = True
    if member.version:
        shown["version"] = member.version
    shown["code"] = member.code
    display = _display(member, inputs.one("displayLanguage"))
    if display:
        shown["display"] = display
    if inputs.flag("includeDesignations") and member.designations:
        shown["designation"] = list(member.designations)
    return shown


def _display(member: Member, language: str | None) -> str:
    """Return the name in the language that was asked for, the usual one when there is none."""
    return in_language(member.designations, language) or member.display


def in_language(designations: Sequence[Json], language: str | None) -> str | None:
    """Return the first designation in a language (`fr` is satisfied by `fr-FR`), None when there is none."""
    if not language:
        return None
    wanted = language.lower()
    spoken = ((str(each.get("language", "")).lower(), each.get("value")) for each in designations)
    return next((str(value) for said, value in spoken if said == wanted or said.startswith(f"{wanted}-")), None)
