"""ValueSet/$validate-code and CodeSystem/$validate-code: is this code in there, and is this its name.

https://hl7.org/fhir/R4/valueset-operation-validate-code.html,
https://hl7.org/fhir/R4/codesystem-operation-validate-code.html
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from fhir_dmp.errors import BadRequest
from fhir_dmp.fhir.resource import Json
from fhir_dmp.interactions.exchange import Answer, Call
from fhir_dmp.interactions.operations.coded import CODED, Asked, Inputs, answered, definition, parameters, unknown
from fhir_dmp.interactions.operations.primitives import RESOURCE
from fhir_dmp.interactions.services import Services
from fhir_dmp.interactions.terminology import Terminology
from fhir_dmp.search.fold import fold
from fhir_dmp.terminology.aliases import UCUM, canonical_system
from fhir_dmp.terminology.code_system import CodeSystem
from fhir_dmp.terminology.ucum import is_unit
from fhir_dmp.terminology.value_set import ValueSet, contains

IN_VALUE_SET = {
    **CODED,
    "url": ("uri", "canonical", "string"),
    "valueSet": (RESOURCE,),
    "valueSetVersion": ("string",),
    "systemVersion": ("string",),
    "abstract": ("boolean",),
    "displayLanguage": ("code", "string"),
}
IN_CODE_SYSTEM = {
    **CODED,
    "url": ("uri", "canonical", "string"),
    "codeSystem": (RESOURCE,),
    "abstract": ("boolean",),
    "displayLanguage": ("code", "string"),
}


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
        inputs = Inputs(call, IN_VALUE_SET)
        verdicts = _in_value_set(call, inputs, terms, services)
    else:
        inputs = Inputs(call, IN_CODE_SYSTEM)
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
        found = contains(value_set, asked.system, asked.code, terms)
        if found:
            display = _display(value_set, asked, terms)
            yield _named(asked, display)
        elif found is None:
            yield Verdict(
                False, f"Whether {_said(asked)} is in the value set {name} cannot be told: it is not loaded whole."
            )
        else:
            yield Verdict(False, f"{_said(asked)} is not in the value set {name}.")


def _in_code_system(call: Call, inputs: Inputs, terms: Terminology, services: Services) -> Iterator[Verdict]:
    asked_for = inputs.codes()
    if _url(call, inputs) == UCUM or (len(call.path) == 2 and {each.system for each in asked_for} == {UCUM}):
        yield from (_of_units(asked) for asked in asked_for)
        return
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


def _url(call: Call, inputs: Inputs) -> str | None:
    return inputs.one("url") if len(call.path) == 2 else None


def _in_system(asked: Asked, system: CodeSystem, inputs: Inputs) -> Verdict:
    concept = system.find(asked.code)
    if concept is None:
        part = "" if system.complete else ", of which only a part is loaded"
        return Verdict(False, f"The code '{asked.code[:100]}' is not in {system.url}{part}.")
    if concept.abstract and inputs.one("abstract") == "false":
        return Verdict(False, f"The code '{asked.code[:100]}' is abstract: it groups others.", concept.display)
    return _named(asked, concept.display)


def _of_units(asked: Asked) -> Verdict:
    if asked.system not in (None, UCUM):
        return Verdict(False, f"{_said(asked)} is of another system than {UCUM}.")
    valid = is_unit(asked.code)
    return Verdict(valid, "" if valid else f"'{asked.code[:100]}' is no unit of UCUM.", asked.code if valid else "")


def _display(value_set: ValueSet, asked: Asked, terms: Terminology) -> str:
    """Return the name of a code that is in the value set: that of the value set itself, else the concept's."""
    for part in value_set.include or ():
        listed = part.listed.get(asked.code)
        if listed and asked.system in (None, part.system) and isinstance(listed.get("display"), str):
            return str(listed["display"])
    system = terms.code_system(asked.system, asked.version) if asked.system is not None else None
    concept = system.find(asked.code) if system is not None else None
    return concept.display if concept is not None else ""


def _named(asked: Asked, display: str) -> Verdict:
    """Return the verdict on a known code: a wrong name makes it invalid, case and accents apart."""
    if asked.display and display and fold(asked.display) != fold(display):
        return Verdict(False, f"The display of {_said(asked)} is '{display}', not '{asked.display[:100]}'.", display)
    return Verdict(True, display=display)


def _said(asked: Asked) -> str:
    return f"The code '{asked.code[:100]}'" + (f" of {asked.system[:200]}" if asked.system else "")
