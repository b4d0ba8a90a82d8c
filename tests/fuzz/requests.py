"""Requests that are almost right: real ones, damaged in one or several places. Everything follows from one seed."""

from __future__ import annotations

import copy
import gzip
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any
from urllib.parse import quote

from fhir_dmp.fhir.structure import Structures
from fhir_dmp.fhir.xml import to_xml
from tests import samples

from .oddities import FORM, HEADERS, JSON, MODIFIERS, ODD_TEXTS, ODD_VALUES, PARAMETERS, PATCH, SEGMENTS, TYPES, XML

Json = dict[str, Any]


@dataclass(frozen=True)
class Sent:
    """One request. body: bytes, or JSON still to be written."""

    method: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Any = None


@dataclass(frozen=True)
class Known:
    """What exists on the server: ids of its patient, document, content and organisation."""

    patient: str
    document: str
    binary: str
    structures: Structures


def _seeds(known: Known, dice: Random) -> list[Callable[[], Sent]]:
    unique = f"1.2.250.1.999.{dice.getrandbits(64)}"
    ins = ("patient.identifier", f"{samples.INS}|{samples.ANOUK}")
    observation = {
        "resourceType": "Observation", "status": "final", "subject": {"reference": f"Patient/{known.patient}"},
        "code": {"coding": [{"system": samples.LOINC, "code": "8480-6"}]}, "effectiveDateTime": "2026-06-12",
        "valueQuantity": {"value": 120.10, "unit": "mmHg", "system": "http://unitsofmeasure.org", "code": "mm[Hg]"},
    }  # fmt: skip
    organisation = {"resourceType": "Organization", "id": "o1", "name": "Tilleuls", "active": True}
    entry = {"resource": organisation, "request": {"method": "PUT", "url": "Organization/o1"}}
    get = {"request": {"method": "GET", "url": f"Patient/{known.patient}"}}
    other = {
        "fullUrl": "urn:uuid:0c3c1e2a-8f5b-4f56-9c3d-0a1b2c3d4e5f", "resource": observation,
        "request": {"method": "POST", "url": "Observation", "ifNoneExist": "identifier=a|b"},
    }  # fmt: skip
    parameters = {"resourceType": "Parameters", "parameter": [{"name": "resource", "resource": organisation}]}
    patch = [{"op": "replace", "path": "/status", "value": "superseded"}, {"op": "test", "path": "/id", "value": "x"}]
    parts = [
        ("type", "valueCode", "replace"),
        ("path", "valueString", "Organization.name"),
        ("value", "valueString", "X"),
    ]
    operation = {"name": "operation", "part": [{"name": name, kind: value} for name, kind, value in parts]}
    return [
        lambda: Sent("POST", "", body=samples.submission(unique)),
        lambda: Sent("POST", "/DocumentReference", body=samples.document(unique)),
        lambda: Sent("POST", "/Patient/$dmp-ouvrir", body=samples.opening()),
        lambda: Sent("POST", "/Consent", body=samples.consent(known.patient, "ps-blocking")),
        lambda: Sent("POST", "/Observation", body=observation),
        lambda: Sent("PUT", "/Organization/o1", body=organisation),
        lambda: Sent("PUT", "/Organization", (("_id", "o1"),), body=organisation),
        lambda: Sent("POST", "/Organization", headers={"if-none-exist": "name=Tilleuls"}, body=organisation),
        lambda: Sent("DELETE", "/Organization/o1"),
        lambda: Sent("POST", "", body={"resourceType": "Bundle", "type": "batch", "entry": [entry, get, other]}),
        lambda: Sent("POST", "", body={"resourceType": "Bundle", "type": "transaction", "entry": [entry, get, other]}),
        lambda: Sent("POST", "/Organization/$validate", body=parameters),
        lambda: Sent("PATCH", f"/DocumentReference/{known.document}", headers={"content-type": PATCH}, body=patch),
        lambda: Sent("PATCH", "/Organization/o1", body={"resourceType": "Parameters", "parameter": [operation]}),
        lambda: Sent("POST", "/Binary", headers={"content-type": "application/pdf"}, body=b"%PDF-1.4 x"),
        lambda: Sent("POST", "/Binary", body={"resourceType": "Binary", "contentType": "text/plain", "data": "QUJD"}),
        lambda: Sent("GET", f"/Binary/{known.binary}", headers={"range": "bytes=0-3"}),
        lambda: Sent("GET", f"/Patient/{known.patient}/_history", (("_count", "2"),)),
        lambda: Sent("GET", f"/Patient/{known.patient}/*"),
        lambda: Sent("GET", "/DocumentReference", (ins, ("type", f"{samples.LOINC}|11488-4"), ("_sort", "-date"))),
        lambda: Sent("GET", "/DocumentReference", (ins, ("_include", "DocumentReference:subject"), ("_count", "1"))),
        lambda: Sent("GET", "/List", (ins, ("code", "submissionset"), ("_summary", "true"))),
        lambda: Sent("GET", "/AuditEvent", (("date", "ge2026-01-01"), ("patient", f"Patient/{known.patient}"))),
        lambda: Sent("POST", "/Patient/_search", headers={"content-type": FORM}, body=b"identifier=a%7Cb&_count=3"),
        lambda: Sent("GET", "/_history", (("_since", "2026-06-12T00:00:00Z"),)),
        lambda: Sent("GET", f"/DocumentReference/{known.document}", headers={"if-none-match": 'W/"1"'}),
    ]


