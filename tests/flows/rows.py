"""The decision table of the record, row by row: what stands in the record, who asks for what, and what must come out.

Each case prepares a dossier of its own and gives one request. `expect` is the HTTP status and the reason; `obligations`
and `warnings` are those of the decision. A row whose decision depends on the body of a write is not put to `explain`.
[security 4.3]
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from fhir_dmp.access.decision import Op
from fhir_dmp.identity.caller import Actor, Caller, Mode
from fhir_dmp.identity.scopes import parse
from fhir_dmp.terminology.aliases import PROFESSION
from tests import samples
from tests.corridor.stage import ACT_REASON, CLINIC, MASKED, NOT_PARENTS, NOT_PATIENT, SAMU, STRANGER, Stage
from tests.flows.steps import next_ins, next_oid
from tests.samples import Json
from tests.world import Response

UNKNOWN = "01900000-0000-7000-8000-000000000000"
MINOR = {"birthDate": "2009-04-17"}
LETTER: dict[str, Any] = {"class_": "42", "type_": (samples.LOINC, "57833-6")}
RESIDENCE: dict[str, Any] = {"class_": "10", "type_": (samples.LOINC, "83901-9")}


@dataclass(frozen=True)
class Asked:
    """One request, and what it is in the words of the decision: None when `explain` cannot know."""

    caller: Caller | None
    send: Callable[[Any], Response]
    op: Op | None = None
    document: str | None = None


@dataclass(frozen=True)
class Case:
    """One row. rows: as explained, the row itself unless told otherwise."""

    row: str
    prepare: Callable[[Stage], Asked]
    status: int = 200
    reason: str | None = None
    obligations: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    birth: dict[str, str] = field(default_factory=dict)


# --- people ----------------------------------------------------------------------------------------------------------


def ps(number: str = STRANGER, structure: str = CLINIC, profession: str = "10", **more: Any) -> Caller:
    """A professional who has nothing to do with the record, unless told otherwise."""
    given = {"professional": number, "structure": structure, "roles": ((PROFESSION, profession),), **more}
    return Caller(Actor.PROFESSIONAL, f"ps-{number}", client="lps", **given)


AUTHOR = ps(samples.DOCTOR, samples.HOSPITAL)
STRANGER_PS = ps()
URGENT = ps(mode=Mode.BREAK_GLASS, reason="patient inconscient")
REGULATOR = ps(structure=SAMU, mode=Mode.REGULATION, regulator=True)
INSTITUTION = Caller(Actor.STRUCTURE, "org", client="sih", structure=samples.HOSPITAL)
AUDITOR = Caller(Actor.AUDITOR, "auditor", client="audit")


def holder(stage: Stage, actor: Actor = Actor.PATIENT, **more: Any) -> Caller:
    """The patient, or who acts for the patient."""
    return Caller(actor, f"account-{actor.value}", client="portal", patient=stage.id, **more)


# --- requests --------------------------------------------------------------------------------------------------------


def searching(stage: Stage, caller: Caller, query: str = "") -> Asked:
    """Search the documents of the record."""
    path = f"/DocumentReference?patient=Patient/{stage.id}{query}"
    return Asked(caller, lambda client: client.get(path), Op.SEARCH)


def reading(caller: Caller, id_: str) -> Asked:
    """Read one document."""
    return Asked(caller, lambda client: client.get(f"/DocumentReference/{id_}"), Op.READ, id_)


def checking(stage: Stage, caller: Caller) -> Asked:
    """Ask whether the record exists (TD0.2)."""
    path = f"/Patient?identifier={samples.INS}|{stage.ins}"
    return Asked(caller, lambda client: client.get(path), Op.EXIST)


def watching(stage: Stage, caller: Caller) -> Asked:
    """Search the accesses to the record."""
    return Asked(caller, lambda client: client.get(f"/AuditEvent?patient=Patient/{stage.id}"), Op.HISTORY)


def depositing(stage: Stage, caller: Caller, **more: Any) -> Asked:
    """Submit a document (ITI-65)."""
    bundle = samples.submission(next_oid(), **{"ins": stage.ins, **more})
    return Asked(caller, lambda client: client.post("", bundle))


def changing(caller: Caller, op: Op, id_: str, *patch: Json) -> Asked:
    """Patch one document."""
    return Asked(caller, lambda client: client.patch(f"/DocumentReference/{id_}", list(patch)), op, id_)


def labelling(caller: Caller, id_: str, *codes: str) -> Asked:
    """Replace the labels of a document; the row depends on the labels."""
    labels = [{"coding": [{"system": samples.VISIBILITY, "code": code}]} for code in codes]
    value = [*labels, {"coding": [{"system": samples.CONFIDENTIALITY, "code": "N"}]}]
    asked = changing(caller, Op.UPDATE_LABEL, id_, {"op": "replace", "path": "/securityLabel", "value": value})
    return replace(asked, op=None)


DELETE: Json = {"op": "replace", "path": "/status", "value": "entered-in-error"}
ARCHIVE: Json = {
    "op": "add",
    "path": "/extension/-",
    "value": {"url": f"{samples.PDSM}/pdsm-ext-is-archived", "valueBoolean": True},
}


# --- what stands in the record ---------------------------------------------------------------------------------------


def relative(stage: Stage, **more: Any) -> str:
    """Record a RelatedPerson of the patient."""
    body = {"resourceType": "RelatedPerson", "patient": {"reference": f"Patient/{stage.id}"}, **more}
    made = stage.admin.post("/RelatedPerson", body)
    assert made.status == 201, made.body
    return f"RelatedPerson/{made.json['id']}"


def named(reference: str) -> list[Json]:
    """Return an actor of a provision."""
    return [{"role": samples.consent_actor("x")["role"], "reference": {"reference": reference}}]


def delegate(stage: Stage, *classes: str, end: str = "2026-12-31") -> Caller:
    """Record a delegation and return the delegate."""
    period = {"start": "2026-01-02", "end": end}
    consent = samples.consent(stage.id, "delegation", actor=named(relative(stage)), period=period)
    if classes:
        limits = [{"url": "class", "valueCoding": {"system": samples.CLASSES, "code": code}} for code in classes]
        url = "https://dmp-fhir.example/ig/StructureDefinition/dmp-delegation"
        consent["extension"] = [{"url": url, "extension": [{"url": "right", "valueCode": "read"}, *limits]}]
    made = stage.admin.post("/Consent", consent)
    assert made.status == 201, made.body
    return holder(stage, Actor.DELEGATE, delegation=(f"Consent/{made.json['id']}",))


def team(stage: Stage) -> None:
    """Put the stranger into a care team that the patient agreed to."""
    member = {"identifier": {"system": "urn:oid:1.2.250.1.71.4.2.1", "value": STRANGER}}
    body = {
        "resourceType": "CareTeam",
        "status": "active",
        "subject": {"reference": f"Patient/{stage.id}"},
        "participant": [{"member": member}],
    }
    made = stage.admin.post("/CareTeam", body)
    assert made.status == 201, made.body
    stage.consent("team-authorisation", actor=named(f"CareTeam/{made.json['id']}"))


def app(stage: Stage) -> Caller:
    """Record the patient's agreement to an application that sees letters only, and return it."""
    stage.consent("app-grant", actor=named("Device/carnet"), purpose=[{"system": ACT_REASON, "code": "PATRQT"}])
    return holder(stage, app="carnet", app_classes=("42",))


