"""II as Identifier. [cda 3.2, 4.4]"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from fhir_dmp.cda.datatypes import uri_of
from fhir_dmp.cda.elements import make
from fhir_dmp.cda.knowledge import Part
from fhir_dmp.cda.values.codec import Codec, Read, Reader, Writer
from fhir_dmp.cda.xml import Element
from fhir_dmp.fhir.resource import Json
from fhir_dmp.terminology.national import RFC_3986


def read_id(elements: Sequence[Element], part: Part, reader: Reader) -> Read | None:
    """II -> Identifier; a root alone is itself the value."""
    element = elements[0]
    root, extension = (element.get("root") or "").strip(), (element.get("extension") or "").strip()
    if not root:
        if extension and not element.get("nullFlavor"):
            return Read({"value": extension}, set(element.keys()) <= {"extension"})
        return Read(None, False)
    exact = set(element.keys()) <= {"root", "extension"} and not any(letter.isupper() for letter in root)
    more = {key: value for key, value in part.options.items() if key in ("use", "type")}
    if extension:
        return Read({**more, "system": uri_of(root), "value": extension}, exact)
    return Read({**more, "system": RFC_3986, "value": uri_of(root)}, exact)


def id_element(value: Json, name: str = "id") -> Element | None:
    """Return the II of an Identifier, None when its system is no OID or UUID."""
    system, text = str(value.get("system") or ""), str(value.get("value") or "")
    if system == RFC_3986 or not system:
        found = re.fullmatch(r"urn:(?:oid|uuid):(.+)", text)
        if found:
            root = found[1].upper() if "uuid" in text[:9] else found[1]
            return make(name, {"root": root})
        return make(name, {"extension": text}) if text and not system else None
    found = re.fullmatch(r"urn:(?:oid|uuid):(.+)", system)
    return make(name, {"root": found[1], "extension": text}) if found and text else None


def write_id(value: Any, part: Part, name: str, writer: Writer) -> list[Element]:
    """Identifier -> II."""
    found = id_element(value, name)
    return [] if found is None else [found]


def _uid(elements: Sequence[Element], part: Part, reader: Reader) -> Read | None:
    root = (elements[0].get("root") or "").strip()
    return Read(root or None, True)


def _write_uid(value: Any, part: Part, name: str, writer: Writer) -> list[Element]:
    return [make(name, {"root": str(value).removeprefix("urn:oid:")})]


CODECS = {
    "id": Codec(read_id, write_id),
    "uid": Codec(_uid, _write_uid),
}
