"""CodeSystem/$lookup and $subsumes: what is known of a code, and how two codes stand to each other.

https://hl7.org/fhir/R4/codesystem-operation-lookup.html, https://hl7.org/fhir/R4/codesystem-operation-subsumes.html
"""

from __future__ import annotations

from fhir_dmp.errors import BadRequest, NotFound
from fhir_dmp.fhir.resource import Json
from fhir_dmp.interactions import authorise
from fhir_dmp.interactions.exchange import Answer, Call
from fhir_dmp.interactions.operations.coded import CODE, Asked, Inputs, answered, parameters, parts, unknown
from fhir_dmp.interactions.operations.designations import in_language
from fhir_dmp.interactions.read import current
from fhir_dmp.interactions.services import Services
from fhir_dmp.interactions.terminology import Terminology
from fhir_dmp.terminology.aliases import canonical_system
from fhir_dmp.terminology.code_system import CodeSystem, Concept, value_of

LOOKUP = {**CODE, "displayLanguage": ("code", "string"), "property": ("code", "string")}
SUBSUMES = {
    "codeA": ("code", "string"),
    "codeB": ("code", "string"),
    "codingA": ("Coding",),
    "codingB": ("Coding",),
    "system": ("uri", "string"),
    "version": ("string",),
}


def lookup(call: Call, services: Services) -> Answer:
    """Return Parameters: name, version, display, designations and properties of a code.

    Raises:
        BadRequest: no code or no system. NotFound: the code system is not loaded, or has no such code.
    """
    inputs = Inputs(call, LOOKUP, refused=("date",))
    asked = inputs.codes(concept="")[0]
    system = _system_of(asked, Terminology(services))
    concept = system.find(asked.code)
    if concept is None:
        raise NotFound(f"{system.url} has no code '{asked.code[:100]}' here.", code="not-found")
    body = parameters(
        ("name", "string", system.name),
        ("version", "string", system.version),
        ("display", "string", _name(concept, inputs.one("displayLanguage"))),
        *(("designation", "part", _designation(each)) for each in concept.designations),
        *(("property", "part", each) for each in _properties(concept, system, inputs.all("property"))),
    )
    return answered(call, services, inputs, body)


def _system_of(asked: Asked, terms: Terminology) -> CodeSystem:
    if asked.system is None:
        raise BadRequest("Say of which system the code is.", code="required", expression="system")
    found = terms.code_system(asked.system, asked.version)
    if found is None:
        raise unknown("The code system", asked.system)
    return found


def _name(concept: Concept, language: str | None) -> str:
    """Return the name in a language, the usual one, or the code where it has no name here: the answer needs one."""
    return in_language(concept.designations, language) or concept.display or concept.code


def _designation(given: Json) -> list[Json]:
    return parts(
        ("language", "code", given.get("language")),
        ("use", "Coding", given.get("use")),
        ("value", "string", given.get("value")),
    )


def _properties(concept: Concept, system: CodeSystem, wanted: tuple[str, ...]) -> list[list[Json]]:
    """Return the properties that were asked for, all when none was named; parents and children are computed."""
    found: list[tuple[str, str, object]] = [("inactive", "boolean", concept.inactive)]
    found += [("definition", "string", concept.definition)] if concept.definition else []
    found += [("parent", "code", code) for code in concept.parents]
    found += [("child", "code", code) for code in system.children(concept.code)]
    taken = {"inactive", "parent", "child"}
    for each in concept.properties:
        key = next((name for name in each if name.startswith("value")), None)
        if key is not None and each.get("code") not in taken:
            found.append((str(each.get("code")), key[5:6].lower() + key[6:], value_of(each)))
    return [
        parts(("code", "code", name), ("value", "Coding" if type_ == "coding" else type_, value))
        for name, type_, value in found
        if not wanted or name in wanted or "*" in wanted
    ]


def subsumes(call: Call, services: Services) -> Answer:
    """Return Parameters with the outcome: equivalent, subsumes, subsumed-by or not-subsumed.

    Raises:
        BadRequest: a code or the system is missing, or the codes are of two systems. NotFound: system or code unknown.
    """
    inputs = Inputs(call, SUBSUMES)
    one = inputs.codes("codeA", "codingA", "")[0]
    other = inputs.codes("codeB", "codingB", "")[0]
    terms = Terminology(services)
    if len(call.path) == 3:
        found = current(call, services)
        authorise.to_read(call, found, services)
        system = services.definitions.read(found, CodeSystem.read)
    else:
        system = _system_of(one, terms)
    for each in (one, other):
        if each.system is not None and canonical_system(each.system) != canonical_system(system.url):
            raise BadRequest("Both codes must be of the same system.", code="invalid", expression=each.named)
        if system.find(each.code) is None:
            raise NotFound(f"{system.url} has no code '{each.code[:100]}' here.", code="not-found")
    return answered(call, services, inputs, parameters(("outcome", "code", system.relation(one.code, other.code))))
