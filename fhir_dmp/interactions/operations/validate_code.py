"""ValueSet/$validate-code and CodeSystem/$validate-code: is this code in there, and is this its name.

https://hl7.org/fhir/R4/valueset-operation-validate-code.html,
https://hl7.org/fhir/R4/codesystem-operation-validate-code.html
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from fhir_dmp.errors import BadRequest
from fhir_dmp.fhir.elements import objects_of
from fhir_dmp.fhir.fold import fold
from fhir_dmp.fhir.resource import Json
from fhir_dmp.interactions.exchange import Answer, Call
from fhir_dmp.interactions.operations.coded import CODED, Asked, Inputs, answered, definition, parameters, unknown
from fhir_dmp.interactions.operations.designations import in_language
from fhir_dmp.interactions.operations.primitives import RESOURCE
from fhir_dmp.interactions.services import Services
from fhir_dmp.interactions.terminology import Terminology
from fhir_dmp.terminology.aliases import canonical_system
from fhir_dmp.terminology.code_system import CodeSystem, Concept
from fhir_dmp.terminology.pinned import Pinned
from fhir_dmp.terminology.value_set import Source, ValueSet, contains

IN_VALUE_SET = {
    **CODED,
    "url": ("uri", "canonical", "string"),
    "valueSet": (RESOURCE,),
    "valueSetVersion": ("string",),
    "systemVersion": ("string",),
    "abstract": ("boolean",),
    "inferSystem": ("boolean",),
    "displayLanguage": ("code", "string"),
}
IN_CODE_SYSTEM = {
    **CODED,
    "url": ("uri", "canonical", "string"),
    "codeSystem": (RESOURCE,),
    "abstract": ("boolean",),
    "displayLanguage": ("code", "string"),
}
#: Parameters of R4 that are not offered: what is here has no other states than the present one, and no contexts.
REFUSED = ("context", "date")


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer about one code."""

    valid: bool
    message: str = ""
    display: str = ""


def validate_code(call: Call, services: Services) -> Answer:
    """Return Parameters: result, message when it is not so, and the display of the code.

    Raises:
        BadRequest: no code, or nothing to look it up in. NotFound: the value set or code system is not loaded.
    """
    terms = Terminology(services)
    if call.path[0] == "ValueSet":
        inputs = Inputs(call, IN_VALUE_SET, REFUSED)
        verdicts = _in_value_set(call, inputs, terms, services)
    else:
        inputs = Inputs(call, IN_CODE_SYSTEM, REFUSED)
        verdicts = _in_code_system(call, inputs, terms, services)
    return answered(call, services, inputs, _told(list(verdicts)))


def _told(verdicts: Sequence[Verdict]) -> Json:
    """Return the verdict on the codings: one that is in suffices, and the first of the others says why not."""
    best = next((each for each in verdicts if each.valid), verdicts[0])
    return parameters(
        ("result", "boolean", best.valid), ("message", "string", best.message), ("display", "string", best.display)
    )


def _in_value_set(call: Call, inputs: Inputs, terms: Terminology, services: Services) -> Iterator[Verdict]:
    value_set = definition(
        call, inputs, services, body=("valueSet", ValueSet.read), by_url=terms.value_set, version="valueSetVersion"
    )
    name = value_set.url or "sent along"
    for asked in inputs.codes():
        if asked.system is None and not inputs.flag("inferSystem", default=True):
            raise BadRequest("Say of which system the code is.", code="required", expression="system")
        yield _in_set(value_set, name, asked, inputs, _of_version(asked, terms))


def _of_version(asked: Asked, terms: Terminology) -> Source:
    """Return the definitions, the code system in the version that the code was said to be of."""
    if asked.system is None or asked.version is None:
        return terms
    return Pinned(terms, wanted={canonical_system(asked.system): asked.version})


