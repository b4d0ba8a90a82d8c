"""What the flows say again and again: somebody's dossier, a publication, and the proof that nothing was stored."""

from __future__ import annotations

import base64
import hashlib
import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from fhir_dmp.ports import HistoryQuery
from tests import samples
from tests.samples import Json
from tests.world import Client, Response, World

_NUMBERS = itertools.count(1)
CLOSING = "https://interop.esante.gouv.fr/ig/fhir/dmp/StructureDefinition/dmp-fermeture"
REASONS = "https://interop.esante.gouv.fr/ig/fhir/dmp/CodeSystem/dmp-motif-fermeture"
VISIBILITY = samples.VISIBILITY
ARCHIVED = f"{samples.PDSM}/pdsm-ext-is-archived"


def next_ins() -> str:
    """Return the well-formed INS of somebody who was not used before."""
    number = next(_NUMBERS)
    first = f"1{50 + number // 900 % 50:02d}0775112{number % 900 + 1:03d}"
    return f"{first}{97 - int(first) % 97:02d}"


def next_oid() -> str:
    """Return a uniqueId (an OID) that was not used before."""
    return f"1.2.250.1.999.7.{next(_NUMBERS)}"


def next_content() -> bytes:
    """Return the text of a document that was not used before."""
    return f"Compte rendu fictif {next(_NUMBERS)}.".encode()


def sha1(content: bytes) -> str:
    """Return the hash of an attachment: the base64 of the SHA-1."""
    return base64.b64encode(hashlib.sha1(content).digest()).decode()


@dataclass
class Dossier:
    """The open dossier of somebody."""

    world: World
    ins: str
    id: str

    @classmethod
    def open(cls, world: World, ins: str, **more: Any) -> Dossier:
        """Open it."""
        return cls(world, ins, world.open(ins, **more))

    @property
    def criterion(self) -> str:
        """`patient.identifier=...`, ready for a URL."""
        return f"patient.identifier={samples.INS}|{self.ins}"

    @property
    def holder(self) -> Client:
        """The patient."""
        return self.world.patient(self.ins)

    def submit(self, unique: str | None = None, client: Client | None = None, **more: Any) -> str:
        """Submit one document by ITI-65 and return the DocumentReference's id."""
        return self.world.submit(unique or next_oid(), client, ins=self.ins, **more)

    def document(self, unique: str | None = None, **more: Any) -> Json:
        """Submit one document and return it as stored."""
        return self.read(self.submit(unique, **more))

    def read(self, id_: str) -> Json:
        """Return a DocumentReference as the operator sees it."""
        answer = self.world.admin.get(f"/DocumentReference/{id_}")
        assert answer.status == 200, answer.body
        return answer.json

    def authorise(self, professional: str = samples.DOCTOR, **period: str) -> str:
        """Give a professional access."""
        return self.world.authorise(self.ins, professional, **period)

    def search(self, client: Client, query: str = "", type_: str = "DocumentReference") -> Response:
        """Search this dossier."""
        return client.get(f"/{type_}?{self.criterion}{'&' + query if query else ''}")

    def found(self, client: Client, query: str = "", type_: str = "DocumentReference") -> list[str]:
        """Return the ids that a search of this dossier finds; total and entries must agree."""
        answer = self.search(client, query, type_)
        assert answer.status == 200, answer.body
        ids = [resource["id"] for resource in answer.entries]
        assert answer.json["total"] == len(ids), answer.body
        return ids

    def label(self, id_: str, code: str) -> None:
        """Add a visibility label to a document as its author."""
        value = {"coding": [{"system": VISIBILITY, "code": code}]}
        patch = [{"op": "add", "path": "/securityLabel/-", "value": value}]
        answer = self.world.doctor().patch(f"/DocumentReference/{id_}", patch)
        assert answer.status == 200, answer.body

    def archive(self, id_: str) -> None:
        """Archive a document as its author."""
        patch = [{"op": "add", "path": "/extension/-", "value": {"url": ARCHIVED, "valueBoolean": True}}]
        answer = self.world.doctor().patch(f"/DocumentReference/{id_}", patch)
        assert answer.status == 200, answer.body

    def delete(self, id_: str) -> None:
        """Delete a document (entered-in-error) as its author."""
        patch = [{"op": "replace", "path": "/status", "value": "entered-in-error"}]
        answer = self.world.doctor().patch(f"/DocumentReference/{id_}", patch)
        assert answer.status == 200, answer.body

    def replace(self, id_: str, **more: Any) -> str:
        """Replace a document by ITI-65 and return the id of the new one."""
        relation = [{"code": "replaces", "target": {"reference": f"DocumentReference/{id_}"}}]
        return self.submit(relatesTo=relation, content=next_content(), **more)

    def close(self) -> None:
        """Close the dossier, as the operator."""
        patient = self.world.admin.get(f"/Patient/{self.id}").json
        reason = {"coding": [{"system": REASONS, "code": "patient-demande"}]}
        closing = {
            "url": CLOSING,
            "extension": [
                {"url": "dateFermeture", "valueDate": "2026-06-12"},
                {"url": "motifFermeture", "valueCodeableConcept": reason},
                {"url": "raisonFermeture", "valueString": "Demande orale"},
            ],
        }
        patient = {**patient, "active": False, "extension": [*patient.get("extension", []), closing]}
        answer = self.world.admin.put(f"/Patient/{self.id}", patient)
        assert answer.status == 200, answer.body

    def path(self, id_: str) -> str:
        """Return the path of a document's content below the base."""
        url: str = self.read(id_)["content"][0]["attachment"]["url"]
        return url.removeprefix(self.world.services.base)


