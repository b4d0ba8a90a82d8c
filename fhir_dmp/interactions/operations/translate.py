"""ConceptMap/$translate: a code in another code system, forward or backward.

https://hl7.org/fhir/R4/conceptmap-operation-translate.html
"""

from __future__ import annotations

from collections.abc import Iterator

from fhir_dmp.errors import BadRequest
from fhir_dmp.fhir.elements import object_of, objects_of
from fhir_dmp.fhir.resource import Json
from fhir_dmp.interactions import authorise
from fhir_dmp.interactions.exchange import Answer, Call
from fhir_dmp.interactions.operations.coded import CODED, Asked, Inputs, answered, parameters, parts, unknown
from fhir_dmp.interactions.operations.primitives import PARTS, RESOURCE
from fhir_dmp.interactions.operations.sent import well_formed
from fhir_dmp.interactions.read import current
from fhir_dmp.interactions.services import Services
from fhir_dmp.interactions.terminology import Terminology
from fhir_dmp.terminology.aliases import canonical_system
from fhir_dmp.terminology.concept_map import ConceptMap, Dependencies, Match
from fhir_dmp.terminology.value_set import split_canonical

DECLARED = {
    **{name: types for name, types in CODED.items() if name != "display"},
    "url": ("uri", "canonical", "string"),
    "conceptMap": (RESOURCE,),
    "conceptMapVersion": ("string",),
    "source": ("uri", "canonical", "string"),
    "target": ("uri", "canonical", "string"),
    "targetsystem": ("uri", "string"),
    "dependency": (PARTS,),
    "reverse": ("boolean",),
}


def translate(call: Call, services: Services) -> Answer:
    """Return Parameters: result, and each match with its equivalence, its concept and the map that says it.

    Raises:
        BadRequest: no code or no system. NotFound: the map that was named is not loaded.
    """
    inputs = Inputs(call, DECLARED)
    terms = Terminology(services)
    maps = _maps(call, inputs, terms, services)
    into = inputs.one("targetsystem")
    found: dict[Match, None] = {}
    for asked in inputs.codes():
        if asked.system is None:
            raise BadRequest("Say of which system the code is.", code="required", expression="system")
        for each in maps:
            found.update(dict.fromkeys(_matches(each, asked, asked.system, inputs, terms)))
    kept = [each for each in found if into is None or canonical_system(each.system) == canonical_system(into)]
    result = any(each.is_translation for each in kept)
    body = parameters(
        ("result", "boolean", result),
        ("message", "string", None if result else "No map that is loaded here translates this code."),
        *(("match", "part", _shown(each)) for each in kept),
    )
    return answered(call, services, inputs, body)


def _matches(each: ConceptMap, asked: Asked, system: str, inputs: Inputs, terms: Terminology) -> Iterator[Match]:
    known = _dependencies(inputs)
    if inputs.flag("reverse"):
        return each.reversals(system, asked.code, asked.version, known)

    def other(url: str) -> ConceptMap | None:
        return next(iter(terms.concept_maps(*split_canonical(url))), None)

    return each.translations(system, asked.code, asked.version, known, other)


def _dependencies(inputs: Inputs) -> Dependencies:
    """Return what was said beside the code.

    Raises:
        BadRequest: an element or its concept is missing.
    """
    found: dict[str, frozenset[tuple[str | None, str]]] = {}
    for given in inputs.parts("dependency"):
        named = {each.get("name"): each for each in given}
        element = object_of(named.get("element")).get("valueUri")
        concept = object_of(named.get("concept")).get("valueCodeableConcept")
        codings = objects_of(concept.get("coding")) if isinstance(concept, dict) else []
        said = {(each.get("system"), str(each["code"])) for each in codings if isinstance(each.get("code"), str)}
        if not isinstance(element, str) or not said:
            text = "A dependency has the parts element (valueUri) and concept (valueCodeableConcept with codings)."
            raise BadRequest(text, code="required", expression="dependency")
        found[element] = found.get(element, frozenset()) | said
    return found


def _maps(call: Call, inputs: Inputs, terms: Terminology, services: Services) -> list[ConceptMap]:
    if len(call.path) == 3:
        found = current(call, services)
        authorise.to_read(call, found, services)
        return [services.definitions.read(found, ConceptMap.read)]
    sent = inputs.resource("conceptMap", "ConceptMap")
    if sent is not None:
        return [ConceptMap.read(well_formed(sent, services))]
    url = inputs.one("url")
    if url is not None:
        canonical, version = split_canonical(url)
        named = terms.concept_maps(canonical, version or inputs.one("conceptMapVersion"))
        if not named:
            raise unknown("The ConceptMap", url)
        return named[:1]
    return [each for each in terms.concept_maps(None) if _between(each, inputs.one("source"), inputs.one("target"))]


def _between(concept_map: ConceptMap, source: str | None, target: str | None) -> bool:
    """Say whether a map is between these value sets, as far as they were named."""
    return source in (None, concept_map.end("source")) and target in (None, concept_map.end("target"))


def _shown(match: Match) -> list[Json]:
    coding = {"system": match.system, "code": match.code, "display": match.display}
    products = (("product", "part", _product(*each)) for each in match.products)
    return parts(
        ("equivalence", "code", match.equivalence),
        ("concept", "Coding", {name: value for name, value in coding.items() if value}),
        *products,
        ("source", "uri", match.source),
    )


def _product(element: str, coding: tuple[tuple[str, str], ...]) -> list[Json]:
    return parts(("element", "uri", element), ("concept", "Coding", dict(coding)))
