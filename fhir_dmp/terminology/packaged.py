"""The terminology that comes with the server, as FHIR.

It is made of the tables of mappings/codes and the required value sets of R4 when first asked: each fact stands in its
table. A code system of which only the codes of some value sets are known is a
fragment: what is not in it may exist.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from fhir_dmp.fhir.resource import Json
from fhir_dmp.terminology.aliases import NOS, TRE_A03_CLASS, UCUM, canonical_system, nos
from fhir_dmp.terminology.code_system import CodeSystem
from fhir_dmp.terminology.codes import VALUE_SETS
from fhir_dmp.terminology.concept_map import ConceptMap
from fhir_dmp.terminology.grammars import GRAMMARS, named, value_sets
from fhir_dmp.terminology.value_set import ValueSet

#: Tables of mappings/codes that are a whole code system.
_WHOLE = ("tre-a07", "tre-g15", "tre-r38")
#: Value sets that hold a whole code system.
_COMPLETE = frozenset((TRE_A03_CLASS,))
#: Tables that are neither a value set nor a code system.
_OTHERS = frozenset(("code-systems", "type-to-class", "template-to-format"))
#: The table of classes under the name that the DMP gives it.
_DMP_CLASSES = "ASS_X16-CorrespondanceType-Classe-DMP"
_R4_VALUE_SETS = "http://hl7.org/fhir/ValueSet/"
_URI = "urn:ietf:rfc:3986"

#: system -> code -> display
Table = Mapping[str, Mapping[str, str]]


@dataclass(frozen=True, eq=False)
class Packaged:
    """What comes with the server. Safe to share between threads.

    tables: file name without ending -> content of mappings/codes; required: R4 value set -> system -> codes.
    """

    tables: Mapping[str, Any]
    required: Mapping[str, Mapping[str, Sequence[str]]]

    def code_system(self, url: str, version: str | None = None) -> CodeSystem | None:
        """Return a code system; the packaged ones of tables have no version."""
        found = self._code_systems.get(canonical_system(url))
        return found if found is not None and version in (None, found.version) else None

    def value_set(self, url: str, version: str | None = None) -> ValueSet | None:
        """Return a value set by its URL, or by `urn:oid:` and its OID."""
        found = self._value_sets.get(url)
        return found if found is not None and version in (None, found.resource.get("version")) else None

    @property
    def code_systems(self) -> Iterable[CodeSystem]:
        """All code systems."""
        return self._code_systems.values()

    @cached_property
    def concept_maps(self) -> tuple[ConceptMap, ...]:
        """Types to classes, and document models to formats."""
        return (
            *(ConceptMap.read(self._classes(name)) for name in (self.tables["type-to-class"]["name"], _DMP_CLASSES)),
            ConceptMap.read(self._formats()),
        )

    def national(self) -> Iterator[Json]:
        """Yield the national value sets, code systems and maps as resources with an id, to be published."""
        for table in self._listed():
            yield _with_id(self._value_sets[url_of(table)].resource)
        for system in self._code_systems.values():
            if system.url.startswith(NOS):
                codes = {concept.code: concept.display for concept in system.listed}
                yield _with_id(_code_system(system.url, codes, complete=system.complete))
        for each in self.concept_maps:
            yield _with_id(each.resource)

    @cached_property
    def _value_sets(self) -> Mapping[str, ValueSet]:
        made: dict[str, ValueSet] = {}
        for name, systems in self.required.items():
            url = name if "/" in name else _R4_VALUE_SETS + name
            made[url] = ValueSet.read(_value_set(url, name.rpartition("/")[2], _codes(systems)))
        made |= {each["url"]: ValueSet.read(each) for each in value_sets()}
        for table in self._listed():
            url = url_of(table)
            read = ValueSet.read({**_value_set(url, table["name"], _united(table)), "description": table["source"]})
            made[url] = read
            if "oid" in table:
                made[f"urn:oid:{table['oid']}"] = read
        return made

    def _listed(self) -> list[Any]:
        return [table for name, table in self.tables.items() if name not in _OTHERS and name not in _WHOLE]

    @cached_property
    def _code_systems(self) -> Mapping[str, CodeSystem]:
        united: dict[str, dict[str, str]] = {}
        spelled: dict[str, str] = {}
        for systems in self.required.values():
            _add(united, spelled, _codes(systems))
        for table in self._listed():
            _add(united, spelled, _united(table))
        whole = {canonical_system(system) for name in _WHOLE for system in self.tables[name]["concepts"]} | _COMPLETE
        for name in _WHOLE:
            _add(united, spelled, _united(self.tables[name]))
        made = {
            system: CodeSystem.read(_code_system(spelled[system], codes, complete=system in whole))
            for system, codes in united.items()
        }
        return {**made, **{url: _with_rules(url, made.get(url)) for url in GRAMMARS}}

    def _classes(self, name: str) -> Json:
        table = self.tables["type-to-class"]
        rows = {**{s: dict(c) for s, c in table["decided_classes"].items()}}
        for system, codes in table["classes"].items():
            rows.setdefault(system, {}).update(codes)
        groups = [
            {"source": s, "target": TRE_A03_CLASS, "element": [_element(c, k, "wider") for c, k in codes.items()]}
            for s, codes in rows.items()
        ]
        return _concept_map(name, table["source"], groups)

    def _formats(self) -> Json:
        table = self.tables["template-to-format"]
        targets: dict[str, list[Json]] = {}
        for template, (system, code) in table["by_template"].items():
            targets.setdefault(system, []).append(_element(f"urn:oid:{template}", code, "relatedto"))
        groups: list[Json] = [{"source": _URI, "target": s, "element": elements} for s, elements in targets.items()]
        return _concept_map(table["name"], table["source"], groups)


def packaged(each_json: Callable[[str], Iterable[tuple[str, Any]]], required: Iterable[Any]) -> Packaged:
    """Return what is packaged. required: tables of R4 value sets, as `Packaged.required` has them."""
    tables = {name.removesuffix(".json"): content for name, content in each_json("mappings/codes")}
    missing = [name for name in (*VALUE_SETS, *_WHOLE, *_OTHERS) if name not in tables]
    if missing:
        raise FileNotFoundError(f"mappings/codes lacks {', '.join(missing)}")

    return Packaged(tables, {name: codes for part in required for name, codes in part.items()})


def url_of(table: Mapping[str, Any]) -> str:
    """Return the canonical URL of a table: its own, or that of the NOS."""
    url = table.get("url")
    return url if isinstance(url, str) else nos(str(table["name"]))


def _united(table: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    found = {system: dict(codes) for system, codes in table["concepts"].items()}
    for system, codes in table.get("also", {}).items():
        found.setdefault(system, {}).update(codes)
    return found


def _with_rules(url: str, known: CodeSystem | None) -> CodeSystem:
    """Return a code system that rules make. known: the codes of it that have names here."""
    return CodeSystem(
        url=url,
        concepts=known.concepts if known is not None else {},
        name=named(url),
        complete=True,
        case_sensitive=url == UCUM,
        grammar=GRAMMARS[url],
    )


def _codes(systems: Mapping[str, Sequence[str]]) -> Table:
    return {system: dict.fromkeys(codes, "") for system, codes in systems.items()}


def _add(united: dict[str, dict[str, str]], spelled: dict[str, str], table: Table) -> None:
    for system, codes in table.items():
        name = canonical_system(system)
        spelled.setdefault(name, system)
        into = united.setdefault(name, {})
        for code, display in codes.items():
            into[code] = into.get(code) or display


def _concepts(codes: Mapping[str, str]) -> list[Json]:
    return [{"code": code, "display": display} if display else {"code": code} for code, display in codes.items()]


def _with_id(resource: Json) -> Json:
    """Return a resource under an id made of its URL."""
    name = str(resource["url"]).rpartition("/")[2]
    return {"resourceType": resource["resourceType"], "id": name.replace("_", "-").replace(":", "-")[:64], **resource}


def _value_set(url: str, name: str, systems: Table) -> Json:
    include = [{"system": system, "concept": _concepts(codes)} for system, codes in systems.items()]
    return {
        "resourceType": "ValueSet",
        "url": url,
        "name": name,
        "status": "active",
        "compose": {"include": include},
    }


def _code_system(url: str, codes: Mapping[str, str], *, complete: bool) -> Json:
    return {
        "resourceType": "CodeSystem",
        "url": url,
        "name": url.rpartition("/")[2],
        "status": "active",
        "caseSensitive": True,
        "content": "complete" if complete else "fragment",
        "concept": _concepts(codes),
    }


def _concept_map(name: str, source: str, groups: list[Json]) -> Json:
    return {
        "resourceType": "ConceptMap",
        "url": nos(name),
        "name": name,
        "status": "active",
        "description": source,
        "group": groups,
    }


def _element(code: str, target: str, equivalence: str) -> Json:
    return {"code": code, "target": [{"code": target, "equivalence": equivalence}]}
