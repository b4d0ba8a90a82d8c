"""What a resource says of the act that it was: class, mood, templates, how it hung in its parent. [docs/cda.md]"""

from __future__ import annotations

from typing import Any

from fhir_dmp.cda.elements import name_of
from fhir_dmp.cda.knowledge import CI_SIS_ENTRY, Mapping_
from fhir_dmp.cda.places import EXTENSIONS
from fhir_dmp.cda.xml import Element
from fhir_dmp.fhir.resource import Json

ACT = f"{EXTENSIONS}/cda-act"
PART = f"{EXTENSIONS}/cda-part"
WRAPPER = f"{EXTENSIONS}/cda-wrapper"
NEGATION = f"{EXTENSIONS}/cda-negation"
CONCERN = {"text": "concern"}


def dispatched(act: Element, holder: Element, reader: Any) -> Mapping_:
    """Return the mapping of a statement: by its most specific template, else a parent's, else by its class."""
    known = reader.knowledge
    name = name_of(act)
    mood = act.get("moodCode") or "EVN"
    by_class: Mapping_ = known.by_act.get(f"{name} {mood}") or known.by_act.get(f"{name} *") or known.by_act["* *"]
    roots = ranked(reader.templates(act) | (reader.templates(holder) if name_of(holder) == "entry" else frozenset()))
    found: Mapping_ | None = next((one for root in roots if (one := known.by_template.get(root)) is not None), None)
    own = bool(roots) and (roots[0] in known.by_template or not roots[0].startswith(CI_SIS_ENTRY))
    if found is not None and not own:
        reader.note(act, f"template {roots[0]} is not known; read as its parent")
    if found is None:
        if any(root.startswith(CI_SIS_ENTRY) for root in roots):
            reader.note(act, f"template {roots[0]} is not known; read by the class of its act")
        return by_class
    if not _fits(found, name, mood):
        return by_class
    return found


def _fits(mapping: Mapping_, name: str, mood: str) -> bool:
    """Say whether a mapping is about acts of this kind: its `moods` list them (`observation EVN`), or it lists none."""
    moods = mapping.moods
    return not moods or f"{name} {mood}" in moods or f"{name} *" in moods


def ranked(roots: frozenset[str]) -> list[str]:
    """Return template roots, the most specific first: those of the CI-SIS, the deepest before its parents."""
    return sorted(roots, key=lambda root: (not root.startswith(CI_SIS_ENTRY), -root.count("."), root))


CLINICAL = "http://terminology.hl7.org/CodeSystem/condition-clinical"
IMPLIED_STATUS = "implied-status"


def says_none(resource: Json) -> bool:
    """Say whether the code itself says that there is none (no known problem)."""
    for coding in (resource.get("code") or {}).get("coding", ()):
        if str(coding.get("system", "")).endswith("absent-unknown-uv-ips") or str(coding.get("code")).startswith("no-"):
            return True
    return False


def act_parts(resource: Json) -> dict[str, list[str]]:
    """Return what a resource says of its act: part -> values."""
    found: dict[str, list[str]] = {}
    for extension in resource.get("extension", ()):
        if extension.get("url") == ACT:
            for part in extension.get("extension", ()):
                found.setdefault(str(part.get("url")), []).append(str(part.get("valueString")))
    return found