def own_deposit(stage: Stage, caller: Caller, *labels: str) -> Asked:
    """Let the patient deposit a document of class 90."""
    made = samples.document(
        next_oid(), ins=stage.ins, class_="90", type_=("urn:oid:1.2.250.1.213.1.1.4.12", "DOCPAT01")
    )
    made["meta"] = {"profile": [f"{samples.PDSM}/pdsm-simplified-publish"]}
    made["author"] = [{"reference": "#source"}]
    codes = [{"coding": [{"system": samples.VISIBILITY, "code": code}]} for code in labels]
    made["securityLabel"] = [*codes, {"coding": [{"system": samples.CONFIDENTIALITY, "code": "N"}]}]
    attachment = made["content"][0]["attachment"]
    attachment["data"] = base64.b64encode(samples.TEXT).decode()
    return Asked(caller, lambda client: client.post("/DocumentReference", made))


# --- the cases -------------------------------------------------------------------------------------------------------


def _a1(stage: Stage) -> Asked:
    return replace(searching(stage, ps()), caller=None, op=None)


def _a2(stage: Stage) -> Asked:
    return searching(stage, ps(scopes=parse("user/Observation.rs")))


def _a3(stage: Stage) -> Asked:
    stage.authorise()
    return searching(stage, ps(sector="SA13"))


