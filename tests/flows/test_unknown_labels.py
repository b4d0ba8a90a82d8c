"""A visibility label that nobody understands hides the document, and somebody is told. [security 4.7]"""

from __future__ import annotations

import pytest

from fhir_dmp.identity.caller import Actor, Caller
from tests import samples
from tests.flows.steps import Dossier, assert_refused, next_content, next_oid
from tests.samples import Json
from tests.world import World

STRANGE: Json = {"coding": [{"code": "SECRET-DEFENSE"}]}


def alerts(dossier: Dossier) -> list[Json]:
    """Return the security alerts of this record, as the auditor sees them."""
    auditor = dossier.world.as_(Caller(Actor.AUDITOR, "auditor", client="audit"))
    answer = auditor.get(f"/AuditEvent?patient=Patient/{dossier.id}&_count=100")
    assert answer.status == 200, answer.body
    return [each for each in answer.entries if "unknown-label" in str(each.get("subtype"))]


@pytest.mark.statement("security P-44")
def test_a_label_that_is_not_understood_hides_the_document_and_raises_an_alert(world: World, dossier: Dossier) -> None:
    """One without a code system: nothing says that it exists nowhere, so it is kept as the author sent it."""
    dossier.authorise(samples.OTHER_DOCTOR)
    bundle = samples.submission(next_oid(), ins=dossier.ins, content=next_content())
    bundle["entry"][1]["resource"]["securityLabel"] = [STRANGE]
    plain = dossier.submit(content=next_content())
    answer = world.doctor().post("", bundle)
    assert answer.status == 200, answer.body
    id_ = answer.json["entry"][1]["response"]["location"].split("/")[1]
    (alert,) = alerts(dossier)
    assert alert["type"]["code"] == "110113"
    assert f"DocumentReference/{id_}/_history/" in str(alert["entity"])
    reader = world.doctor(samples.OTHER_DOCTOR, samples.CLINIC)
    assert dossier.found(reader) == dossier.found(dossier.holder) == [plain]
    for client in (reader, dossier.holder):
        assert_refused(client.get(f"/DocumentReference/{id_}"), 404, "not-found")
    assert world.doctor().get(f"/DocumentReference/{id_}").status == 200  # the author may correct it


@pytest.mark.statement("security P-44")
def test_a_label_that_does_not_exist_is_refused(world: World, dossier: Dossier) -> None:
    bundle = samples.submission(next_oid(), ins=dossier.ins, content=next_content())
    bundle["entry"][1]["resource"]["securityLabel"] = [
        {"coding": [{"system": samples.VISIBILITY, "code": "SECRET-DEFENSE"}]}
    ]
    assert world.doctor().post("", bundle).status == 422
    assert alerts(dossier) == []
