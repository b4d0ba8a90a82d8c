"""Header of a CDA in FHIR: the metadata of the document, and its Composition. [cda 9, group B]"""

from __future__ import annotations

from datetime import UTC

import pytest

from fhir_dmp.cda.elements import first, tag
from fhir_dmp.cda.header import read_header
from fhir_dmp.cda.metadata import document_reference
from fhir_dmp.cda.submission import wrap
from fhir_dmp.fhir.resource import Json
from tests.cda.invariants import facts
from tests.cda.making import INS, back, concept, converted, document, knowledge, only, resolved, resources
from tests.documents.record import codes

STRUCTURE = '<id root="1.2.250.1.71.4.2.2" extension="1750100125"/><name>Centre de santé des Lilas</name>'


def metadata(data: bytes) -> Json:
    """Return the DocumentReference of a CDA."""
    return document_reference(read_header(data), {"display": "-"}, {}, codes(), UTC)


@pytest.mark.statement("cda B28")
def test_an_unknown_model_has_the_fallback_format() -> None:
    found = metadata(document(model='<templateId root="1.2.250.1.213.1.1.1.999"/>'))
    assert found["content"][0]["format"]["code"] == "urn:asipSante:modelesHorsProfils:2011"


@pytest.mark.statement("cda B29")
@pytest.mark.parametrize("label", ["N", "R", "V"])
def test_confidentiality_is_the_only_label_that_a_cda_gives(label: str) -> None:
    mark = f'<confidentialityCode code="{label}" codeSystem="2.16.840.1.113883.5.25"/>'
    data = document(confidentiality=mark)
    (given,) = metadata(data)["securityLabel"]
    assert [one["code"] for one in given["coding"]] == [label]
    assert only(data, "Composition")["confidentiality"] == label


@pytest.mark.statement("cda B33")
def test_every_documented_act_is_an_event_the_main_one_first() -> None:
    act = '<documentationOf><serviceEvent><code code="{}" codeSystem="1.2.250.1.215.300.1"/>{}</serviceEvent></documentationOf>'
    main = '<effectiveTime><low value="20260612100000+0200"/></effectiveTime><performer typeCode="PRF"><assignedEntity><id root="1.2.250.1.71.4.2.1" extension="899700218896"/></assignedEntity></performer>'
    data = document(act=act.format("HFFC018", main) + act.format("DEQP003", ""))
    assert [concept(one)[1] for one in metadata(data)["context"]["event"]] == ["HFFC018", "DEQP003"]
    events = only(data, "Composition")["event"]
    assert [concept(one["code"][0])[1] for one in events] == ["HFFC018", "DEQP003"]
    assert events[0]["period"] == {"start": "2026-06-12T10:00:00+02:00"}


@pytest.mark.statement("cda B36")
def test_the_ins_names_the_patient_and_the_local_number_the_source() -> None:
    submission = wrap(document(), codes())
    found = submission["entry"][1]["resource"]
    assert found["subject"] == {"identifier": {"system": "urn:oid:1.2.250.1.213.1.4.8", "value": INS}}
    source = next(one for one in found["contained"] if one["resourceType"] == "Patient")
    assert "P-4471" in [one["value"] for one in source["identifier"]]


@pytest.mark.statement("cda B38")
def test_an_author_who_is_neither_person_nor_device_is_an_organization() -> None:
    author = f'<author><time value="20260612"/><assignedAuthor><id nullFlavor="NA"/><representedOrganization>{STRUCTURE}</representedOrganization></assignedAuthor></author>'
    found = converted(document(author=author))
    writer = resolved(found, only(found, "Composition")["author"][0])
    assert (writer["resourceType"], writer["name"]) == ("Organization", "Centre de santé des Lilas")


@pytest.mark.statement("cda B40")
def test_the_legal_authenticator_attests_with_the_time() -> None:
    data = document()
    assert metadata(data)["authenticator"] == metadata(data)["author"][0]
    found = converted(data)
    (attester,) = only(found, "Composition")["attester"]
    assert (attester["mode"], attester["time"]) == ("legal", "2026-06-12T10:45:00+02:00")
    assert resolved(found, attester["party"])["resourceType"] == "PractitionerRole"


@pytest.mark.statement("cda B41")
def test_recipients_informants_and_participants_have_their_places() -> None:
    recipient = (
        "<informationRecipient><intendedRecipient>"
        '<id root="1.2.250.1.71.4.2.1" extension="810000000012"/><informationRecipient><name><family>MOREL</family></name>'
        "</informationRecipient></intendedRecipient></informationRecipient>"
    )
    participant = (
        '<participant typeCode="INF"><functionCode code="PCP" codeSystem="2.16.840.1.113883.5.88"/><time nullFlavor="NA"/>'
        '<associatedEntity classCode="PROV"><id root="1.2.250.1.71.4.2.1" extension="899700218904"/>'
        "<associatedPerson><name><family>ADAM</family></name></associatedPerson></associatedEntity></participant>"
    )
    data = document(recipient=recipient, others=participant)
    found = converted(data)
    said = {one["url"].rpartition("/")[2]: one for one in only(found, "Composition")["extension"]}
    relative = resolved(found, said["cda-informant"]["valueReference"])
    assert concept(relative["relationship"][0])[1] == "ECON"
    role = resolved(found, said["cda-participant"]["valueReference"])
    assert resolved(found, role["practitioner"])["name"][0]["family"] == "ADAM"
    reader = resolved(found, said["cda-recipient"]["valueReference"])
    assert resolved(found, reader["practitioner"])["name"][0]["family"] == "MOREL"
    assert facts(back(found)) == facts(back(converted(data)))


@pytest.mark.statement("cda B45")
def test_a_consent_of_the_header_is_a_consent_that_the_composition_names() -> None:
    consent = (
        '<authorization typeCode="AUTH"><consent classCode="CONS" moodCode="EVN">'
        '<code code="CONSENT-1" codeSystem="1.2.250.1.999.9"/><statusCode code="completed"/></consent></authorization>'
    )
    found = converted(document(consent=consent))
    said = next(one for one in only(found, "Composition")["extension"] if one["url"].endswith("cda-consent"))
    resource = resolved(found, said["valueReference"])
    assert (resource["resourceType"], resource["status"]) == ("Consent", "active")
    assert concept(resource["category"][0])[1] == "CONSENT-1"
    code = first(next(back(found).iter(tag("consent"))), "code")
    assert code is not None
    assert code.get("code") == "CONSENT-1"


def test_header_and_body_have_one_resource_for_each_party() -> None:
    found = converted(document())
    assert len(resources(found, "Organization")) == 2  # with and without the practice setting
    assert len(resources(found, "Patient")) == 1
    assert knowledge() is knowledge()