def almost(known: Known, dice: Random) -> Sent:
    """Return a request with up to four faults."""
    sent = dice.choice(_seeds(known, dice))()
    for _ in range(dice.choice((0, 1, 1, 1, 2, 4))):
        sent = dice.choice((_body, _body, _body, _query, _query, _header, _path, _method))(sent, dice)
    return sent


def _method(sent: Sent, dice: Random) -> Sent:
    return replace(sent, method=dice.choice(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "X")))


def _path(sent: Sent, dice: Random) -> Sent:
    parts = sent.path.split("/")[1:]
    new = dice.choice((*TYPES, *SEGMENTS, *ODD_TEXTS))
    at = dice.randrange(len(parts) + 1)
    if dice.random() < 0.5:
        parts[at : at + 1] = [new]
    else:
        parts.insert(at, new)
    return replace(sent, path="/" + "/".join(parts))


def _query(sent: Sent, dice: Random) -> Sent:
    name = dice.choice(PARAMETERS) + dice.choice(MODIFIERS)
    old = [value for _, value in sent.query]
    value = dice.choice((*ODD_TEXTS, *old, ",".join(dice.choices(ODD_TEXTS, k=3)), "a," * 300, f"Patient/{'x' * 64}"))
    pairs = [pair for pair in sent.query if dice.random() < 0.8]
    return replace(sent, query=(*pairs, (name, value)))


def _header(sent: Sent, dice: Random) -> Sent:
    name = dice.choice(list(HEADERS))
    return replace(sent, headers={**sent.headers, name: dice.choice(HEADERS[name])})


def _body(sent: Sent, dice: Random) -> Sent:
    if not isinstance(sent.body, (dict, list)):
        return replace(sent, body=dice.choice((b"", b"{", b"[]", b"\xff\xfe", b"<a/>", b"{}" * 3, dice.randbytes(40))))
    changed = copy.deepcopy(sent.body)
    for _ in range(dice.choice((1, 1, 2))):
        _damage(changed, dice)
    return replace(sent, body=changed)


def _damage(value: Any, dice: Random) -> None:
    """Change one place of a JSON value."""
    places = list(_places(value))
    if not places:
        return
    holder, key = dice.choice(places)
    choice = dice.randrange(6)
    if choice == 0:
        del holder[key]
    elif choice == 1:
        holder[key] = copy.deepcopy(dice.choice(ODD_VALUES))
    elif choice == 2:
        holder[key] = dice.choice(ODD_TEXTS)
    elif choice == 3:
        holder[key] = [holder[key], copy.deepcopy(holder[key])]
    elif choice == 4 and isinstance(holder, dict):
        holder[dice.choice(("_" + str(key), "extension", "contained", "meta", "id", "reference", "value", "$x"))] = (
            dice.choice((*ODD_VALUES, *ODD_TEXTS))
        )
    else:
        other_holder, other_key = dice.choice(places)
        holder[key] = copy.deepcopy(other_holder[other_key])


def _places(value: Any) -> Any:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in items:
        yield value, key
        yield from _places(part)


def written(sent: Sent, known: Known, dice: Random) -> tuple[str, str, dict[str, str], bytes]:
    """Return method, target, headers and bytes; sometimes the bytes are damaged, compressed or in XML."""
    headers = dict(sent.headers)
    body = sent.body if isinstance(sent.body, bytes) else b""
    if isinstance(sent.body, (dict, list)):
        headers.setdefault("content-type", JSON)
        body = _as_bytes(sent.body, headers, known, dice)
    if body and dice.random() < 0.05:
        at = dice.randrange(len(body))
        body = (
            body[:at] + dice.choice((b"", b"\x00", b'"', b"}", b"\xc3", b"<", b"&x;")) + body[at + dice.randrange(3) :]
        )
    if body and dice.random() < 0.03:
        body = gzip.compress(body)[: dice.choice((None, 20, -3))]
        headers["content-encoding"] = "gzip"
    query = "&".join(f"{_quoted(name)}={_quoted(value)}" for name, value in sent.query)
    path = sent.path.replace("?", "").encode("utf-8", "surrogatepass").decode("latin-1")
    return sent.method, path + (f"?{query}" if query else ""), headers, body


def _as_bytes(value: Any, headers: dict[str, str], known: Known, dice: Random) -> bytes:
    if isinstance(value, dict) and headers["content-type"] == JSON and dice.random() < 0.1:
        try:
            made = to_xml(value, known.structures)
        except Exception:
            return json.dumps(value).encode()  # what was damaged cannot be told in XML: it is sent as it is
        headers["content-type"] = XML
        return made
    return json.dumps(value).encode()


def _quoted(text: str) -> str:
    return quote(text.encode("utf-8", "surrogatepass"), safe="/|,:$")
