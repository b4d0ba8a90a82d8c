"""A CDA as a page to read and print: its header and narratives, in our own style. Nothing of the file acts. [cda 8]

What is shown is what the author attests: header, section titles, narratives, embedded contents. Stylesheets, scripts
and wrappers of self-presenting files are never looked at. Every word of the file is escaped, every element is ours.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

from fhir_dmp.cda.elements import children, first, name_of, tag, text_in
from fhir_dmp.cda.header import Concept, Header, Id, Name, Organization, Party, header_of
from fhir_dmp.cda.narrative import BASE64, formatted, media_in
from fhir_dmp.cda.page_words import STYLE, WORDS
from fhir_dmp.cda.xml import MAX_BYTES, Element, clinical_document, parse
from fhir_dmp.terminology.national import INS_SYSTEMS

_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode("ascii")
_INERT = f"default-src 'none'; img-src data:; style-src 'sha256-{_HASH}'; style-src-attr 'unsafe-inline'"
#: Style attributes hold alignment, width and border alone: narratives are written by `narrative.formatted`.
POLICY = f"sandbox allow-downloads; {_INERT}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
_IMAGES = frozenset({"image/png", "image/jpeg", "image/gif"})
#: Contents that the page hands out, with the suffix of their file; browsers do not open them inside the page.
_FILES = {
    "application/pdf": "pdf",
    "text/rtf": "rtf",
    "application/rtf": "rtf",
    "image/tiff": "tiff",
    "text/plain": "txt",
    **{type_: type_.partition("/")[2] for type_ in _IMAGES},
}
_LANGUAGE = re.compile(r"[A-Za-z]{2}(-[A-Za-z]{2})?")
_TIME = re.compile(r"(\d{4})(\d\d)?(\d\d)?(?:(\d\d)(\d\d)(?:\d\d(?:\.\d+)?)?)?([+-]\d{4})?")
_TIME_FORMS = {"fr": ("{d}/{m}/{y}", "{m}/{y}"), "en": ("{y}-{m}-{d}", "{y}-{m}")}


class _Reader:
    """What reading a narrative asks for: the figures of the document. Counts what cannot be shown."""

    def __init__(self, document: Element) -> None:
        self._media = media_in(document)
        self.lost = 0

    def media_of(self, name: str) -> tuple[str, str] | None:
        """Return media type and base64 of what a figure shows."""
        return self._media.get(name)

    def lose(self, element: Element, reason: str, **_: object) -> None:
        """Note that something cannot be shown."""
        self.lost += 1


@dataclass(slots=True)
class _Page:
    """The page being written. number: sections met so far."""

    language: str
    reader: _Reader
    number: int = 0

    def word(self, key: str) -> str:
        """Return a label."""
        return WORDS[self.language][key]

    def time(self, text: str | None) -> str:
        """Return a TS as people write it; what is no time is shown as it stands.

        >>> _Page("fr", None).time("20260612103000+0200"), _Page("en", None).time("202606")
        ('12/06/2026 10:30 (+02:00)', '2026-06')
        """
        match = _TIME.fullmatch((text or "").strip())
        if match is None:
            return text or ""
        year, month, day, hour, minute, zone = match.groups()
        whole, short = _TIME_FORMS[self.language]
        date = (whole if day else short if month else "{y}").format(y=year, m=month, d=day)
        clock = f" {hour}:{minute}" if hour else ""
        return f"{date}{clock}" + (f" ({zone[:3]}:{zone[3:]})" if zone and hour else "")


def page(data: bytes, language: str = "fr", max_bytes: int = MAX_BYTES) -> bytes:
    """Return the page of a CDA file (UTF-8 HTML), to be sent with `POLICY`. language: fr or en, of the labels.

    Raises:
        BadRequest: no well-formed XML, no single ClinicalDocument, no id or patient.
    """
    document = clinical_document(parse(data, max_bytes))
    header = header_of(document)
    made = _Page(language, _Reader(document))
    body = _body(document, made)
    title = header.title or _said(header.code) or made.word("document")
    spoken = header.language if _LANGUAGE.fullmatch(header.language or "") else "fr"
    lost = f'<p class="note">{escape(made.word("lost"))}</p>' if made.reader.lost else ""
    return (
        f'<!DOCTYPE html>\n<html lang="{language}"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{escape(_INERT)}">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><title>{escape(title)}</title>'
        f'<style>{STYLE}</style></head><body><a class="skip" href="#dmp-body">{escape(made.word("skip"))}</a>'
        f'<header><h1 lang="{spoken}">{escape(title)}</h1>{_header(header, made)}</header>'
        f'<main id="dmp-body" lang="{spoken}">{body}</main>'
        f"<footer>{lost}<p>{escape(made.word('original'))}</p></footer></body></html>\n"
    ).encode("utf-8", "replace")


# --- header --------------------------------------------------------------------------------------------------------


def _header(header: Header, made: _Page) -> str:
    return "".join(
        (
            _facts("patient", _patient(header, made), made),
            _facts("people", _people(header, made), made),
            _facts("document", _document(header, made), made),
        )
    )


def _facts(label: str, facts: Iterable[tuple[str, str]], made: _Page) -> str:
    rows = "".join(
        f"<div><dt>{escape(made.word(key))}</dt><dd>{escape(said)}</dd></div>" for key, said in facts if said
    )
    name = f"dmp-{label}"
    heading = escape(made.word(label))
    return f'<section aria-labelledby="{name}"><h2 id="{name}">{heading}</h2><dl>{rows}</dl></section>' if rows else ""


def _patient(header: Header, made: _Page) -> list[tuple[str, str]]:
    person = header.patient
    used = " ".join(filter(None, (person.used_given or person.given or person.birth_given, person.used_family)))
    gender = {"M": "male", "F": "female"}.get(person.gender or "", "unknown")
    ins = [one for one in person.ids if f"urn:oid:{one.root}" in INS_SYSTEMS]
    return [
        ("birth-name", " ".join(filter(None, (person.birth_given or person.given, person.birth_family)))),
        ("used-name", used if person.used_family else ""),
        ("birth", made.time(person.birth_time)),
        ("gender", made.word(gender) if person.gender else ""),
        ("ins", ", ".join(one.extension or "" for one in ins)),
        ("numbers", ", ".join(_id(one) for one in person.ids if one not in ins)),
    ]


def _people(header: Header, made: _Page) -> list[tuple[str, str]]:
    authors = [("author", _party(one)) for one in header.authors]
    signer = [("signer", _party(header.legal_authenticator))] if header.legal_authenticator else []
    recipients = [("recipient", _party(one)) for one in header.recipients]
    return [*authors, *signer, ("custodian", _structure(header.custodian)), *recipients]


def _document(header: Header, made: _Page) -> list[tuple[str, str]]:
    acts = [("act", _act_words(act.code, act.low, act.high, made)) for act in header.acts]
    return [
        ("type", _said(header.code)),
        ("created", made.time(header.created)),
        *acts,
        ("place", _said(header.facility)),
        ("confidentiality", _said(header.confidentiality)),
        ("version", str(header.version or "")),
        ("id", _id(header.id)),
        ("replaced", _id(header.replaced) if header.replaced else ""),
    ]


def _act_words(code: Concept | None, low: str | None, high: str | None, made: _Page) -> str:
    times = " – ".join(filter(None, (made.time(low), made.time(high))))
    return ", ".join(filter(None, (_said(code), times)))


def _id(one: Id) -> str:
    return f"{one.extension} ({one.root})" if one.extension else one.root


def _said(concept: Concept | None) -> str:
    return (concept.display or concept.code) if concept is not None else ""


def _party(party: Party) -> str:
    device = " ".join(filter(None, party.device or ()))
    words = (_name(party.name) or device, _said(party.code), _structure(party.organization))
    return ", ".join(filter(None, words)) or ", ".join(map(_id, party.ids))


def _name(name: Name | None) -> str:
    return " ".join(filter(None, (name.prefix, name.given, name.family, name.suffix))) if name else ""


def _structure(structure: Organization | None) -> str:
    return (structure.name or ", ".join(map(_id, structure.ids))) if structure is not None else ""


# --- body ----------------------------------------------------------------------------------------------------------


def _body(document: Element, made: _Page) -> str:
    text = first(document, "component", "nonXMLBody", "text")
    if text is not None:
        return _unstructured(text, made)
    body = first(document, "component", "structuredBody")
    tops = _sections(body) if body is not None else []
    contents = [(_heading(section), number) for number, section in _numbered(tops)]
    links = "".join(f'<li><a href="#dmp-s{number}">{escape(title)}</a></li>' for title, number in contents if title)
    label = escape(made.word("contents"))
    table = f'<nav aria-label="{label}"><h2>{label}</h2><ol>{links}</ol></nav>' if len(contents) > 2 else ""
    sections = "".join(_section(section, 2, made) for section in tops)
    return table + sections + _attached(document, made)


def _sections(parent: Element) -> list[Element]:
    return [section for component in children(parent, "component") for section in children(component, "section")]


def _numbered(tops: Sequence[Element]) -> Iterable[tuple[int, Element]]:
    """Yield the outermost sections with the numbers that `_section` gives them."""
    number = 1
    for section in tops:
        yield number, section
        number += sum(1 for _ in section.iter(tag("section")))


def _heading(section: Element) -> str:
    title, code = first(section, "title"), first(section, "code")
    return text_in(title) or (code.get("displayName") if code is not None else None) or ""


def _section(section: Element, level: int, made: _Page) -> str:
    made.number += 1
    name = f"dmp-s{made.number}"
    title = _heading(section)
    depth = min(level, 6)
    head = f'<h{depth} id="{name}">{escape(title)}</h{depth}>' if title else ""
    text = first(section, "text")
    body = f'<div class="text">{formatted(text, made.reader)}</div>' if text is not None else ""
    inner = "".join(_section(one, level + 1, made) for one in _sections(section))
    mark = f' aria-labelledby="{name}"' if title else f' id="{name}"'
    return f"<section{mark}>{head}{body}{inner}</section>"


def _unstructured(text: Element, made: _Page) -> str:
    type_ = (text.get("mediaType") or "").strip().lower()
    if text.get("representation") != "B64":
        return f"<pre>{escape(''.join(str(part) for part in text.itertext()))}</pre>"
    data = "".join((text.text or "").split())
    if type_ == "text/plain" and BASE64.fullmatch(data):
        return f"<pre>{escape(base64.b64decode(data).decode('utf-8', 'replace'))}</pre>"
    return f"<p>{_content(type_, data, made.word('content'), made)}</p>"


def _attached(document: Element, made: _Page) -> str:
    """Return the list of embedded contents: copies of the document, files, figures."""
    found = []
    for media in document.iter(tag("observationMedia")):
        value = first(media, "value")
        data = "".join((value.text or "").split()) if value is not None else ""
        if value is None or not data:
            continue
        words = [text_in(one) for one in media if name_of(one) in ("text", "title")]
        label = next(filter(None, words), None) or made.word("content")
        id_ = media.get("ID") or ""
        anchor = f' id="{escape(id_)}"' if re.fullmatch(r"[A-Za-z][\w.\-]*", id_) else ""
        shown = _content((value.get("mediaType") or "").strip().lower(), data, label, made)
        found.append(f"<li{anchor}>{shown}</li>")
    if not found:
        return ""
    heading = escape(made.word("attached"))
    return f'<section aria-labelledby="dmp-files"><h2 id="dmp-files">{heading}</h2><ul>{"".join(found)}</ul></section>'


def _content(type_: str, data: str, label: str, made: _Page) -> str:
    """Return what shows or hands out an embedded content; another type is named, never handed to the browser."""
    suffix = _FILES.get(type_)
    if suffix is None or not BASE64.fullmatch(data):
        made.reader.lost += 1
        return f"{escape(label)} ({escape(type_ or '?')}): {escape(made.word('not-shown'))}"
    url = f"data:{type_};base64,{data}"
    if type_ in _IMAGES:
        return f'<img alt="{escape(label)}" src="{url}">'
    return f'<a download="document.{suffix}" href="{url}">{escape(label)} ({escape(type_)})</a>'
