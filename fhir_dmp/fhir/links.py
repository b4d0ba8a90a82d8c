"""Attachment URLs: relative in the store, absolute on the wire, so that a server may change its public address.

The replacement works on JSON bytes: `"url":"Binary/` can only occur as a property with that value, because a quote
inside a string is escaped.
"""

from __future__ import annotations

from fhir_dmp.fhir.resource import Json

_RELATIVE = (b'"url":"Binary/', b'"url":"Bundle/')
_EITHER = b'"url":"B'


def absolute(body: bytes, base: str) -> bytes:
    """Return DocumentReference JSON whose attachment URLs are absolute at `base`."""
    first = body.find(_EITHER)
    if first < 0:
        return body
    for relative in _RELATIVE:
        if body.find(relative, first) >= 0:
            body = body.replace(relative, b'"url":"' + base.encode() + b"/" + relative[7:])
    return body


def on_the_wire(type_: str, body: bytes, base: str) -> bytes:
    """Return a stored body as it is sent: only documents have their links completed, all else goes out as it came."""
    return absolute(body, base) if type_ == "DocumentReference" else body


def relative(resource: Json, base: str) -> None:
    """Make attachment URLs that point at `base` relative, in place (the caller's own copy)."""
    for content in resource.get("content", ()):
        attachment = content.get("attachment") if isinstance(content, dict) else None
        url = attachment.get("url") if isinstance(attachment, dict) else None
        if isinstance(url, str) and url.startswith(base + "/"):
            assert isinstance(attachment, dict)
            attachment["url"] = url[len(base) + 1 :]
