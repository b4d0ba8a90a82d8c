"""What reading one document needs: its texts, its patient, the bundle that grows, what was lost on the way."""

from __future__ import annotations

import uuid
from collections import Counter
from dataclasses import dataclass, field
from datetime import tzinfo
from typing import Any

from fhir_dmp.cda.elements import acts_in, children, place_of, templates_of, text_in, written
from fhir_dmp.cda.knowledge import Knowledge, Mapping_
from fhir_dmp.cda.narrative import media_in, texts_by_id
from fhir_dmp.cda.xml import Element
from fhir_dmp.errors import Issue
from fhir_dmp.fhir.resource import Json, dump

_NAMESPACE = uuid.UUID("5a0f1d2e-93b7-5c7e-9d55-0b8f6f1c2c11")


@dataclass(slots=True)
class Counted:
    """How many statements were met: by their own mapping, inside another's, by the class of their act alone."""

    acts: int = 0
    specific: int = 0
    by_class: Counter[str] = field(default_factory=Counter)


class Reading:
    """One document being read.

    whole: the way back, the narrative and the report are made too; else nothing but the resources of the statements.
    """

    def __init__(
        self, document: Element | None, knowledge: Knowledge, zone: tzinfo, seed: str, *, whole: bool = True
    ) -> None:
        self.knowledge = knowledge
        self.zone = zone
        self.whole = whole
        self.patient: str | None = None
        self.entries: list[Json] = []
        self.issues: list[Issue] = []
        self.counted = Counted()
        self._seed = seed
        self._wrappers = {root for root, one in knowledge.by_template.items() if one.wraps}
        self._by_url: dict[str, Json] = {}
        self._urls: dict[Element, str] = {}
        self._targets: dict[tuple[str, str | None], Element] = {}
        self._texts = texts_by_id(document) if document is not None else {}
        # Old documents take the case of names lightly; where only one can be meant, it is.
        folded = Counter(name.casefold() for name in self._texts)
        self._alike = {name.casefold(): name for name in self._texts if folded[name.casefold()] == 1}
        self._media = media_in(document) if document is not None else {}
        self._resolved: dict[str, str | None] = {}
        self._templates: dict[Element, frozenset[str]] = {}
        if document is not None:
            self._survey(document)

    def _survey(self, document: Element) -> None:
        """Give every statement the URL that its resource will have, from its ids where it has some."""
        used: set[str] = set()
        for number, act in enumerate(acts_in([document])):
            one = next((child for child in children(act, "id") if child.get("root")), None)
            key = f"{number}" if one is None else f"{one.get('root')}^{one.get('extension') or ''}"
            if key in used:
                key = f"{key}^{number}"
            used.add(key)
            self._urls[act] = self.url(f"act/{act.tag}/{key}")
            roots = {(child.get("root") or "").strip() for child in children(act, "templateId")}
            if roots & _REFERENCES or any(root in self._wrappers for root in roots):
                continue
            for child in children(act, "id"):
                if child.get("root"):
                    self._targets.setdefault((str(child.get("root")).lower(), child.get("extension")), act)

    def url(self, name: str) -> str:
        """Return the URL of something of this document: the same name, the same URL."""
        return f"urn:uuid:{uuid.uuid5(_NAMESPACE, f'{self._seed}/{name}')}"

    def templates(self, element: Element) -> frozenset[str]:
        """Return the template roots of an element and of the act that it holds; rules ask for them again and again."""
        found = self._templates.get(element)
        if found is None:
            found = self._templates[element] = templates_of(element)
        return found

    # --- narrative ---

    def text_of(self, reference: str, element: Element) -> str | None:
        """Return the narrative text that a reference names; report one that names nothing."""
        name = reference.strip().lstrip("#")
        if not name:
            return None
        if name not in self._resolved:
            found = self._texts.get(name)
            if found is None and (alike := self._alike.get(name.casefold())) is not None:
                found = self._texts[alike]
                self.note(element, f"a reference to {name}; the narrative has {alike}")
            self._resolved[name] = text_in(found)
            if found is None and name not in self._media and not self._is_external(reference):
                self.lose(element, "a reference to a narrative that is not there")
        return self._resolved[name]

    @staticmethod
    def _is_external(reference: str) -> bool:
        return ":" in reference or "/" in reference

    def media_of(self, name: str) -> tuple[str, str] | None:
        """Return media type and base64 of what a figure shows."""
        return self._media.get(name)

    # --- resources ---

    def add(self, act: Element, resource: Json) -> str:
        """Put the resource of a statement into the bundle, before those inside it."""
        url = self._urls.get(act) or self.url(f"act/{len(self.entries)}")
        return self.put(url, resource)

    def put(self, url: str, resource: Json) -> str:
        """Put a resource into the bundle."""
        body = dict(resource)
        resource.clear()
        resource.update({"resourceType": body.pop("resourceType"), "id": url[9:], **body})
        self.entries.append({"fullUrl": url, "resource": resource})
        self._by_url[url] = resource
        return url

    def actor(self, resource: Json) -> str:
        """Return the URL of a party or another resource that several places may mean; the same words, the same one."""
        url = self.url(f"{resource['resourceType']}/{dump(resource).decode()}")
        return url if url in self._by_url else self.put(url, resource)

    def target(self, id_: Element) -> str | None:
        """Return the URL of what became of the act with an id."""
        act = self._targets.get(((id_.get("root") or "").lower(), id_.get("extension")))
        return self._urls.get(act) if act is not None else None

    def type_of(self, url: str) -> str:
        """Return the type of a resource of the bundle."""
        return str(self._by_url[url]["resourceType"])

    def resolve(self, reference: Any) -> Json | None:
        """Return the resource that a Reference means."""
        return self._by_url.get(reference.get("reference") or "") if isinstance(reference, dict) else None

    def mirror(self) -> Reading:
        """Return what a writer may use to write something back at once."""
        return self

    def drop(self, where: str, reason: str) -> None:
        """Writing back in order to compare: nothing to report."""

    def kept(self, element: Element) -> str:
        """Return an element as it stands beside a resource for the way back; "" when there is none."""
        return written(element) if self.whole else ""

    # --- report ---

    def lose(self, element: Element, reason: str, *, kept: bool = False) -> None:
        """Report what has no place in FHIR. kept: its source stands beside the resource, and comes back."""
        if not self.whole:
            return
        code, severity = ("informational", "information") if kept else ("not-supported", "warning")
        self.issues.append(Issue(code, reason, severity, (place_of(element),), text=said_by(element)))

    def note(self, element: Element, reason: str) -> None:
        """Report a decision that a reader may want to know."""
        if not self.whole:
            return
        self.issues.append(Issue("informational", reason, "information", (place_of(element),)))

    def count(self, act: Element, mapping: Mapping_, *, is_part: bool = False) -> None:
        """Count a statement that has a mapping, with those inside it that are parts of it."""
        if not self.whole:
            return
        roots = {(child.get("root") or "").strip() for child in children(act, "templateId")}
        parent = act.getparent()
        if parent is not None:
            roots |= {(child.get("root") or "").strip() for child in children(parent, "templateId")}
        self.counted.acts += 1
        if is_part or any(root in self.knowledge.by_template for root in roots):
            self.counted.specific += 1
        else:
            name = str(act.tag).rpartition("}")[2]
            known = name in ("observationMedia", "encounter", "procedure", "substanceAdministration", "supply")
            self.counted.specific += known
            if not known:
                self.counted.by_class[f"{name} {act.get('moodCode')}"] += 1


def said_by(element: Element) -> str | None:
    """Return the code, value or text of an element, at most 80 characters of it."""
    for name in ("code", "value", "href", "referencedObject", "extension", "root", "nullFlavor"):
        if element.get(name):
            return str(element.get(name))[:80]
    return (text_in(element) or "")[:80] or None


_REFERENCES = frozenset({"1.2.250.1.213.1.1.3.36", "1.3.6.1.4.1.19376.1.5.3.1.4.4.1"})
