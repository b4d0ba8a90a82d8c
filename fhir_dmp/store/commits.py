"""What every store means by a commit: the checks that may refuse it, and the version that a write becomes."""

from __future__ import annotations

from fhir_dmp.errors import ClaimLost, StaleVersion, VersionConflict
from fhir_dmp.ports import Claim, Key, Version, Write


def expect(key: Key, expected: int, current: int) -> None:
    """Check that a resource has the version that a commit was decided on; 0 means that there is none.

    Raises:
        VersionConflict: it has another one.
    """
    if current != expected:
        raise VersionConflict(StaleVersion(key.type, key.id, expected, current or None))


def expect_unclaimed(claim: Claim, last: int) -> None:
    """Check that nobody made the same claim since the search that it follows. last: sequence of the last one, or 0.

    Raises:
        ClaimLost: somebody did.
    """
    if last > claim.seen:
        raise ClaimLost("Another request has just created what this one was looking for.")


def written(write: Write, sequence: int) -> Version:
    """Return the version that a write becomes under this sequence."""
    return Version(
        type=write.type,
        id=write.id,
        version=write.version,
        updated_ms=write.updated_ms,
        seq=sequence,
        body=write.body,
        method=write.method,
        deleted=write.deleted,
        blob=write.blob,
        patient=write.terms.patient,
    )