def publication(unique: str, *, ins: str, content: bytes = samples.TEXT, **more: Any) -> Json:
    """Return a simplified publication (ITI-105): a document with its content inside, size and hash left out."""
    made = samples.document(unique, ins=ins, content=content, **more)
    made["meta"] = {"profile": [f"{samples.PDSM}/pdsm-simplified-publish"]}
    attachment = made["content"][0]["attachment"]
    attachment["data"] = base64.b64encode(content).decode()
    del attachment["size"], attachment["hash"]
    return made


def attachment(document: Json) -> Json:
    """Return the only attachment of a document."""
    (only,) = document["content"]
    found: Json = only["attachment"]
    return found


def escaped(text: str) -> str:
    """Return a value ready for a query string."""
    return quote(text, safe="")


def footprint(world: World) -> tuple[object, ...]:
    """Return what tells whether something was stored: resources by type, and the newest of all versions.

    Sequences only grow, so a version that was added, of whatever resource, would be the newest one.
    """
    store = world.services.store
    newest = [(version.key, version.version, version.seq) for version in store.history(HistoryQuery(count=1)).versions]
    return sorted(store.types().items()), newest


@contextmanager
def nothing_stored(world: World, *contents: bytes) -> Iterator[None]:
    """Prove that no resource, no version and none of these contents is stored by what happens inside."""
    before = footprint(world)
    yield
    assert footprint(world) == before
    blobs = world.services.store.blobs
    assert [blobs.size(hashlib.sha256(content).hexdigest()) for content in contents] == [None] * len(contents)


def assert_refused(answer: Response, status: int, *codes: str, at: str | None = None) -> None:
    """Check a refusal: status, an OperationOutcome with these codes, and the place it names."""
    assert answer.status == status, answer.body
    assert answer.json["resourceType"] == "OperationOutcome"
    for issue in answer.json["issue"]:
        assert issue["severity"]
        assert issue["code"]
    missing = set(codes) - answer.codes
    assert not missing, (missing, answer.body)
    if at is not None:
        assert any(place == at or place.startswith((at + ".", at + "[")) for place in answer.expressions), answer.body


def readable(world: World) -> tuple[Dossier, Client]:
    """Return a dossier that several tests read and none changes, and its authorised author."""
    dossier = Dossier.open(world, next_ins())
    dossier.authorise()
    return dossier, world.doctor()


def coded(system: str, code: str) -> Json:
    """Return a CodeableConcept."""
    return {"coding": [{"system": system, "code": code}]}
