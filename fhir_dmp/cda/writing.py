"""What writing one bundle needs: its resources, who holds which, what a kept element means, what was dropped."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from datetime import tzinfo
from typing import Any

from fhir_dmp.cda.elements import read_fragment, text_in
from fhir_dmp.cda.knowledge import Knowledge
from fhir_dmp.cda.reading import Reading
from fhir_dmp.cda.values.codec import PLAIN
from fhir_dmp.cda.values.identifiers import read_id
from fhir_dmp.cda.values.numbers import digits
from fhir_dmp.cda.xml import Element
from fhir_dmp.errors import Issue
from fhir_dmp.fhir.resource import Json, Number

NAMESPACE = uuid.UUID("0c7e7c8e-59b3-5d0b-a8f6-7d4c5e1b9a77")


class Writing:
    """One bundle being written."""

    def __init__(self, bundle: Json, knowledge: Knowledge, zone: tzinfo) -> None:
        self.knowledge = knowledge
        self.zone = zone
        self.issues: list[Issue] = []
        self.written: set[int] = set()
        self._met: set[int] = set()
        self._resources: list[Json] = []
        self._by_url: dict[str, Json] = {}
        self._positions: dict[int, int] = {}
        self._owners: dict[int, int] = {}
        self._texts: dict[str, str | None] | None = None
        identifier = bundle.get("identifier")
        self.seed = repr(sorted(identifier.items())) if isinstance(identifier, dict) else ""
        for entry in bundle.get("entry", ()):
            resource = entry.get("resource")
            if isinstance(resource, dict):
                self._add(resource, entry.get("fullUrl"))
        self.patient = self._patient()
        self.language = str(self._resources[0].get("language") or "fr") if self._resources else "fr"

    def _add(self, resource: Json, url: str | None) -> None:
        self._positions[id(resource)] = len(self._resources)
        self._resources.append(resource)
        if url:
            self._by_url[url] = resource
        if resource.get("id"):
            self._by_url.setdefault(f"{resource.get('resourceType')}/{resource['id']}", resource)
        for part in resource.get("contained", ()):
            if isinstance(part, dict) and part.get("id"):
                self._by_url.setdefault(f"#{part['id']}", part)
                self._positions.setdefault(id(part), len(self._resources))

    def _patient(self) -> str | None:
        for url, resource in self._by_url.items():
            if resource.get("resourceType") == "Patient":
                return url
        return None

    def resolve(self, reference: Any) -> Json | None:
        """Return the resource that a Reference means, None when it is not in the bundle."""
        if not isinstance(reference, dict):
            return None
        text = reference.get("reference")
        found = self._by_url.get(text) if isinstance(text, str) else None
        if found is None and isinstance(text, str):
            tail = "/".join(text.split("/")[-2:])
            found = self._by_url.get(tail)
        if found is not None:
            self._met.add(id(found))
        return found

    def position(self, resource: Json) -> int:
        """Return where a resource stands in the bundle."""
        return self._positions.get(id(resource), 0)

    def own(self, sections: Sequence[Json]) -> None:
        """Give the entries of sections to their sections: another resource that refers to them does not hold them."""
        for section in sections:
            for reference in section.get("entry", ()):
                resource = self.resolve(reference)
                if resource is not None:
                    self._owners.setdefault(id(resource), -1)
            self.own(section.get("section", ()))

    def owner_of(self, resource: Json) -> int | None:
        """Return what holds a resource: -1 for a section, None for whoever asks first."""
        return self._owners.get(id(resource))

    def rereader(self) -> Reading:
        """Return a reader for elements that were kept, to see what they would mean."""
        reader = _Rereader(None, self.knowledge, self.zone, "again")
        reader.patient = self.patient
        reader.writer = self
        return reader

    def equal(self, ours: Any, theirs: Any, reader: Reading) -> bool:
        """Say whether a value of the bundle and one just read mean the same; references by what they lead to."""
        if only_unknown(theirs):
            return True
        if isinstance(ours, dict) and isinstance(theirs, dict):
            if "reference" in ours and "reference" in theirs:
                return self._same_target(ours, theirs, reader)
            known = {key: value for key, value in theirs.items() if key in ours or not only_unknown(value)}
            if ours.keys() != known.keys():
                return False
            return all(self.equal(value, known[key], reader) for key, value in ours.items())
        if isinstance(ours, list) and isinstance(theirs, list):
            return len(ours) == len(theirs) and all(
                self.equal(one, other, reader) for one, other in zip(ours, theirs, strict=True)
            )
        if isinstance(ours, Number) or isinstance(theirs, Number):
            return digits(ours) == digits(theirs)
        return bool(ours == theirs) and isinstance(ours, bool) == isinstance(theirs, bool)

    def _same_target(self, ours: Json, theirs: Json, reader: Reading) -> bool:
        one, other = self.resolve(ours), reader.resolve(theirs) or self.resolve(theirs)
        beside = (
            {k: v for k, v in ours.items() if k != "reference"},
            {k: v for k, v in theirs.items() if k != "reference"},
        )
        if not self.equal(*beside, reader):
            return False
        if one is None or other is None:
            return one is other and ours["reference"] == theirs["reference"]
        if one is other or one["resourceType"] == other["resourceType"] == "Patient":
            return True
        return self.equal(_bare(one), _bare(other), reader)

    def drop(self, where: str, reason: str) -> None:
        """Report what has no place in the CDA."""
        self.issues.append(Issue("not-supported", reason, "warning", (where,)))

    def unreached(self) -> None:
        """Report the resources that nothing in the document leads to."""
        for resource in self._resources:
            known = id(resource) in self.written or id(resource) in self._met
            if not known and resource.get("resourceType") not in ("Composition", "Provenance"):
                name = f"{resource.get('resourceType')}/{resource.get('id', '')}"
                self.drop(name, "nothing in the document refers to it")

    def unwritten(self, resource: Json) -> None:
        """Report an entry that no statement of CDA says."""
        self.drop(
            f"{resource.get('resourceType')}/{resource.get('id', '')}",
            "no statement of CDA says this; it stays out of the entries",
        )

    def narratives(self) -> Mapping[str, str | None]:
        """Return the texts of the narratives by their id, as the CDA's references name them."""
        if self._texts is None:
            self._texts = {}
            for resource in self._resources:
                if resource.get("resourceType") == "Composition":
                    _collect(resource.get("section", ()), self._texts)
        return self._texts

    def new_id(self, resource: Json, name: str) -> str:
        """Return a UUID for an element made for a resource, always the same."""
        return str(
            uuid.uuid5(NAMESPACE, f"{self.seed}/{resource.get('resourceType')}/{resource.get('id')}/{name}")
        ).upper()

    def by_identifier(self, identifier: Json) -> str | None:
        """Return the URL of the statement with an identifier."""
        for url, resource in self._by_url.items():
            identifiers = resource.get("identifier")
            if identifier in (identifiers if isinstance(identifiers, list) else [identifiers]):
                return url
        return None


