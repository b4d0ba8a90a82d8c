"""Loads the demonstration record through the API, as an administrator: every rule of the record applies to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from fhir_dmp.demo import people
from fhir_dmp.demo.clinical import clinical_resources
from fhir_dmp.demo.papers import papers
from fhir_dmp.demo.people import ANOUK, BASILE, BLOCKED, CORENTIN, DOCTOR, NURSE, PATIENTS, Person, Professional
from fhir_dmp.demo.submissions import Paper, submission
from fhir_dmp.documents.metadata import unique_key
from fhir_dmp.fhir.resource import Json, parse_stored
from fhir_dmp.identity.caller import Actor, Caller, Scope
from fhir_dmp.interactions.exchange import Answer, Call, Payload
from fhir_dmp.interactions.services import Services
from fhir_dmp.ports import Key, RequestInfo, Version
from fhir_dmp.terminology.aliases import ACT_REASON, CONSENT_SCOPE, LOINC, PARTICIPATION, PROFESSIONAL
from fhir_dmp.terminology.national import CLOSING, DMP, HISTORICAL_CONSENT, INS_NIR, RFC_3986

Handle = Callable[[Call], Answer]
_OPERATOR = Caller(Actor.ADMIN, "demo", client="fhir-dmp", scopes=(Scope("system", "*", frozenset("cruds")),))
_CLOSING_MOTIVE = f"{DMP}/CodeSystem/dmp-motif-fermeture"
_SAID_ON = "2026-01-05T09:00:00+01:00"


class Loader:
    """One loading: the server's door, and what it has found or made so far."""

    def __init__(self, services: Services, handle: Handle) -> None:
        self._services = services
        self._handle = handle

    def load(self) -> None:
        """Load everything that is not there yet."""
        for structure in people.STRUCTURES:
            self._put(people.organization(structure))
        for professional in people.PROFESSIONALS:
            self._put(people.practitioner(professional))
        for person in PATIENTS:
            if person is not CORENTIN:
                self._open(person)
        self._oppose(CORENTIN)
        for paper in papers(self._document):
            self._submit(paper)
        self._rights(ANOUK)
        for resource in clinical_resources(self._patient):
            self._put(resource)
        self._close(BASILE)

    # --- doors -------------------------------------------------------------------------------------------------------

    def _call(self, method: str, path: tuple[str, ...], resource: Json) -> Answer:
        info = RequestInfo(request_id="demo", address="127.0.0.1", base=self._services.base)
        payload = Payload("application/fhir+json", "application/fhir+json", resource)
        return self._handle(Call(method, path, _OPERATOR, info, payload=payload))

    def _put(self, resource: Json) -> None:
        """Store a resource, unless something is there: what people did to the demonstration stays."""
        key = Key(resource["resourceType"], resource["id"])
        if self._services.store.read(key) is None:
            self._update(resource)

    def _update(self, resource: Json) -> None:
        self._call("PUT", (resource["resourceType"], resource["id"]), resource)

    def _patient(self, person: Person) -> str:
        """Return `Patient/id` of a person whose record is there."""
        return str(self._held("Patient", (INS_NIR, person.ins)))

    def _document(self, paper: Paper) -> str:
        """Return `DocumentReference/id` of a paper that was submitted."""
        return str(self._held("DocumentReference", (RFC_3986, f"urn:oid:{paper.unique}")))

    def _held(self, type_: str, identifier: tuple[str, str]) -> Key | None:
        return self._services.store.holder(unique_key(type_, identifier))

    def _stored(self, person: Person) -> Version:
        key = self._held("Patient", (INS_NIR, person.ins))
        version = self._services.store.read(key) if key else None
        assert version is not None
        return version

    # --- steps -------------------------------------------------------------------------------------------------------

    def _open(self, person: Person) -> None:
        if self._held("Patient", (INS_NIR, person.ins)) is not None:
            return
        parameters: Json = {
            "resourceType": "Parameters",
            "parameter": [
                {"name": "patient", "resource": people.patient(person)},
                {"name": "consentement", "valueBoolean": True},
            ],
        }
        self._call("POST", ("Patient", "$dmp-ouvrir"), parameters)

    def _submit(self, paper: Paper) -> None:
        if self._held("DocumentReference", (RFC_3986, f"urn:oid:{paper.unique}")) is None:
            self._call("POST", (), submission(paper))

    def _rights(self, person: Person) -> None:
        """The doctor is médecin traitant, the nurse is authorised, one doctor is blocked."""
        self._complete(person)
        who = self._patient(person)
        treat = [{"system": ACT_REASON, "code": "TREAT"}]
        self._put(self._consent("demo-mt", who, "mt", "permit", DOCTOR))
        self._put(self._consent("demo-nurse-access", who, "ps-authorisation", "permit", NURSE, purpose=treat))
        self._put(self._consent("demo-block", who, "block", "deny", BLOCKED))

    def _complete(self, person: Person) -> None:
        """Add the médecin traitant and the person to call in an emergency to a Patient that is as it was opened."""
        stored = self._stored(person)
        if stored.version > 1:
            return
        reference = {"reference": f"Practitioner/{DOCTOR.id}", "display": f"{DOCTOR.given} {DOCTOR.family}"}
        contact = {
            "relationship": [{"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0131", "code": "C"}]}],
            "name": {"family": "BELLANGER", "given": ["Théodore"]},
            "telecom": [{"system": "phone", "value": "+33 1 99 00 12 34"}],
        }
        resource = parse_stored(stored.body)
        self._update({**resource, "generalPractitioner": [reference], "contact": [contact]})

    def _consent(
        self, id_: str, patient: str, kind: str, type_: str, actor: Professional | None = None, **more: object
    ) -> Json:
        provision: Json = {"type": type_, **more}
        if actor is not None:
            role = {"coding": [{"system": PARTICIPATION, "code": "IRCP"}]}
            who = {"identifier": {"system": PROFESSIONAL, "value": actor.number}}
            provision["actor"] = [{"role": role, "reference": who}]
        kinds = f"{self._services.canonical}/CodeSystem/dmp-consent-kind"
        scope = {"system": CONSENT_SCOPE, "code": "patient-privacy"}
        return {
            "resourceType": "Consent",
            "id": id_,
            "status": "active",
            "scope": {"coding": [scope]},
            "category": [
                {"coding": [{"system": LOINC, "code": "59284-0"}]},
                {"coding": [{"system": kinds, "code": kind}]},
            ],
            "patient": {"reference": patient},
            "dateTime": _SAID_ON,
            "performer": [{"reference": patient}],
            "organization": [{"display": "Opérateur du DMP"}],
            "sourceAttachment": {"title": "Recueilli en consultation"},
            "policy": [{"uri": HISTORICAL_CONSENT}],
            "provision": provision,
        }

    def _close(self, person: Person) -> None:
        stored = self._stored(person)
        if stored.version > 1:
            return
        current = parse_stored(stored.body)
        motive = {"coding": [{"system": _CLOSING_MOTIVE, "code": "patient-demande"}]}
        closing = {
            "url": CLOSING,
            "extension": [
                {"url": "dateFermeture", "valueDate": "2026-03-02"},
                {"url": "motifFermeture", "valueCodeableConcept": motive},
                {"url": "raisonFermeture", "valueString": "Demande orale en consultation"},
            ],
        }
        self._update({**current, "active": False, "extension": [*current["extension"], closing]})

    def _oppose(self, person: Person) -> None:
        """A person who objects to any opening: a stub with the INS, and the objection."""
        if self._held("Patient", (INS_NIR, person.ins)) is not None:
            return
        identifier = people.patient(person)["identifier"]
        stub: Json = {"resourceType": "Patient", "id": "demo-opposed", "identifier": identifier, "active": False}
        self._put(stub)
        self._put(self._consent("demo-opposition", "Patient/demo-opposed", "dmp-opening", "deny"))


def load(services: Services, handle: Handle) -> None:
    """Load the demonstration record.

    Raises:
        DmpError: the record holds something else under the demonstration's identifiers.
    """
    Loader(services, handle).load()


def lines() -> Iterator[str]:
    """Yield who exists in the demonstration, for a newcomer: the value of `fhir-dmp token --as`, and who that is."""
    for person in PATIENTS:
        yield f"Patient   {f'--as patient:{person.ins}':<62} {person.given} {person.family}, {person.part}"
    for one in people.PROFESSIONALS:
        profession = "" if one.profession == "10" else f" --profession {one.profession}"
        options = f"--as ps:{one.number[1:]} --structure {one.structure[1:]}{profession}"
        yield f"PS        {options:<62} {one.given} {one.family}, {one.part}"
