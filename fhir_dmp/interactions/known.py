"""Documents one by one: does this document exist for this caller, and does a list that holds it?"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from fhir_dmp.access.decision import Decision, Effect, Op, Verdict
from fhir_dmp.access.facts import PatientFacts
from fhir_dmp.access.masking import is_emptied, references_to_check
from fhir_dmp.fhir.resource import parse_stored
from fhir_dmp.identity.caller import Caller
from fhir_dmp.interactions import gather
from fhir_dmp.interactions.services import Services
from fhir_dmp.ports import Key, Version

_DOCUMENT = "DocumentReference"


def may_know(caller: Caller, version: Version, op: Op, services: Services) -> bool:
    """Say whether a document exists for the caller, who wants to do `op` with it and may be refused that."""
    return version.patient is not None and judged(caller, version, op, services).effect is not Effect.FILTER


def exists_for(caller: Caller, version: Version, op: Op, services: Services, *, deleted_asked: bool = False) -> bool:
    """Say whether a document may be shown to the caller."""
    if version.patient is None or version.deleted:
        return False
    return judged(caller, version, op, services, deleted_asked=deleted_asked).permitted


def judge_of(
    caller: Caller, op: Op, services: Services, *, deleted_asked: bool = False
) -> Callable[[Version], Verdict]:
    """Return what judges the documents of a page: the entry to each record is decided once."""
    entered: dict[str | None, tuple[Decision, PatientFacts]] = {}
    rules, matrix, seen, judged_alike = services.access, services.matrix, services.seen, services.entries.visible

    def judge(version: Version) -> Verdict:
        patient = version.patient
        assert patient is not None
        if patient not in entered:
            entered[patient] = gather.decided(caller, op, patient, services, documents=True)
        decision, facts = entered[patient]
        return judged_alike(caller, decision, seen.of(version), facts, rules, matrix, deleted_asked=deleted_asked)

    return judge


def judged(caller: Caller, version: Version, op: Op, services: Services, *, deleted_asked: bool = False) -> Verdict:
    """Return the verdict on a document of a record."""
    return judge_of(caller, op, services, deleted_asked=deleted_asked)(version)


def hidden_documents(caller: Caller, names: Iterable[str], op: Op, services: Services) -> set[str]:
    """Return those of these `DocumentReference/id` that do not exist for the caller."""
    wanted = {name for name in names if name.startswith(f"{_DOCUMENT}/")}
    if not wanted or caller.is_admin:
        return set()
    held = services.store.read_many([Key(_DOCUMENT, name.partition("/")[2]) for name in wanted])
    judge = judge_of(caller, op, services)
    return wanted - {
        str(key)
        for key, version in held.items()
        if version.patient is not None and not version.deleted and judge(version).permitted
    }


def is_emptied_for(caller: Caller, version: Version, services: Services) -> bool:
    """Say whether a list holds nothing but hidden documents: its title or date would tell of them."""
    resource = parse_stored(version.body)
    return is_emptied(resource, hidden_documents(caller, references_to_check(resource), Op.READ, services))
