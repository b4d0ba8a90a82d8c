"""Whose documents these are: every way of naming the patient leads to one open dossier. [dmp-fhir 3.2.3 rows 5, 6]"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from fhir_dmp.documents.links import conditional, identifier_query, literal
from fhir_dmp.documents.metadata import unique_key
from fhir_dmp.documents.rules import Rules
from fhir_dmp.documents.survey import Gathered
from fhir_dmp.errors import Forbidden, Issue, Unprocessable
from fhir_dmp.fhir.elements import contained_of, object_of, text_of
from fhir_dmp.fhir.held import Held
from fhir_dmp.fhir.resource import Json
from fhir_dmp.patients.dossier import Status
from fhir_dmp.patients.identity import discordances
from fhir_dmp.patients.ins import Ins, every_ins, ins_in, ins_of, is_well_formed, verdicts


@dataclass(frozen=True, slots=True)
class Subject:
    """The dossier of a submission: its Patient, every INS in force, and the INS that keys it."""

    held: Held
    every: tuple[Ins, ...]

    @property
    def reference(self) -> str:
        """The literal reference of the Patient."""
        return self.held.reference

    @property
    def birth_date(self) -> str | None:
        """The birth date, for the rules about minors."""
        return text_of(self.held.resource.get("birthDate"))

    def written(self, sent: Json) -> Json:
        """Return a subject as it is stored: literal reference, completed with the INS, other elements kept."""
        key = ins_of(self.held.resource)
        kept = {name: part for name, part in sent.items() if name not in ("reference", "identifier")}
        identifier = sent.get("identifier") or (None if key is None else {"system": key[0], "value": key[1]})
        found: Json = {"reference": self.reference}
        if identifier is not None:
            found["identifier"] = identifier
        return {**found, **kept}


@dataclass(frozen=True, slots=True)
class Named:
    """One resource that names the patient: where, what was sent, and the resource around it (for contained ones)."""

    place: str
    subject: Json
    resource: Json


def _designations(named: Named, fhir_base: str) -> Iterator[tuple[str, str]]:
    """Yield ("reference", Type/id) and ("ins", unique key) for each way in which a subject names its patient."""
    text = text_of(named.subject.get("reference")) or ""
    pair = literal(text, fhir_base)
    if pair is not None:
        yield "reference", f"{pair[0]}/{pair[1]}"
    query = conditional(text, fhir_base)
    if query is not None:
        identifier = identifier_query(query[1]) if query[0] == "Patient" else None
        yield ("ins", unique_key("Patient", identifier)) if identifier else ("criterion", f"{query[0]}?{query[1]}")
    if text.startswith("#"):
        for ins in every_ins(contained_of(named.resource).get(text[1:], {})):
            yield "ins", unique_key("Patient", ins)
    stated = ins_in(object_of(named.subject.get("identifier")))
    if stated is not None:
        yield "ins", unique_key("Patient", stated)


def _resolve(kind: str, value: str, gathered: Gathered) -> Held | None:
    if kind == "ins":
        return gathered.holders.get(value)
    if kind == "criterion":
        matches = gathered.found.get(value, ())
        return matches[0] if len(matches) == 1 and matches[0].type == "Patient" else None
    held = gathered.held.get(value)
    return held if held is not None and held.type == "Patient" else None


def resolve_subject(named: Sequence[Named], gathered: Gathered, rules: Rules, links: dict[str, str]) -> Subject:
    """Return the one dossier that all subjects name. `links` gives what a bundle's Patient entry stands for.

    Raises:
        Unprocessable: patient-discordant (they differ), dmp-inexistant, dmp-ferme.
        Forbidden: the person objected to having a dossier.
    """
    resolved: dict[str, Held] = {}
    unknown: dict[str, str] = {}
    for one in named:
        text = text_of(one.subject.get("reference")) or ""
        linked = {**one.subject, "reference": links[text]} if text in links else one.subject
        ways = list(_designations(Named(one.place, linked, one.resource), rules.fhir_base))
        for kind, value in ways or [("none", "")]:
            held = _resolve(kind, value, gathered)
            if held is None:
                unknown.setdefault(value, one.place)
            else:
                resolved.setdefault(held.id, held)
                if len(resolved) > 1:
                    raise _discordant(one.place, rules)
    if (resolved and unknown) or len(unknown) > 1:
        raise _discordant(next(iter(unknown.values())), rules)
    if not resolved:
        raise _no_dossier(next(iter(unknown.values()), named[0].place), rules)
    held = next(iter(resolved.values()))
    _must_be_open(held, gathered, rules, named[0].place)
    return Subject(held, every_ins(held.resource))


def _discordant(place: str, rules: Rules) -> Unprocessable:
    return Unprocessable(
        "This resource names another patient than the rest of the submission.",
        expression=f"{place}.subject",
        details=rules.erreur("patient-discordant", "XDSPatientIdDoesNotMatch"),
    )


def _no_dossier(place: str, rules: Rules) -> Unprocessable:
    return Unprocessable(
        "No dossier exists for this patient; it is opened with Patient/$dmp-ouvrir.",
        code="not-found",
        expression=f"{place}.subject",
        details=rules.erreur("dmp-inexistant", "XDSUnknownPatientId"),
    )


def _must_be_open(held: Held, gathered: Gathered, rules: Rules, place: str) -> None:
    status = gathered.statuses.get(held.reference, Status.NONE)
    if status is Status.NONE:
        raise _no_dossier(place, rules)
    if status is Status.OPPOSED:
        raise Forbidden("The person objected to having a dossier.", details=rules.denial("no-dmp"))
    if status is Status.CLOSED:
        raise Unprocessable(
            "The dossier is closed; nothing can be added to it.",
            code="business-rule",
            expression=f"{place}.subject",
            details=rules.erreur("dmp-ferme"),
        )


def identity_issues(resource: Json, subject: Subject, rules: Rules, place: str) -> list[Issue]:
    """Compare what a document says of its patient (subject and sourcePatientInfo) with the dossier. [row 5]

    A wrong control key is only worth a warning here; another INS, or contradicting traits, are errors.
    """
    found: list[Issue] = []
    stated = ins_in(object_of(object_of(resource.get("subject")).get("identifier")))
    if stated is not None:
        found.extend(verdicts(stated, rules.ins, f"{place}.subject.identifier", creates=False))
    source = text_of(object_of(object_of(resource.get("context")).get("sourcePatientInfo")).get("reference")) or ""
    patient = contained_of(resource).get(source[1:]) if source.startswith("#") else None
    if patient is None:
        return found
    where = f"{place}.context.sourcePatientInfo"
    every = every_ins(patient)
    for ins in every:
        found.extend(verdicts(ins, rules.ins, where, creates=False))
    if not _agrees([ins for ins in every if is_well_formed(ins[1])], subject.every):
        found.append(
            Issue(
                "invariant",
                "sourcePatientInfo states another INS than the subject's.",
                expression=(where,),
                details=rules.erreur("patient-discordant", "XDSPatientIdDoesNotMatch"),
            )
        )
    return found + _traits_issues(patient, subject, rules, where)


def _agrees(stated: Sequence[Ins], known: Sequence[Ins]) -> bool:
    """One of the stated INS is the dossier's, and none is another one of the same system."""
    if not stated:
        return True
    systems = {system for system, _ in known}
    return any(ins in known for ins in stated) and all(ins in known for ins in stated if ins[0] in systems)


def _traits_issues(patient: Json, subject: Subject, rules: Rules, where: str) -> list[Issue]:
    if rules.traits_check == "off":
        return []
    contradictions = discordances(patient, subject.held.resource)
    if not contradictions:
        return []
    return [
        Issue(
            "conflict",
            f"The traits contradict those held for this INS: {', '.join(contradictions)}.",
            severity="error" if rules.traits_check == "strict" else "warning",
            expression=(where,),
            details=rules.erreur("traits-discordants"),
        )
    ]
