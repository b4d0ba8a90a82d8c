"""The activated habilitation matrix as it is stored: read, parsed once for each version, remembered under its mark."""

from __future__ import annotations

import base64
import binascii
from dataclasses import replace

from fhir_dmp.access.matrix import Matrix, parse_matrix
from fhir_dmp.errors import ConfigurationError, Unavailable
from fhir_dmp.fhir.resource import parse_stored
from fhir_dmp.interactions.remembered import MATRIX, MATRIX_KEY, FactsCache
from fhir_dmp.ports import ResourceStore, Version
from fhir_dmp.search.query import PLUS_INFINITY


def text_of(version: Version) -> bytes:
    """Return the CSV of an activated matrix.

    Raises:
        Unavailable: the stored resource holds none; nothing is decided by guessing.
    """
    try:
        data: str = parse_stored(version.body)["content"][0]["data"]
        return base64.b64decode(data, validate=True)
    except (LookupError, TypeError, ValueError, binascii.Error) as error:
        raise Unavailable("The activated habilitation matrix is damaged; activate one again.") from error


def activated(version: Version) -> Matrix:
    """Return the matrix of a stored version.

    Raises:
        Unavailable: it is damaged.
    """
    try:
        return parse_matrix(text_of(version))
    except ConfigurationError as error:
        raise Unavailable("The activated habilitation matrix is damaged; activate one again.") from error


class MatrixShelf:
    """The activated matrix, parsed once for each of its versions."""

    def __init__(self) -> None:
        self._held: tuple[int, Matrix] | None = None

    def matrix(self, facts: FactsCache, store: ResourceStore, now_ms: int, started: Matrix) -> Matrix:
        """Return the matrix in force; started: the one that decides until one is activated.

        Raises:
            Unavailable: the activated matrix is damaged.
        """
        return facts.get(MATRIX, (MATRIX,), store, now_ms, lambda: (self._load(store, started), PLUS_INFINITY))

    def _load(self, store: ResourceStore, started: Matrix) -> Matrix:
        version = store.read(MATRIX_KEY)
        if version is None or version.deleted:
            return started
        if self._held is None or self._held[0] != version.seq:
            settled = replace(activated(version), training_like_profession=started.training_like_profession)
            self._held = (version.seq, settled)
        return self._held[1]
