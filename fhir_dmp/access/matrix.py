"""The habilitation matrix: which profession may read which document (order of 26 October 2023). Data, parsed purely.

A CSV with a header; lines that start with `#` are comments. Precedence, the first that speaks decides: type row of the
exact profession, type row of `*`, class row of the exact profession, class row of `*`, else no. `*` as code within a
code system covers that system, `*` as system covers all. Writing is not governed by the matrix.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from fhir_dmp.errors import ConfigurationError, Problem
from fhir_dmp.terminology.aliases import NOS, PROFESSION, TRAINING

ROLE_BASED = "urn:oid:1.2.250.1.213.1.6.1.140"

#: Other spellings of the systems of professions.
_SYSTEMS = {
    f"{NOS}/TRE_G15-ProfessionSante/FHIR/TRE-G15-ProfessionSante": PROFESSION,
    f"{NOS}/TRE_G16-ProfessionFormation/FHIR/TRE-G16-ProfessionFormation": TRAINING,
    "1.2.250.1.71.1.2.7": PROFESSION,
    "1.2.250.1.71.1.2.8": TRAINING,
}
_NEEDED = ("row_kind", "profession_system", "profession_code", "class_code", "type_code", "read")

Role = tuple[str, str]
#: So many combinations of roles are remembered; every document of every page asks for one.
_REMEMBERED = 1000


def health_profession(roles: Sequence[Role]) -> str | None:
    """Return the code of the health profession (TRE_G15, or in training TRE_G16) of a caller, None without one."""
    return next((code for system, code in roles if _SYSTEMS.get(system, system) in (PROFESSION, TRAINING)), None)


def is_health_profession(system: str) -> bool:
    """Say whether a code system is the one of health professions (TRE_G15), in any spelling."""
    return _SYSTEMS.get(system, system) == PROFESSION


def is_doctor_by_profession(roles: Sequence[Role]) -> bool:
    """Say whether one of the roles is the profession of doctor (TRE_G15 10); a doctor in training is none yet."""
    return any(is_health_profession(system) and code == "10" for system, code in roles)


@dataclass(frozen=True, slots=True)
class Habilitation:
    """What one profession may read. Codes are folded to lower case; the sets of each pair are disjoint.

    known: the matrix has at least one row for exactly this profession (or its code system).
    """

    types: frozenset[str] = frozenset()
    refused_types: frozenset[str] = frozenset()
    classes: frozenset[str] = frozenset()
    refused_classes: frozenset[str] = frozenset()
    known: bool = False

    def allows(self, classes: Iterable[str], types: Iterable[str]) -> bool:
        """Say whether a document of these classes and types may be read: type rows first, a refusal wins, else no."""
        kinds = frozenset(types)
        if kinds & self.refused_types:
            return False
        if kinds & self.types:
            return True
        groups = frozenset(classes)
        return bool(groups & self.classes) and not groups & self.refused_classes


NOTHING = Habilitation()


@dataclass(frozen=True, slots=True)
class Matrix:
    """All habilitations, and the sha-256 of the text they come from (recorded with each decision)."""

    version: str
    rows: int
    professions: Mapping[Role, Habilitation] = field(repr=False)
    training_like_profession: bool = True
    _asked: dict[tuple[Role, ...], Habilitation] = field(default_factory=dict, init=False, repr=False, compare=False)

    def profession(self, roles: Sequence[Role]) -> Role | None:
        """Return the role that counts: the first of a code system that the matrix knows, else the first."""
        known = {system for system, _ in self.professions}
        spelled = [self._spelled(role) for role in roles]
        return next((role for role in spelled if role[0] in known), spelled[0] if spelled else None)

    def _spelled(self, role: Role) -> Role:
        system = _SYSTEMS.get(role[0], role[0])
        return (PROFESSION if system == TRAINING and self.training_like_profession else system), role[1]

    def habilitation(self, roles: Sequence[Role]) -> Habilitation:
        """Return what a person with these roles may read; a profession without row reads what `*` allows."""
        key = tuple(roles)
        known = self._asked.get(key)
        if known is None:
            if len(self._asked) >= _REMEMBERED:
                self._asked.clear()
            known = self._asked[key] = self._found(key)
        return known

    def _found(self, roles: Sequence[Role]) -> Habilitation:
        role = self.profession(roles)
        if role is None:
            return self.professions.get(("*", "*"), NOTHING)
        for key in (role, (role[0], "*"), ("*", "*")):
            if key in self.professions:
                return self.professions[key]
        return NOTHING

    def allows(self, roles: Sequence[Role], class_code: str, type_code: str) -> bool:
        """Say whether the roles may read documents of this class and type ("" when the document has none)."""
        return self.habilitation(roles).allows([class_code.lower()], [type_code.lower()])


@dataclass(frozen=True, slots=True)
class _Row:
    by_type: bool
    role: Role
    code: str
    read: bool


def parse_matrix(text: bytes, *, where: str = "access.matrix", training_like_profession: bool = True) -> Matrix:
    """Return the matrix written in a CSV file.

    Raises:
        ConfigurationError: not UTF-8, a column is missing, or a row that says neither Y nor N.
    """
    try:
        lines = text.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise ConfigurationError(Problem(where, "is not UTF-8", "save the matrix as UTF-8")) from error
    kept = [(number, line) for number, line in enumerate(lines, 1) if line.strip() and not line.startswith("#")]
    reader = csv.DictReader(line for _, line in kept)
    missing = [name for name in _NEEDED if name not in (reader.fieldnames or ())]
    if missing:
        raise ConfigurationError(Problem(where, f"lacks the columns {', '.join(missing)}", "add them to the header"))
    # The header is the first kept line; a cell that spans lines would shift the numbers, none needs to.
    rows = [_row(cells, where, number) for (number, _), cells in zip(kept[1:], reader, strict=False)]
    return Matrix(hashlib.sha256(text).hexdigest(), len(rows), _professions(rows), training_like_profession)


def _row(cells: Mapping[str, str | None], where: str, line: int) -> _Row:
    kind, read = (cells["row_kind"] or "").strip(), (cells["read"] or "").strip()
    code = (cells["type_code" if kind == "type" else "class_code"] or "").strip().lower()
    role = ((cells["profession_system"] or "").strip(), (cells["profession_code"] or "").strip())
    if kind not in ("type", "class") or read not in ("Y", "N") or not code or not all(role):
        raise ConfigurationError(
            Problem(f"{where}, line {line}", "is no matrix row", "row_kind is type or class, read is Y or N")
        )
    return _Row(kind == "type", (_SYSTEMS.get(role[0], role[0]), role[1]), code, read == "Y")


def _professions(rows: Sequence[_Row]) -> dict[Role, Habilitation]:
    """Fold the rows so that each profession holds all that applies to it, the more exact row winning."""
    grouped: dict[Role, list[_Row]] = {}
    for row in rows:
        grouped.setdefault(row.role, []).append(row)
    wide = grouped.get(("*", "*"), [])
    found: dict[Role, Habilitation] = {}
    for system, code in grouped:
        layers = [wide] if (system, code) != ("*", "*") else []
        if code != "*":
            layers.append(grouped.get((system, "*"), []))
        layers.append(grouped[system, code])
        found[system, code] = _fold(layers, known=(system, code) != ("*", "*"))
    return found


def _fold(layers: Sequence[Sequence[_Row]], *, known: bool) -> Habilitation:
    types: dict[str, bool] = {}
    classes: dict[str, bool] = {}
    for rows in layers:
        said: dict[tuple[bool, str], bool] = {}
        for row in rows:
            # Two rows of the same rank that disagree: the refusal wins.
            said[row.by_type, row.code] = row.read and said.get((row.by_type, row.code), True)
        types.update({code: read for (by_type, code), read in said.items() if by_type})
        classes.update({code: read for (by_type, code), read in said.items() if not by_type})
    return Habilitation(
        types=frozenset(code for code, read in types.items() if read),
        refused_types=frozenset(code for code, read in types.items() if not read),
        classes=frozenset(code for code, read in classes.items() if read),
        refused_classes=frozenset(code for code, read in classes.items() if not read),
        known=known,
    )


def difference(old: Matrix, new: Matrix) -> tuple[str, ...]:
    """Return one line for each cell that changes: what an administrator reads before activating a matrix."""
    lines: list[str] = []
    for role in sorted({*old.professions, *new.professions}):
        before, after = old.professions.get(role, NOTHING), new.professions.get(role, NOTHING)
        for name, left, right in (
            ("type", _cells(before.types, before.refused_types), _cells(after.types, after.refused_types)),
            ("class", _cells(before.classes, before.refused_classes), _cells(after.classes, after.refused_classes)),
        ):
            lines.extend(
                f"{role[0]}|{role[1]} {name} {code}: {left.get(code, '-')} -> {right.get(code, '-')}"
                for code in sorted({*left, *right})
                if left.get(code) != right.get(code)
            )
    return tuple(lines)


def _cells(allowed: frozenset[str], refused: frozenset[str]) -> dict[str, str]:
    return dict.fromkeys(allowed, "Y") | dict.fromkeys(refused, "N")
