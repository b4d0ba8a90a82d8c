"""OpenAPI 3.1 of what this server really offers, derived from its own CapabilityStatement.

https://spec.openapis.org/oas/v3.1.0. Bodies are described as loosely as FHIR is: the profiles say the rest.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fhir_dmp import __version__
from fhir_dmp.fhir.resource import Json
from fhir_dmp.http.negotiation import FHIR_JSON, FHIR_XML
from fhir_dmp.http.payload import FORM, JSON_PATCH, XML_PATCH
from fhir_dmp.interactions.operations import OPERATIONS

_ID = {"name": "id", "in": "path", "required": True, "schema": {"type": "string", "pattern": "^[A-Za-z0-9.-]{1,64}$"}}
_VID = {"name": "vid", "in": "path", "required": True, "schema": {"type": "string", "pattern": "^[0-9]{1,9}$"}}
_TYPE = {
    "name": "type",
    "in": "path",
    "required": True,
    "schema": {"type": "string", "pattern": r"^([A-Z][A-Za-z]*|\*)$"},
}
#: Compartments as their definitions write them, and the types that make them.
_COMPARTMENTS = {
    "patient": "Patient",
    "encounter": "Encounter",
    "practitioner": "Practitioner",
    "relatedperson": "RelatedPerson",
    "device": "Device",
}
_FORMAT = {
    "name": "_format",
    "in": "query",
    "schema": {"type": "string", "enum": ["json", "xml", FHIR_JSON, FHIR_XML]},
}
_CONDITIONS = [{"name": "If-Match", "in": "header", "schema": {"type": "string"}}]
_CREATE_ONLY = [{"name": "If-None-Exist", "in": "header", "schema": {"type": "string"}}]
_RESOURCE = {"$ref": "#/components/schemas/Resource"}
_SEARCH_TYPES = {"number": "number with prefix", "date": "date with prefix", "token": "system|code"}


def document(capability: Json, base: str) -> dict[str, Any]:
    """Return the OpenAPI document of a server with this CapabilityStatement at this base."""
    rest = capability["rest"][0]
    paths: dict[str, Any] = {"/metadata": {"get": _operation("capabilities", "Capability statement", secured=False)}}
    _system(paths, rest)
    for resource in rest.get("resource", ()):
        _type(paths, resource)
    return {
        "openapi": "3.1.0",
        "info": {"title": "fhir-dmp", "version": __version__, "summary": "FHIR R4 (4.0.1) API of the shared record"},
        "servers": [{"url": base}],
        "security": [{"bearer": []}],
        "paths": paths,
        "components": _components(),
    }


def _components() -> dict[str, Any]:
    resource = {"type": "object", "properties": {"resourceType": {"type": "string"}}, "required": ["resourceType"]}
    outcome = {
        "allOf": [_RESOURCE],
        "properties": {"resourceType": {"const": "OperationOutcome"}, "issue": {"type": "array", "minItems": 1}},
        "required": ["issue"],
    }
    return {
        "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
        "schemas": {"Resource": resource, "OperationOutcome": outcome},
    }


def _system(paths: dict[str, Any], rest: Json) -> None:
    codes = {interaction["code"] for interaction in rest.get("interaction", ())}
    if codes & {"transaction", "batch"}:
        paths["/"] = {"post": _operation("transaction", "Batch or transaction", body=True)}
    if "search-system" in codes:
        named = {"name": "_type", "in": "query", "schema": {"type": "string"}, "description": "types, by commas"}
        search = [named, *(_parameter(each) for each in rest.get("searchParam", ()))]
        _add(paths, "/", "get", _operation("search-system", "Search of several types", parameters=search))
        form = [str(each["name"]) for each in search]
        _add(paths, "/_search", "post", _operation("search-system-by-post", "Search of several types", form=form))
    if "history-system" in codes:
        paths["/_history"] = {"get": _operation("history-system", "History of everything")}
    for operation in rest.get("operation", ()):
        name = operation["name"]
        for method in _methods(name):
            id_ = f"system-{name}" + ("" if method == "POST" else f"-{method.lower()}")
            _add(paths, f"/${name}", method.lower(), _operation(id_, f"${name}", body=method == "POST"))
    for url in rest.get("compartment", ()):
        name = _COMPARTMENTS[url.rpartition("/")[2]]
        id_ = f"search-compartment-{name}"
        path = f"/{name}/{{id}}/{{type}}"
        _add(paths, path, "get", _operation(id_, f"Search in a {name}", parameters=[_ID, _TYPE]))


def _methods(operation: str) -> tuple[str, ...]:
    known = OPERATIONS.get(operation)
    return ("POST",) if known is None else known.methods


def _type(paths: dict[str, Any], resource: Json) -> None:
    name = resource["type"]
    codes = {interaction["code"] for interaction in resource.get("interaction", ())}
    for path, method, code, extra in _interactions(name, resource):
        if code in codes:
            id_ = f"{code}-{name}" + ("-by-post" if path.endswith("_search") else "")
            id_ += "-conditional" if path == f"/{name}" and code in ("update", "patch", "delete") else ""
            _add(paths, path, method, _operation(id_, f"{code} {name}", **extra))
    for operation in resource.get("operation", ()):
        _operations(paths, name, operation["name"])


def _operations(paths: dict[str, Any], type_: str, name: str) -> None:
    """Add an operation where it is called: on a type, on its instances, by each of its methods."""
    known = OPERATIONS.get(name)
    for level in ("type", "instance"):
        if known is not None and level not in known.levels:
            continue
        path, parameters = (f"/{type_}/${name}", []) if level == "type" else (f"/{type_}/{{id}}/${name}", [_ID])
        for method in _methods(name):
            id_ = f"{name}-{type_}-{level}" + ("" if method == "POST" else f"-{method.lower()}")
            shown = _operation(id_, f"${name}", parameters=parameters, body=method == "POST")
            _add(paths, path, method.lower(), shown)


def _interactions(name: str, resource: Json) -> Iterator[tuple[str, str, str, dict[str, Any]]]:
    search = [_parameter(each) for each in resource.get("searchParam", ())]
    one, versions = f"/{name}/{{id}}", f"/{name}/{{id}}/_history"
    conditional = _CREATE_ONLY if resource.get("conditionalCreate") else []
    yield f"/{name}", "get", "search-type", {"parameters": search}
    yield f"/{name}/_search", "post", "search-type", {"form": [each["name"] for each in search]}
    yield f"/{name}", "post", "create", {"body": True, "parameters": conditional}
    if resource.get("conditionalUpdate"):
        yield f"/{name}", "put", "update", {"body": True, "parameters": search}
        yield f"/{name}", "patch", "patch", {"patch": True, "parameters": search}
    if resource.get("conditionalDelete"):
        yield f"/{name}", "delete", "delete", {"parameters": search}
    yield one, "get", "read", {"parameters": [_ID]}
    yield one, "put", "update", {"body": True, "parameters": [_ID, *_CONDITIONS]}
    yield one, "patch", "patch", {"patch": True, "parameters": [_ID, *_CONDITIONS]}
    yield one, "delete", "delete", {"parameters": [_ID, *_CONDITIONS]}
    yield versions, "get", "history-instance", {"parameters": [_ID]}
    yield f"{versions}/{{vid}}", "get", "vread", {"parameters": [_ID, _VID]}
    yield f"/{name}/_history", "get", "history-type", {}


def _parameter(search: Json) -> dict[str, Any]:
    described = {
        "name": search["name"],
        "in": "query",
        "schema": {"type": "string"},
        "description": search.get("documentation") or _SEARCH_TYPES.get(search.get("type", ""), search.get("type", "")),
    }
    return {key: value for key, value in described.items() if value}


def _operation(
    id_: str,
    summary: str,
    *,
    parameters: list[dict[str, Any]] | None = None,
    body: bool = False,
    patch: bool = False,
    form: list[str] | None = None,
    secured: bool = True,
) -> dict[str, Any]:
    found: dict[str, Any] = {
        "operationId": id_.replace("$", ""),
        "summary": summary or id_,
        "parameters": [*(parameters or ()), _FORMAT],
        "responses": {
            "2XX": {"description": "Done", "content": {FHIR_JSON: {"schema": _RESOURCE}, FHIR_XML: {}}},
            "default": {
                "description": "Refused",
                "content": {FHIR_JSON: {"schema": {"$ref": "#/components/schemas/OperationOutcome"}}, FHIR_XML: {}},
            },
        },
    }
    content = _content(body, patch, form)
    if content:
        found["requestBody"] = {"required": form is None, "content": content}
    if not secured:
        found["security"] = []
    return found


def _content(body: bool, patch: bool, form: list[str] | None) -> dict[str, Any]:
    if body:
        return {FHIR_JSON: {"schema": _RESOURCE}, FHIR_XML: {"schema": {"type": "string"}}}
    if patch:
        return {
            JSON_PATCH: {"schema": {"type": "array", "items": {"type": "object"}}},
            FHIR_JSON: {"schema": _RESOURCE},
            XML_PATCH: {"schema": {"type": "string"}},
        }
    if form is not None:
        properties = {name: {"type": "string"} for name in form}
        return {FORM: {"schema": {"type": "object", "properties": properties}}}
    return {}


def _add(paths: dict[str, Any], path: str, method: str, operation: dict[str, Any]) -> None:
    paths.setdefault(path, {})[method] = operation
