"""The one door of validation: a resource in, issues out. The caller decides what an issue costs."""

from __future__ import annotations

from contextlib import suppress
from functools import lru_cache
from typing import Any

from fhir_dmp.errors import Issue
from fhir_dmp.fhir.resource import Json
from fhir_dmp.fhir.structure import Structures
from fhir_dmp.validation.findings import Enough, Findings
from fhir_dmp.validation.structure import Validator


@lru_cache(maxsize=8)
def _validator(structures: Structures) -> Validator:
    """Keep the compiled rules of a table; tables are compared by identity."""
    return Validator(structures)


def _root(type_: Any) -> str:
    """Return how paths begin. A resourceType that looks like no type is not repeated in them."""
    return type_ if isinstance(type_, str) and type_.isalpha() and len(type_) <= 64 else "Resource"


def validate(resource: Json, structures: Structures) -> tuple[Issue, ...]:
    """Return what is wrong with a resource as base FHIR R4, in document order; () when nothing is.

    Codes: structure (JSON shape, unknown element), required, value (format of a primitive), code-invalid (required
    binding), invariant, invalid (narrative). Severity is error, or warning for what R4 discourages. At most 100
    issues are listed. Diagnostics never quote values.
    """
    findings = Findings()
    type_ = resource.get("resourceType")
    with suppress(Enough):
        _validator(structures).resource(resource, _root(type_), findings)
    return tuple(findings.issues)


def errors_in(issues: tuple[Issue, ...]) -> tuple[Issue, ...]:
    """Return the issues that make a resource invalid."""
    return tuple(issue for issue in issues if issue.severity in ("error", "fatal"))
