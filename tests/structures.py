"""The R4 structures, the public examples beside the repository, and resources made from the structures themselves."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

from hypothesis import strategies as st

from fhir_dmp import definitions
from fhir_dmp.fhir.resource import Json, Number
from fhir_dmp.fhir.structure import TABLE, Element, Structures

STRUCTURES = Structures(definitions.load_json(TABLE))

SHARED = Path(__file__).resolve().parents[1] / "../shared/data"
R4_EXAMPLES = tuple(sorted((SHARED / "r4-examples").glob("*.json")))
PDSM_EXAMPLES = tuple(sorted((SHARED / "pdsm4dmp-examples").glob("*.json")))

_TEXTS = (
    "a",
    "Élodie Fictive",
    "x < y & \"z\" 'w'",
    "two\nlines\tand a tab",
    "\u00a0space",
    "漢字 🩺",
    "]]>",
    " ",
    "<b>",
)
_DIV = '<div xmlns="http://www.w3.org/1999/xhtml"><p class="x">A &amp; B<br/>\n<b>c</b> &#233;</p></div>'
_VALUES: dict[str, tuple[Any, ...]] = {
    "base64Binary": ("QUJD", "QQ==", "AAEC AwQF"),
    "boolean": (True, False),
    "canonical": ("http://example.org/fhir/x|1.0", "urn:oid:1.2.3"),
    "code": ("a", "two words", "é"),
    "date": ("2024", "2024-02", "2024-02-29"),
    "dateTime": ("2024", "2024-02", "2024-02-29", "2024-02-29T23:59:60Z", "2024-02-29T10:00:00.123456789+02:00"),
    "decimal": (0, 12, Number("1.10"), Number("-0.000"), Number("1E+3"), Number("1234567890.123456789")),
    "id": ("a", "A-1.b", "0" * 64),
    "instant": ("2024-02-29T10:00:00Z", "2024-02-29T10:00:00.1-05:30"),
    "integer": (0, -1, 2**31 - 1, -(2**31)),
    "markdown": ("# Title\n\n* point", "x"),
    "oid": ("urn:oid:1.2.250.1.213", "urn:oid:2.999"),
    "positiveInt": (1, 2**31 - 1),
    "string": _TEXTS,
    "time": ("10:00:00", "23:59:60.5"),
    "unsignedInt": (0, 7),
    "uri": ("http://example.org/a?b=c&d=e", "urn:uuid:c757873d-ec9a-4326-a141-556f43239520", "x"),
    "url": ("https://example.org/", "x"),
    "uuid": ("urn:uuid:c757873d-ec9a-4326-a141-556f43239520",),
    "xhtml": (_DIV,),
}
#: Elements of data types that a constraint ties to a second one.
_TOGETHER = {"Attachment": ("data", "contentType"), "ContactPoint": ("value", "system")}
_TOGETHER |= dict.fromkeys(("Age", "Count", "Distance", "Duration", "Quantity"), ("code", "system"))


class _Maker:
    """Makes valid objects of any type: mandatory elements always, others by chance and less with depth."""

    def __init__(self, random: Random) -> None:
        self._random = random

    def resource(self, type_: str, depth: int = 0) -> Json:
        return {"resourceType": type_, **self.node(type_, depth)}

    def node(self, type_: str, depth: int) -> Json:
        structure = STRUCTURES.get(type_)
        assert structure is not None
        made: Json = {}
        for element in structure.elements:
            wanted = element.min > 0 or self._random.random() < (0.5, 0.25, 0.1, 0.03, 0.0)[min(depth, 4)]
            if wanted and element.name not in ("contained", "extension", "modifierExtension"):
                self._add(made, element, depth)
        if type_ == "Extension":
            self._complete_extension(made, depth)
        elif self._random.random() < (0.2 if depth < 4 else 0.0) and "extension" in structure.properties:
            made["extension"] = [self.node("Extension", depth + 1)]
        return self._repaired(made, type_)

    def _complete_extension(self, made: Json, depth: int) -> None:
        if any(name.startswith(("value", "_value")) for name in made):
            return
        if depth < 4 and self._random.random() < 0.3:
            made["extension"] = [self.node("Extension", depth + 1)]
        else:
            made["valueString"] = self._random.choice(_TEXTS)

    def _add(self, made: Json, element: Element, depth: int) -> None:
        name, type_ = self._random.choice(element.property_names())
        if not STRUCTURES.is_primitive(type_):
            count = self._random.randint(1, 2)
            parts = [self._complex(element, type_, depth) for _ in range(count if element.is_list else 1)]
            made[name] = parts if element.is_list else parts[0]
            return
        values = [self._primitive(element, type_) for _ in range(self._random.randint(1, 3) if element.is_list else 1)]
        twins: list[Json | None] = [None for _ in values]
        if not element.attribute and type_ != "xhtml" and depth < 4 and self._random.random() < 0.15:
            at = self._random.randrange(len(values))
            twins[at] = {"id": "i1", "extension": [self.node("Extension", depth + 1)]}
            if self._random.random() < 0.5 and not element.codes:
                values[at] = None
        if any(value is not None for value in values):
            made[name] = values if element.is_list else values[0]
        if any(twins):
            made[f"_{name}"] = twins if element.is_list else twins[0]

    def _primitive(self, element: Element, type_: str) -> Any:
        if element.codes and type_ == "code":
            return self._random.choice([c for codes in STRUCTURES.codes(element.codes).values() for c in codes])
        return self._random.choice(_VALUES[type_])

    def _complex(self, element: Element, type_: str, depth: int) -> Json:
        if type_ == "Resource":
            return self.resource(self._random.choice(("Basic", "Patient", "Binary", "Observation")), depth + 2)
        if type_ == "Reference" and element.targets and element.targets[0] != "Any":
            return {"reference": f"{self._random.choice(element.targets)}/1", "display": self._random.choice(_TEXTS)}
        if element.codes and type_ in ("Coding", "CodeableConcept"):
            system, codes = next(iter(STRUCTURES.codes(element.codes).items()))
            coding = {"system": system, "code": self._random.choice(codes)}
            return coding if type_ == "Coding" else {"coding": [coding]}
        return self.node(type_, depth + 1)

    def _repaired(self, made: Json, type_: str) -> Json:
        if type_ == "Period":
            made = {name: part for name, part in made.items() if name not in ("end", "_end")}
        first, second = _TOGETHER.get(type_, ("", ""))
        if first in made and second not in made and f"_{second}" not in made:
            structure = STRUCTURES.get(type_)
            assert structure is not None
            made[second] = self._primitive(*structure.properties[second])
        bare = STRUCTURES.get(type_)
        if bare is not None and not bare.is_resource and not made.keys() - {"id"}:
            made["extension"] = [{"url": "http://example.org/e", "valueBoolean": True}]
        return made


def resources(types: tuple[str, ...] = STRUCTURES.resource_types) -> st.SearchStrategy[Json]:
    """Return a strategy of valid resources, of any type of R4 by default."""
    return st.builds(
        lambda seed, type_: _Maker(Random(seed)).resource(type_), st.integers(0, 2**32), st.sampled_from(types)
    )


def exact(value: Any) -> Any:
    """Return a value in which numbers compare with their digits (1.0 is not 1.00)."""
    if isinstance(value, dict):
        return {name: exact(part) for name, part in value.items()}
    if isinstance(value, list):
        return [exact(part) for part in value]
    if isinstance(value, Number):
        return ("number", value.text)
    return ("number", str(value)) if isinstance(value, Decimal) else value