def _in_set(value_set: ValueSet, name: str, asked: Asked, inputs: Inputs, source: Source) -> Verdict:
    found = contains(value_set, asked.system, asked.code, source)
    if found is None:
        return Verdict(False, f"Whether {_said(asked)} is in the value set {name} cannot be told: {_OPEN}.")
    if not found:
        return Verdict(False, f"{_said(asked)} is not in the value set {name}.")
    known = _known(value_set, asked, source)
    if known.abstract and inputs.one("abstract") == "false":
        return Verdict(False, f"{_said(asked)} is abstract: it groups others.", known.display)
    return _named(asked, known, inputs)


_OPEN = "what it is made of is not loaded whole"


def _known(value_set: ValueSet, asked: Asked, source: Source) -> Concept:
    """Return what is known of a code that is in the value set, the names that the value set gives it first."""
    system, given = asked.system, None
    for part in value_set.include or ():
        if part.system is not None and _same(asked.system, part.system):
            given = part.listed.get(asked.code, given)
            loaded = source.code_system(part.system, part.version) if asked.system is None else None
            if system is None and (given is not None or (loaded is not None and loaded.find(asked.code) is not None)):
                system = part.system
    loaded = source.code_system(system) if system is not None else None
    concept = (loaded.find(asked.code) if loaded is not None else None) or Concept(asked.code)
    if given is None:
        return concept
    designations = (*objects_of(given.get("designation")), *concept.designations)
    if concept.display and given.get("display"):
        designations += ({"value": concept.display},)
    return replace(concept, display=str(given.get("display") or concept.display), designations=designations)


def _same(system: str | None, other: str) -> bool:
    return system is None or canonical_system(system) == canonical_system(other)


def _in_code_system(call: Call, inputs: Inputs, terms: Terminology, services: Services) -> Iterator[Verdict]:
    asked_for = inputs.codes()
    if len(call.path) == 2 and inputs.one("url") is None and inputs.resource("codeSystem", "CodeSystem") is None:
        for asked in asked_for:
            if asked.system is None:
                raise BadRequest(
                    "Name the CodeSystem by 'url', or the code's system.", code="required", expression="url"
                )
            system = terms.code_system(asked.system, asked.version)
            if system is None:
                raise unknown("The CodeSystem", asked.system)
            yield _in_system(asked, system, inputs)
        return
    system = definition(
        call, inputs, services, body=("codeSystem", CodeSystem.read), by_url=terms.code_system, version="version"
    )
    for asked in asked_for:
        if asked.system is not None and canonical_system(asked.system) != canonical_system(system.url):
            yield Verdict(False, f"{_said(asked)} is of another system than {system.url}.")
        else:
            yield _in_system(asked, system, inputs)


def _in_system(asked: Asked, system: CodeSystem, inputs: Inputs) -> Verdict:
    concept = system.find(asked.code)
    if concept is None and system.grammar is not None:
        return Verdict(False, f"'{asked.code[:100]}' is not built by the rules of {system.name}.")
    if concept is None:
        part = "" if system.complete else ", of which only a part is loaded"
        return Verdict(False, f"The code '{asked.code[:100]}' is not in {system.url}{part}.")
    if concept.abstract and inputs.one("abstract") == "false":
        return Verdict(False, f"The code '{asked.code[:100]}' is abstract: it groups others.", concept.display)
    return _named(asked, concept, inputs)


def _named(asked: Asked, known: Concept, inputs: Inputs) -> Verdict:
    """Return the verdict on a known code: a name that it does not have makes it invalid, case and accents apart."""
    display = in_language(known.designations, inputs.one("displayLanguage")) or known.display
    names = [known.display, *(str(each.get("value", "")) for each in known.designations)]
    if asked.display and display and fold(asked.display) not in map(fold, names):
        return Verdict(False, f"The display of {_said(asked)} is '{display}', not '{asked.display[:100]}'.", display)
    return Verdict(True, display=display)


def _said(asked: Asked) -> str:
    return f"The code '{asked.code[:100]}'" + (f" of {asked.system[:200]}" if asked.system else "")
