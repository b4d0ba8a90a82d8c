"""The documents of the demonstration: one of each main class, and one of each state a document may have."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from fhir_dmp.demo.contents import Act, level_1, level_3, pdf
from fhir_dmp.demo.people import (
    ANGE,
    ANOUK,
    BASILE,
    DOCTOR,
    MINOR,
    NURSE,
    PHARMACIST,
    RADIOLOGIST,
    Person,
    Professional,
)
from fhir_dmp.demo.submissions import ROOT, Paper
from fhir_dmp.fhir.resource import Json
from fhir_dmp.terminology.aliases import LOINC
from fhir_dmp.terminology.national import RFC_3986

PDF = "application/pdf"
CDA = "application/xml"
_VSM = "1.2.250.1.213.1.1.1.13"
_LAB = "1.2.250.1.213.1.1.1.55"
_DISCHARGE = "1.2.250.1.213.1.1.1.29"
_VACCINES = "1.2.250.1.213.1.1.1.37"
_CARE_HISTORY = "1.2.250.1.213.1.1.1.36"


def papers(reference: Callable[[Paper], str]) -> Iterator[Paper]:
    """Yield the documents in order of submission; `reference` tells `DocumentReference/id` of an earlier one."""
    yield from _structured()
    yield from _files()
    first = _letter(20, "Lettre de liaison (première version)", "2026-02-10T16:00:00+01:00")
    yield first
    yield _letter(21, "Lettre de liaison", "2026-02-11T09:30:00+01:00", replaces=reference(first))
    yield from _of_others()


def _act(number: int, code: str, label: str, title: str, day: str, who: Person, by: Professional) -> Act:
    return Act(f"{ROOT}.{number}", code, label, title, day, who, by)


def _cda(number: int, act: Act, content: bytes, class_: str, format_: str, **more: str) -> Paper:
    date = f"{act.date}T09:00:00+01:00"
    return Paper(number, act.patient, act.author, act.code, class_, act.title, date, content, CDA, format=format_)


def _structured() -> Iterator[Paper]:
    act = _act(1, "60591-5", "Synthèse médicale", "Synthèse médicale", "2026-01-12", ANOUK, DOCTOR)
    sections = [
        ("11450-4", "Problèmes actifs", ["Asthme intermittent, suivi depuis 2009"]),
        ("48765-2", "Allergies", ["Pénicilline : urticaire (2011)"]),
        ("10160-0", "Traitements", ["Salbutamol 100 microgrammes par bouffée, à la demande"]),
    ]
    yield _cda(1, act, level_3(act, _VSM, sections), "11", "urn:asip:ci-sis:vsm:2012")
    act = _act(2, "11502-2", "CR d'examens biologiques", "Bilan biologique", "2026-02-03", ANOUK, DOCTOR)
    sections = [("18719-5", "Biochimie", ["Glycémie à jeun 0,92 g/L", "Créatinine 71 micromoles/L"])]
    yield _cda(2, act, level_3(act, _LAB, sections), "10", "urn:ihe:lab:xd-lab:2008")
    act = _act(3, "11369-6", "Historique des vaccinations", "Carnet de vaccination", "2026-01-12", ANOUK, NURSE)
    sections = [("11369-6", "Vaccinations", ["DTP, rappel, 2019-05-20", "Grippe saisonnière, 2025-11-04"])]
    yield _cda(3, act, level_3(act, _VACCINES, sections), "52", "urn:asip:ci-sis:vac:2019")
    act = _act(4, "18748-4", "CR d'imagerie médicale", "Radiographie du thorax", "2026-01-20", ANOUK, RADIOLOGIST)
    image = level_1(
        act, pdf(["Radiographie du thorax", "Pas de foyer parenchymateux.", "Silhouette cardiaque normale."])
    )
    yield _cda(4, act, image, "31", "urn:ihe:iti:xds-sd:pdf:2008")


def _files() -> Iterator[Paper]:
    def file(
        number: int,
        author: Professional | None,
        type_: str,
        class_: str,
        title: str,
        day: str,
        line: str,
        labels: tuple[str, ...] = (),
        archived: bool = False,
    ) -> Paper:
        return Paper(
            number,
            ANOUK,
            author,
            type_,
            class_,
            title,
            f"{day}T10:00:00+01:00",
            pdf([title, line]),
            PDF,
            format="urn:ihe:iti:xds-sd:pdf:2008",
            labels=labels,
            archived=archived,
        )

    yield file(5, DOCTOR, "57833-6", "42", "Ordonnance", "2026-01-12", "Salbutamol 100 microgrammes, 1 flacon")
    yield file(6, PHARMACIST, "60593-1", "43", "Dispensation", "2026-01-13", "Salbutamol, 1 flacon dispensé")
    yield file(7, DOCTOR, "18776-5", "44", "Plan personnalisé de soins", "2026-01-15", "Suivi de l'asthme, 2026")
    yield file(8, NURSE, "80565-5", "45", "Administration de médicament", "2026-01-16", "Vaccin administré")
    yield file(9, DOCTOR, "89601-9", "52", "Certificat médical", "2026-01-18", "Aptitude au sport")
    yield file(10, None, "EXPPAT_3", "90", "Directives anticipées", "2025-09-01", "Mes volontés")
    yield file(11, None, "DOCPAT09", "95", "Attestation de mutuelle", "2025-09-02", "Attestation 2026")
    yield file(
        12,
        DOCTOR,
        "11488-4",
        "10",
        "Consultation confidentielle",
        "2026-02-01",
        "Masqué par la patiente",
        labels=("MASQUE_PS",),
    )
    yield file(
        13,
        RADIOLOGIST,
        "11488-4",
        "10",
        "Résultat en attente d'annonce",
        "2026-02-20",
        "À annoncer",
        labels=("INVISIBLE_PATIENT",),
    )
    yield file(14, DOCTOR, "11488-4", "10", "Ancienne consultation", "2024-03-04", "Classée", archived=True)
    yield _native()


def _native() -> Paper:
    """A document that is FHIR from the start: a Bundle of type document."""
    title, date = "Synthèse en FHIR", "2026-02-25T10:00:00+01:00"
    names = [f"urn:uuid:7f6f8c1e-0000-4000-8000-00000000000{number}" for number in (1, 2, 3)]
    div = '<div xmlns="http://www.w3.org/1999/xhtml">Asthme intermittent. Allergie à la pénicilline.</div>'
    composition: Json = {
        "resourceType": "Composition",
        "status": "final",
        "type": {"coding": [{"system": LOINC, "code": "60591-5"}]},
        "subject": {"reference": names[1]},
        "date": date,
        "author": [{"reference": names[2]}],
        "title": title,
        "section": [{"title": "Synthèse", "text": {"status": "generated", "div": div}}],
    }
    person = {"resourceType": "Patient", "name": [{"family": ANOUK.family, "given": [ANOUK.given]}]}
    doctor = {"resourceType": "Practitioner", "name": [{"family": DOCTOR.family, "given": [DOCTOR.given]}]}
    document: Json = {
        "resourceType": "Bundle",
        "type": "document",
        "identifier": {"system": RFC_3986, "value": f"urn:oid:{ROOT}.15"},
        "timestamp": date,
        "entry": [
            {"fullUrl": name, "resource": resource}
            for name, resource in zip(names, (composition, person, doctor), strict=True)
        ],
    }
    return Paper(15, ANOUK, DOCTOR, "60591-5", "11", title, date, b"", "application/fhir+json", native=document)


def _letter(number: int, title: str, date: str, replaces: str | None = None) -> Paper:
    act = _act(number, "11490-0", "Lettre de liaison à la sortie", title, date[:10], ANOUK, RADIOLOGIST)
    content = level_3(act, _DISCHARGE, [("11535-2", "Synthèse médicale du séjour", [title, "Évolution favorable"])])
    return Paper(
        number,
        ANOUK,
        RADIOLOGIST,
        "11490-0",
        "10",
        title,
        date,
        content,
        CDA,
        format="urn:asip:ci-sis:ldl-ses:2017",
        replaces=replaces,
    )


def _of_others() -> Iterator[Paper]:
    """The other records hold little: a care history, a note before closing, a child's vaccination."""
    act = _act(30, "REMB", "Données de remboursement", "Historique de remboursements", "2026-03-01", ANGE, DOCTOR)
    lines = ["2025-06 : consultation de médecine générale", "2025-09 : pharmacie", "2026-01 : biologie"]
    history = level_3(act, _CARE_HISTORY, [("48768-6", "Soins remboursés sur 24 mois", lines)])
    yield Paper(
        30,
        ANGE,
        DOCTOR,
        "REMB",
        "60",
        act.title,
        "2026-03-01T06:00:00+01:00",
        history,
        CDA,
        format="urn:asip:ci-sis:hr:2019",
    )
    yield Paper(
        31,
        BASILE,
        DOCTOR,
        "11488-4",
        "10",
        "Dernière consultation",
        "2026-02-27T11:00:00+01:00",
        pdf(["Dernière consultation", "Avant fermeture du dossier"]),
        PDF,
        format="urn:ihe:iti:xds-sd:pdf:2008",
    )
    yield Paper(
        32,
        MINOR,
        DOCTOR,
        "87273-9",
        "52",
        "Note de vaccination",
        "2026-01-30T17:00:00+01:00",
        pdf(["Note de vaccination", "Papillomavirus, première dose"]),
        PDF,
        format="urn:ihe:iti:xds-sd:pdf:2008",
        labels=("INVISIBLE_REPRESENTANTS_LEGAUX",),
    )
