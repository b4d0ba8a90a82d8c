"""What a content is by its first bytes, against what it is said to be. [security 8.3, TH44, TH45] Pure.

Only what is recognised for sure contradicts: a page, a script or a program that comes as a PDF or a picture. What is
not recognised passes, because a wrong refusal would keep a document out of a record.
"""

from __future__ import annotations

import re

#: So many bytes are looked at.
HEAD_BYTES = 1024

_SIGNATURES: tuple[tuple[bytes, str], ...] = (
    (b"%PDF-", "application/pdf"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"GIF8", "image/gif"),
    (b"II*\x00", "image/tiff"),
    (b"MM\x00*", "image/tiff"),
    (b"PK\x03\x04", "application/zip"),
    (b"MZ", "application/vnd.microsoft.portable-executable"),
    (b"\x7fELF", "application/x-elf"),
)
_PAGE = re.compile(
    rb"\s*(?:\xef\xbb\xbf)?\s*(?:<!--.{0,400}?-->\s*)*<(?:!doctype\s+html|html|script|body|iframe|svg)\b", re.I | re.S
)
#: The test file that every virus scanner knows; nobody means it well in a record. https://www.eicar.org
_TEST_VIRUS = b"X5O!P%@AP[4\\PZX54(P^)7CC)7}$" + b"EICAR-STANDARD-ANTIVIRUS-TEST-FILE"
_ACTIVE = "active content"
#: Types that say of themselves that they are a page or a program: stored as such they leave sandboxed, never inline.
_STATED_ACTIVE = ("text/html", "application/xhtml+xml", "image/svg+xml", "text/xml", "application/xml")
#: Types whose signature a content of another kind contradicts.
_JUDGED = ("application/pdf", "image/jpeg", "image/png", "image/tiff", "image/gif", "text/plain", "text/rtf")


def is_xml(declared: str) -> bool:
    """Say whether a media type is one of XML: such a content may be a CDA document that holds other files."""
    type_ = declared.partition(";")[0].strip().lower()
    return type_ in ("text/xml", "application/xml") or type_.endswith("+xml")


def recognised(head: bytes) -> str | None:
    """Return the type that the first bytes tell for sure, None when they tell none.

    >>> recognised(b"%PDF-1.7 ..."), recognised(b"  <!DOCTYPE html><p>"), recognised(b"Compte rendu")
    ('application/pdf', 'active content', None)
    """
    for signature, type_ in _SIGNATURES:
        if head.startswith(signature):
            return type_
    return _ACTIVE if _PAGE.match(head) else None


def contradiction(declared: str, head: bytes) -> str | None:
    """Return what the content is instead of its declared media type, None when nothing contradicts it.

    >>> contradiction("application/pdf", b"<html>"), contradiction("text/html", b"<html>")
    ('active content', None)
    """
    type_ = declared.partition(";")[0].strip().lower()
    found = recognised(head)
    if found is None or found == type_ or type_ in _STATED_ACTIVE or type_ not in _JUDGED:
        return None
    if type_ == "text/plain" and found != _ACTIVE:
        return None  # plain text may begin with any letters
    return found


def is_test_virus(head: bytes) -> bool:
    """Say whether the content is the test file of virus scanners."""
    return head.lstrip().startswith(_TEST_VIRUS)
