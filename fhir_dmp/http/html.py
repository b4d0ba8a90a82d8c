"""A resource as a page for browsers: readable, linked, and inert. Everything from the record is escaped."""

from __future__ import annotations

import hashlib
import re
from base64 import b64encode
from html import escape
from urllib.parse import quote, urlencode

from fhir_dmp.fhir.resource import parse_stored, pretty
from fhir_dmp.http.request import Request

_STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:70rem;padding:0 1rem;color:#1b1b35}"
    "pre{background:#f6f6f9;border:1px solid #ddd;padding:1rem;overflow:auto;font-size:13px}"
    "a{color:#000091}nav a{margin-right:1rem}h1{font-size:1.3rem}"
)
_STYLE_HASH = b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
POLICY = f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; frame-ancestors 'none'; base-uri 'none'"
#: References and links of the escaped text that lead to this server.
_RELATIVE = re.compile(r"(&quot;reference&quot;: &quot;)((?:[A-Z][A-Za-z]+)/[A-Za-z0-9.\-]{1,64})(?=&quot;)")
MAX_SHOWN = 1 << 20


def document(title: str, body: str) -> bytes:
    """Return a whole page; `body` is HTML already, the title is not."""
    return (
        f'<!DOCTYPE html>\n<html lang="fr"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head><body>{body}</body></html>\n'
    ).encode()


def page(body: bytes, request: Request, status: int) -> tuple[bytes, str]:
    """Return the page of a resource, and the policy that keeps it inert."""
    resource = parse_stored(body)
    text = pretty(resource).decode("utf-8", "replace")
    shown = text if len(text) <= MAX_SHOWN else text[:MAX_SHOWN] + "\n…"
    title = f"{resource.get('resourceType', '')} {resource.get('id', '')}".strip()
    html = (
        f"<h1>{escape(title)}</h1><p>HTTP {status}</p><nav>{_views(request)}</nav>"
        f"<pre>{_linked(escape(shown), request.base)}</pre>"
    )
    return document(title, html), POLICY


def _views(request: Request) -> str:
    """Links to the raw representations of the same URL."""
    others = [(name, value) for name, value in request.query if name not in ("_format", "_pretty")]
    path = escape("/".join((request.base, *map(quote, request.segments))))
    links = []
    for name, extra in (("JSON", [("_format", "json"), ("_pretty", "true")]), ("XML", [("_format", "xml")])):
        links.append(f'<a href="{path}?{escape(urlencode([*others, *extra]))}">{name}</a>')
    return "".join(links)


def _linked(text: str, base: str) -> str:
    home = escape(base)
    text = _RELATIVE.sub(lambda m: f'{m.group(1)}<a href="{home}/{m.group(2)}">{m.group(2)}</a>', text)
    own = re.compile(
        rf"(&quot;(?:url|fullUrl)&quot;: &quot;)({re.escape(home)}/[^\s&<>]*(?:&amp;[^\s&<>]+)*)(?=&quot;)"
    )
    return own.sub(lambda m: f'{m.group(1)}<a href="{m.group(2)}">{m.group(2)}</a>', text)
