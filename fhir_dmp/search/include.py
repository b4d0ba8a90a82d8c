"""_include and _revinclude: which further resources a page asks for. Who may read them is decided elsewhere.

https://hl7.org/fhir/R4/search.html#revinclude
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import tzinfo

from fhir_dmp.fhir.resource import Json
from fhir_dmp.search.extract import references_of
from fhir_dmp.search.parameters import ParameterType, Registry, SearchParameter
from fhir_dmp.search.query import Include, Node, Term, either


def included(
    resources: Iterable[Json], includes: Iterable[Include], registry: Registry, *, base: str, zone: tzinfo
) -> tuple[str, ...]:
    """Return the `Type/id` that these resources refer to through the given forward includes, each once, in order."""
    forward = [include for include in includes if not include.reverse]
    found: dict[str, None] = {}
    for resource in resources:
        for include in forward:
            if include.source in ("*", resource.get("resourceType")):
                for parameter in _references(str(resource.get("resourceType")), include.param, registry):
                    for key in references_of(resource, parameter, registry, base=base, zone=zone):
                        if include.target in (None, key.partition("/")[0]):
                            found[key] = None
    return tuple(found)


def referring(include: Include, keys: Sequence[str], registry: Registry) -> Iterator[tuple[str, Node]]:
    """Yield (type, query) of the resources that refer to these `Type/id` through a reverse include."""
    wanted = [key for key in keys if include.target in (None, key.partition("/")[0])]
    types = registry.types if include.source == "*" else (include.source,)
    for type_ in types if wanted else ():
        node = either(
            *(
                Term(f"{parameter.code}=r:{key}")
                for parameter in _references(type_, include.param, registry)
                for key in wanted
                if key.partition("/")[0] in parameter.targets
            )
        )
        if node != either():
            yield type_, node


def _references(type_: str, code: str, registry: Registry) -> Iterator[SearchParameter]:
    parameters = registry.of(type_) if code == "*" else filter(None, (registry.get(type_, code),))
    return (part for part in parameters if part.type is ParameterType.REFERENCE)
