"""What Consent resources say: each becomes statements "this party may or may not, from when to when".

Kinds: code system `{canonical_base}/CodeSystem/dmp-consent-kind`, with the alias of older clients and the French names
of `{canonical_base}/CodeSystem/dmp-consent-categorie`. Evaluation: active and in period; deny wins; then the most
specific actor; then the latest. Masks are not consents: they are labels of documents.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import tzinfo
from enum import StrEnum

from fhir_dmp.access.parties import Party, PartyKind, codings, listed, local, parties
from fhir_dmp.fhir.dates import ALWAYS, NEVER, covered, validity
from fhir_dmp.fhir.elements import extensions_of, objects_of
from fhir_dmp.fhir.resource import Json
from fhir_dmp.terminology.aliases import ACT_REASON

KIND_ALIAS = "https://dmp.example/fhir/CodeSystem/dmp-consent-kind"


class ConsentKind(StrEnum):
    """The business kind of a Consent (second category)."""

    OPENING = "dmp-opening"
    AUTHORISATION = "ps-authorisation"
    TEAM = "team-authorisation"
    BLOCK = "block"
    DOCTOR = "mt"
    EMERGENCY = "emergency"
    DELEGATION = "delegation"
    APP = "app-grant"
    FEEDING = "feeding-opposition"
    TEAM_INFORMATION = "info-team"


_KINDS = frozenset(ConsentKind)

#: French category -> kind and the purpose that the category implies.
CATEGORIES: Mapping[str, tuple[ConsentKind, str | None]] = {
    "consentement-ouverture": (ConsentKind.OPENING, None),
    "opposition-creation": (ConsentKind.OPENING, None),
    "autorisation-acces": (ConsentKind.AUTHORISATION, None),
    "blocage": (ConsentKind.BLOCK, None),
    "opposition-alimentation": (ConsentKind.FEEDING, None),
    "opposition-bris-de-glace": (ConsentKind.EMERGENCY, "BTG"),
    "opposition-centre-regulation": (ConsentKind.EMERGENCY, "ETREAT"),
    "connexion-secrete": (ConsentKind.TEAM_INFORMATION, None),
}


@dataclass(frozen=True, slots=True)
class Statement:
    """One thing that a Consent says.

    parties: whom it names; () names everybody. low_ms, high_ms: half-open validity. said_ms: Consent.dateTime.
    purposes: ActReason codes, empty for any. narrow: it is limited to data that this server does not tell apart.
    rights, classes: of a delegation (no class: all). scopes, finality: of an agreement to an application, as the
    consent page recorded them ("" when it did not).
    """

    consent: str
    kind: ConsentKind
    permit: bool
    parties: tuple[Party, ...] = ()
    low_ms: int = ALWAYS
    high_ms: int = NEVER
    said_ms: int = 0
    purposes: frozenset[str] = frozenset()
    narrow: bool = False
    rights: frozenset[str] = frozenset()
    classes: frozenset[str] = frozenset()
    scopes: str = ""
    finality: str = ""

    def holds_at(self, now_ms: int) -> bool:
        """Say whether the moment lies in the period."""
        return self.low_ms <= now_ms < self.high_ms

    def is_for(self, purpose: str) -> bool:
        """Say whether the statement covers a purpose of use (ActReason code)."""
        return not self.purposes or purpose in self.purposes


def kinds_of(consent: Json, canonical_base: str) -> tuple[tuple[ConsentKind, str | None], ...]:
    """Return the kinds that the categories of a Consent name, each with its implied purpose; usually exactly one."""
    systems = {f"{canonical_base}/CodeSystem/dmp-consent-kind", KIND_ALIAS}
    french = f"{canonical_base}/CodeSystem/dmp-consent-categorie"
    found: list[tuple[ConsentKind, str | None]] = []
    for system, code in codings(consent.get("category")):
        if system in systems and code in _KINDS:
            found.append((ConsentKind(code), None))
        elif system in (french, *systems) and code in CATEGORIES:
            found.append(CATEGORIES[code])
    return tuple(dict.fromkeys(found))


def consent_kind(consent: Json, canonical_base: str) -> ConsentKind | None:
    """Return the business kind of a Consent, None when it has none or several that differ."""
    kinds = {kind for kind, _ in kinds_of(consent, canonical_base)}
    return kinds.pop() if len(kinds) == 1 else None


#: Parts of a provision that narrow it to something this server does not evaluate document by document.
NARROWING = ("data", "dataPeriod", "securityLabel", "class", "code")


@dataclass(frozen=True, slots=True)
class Reading:
    """How Consents are read: what references point to, the zone of plain dates, and our namespace."""

    directory: Mapping[str, Json]
    zone: tzinfo
    canonical_base: str


def statements(consent: Json, reading: Reading) -> Iterator[Statement]:
    """Yield what a Consent says, if its status is active; nested provisions are statements of their own."""
    if consent.get("status") != "active":
        return
    kind = consent_kind(consent, reading.canonical_base)
    provision = consent.get("provision")
    if kind is None or not isinstance(provision, dict):
        return
    implied = frozenset(purpose for _, purpose in kinds_of(consent, reading.canonical_base) if purpose)
    outer = _statement(consent, kind, provision, reading, _base(consent, kind, reading))
    if not outer.purposes and implied:
        outer = replace(outer, purposes=implied)
    yield outer
    for inner in objects_of(provision.get("provision")):
        exception = _statement(consent, kind, inner, reading, outer)
        yield exception
        if objects_of(inner.get("provision")):
            # A third level is refused at the door; a stored one cannot be trusted to permit anything.
            yield replace(exception, permit=False, purposes=frozenset())


def _base(consent: Json, kind: ConsentKind, reading: Reading) -> Statement:
    said = covered(consent.get("dateTime"), reading.zone)
    rights, classes = _delegated(consent, reading.canonical_base)
    return Statement(
        consent=f"Consent/{consent.get('id', '')}",
        kind=kind,
        permit=False,
        said_ms=said[0] if said else 0,
        rights=rights,
        classes=classes,
        scopes=_extended(consent, f"{reading.canonical_base}/StructureDefinition/dmp-granted-scopes"),
        finality=_extended(consent, f"{reading.canonical_base}/StructureDefinition/dmp-finality"),
    )


def _extended(consent: Json, url: str) -> str:
    """Return the text of an extension: valueString or valueCode, "" without it."""
    for extension in extensions_of(consent, url):
        for name in ("valueString", "valueCode"):
            if isinstance(extension.get(name), str):
                return str(extension[name])
    return ""


def _statement(consent: Json, kind: ConsentKind, provision: Json, reading: Reading, outer: Statement) -> Statement:
    low, high = validity(provision.get("period"), reading.zone)
    named: list[Party] = []
    for actor in objects_of(provision.get("actor")):
        named.extend(parties(actor.get("reference"), consent, reading.directory))
    purposes = frozenset(code for system, code in codings(provision.get("purpose")) if system in (ACT_REASON, ""))
    return Statement(
        consent=outer.consent,
        kind=kind,
        permit=provision.get("type") == "permit",
        parties=tuple(named) or outer.parties,
        low_ms=max(low, outer.low_ms),
        high_ms=min(high, outer.high_ms),
        said_ms=outer.said_ms,
        purposes=purposes or outer.purposes,
        narrow=outer.narrow or any(provision.get(name) for name in NARROWING),
        rights=outer.rights,
        classes=outer.classes,
        scopes=outer.scopes,
        finality=outer.finality,
    )


def _delegated(consent: Json, canonical_base: str) -> tuple[frozenset[str], frozenset[str]]:
    """Return (rights, document classes) of extension dmp-delegation: sub-extensions `right` and `class`."""
    rights: set[str] = set()
    classes: set[str] = set()
    for extension in objects_of(consent.get("extension")):
        if extension.get("url") != f"{canonical_base}/StructureDefinition/dmp-delegation":
            continue
        for part in objects_of(extension.get("extension")):
            if part.get("url") == "right" and isinstance(part.get("valueCode"), str):
                rights.add(part["valueCode"])
            elif part.get("url") == "class":
                classes.update(code.lower() for _, code in codings(part.get("valueCoding")))
    return frozenset(rights or {"read"}), frozenset(classes)


_SPECIFIC = {PartyKind.PROFESSIONAL: 0, PartyKind.RELATIVE: 0, PartyKind.DEVICE: 0, PartyKind.TEAM: 1}


def specificity(statement: Statement) -> int:
    """Return how exactly a statement names its parties: 0 a person, 1 a team, 2 a structure, 3 nobody in particular."""
    return min((_SPECIFIC.get(party.kind, 2) for party in statement.parties), default=3)


def strongest(found: Sequence[Statement]) -> Statement | None:
    """Return the statement that decides among those that apply: deny, then most specific actor, then latest."""
    if not found:
        return None
    return min(found, key=lambda said: (said.permit, specificity(said), -said.said_ms, said.consent))


def subject_of(consent: Json) -> str | None:
    """Return `Patient/id` of a Consent, None when it names no patient literally."""
    place = local(consent.get("patient"))
    return place if place and place.startswith("Patient/") else None


def actor_references(consent: Json) -> Iterator[Json]:
    """Yield every actor reference of a Consent, nested provisions included."""
    waiting = objects_of(consent.get("provision"))
    while waiting:
        provision = waiting.pop()
        waiting.extend(objects_of(provision.get("provision")))
        for actor in listed(provision.get("actor")):
            if isinstance(actor, dict) and isinstance(actor.get("reference"), dict):
                yield actor["reference"]
