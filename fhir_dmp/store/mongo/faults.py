"""What a driver's error means to the house: every one leaves this room as an error of fhir_dmp.errors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from bson.errors import BSONError
from pymongo.errors import ConnectionFailure, DocumentTooLarge, ExecutionTimeout, OperationFailure, PyMongoError

from fhir_dmp.errors import BadRequest, StoreUnavailable, TooLarge
from fhir_dmp.search.joins import too_slow

#: Labels that the server puts on errors of a transaction.
TRANSIENT = "TransientTransactionError"
UNKNOWN_RESULT = "UnknownTransactionCommitResult"


#: BSONObjectTooLarge.
_TOO_LARGE = 10334
_TOO_LARGE_TEXT = "One resource with its index terms exceeds the 16 MB that the database accepts."


class Contention(Exception):
    """Another writer was faster; gather again and decide again. Never leaves this room."""


@contextmanager
def answering(*, searching: bool = False) -> Iterator[None]:
    """Turn the driver's errors into ours. searching: the caller chose what is asked, and may ask for less.

    Raises:
        StoreUnavailable: the database did not answer, not in time, or refused for a reason of its own.
        Unprocessable: code too-costly; a search ran longer than `store.query_timeout_ms`.
        TooLarge: a document above the 16 MB of MongoDB.
        BadRequest: a value that no database text can hold (a lone surrogate).
    """
    try:
        yield
    except ExecutionTimeout as error:
        raise (too_slow() if searching else StoreUnavailable("The database took too long; try again.")) from error
    except DocumentTooLarge as error:
        raise TooLarge(_TOO_LARGE_TEXT) from error
    except PyMongoError as error:
        if _TOO_LARGE in _codes(error):
            raise TooLarge(_TOO_LARGE_TEXT) from error
        if isinstance(error, ConnectionFailure):
            raise StoreUnavailable(f"The database cannot be reached ({_kind(error)}).") from error
        raise StoreUnavailable(f"The database did not do what was asked ({_kind(error)}).") from error
    except (UnicodeEncodeError, BSONError, OverflowError) as error:
        raise BadRequest("A value holds a character or a number that cannot be stored.", code="value") from error


def _codes(error: PyMongoError) -> set[int]:
    """Return the codes of an error, those inside a bulk write included."""
    if not isinstance(error, OperationFailure):
        return set()
    inside = (error.details or {}).get("writeErrors", [])
    return {one["code"] for one in inside} | ({error.code} if error.code is not None else set())


def _kind(error: PyMongoError) -> str:
    """Name the error without its text, which may quote data."""
    if isinstance(error, OperationFailure) and error.code is not None:
        return f"{type(error).__name__}, code {error.code}"
    return type(error).__name__