def _a4(stage: Stage) -> Asked:
    stage.authorise()
    return Asked(ps(), lambda client: client.get("/DocumentReference?patient:missing=false"))


def _b1(stage: Stage) -> Asked:
    return Asked(ps(), lambda client: client.get(f"/Patient?identifier={samples.INS}|{next_ins()}"))


def _b2(stage: Stage) -> Asked:
    return Asked(ps(), lambda client: client.get(f"/Patient/{UNKNOWN}"))


def _b3(stage: Stage) -> Asked:
    stranger = next_ins()
    made = stage.admin.post("/Patient", samples.patient(stranger))
    stage.world.patients[stranger] = made.json["id"]
    other = Stage(stage.world, stranger)
    other.consent("dmp-opening", deny=True)
    return depositing(other, AUTHOR)


def _closed(ask: Callable[[Stage], Asked]) -> Callable[[Stage], Asked]:
    def prepare(stage: Stage) -> Asked:
        stage.submit()
        stage.authorise()
        stage.close()
        return ask(stage)

    return prepare


def _c2(stage: Stage) -> Asked:
    stage.submit()
    return searching(stage, holder(stage, Actor.REPRESENTATIVE, fhir_user=relative(stage)))


def _c3(stage: Stage) -> Asked:
    return reading(holder(stage, Actor.REPRESENTATIVE, fhir_user=relative(stage, active=False)), stage.submit())


def _c5(stage: Stage) -> Asked:
    stage.submit()
    return searching(stage, delegate(stage, end="2026-05-01"))


def _c6(stage: Stage) -> Asked:
    stage.authorise()
    stage.block()
    return searching(stage, URGENT)


def _c7(stage: Stage) -> Asked:
    stage.refuse("ETREAT")
    return searching(stage, REGULATOR)


def _c9(stage: Stage) -> Asked:
    stage.refuse("BTG")
    return searching(stage, URGENT)


def _c15(stage: Stage) -> Asked:
    stage.authorise_structure()
    return searching(stage, ps())


def _c16(stage: Stage) -> Asked:
    team(stage)
    return searching(stage, ps())


def _c18(stage: Stage) -> Asked:
    stage.authorise(start="2025-01-01", end="2025-12-31")
    return searching(stage, ps())


def _c21(stage: Stage) -> Asked:
    wide = replace(AUDITOR, scopes=parse("user/*.rs"))
    return searching(stage, wide)


def _seen_by(*labels: tuple[str, str], caller: Caller = STRANGER_PS, **document: Any) -> Callable[[Stage], Asked]:
    """An authorised professional reads a document."""

    def prepare(stage: Stage) -> Asked:
        stage.authorise()
        return reading(caller, stage.submit(*labels, **document))

    return prepare


def _d1(stage: Stage) -> Asked:
    id_ = stage.submit(MASKED)
    stage.authorise()
    assert stage.status(stage.author, id_, "entered-in-error").status == 200
    return reading(holder(stage), id_)


