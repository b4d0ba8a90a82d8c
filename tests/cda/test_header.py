"""What a CI-SIS header says, and what an odd one still says."""

from __future__ import annotations

from pathlib import Path

import pytest

from fhir_dmp.cda.header import Concept, Id, Name, Organization, header_of, read_header
from fhir_dmp.cda.xml import parse
from fhir_dmp.errors import BadRequest

FILES = Path(__file__).resolve().parents[1] / "files/cda"
LEVEL_3 = (FILES / "consultation-level3.xml").read_bytes()
LEVEL_1 = (FILES / "biology-level1.xml").read_bytes()
V3 = 'xmlns="urn:hl7-org:v3"'


def test_a_structured_document_is_read() -> None:
    header = read_header(LEVEL_3)
    assert header.id == Id("1.2.250.1.999.7.1", "2026-000318-2")
    assert header.set_id == Id("1.2.250.1.999.7.1", "2026-000318")
    assert (header.version, header.language, header.created) == (2, "fr-FR", "20260612103000+0200")
    assert header.code == Concept("60591-5", "2.16.840.1.113883.6.1", "Synthèse médicale")
    assert header.replaced == Id("1.2.250.1.999.7.1", "2026-000318-1")
    assert (header.model, header.media_type) == ("1.2.250.1.213.1.1.1.13", None)
    assert header.facility == Concept("SA05", "1.2.250.1.71.4.2.4", "Centre de santé")
    assert header.encounter == Id("1.2.250.1.999.7.5", "VISITE-12")
    assert [order.ids for order in header.orders] == [(Id("1.2.250.1.999.7.3", "PRESC-88"),)]


def test_the_patient_has_birth_name_and_used_name() -> None:
    patient = read_header(LEVEL_3).patient
    assert (patient.birth_family, patient.used_family) == ("BELLANGER", "MERCADIER")
    assert (patient.given, patient.birth_given, patient.used_given) == ("Anouk Jeanne", "Anouk", "Anouk")
    assert (patient.gender, patient.birth_time, patient.birth_place) == ("F", "19850417", ("75112", "Paris 12e"))
    assert patient.ids == (Id("1.2.250.1.213.1.4.8", "285047511200314"), Id("1.2.250.1.999.7.2", "P-4471"))


def test_authors_are_people_and_devices() -> None:
    doctor, device = read_header(LEVEL_3).authors
    assert doctor.name == Name("LEROY", "Camille", "MME", "DR")
    assert doctor.organization == Organization((Id("1.2.250.1.71.4.2.2", "1750100125"),), "Centre de santé des Lilas")
    assert doctor.function == Concept("PCP", "2.16.840.1.113883.5.88", "Médecin traitant")
    assert device.device == ("Tensiomètre T7", "TensioSoft 2.1")


def test_the_main_act_has_a_period_and_a_practice_setting() -> None:
    (act,) = read_header(LEVEL_3).acts
    assert (act.low, act.high, act.performed) == ("20260612100000+0200", "20260612103000+0200", True)
    assert act.code is not None
    assert act.code.translations == (Concept("CONS", "1.2.250.1.999.7.4", "Consultation"),)
    assert act.practice_setting == Concept("AMBULATOIRE", "1.2.250.1.213.1.1.4.9", "Ambulatoire")


def test_an_unstructured_document_is_known_by_its_media_type() -> None:
    header = read_header(LEVEL_1)
    assert (header.model, header.media_type) == ("1.3.6.1.4.1.19376.1.2.20", "application/pdf")
    assert header.id == Id("5B7C2E61-9A0D-4E0B-8C55-1F6E0C0A7D21")


def odd(content: str, identity: str = '<id root="1.2.3"/>') -> bytes:
    patient = "<recordTarget><patientRole><id root='1.2' extension='x'/></patientRole></recordTarget>"
    return f"<ClinicalDocument {V3}>{identity}{patient}{content}</ClinicalDocument>".encode()


def test_a_bare_header_is_read_with_nothing_in_it() -> None:
    header = read_header(odd(""))
    assert (header.code, header.title, header.authors, header.acts, header.custodian) == (None, None, (), (), None)
    assert (header.patient.birth_family, header.patient.gender) == (None, None)


@pytest.mark.parametrize("missing", ["id", "recordTarget/patientRole"])
def test_a_document_without_id_or_patient_is_refused(missing: str) -> None:
    data = odd("", "") if missing == "id" else f'<ClinicalDocument {V3}><id root="1.2.3"/></ClinicalDocument>'.encode()
    with pytest.raises(BadRequest, match=missing):
        read_header(data)


def test_null_flavours_say_nothing() -> None:
    content = '<title nullFlavor="UNK"/><effectiveTime nullFlavor="UNK" value="2026"/><code nullFlavor="OTH"/>'
    header = read_header(odd(content))
    assert (header.title, header.created, header.code) == (None, None, None)


def test_a_null_code_may_be_said_by_its_translation() -> None:
    content = '<code nullFlavor="OTH"><translation code="11488-4" codeSystem="2.16.840.1.113883.6.1"/></code>'
    assert read_header(odd(content)).code == Concept("11488-4", "2.16.840.1.113883.6.1")


def test_old_names_are_plain_text() -> None:
    content = (
        "<author><assignedAuthor><id root='1.2.3'/><assignedPerson><name>Docteur Camille LEROY</name></assignedPerson>"
        "</assignedAuthor></author>"
    )
    (author,) = read_header(odd(content)).authors
    assert author.name == Name("Docteur Camille LEROY", None)


def test_accession_numbers_are_orders_too() -> None:
    number = '<a:accessionNumber xmlns:a="urn:dicom-org:ps3-20" root="1.2.9" extension="ACC1"/>'
    content = f"<inFulfillmentOf><order><id root='1.2.8'/>{number}</order></inFulfillmentOf>"
    (order,) = read_header(odd(content)).orders
    assert (order.ids, order.accessions) == ((Id("1.2.8"),), (Id("1.2.9", "ACC1"),))


@pytest.mark.parametrize(
    ("templates", "model"),
    [
        (("1.2.250.1.213.1.1.1.5", "1.2.250.1.213.1.1.1.5.1|2024.01"), "1.2.250.1.213.1.1.1.5.1"),
        (("1.2.250.1.213.1.1.1.2.1.1", "1.2.250.1.213.1.1.1.2.1"), "1.2.250.1.213.1.1.1.2.1.1"),
        (("1.2.250.1.213.1.1.1.55|2024.01", "1.3.6.1.4.1.19376.1.3.3"), "1.2.250.1.213.1.1.1.55"),
        (("1.3.6.1.4.1.19376.1.3.3", "1.3.6.1.4.1.19376.1.5.3.1.1.1"), "1.3.6.1.4.1.19376.1.3.3"),
        (("1.3.6.1.4.1.19376.1.2.20", "1.3.6.1.4.1.19376.1.3.3"), "1.3.6.1.4.1.19376.1.3.3"),
        (("1.2.250.1.213.1.1.1.12.1|2024.01", "1.2.250.1.213.1.1.1.12.2"), "1.2.250.1.213.1.1.1.12.1"),
        ((), None),
    ],
)
def test_the_model_is_the_documents_own_template(templates: tuple[str, ...], model: str | None) -> None:
    listed = [template.partition("|") for template in ("2.16.840.1.113883.2.8.2.1", *templates)]
    content = "".join(
        f'<templateId root="{root}"' + (f' extension="{extension}"/>' if extension else "/>")
        for root, _, extension in listed
    )
    assert header_of(parse(odd(content))).model == model
