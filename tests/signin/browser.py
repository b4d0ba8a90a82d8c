"""A browser without script, over the real application: cookies, pages, forms, redirects."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser
from urllib.parse import parse_qsl, urlencode, urlsplit

from tests.world import Response, World

HOST = "http://127.0.0.1:8000"


@dataclass
class Form:
    """One form of a page: where it goes, and its fields as a browser would send them."""

    action: str = ""
    fields: list[tuple[str, str]] = field(default_factory=list)
    choices: list[tuple[str, str]] = field(default_factory=list)
    labels: dict[str, str] = field(default_factory=dict)


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.forms: list[Form] = []
        self.links: list[str] = []
        self.text: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.tags.append((tag, values))
        name, value = values.get("name") or "", values.get("value") or ""
        if tag == "form":
            self.forms.append(Form(values.get("action") or ""))
        elif tag == "a":
            self.links.append(values.get("href") or "")
        elif tag in ("input", "textarea") and self.forms and name:
            kind = values.get("type")
            if kind in ("radio", "checkbox"):
                self.forms[-1].choices.append((name, value))
            if kind not in ("radio",) and (kind != "checkbox" or "checked" in values):
                self.forms[-1].fields.append((name, value))

    def handle_data(self, data: str) -> None:
        self.text.append(data)


@dataclass
class Page:
    """One answer, read."""

    response: Response
    url: str
    reader: _Reader

    @property
    def status(self) -> int:
        return self.response.status

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.reader.text).split())

    @property
    def forms(self) -> list[Form]:
        return self.reader.forms

    @property
    def answer(self) -> dict[str, str]:
        """What an application was told by the redirect that led away."""
        return dict(parse_qsl(urlsplit(self.url).query, keep_blank_values=True))


@dataclass
class Browser:
    """One browser."""

    world: World
    cookies: dict[str, str] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)

    def send(self, method: str, url: str, body: bytes = b"", **headers: str) -> Response:
        """Send one request with the cookies, and keep those that come."""
        target = url.removeprefix(HOST)
        given = {**self.headers, **{name.replace("_", "-"): value for name, value in headers.items()}}
        if self.cookies:
            given["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        response = self.world.request(method, target, body, given)
        for text in response.cookies:
            name, _, rest = text.partition("=")
            value, _, attributes = rest.partition(";")
            assert name.startswith("__Host-")
            for needed in ("Secure", "HttpOnly", "Path=/", "SameSite=Lax"):
                assert needed in attributes, text
            if value:
                self.cookies[name] = value
            else:
                self.cookies.pop(name, None)
        return response

    def open(self, url: str, method: str = "GET", body: bytes = b"", **headers: str) -> Page:
        """Follow redirects on this server; stop where one leads away."""
        response = self.send(method, url, body, **headers)
        for _ in range(10):
            if response.status not in (302, 303):
                break
            url = response.headers["Location"]
            if url.startswith("http") and not url.startswith(HOST):
                break
            response = self.send("GET", url)
        reader = _Reader()
        reader.feed(response.body.decode("utf-8", "replace"))
        return Page(response, url, reader)

    def submit(self, page: Page, which: int = 0, /, **values: str | list[str] | None) -> Page:
        """Send a form of a page; `values` replace its fields (None: left out), lists give several values."""
        form = page.forms[which]
        kept = [(name, value) for name, value in form.fields if name not in values]
        for name, value in values.items():
            kept += [(name, each) for each in (value if isinstance(value, list) else [value] if value else [])]
        return self.open(
            form.action or page.url,
            "POST",
            urlencode(kept).encode(),
            Content_Type="application/x-www-form-urlencoded",
            Origin=HOST,
        )
