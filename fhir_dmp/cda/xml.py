"""Reading CDA bytes safely: no DTD, no entities, no network, bounded size; the one ClinicalDocument of the file.

A file may wrap its document (self-presenting: an XSLT root, a signature). [cda 1.1, 2.8]
https://lxml.de/parsing.html#parser-options
"""

from __future__ import annotations

import codecs
import re

from lxml import etree

from fhir_dmp.errors import BadRequest

V3 = "urn:hl7-org:v3"
CLINICAL_DOCUMENT = f"{{{V3}}}ClinicalDocument"
MAX_BYTES = 52_428_800
#: libxml2 refuses longer texts and deeper trees than its own bounds unless told otherwise (an embedded PDF is long).
_ORDINARY_BYTES = 10_000_000
#: Deeper than any document is; code that walks a tree by calling itself stays far from its own bound.
MAX_DEPTH = 200
_TOO_DEEP = etree.XPath("boolean(" + "/*" * (MAX_DEPTH + 1) + ")")
_DECLARATION = re.compile(r"\s*<\?xml\s[^>]*?\?>")
_STATED = re.compile(r"""\b(version|encoding)\s*=\s*["']([^"']*)["']""")
_ENCODINGS = ("utf-8", "utf8", "us-ascii", "utf-16", "utf-16le", "utf-16be")
_PROLOG = re.compile(r"(?:\s+|<\?.*?\?>|<!--.*?-->)*", re.DOTALL)
_WIDE = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)

Element = etree._Element


def parse(data: bytes, max_bytes: int = MAX_BYTES) -> Element:
    """Return the root element of an XML file.

    Raises:
        BadRequest: too big, a DTD (entities are a way to attack parsers), not well-formed, too deep, another encoding
            than UTF-8 or UTF-16. The diagnostics give line and column, never content.
    """
    if len(data) > max_bytes:
        raise BadRequest(f"The document is longer than {max_bytes} bytes.", code="too-long")
    _check_declaration(data)
    if _prolog_rest(data).startswith("<!DOCTYPE"):
        raise BadRequest("A DTD is not allowed in a CDA document.", code="structure")
    parser = etree.XMLParser(
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        remove_comments=True,
        remove_pis=True,
        huge_tree=len(data) > _ORDINARY_BYTES,
    )
    try:
        root = etree.fromstring(data, parser)
    except etree.XMLSyntaxError as error:
        line, column = error.position
        raise BadRequest(
            f"The document is not well-formed XML (line {line}, column {column}).", code="structure"
        ) from error
    except ValueError as error:
        raise BadRequest("The document is not XML.", code="structure") from error
    if _TOO_DEEP(root):
        raise BadRequest(f"The document is nested deeper than {MAX_DEPTH} levels.", code="structure")
    return root


def _check_declaration(data: bytes) -> None:
    """Check what the XML declaration states: XML 1.0, in UTF-8 or UTF-16."""
    declaration = _DECLARATION.match(_decoded(data[:400]))
    stated = dict(_STATED.findall(declaration.group())) if declaration else {}
    if stated.get("version", "1.0") != "1.0":
        raise BadRequest("The document is not XML 1.0 (line 1).", code="structure")
    if stated.get("encoding", "utf-8").lower() not in _ENCODINGS:
        raise BadRequest("The document declares another encoding than UTF-8 (line 1).", code="structure")


def _decoded(head: bytes) -> str:
    encoding = next((name for mark, name in _WIDE if head.startswith(mark)), None)
    if encoding is None:
        # UTF-16 without a mark shows as every other byte being zero.
        encoding = "utf-16-le" if head[1:2] == b"\0" else "utf-16-be" if head[:1] == b"\0" else "latin-1"
    return head.decode(encoding, errors="replace").removeprefix("\xef\xbb\xbf").lstrip("\ufeff")


def _prolog_rest(data: bytes) -> str:
    """Return the text that follows declaration, comments and processing instructions, where a DTD would stand."""
    text = _decoded(data[:65536])
    match = _PROLOG.match(text)
    rest = text[match.end() :] if match else text
    # A prolog that does not end within the window hides what follows: look for the word itself.
    return rest if rest[1:2] not in ("?", "!") or rest.startswith("<!DOCTYPE") else _hidden(data)


def _hidden(data: bytes) -> str:
    return "<!DOCTYPE" if b"<!DOCTYPE" in data or "<!DOCTYPE".encode("utf-16-le") in data else ""


def clinical_document(root: Element) -> Element:
    """Return the one ClinicalDocument of a file: its root, or the only descendant of that name.

    Raises:
        BadRequest: there is none, or there are several.
    """
    if root.tag == CLINICAL_DOCUMENT:
        return root
    found = list(root.iter(CLINICAL_DOCUMENT))
    if len(found) != 1:
        text = "no ClinicalDocument" if not found else f"{len(found)} ClinicalDocuments"
        raise BadRequest(f"The file holds {text}; exactly one is expected.", code="structure")
    return found[0]
