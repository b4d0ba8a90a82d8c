"""A resource as a page for browsers: readable, linked, and inert. Everything from the record is escaped."""

from __future__ import annotations

import hashlib
import re
from base64 import b64encode
from collections.abc import Iterable, Sequence
from html import escape
from typing import Any
from urllib.parse import quote, urlencode

from fhir_dmp.fhir.elements import object_of, objects_of
from fhir_dmp.fhir.resource import Json, parse_stored, pretty
from fhir_dmp.http.request import Request

_STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;margin:0 auto 3rem;max-width:76rem;padding:0 1rem;color:#1b1b35}"
    "header{border-bottom:3px solid #000091;padding:.8rem 0;margin-bottom:1rem}"
    "header a{font-weight:700;margin-right:1rem}"
    "pre{background:#f6f6f9;border:1px solid #ddd;padding:1rem;overflow:auto;font-size:13px}"
    "a{color:#000091}nav a{margin-right:1rem}h1{font-size:1.3rem;margin:.5rem 0}p{margin:.3rem 0}"
    "table{border-collapse:collapse;width:100%;margin:1rem 0}td,th{border-bottom:1px solid #ddd;padding:.3rem .6rem;"
    "text-align:left;vertical-align:top}th{font-size:13px;color:#555}.k{color:#6a3fb5}.s{font:600 13px monospace;"
    "background:#e8edff;padding:.1rem .5rem;border-radius:.6rem}.bad{background:#ffe9e6}.warn{background:#fff4d6}"
)
_STYLE_HASH = b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
POLICY = f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; frame-ancestors 'none'; base-uri 'none'"
#: References and links of the escaped text that lead to this server.
_RELATIVE = re.compile(r"(&quot;reference&quot;</span>: &quot;)((?:[A-Z][A-Za-z]+)/[A-Za-z0-9.\-]{1,64})(?=&quot;)")
_KEY = re.compile(r"^( *)(&quot;[A-Za-z_]\w*&quot;)(: )", re.MULTILINE)
_OWN = re.compile(r"[A-Z][A-Za-z]+/[A-Za-z0-9.\-]{1,64}")
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
    base = escape(request.base)
    html = (
        f'<header><a href="{base}/metadata">fhir-dmp</a><span class="s{" bad" if status >= 400 else ""}">HTTP {status}'
        f"</span></header><h1>{escape(title)}</h1><nav>{_views(request)}</nav>{_summary(resource, request.base)}"
        f"<pre>{_linked(_coloured(escape(shown)), request.base)}</pre>"
    )
    return document(title, html), POLICY


def _summary(resource: Json, base: str) -> str:
    """Return what a person looks for first: the problems of an outcome, the entries and pages of a Bundle."""
    if resource.get("resourceType") == "OperationOutcome":
        return _table(("severity", "code", "what"), map(_issue, objects_of(resource.get("issue"))))
    if resource.get("resourceType") != "Bundle":
        return f"<p>{escape(_caption(resource))}</p>"
    links = [(each.get("relation"), each.get("url")) for each in objects_of(resource.get("link"))]
    steps = "".join(
        f'<a href="{escape(url)}">{escape(str(relation))}</a>'
        for relation, url in links
        if isinstance(url, str) and url.startswith(base)
    )
    total = resource.get("total")
    counted = f"<p>total: {escape(str(total))}</p>" if total is not None else ""
    rows = [_row(entry, base) for entry in objects_of(resource.get("entry"))]
    listed = _table(("", "resource", "what", "last updated"), rows) if rows else ""
    return f"<nav>{steps}</nav>{counted}{listed}"


def _row(entry: Json, base: str) -> tuple[str, ...]:
    resource = object_of(entry.get("resource"))
    if resource.get("resourceType") == "OperationOutcome":
        said = "; ".join(str(issue.get("diagnostics", "")) for issue in objects_of(resource.get("issue")))
        return (escape("outcome"), "", f'<span class="warn">{escape(said)}</span>', "")
    request, response = object_of(entry.get("request")), object_of(entry.get("response"))
    mode = object_of(entry.get("search")).get("mode") or response.get("status") or request.get("method") or ""
    name = f"{resource.get('resourceType', '')}/{resource.get('id', '')}".strip("/")
    target = _OWN.fullmatch(name)
    place = (
        f'<a href="{escape(base)}/{name}">{escape(name)}</a>' if target else escape(name or str(request.get("url", "")))
    )
    changed = object_of(resource.get("meta")).get("lastUpdated", "")
    return escape(str(mode)), place, escape(_caption(resource)), escape(str(changed))


def _issue(issue: Json) -> tuple[str, ...]:
    details = object_of(issue.get("details")).get("text", "")
    where = ", ".join(map(str, issue.get("expression", ())))
    said = " ".join(filter(None, (str(details), str(issue.get("diagnostics", "")), where and f"({where})")))
    return escape(str(issue.get("severity"))), escape(str(issue.get("code"))), escape(said)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table; the head is plain text, the cells are HTML already."""
    top = "".join(f"<th>{escape(each)}</th>" for each in head)
    lines = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{top}</tr></thead><tbody>{lines}</tbody></table>"


def _caption(resource: Json) -> str:
    """Return a few words by which a person knows the resource: a name or title, a code, a date."""
    names = (_words(resource.get(key)) for key in ("title", "name", "description", "type", "code", "vaccineCode"))
    dates = (resource.get(key) for key in ("date", "effectiveDateTime", "authoredOn", "birthDate", "dateTime"))
    found = [*(name for name in names if name)][:2]
    found += [date for date in dates if isinstance(date, str)][:1]
    return " · ".join(found)[:200]


def _words(value: Any) -> str:
    """Return the words of a text, a HumanName or a CodeableConcept; the first of a list."""
    if isinstance(value, list):
        return _words(value[0]) if value else ""
    if not isinstance(value, dict):
        return value if isinstance(value, str) else ""
    family, given = value.get("family"), value.get("given")
    if isinstance(family, str):
        return f"{family} {given[0] if isinstance(given, list) and given else ''}".strip()
    text = value.get("text") or value.get("display") or value.get("code")
    return text if isinstance(text, str) else _words(value.get("coding"))


def _coloured(text: str) -> str:
    """Mark the property names of escaped JSON."""
    return _KEY.sub(r'\1<span class="k">\2</span>\3', text)


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
        rf"(&quot;(?:url|fullUrl)&quot;</span>: &quot;)({re.escape(home)}/[^\s&<>]*(?:&amp;[^\s&<>]+)*)(?=&quot;)"
    )
    return own.sub(lambda m: f'{m.group(1)}<a href="{m.group(2)}">{m.group(2)}</a>', text)
