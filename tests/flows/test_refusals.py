"""Every refusal of the transactions: status, issue code, code of the server, XDS code; and nothing is stored.

[dmp-fhir 3.0, 3.3, 3.6, 3.7]
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from tests import samples
from tests.flows.acts import by_ins, call, done, identifier, motive, stranger
from tests.flows.steps import ARCHIVED, Dossier, attachment, next_content, next_ins, next_oid, nothing_stored
from tests.flows.steps import publication as published
from tests.flows.submissions import submission, with_entry
from tests.flows.test_replacement import at, replacement, supersede, to
from tests.samples import Json
from tests.world import Response, World

ABSENT = "0191a1b2-0000-7000-8000-00000000abcd"
OTHER = identifier(samples.OTHER_DOCTOR)

#: What is asked for, once all it needs is there.
Ask = Callable[[], Response]


@dataclass(frozen=True)
class Row:
    """One refusal: how to earn it, and what it says."""

    prepare: Callable[[Dossier], Ask]
    status: int
    issue: str
    code: str | None = None
    xds: str | None = None


def opening(ins: str, **changes: Any) -> Json:
    """Return the Parameters that open a dossier."""
    return samples.opening(samples.patient(ins, **changes))


def opened(d: Dossier, body: Json) -> Ask:
    """Open a dossier."""
    return lambda: d.world.doctor().post("/Patient/$dmp-ouvrir", body)


def sent(d: Dossier, body: Json) -> Ask:
    """Submit (ITI-65)."""
    return lambda: d.world.doctor().post("", body)


def patched(d: Dossier, body: object, id_: str | None = None, **headers: str) -> Ask:
    """Patch a document of the dossier, as its author."""
    target = id_ or d.submit()
    return lambda: d.world.doctor().patch(f"/DocumentReference/{target}", body, **headers)


def status(code: str) -> list[Json]:
    """Return the patch of a status."""
    return [{"op": "replace", "path": "/status", "value": code}]


def labelled(index: int, code: str) -> list[Json]:
    """Return the patch of a label."""
    system = samples.CONFIDENTIALITY if code == "N" else samples.VISIBILITY
    value = {"coding": [{"system": system, "code": code}]}
    return [{"op": "replace", "path": f"/securityLabel/{index}", "value": value}]


def edited(body: Json, change: Callable[[Json], object]) -> Json:
    """Return a submission whose document was changed."""
    change(body["entry"][1]["resource"])
    return body


def replaced_already(d: Dossier) -> Ask:
    old = d.submit()
    d.replace(old)
    return sent(d, replacement(d, at(old)))


def deleted_target(d: Dossier) -> Ask:
    old = d.submit()
    d.delete(old)
    return sent(d, replacement(d, at(old)))


def foreign_target(d: Dossier) -> Ask:
    return sent(d, replacement(d, at(Dossier.open(d.world, next_ins()).submit())))


def two_targets(d: Dossier) -> Ask:
    relation = to(at(d.submit())) + to(at(d.submit()))
    return sent(d, submission(d, relatesTo=relation))


def patch_alone(d: Dossier) -> Ask:
    old, body = d.submit(), submission(d)
    body["entry"].append(supersede(f"DocumentReference/{old}"))
    return sent(d, body)


def same_content(d: Dossier) -> Ask:
    unique, content = next_oid(), next_content()
    d.submit(unique, content=content)
    body = submission(d, content=content)
    return sent(d, edited(body, lambda x: x["masterIdentifier"].update(value=f"urn:oid:{unique}")))


def other_content(d: Dossier) -> Ask:
    unique = next_oid()
    d.submit(unique)
    body = submission(d)
    return sent(d, edited(body, lambda x: x["masterIdentifier"].update(value=f"urn:oid:{unique}")))


def two_labels(d: Dossier) -> Ask:
    labels = ((samples.VISIBILITY, "MASQUE_PS"), (samples.VISIBILITY, "INVISIBLE_PATIENT"))
    return patched(d, labelled(0, "N"), d.submit(labels=(*labels, (samples.CONFIDENTIALITY, "N"))))


def closed_write(d: Dossier) -> Ask:
    body = submission(d)
    d.close()
    return sent(d, body)


def closed_patch(d: Dossier) -> Ask:
    ask = patched(d, status("superseded"))
    d.close()
    return ask


def closed_read(d: Dossier) -> Ask:
    id_ = d.submit()
    d.close()
    return lambda: d.world.doctor().get(f"/DocumentReference/{id_}")


def expired(d: Dossier) -> Ask:
    d.authorise(samples.OTHER_DOCTOR, start="2026-01-01", end="2026-03-31")
    return lambda: d.search(stranger(d.world))


def blocked(d: Dossier) -> Ask:
    done(call(stranger(d.world), d, "dmp-autoriser"))
    done(call(d.holder, d, "dmp-bloquer", professionnel=OTHER))
    return lambda: d.search(stranger(d.world))


def opposed(d: Dossier) -> Ask:
    done(call(d.holder, d, "dmp-opposition", nature="alimentation", valeur=True))
    return sent(d, submission(d))


def replaced_by_another(d: Dossier) -> Ask:
    relation = to(at(d.submit()))
    body = submission(d, relatesTo=relation, professional=samples.OTHER_DOCTOR, structure=samples.CLINIC)
    return lambda: stranger(d.world).post("", body)


def deleted_by_another(d: Dossier) -> Ask:
    id_ = d.submit()
    done(call(stranger(d.world), d, "dmp-autoriser"))
    return lambda: stranger(d.world).patch(f"/DocumentReference/{id_}", status("entered-in-error"))


def undeleted(d: Dossier) -> Ask:
    id_ = d.submit()
    d.delete(id_)
    return patched(d, status("current"), id_)


def revived(d: Dossier) -> Ask:
    id_ = d.submit()
    d.replace(id_)
    return patched(d, status("current"), id_)


def archived_old(d: Dossier) -> Ask:
    id_ = d.submit()
    d.replace(id_)
    return patched(d, [{"op": "add", "path": "/extension/-", "value": {"url": ARCHIVED, "valueBoolean": True}}], id_)


def content_of_deleted(d: Dossier) -> Ask:
    id_ = d.submit()
    path = d.path(id_)
    d.delete(id_)
    return lambda: d.world.doctor().get(path)


def two_patients(d: Dossier) -> Ask:
    other = Dossier.open(d.world, next_ins())
    reference = {"reference": f"Patient?identifier={samples.INS}|{other.ins}"}
    return sent(d, edited(submission(d), lambda x: x.update(subject=reference)))


def several_matches(d: Dossier) -> Ask:
    d.submit()
    d.submit()
    return lambda: d.world.admin.patch(f"/DocumentReference?patient=Patient/{d.id}", status("superseded"))


def weak(ins: str) -> Json:
    """Return an opening whose identity is provisional."""
    body = opening(ins)
    body["parameter"][0]["resource"]["extension"][0]["extension"][0]["valueCoding"]["code"] = "PROV"
    return body


def wrong_size(x: Json) -> None:
    attachment(x)["size"] += 1


def wrong_hash(x: Json) -> None:
    attachment(x)["hash"] = "AAAAAAAAAAAAAAAAAAAAAAAAAAA="


def patient_entry(d: Dossier) -> Ask:
    return sent(d, with_entry(submission(d), samples.patient(d.ins)))


UNKNOWN_TARGET = "XDSUnreferencedObjectException"
TABLE: dict[str, Row] = {
    "operation without dossier": Row(
        lambda d: lambda: by_ins(d.world.doctor(), next_ins(), "dmp-fermer", motif=motive()),
        404,
        "not-found",
        "dmp-inexistant",
    ),
    "submission without dossier": Row(
        lambda d: sent(d, samples.submission(next_oid(), ins=next_ins())), 422, "not-found", "dmp-inexistant"
    ),
    "write to a closed dossier": Row(closed_write, 422, "business-rule", "dmp-ferme"),
    "patch in a closed dossier": Row(closed_patch, 422, "business-rule", "dmp-ferme"),
    "read of a closed dossier": Row(closed_read, 403, "forbidden", "dmp-ferme"),
    "no authorisation": Row(lambda d: lambda: d.search(stranger(d.world)), 403, "forbidden", "non-autorise"),
    "authorisation over": Row(expired, 403, "forbidden", "autorisation-expiree"),
    "blocked": Row(blocked, 403, "forbidden", "professionnel-bloque"),
    "opposition to feeding": Row(opposed, 403, "forbidden", "opposition-alimentation"),
    "replacement by another": Row(replaced_by_another, 403, "forbidden", "pas-auteur"),
    "deletion by another": Row(deleted_by_another, 403, "forbidden", "pas-auteur"),
    "INS with a wrong key": Row(lambda d: opened(d, opening("123456789012345")), 422, "value", "ins-cle-invalide"),
    "INS malformed": Row(lambda d: opened(d, opening("1234567890")), 422, "value", "ins-format-invalide"),
    "identity too weak": Row(lambda d: opened(d, weak(next_ins())), 422, "business-rule", "identite-non-qualifiee"),
    "other traits": Row(
        lambda d: opened(d, opening(d.ins, birthDate="1985-04-18")), 422, "conflict", "traits-discordants"
    ),
    "uniqueId again": Row(same_content, 409, "duplicate", "doublon-uniqueid", "XDSDuplicateUniqueIdInRegistry"),
    "uniqueId with other content": Row(other_content, 409, "conflict", "hash-different", "XDSNonIdenticalHash"),
    "wrong hash": Row(
        lambda d: sent(d, edited(submission(d), wrong_hash)),
        422,
        "invalid",
        "empreinte-incorrecte",
        "XDSRepositoryMetadataError",
    ),
    "wrong size": Row(
        lambda d: sent(d, edited(submission(d), wrong_size)),
        422,
        "invalid",
        "empreinte-incorrecte",
        "XDSRepositoryMetadataError",
    ),
    "two patients": Row(two_patients, 422, "invariant", "patient-discordant", "XDSPatientIdDoesNotMatch"),
    "replacement of another patient's": Row(foreign_target, 422, "invariant", "patient-discordant"),
    "target unknown": Row(
        lambda d: sent(d, replacement(d, at(ABSENT))), 422, "not-found", "cible-inconnue", UNKNOWN_TARGET
    ),
    "target replaced": Row(replaced_already, 409, "conflict", "cible-deja-remplacee"),
    "target deleted": Row(deleted_target, 422, "business-rule", "transition-interdite"),
    "two replacements in one": Row(two_targets, 422, "business-rule"),
    "patch entry without relation": Row(patch_alone, 422, "invariant"),
    "Patient entry": Row(patient_entry, 422, "business-rule"),
    "patch of a title": Row(
        lambda d: patched(d, [{"op": "replace", "path": "/content/0/attachment/title", "value": "x"}]),
        422,
        "business-rule",
        "metadonnee-non-modifiable",
    ),
    "ambiguous label": Row(two_labels, 422, "business-rule", "label-ambigu"),
    "deletion taken back": Row(undeleted, 422, "business-rule", "transition-interdite"),
    "current again beside its successor": Row(revived, 409, "conflict"),
    "archive of an old version": Row(archived_old, 422, "business-rule", "transition-interdite"),
    "patch of nothing": Row(
        lambda d: lambda: d.world.doctor().patch(f"/DocumentReference/{ABSENT}", status("superseded")),
        404,
        "not-found",
    ),
    "patch of several": Row(several_matches, 412, "multiple-matches"),
    "stale If-Match": Row(lambda d: patched(d, status("superseded"), If_Match='W/"7"'), 412, "conflict"),
    "wrong path": Row(
        lambda d: patched(d, [{"op": "replace", "path": "/securityLabel/7", "value": {}}]), 422, "not-found"
    ),
    "failed test": Row(
        lambda d: patched(d, [{"op": "test", "path": "/status", "value": "superseded"}]), 422, "processing"
    ),
    "patch that is no JSON": Row(
        lambda d: patched(d, b"{", Content_Type="application/json-patch+json"), 400, "structure"
    ),
    "patch in another format": Row(lambda d: patched(d, b"x", Content_Type="text/plain"), 415, "not-supported"),
    "content of a deleted document": Row(content_of_deleted, 410, "deleted"),
    "publication with an address": Row(
        lambda d: lambda: d.world.doctor().post("/DocumentReference", _with_url(published(next_oid(), ins=d.ins))),
        422,
        "business-rule",
    ),
}


def _with_url(body: Json) -> Json:
    attachment(body)["url"] = "Binary/x"
    return body


@pytest.mark.parametrize("name", sorted(TABLE))
def test_each_refusal_says_its_status_and_codes_and_stores_nothing(world: World, name: str) -> None:
    row = TABLE[name]
    ask = row.prepare(Dossier.open(world, next_ins()))
    with nothing_stored(world):
        answer = ask()
    assert answer.status == row.status, answer.body
    issue = answer.json["issue"][0]
    codes = [coding["code"] for coding in issue.get("details", {}).get("coding", [])]
    assert (issue["severity"], issue["code"]) == ("error", row.issue), answer.body
    assert row.code is None or row.code in codes, answer.body
    assert row.xds is None or codes[1] == row.xds, answer.body
    assert issue.get("diagnostics"), answer.body


def composition() -> Json:
    """Return the first entry of a FHIR document."""
    return {
        "resourceType": "Composition",
        "status": "final",
        "type": {"coding": [{"system": samples.LOINC, "code": "11488-4"}]},
        "date": "2026-06-12T10:00:00+02:00",
        "author": [{"display": "Hippolyte CARLIER"}],
        "title": "Compte rendu fictif",
    }


def test_a_native_document_is_refused_where_the_option_is_off(make: Callable[..., World]) -> None:
    server = make(DMP_DOCUMENTS_FHIR_DOCUMENTS="false")
    dossier = Dossier.open(server, next_ins())
    body = submission(dossier)
    document = {
        "resourceType": "Bundle",
        "type": "document",
        "identifier": {"system": "urn:ietf:rfc:3986", "value": f"urn:oid:{next_oid()}"},
        "timestamp": "2026-06-12T10:00:00+02:00",
        "entry": [{"fullUrl": "urn:uuid:6f1f1a3c-3b0a-4b52-9a51-a36d1a1f3c99", "resource": composition()}],
    }
    body["entry"][2] |= {"resource": document, "request": {"method": "POST", "url": "Bundle"}}
    with nothing_stored(server):
        answer = server.doctor().post("", body)
    assert answer.status == 422
    assert {"not-supported", "document-fhir-non-supporte"} <= answer.codes


def test_an_update_that_only_supersedes_is_the_old_form_of_a_replacement(dossier: Dossier) -> None:
    id_ = dossier.submit()
    stored, author = dossier.read(id_), dossier.world.doctor()
    with nothing_stored(dossier.world):
        refused = author.put(f"/DocumentReference/{id_}", {**stored, "status": "superseded", "description": "autre"})
        assert refused.status == 422, refused.body
    done_ = author.put(f"/DocumentReference/{id_}", {**stored, "status": "superseded"})
    assert (done_.status, done_.json["status"]) == (200, "superseded"), done_.body
