"""From what an operator asks for (`--as ps:RPPS --structure FINESS ...`) to a Caller; patients are looked up before.

The operator's tool stands in for the authorization server: the same role maxima, the same rule for regulators.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from fhir_dmp.errors import BadRequest, Forbidden
from fhir_dmp.identity.caller import DOCTOR, Actor, Caller, Mode, Scope
from fhir_dmp.identity.scopes import maximum, narrow, parse
from fhir_dmp.terminology.aliases import PROFESSION
from fhir_dmp.terminology.numbers import professional_id, structure_id

#: What `--as` takes, and the actor it makes.
KINDS = {
    "patient": Actor.PATIENT,
    "representative": Actor.REPRESENTATIVE,
    "delegate": Actor.DELEGATE,
    "ps": Actor.PROFESSIONAL,
    "org": Actor.STRUCTURE,
    "feeder": Actor.FEEDER,
    "auditor": Actor.AUDITOR,
    "admin": Actor.ADMIN,
}
#: The kinds whose ID is an INS.
PERSONS = frozenset({"patient", "representative", "delegate"})
CLIENT = "fhir-dmp-token"
#: TRE_A00: who feeds for the national health insurance.
_FEEDER_ROLE = ("urn:oid:1.2.250.1.213.1.1.4.6", "ALIM_AM")


@dataclass(frozen=True, slots=True)
class Application:
    """What is asked for.

    id: RPPS, FINESS or a name for the kinds without number; never an INS. subject: the person's pseudonym. patient:
    logical id of the patient in context. scope: None for the maximum.
    """

    kind: str
    id: str = ""
    subject: str = ""
    patient: str | None = None
    profession: str = ""
    structure: str = ""
    scope: str | None = None
    mode: Mode = Mode.NORMAL
    reason: str | None = None
    regulator: bool = False
    secret: bool = False


def caller_of(asked: Application, regulation_centres: Iterable[str] = ()) -> Caller:
    """Return the caller with the scopes it may have.

    Raises:
        BadRequest: something is missing or malformed; the text says what to give.
        Forbidden: an emergency mode that this caller may not claim, or scopes beyond its kind.
    """
    actor = KINDS.get(asked.kind)
    if actor is None:
        raise BadRequest(f"the kind must be one of {', '.join(KINDS)}")
    bare = Caller(
        actor,
        subject=asked.subject or asked.id or asked.kind,
        client=CLIENT,
        patient=asked.patient,
        structure=_structure(asked.structure),
        mode=asked.mode,
        reason=asked.reason,
        regulator=asked.regulator,
        secret=asked.secret,
    )
    caller = _with_identity(bare, asked)
    _check_mode(caller, tuple(regulation_centres))
    return replace(caller, scopes=_scopes(caller, asked.scope))


def _with_identity(bare: Caller, asked: Application) -> Caller:
    """Complete the caller with what its kind is known by."""
    match bare.actor:
        case Actor.PATIENT | Actor.REPRESENTATIVE | Actor.DELEGATE:
            if not asked.patient:
                raise BadRequest("give the INS of the patient" + ("" if asked.kind == "patient" else " with --patient"))
            return bare
        case Actor.PROFESSIONAL:
            return replace(bare, professional=_professional(asked.id), roles=(_profession(asked.profession),))
        case Actor.STRUCTURE:
            if not asked.id:
                raise BadRequest("give the FINESS of the structure: org:FINESS")
            return replace(bare, structure=_structure(asked.id))
        case Actor.FEEDER:
            return replace(bare, structure=_structure(asked.id) or bare.structure, roles=(_FEEDER_ROLE,))
        case Actor.AUDITOR | Actor.ADMIN:
            return bare


def _professional(text: str) -> str:
    number = professional_id(text)
    if number is None:
        raise BadRequest("give the RPPS of the professional, 11 digits: ps:RPPS")
    return number


def _structure(text: str) -> str | None:
    if not text:
        return None
    number = structure_id(text)
    if number is None:
        raise BadRequest("a structure is given by its FINESS, 9 characters")
    return number


def _profession(text: str) -> tuple[str, str]:
    """Read CODE or SYSTEM|CODE; a doctor when nothing is said.

    >>> _profession("60"), _profession("urn:oid:1.2.250.1.71.4.2.5|SM26")
    (('urn:oid:1.2.250.1.71.1.2.7', '60'), ('urn:oid:1.2.250.1.71.4.2.5', 'SM26'))
    """
    if not text:
        return DOCTOR
    system, bar, code = text.rpartition("|")
    return (system if bar else PROFESSION, code)


def _check_mode(caller: Caller, centres: tuple[str, ...]) -> None:
    if caller.mode is not Mode.NORMAL and caller.actor is not Actor.PROFESSIONAL:
        raise Forbidden("emergency modes are for professionals: --as ps:RPPS")
    if caller.mode is not Mode.REGULATION:
        return
    if not caller.regulator:
        raise Forbidden("not-regulator: mode centre_15 is for accredited regulators, add --regulator")
    if centres and caller.structure not in {structure_id(centre) or centre for centre in centres}:
        raise Forbidden("not-regulator: --structure must be one of access.regulation_centres")


def _scopes(caller: Caller, asked: str | None) -> tuple[Scope, ...]:
    limit = maximum(caller.actor, caller.mode)
    if asked is None:
        return limit
    granted = narrow(parse(asked), limit)
    if not granted:
        raise Forbidden("invalid_scope: nothing of --scope may be granted to this kind of caller")
    return granted
