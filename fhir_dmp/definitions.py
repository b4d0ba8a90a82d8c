"""The only opener of data files: profiles/ and mappings/, from a checkout or from the installed wheel."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import orjson

from fhir_dmp.cda.knowledge import Knowledge, load
from fhir_dmp.fhir.resource import Json
from fhir_dmp.fhir.structure import TABLE, Structures
from fhir_dmp.search.parameters import Registry, build_registry
from fhir_dmp.terminology.codes import Codes
from fhir_dmp.terminology.loaded import Loaded
from fhir_dmp.terminology.packaged import Packaged, packaged
from fhir_dmp.validation.base import DEFINITIONS, Base
from fhir_dmp.validation.conformance import Profiles

_PACKAGE = Path(__file__).resolve().parent
_PACKAGED = _PACKAGE / "_data"
_ROOT = _PACKAGED if _PACKAGED.is_dir() else _PACKAGE.parent


def read(name: str) -> bytes:
    """Return a data file: `profiles/r4/structures.json` from the top, or `audit/events.toml` of the package."""
    path = _ROOT / name
    return (path if path.is_file() else _PACKAGE / name).read_bytes()


def load_json(name: str) -> Any:
    """Return a JSON data file."""
    return orjson.loads(read(name))


def each_json(folder: str) -> Iterator[tuple[str, Any]]:
    """Yield (file name, content) of every JSON file of a folder, in alphabetical order."""
    for path in sorted((_ROOT / folder).glob("*.json")):
        yield path.name, orjson.loads(path.read_bytes())


@cache
def search_parameters() -> Registry:
    """Return the search parameters that this server knows: the official ones of R4 and those of profiles/.

    Read once in a process: the registry never changes, and compiling it is most of what a start costs.
    """
    return search_parameters_with(())


def search_parameters_with(added: Iterable[Json]) -> Registry:
    """Return the search parameters with those of added packages; of two with one code, ours counts.

    Raises:
        PathSyntaxError, KeyError, ValueError: an added one cannot be used.
    """
    return build_registry(
        load_json("profiles/r4/search-parameters.json"),
        [*added, *(content for _, content in each_json("profiles/search-parameters"))],
        load_json("profiles/r4/compartments.json"),
    )


#: Folders of profiles/ that hold conformance resources.
FOLDERS = (
    "structure-definitions",
    "value-sets",
    "code-systems",
    "concept-maps",
    "search-parameters",
    "operation-definitions",
)
#: The namespace that the files are written in; `canonical_base` replaces it.
WRITTEN_BASE = "https://dmp-fhir.example/ig"


def conformance(canonical_base: str = WRITTEN_BASE, folders: Iterable[str] = FOLDERS) -> Iterator[Json]:
    """Yield the conformance resources of this project, its own namespace replaced by the configured one."""
    for folder in folders:
        for path in sorted((_ROOT / "profiles" / folder).glob("*.json")):
            body = path.read_bytes()
            if canonical_base != WRITTEN_BASE:
                body = body.replace(f"{WRITTEN_BASE}/".encode(), f"{canonical_base}/".encode())
            yield orjson.loads(body)


def implementation_guide(canonical_base: str, version: str, resources: Iterable[Json]) -> Json:
    """Return the ImplementationGuide that lists the conformance resources of this project."""
    listed = [
        {
            "reference": {"reference": f"{each['resourceType']}/{each['id']}"},
            "name": str(each.get("title") or each.get("name") or each["id"]),
            "exampleBoolean": False,
        }
        for each in resources
    ]
    return {
        "resourceType": "ImplementationGuide",
        "id": "fhir-dmp",
        "url": f"{canonical_base}/ImplementationGuide/fhir-dmp",
        "version": version,
        "name": "FhirDmp",
        "title": "What the fhir-dmp server takes and gives",
        "status": "active",
        "publisher": "fhir-dmp",
        "description": "Profiles, extensions, value sets, search parameters and operations of the fhir-dmp server.",
        "packageId": "org.fhir-dmp.profiles",
        "license": "Apache-2.0",
        "fhirVersion": ["4.0.1"],
        "definition": {"resource": listed},
    }


def base() -> Base:
    """Return the definitions of R4 that validation needs."""
    return Base(Structures(load_json(TABLE)), load_json(DEFINITIONS))


def profiles(resources: Iterable[Json]) -> Profiles:
    """Return these conformance resources, ready to judge by, with the terminology that comes with the server."""
    listed = list(resources)
    return Profiles(base(), listed, Loaded(listed, terminology()))


@cache
def terminology() -> Packaged:
    """Return the terminology that comes with the server; what is made of it is made when first asked."""
    structures, beyond = load_json(TABLE), load_json(DEFINITIONS)
    return packaged(each_json, (structures["codes"], beyond["codes"]))


@cache
def cda_knowledge() -> Knowledge:
    """Return what mappings/ says about CDA; read when the first document asks for it."""
    mappings = [content for folder in ("header", "entries") for _, content in each_json(f"mappings/{folder}")]
    value_sets = {name.removesuffix(".json"): content for name, content in each_json("mappings/codes")}
    return load(Codes.load(load_json), mappings, load_json("mappings/cda.json"), value_sets)
