"""The habilitation matrix in force: the one that was activated last, else the one that the server was started with.

An activated matrix is a Library of the store (CSV inside), so that every worker sees it from the next request, its
versions are kept, and anybody may read by which rules documents are shown. `access.matrix`, when set, rules instead.
[security 4.6]
"""

from __future__ import annotations

import base64
from dataclasses import dataclass

from fhir_dmp.access.matrix import Matrix, difference, parse_matrix
from fhir_dmp.audit.record import AuditRecord
from fhir_dmp.errors import Conflict
from fhir_dmp.fhir.dates import instant
from fhir_dmp.fhir.draft import Draft
from fhir_dmp.fhir.resource import Json
from fhir_dmp.identity.caller import Actor
from fhir_dmp.interactions.matrix_shelf import text_of
from fhir_dmp.interactions.remembered import MATRIX_KEY
from fhir_dmp.interactions.services import Services
from fhir_dmp.interactions.write import Plan, commit
from fhir_dmp.ports import Version

_LIBRARY_TYPE = "http://terminology.hl7.org/CodeSystem/library-type"


@dataclass(frozen=True, slots=True)
class InForce:
    """The matrix that decides now.

    origin: `packaged`, `setting` (access.matrix) or `activated`. number: how many were activated up to it, 0 for none.
    since: instant of the activation, "" for none. shelved: an activated matrix that the setting keeps out of force.
    """

    matrix: Matrix
    origin: str
    number: int = 0
    since: str = ""
    shelved: bool = False


def in_force(services: Services) -> InForce:
    """Return the matrix in force and where it comes from."""
    stored = _stored(services)
    if services.settings.access.matrix:
        return InForce(services.started_matrix, "setting", shelved=stored is not None)
    if stored is None:
        return InForce(services.started_matrix, "packaged")
    return InForce(services.matrix, "activated", stored.version, instant(stored.updated_ms))


def text_in_force(services: Services) -> bytes | None:
    """Return the CSV of the activated matrix, None when the one that the server was started with rules."""
    stored = None if services.settings.access.matrix else _stored(services)
    return None if stored is None else text_of(stored)


def _stored(services: Services) -> Version | None:
    version = services.store.read(MATRIX_KEY)
    return None if version is None or version.deleted else version


def compared(text: bytes, services: Services) -> tuple[str, ...]:
    """Return one line for each cell that a new matrix would change.

    Raises:
        ConfigurationError: the text is no matrix; the message names the line.
    """
    return difference(services.matrix, parse_matrix(text, where="the matrix"))


def activate(text: bytes, services: Services) -> InForce:
    """Put a matrix in force for every worker, from their next request, and leave a trace of it.

    Raises:
        ConfigurationError: the text is no matrix. Conflict: access.matrix rules. VersionConflict: another one was
            activated meanwhile.
    """
    if services.settings.access.matrix:
        raise Conflict("access.matrix names the file that rules; remove that setting to activate matrices.")
    matrix, before = parse_matrix(text, where="the matrix"), in_force(services)
    if matrix.version == before.matrix.version:
        return before
    current = _stored(services)
    number = 1 if current is None else current.version + 1
    draft = Draft(
        MATRIX_KEY.type,
        MATRIX_KEY.id,
        _library(text, matrix, number, services),
        number - 1,
        "PUT",
    )
    previous = {} if current is None else {MATRIX_KEY: current}
    written = commit(
        Plan(drafts=(draft,), previous=previous),
        [_trace(before.matrix, matrix, len(difference(before.matrix, matrix)), services)],
        services,
    )[MATRIX_KEY]
    return InForce(matrix, "activated", written.version, instant(written.updated_ms))


def _library(text: bytes, matrix: Matrix, number: int, services: Services) -> Json:
    return {
        "resourceType": MATRIX_KEY.type,
        "id": MATRIX_KEY.id,
        "url": f"{services.canonical}/Library/{MATRIX_KEY.id}",
        "version": str(number),
        "name": "HabilitationMatrix",
        "title": "Matrice d'habilitation : quelle profession lit quel type de document",
        "status": "active",
        "type": {"coding": [{"system": _LIBRARY_TYPE, "code": "asset-collection"}]},
        "date": instant(services.clock.now_ms()),
        "description": f"sha-256 {matrix.version}",
        "content": [{"contentType": "text/csv", "data": base64.b64encode(text).decode()}],
    }


def _trace(before: Matrix, after: Matrix, cells: int, services: Services) -> AuditRecord:
    return AuditRecord(
        id=services.ids.resource(),
        kind="matrix",
        recorded_ms=services.clock.now_ms(),
        what=(str(MATRIX_KEY),),
        actor=Actor.ADMIN.value,
        subject="operator",
        client="fhir-dmp",
        details=(("matrix-before", before.version), ("matrix-after", after.version), ("cells", str(cells))),
    )
