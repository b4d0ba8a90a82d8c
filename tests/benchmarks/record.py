"""A small record on a running server: an open dossier, a doctor who may enter it, a document."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tests import samples
from tests.benchmarks.processes import Process, token
from tests.benchmarks.wire import call

_TREATMENT = {"system": "http://terminology.hl7.org/CodeSystem/v3-ActReason", "code": "TREAT"}


@dataclass(frozen=True, slots=True)
class Record:
    """Logical ids of the patient and of its document."""

    patient: str
    document: str


def prepare(process: Process, admin: str | None = None) -> Record:
    """Open a dossier, let the doctor of the samples in, submit one document. admin: token, where one is needed."""
    base = process.url + "/fhir"
    opened = call(f"{base}/Patient/$dmp-ouvrir", samples.opening(), token=admin)
    patient = opened["parameter"][0]["resource"]["id"]
    call(f"{base}/Consent", authorisation(patient), token=admin)
    answer = call(base, samples.submission("1.2.250.1.999.1.1.1"), token=admin)
    return Record(patient, answer["entry"][1]["response"]["location"].split("/")[1])


def authorisation(patient: str) -> dict[str, object]:
    """Return the Consent that lets the doctor of the samples into a record."""
    actor = [samples.consent_actor(samples.DOCTOR)]
    return samples.consent(patient, "ps-authorisation", actor=actor, purpose=[_TREATMENT])


def doctor(process: Process, folder: Path) -> str:
    """Return a token of the doctor of the samples."""
    return token(process, folder, "--as", f"ps:{samples.DOCTOR}", "--structure", samples.HOSPITAL)


def admin(process: Process, folder: Path) -> str:
    """Return a token of an operator."""
    return token(process, folder, "--as", "admin")
