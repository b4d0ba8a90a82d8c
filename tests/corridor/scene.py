"""A random record and everybody who might look at it. Seeded: the same number gives the same scene.

Each document carries marks that stand nowhere else (ids, uniqueId, title, content), so that a trace of it in any answer
is found by plain text search. What a caller may know is asked of the pure decision, not of the corridor.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

from fhir_dmp.access.decide import enter
from fhir_dmp.access.decision import Op
from fhir_dmp.access.document import document_facts
from fhir_dmp.access.visibility import visible
from fhir_dmp.fhir.resource import parse_stored
from fhir_dmp.identity.caller import Actor, Caller, Mode
from fhir_dmp.identity.scopes import parse as scopes_of
from fhir_dmp.interactions import gather
from fhir_dmp.ports import Key
from fhir_dmp.terminology.aliases import PROFESSION
from tests import samples
from tests.samples import Json
from tests.world import Client, World

NURSE, PHARMACIST, SAMU_DOCTOR = "899700218912", "899700218920", "899700218938"
SAMU = "1990000001"
STAFF: dict[str, tuple[str, str]] = {
    samples.DOCTOR: (samples.HOSPITAL, "10"),
    samples.OTHER_DOCTOR: (samples.CLINIC, "10"),
    NURSE: (samples.HOSPITAL, "60"),
    PHARMACIST: (samples.CLINIC, "21"),
    SAMU_DOCTOR: (SAMU, "10"),
}
KINDS = (
    ((samples.LOINC, "11488-4"), "10"),
    ((samples.LOINC, "11502-2"), "10"),
    ((samples.LOINC, "83901-9"), "10"),
    ((samples.LOINC, "68599-0"), "11"),
    ((samples.LOINC, "57833-6"), "42"),
)
#: Every operation by which a document may be shown, found or touched.
OPS = (Op.READ, Op.SEARCH, Op.FIND_OWN, Op.RETRIEVE, Op.UPDATE_LABEL, Op.REPLACE, Op.DELETE)
ADULT, CHILD = "1985-04-17", "2014-04-17"


@dataclass
class Document:
    """One document: where it lies, and the texts that betray it."""

    id: str
    oid: str
    title: str
    content: bytes
    binary: str
    list: str
    patient: str

    @property
    def marks(self) -> tuple[str, ...]:
        """The texts that betray it."""
        return (self.id, self.oid, self.title, self.binary, self.content.decode(), self.base64)

    @property
    def base64(self) -> str:
        """The part of its content's base64 that belongs to it alone (whole groups of three bytes)."""
        return base64.b64encode(self.content[: len(self.content) // 3 * 3]).decode()


@dataclass
class Scene:
    """A server, two records, and who looks."""

    world: World
    random: Random
    mine: str = ""
    other: str = ""
    documents: list[Document] = field(default_factory=list)
    lists: list[str] = field(default_factory=list)
    clinical: dict[str, tuple[str, str]] = field(default_factory=dict)
    delegation: str = ""

    # --- making ------------------------------------------------------------------------------------------------------

    def build(self) -> Scene:
        """Fill the records."""
        random = self.random
        birth = random.choice([ADULT, CHILD])
        self.mine = self.world.open(samples.ANOUK, birthDate=birth)
        self.other = self.world.open(samples.BASILE)
        for number in range(random.randint(5, 9)):
            self._publish(number, samples.ANOUK, minor=birth == CHILD)
        for number in (90, 91):
            self._publish(number, samples.BASILE, minor=False)
        self._lives()
        self._lists()
        self._clinical()
        self._consents()
        if random.random() < 0.08:
            self._close()
        return self

    def _publish(self, number: int, ins: str, *, minor: bool) -> None:
        random = self.random
        professional = random.choice([samples.DOCTOR, samples.DOCTOR, samples.OTHER_DOCTOR, NURSE])
        structure, profession = STAFF[professional]
        codes = ["MASQUE_PS", "INVISIBLE_PATIENT", *(["INVISIBLE_REPRESENTANTS_LEGAUX"] if minor else [])]
        labels = [code for code in codes if random.random() < 0.3]
        type_, class_ = random.choice(KINDS)
        tag = f"{random.getrandbits(40):010x}"
        oid = f"1.2.250.1.999.{random.randrange(10**8, 10**9)}"
        content = f"contenu-{tag}-{number:03d}".encode()
        more: dict[str, Any] = {}
        if self.documents and random.random() < 0.25 and ins == samples.ANOUK:
            target = random.choice(self.documents)
            more["relatesTo"] = [{"code": "appends", "target": {"reference": f"DocumentReference/{target.id}"}}]
        bundle = samples.submission(
            oid,
            ins=ins,
            content=content,
            professional=professional,
            structure=structure,
            labels=(*((samples.VISIBILITY, code) for code in labels), (samples.CONFIDENTIALITY, "N")),
            type_=type_,
            class_=class_,
            **more,
        )
        title = f"titre-{tag}"
        bundle["entry"][1]["resource"]["content"][0]["attachment"]["title"] = title
        answer = self.professional(professional, profession=profession).post("", bundle)
        if answer.status != 200:  # the author may be unable to see what is appended to: without the relation, then
            bundle["entry"][1]["resource"].pop("relatesTo", None)
            answer = self.professional(professional, profession=profession).post("", bundle)
        assert answer.status == 200, answer.body
        places = [entry["response"]["location"].split("/")[1] for entry in answer.json["entry"]]
        self.documents.append(Document(places[1], oid, title, content, places[2], places[0], self.world.patients[ins]))

    def _lives(self) -> None:
        """Let some be deleted, archived, withdrawn or relabelled afterwards, as the operator."""
        for document in self.documents:
            change = self.random.random()
            if change < 0.12:
                self._patch(document, [{"op": "replace", "path": "/status", "value": "entered-in-error"}])
            elif change < 0.22:
                self._patch(document, [{"op": "replace", "path": "/status", "value": "superseded"}])
            elif change < 0.4:
                label = {"coding": [{"system": samples.VISIBILITY, "code": "MASQUE_PS"}]}
                self._patch(document, [{"op": "add", "path": "/securityLabel/-", "value": label}])

    def _patch(self, document: Document, patch: list[Json]) -> None:
        answer = self.world.admin.patch(f"/DocumentReference/{document.id}", patch)
        assert answer.status == 200, answer.body

    def _lists(self) -> None:
        own = [each for each in self.documents if each.patient == self.mine]
        for number in range(3):
            items = self.random.sample(own, self.random.randint(1, 3))
            made = self.world.admin.post(
                "/List",
                {
                    "resourceType": "List",
                    "status": "current",
                    "mode": "working",
                    "title": f"liste-{self.random.getrandbits(40):010x}-{number}",
                    "subject": {"reference": f"Patient/{self.mine}"},
                    "entry": [{"item": {"reference": f"DocumentReference/{item.id}"}} for item in items],
                },
            )
            assert made.status == 201, made.body
            self.lists.append(made.json["id"])

    def _clinical(self) -> None:
        foreign = ""
        for patient in (self.other, self.mine, self.mine):
            target = self.random.choice([each for each in self.documents if each.patient == patient])
            note = f"note-{self.random.getrandbits(40):010x}"
            observation = {
                "resourceType": "Observation",
                "status": "final",
                "code": {"coding": [{"system": samples.LOINC, "code": "8867-4"}]},
                "subject": {"reference": f"Patient/{patient}"},
                "derivedFrom": [{"reference": f"DocumentReference/{target.id}"}],
                # A feeder's slip: a reference into another record. It must lead nowhere.
                **({"hasMember": [{"reference": foreign}]} if foreign else {}),
                "note": [{"text": note}],
            }
            report = {
                "resourceType": "DiagnosticReport",
                "status": "final",
                "code": {"coding": [{"system": samples.LOINC, "code": "11502-2"}]},
                "subject": {"reference": f"Patient/{patient}"},
                "conclusion": note,
                "presentedForm": [{"contentType": "text/plain", "url": f"Binary/{target.binary}"}],
            }
            for resource in (observation, report):
                made = self.world.admin.post(f"/{resource['resourceType']}", resource)
                assert made.status == 201, made.body
                name = f"{resource['resourceType']}/{made.json['id']}"
                self.clinical[name] = (patient, note)
                foreign = foreign or name

    def _consents(self) -> None:
        random, world = self.random, self.world
        for professional in STAFF:
            relation = random.choice(["none", "authorised", "authorised", "expired", "blocked", "mt", "structure"])
            actor = [samples.consent_actor(professional)]
            if relation == "authorised":
                world.authorise(samples.ANOUK, professional)
            elif relation == "expired":
                world.authorise(samples.ANOUK, professional, start="2025-01-01", end="2025-12-31")
            elif relation == "blocked":
                world.consent(samples.ANOUK, "block", deny=True, actor=actor)
            elif relation == "mt":
                world.consent(samples.ANOUK, "mt", actor=actor)
            elif relation == "structure":
                structure = [samples.consent_actor(STAFF[professional][0], "urn:oid:1.2.250.1.71.4.2.2")]
                world.consent(samples.ANOUK, "ps-authorisation", actor=structure)
        if random.random() < 0.3:
            purpose = [{"system": "http://terminology.hl7.org/CodeSystem/v3-ActReason", "code": "BTG"}]
            world.consent(samples.ANOUK, "emergency", deny=True, purpose=purpose)
        relative = world.admin.post(
            "/RelatedPerson", {"resourceType": "RelatedPerson", "patient": {"reference": f"Patient/{self.mine}"}}
        )
        role = samples.consent_actor("x")["role"]
        named = [{"role": role, "reference": {"reference": f"RelatedPerson/{relative.json['id']}"}}]
        period = {"start": "2026-01-02", "end": "2026-12-31"}
        self.delegation = world.consent(samples.ANOUK, "delegation", actor=named, period=period)

    def _close(self) -> None:
        patient = self.world.admin.get(f"/Patient/{self.mine}").json
        closing = "https://interop.esante.gouv.fr/ig/fhir/dmp/StructureDefinition/dmp-fermeture"
        date = {"url": "dateFermeture", "valueDate": "2026-06-12"}
        extensions = [*patient.get("extension", []), {"url": closing, "extension": [date]}]
        answer = self.world.admin.put(f"/Patient/{self.mine}", {**patient, "active": False, "extension": extensions})
        assert answer.status == 200, answer.body

    # --- changing ----------------------------------------------------------------------------------------------------

    def shake(self) -> None:
        """Change something: a label, a right, a block, or the end of one of them. Nothing in a closed record."""
        random = self.random
        act = random.choice([self._relabel, self._right, self._end])
        act(random.choice([each for each in self.documents if each.patient == self.mine]), random.choice(list(STAFF)))

    def _relabel(self, document: Document, _: str) -> None:
        code = self.random.choice(["MASQUE_PS", "INVISIBLE_PATIENT", "N"])
        system = samples.CONFIDENTIALITY if code == "N" else samples.VISIBILITY
        labels = [{"coding": [{"system": system, "code": code}]}]
        # What the patient has read is not hidden from the patient any more, and deleted is deleted.
        self.world.admin.patch(
            f"/DocumentReference/{document.id}", [{"op": "replace", "path": "/securityLabel", "value": labels}]
        )

    def _right(self, _: Document, professional: str) -> None:
        kind = self.random.choice(["ps-authorisation", "block"])
        actor = [samples.consent_actor(professional)]
        self.world.admin.post("/Consent", samples.consent(self.mine, kind, deny=kind == "block", actor=actor))

    def _end(self, _: Document, __: str) -> None:
        found = self.world.admin.get(f"/Consent?patient=Patient/{self.mine}&status=active&_count=50").entries
        ending = [each for each in found if each["category"][1]["coding"][0]["code"] in ("ps-authorisation", "block")]
        if ending:
            consent = self.random.choice(ending)
            version = f'W/"{consent["meta"]["versionId"]}"'
            self.world.admin.put(f"/Consent/{consent['id']}", {**consent, "status": "inactive"}, If_Match=version)

    # --- people ------------------------------------------------------------------------------------------------------

    def professional(self, number: str, **more: Any) -> Client:
        """A professional of the staff."""
        return self.world.as_(self.caller_of(number, **more))

    def caller_of(self, number: str, profession: str = "", **more: Any) -> Caller:
        """The caller that a professional of the staff is."""
        structure, own = STAFF[number]
        roles = ((PROFESSION, profession or own),)
        given: dict[str, Any] = {"professional": number, "structure": structure, "roles": roles, **more}
        return Caller(Actor.PROFESSIONAL, f"ps-{number}", client="lps", **given)

    def callers(self) -> Iterator[Caller]:
        """Everybody, in every mode."""
        for patient in (self.mine, self.other):
            yield Caller(Actor.PATIENT, f"account-{patient}", client="portal", patient=patient)
        yield Caller(Actor.REPRESENTATIVE, "parent", client="portal", patient=self.mine)
        yield Caller(
            Actor.DELEGATE, "proche", client="portal", patient=self.mine, delegation=(f"Consent/{self.delegation}",)
        )
        yield Caller(Actor.DELEGATE, "passant", client="portal", patient=self.mine)
        for number in STAFF:
            yield self.caller_of(number)
        everything = scopes_of("user/*.cruds patient/*.cruds")
        yield self.caller_of(samples.DOCTOR, scopes=everything)
        yield self.caller_of(samples.OTHER_DOCTOR, scopes=scopes_of("patient/*.rs"), patient=self.mine)
        yield self.caller_of(samples.OTHER_DOCTOR, scopes=scopes_of("patient/*.rs"), patient=self.other)
        for number in (samples.OTHER_DOCTOR, NURSE):
            yield self.caller_of(number, mode=Mode.BREAK_GLASS, reason="patient inconscient")
        yield self.caller_of(SAMU_DOCTOR, mode=Mode.REGULATION, regulator=True)
        yield self.caller_of(samples.DOCTOR, profession="31")
        yield Caller(Actor.STRUCTURE, "org", client="sih", structure=samples.HOSPITAL)
        yield Caller(Actor.FEEDER, "feeder", client="assurance", structure="1999999999")
        yield Caller(Actor.AUDITOR, "auditor", client="audit")

    # --- what the pure decision says ---------------------------------------------------------------------------------

    def knows(self, caller: Caller, document: Document) -> bool:
        """Say whether any operation shows the document to the caller."""
        return any(self._verdict(caller, document, op).permitted for op in OPS)

    def hides(self, caller: Caller, document: Document) -> bool:
        """Say whether the document must look to the caller like one that never existed."""
        verdict = self._verdict(caller, document, Op.READ)
        change = self._verdict(caller, document, Op.UPDATE_LABEL)
        return bool(verdict.status == change.status == 404)

    def finds(self, caller: Caller, document: Document) -> bool:
        """Say whether a plain search of documents finds it."""
        return bool(self._verdict(caller, document, Op.SEARCH).permitted)

    def _verdict(self, caller: Caller, document: Document, op: Op) -> Any:
        services = self.world.services
        facts = gather.facts_of(f"Patient/{document.patient}", services)
        refs = gather.own_refs(caller, services)
        decision = enter(caller, op, facts, services.access, documents=True, own_refs=refs)
        version = services.store.read(Key("DocumentReference", document.id))
        assert version is not None
        asked = op is Op.SEARCH
        found = document_facts(parse_stored(version.body))
        if not asked:
            return visible(caller, decision, found, facts, services.access, services.matrix)
        return visible(caller, decision, found, facts, services.access, services.matrix, deleted_asked=False)

    def enters(self, caller: Caller, patient: str) -> bool:
        """Say whether the caller may read the record at large."""
        services = self.world.services
        facts = gather.facts_of(f"Patient/{patient}", services)
        return enter(caller, Op.READ, facts, services.access).permitted

    def betrayals(self, caller: Caller) -> Iterator[str]:
        """Yield every text that no answer to the caller may hold."""
        for document in self.documents:
            if not self.knows(caller, document):
                yield from document.marks
                if not self.enters(caller, document.patient):
                    yield document.list
        for list_ in self.lists:
            held = self.world.services.store.read(Key("List", list_))
            assert held is not None
            body = parse_stored(held.body)
            items = {entry["item"]["reference"].split("/")[1] for entry in body["entry"]}
            inside = [each for each in self.documents if each.id in items]
            readable = [each for each in inside if self._verdict(caller, each, Op.READ).permitted]
            if not self.enters(caller, self.mine) or not readable:
                yield from (list_, body["title"])
        for name, (patient, note) in self.clinical.items():
            if not self.enters(caller, patient):
                yield note
                # The history of a closed record still names to its holder what is shut in it.
                if patient == self.mine and caller.patient != self.mine:
                    yield name.partition("/")[2]


def scene(seed: int, world: World) -> Scene:
    """Return the scene of this number in a new world."""
    return Scene(world, Random(seed)).build()


def scoped(world: World, caller: Caller) -> Client:
    """Return the client of a caller, with scopes as wide as its kind may have."""
    return world.as_(replace(caller))
