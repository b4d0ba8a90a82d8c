"""TD1.3: the contact data of a Patient may change, the identity and the state of the dossier may not. [dmp-fhir 3.8]

Identity comes from the national service, the state from the operations on the dossier.
"""

from __future__ import annotations

from fhir_dmp.errors import Unprocessable
from fhir_dmp.fhir.elements import extensions_of, objects_of
from fhir_dmp.fhir.resource import Json, content_of, same_content
from fhir_dmp.terminology.national import ATTACHED, IS_MT

#: How to reach the person, and whom to reach for the person.
CONTACT = ("telecom", "address", "contact", "communication")


def settle_contact(before: Json, after: Json, base: str) -> Json:
    """Return the stored Patient with the contact data of `after`.

    What the server adds when it shows a Patient (TD0.2) may come back; it is not stored.

    Raises:
        Unprocessable: something else was changed, each element named.
    """
    kept, sent = _comparable(before, before, base), _comparable(after, before, base)
    names = [name for name in {**kept, **sent} if name not in CONTACT]
    changed = [name for name in names if not same_content({"part": kept.get(name)}, {"part": sent.get(name)})]
    if changed:
        raise Unprocessable(
            f"Only {', '.join(CONTACT)} of a Patient may be changed; identity and state of the dossier have their own "
            "operations.",
            code="business-rule",
            expression=[f"Patient.{name.removeprefix('_')}" for name in changed],
        )
    others = {name: part for name, part in before.items() if name not in CONTACT}
    return {**others, **{name: after[name] for name in CONTACT if name in after}}


def _comparable(patient: Json, stored: Json, base: str) -> Json:
    content = content_of(patient)
    extensions = [each for each in objects_of(patient.get("extension")) if not _is_shown_only(each, stored, base)]
    bare = {name: part for name, part in content.items() if name != "extension"}
    return {**bare, "extension": extensions} if extensions else bare


def _is_shown_only(extension: Json, stored: Json, base: str) -> bool:
    url = extension.get("url")
    if url in (IS_MT, f"{base}/StructureDefinition/dmp-statut-autorisation"):
        return not extensions_of(stored, url)
    return url == ATTACHED and extension.get("valueBoolean") is False and not extensions_of(stored, ATTACHED)
