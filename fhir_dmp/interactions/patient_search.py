"""Which patients a search of Patient may find: TD0.2 by identifier, TD0.5 by traits. [dmp-fhir 3.1, 3.8]

Everybody who may search learns whether a dossier exists and how he stands to it; nobody learns more by adding criteria
that the answer does not show, and a blocked professional learns nothing beyond the INS.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from fhir_dmp.access.decide import HOLDERS, enter
from fhir_dmp.access.decision import Decision, Effect, Op
from fhir_dmp.access.refusal import blocked_notice, refusal
from fhir_dmp.documents.metadata import unique_key
from fhir_dmp.errors import BadRequest, Issue
from fhir_dmp.identity.caller import Actor, Caller, Mode
from fhir_dmp.interactions import gather
from fhir_dmp.interactions.exchange import Call
from fhir_dmp.interactions.services import Services
from fhir_dmp.patients.dossier import Status
from fhir_dmp.search.query import Query
from fhir_dmp.terminology.national import INS_SYSTEMS

EXISTENCE, TRAITS = "search-type#TD0.2", "search-type#TD0.5"
#: A search by traits answers at most so many; it looks at so many candidates.
MAX_ANSWERS, MAX_CANDIDATES = 10, 50
_DAY = re.compile(r"(?:eq)?\d{4}-\d\d-\d\d")
_TRAITS = frozenset({"family", "given", "birthdate", "gender"})
#: What may be asked about a person of whom only the identity is shown.
_IDENTITY = _TRAITS | {"identifier", "_id", "name", "active", "deceased", "_lastUpdated", "_profile"}
_KEYS = frozenset({"identifier", "_id"})
_TOLD_TO_BLOCKED = _KEYS | {"active"}


@dataclass(frozen=True, slots=True)
class Found:
    """Which patients may be found. patients: `Patient/id` that the search was about, for the audit; kind: how it is
    told there.
    """

    ids: tuple[str, ...]
    patients: tuple[str, ...]
    kind: str
    issues: tuple[Issue, ...] = ()


def kind_of(names: set[str]) -> str:
    """Return how the audit tells a search of Patient with these parameters."""
    return EXISTENCE if names & _KEYS or not names & _TRAITS else TRAITS


def find_patients(call: Call, query: Query, services: Services) -> Found:
    """Decide which patients a search may find.

    Raises:
        BadRequest: an identifier without system, or traits that single nobody out. Forbidden: a search by traits in an
        emergency mode.
    """
    identifiers = [pair for criterion in query.patients for pair in criterion.identifiers]
    if any(not system for system, _ in identifiers):
        raise BadRequest("The identifier needs its system: [system]|[INS].", code="required", expression="identifier")
    if query.patients:
        return _by_identifier(call, query, services)
    if call.caller.actor in HOLDERS:
        own = (f"Patient/{call.caller.patient}",) if call.caller.actor is Actor.PATIENT else ()
        return _known(call, query, own, services)
    return _by_traits(call, query, services)


def _by_identifier(call: Call, query: Query, services: Services) -> Found:
    named: dict[str, None] = {}
    for criterion in query.patients:
        named.update(dict.fromkeys(criterion.references))
        for system, value in criterion.identifiers:
            found = _holder(system or "", value, services)
            if found is not None:
                named[found] = None
    return _known(call, query, tuple(named), services)


def _holder(system: str, value: str, services: Services) -> str | None:
    """Return the patient of an identifier; of an INS its holder: a billing number of that system keys nobody."""
    if system in INS_SYSTEMS:
        key = services.store.holder(unique_key("Patient", (system, value)))
        return str(key) if key else None
    id_ = gather.patient_by_identifier(system, value, services)
    return f"Patient/{id_}" if id_ else None


def _known(call: Call, query: Query, patients: tuple[str, ...], services: Services) -> Found:
    decisions = {patient: _existence(call.caller, patient, services) for patient in patients}
    seen = {patient: decision for patient, decision in decisions.items() if decision is not None}
    allowed = [
        patient for patient, decision in seen.items() if _may_ask(call.caller, patient, decision, query, services)
    ]
    blocked = any(decision.reason == "blocked" for decision in seen.values())
    ids = tuple(patient.partition("/")[2] for patient in allowed)
    return Found(ids, patients, EXISTENCE, (blocked_notice(services.canonical),) if blocked else ())


def _existence(caller: Caller, patient: str, services: Services) -> Decision | None:
    """Return the decision on telling of a dossier, None when there is none to tell of."""
    facts = gather.facts_of(patient, services)
    own = caller.actor is Actor.PATIENT and caller.patient == patient.partition("/")[2]
    if facts.dossier in (Status.NONE, Status.OPPOSED) and not own:
        return None
    decision = enter(caller, Op.EXIST, facts, services.access)
    return decision if decision.permitted else None


def _may_ask(caller: Caller, patient: str, decision: Decision, query: Query, services: Services) -> bool:
    """Say whether the criteria tell the caller nothing that the answer does not show."""
    if query.filters <= _TOLD_TO_BLOCKED:
        return True
    if decision.reason == "blocked":
        return False
    if query.filters <= _IDENTITY:
        return True
    return enter(caller, Op.READ, gather.facts_of(patient, services), services.access).whole_record


def _by_traits(call: Call, query: Query, services: Services) -> Found:
    if call.caller.mode is not Mode.NORMAL:
        raise refusal(Decision(Effect.DENY, "A4", Op.SEARCH, 403, "mass-search"), services.canonical, "Patient")
    _check_traits(query)
    candidates = sorted(services.store.find("Patient", query.node, MAX_CANDIDATES))
    shown = [id_ for id_ in candidates if _may_show(call.caller, f"Patient/{id_}", services)]
    found = tuple(shown[:MAX_ANSWERS])
    issues = (_too_many(),) if len(shown) > MAX_ANSWERS or len(candidates) == MAX_CANDIDATES else ()
    return Found(found, tuple(f"Patient/{id_}" for id_ in found), TRAITS, issues)


def _may_show(caller: Caller, patient: str, services: Services) -> bool:
    """To whoever is blocked the answer would give the INS for the traits."""
    decision = _existence(caller, patient, services)
    return decision is not None and decision.reason != "blocked"


def _too_many() -> Issue:
    text = f"More than {MAX_ANSWERS} people may match; add the given name and the gender, or search by INS."
    return Issue("too-costly", text, severity="warning")


def _check_traits(query: Query) -> None:
    """Check that the traits single somebody out: one whole birth date and one family name.

    Raises:
        BadRequest.
    """
    _one(query, "birthdate", _is_day, "one whole date: birthdate=YYYY-MM-DD")
    _one(query, "family", _is_name, "one family name of at least two letters")
    others = query.filters - _TRAITS
    if others:
        raise BadRequest(
            f"Without an identifier, Patient is searched by {', '.join(sorted(_TRAITS))} only.",
            code="not-supported",
            expression=sorted(others),
        )


def _one(query: Query, name: str, is_precise: Callable[[str], bool], what: str) -> None:
    values = [value for asked, value in query.applied if asked in (name, f"{name}:exact")]
    modified = any(asked.startswith(f"{name}:") and asked != f"{name}:exact" for asked, _ in query.applied)
    if modified or len(values) != 1 or not is_precise(values[0]):
        raise BadRequest(f"A search by traits needs {what}.", code="required", expression=name)


def _is_day(value: str) -> bool:
    return _DAY.fullmatch(value) is not None


def _is_name(value: str) -> bool:
    return len(value.strip()) > 1 and "," not in value
