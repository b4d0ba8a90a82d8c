"""What constraints ask beyond their own resource: `conformsTo(profile)`, `memberOf(value set)`.

What is not at hand is an open question, never a broken rule. https://hl7.org/fhir/R4/fhirpath.html#functions
"""

from __future__ import annotations

from typing import Protocol

from fhir_dmp.fhir.path import PathError
from fhir_dmp.fhir.path_functions import is_of_type
from fhir_dmp.fhir.path_values import Item, Unresolved
from fhir_dmp.validation.run import Judge, Run
from fhir_dmp.validation.values import codes_of


class Answers(Protocol):
    """The profiles and value sets at hand."""

    def profile(self, url: str) -> Judge | None:
        """Return the judge of a profile, None when it is not at hand."""

    def type_of(self, url: str) -> str | None:
        """Return the type that a profile (or a definition of R4) is about."""

    def contains(self, value_set: str, system: str | None, code: str) -> bool | None:
        """Say whether a code is in a value set; None when nobody here can tell."""


class Asked:
    """Answers the questions of one constraint during one judgement."""

    __slots__ = ("_answers", "_place", "_run")

    def __init__(self, answers: Answers, run: Run, place: str) -> None:
        self._answers = answers
        self._run = run
        self._place = place

    def conforms(self, item: Item, profile: str) -> bool:
        """Say whether a node has the type of a profile and obeys what the profile says beyond the base.

        Raises:
            PathError: the profile is not at hand, or the node is a resource elsewhere.
        """
        judge, type_ = self._answers.profile(profile), self._answers.type_of(profile.partition("|")[0])
        if judge is None or not type_:
            raise PathError(f"the profile {profile} is not loaded")
        if isinstance(item.value, Unresolved):
            raise PathError("the resource that a reference leads to is not at hand")
        if is_of_type(item, type_) is False:
            return False
        return self._run.conforms(judge, item.value, self._place)

    def member(self, item: Item, value_set: str) -> bool | None:
        """Say whether a code, Coding, CodeableConcept or Quantity is in a value set, None for anything else.

        Raises:
            PathError: the value set is not loaded.
        """
        if not isinstance(item.value, (str, dict)):
            return None
        known: bool | None = False
        for system, code in codes_of(item.value):
            found = self._answers.contains(value_set, system, code)
            if found:
                return True
            known = None if found is None else known
        if known is None:
            raise PathError(f"the value set {value_set} is not loaded (or cannot be listed)")
        return known
