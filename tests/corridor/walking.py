"""A walk of random callers through a random record: nothing hidden leaves, in no answer and by no difference.

Two properties. No answer holds a text that belongs to something the pure decision denies. And a request that names
something hidden is answered word for word like one that names something that never existed. Used by test_no_leak.py
and, with as many requests as one likes, by scripts/walk.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from random import Random

from fhir_dmp.identity.caller import Actor, Caller
from tests import samples
from tests.corridor.scene import Document, Scene
from tests.samples import Json
from tests.world import Client, Response

#: Requests of each caller in one scene.
AT_RANDOM, PROBES = 14, 10

PLAIN = (
    "/DocumentReference?patient=Patient/{p}",
    "/DocumentReference?patient=Patient/{p}&_include=*",
    "/DocumentReference?patient=Patient/{p}&_include=DocumentReference:relatesto&_include:iterate=*",
    "/DocumentReference?patient=Patient/{p}&_revinclude=List:item&_revinclude=Observation:derived-from",
    "/DocumentReference?patient=Patient/{p}&_revinclude=*:*",
    "/DocumentReference?patient=Patient/{p}&_summary=count",
    "/DocumentReference?patient=Patient/{p}&_count=2&_sort=date",
    "/DocumentReference?patient=Patient/{p}&status=entered-in-error",
    "/DocumentReference?patient=Patient/{p}&status=superseded&_total=accurate",
    "/DocumentReference?patient.identifier={ins}&_sort=-date&_elements=id",
    "/DocumentReference?patient=Patient/{p},Patient/{q}",
    "/DocumentReference?patient=Patient/{p}&_has:List:item:title:missing=false",
    "/DocumentReference?patient=Patient/{p}&relatesto.status=current",
    "/DocumentReference?patient=Patient/{p}&security-label:not=N",
    "/DocumentReference?patient=Patient/{p}&_text=titre",
    "/DocumentReference?_lastUpdated=gt2020-01-01",
    "/List?patient=Patient/{p}",
    "/List?patient=Patient/{p}&_include=List:item&_total=accurate",
    "/List?patient=Patient/{p}&_summary=count",
    "/List?patient=Patient/{p}&item:DocumentReference.status=current",
    "/List?patient=Patient/{p}&_count=1",
    "/Observation?patient=Patient/{p}&_include=Observation:derived-from",
    "/Observation?patient=Patient/{p}&derived-from:DocumentReference.status=current",
    "/Observation?patient=Patient/{p},Patient/{q}",
    "/Observation?patient=Patient/{p}&_include=*&_include:iterate=*&_revinclude=*:*",
    "/DiagnosticReport?patient=Patient/{p}&_include=*",
    "/Patient?identifier={ins}&_revinclude=DocumentReference:patient&_revinclude=Observation:patient",
    "/Patient?identifier={ins}&_has:DocumentReference:patient:status=current",
    "/Patient?identifier={ins}&_has:Observation:patient:code=8867-4",
    "/Patient/{p}",
    "/Patient/{p}/*",
    "/Patient/{p}/*?_count=3",
    "/Patient/{p}/*?_type=DocumentReference,List,Observation",
    "/Patient/{p}/List",
    "/Patient/{p}/DocumentReference?_summary=count",
    "/Patient/{p}/_history",
    "/Patient/{p}/$meta",
    "/Patient/{p}/$everything",
    "/Patient/{p}/$everything?_count=2",
    "/DocumentReference/$docref?patient=Patient/{p}",
    "/DocumentReference?patient=Patient/{p}&_sort=-_lastUpdated&_count=1",
    "/DocumentReference?patient=Patient/{p}&_sort=description,-date&_total=accurate",
    "/DocumentReference?patient=Patient/{p}&_summary=text",
    "/DocumentReference?patient=Patient/{p}&_elements=content,relatesTo",
    "/DocumentReference?patient=Patient/{p}&isArchived=false",
    "/Binary?_id={p}",
    "/Composition?patient=Patient/{p}&_include=*",
    "/RelatedPerson?patient=Patient/{p}",
    "/Observation/_history?_count=50",
    "/?_type=DocumentReference,List,Observation&patient=Patient/{p}",
    "/?_type=DocumentReference,Practitioner&patient=Patient/{p}",
    "/Practitioner?_revinclude=*:*",
    "/Practitioner?_has:DocumentReference:author:status=current",
    "/Practitioner?_has:Observation:performer:code=8867-4",
    "/Organization?_revinclude=DocumentReference:custodian",
    "/Consent?patient=Patient/{p}&_include=*&_revinclude=*:*",
    "/Consent?actor.identifier=urn:oid:1.2.250.1.71.4.2.1|{me}&_include=Consent:patient&_revinclude=*:*",
    "/AuditEvent?patient=Patient/{p}",
    "/AuditEvent?patient=Patient/{p}&entity:DocumentReference.status=current",
    "/Provenance?patient=Patient/{p}",
    "/DocumentReference/_history",
    "/List/_history?_count=100",
    "/_history",
)

#: Requests that name something: {id} and {oid} of a document, {binary} its content, {list} its submission set.
NAMING: tuple[tuple[str, str], ...] = (
    ("GET", "/DocumentReference/{id}"),
    ("GET", "/DocumentReference/{id}/_history"),
    ("GET", "/DocumentReference/{id}/_history/1"),
    ("GET", "/DocumentReference/{id}/_history/9"),
    ("GET", "/DocumentReference/{id}/$meta"),
    ("GET", "/DocumentReference/{id}?_summary=true"),
    ("HEAD", "/DocumentReference/{id}"),
    ("GET", "/Binary/{binary}"),
    ("GET", "/Binary/{binary}/_history/1"),
    ("GET", "/Binary/{binary}/_history"),
    ("GET", "/DocumentReference?patient=Patient/{p}&_id={id}"),
    ("GET", "/DocumentReference?patient=Patient/{p}&identifier=urn:ietf:rfc:3986|urn:oid:{oid}"),
    ("GET", "/DocumentReference?patient=Patient/{p}&identifier=urn:oid:{oid}&_summary=count"),
    ("GET", "/DocumentReference?patient=Patient/{p}&relatesto=DocumentReference/{id}"),
    ("GET", "/DocumentReference?patient=Patient/{p}&relatesto.identifier=urn:oid:{oid}"),
    ("GET", "/DocumentReference?patient=Patient/{p}&description:contains={title}"),
    ("GET", "/DocumentReference?patient=Patient/{p}&location=Binary/{binary}"),
    ("GET", "/DocumentReference?patient=Patient/{p}&_text={title}"),
    ("GET", "/List?patient=Patient/{p}&item=DocumentReference/{id}"),
    ("GET", "/List?patient=Patient/{p}&item:DocumentReference.identifier=urn:oid:{oid}"),
    ("GET", "/List?patient=Patient/{p}&item:DocumentReference._id={id}&_summary=count"),
    ("GET", "/Observation?patient=Patient/{p}&derived-from=DocumentReference/{id}"),
    ("GET", "/Observation?patient=Patient/{p}&derived-from:DocumentReference.identifier=urn:oid:{oid}"),
    ("GET", "/Patient?identifier={ins}&_has:DocumentReference:patient:identifier=urn:oid:{oid}"),
    ("GET", "/Patient?identifier={ins}&_has:DocumentReference:patient:_id={id}"),
    ("GET", "/Patient?identifier={ins}&_has:List:patient:item:DocumentReference.identifier=urn:oid:{oid}"),
    ("GET", "/Practitioner?_has:DocumentReference:author:identifier=urn:oid:{oid}"),
    ("GET", "/AuditEvent?patient=Patient/{p}&entity:DocumentReference.identifier=urn:oid:{oid}"),
    ("GET", "/?_type=DocumentReference,List&patient=Patient/{p}&_id={id}"),
    ("GET", "/Patient/{p}/*?_id={id}"),
    ("POST", "/DocumentReference/_search?patient=Patient/{p}&_id={id}"),
    ("PATCH", "/DocumentReference/{id}"),
    ("PATCH", "/DocumentReference?identifier=urn:ietf:rfc:3986|urn:oid:{oid}"),
    ("PATCH", "/DocumentReference?patient=Patient/{p}&identifier=urn:oid:{oid}"),
    ("PUT", "/DocumentReference/{id}"),
    ("DELETE", "/DocumentReference/{id}"),
    ("DELETE", "/Binary/{binary}"),
    ("POST", "batch"),
    ("POST", "transaction"),
    ("CONDITIONAL-READ", "/DocumentReference/{id}"),
    ("CONDITIONAL-READ", "/Binary/{binary}"),
    ("RANGE", "/Binary/{binary}"),
    ("IF-NONE-EXIST", "/List?item=DocumentReference/{id}"),
    ("IF-NONE-EXIST", "/List?item:DocumentReference.identifier=urn:oid:{oid}"),
    ("IF-NONE-EXIST", "/Observation?derived-from=DocumentReference/{id}"),
    ("IF-NONE-EXIST", "/DocumentReference?identifier=urn:ietf:rfc:3986|urn:oid:{oid}"),
    ("PUT", "/List?item=DocumentReference/{id}"),
    ("PUT", "/DocumentReference?identifier=urn:oid:{oid}"),
    ("DELETE", "/Observation?derived-from=DocumentReference/{id}"),
    ("REFER", "DocumentReference/{id}"),
    ("REFER", "DocumentReference?identifier=urn:oid:{oid}"),
    ("REFER", "DocumentReference?patient=Patient/{p}&identifier=urn:oid:{oid}"),
    ("GET", "/DocumentReference/$docref?patient=Patient/{p}&identifier=urn:oid:{oid}"),
    ("GET", "/Patient/{p}/$everything?_type=DocumentReference&_id={id}"),
    ("GET", "/DocumentReference?patient=Patient/{p}&relatesto:missing=false&_id={id}"),
    ("GET", "/DocumentReference?patient=Patient/{p}&_sort=description&_id={id}&_total=accurate"),
    ("GET", "/Patient/{p}/DocumentReference?_id={id}"),
    ("GET", "/DocumentReference/_history?_id={id}"),
)


@dataclass
class Walk:
    """A walk through scenes: how many requests were answered, and how long hidden and unknown ones took (seconds)."""

    requests: int = 0
    statuses: dict[int, int] = field(default_factory=dict)
    hidden_s: list[float] = field(default_factory=list)
    unknown_s: list[float] = field(default_factory=list)

    def through(self, made: Scene, seed: int) -> Iterator[int]:
        """Let every caller of a scene ask, the record changing in between; yield the count after each caller.

        Raises:
            AssertionError: something hidden was told.
        """
        for number, caller in enumerate(made.callers()):
            self.examine(made, caller, Random(seed * 1000 + number))
            made.shake()
            yield self.requests

    def examine(self, made: Scene, caller: Caller, random: Random) -> None:
        """Let one caller ask at random, and probe for what is hidden from the caller."""
        client = Counted(made.world, made.world.as_(caller).token, self)
        forbidden = sorted(set(made.betrayals(caller)))
        where = f"scene {made.random!r} caller {caller}"
        for template in random.sample(PLAIN, AT_RANDOM):
            _at_random(made, client, caller, template, forbidden, where)
        secret = [document for document in made.documents if made.hides(caller, document)]
        for _ in range(PROBES if secret else 0):
            method, template = random.choice(NAMING)
            self._probe(made, client, caller, random.choice(secret), method, template)
        _total(made, client, caller)

    def _probe(self, made: Scene, client: Client, caller: Caller, secret: Document, method: str, template: str) -> None:
        """Hidden and unknown answer alike."""
        alike = {mark: _nobody(mark) for mark in (secret.id, secret.oid, secret.binary, secret.title)}
        given = {"id": secret.id, "oid": secret.oid, "binary": secret.binary, "title": secret.title}
        begun = time.perf_counter()
        hidden = _send(made, client, caller, secret, method, template, given)
        between = time.perf_counter()
        unknown = _send(made, client, caller, secret, method, template, {k: alike[v] for k, v in given.items()})
        if (method, template) == NAMING[0]:
            self.hidden_s.append(between - begun)
            self.unknown_s.append(time.perf_counter() - between)
        told = _comparable(hidden, {})
        expected = _comparable(unknown, {new: old for old, new in alike.items()})
        assert told == expected, f"{caller}: {method} {template} tells hidden from unknown"


@dataclass
class Counted(Client):
    """A client whose requests are counted."""

    walk: Walk

    def call(self, method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None) -> Response:
        """Send one request."""
        answer = Client.call(self, method, path, body, headers)
        self.walk.requests += 1
        self.walk.statuses[answer.status] = self.walk.statuses.get(answer.status, 0) + 1
        return answer


def _filled(made: Scene, caller: Caller, template: str, **more: str) -> str:
    other = caller.patient == made.other
    return template.format(
        p=made.other if other else made.mine,
        q=made.mine if other else made.other,
        ins=f"{samples.INS}|{samples.BASILE if other else samples.ANOUK}",
        me=caller.professional or "",
        **more,
    )


def _at_random(made: Scene, client: Client, caller: Caller, template: str, forbidden: list[str], where: str) -> None:
    path = _filled(made, caller, template)
    for _ in range(6):
        answer = client.get(path)
        assert answer.status < 500, (path, answer.body)
        told = answer.body.decode() + json.dumps(dict(answer.headers))
        if caller.actor is not Actor.AUDITOR:
            found = [mark for mark in forbidden if mark in told]
            assert not found, f"{where}: {path} tells {found}"
        links = {link["relation"]: link["url"] for link in answer.json.get("link", [])} if answer.status == 200 else {}
        if answer.status == 200 and answer.json.get("type") == "searchset" and "next" not in links:
            _adds_up(answer, path)
        if "next" not in links:
            return
        path = links["next"].removeprefix(made.world.services.base)


def _adds_up(answer: Response, path: str) -> None:
    """On the last page of one, the total is the number of matches."""
    bundle = answer.json
    if "total" in bundle and "_page=" not in path and "_summary=count" not in path:
        assert bundle["total"] == len(answer.entries), path


def _total(made: Scene, client: Client, caller: Caller) -> None:
    patient = made.other if caller.patient == made.other else made.mine
    answer = client.get(f"/DocumentReference?patient=Patient/{patient}&_summary=count")
    if answer.status == 200:
        expected = [each for each in made.documents if each.patient == patient and made.finds(caller, each)]
        assert answer.json["total"] == len(expected), caller


def _nobody(mark: str) -> str:
    """Return a value of the same shape that belongs to nobody."""
    last = mark[-1]
    return mark[:-2] + ("00" if last != "0" or mark[-2] != "0" else "11")


def _send(
    made: Scene, client: Client, caller: Caller, secret: Document, method: str, template: str, given: dict[str, str]
) -> Response:
    headers = {"X-Request-Id": "probe"}
    if template in ("batch", "transaction"):
        urls = [f"DocumentReference/{given['id']}", f"Binary/{given['binary']}"]
        entries = [{"request": {"method": "GET", "url": url}} for url in urls]
        return client.call("POST", "", {"resourceType": "Bundle", "type": template, "entry": entries}, headers)
    path = _filled(made, caller, template, **given)
    if method == "CONDITIONAL-READ":
        return client.call("GET", path, None, {**headers, "If-None-Match": 'W/"1"', "Accept": "application/fhir+json"})
    if method == "RANGE":
        return client.call("GET", path, None, {**headers, "Range": "bytes=0-3"})
    if method == "IF-NONE-EXIST":
        type_, _, criteria = path[1:].partition("?")
        return client.call("POST", f"/{type_}", _stump(type_, secret), {**headers, "If-None-Exist": criteria})
    if method == "REFER":
        return client.call("POST", "", _referring(path, secret), headers)
    if method == "PUT" and "?" in path:
        return client.call(method, path, _stump(path[1:].partition("?")[0], secret), headers)
    if method == "PATCH":
        patch = [{"op": "replace", "path": "/status", "value": "superseded"}]
        return client.call(method, path, patch, {**headers, "content-type": "application/json-patch+json"})
    if method == "PUT":
        return client.call(method, path, _replacement(secret, given), {**headers, "If-Match": 'W/"1"'})
    if method == "POST":
        form = path.partition("?")[2].encode()
        sent = {**headers, "content-type": "application/x-www-form-urlencoded"}
        return client.call(method, path.partition("?")[0], form, sent)
    return client.call(method, path, None, headers)


def _stump(type_: str, secret: Document) -> Json:
    """Return a resource that the rules refuse, so that only what is asked before they are reached tells something."""
    return {"resourceType": type_, "status": "no-such-status", "subject": {"reference": f"Patient/{secret.patient}"}}


def _referring(reference: str, secret: Document) -> Json:
    """Return a transaction whose only entry refers to a document, the rest of it being refused."""
    item = {"item": {"reference": reference}}
    list_ = {**_stump("List", secret), "mode": "working", "entry": [item]}
    entry = {"resource": list_, "request": {"method": "POST", "url": "List"}}
    return {"resourceType": "Bundle", "type": "transaction", "entry": [entry]}


def _replacement(secret: Document, given: dict[str, str]) -> Json:
    return {
        "resourceType": "DocumentReference",
        "id": given["id"],
        "status": "current",
        "subject": {"reference": f"Patient/{secret.patient}"},
        "content": [{"attachment": {"contentType": "text/plain"}}],
    }


_VOLATILE = re.compile(r'"(id|lastUpdated|lastModified|url)":"[^"]*"')


def _comparable(answer: Response, renamed: dict[str, str]) -> tuple[int, dict[str, str], str]:
    body = answer.body.decode("utf-8", "replace")
    headers = {name: value for name, value in answer.headers.items() if name not in ("Last-Modified",)}
    for new, old in renamed.items():
        body = body.replace(new, old)
        headers = {name: value.replace(new, old) for name, value in headers.items()}
    if answer.status < 300:
        body = _VOLATILE.sub("", body)
    return answer.status, headers, body
