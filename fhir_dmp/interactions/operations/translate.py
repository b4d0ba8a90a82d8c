"""ConceptMap/$translate: a code in another code system, forward or backward.

https://hl7.org/fhir/R4/conceptmap-operation-translate.html
"""

from __future__ import annotations

from fhir_dmp.errors import BadRequest
from fhir_dmp.fhir.resource import Json, parse_stored
from fhir_dmp.interactions import authorise
from fhir_dmp.interactions.exchange import Answer, Call
from fhir_dmp.interactions.operations.coded import CODED, Inputs, answered, parameters, parts, unknown
from fhir_dmp.interactions.operations.primitives import RESOURCE
from fhir_dmp.interactions.operations.sent import well_formed
from fhir_dmp.interactions.read import current
from fhir_dmp.interactions.services import Services
from fhir_dmp.interactions.terminology import Terminology
from fhir_dmp.terminology.aliases import canonical_system
from fhir_dmp.terminology.concept_map import Match, reversals, translations
from fhir_dmp.terminology.value_set import split_canonical

DECLARED = {
    **CODED,
    "url": ("uri", "canonical", "string"),
    "conceptMap": (RESOURCE,),
    "conceptMapVersion": ("string",),
    "source": ("uri", "canonical", "string"),
    "target": ("uri", "canonical", "string"),
    "targetsystem": ("uri", "string"),
    "reverse": ("boolean",),
}


def translate(call: Call, services: Services) -> Answer:
    """Return Parameters: result, and each match with its equivalence, its concept and the map that says it.

    Raises:
        BadRequest: no code or no system. NotFound: the map that was named is not loaded.
    """
    inputs = Inputs(call, DECLARED)
    maps = _maps(call, inputs, services)
    follow = reversals if inputs.flag("reverse") else translations
    into = inputs.one("targetsystem")
    found: dict[Match, None] = {}
    for asked in inputs.codes():
        if asked.system is None:
            raise BadRequest("Say of which system the code is.", code="required", expression="system")
        for each in maps:
            found.update(dict.fromkeys(follow(each, asked.system, asked.code)))
    kept = [each for each in found if into is None or canonical_system(each.system) == canonical_system(into)]
    result = any(each.is_translation for each in kept)
    body = parameters(
        ("result", "boolean", result),
        ("message", "string", None if result else "No map that is loaded here translates this code."),
        *(("match", "part", _shown(each)) for each in kept),
    )
    return answered(call, services, inputs, body)


def _maps(call: Call, inputs: Inputs, services: Services) -> list[Json]:
    if len(call.path) == 3:
        found = current(call, services)
        authorise.to_read(call, found, services)
        return [parse_stored(found.body)]
    sent = inputs.resource("conceptMap", "ConceptMap")
    if sent is not None:
        return [well_formed(sent, services)]
    terms, url = Terminology(services), inputs.one("url")
    if url is not None:
        canonical, version = split_canonical(url)
        named = terms.concept_maps(canonical, version or inputs.one("conceptMapVersion"))
        if not named:
            raise unknown("The ConceptMap", url)
        return named[:1]
    return [each for each in terms.concept_maps(None) if _between(each, inputs.one("source"), inputs.one("target"))]


def _between(concept_map: Json, source: str | None, target: str | None) -> bool:
    """Say whether a map is between these value sets, as far as they were named."""

    def ends(name: str, wanted: str | None) -> bool:
        given = concept_map.get(f"{name}Canonical") or concept_map.get(f"{name}Uri")
        return wanted is None or given == wanted

    return ends("source", source) and ends("target", target)


def _shown(match: Match) -> list[Json]:
    coding = {"system": match.system, "code": match.code, "display": match.display}
    return parts(
        ("equivalence", "code", match.equivalence),
        ("concept", "Coding", {name: value for name, value in coding.items() if value}),
        ("source", "uri", match.source),
    )
