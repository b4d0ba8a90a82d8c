"""Anouk's dossier and those who come to it, said shortly."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count
from typing import Any

from fhir_dmp.audit.record import AuditRecord
from fhir_dmp.identity.caller import Actor, Caller, Mode
from fhir_dmp.ports import AuditQuery
from fhir_dmp.terminology.aliases import PROFESSION
from tests import samples
from tests.samples import Json
from tests.world import Client, Response, World

#: Wrote nothing here, in a structure of his own.
STRANGER, CLINIC = samples.OTHER_DOCTOR, samples.CLINIC
NURSE = samples.NURSE
SAMU = "1990000001"
STRUCTURES = "urn:oid:1.2.250.1.71.4.2.2"
ACT_REASON = "http://terminology.hl7.org/CodeSystem/v3-ActReason"
CLOSING = "https://interop.esante.gouv.fr/ig/fhir/dmp/StructureDefinition/dmp-fermeture"
N = (samples.CONFIDENTIALITY, "N")
_NUMBERS = count(1)


def label(code: str) -> tuple[str, str]:
    """A visibility label."""
    return samples.VISIBILITY, code


MASKED, NOT_PATIENT, NOT_PARENTS = map(label, ("MASQUE_PS", "INVISIBLE_PATIENT", "INVISIBLE_REPRESENTANTS_LEGAUX"))


@dataclass
class Stage:
    """The world, and the dossier that most tests are about."""

    world: World
    ins: str = samples.ANOUK

    @property
    def id(self) -> str:
        """The Patient's id."""
        return self.world.patients[self.ins]

    @property
    def admin(self) -> Client:
        """The operator."""
        return self.world.admin

    # --- people ------------------------------------------------------------------------------------------------------

    def ps(self, number: str = STRANGER, structure: str = CLINIC, profession: str = "10", **more: Any) -> Client:
        """A professional; by default one who has nothing to do with the patient."""
        return self.world.as_(self.ps_caller(number, structure, profession, **more))

    def ps_caller(self, number: str = STRANGER, structure: str = CLINIC, profession: str = "10", **more: Any) -> Caller:
        """The caller that a professional is."""
        given = {"professional": number, "structure": structure, "roles": ((PROFESSION, profession),), **more}
        return Caller(Actor.PROFESSIONAL, f"ps-{number}", client="lps", **given)

    @property
    def author(self) -> Client:
        """Who wrote the documents."""
        return self.world.doctor()

    def breaking_glass(self, number: str = STRANGER, profession: str = "10", reason: str | None = "coma") -> Client:
        """A professional who breaks the glass."""
        return self.ps(number, profession=profession, mode=Mode.BREAK_GLASS, reason=reason)

    def regulator(self, structure: str = SAMU, **more: Any) -> Client:
        """A regulator of an emergency call centre."""
        return self.ps(structure=structure, mode=Mode.REGULATION, **{"regulator": True, **more})

    def holder(self, actor: Actor = Actor.PATIENT, **more: Any) -> Client:
        """The patient, or somebody who acts for the patient."""
        return self.world.as_(Caller(actor, f"account-{actor.value}", client="portal", patient=self.id, **more))

    @property
    def auditor(self) -> Client:
        """Who reads the trail and nothing else."""
        return self.world.as_(Caller(Actor.AUDITOR, "auditor", client="audit"))

    # --- the record --------------------------------------------------------------------------------------------------

    def submit(self, *labels: tuple[str, str], client: Client | None = None, **more: Any) -> str:
        """Deposit a document with these labels and return its id."""
        number = next(_NUMBERS)
        content = f"compte rendu {number}".encode()
        given = {"ins": self.ins, "content": content, "labels": (*labels, N), **more}
        return self.world.submit(f"1.2.250.1.999.6.{number}", client, **given)

    def consent(self, kind: str, *, deny: bool = False, **provision: Any) -> str:
        """Record a Consent as the operator."""
        return self.world.consent(self.ins, kind, deny=deny, **provision)

    def authorise(self, number: str = STRANGER, **period: str) -> str:
        """Let a professional consult."""
        return self.world.authorise(self.ins, number, **period)

    def authorise_structure(self, number: str = CLINIC) -> str:
        """Let a structure consult."""
        return self.consent("ps-authorisation", actor=[samples.consent_actor(number, STRUCTURES)])

    def block(self, number: str = STRANGER, system: str = "urn:oid:1.2.250.1.71.4.2.1") -> str:
        """Block a professional, or a structure."""
        return self.consent("block", deny=True, actor=[samples.consent_actor(number, system)])

    def doctor(self, number: str = STRANGER) -> str:
        """Make a professional médecin traitant."""
        return self.consent("mt", actor=[samples.consent_actor(number)])

    def refuse(self, mode: str) -> str:
        """Let the patient refuse an emergency mode: BTG or ETREAT."""
        return self.consent("emergency", deny=True, purpose=[{"system": ACT_REASON, "code": mode}])

    def close(self) -> None:
        """Close the dossier."""
        patient = self.admin.get(f"/Patient/{self.id}").json
        date = {"url": "dateFermeture", "valueDate": "2026-06-12"}
        motive = {"url": "raisonFermeture", "valueString": "Demande orale"}
        extensions = [*patient.get("extension", []), {"url": CLOSING, "extension": [date, motive]}]
        answer = self.admin.put(f"/Patient/{self.id}", {**patient, "active": False, "extension": extensions})
        assert answer.status == 200, answer.body

    def search(self, client: Client, type_: str = "DocumentReference", query: str = "") -> Response:
        """Search this record."""
        return client.get(f"/{type_}?patient=Patient/{self.id}{query}")

    def found(self, client: Client, type_: str = "DocumentReference", query: str = "") -> set[str]:
        """Return what a search finds; the total must say the same."""
        answer = self.search(client, type_, query)
        assert answer.status == 200, answer.body
        ids = {each["id"] for each in answer.entries}
        assert answer.json["total"] == len(ids)
        return ids

    def content(self, id_: str) -> str:
        """Return the path of a document's content."""
        document = self.admin.get(f"/DocumentReference/{id_}").json
        url: str = document["content"][0]["attachment"]["url"]
        return url.removeprefix(self.world.services.base)

    def relabel(self, client: Client, id_: str, *codes: str) -> Response:
        """Replace the visibility labels of a document."""
        labels = [{"coding": [{"system": samples.VISIBILITY, "code": code}]} for code in codes]
        base = {"coding": [{"system": samples.CONFIDENTIALITY, "code": "N"}]}
        patch = [{"op": "replace", "path": "/securityLabel", "value": [*labels, base]}]
        return client.patch(f"/DocumentReference/{id_}", patch)

    def archive(self, client: Client, id_: str) -> Response:
        """Archive a document."""
        value = {"url": f"{samples.PDSM}/pdsm-ext-is-archived", "valueBoolean": True}
        return client.patch(f"/DocumentReference/{id_}", [{"op": "add", "path": "/extension/-", "value": value}])

    def status(self, client: Client, id_: str, status: str) -> Response:
        """Set the status of a document."""
        return client.patch(f"/DocumentReference/{id_}", [{"op": "replace", "path": "/status", "value": status}])

    def observe(self, client: Client, **more: Any) -> Response:
        """Create an Observation in the record."""
        observation: Json = {
            "resourceType": "Observation",
            "status": "final",
            "code": {"coding": [{"system": samples.LOINC, "code": "8867-4"}]},
            "subject": {"reference": f"Patient/{self.id}"},
            **more,
        }
        return client.post("/Observation", observation)

    # --- the trail ---------------------------------------------------------------------------------------------------

    @property
    def trail(self) -> list[AuditRecord]:
        """Every record of the trail, newest first."""
        return [entry for _, entry in self.world.services.store.audit(AuditQuery(count=10_000)).records]

    @property
    def last(self) -> AuditRecord:
        """What the trail kept of the last request."""
        return self.trail[0]


def refused(answer: Response, status: int, *codes: str) -> None:
    """Check a refusal: status, and codes among its codings and issue codes."""
    assert answer.status == status, answer.body
    assert answer.json["resourceType"] == "OperationOutcome"
    missing = set(codes) - answer.codes
    assert not missing, (missing, answer.body)