def _d7(stage: Stage) -> Asked:
    stage.doctor()
    return reading(ps(), stage.submit(MASKED))


def _d13(stage: Stage) -> Asked:
    id_ = stage.submit()
    stage.authorise()
    assert stage.archive(stage.author, id_).status == 200
    return reading(ps(), id_)


def _d15(stage: Stage) -> Asked:
    return reading(app(stage), stage.submit())


def _w1(stage: Stage) -> Asked:
    return depositing(stage, ps(), professional=samples.DOCTOR)


def _w2(stage: Stage) -> Asked:
    return own_deposit(stage, holder(stage), "INVISIBLE_PATIENT")


def _w3(stage: Stage) -> Asked:
    stage.authorise()
    relation = [{"code": "replaces", "target": {"reference": f"DocumentReference/{stage.submit()}"}}]
    return depositing(
        stage, ps(), professional=STRANGER, structure=CLINIC, relatesTo=relation, content=next_oid().encode()
    )


def _w4(stage: Stage) -> Asked:
    unique = next_oid()
    stage.world.submit(unique, stage.world.as_(INSTITUTION), ins=stage.ins, content=unique.encode())
    return replace(searching(stage, INSTITUTION, f"&identifier=urn:ietf:rfc:3986|urn:oid:{unique}"), op=Op.FIND_OWN)


def _w5(stage: Stage) -> Asked:
    stage.authorise()
    return changing(ps(), Op.DELETE, stage.submit(), DELETE)


def _w6(stage: Stage) -> Asked:
    stage.authorise()
    return labelling(ps(), stage.submit(), "MASQUE_PS")


def _w7(stage: Stage) -> Asked:
    return labelling(holder(stage), stage.submit(), "INVISIBLE_PATIENT")


def _w8(stage: Stage) -> Asked:
    id_ = stage.submit(NOT_PARENTS)
    assert labelling(AUTHOR, id_).send(stage.author).status == 200
    return labelling(AUTHOR, id_, "INVISIBLE_REPRESENTANTS_LEGAUX")


def _w9(stage: Stage) -> Asked:
    return changing(holder(stage), Op.ARCHIVE, stage.submit(), ARCHIVE)


def _w10(stage: Stage) -> Asked:
    consent = samples.consent(stage.id, "ps-authorisation", actor=[samples.consent_actor(samples.NURSE)])
    return Asked(ps(), lambda client: client.post("/Consent", consent))


def _w11(stage: Stage) -> Asked:
    wide = replace(URGENT, scopes=parse("user/*.cruds"))
    return changing(wide, Op.DELETE, stage.submit(), DELETE)


def _w12(stage: Stage) -> Asked:
    event = stage.world.as_(holder(stage)).get(f"/AuditEvent?patient=Patient/{stage.id}").entries[0]
    path = f"/AuditEvent/{event['id']}"
    return Asked(replace(AUTHOR, scopes=parse("user/*.cruds")), lambda client: client.put(path, event))


