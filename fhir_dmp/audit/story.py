"""The history of accesses in words that a person understands: who, when, from where, what, in which mode. Pure.

Records of the same user, minute, action, mode and result are one line with a count; emergency accesses come first.
[security 6.5]
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fhir_dmp.audit.record import AuditRecord
from fhir_dmp.identity.caller import Actor

LANGUAGES = ("fr", "en")
_MINUTE_MS = 60_000
_EMERGENCIES = frozenset({"bris_de_glace", "centre_15"})
#: Titles named in one line; more are counted.
_NAMED = 5

_ACTIONS: Mapping[str, str] = {
    "read": "look", "vread": "look", "history": "look", "iti-68": "look",
    "search-type": "find", "search-system": "find",
    "history-type": "find", "history-system": "find", "iti-66": "find", "iti-67": "find", "create": "add",
    "iti-65": "add", "iti-105": "add", "transaction": "change", "batch": "change", "import": "add", "update": "change",
    "patch": "change", "delete": "remove", "audit-read": "trail", "export": "export", "notified": "told",
    "login": "session", "login-failure": "session", "logout": "session", "token": "session",
    "operation-create": "rights", "operation-update": "rights",
}  # fmt: skip


@dataclass(slots=True)
class Line:
    """One line of the history. first: the record it began with; documents: `DocumentReference/x` touched, in order.

    count: how many accesses it stands for.
    """

    first: AuditRecord
    count: int = 0
    documents: dict[str, None] = field(default_factory=dict)

    @property
    def is_emergency(self) -> bool:
        """Whether somebody came in an emergency mode."""
        return self.first.mode in _EMERGENCIES

    @property
    def action(self) -> str:
        """What was done, as a key of the table."""
        return _ACTIONS.get(self.first.kind.partition("#")[0], "other")


@dataclass(frozen=True, slots=True)
class Reader:
    """Who reads. titles: of the documents that the reader may see; a document that is not in it stays "a document"."""

    subject: str
    titles: Mapping[str, str]


def lines_of(records: Iterable[AuditRecord]) -> list[Line]:
    """Return the lines of records (newest first): emergencies first, then by time, newest first."""
    found: dict[tuple[str, ...], Line] = {}
    for record in records:
        line = Line(record)
        key = (
            str(record.recorded_ms // _MINUTE_MS), record.actor, record.subject, record.professional or "",
            record.client, line.action, record.mode, str(_is_refused(record)),
        )  # fmt: skip
        line = found.setdefault(key, line)
        line.count += 1
        line.documents.update(dict.fromkeys(documents_of(record)))
    return sorted(found.values(), key=lambda each: (not each.is_emergency, -each.first.recorded_ms))


def documents_of(record: AuditRecord) -> list[str]:
    """Return the documents (and contents) that a record names, without their versions."""
    places = ("/".join(each.split("/")[:2]) for each in record.what)
    return [each for each in places if each.startswith(("DocumentReference/", "Binary/", "Bundle/"))]


def _is_refused(record: AuditRecord) -> bool:
    return record.outcome != "0"


class Story:
    """Tells lines in a language."""

    def __init__(self, text: bytes) -> None:
        self._table: Mapping[str, Any] = tomllib.loads(text.decode("utf-8"))

    def who(self, line: Line, reader: Reader, language: str) -> str:
        """Return the name of who acted."""
        words, record = self._table[language], line.first
        if record.actor in (Actor.PATIENT, Actor.REPRESENTATIVE, Actor.DELEGATE) and record.subject == reader.subject:
            return str(words["you"])
        if record.name:
            return record.name
        if record.professional:
            return record.professional
        if record.structure:
            return str(words["institution"].format(structure=record.structure))
        return str(words["operator"] if record.actor == Actor.ADMIN else words["somebody"])

    def profession(self, line: Line, language: str) -> str:
        """Return the profession in words, "" when it is unknown."""
        names: Mapping[str, str] = self._table[language]["professions"]
        return next((names[code] for _, code in line.first.roles if code in names), "")

    def what(self, line: Line, reader: Reader, language: str) -> str:
        """Return what was touched: titles that the reader may see, "a document" for any other, else the record."""
        words = self._table[language]
        if not line.documents:
            return str(words["record"])
        known = list(dict.fromkeys(reader.titles[each] for each in line.documents if reader.titles.get(each)))
        hidden = sum(
            1 for each in line.documents if each.startswith("DocumentReference/") and each not in reader.titles
        )
        parts = [f"« {title} »" if language == "fr" else f'"{title}"' for title in known[:_NAMED]]
        more = len(known) - len(parts) + hidden
        if more or not parts:
            parts.append(str(words["document"] if more <= 1 else words["documents"].format(count=more)))
        return ", ".join(parts)

    def sentence(self, line: Line, reader: Reader, language: str) -> str:
        """Return the line as one sentence."""
        words, record = self._table[language], line.first
        described = ", ".join(self._described(line, words, language))
        who = self.who(line, reader, language)
        context = str(words["modes"].get(record.mode, ""))
        context += str(words["times"].format(count=line.count)) if line.count > 1 else ""
        context += str(words["refused"]) if _is_refused(record) else ""
        return str(
            words["sentence"].format(
                who=f"{who} ({described})" if described else who,
                action=words["actions"][line.action],
                what=self.what(line, reader, language),
                context=context,
            )
        )

    def _described(self, line: Line, words: Mapping[str, Any], language: str) -> Sequence[str]:
        record = line.first
        if record.actor != Actor.PROFESSIONAL:
            return ()
        at = words["at"].format(structure=record.structure) if record.structure else ""
        return [each for each in (self.profession(line, language), at) if each]


def preferred(header: str) -> str:
    """Return the language of an Accept-Language header, French unless English comes first.

    >>> preferred("en-GB,fr;q=0.5"), preferred("de, fr"), preferred("")
    ('en', 'fr', 'fr')
    """
    for part in header.split(",")[:20]:
        code = part.strip()[:2].lower()
        if code in LANGUAGES:
            return code
    return LANGUAGES[0]
