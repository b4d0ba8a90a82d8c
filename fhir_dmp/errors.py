"""The error tree of the whole server, and the only table that maps an error to HTTP.

DmpError
  BadRequest 400 invalid          Unauthenticated 401 login     Forbidden 403 forbidden
  NotFound 404 not-found          MethodNotAllowed 405          NotAcceptable 406
    Hidden 404 (looks unknown)
  Conflict 409 conflict           Gone 410 deleted              PreconditionFailed 412 conflict
    DuplicateKey 409 duplicate      ClaimLost (retried)           VersionConflict 412
    StateConflict (retried)
  TooLarge 413 too-long           UnsupportedMedia 415          RangeNotSatisfiable 416
  Unprocessable 422 (many issues) TooMany 429 throttled
  NotImplementedHere 501          Unavailable 503 transient     StoreUnavailable 503
                                    MailUnavailable 503 (try again)   MailRefused 503 (for good)
                                    RecipientRefused 503 (no such mailbox)

The core raises these, or returns `tuple[Issue, ...]` when it collects. Only `http/errors.py` turns them into an
OperationOutcome on the wire. Diagnostics never carry patient data, tokens or bodies.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from traceback import extract_tb
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class Coding:
    """A code that software can act upon, beside the words for people."""

    system: str
    code: str


@dataclass(frozen=True, slots=True)
class Issue:
    """One OperationOutcome.issue.

    `code` is from http://hl7.org/fhir/issue-type; `text` is for people, `diagnostics` for developers;
    `expression` holds FHIRPath expressions naming the place (`Bundle.entry[2].resource.status`).
    """

    code: str
    diagnostics: str
    severity: str = "error"
    expression: tuple[str, ...] = ()
    details: tuple[Coding, ...] = ()
    text: str | None = None

    @property
    def reason(self) -> str:
        """The code that the trail and reports keep: the first detail that is no rule of a profile, else `code`."""
        return next((each.code for each in self.details if "/StructureDefinition/" not in each.system), self.code)


class DmpError(Exception):
    """Base of everything this server refuses or fails to do, with its HTTP status and issues."""

    status: ClassVar[int] = 500
    default_code: ClassVar[str] = "exception"

    def __init__(
        self,
        diagnostics: str = "",
        *,
        code: str | None = None,
        expression: str | Sequence[str] = (),
        details: Sequence[Coding] = (),
        text: str | None = None,
        issues: Sequence[Issue] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(diagnostics or (issues[0].diagnostics if issues else self.__class__.__name__))
        places = (expression,) if isinstance(expression, str) else tuple(expression)
        self.issues: tuple[Issue, ...] = tuple(issues) or (
            Issue(
                code=code or self.default_code,
                diagnostics=diagnostics,
                expression=places,
                details=tuple(details),
                text=text,
            ),
        )
        self.headers: Mapping[str, str] = dict(headers or {})


class BadRequest(DmpError):
    """The request cannot be understood: syntax, parameters, shapes."""

    status = 400
    default_code = "invalid"


class Unauthenticated(DmpError):
    """No token, or a token that is not valid any more."""

    status = 401
    default_code = "login"


class Forbidden(DmpError):
    """The caller is known and may not do this."""

    status = 403
    default_code = "forbidden"


class NotFound(DmpError):
    """The thing does not exist, or the caller must not know that it does."""

    status = 404
    default_code = "not-found"


class Hidden(NotFound):
    """The thing exists and must look as if it did not: only the audit trail learns the difference."""


class MethodNotAllowed(DmpError):
    """The URL is known, the interaction is not offered on it. `headers` carries Allow."""

    status = 405
    default_code = "not-supported"


class NotAcceptable(DmpError):
    """No representation that the client accepts."""

    status = 406
    default_code = "not-supported"


class Conflict(DmpError):
    """The request contradicts what is stored."""

    status = 409
    default_code = "conflict"


@dataclass(frozen=True, slots=True)
class KeyHolder:
    """Which resource holds a unique key."""

    type: str
    id: str


class DuplicateKey(Conflict):
    """A unique business key already belongs to another current resource."""

    default_code = "duplicate"

    def __init__(self, key: str, holder: KeyHolder | None) -> None:
        super().__init__("A unique business identifier is already in use.")
        self.key = key
        self.holder = holder


class ClaimLost(Conflict):
    """Another commit claimed the same criterion first; the interaction gathers and decides again."""

    default_code = "lock-error"


class StateConflict(Conflict):
    """A record of the authorization server changed since it was read; whoever wanted to change it reads again."""

    default_code = "lock-error"


class Gone(DmpError):
    """The resource existed and was deleted."""

    status = 410
    default_code = "deleted"


class PreconditionFailed(DmpError):
    """An If-Match, If-None-Match or criterion did not hold."""

    status = 412
    default_code = "conflict"


@dataclass(frozen=True, slots=True)
class StaleVersion:
    """What a change expected, and what the store held."""

    type: str
    id: str
    expected: int | None
    current: int | None


class VersionConflict(PreconditionFailed):
    """A change expected another current version; nothing was written."""

    def __init__(self, stale: StaleVersion) -> None:
        super().__init__("The resource has changed since the version that this request relies on.")
        self.stale = stale


class TooLarge(DmpError):
    """The body is above the configured limit."""

    status = 413
    default_code = "too-long"


class UnsupportedMedia(DmpError):
    """The body's media type, charset or FHIR version is not accepted."""

    status = 415
    default_code = "not-supported"


class RangeNotSatisfiable(DmpError):
    """The byte range lies outside the content."""

    status = 416
    default_code = "value"


class Unprocessable(DmpError):
    """Well formed, but against a profile, a business rule or a terminology."""

    status = 422
    default_code = "invariant"


class TooMany(DmpError):
    """The caller exceeded a rate limit. `headers` carries Retry-After."""

    status = 429
    default_code = "throttled"


class NotImplementedHere(DmpError):
    """A FHIR feature that the running store does not offer."""

    status = 501
    default_code = "not-supported"


class Unavailable(DmpError):
    """The server cannot answer now."""

    status = 503
    default_code = "transient"


class StoreUnavailable(Unavailable):
    """The database could not be reached; nothing was written."""


class MailUnavailable(Unavailable):
    """The mail server did not answer, or refused for now: another try may succeed."""


class MailRefused(Unavailable):
    """The mail server refused the message for good: the same message will not pass."""


class RecipientRefused(MailRefused):
    """The mail server knows no such mailbox, or will never take mail for it."""


@dataclass(frozen=True, slots=True)
class Problem:
    """A setting or a file that stops the start; printed by the command line, never sent over HTTP."""

    where: str
    what: str
    todo: str = field(default="")


class ConfigurationError(Exception):
    """The configuration cannot be used. The message names the key, what is wrong and what to do."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(": ".join(part for part in (problem.where, problem.what, problem.todo) if part))
        self.problem = problem


_SLASH = re.compile(r"[/\\]")


def told(error: BaseException) -> str:
    """Return what a log may hold of an error: the words of ours, of others the type and the places.

    Messages of other errors may quote the data.
    """
    if isinstance(error, DmpError | ConfigurationError):
        return str(error)
    frames = extract_tb(error.__traceback__)[-12:]
    places = [f"{_SLASH.split(each.filename)[-1]}:{each.lineno} {each.name}" for each in frames]
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    inner = f" from {told(cause)}" if cause is not None else ""
    return f"{type(error).__name__} at {' > '.join(places) or '?'}{inner}"