#: Stands for a text whose place in the narrative is not known any more: it is taken to be what FHIR says.
UNKNOWN = "\ue000"


def only_unknown(value: Any) -> bool:
    """Say whether a value reread says nothing but texts that cannot be found again."""
    if isinstance(value, dict):
        said = [one for key, one in value.items() if key != "url"]
        return bool(said) and all(only_unknown(one) for one in said)
    if isinstance(value, list):
        return bool(value) and all(only_unknown(one) for one in value)
    return isinstance(value, str) and UNKNOWN in value


class _Rereader(Reading):
    """A reader of kept elements: their acts are resources of the bundle already."""

    writer: Writing

    def target(self, id_: Element) -> str | None:

        read = read_id([id_], PLAIN, self)
        return self.writer.by_identifier(read.value) if read is not None and read.value else None

    def text_of(self, reference: str, element: Element) -> str | None:
        return self.writer.narratives().get(reference.strip().lstrip("#")) or UNKNOWN

    def resolve(self, reference: Any) -> Json | None:
        return super().resolve(reference) or self.writer.resolve(reference)


def _bare(resource: Json) -> Json:
    return {key: value for key, value in resource.items() if key not in ("id", "meta")}


def _collect(sections: Sequence[Json], found: dict[str, str | None]) -> None:

    for section in sections:
        div = read_fragment(str((section.get("text") or {}).get("div") or ""))
        for element in div.iter() if div is not None else ():
            name = element.get("id")
            if name and name not in found:
                found[str(name)] = text_in(element)
        _collect(section.get("section", ()), found)
