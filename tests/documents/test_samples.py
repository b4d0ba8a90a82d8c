"""The project's own samples, in the order in which a newcomer sends them: open, submit, replace, publish."""

from __future__ import annotations

import json
import uuid
from pathlib import Path

from fhir_dmp.access.facts import patient_facts
from fhir_dmp.fhir.resource import Json
from fhir_dmp.patients.dossier import Opener, Status, plan_opening, read_opening
from fhir_dmp.patients.identity import IdentityRules
from fhir_dmp.patients.ins import InsRules
from tests.documents.record import NOW, Record, X

FILES = Path(__file__).resolve().parents[1] / "files/pdsm"


def sample(name: str) -> Json:
    found: Json = json.loads((FILES / f"{name}.json").read_bytes())
    return found


def test_the_samples_are_accepted_one_after_the_other() -> None:
    record = Record()
    opener = Opener(IdentityRules(InsRules(X)), "Opérateur du DMP", "2.25.1", None, NOW, lambda _: str(uuid.uuid4()))
    opening = plan_opening(read_opening(sample("open-dossier")), None, [], Status.NONE, opener)
    record.take(opening.drafts)
    consents = record.of_type("Consent")
    patient = f"Patient/{opening.patient_id}"
    record.statuses[patient] = patient_facts(
        {**record.held[patient].resource, "id": opening.patient_id}, consents, {}, NOW, X
    ).dossier
    first = record.submit(sample("submission"))
    second = record.submit(sample("replacement"))
    record.publish(sample("publication"))
    assert [reply.status for reply in first.replies] == [201, 201, 201]
    assert [issue.severity for issue in first.replies[1].issues] == []
    assert record.held[f"DocumentReference/{first.replies[1].id}"].resource["status"] == "superseded"
    assert record.held[f"DocumentReference/{second.replies[1].id}"].resource["status"] == "current"
    assert len(record.of_type("List")) == 3
