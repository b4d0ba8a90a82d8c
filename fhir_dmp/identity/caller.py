"""Who is asking: the caller of one request, as told by a verified token. Claims: docs/tokens.md."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from fhir_dmp.terminology.aliases import PROFESSION

#: The profession of doctor.
DOCTOR = (PROFESSION, "10")
#: So long an access by break-glass lasts, in seconds, whatever a token says.
EMERGENCY_TTL_S = 600


class Actor(StrEnum):
    """The kind of caller: claim `dmp.actor`."""

    PATIENT = "PATIENT"
    REPRESENTATIVE = "REP"
    DELEGATE = "DELEGATE"
    PROFESSIONAL = "PS"
    STRUCTURE = "ORG"
    FEEDER = "FEEDER"
    AUDITOR = "AUDITOR"
    ADMIN = "ADMIN"


class Mode(StrEnum):
    """Access mode: TRE_R248."""

    NORMAL = "normal"
    BREAK_GLASS = "bris_de_glace"
    REGULATION = "centre_15"


_REASONS: dict[str, str] = {Mode.NORMAL: "TREAT", Mode.BREAK_GLASS: "BTG", Mode.REGULATION: "ETREAT"}
#: Whoever these are, they act for one reason whatever the mode.
_REASONS_OF: dict[str, str] = {
    Actor.PATIENT: "PATRQT",
    Actor.REPRESENTATIVE: "PATRQT",
    Actor.DELEGATE: "PATRQT",
    Actor.FEEDER: "HPAYMT",
    Actor.AUDITOR: "HSYSADMIN",
    Actor.ADMIN: "HSYSADMIN",
}


def act_reason(actor: str, mode: str) -> str:
    """Return the code of ActReason for which somebody acts, beside the national access mode. [security 1.6]

    >>> act_reason("PS", "bris_de_glace"), act_reason("FEEDER", "normal"), act_reason("REP", "normal")
    ('BTG', 'HPAYMT', 'PATRQT')
    """
    return _REASONS_OF.get(actor) or _REASONS.get(mode, "TREAT")


@dataclass(frozen=True, slots=True)
class Scope:
    """One resource scope: context `patient`, `user` or `system`; type or `*`; letters among `cruds`.

    constraint: (search parameter, value) pairs that a resource must satisfy, none for every resource of the type.
    """

    context: str
    type: str
    letters: frozenset[str]
    constraint: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Caller:
    """One caller in one role.

    subject, client: claims sub and client_id. name: for people. professional: PSIdNat (canonical form, prefix
    included) of a health professional; structure: StructIdNat of the structure acted for. patient: the logical id of
    the patient in context (the record's holder for PATIENT, REPRESENTATIVE, DELEGATE). roles: (system, code) of
    profession and speciality. reason: the typed motive of a break-glass access. anonymous: `--access open`.
    fhir_user: claim fhirUser (`Practitioner/x`, `RelatedPerson/x`). sector: TRE_R02 code of the structure. app: id of
    the catalogue application that acts for the user; app_classes, app_write_classes: document classes that it may see,
    and write (None: all).
    reads_self: the scopes openid and fhirUser let it read the resource that it is itself, and nothing else.
    finality: what the application was registered for.
    """

    actor: Actor
    subject: str
    client: str = ""
    name: str = ""
    professional: str | None = None
    structure: str | None = None
    patient: str | None = None
    roles: tuple[tuple[str, str], ...] = ()
    mode: Mode = Mode.NORMAL
    reason: str | None = None
    regulator: bool = False
    secret: bool = False
    scopes: tuple[Scope, ...] = ()
    jti: str | None = None
    issuer: str = ""
    anonymous: bool = False
    delegation: tuple[str, ...] = field(default=())
    fhir_user: str | None = None
    sector: str = ""
    app: str | None = None
    app_classes: tuple[str, ...] | None = None
    app_write_classes: tuple[str, ...] | None = None
    reads_self: bool = False
    finality: str = ""

    @property
    def is_admin(self) -> bool:
        """Say whether this is an operator's administrator token (or the open access of a loopback server)."""
        return self.actor is Actor.ADMIN

    def is_self(self, type_: str, id_: str) -> bool:
        """Say whether a resource is the one that the token names as its user, and may be read for that alone."""
        if not self.reads_self:
            return False
        if self.actor is Actor.PATIENT:
            return (type_, id_) == ("Patient", self.patient)
        return f"{type_}/{id_}" == self.fhir_user

    def may(self, letter: str, type_: str) -> bool:
        """Say whether the scopes cover `letter` (c r u d s) on the resource type, or on some of its resources."""
        return any(letter in scope.letters and scope.type in ("*", type_) for scope in self.scopes)
