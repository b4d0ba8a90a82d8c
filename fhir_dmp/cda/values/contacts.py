"""Names, addresses and telecommunication: EN, AD and TEL, both ways. [cda 2.8, 4.4]"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from fhir_dmp.cda.elements import children, first, make, same, text_in, with_text
from fhir_dmp.cda.knowledge import Part
from fhir_dmp.cda.places import EXTENSIONS
from fhir_dmp.cda.values.codec import Codec, Read, Reader, Writer
from fhir_dmp.cda.xml import Element
from fhir_dmp.fhir.resource import Json


def _codec(read: Callable[[Element], Json | None], write: Callable[[Json], Element | None]) -> Codec:
    """Return the codec of a data type that one element holds; what is not written as it was read is kept apart."""

    def reads(elements: Sequence[Element], part: Part, reader: Reader) -> Read | None:
        value = read(elements[0])
        if value is None:
            return Read(None, False)
        again = write(value)
        return Read(value, again is not None and same(again, elements[0]))

    def writes(value: Any, part: Part, name: str, writer: Writer) -> list[Element]:
        found = write(value)
        return [found] if found is not None else []

    return Codec(reads, writes)


ADDRESS_PARTS = f"{EXTENSIONS}/cda-address-parts"
_USES = {"H": "home", "HP": "home", "HV": "home", "WP": "work", "DIR": "work", "PUB": "work", "EC": "work",
         "MC": "mobile", "TMP": "temp", "BAD": "old"}  # fmt: skip
_BACK_USES = {"home": "H", "work": "WP", "mobile": "MC", "temp": "TMP"}
_SCHEMES = {"tel": "phone", "fax": "fax", "mailto": "email", "http": "url", "https": "url", "ftp": "url"}
_BACK_SCHEMES = {"phone": "tel:", "fax": "fax:", "email": "mailto:", "pager": "tel:", "sms": "tel:"}
#: Names of the parts of an address are those of XML elements; anything else came from no CDA.
_PART_NAME = re.compile(r"[A-Za-z]{1,40}")
_LINE = ("houseNumber", "houseNumberNumeric", "streetNameType", "streetName")
_EXTRA = ("additionalLocator", "unitID", "postBox", "precinct")
_LINES = ("streetName", "additionalLocator", "unitID", "precinct")
_NAMED = {"postalCode": "postalCode", "city": "city", "county": "district", "state": "state", "country": "country"}
USE = f"{EXTENSIONS}/cda-use"


def read_telecom(element: Element) -> Json | None:
    """TEL -> ContactPoint; the exact @use stays in an extension when FHIR has a coarser word."""
    value = (element.get("value") or "").strip()
    if not value or element.get("nullFlavor"):
        return None
    scheme, mark, rest = value.partition(":")
    system = _SCHEMES.get(scheme.lower()) if mark else None
    use = element.get("use")
    found: Json = {}
    if use and _BACK_USES.get(_USES.get(use, "")) != use:
        found["extension"] = [{"url": USE, "valueString": use}]
    bare = rest.strip() if system in ("phone", "fax", "email") else value
    if not bare:
        return None
    found |= {"system": system or ("phone" if not mark else "other"), "value": bare}
    if use in _USES:
        found["use"] = _USES[use] if _USES[use] != "old" else "old"
    elif use == "PG":
        found["system"] = "pager"
    return found


def telecom_element(value: Json) -> Element | None:
    """ContactPoint -> TEL."""
    text = value.get("value")
    if not text:
        return None
    prefix = _BACK_SCHEMES.get(value.get("system") or "", "")
    if not prefix and ":" not in text:
        prefix = "tel:"
    return make("telecom", {"value": prefix + text, "use": _use_of(value)})


def _use_of(value: Json) -> str | None:
    for part in value.get("extension", ()):
        if part.get("url") == USE:
            return str(part.get("valueString"))
    return "PG" if value.get("system") == "pager" else _BACK_USES.get(value.get("use") or "")


def read_address(element: Element) -> Json | None:
    """AD -> Address; its parts stay apart in an extension, so that the way back is exact."""
    if element.get("nullFlavor"):
        return None
    parts = [(str(child.tag).rpartition("}")[2], text_in(child)) for child in element]
    said = [(name, text) for name, text in parts if text]
    if not said:
        bare = text_in(element)
        return {"text": bare} if bare else None
    found: Json = {}
    use = element.get("use")
    street = " ".join(text for name, text in said if name in _LINE)
    lines = [street] if street else []
    lines += [text for name, text in said if name in _EXTRA or name == "streetAddressLine"]
    if any(name in _LINE or name in _EXTRA for name, _ in said):
        found["extension"] = [
            {
                "url": ADDRESS_PARTS,
                "extension": [{"url": name, "valueString": text} for name, text in said],
            }
        ]
    if use and _BACK_USES.get(_USES.get(use, "")) != use:
        found.setdefault("extension", []).append({"url": USE, "valueString": use})
    if use in _USES:
        found["use"] = _USES[use] if _USES[use] != "mobile" else "home"
    if lines:
        found["line"] = lines
    for name, key in _NAMED.items():
        text = next((text for one, text in said if one == name), None)
        if text:
            found[key] = text
    return found


def address_element(value: Json) -> Element | None:
    """Address -> AD: its original parts while they still say what the address says, else lines and town."""
    element = make("addr", {"use": _use_of(value)})
    parts = next((part for part in value.get("extension", ()) if part.get("url") == ADDRESS_PARTS), None)
    if parts is not None:
        for part in parts.get("extension", ()):
            if _PART_NAME.fullmatch(part["url"]):
                element.append(with_text(part["url"], str(part.get("valueString"))))
        again = read_address(element)
        if again is not None and {**again, "extension": 0} == {**value, "extension": 0}:
            return element
        element = make("addr", {"use": _use_of(value)})
    lines = value.get("line") or ([value["text"]] if value.get("text") and not value.get("city") else [])
    # The two styles of an address are never mixed: lines are parts as soon as there is another part. [cda 2.8]
    names = _LINES if any(value.get(key) for key in _NAMED.values()) else ("streetAddressLine",) * 7
    fitting = [str(line) for line in lines[: len(names) - 1]]
    rest = ", ".join(str(line) for line in lines[len(names) - 1 :])
    for name, line in zip(names, [*fitting, *([rest] if rest else [])], strict=False):
        element.append(with_text(name, line))
    for name, key in _NAMED.items():
        if value.get(key):
            element.append(with_text(name, str(value[key])))
    return element if len(element) else None


def read_name(element: Element | None) -> Json | None:
    """PN -> HumanName; every given element stays a value of its own."""
    if element is None or element.get("nullFlavor"):
        return None
    found: Json = {}
    family = text_in(first(element, "family"))
    if family:
        found["family"] = family
    for name in ("given", "prefix", "suffix"):
        texts = [text for child in children(element, name) if (text := text_in(child))]
        if texts:
            found[name] = texts
    if not found:
        bare = text_in(element)
        return {"text": bare} if bare else None
    return found


#: Value sets of civility and title. [cda 2.5]
_CIVILITY, _TITLE = "jdv-j245", "jdv-j246"


def titles(value: Json, writer: Writer) -> tuple[list[str], list[str]]:
    """Return prefixes and suffixes of a name as the CI-SIS codes them: a title is a suffix, wherever it stood."""
    found: dict[str, list[str]] = {_CIVILITY: [], _TITLE: []}
    words = writer.knowledge.tables["titles"]
    for text in (*value.get("prefix", ()), *value.get("suffix", ())):
        code = words.get(str(text).strip(" .").casefold(), str(text).strip())
        known = next((name for name in found if writer.knowledge.binding(name).coding(code)), None)
        if known is None:
            writer.drop("name", f"the title {text} has no code")
        else:
            found[known].append(code)
    return found[_CIVILITY], found[_TITLE]


def name_element(value: Json, writer: Writer) -> Element:
    """HumanName -> PN."""
    element = make("name")
    prefixes, suffixes = titles(value, writer)
    element.extend(with_text("prefix", text) for text in prefixes)
    element.extend(with_text("given", str(text)) for text in value.get("given", ()))
    if value.get("family"):
        element.append(with_text("family", str(value["family"])))
    element.extend(with_text("suffix", text) for text in suffixes)
    if not len(element) and value.get("text"):
        element.text = str(value["text"])
    return element


def contacts(element: Element) -> Json:
    found: Json = {}
    telecoms = [one for child in children(element, "telecom") if (one := read_telecom(child))]
    addresses = [one for child in children(element, "addr") if (one := read_address(child))]
    if telecoms:
        found["telecom"] = telecoms
    if addresses:
        found["address"] = addresses
    return found


def contact_elements(resource: Json | None) -> list[Element]:
    if resource is None:
        return []
    found = [one for value in resource.get("address", ()) if (one := address_element(value)) is not None]
    return found + [one for value in resource.get("telecom", ()) if (one := telecom_element(value)) is not None]


CODECS = {
    "address": _codec(read_address, address_element),
    "telecom": _codec(read_telecom, telecom_element),
}
