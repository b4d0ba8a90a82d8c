"""The words of an access decision: what is asked, by which rules, what comes out. Values only."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, tzinfo
from enum import StrEnum

from fhir_dmp.settings import Settings


class Op(StrEnum):
    """What a caller wants with a record or a document.

    EXIST: existence and authorisation status. FIND_OWN: find an own deposit by exact identifier (metadata only).
    RETRIEVE: the content of a document. HISTORY: who accessed the record. REOPEN: ask to reopen a closed record.
    """

    EXIST = "exist"
    READ = "read"
    SEARCH = "search"
    RETRIEVE = "retrieve"
    FIND_OWN = "find-own"
    CREATE = "create"
    UPDATE_LABEL = "update-label"
    REPLACE = "replace"
    ARCHIVE = "archive"
    DELETE = "delete"
    CONSENT_WRITE = "consent-write"
    HISTORY = "history"
    REOPEN = "reopen"


#: Reads of a document; everything that changes an existing one; everything that writes.
READS = frozenset({Op.READ, Op.SEARCH, Op.RETRIEVE, Op.FIND_OWN})
CHANGES = frozenset({Op.UPDATE_LABEL, Op.REPLACE, Op.ARCHIVE, Op.DELETE})
WRITES = CHANGES | {Op.CREATE, Op.CONSENT_WRITE, Op.REOPEN}


class Effect(StrEnum):
    """PERMIT; DENY says no and why; FILTER behaves as if the object did not exist."""

    PERMIT = "permit"
    DENY = "deny"
    FILTER = "filter"


class Relation(StrEnum):
    """What the caller is to the patient."""

    SELF = "self"
    REPRESENTATIVE = "legal_rep"
    DELEGATE = "delegate"
    DOCTOR = "MT"
    AUTHORISED = "authorised"
    CARE_TEAM = "care_team"
    EMERGENCY = "emergency"
    AUTHOR = "author"
    FEEDER = "feeder"
    ADMIN = "admin"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Decision:
    """The outcome of blocks A, B, C or W, with its explanation.

    row: row of the decision table. status: HTTP status of a refusal. reason: refusal code (on a PERMIT with own_only:
    the code to answer with when the document turns out not to be the caller's). own_only: documents of which the
    caller is an author, nothing else of the record. metadata_only: no content, and only the elements that lead back
    to an own deposit. classes: document classes a delegate is limited to, None for all. own_refs: references of
    directory resources that are this caller.
    """

    effect: Effect
    row: str
    op: Op
    status: int = 200
    reason: str | None = None
    relation: Relation = Relation.NONE
    obligations: tuple[str, ...] = ("audit",)
    consent_ids: tuple[str, ...] = ()
    own_only: bool = False
    metadata_only: bool = False
    classes: frozenset[str] | None = None
    own_refs: frozenset[str] = frozenset()

    @property
    def permitted(self) -> bool:
        """Say whether the caller may go on."""
        return self.effect is Effect.PERMIT

    @property
    def whole_record(self) -> bool:
        """Say whether the caller may go on with any part of the record, not only with own documents."""
        return self.effect is Effect.PERMIT and not self.own_only


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome of block D for one document. warnings: `hidden-from-patient`, `masked`... for the professional."""

    effect: Effect
    row: str
    status: int = 200
    reason: str | None = None
    warnings: tuple[str, ...] = ()

    @property
    def permitted(self) -> bool:
        """Say whether the document may be shown."""
        return self.effect is Effect.PERMIT


@dataclass(frozen=True, slots=True)
class Rules:
    """The settings that decisions depend on. Structures are StructIdNat; professions are TRE_G15 codes."""

    canonical_base: str = "https://dmp-fhir.example/ig"
    zone: tzinfo = UTC
    care_team_initial_consent_required: bool = True
    mask_visible_in_btg: bool = False
    author_sees_masked: bool = True
    btg_overrides_block: bool = False
    btg_professions: frozenset[str] = frozenset({"10", "21", "40", "50", "60", "69"})
    regulation_centres: frozenset[str] = frozenset()
    age_of_majority: int = 18
    minor_own_access_min_age: int = 16
    announce_days: int = 30
    mask_plus_invisible: bool = True
    minors: bool = True
    author_check: str = "strict"
    excluded_sectors: frozenset[str] = field(default=frozenset({"SA13", "SA23", "SA44", "SA48", "SA66"}))

    @classmethod
    def of(cls, settings: Settings, zone: tzinfo) -> Rules:
        """Return the rules that the settings say. A FINESS number of 9 characters is completed to a StructIdNat."""
        access, documents = settings.access, settings.documents
        return cls(
            canonical_base=settings.canonical_base,
            zone=zone,
            care_team_initial_consent_required=access.care_team_initial_consent_required,
            mask_visible_in_btg=access.mask_visible_in_btg,
            author_sees_masked=access.author_sees_masked,
            btg_overrides_block=access.btg_overrides_block,
            btg_professions=frozenset(access.btg_professions),
            regulation_centres=frozenset(
                f"1{centre}" if len(centre) == 9 else centre for centre in access.regulation_centres
            ),
            age_of_majority=documents.age_of_majority,
            minor_own_access_min_age=access.minor_own_access_min_age,
            announce_days=access.announce_days,
            mask_plus_invisible=documents.mask_plus_invisible,
            minors=documents.minors,
            author_check=documents.author_check,
        )