CASES: tuple[Case, ...] = (
    Case("A1", _a1, 401, "login"),
    Case("A2", _a2, 403, "scope"),
    Case("A3", _a3, 403, "actor-excluded"),
    Case("A4", _a4, 403, "mass-search"),
    Case("B1", _b1),
    Case("B2", _b2, 404, "not-found"),
    Case("B3", _b3, 403, "no-dmp"),
    Case("B4", _closed(lambda stage: checking(stage, ps()))),
    Case("B5", _closed(lambda stage: watching(stage, holder(stage)))),
    Case("B6", _closed(lambda stage: watching(stage, AUDITOR))),
    Case("B7", _closed(lambda stage: searching(stage, ps())), 403, "dmp-closed"),
    Case("C1", lambda stage: searching(stage, holder(stage))),
    Case("C2", _c2, birth=MINOR),
    Case("C3", _c3, 404, "not-found", birth=MINOR),
    Case("C4", lambda stage: searching(stage, delegate(stage))),
    Case("C5", _c5, 403, "delegation"),
    Case("C6", _c6, 403, "blocked"),
    Case("C7", _c7, 403, "emergency-refused"),
    Case("C7", lambda stage: searching(stage, replace(REGULATOR, regulator=False)), 403, "not-regulator"),
    Case("C8", lambda stage: searching(stage, REGULATOR), obligations=("audit", "notify:N2", "flag:centre15")),
    Case("C9", _c9, 403, "emergency-refused"),
    Case("C10", lambda stage: searching(stage, replace(URGENT, reason=None)), 403, "btg-not-allowed"),
    Case("C10", lambda stage: searching(stage, ps(profession="70", mode=Mode.BREAK_GLASS, reason="coma")), 403,
         "btg-not-allowed"),
    Case("C11", lambda stage: searching(stage, URGENT), obligations=("audit", "notify:N1", "flag:btg", "limit:600s")),
    Case("C12", lambda stage: depositing(stage, AUTHOR)),
    Case("C13", lambda stage: searching(stage, INSTITUTION), 403, "feed-only"),
    Case("C14", lambda stage: (stage.doctor(), searching(stage, ps()))[1]),
    Case("C15", _c15),
    Case("C16", _c16),
    Case("C17", lambda stage: reading(AUTHOR, stage.submit())),
    Case("C18", _c18, 403, "authorisation-expired"),
    Case("C19", lambda stage: searching(stage, ps()), 403, "authorisation-missing"),
    Case("C20", lambda stage: watching(stage, AUDITOR)),
    Case("C21", _c21, 403, "default-deny"),
    Case("D1", _d1),
    Case("D2", lambda stage: reading(holder(stage), stage.submit(NOT_PATIENT)), 404, "not-found"),
    Case("D3", lambda stage: reading(holder(stage, Actor.REPRESENTATIVE), stage.submit(NOT_PARENTS)), 404, "not-found",
         birth=MINOR),
    Case("D4", lambda stage: reading(delegate(stage, "42"), stage.submit()), 404, "not-found"),
    Case("D5", lambda stage: reading(holder(stage), stage.submit(MASKED))),
    Case("D6", lambda stage: reading(AUTHOR, stage.submit(MASKED)), warnings=("masked",)),
    Case("D7", _d7, warnings=("masked",)),
    Case("D8", _seen_by(MASKED), 404, "not-found"),
    Case("D8", lambda stage: reading(URGENT, stage.submit(MASKED)), 404, "not-found"),
    Case("D9", _seen_by(caller=ps(profession="60"), **RESIDENCE), 404, "not-found"),
    Case("D10", _seen_by(caller=ps(roles=(("urn:oid:1.2.250.1.213.1.6.1.140", "7"),))), 404, "not-found"),
    Case("D11", _seen_by(NOT_PATIENT), warnings=("hidden-from-patient",)),
    Case("D12", _seen_by(NOT_PARENTS, caller=ps(secret=True)), warnings=("hidden-from-representatives",), birth=MINOR),
    Case("D13", _d13),
    Case("D14", _seen_by()),
    Case("D15", _d15, 404, "not-found"),
    Case("W1", _w1, 403, "author-forged"),
    Case("W2", _w2, 403, "label-forbidden"),
    Case("W3", _w3, 403, "pas-auteur"),
    Case("W4", _w4),
    Case("W5", _w5, 403, "author-only"),
    Case("W6", _w6, 403, "label-forbidden"),
    Case("W7", _w7, 403, "label-forbidden"),
    Case("W8", _w8, 422, "irreversible", birth=MINOR),
    Case("W9", _w9),
    Case("W10", _w10, 403, "consent-writer"),
    Case("W11", _w11, 403, "read-only-mode"),
    Case("W12", _w12, 405),
)  # fmt: skip
#: D12 says of the same documents what D11 says, so the decision has one row for both. A5 has a test of its own.
SAME = {"D12": "D11"}
