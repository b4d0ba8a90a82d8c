"""The narrative block of a section as XHTML, both ways: only formatting, nothing that acts. [cda 5]"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from fhir_dmp.cda.elements import children, first, make, name_of, tag, text_in
from fhir_dmp.cda.knowledge import Part
from fhir_dmp.cda.values.codec import Codec, Read, Writer
from fhir_dmp.cda.xml import Element
from fhir_dmp.fhir.elements import MAX_NARRATIVE_DEPTH
from fhir_dmp.fhir.resource import Json

XHTML = "http://www.w3.org/1999/xhtml"
_SIMPLE = {
    "paragraph": "p",
    "sub": "sub",
    "sup": "sup",
    "item": "li",
    "table": "table",
    "thead": "thead",
    "tbody": "tbody",
    "tfoot": "tfoot",
    "tr": "tr",
    "th": "th",
    "td": "td",
    "colgroup": "colgroup",
    "col": "col",
}
_STYLES = {"Bold": "b", "Italics": "i", "Emphasis": "em"}
_SAFE_LINK = re.compile(r"(?:https?://|mailto:|#)[^\s\"'<>\x00-\x20]*", re.IGNORECASE)
_NAME = re.compile(r"[A-Za-z][\w.\-]*")
_TAG = re.compile(r"<(/?)[^<>]*?(/?)>")
_LENGTH = re.compile(r"\d+(?:\.\d+)?%?")
#: Whatever else stands where base64 should is text of a stranger: it never enters an attribute.
BASE64 = re.compile(r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?")
_IMAGES = frozenset({"image/png", "image/jpeg", "image/gif"})
_INLINE_BYTES = 200_000
_TABLE = frozenset({"table", "thead", "tbody", "tfoot", "tr", "colgroup"})


def _read(elements: Sequence[Element], part: Part, reader: Any) -> Read | None:
    """text -> Narrative."""
    if not reader.whole:
        return Read(None, True)
    element = elements[0]
    body = formatted(element, reader)
    if not body or not (text_in(element) or "cda-media-" in body):
        return Read(None, False)
    if _depth(body) >= MAX_NARRATIVE_DEPTH:
        reader.lose(element, f"a narrative that is nested deeper than {MAX_NARRATIVE_DEPTH} levels; its text stays")
        body = escape(text_in(element) or "")
    language = element.get("language")
    mark = f" lang={quoteattr(language)}" if language else ""
    # Layout that XHTML says otherwise may change on the way back [6.4]; the text does not.
    return Read({"status": "additional", "div": f'<div xmlns="{XHTML}"{mark}>{body}</div>'}, True)


def _depth(html: str) -> int:
    """Return how deep the elements of well-formed XHTML stand in each other."""
    deepest = depth = 0
    for closing, alone in _TAG.findall(html):
        depth += -1 if closing else 0 if alone else 1
        deepest = max(deepest, depth)
    return deepest


def formatted(element: Element, reader: Any) -> str:
    """Return the inside of a narrative as XHTML.

    reader: `media_of(name)` gives media type and base64 of a figure, `lose(element, reason)` notes what is left out.
    """
    return _inner(element, reader).strip()


def _inner(element: Element, reader: Any) -> str:
    layout = name_of(element) in _TABLE
    parts = [] if layout else [escape(_collapsed(element.text))]
    for child in element:
        parts.append(_element(child, reader))
        if not layout:
            parts.append(escape(_collapsed(child.tail)))
    return "".join(parts)


def _collapsed(text: str | None) -> str:
    return re.sub(r"\s+", " ", text) if text else ""


def _element(element: Element, reader: Any) -> str:
    name = name_of(element)
    if name == "content":
        styles = (element.get("styleCode") or "").split()
        html = _STYLES.get(styles[0], "span") if len(styles) == 1 else "span"
        classes = [] if html != "span" else [f"cda-{_plain(style)}" for style in styles]
        return _tagged(html, element, reader, classes)
    if name == "br":
        return "<br/>"
    if name == "list":
        return _list(element, reader)
    if name == "linkHtml":
        return _link(element, reader)
    if name == "renderMultiMedia":
        return _media(element, reader)
    if name in ("footnote", "footnoteRef"):
        return _tagged("span", element, reader, [f"cda-{name}"])
    if name == "caption":
        parent = element.getparent()
        in_table = parent is not None and name_of(parent) == "table"
        return _tagged("caption" if in_table else "span", element, reader, [] if in_table else ["cda-caption"])
    html = _SIMPLE.get(name, "")
    if not html:
        reader.lose(element, "an element that narratives do not have; its text stays")
        return _inner(element, reader)
    return _tagged(html, element, reader, [])


def _plain(style: str) -> str:
    return re.sub(r"[^\w\-]", "-", style)


def _tagged(html: str, element: Element, reader: Any, classes: list[str]) -> str:
    attributes = _attributes(html, element, classes)
    inner = _inner(element, reader)
    return f"<{html}{attributes}>{inner}</{html}>" if html != "col" else f"<col{attributes}/>"


def _attributes(html: str, element: Element, classes: list[str]) -> str:
    found = []
    id_ = element.get("ID")
    if id_ and _NAME.fullmatch(id_):
        found.append(("id", id_))
    if html not in ("b", "i", "em") and element.get("styleCode") and not classes:
        classes = [f"cda-{_plain(style)}" for style in (element.get("styleCode") or "").split()]
    if classes:
        found.append(("class", " ".join(classes)))
    for name in ("colspan", "rowspan"):
        value = (element.get(name) or "").strip()
        if value.isdigit() and int(value) > 0 and html in ("td", "th"):
            found.append((name, value))
    style = _style(element)
    if "cda-Underline" in classes:
        # FHIR has no element for it.
        style = ";".join(filter(None, (style, "text-decoration:underline")))
    if style:
        found.append(("style", style))
    return "".join(f" {name}={quoteattr(value)}" for name, value in found)


def _style(element: Element) -> str:
    found = []
    align = (element.get("align") or "").lower()
    if align in ("left", "right", "center", "justify"):
        found.append(f"text-align:{align}")
    width = (element.get("width") or "").strip()
    if _LENGTH.fullmatch(width):
        found.append(f"width:{width}" + ("" if width.endswith("%") else "px"))
    border = (element.get("border") or "").strip()
    if border.isdigit():
        found.append(f"border:{border}px solid" if border != "0" else "border:none")
    return ";".join(found)


def _list(element: Element, reader: Any) -> str:
    html = "ol" if element.get("listType") == "ordered" else "ul"
    caption = "".join(_element(one, reader) for one in children(element, "caption"))
    items = "".join(_element(one, reader) for one in children(element, "item"))
    body = f"<{html}{_attributes(html, element, [])}>{items}</{html}>"
    return f"<div>{caption}{body}</div>" if caption else body


def _link(element: Element, reader: Any) -> str:
    target = (element.get("href") or "").strip()
    if not _SAFE_LINK.fullmatch(target):
        reader.lose(element, "a link that is not http, https, mailto or inside the document; its text stays")
        return _tagged("span", element, reader, ["cda-link"])
    return f"<a href={quoteattr(target)}>{_inner(element, reader)}</a>"


def _media(element: Element, reader: Any) -> str:
    target = element.get("referencedObject") or ""
    names = [name for name in target.split() if _NAME.fullmatch(name)]
    media = reader.media_of(names[0]) if names else None
    caption = "".join(_element(one, reader) for one in children(element, "caption"))
    if media is None:
        reader.lose(element, "a figure that shows nothing of this document")
        return caption
    mark = f"cda-media-{names[0]}"
    type_, data = media
    if type_ in _IMAGES and 0 < len(data) <= _INLINE_BYTES * 4 // 3 and BASE64.fullmatch(data):
        said = next(filter(None, (text_in(one) for one in children(element, "caption"))), names[0])
        figure = f'<img class={quoteattr(mark)} alt={quoteattr(said)} src="data:{type_};base64,{data}"/>'
    else:
        figure = f"<a class={quoteattr(mark)} href={quoteattr('#' + names[0])}>{escape(names[0])}</a>"
    return figure + caption


# --- back ----------------------------------------------------------------------------------------------------------

_BACK = {html: name for name, html in _SIMPLE.items()}
_BACK_STYLES = {html: style for style, html in _STYLES.items()} | {"strong": "Bold", "u": "Underline"}
_BLOCKS = frozenset({"h1", "h2", "h3", "h4", "h5", "h6", "blockquote", "pre", "address", "dt", "dd"})


def _write(value: Json, part: Part, name: str, writer: Writer) -> list[Element]:
    """Narrative -> text."""
    from fhir_dmp.cda.elements import read_fragment

    div = read_fragment(str(value.get("div") or ""))
    if div is None:
        return []
    element = make(name)
    if div.get("lang"):
        element.set("language", str(div.get("lang")))
    _back_into(element, div)
    return [element]


def _back_into(target: Element, source: Element) -> None:
    _add_text(target, source.text)
    for child in source:
        _back_element(target, child)
        _add_text(target, child.tail)


def _add_text(target: Element, text: str | None) -> None:
    if not text or (name_of(target) in (*_TABLE, "list") and not text.strip()):
        return
    if len(target):
        target[-1].tail = (target[-1].tail or "") + text
    else:
        target.text = (target.text or "") + text


def _back_element(target: Element, source: Element) -> None:
    html = source.tag.rpartition("}")[2]
    classes = (source.get("class") or "").split()
    media = next((one[len("cda-media-") :] for one in classes if one.startswith("cda-media-")), None)
    if media:
        target.append(make("renderMultiMedia", {"referencedObject": media}))
        return
    if html in ("div", "dl", "img"):
        _back_into(target, source)
        return
    element = _named(html, source, classes)
    id_ = source.get("id")
    if id_ and _NAME.fullmatch(id_) and name_of(element) not in ("linkHtml", "br", "sub", "sup", "renderMultiMedia"):
        element.set("ID", id_)
    for name in ("colspan", "rowspan"):
        if source.get(name) and html in ("td", "th"):
            element.set(name, str(source.get(name)))
    if name_of(element) == "list":
        _items(element, source)
    else:
        _back_into(element, source)
    if html in _BLOCKS:
        target.append(make("paragraph", None, element))
    elif name_of(target) in ("sub", "sup"):
        _add_text(target, text_in(element))
    else:
        target.append(element)


def _named(html: str, source: Element, classes: Sequence[str]) -> Element:
    if html in _BACK_STYLES:
        return make("content", {"styleCode": _BACK_STYLES[html]})
    styles = [one[4:] for one in classes if one.startswith("cda-")]
    if html == "span" and styles[:1] in (["footnote"], ["footnoteRef"], ["caption"]):
        # A caption stands only in lists and tables of CDA, a footnote reference needs a target.
        return make("footnote") if styles[0] == "footnote" else make("content")
    if html == "a":
        target = str(source.get("href") or "")
        return make("linkHtml", {"href": target}) if _SAFE_LINK.fullmatch(target) else make("content")
    if html in ("ul", "ol"):
        return make("list", {"listType": "ordered" if html == "ol" else "unordered"})
    if html == "br":
        return make("br")
    if html == "caption":
        return make("caption")
    name = _BACK.get(html, "content")
    style = " ".join(style for style in styles if style != "link") or None
    return make(name, {"styleCode": style} if name not in ("sub", "sup") else None)


def _items(element: Element, source: Element) -> None:
    for child in source:
        if isinstance(child.tag, str):
            _back_element(element, child)


def texts_by_id(body: Element) -> Mapping[str, Element]:
    """Return the elements of every narrative by their ID."""
    found: dict[str, Element] = {}
    for text in body.iter(tag("text")):
        parent = text.getparent()
        if parent is None or name_of(parent) != "section":
            continue
        for element in text.iter():
            id_ = element.get("ID")
            if id_:
                found.setdefault(str(id_), element)
    return found


def media_in(body: Element) -> Mapping[str, tuple[str, str]]:
    """Return media type and base64 of every object that a narrative may show, by its ID."""
    found: dict[str, tuple[str, str]] = {}
    for media in body.iter(tag("observationMedia")):
        value = first(media, "value")
        id_ = media.get("ID")
        if id_ and value is not None:
            found[str(id_)] = ((value.get("mediaType") or "").strip(), "".join((value.text or "").split()))
    return found


CODECS = {"narrative": Codec(_read, _write)}
