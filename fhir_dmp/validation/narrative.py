"""Narrative safety: the XHTML of `Narrative.div` may format text, never act.

https://hl7.org/fhir/R4/narrative.html#xhtml (txt-1, txt-2). The allowed elements and attributes come from the
definitions; links may only lead to plain documents, styles may not load or run anything.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from xml.parsers import expat

from fhir_dmp.fhir.elements import MAX_NARRATIVE_DEPTH
from fhir_dmp.validation.primitives import Fault

XHTML = "http://www.w3.org/1999/xhtml"

# txt-1 says in words "chapters 7 to 11 of HTML 4.0", and forgets these harmless elements of them in its expression.
_ALSO = frozenset({"address", "bdo", "kbd"})
_XML_ATTRIBUTES = {"http://www.w3.org/XML/1998/namespace lang", "http://www.w3.org/XML/1998/namespace space"}
_LINKS = frozenset({"href", "src", "cite", "longdesc"})
_SCHEMES = frozenset({"http", "https", "mailto", "tel", "ftp", "urn", "cid"})
_scheme = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*):")
_image = re.compile(r"data:image/(?:png|jpeg|gif|webp|bmp)[;,]", re.IGNORECASE)
# Browsers drop control characters and white space inside a scheme ("java\tscript:").
_ignored = re.compile("[\x00-\x20\x7f-\xa0\xad\u200b-\u200f\u2028-\u202f\ufeff]")
_active_style = re.compile(r"\\|expression|javascript|vbscript|behaviou?r|-moz-binding|@import|url\s*\(", re.IGNORECASE)
# A picture inside the style itself loads nothing; the published definitions of R4 draw their trees with such.
_picture = re.compile(
    r"url\(\s*['\"]?data:\s?image/(?:png|jpeg|gif|webp|bmp);base64,[A-Za-z0-9+/=\s]*['\"]?\s*\)", re.I
)
_comment = re.compile(r"/\*.*?\*/", re.DOTALL)


class _Refused(Exception):
    """What is wrong with a narrative, raised out of the parser."""


def checker(elements: frozenset[str], attributes: frozenset[str]) -> Callable[[Any], Fault | None]:
    """Return the check of a div, given what the definitions allow."""
    allowed = {f"{XHTML} {name}" for name in elements | _ALSO}

    def check(value: Any) -> Fault | None:
        if value.__class__ is not str:
            return Fault("structure", "The narrative must be a JSON string with one XHTML div.")
        try:
            has_content = _read(value, allowed, attributes)
        except _Refused as refused:
            return Fault("invalid", str(refused), "txt-1")
        except expat.ExpatError as error:
            line, column = error.lineno, error.offset + 1
            return Fault(
                "invalid", f"The narrative is not well-formed XHTML (line {line}, column {column} of div).", "txt-1"
            )
        return None if has_content else Fault("invariant", "txt-2: the narrative has neither text nor an image.")

    return check


def _read(value: str, allowed: set[str], attributes: frozenset[str]) -> bool:
    """Walk through the div; return whether it holds text or an image."""
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.buffer_text = True
    depth = 0
    content = False

    def start(name: str, attrs: dict[str, str]) -> None:
        nonlocal depth, content
        if depth == 0 and name != f"{XHTML} div":
            raise _Refused(f"The narrative must be one div in the namespace {XHTML}.")
        depth += 1
        if depth > MAX_NARRATIVE_DEPTH:
            raise _Refused(f"The narrative is nested deeper than {MAX_NARRATIVE_DEPTH} levels.")
        if name not in allowed:
            raise _Refused("The narrative uses an element that is not plain formatting (txt-1).")
        if attrs:
            content = content or (name.endswith(" img") and "src" in attrs)
            _check_attributes(attrs, attributes)

    def end(_: str) -> None:
        nonlocal depth
        depth -= 1

    def characters(text: str) -> None:
        nonlocal content
        content = content or not text.isspace()

    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = characters
    parser.StartDoctypeDeclHandler = _no_declaration
    parser.ProcessingInstructionHandler = _no_declaration
    parser.XmlDeclHandler = _no_declaration
    try:
        parser.Parse(value, True)
    except UnicodeEncodeError:
        raise _Refused("The narrative holds a character that XML does not allow.") from None
    return content


def _no_declaration(*_: object) -> None:
    raise _Refused("The narrative must not hold declarations or processing instructions.")


def _check_attributes(attrs: dict[str, str], allowed: frozenset[str]) -> None:
    for name, value in attrs.items():
        if name not in allowed and name not in _XML_ATTRIBUTES:
            raise _Refused("The narrative uses an attribute that is not plain formatting (txt-1).")
        if name in _LINKS and not _is_safe_link(name, value):
            raise _Refused("A link of the narrative leads to active content; use http, https, mailto, tel or '#'.")
        if name == "style" and _active_style.search(_picture.sub("", _comment.sub("", value))):
            raise _Refused("A style of the narrative loads or runs something.")


def _is_safe_link(name: str, value: str) -> bool:
    bare = _ignored.sub("", value)
    scheme = _scheme.match(bare)
    if scheme is None or scheme[1].lower() in _SCHEMES:
        return True
    return name == "src" and _image.match(bare) is not None
