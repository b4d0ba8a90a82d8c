"""A record in memory for the tests of pure plans: answers a survey, takes a plan's drafts in."""

from __future__ import annotations

import base64
import hashlib
import uuid
from collections.abc import Iterator
from functools import cache
from typing import Any
from urllib.parse import parse_qsl

from fhir_dmp import definitions
from fhir_dmp.documents import publish, submission
from fhir_dmp.documents.metadata import identifier_of, list_kind, uniques
from fhir_dmp.documents.plans import Plan, Submitter
from fhir_dmp.documents.rules import Rules
from fhir_dmp.documents.survey import Gathered, Needs, survey, survey_document, survey_targets
from fhir_dmp.fhir.draft import Blob, Draft
from fhir_dmp.fhir.elements import object_of, objects_of
from fhir_dmp.fhir.held import Held
from fhir_dmp.fhir.resource import Json, stamped
from fhir_dmp.identity.caller import Actor, Caller
from fhir_dmp.patients.dossier import Status
from fhir_dmp.patients.ins import InsRules
from fhir_dmp.terminology.codes import Codes

BASE = "https://dmp.example.org/fhir"
X = "https://dmp-fhir.example/ig"
NOW = 1_782_000_000_000  # 2026-06-21T00:00:00Z
DOCTOR = Caller(Actor.PROFESSIONAL, "leroy", professional="899700218896", structure="1750100125")
OTHER_DOCTOR = Caller(Actor.PROFESSIONAL, "petit", professional="810000000004", structure="1690000001")
ADMIN = Caller(Actor.ADMIN, "operator")


@cache
def codes() -> Codes:
    return Codes.load(definitions.load_json)


def rules(**settings: Any) -> Rules:
    ins = InsRules(X, settings.pop("key_check", "strict"), settings.pop("test_allowed", False))
    return Rules(BASE, codes(), ins, **settings)


def blob_of(data: bytes) -> Blob:
    return Blob(hashlib.sha256(data).hexdigest(), hashlib.sha1(data).digest(), len(data), data)


class Record:
    """Stored resources by reference, with the state of each dossier."""

    def __init__(self) -> None:
        self.held: dict[str, Held] = {}
        self.statuses: dict[str, Status] = {}
        self.hidden: frozenset[str] = frozenset()

    def put(self, resource: Json, id_: str, version: int = 1) -> Held:
        body = stamped(resource, id_=id_, version=version, updated="2026-06-20T10:00:00.000Z")
        held = Held(str(resource["resourceType"]), id_, version, body)
        self.held[held.reference] = held
        return held

    def dossier(self, ins: str, id_: str, status: Status = Status.ACTIVE, **elements: Any) -> Held:
        identifier = [{"system": "urn:oid:1.2.250.1.213.1.4.8", "value": ins}]
        held = self.put({"resourceType": "Patient", "identifier": identifier, **elements}, id_)
        self.statuses[held.reference] = status
        return held

    def take(self, drafts: tuple[Draft, ...]) -> None:
        for draft in drafts:
            self.put(draft.resource, draft.id, draft.current + 1)

    def of_type(self, type_: str) -> list[Json]:
        return [held.resource for held in self.held.values() if held.type == type_]

    def _found(self, criterion: str) -> Iterator[Held]:
        type_, _, query = criterion.partition("?")
        for held in self.held.values():
            if held.type == type_ and all(_satisfies(held.resource, *pair) for pair in parse_qsl(query)):
                yield held

    def gather(self, needs: Needs, blobs: dict[int, Blob]) -> Gathered:
        keyed = {key: held for held in self.held.values() for key in uniques(held.resource)}
        return Gathered(
            held={
                reference: self.held[reference]
                for reference in (f"{type_}/{id_}" for type_, id_ in needs.keys)
                if reference in self.held and reference not in self.hidden
            },
            holders={key: keyed[key] for key in needs.uniques if key in keyed},
            found={
                criterion: tuple(held for held in self._found(criterion) if held.reference not in self.hidden)
                for criterion in needs.criteria
            },
            statuses=self.statuses,
            blobs=blobs,
            hidden=self.hidden,
        )

    def _both_rounds(self, first: Needs, blobs: dict[int, Blob]) -> Gathered:
        second = survey_targets(first, self.gather(first, blobs))
        return self.gather(first | second, blobs)

    def plan(self, bundle: Json, caller: Caller = DOCTOR, **settings: Any) -> Plan:
        blobs = dict(_contents(bundle))
        gathered = self._both_rounds(survey(bundle, fhir_base=BASE), blobs)
        return submission.plan(bundle, gathered, rules(**settings), Submitter(caller, NOW, new_id))

    def submit(self, bundle: Json, caller: Caller = DOCTOR, **settings: Any) -> Plan:
        planned = self.plan(bundle, caller, **settings)
        self.take(planned.drafts)
        return planned

    def plan_publication(
        self, docref: Json, caller: Caller = DOCTOR, if_none_exist: str | None = None, **settings: Any
    ) -> Plan:
        content = next(iter(objects_of(docref.get("content"))), {})
        data = object_of(content.get("attachment")).get("data")
        blobs = {0: blob_of(base64.b64decode(data))} if isinstance(data, str) else {}
        gathered = self._both_rounds(survey_document(docref, if_none_exist, fhir_base=BASE), blobs)
        submitter = Submitter(caller, NOW, new_id)
        return publish.plan(docref, if_none_exist, gathered, rules(**settings), submitter)

    def publish(self, docref: Json, caller: Caller = DOCTOR, **settings: Any) -> Plan:
        planned = self.plan_publication(docref, caller, **settings)
        self.take(planned.drafts)
        return planned


def _contents(bundle: Json) -> Iterator[tuple[int, Blob]]:
    """What reading the request does: the data of each Binary, staged."""
    entries = bundle.get("entry")
    for index, entry in enumerate(entries if isinstance(entries, list) else []):
        resource = object_of(object_of(entry).get("resource"))
        data = resource.get("data")
        if resource.get("resourceType") == "Binary" and isinstance(data, str):
            yield index, blob_of(base64.b64decode(data))


def _satisfies(resource: Json, name: str, value: str) -> bool:
    """The few search parameters that a survey asks for."""
    if name == "identifier":
        every = [*objects_of(resource.get("identifier")), object_of(resource.get("masterIdentifier"))]
        pairs = [identifier_of(identifier) for identifier in every]
        return tuple(value.split("|", 1)) in pairs
    if name == "item":
        return value in [object_of(entry.get("item")).get("reference") for entry in objects_of(resource.get("entry"))]
    if name == "relatesto":
        relations = objects_of(resource.get("relatesTo"))
        return value in [object_of(relation.get("target")).get("reference") for relation in relations]
    if name == "code":
        return list_kind(resource) == value
    return bool(resource.get(name) == value)


def new_id(patient: str | None) -> str:
    return str(uuid.uuid4())
