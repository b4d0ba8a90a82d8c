"""Where a search starts: the one condition whose index yields the fewest candidates; the others are then probed.

A condition's rows are counted only up to a bound, so that choosing costs microseconds whatever is stored, and so that
a search for something absent ends here.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, replace

from fhir_dmp.search.query import (
    And,
    AnyTerm,
    Contains,
    Everything,
    Ids,
    LastUpdated,
    Node,
    Nothing,
    Or,
    Prefix,
    Span,
    Term,
    Words,
)
from fhir_dmp.store.sqlite.conditions import Scope, full_text, json_list, split_keys, text_condition
from fhir_dmp.store.sqlite.facets import Facets
from fhir_dmp.store.sqlite.spans import condition, lo_range, ranges

UNKNOWN = 10**9
_FEWEST = 4
#: Timelines above this are left to the general way, which can stop early (timeline.py).
LONGEST_TIMELINE = 4096


@dataclass(frozen=True, slots=True)
class Tuning:
    """Where choices change. few: counting stops here at first, a condition below it is taken at once. many: counting

    stops here at the second look; above it no condition is selective. patience: instructions of SQLite after which a
    walk along an ordered index is given up (a million take some tens of milliseconds).
    """

    few: int = 64
    many: int = 4096
    patience: int = 800_000


TUNING = Tuning()


@dataclass(frozen=True, slots=True)
class Driver:
    """A source of candidates: `rows` is what follows FROM, with column d.pk (and d.date when dated), `where` too.

    exact: its rows satisfy the node (otherwise they are only a superset). countable: counting it stops early.
    """

    node: Node
    rows: str
    where: str
    params: tuple[object, ...]
    exact: bool = True
    dated: bool = False
    countable: bool = True
    estimate: int = UNKNOWN


def driver_of(node: Node, scope: Scope) -> Driver | None:
    """Return the driver of a node, None when only a scan finds its rows."""
    match node:
        case Term(key):
            hashed, dated = scope.token(key)
            return Driver(node, "tl d" if dated else "tok d", "d.k = ?", (hashed,), dated=dated)
        case AnyTerm(keys):
            return _any_term(node, keys, scope)
        case Ids(ids):
            source = "json_each(?) j CROSS JOIN res y ON y.type = ? AND y.id = j.value AND y.d = ?"
            every = (json_list(tuple(dict.fromkeys(ids))), scope.type, int(scope.deleted))
            return Driver(node, f"(SELECT y.pk AS pk FROM {source}) d", "1", every, estimate=len(ids))
        case Prefix() | Contains():
            text, params = text_condition(node)
            source = f"str x INDEXED BY str_k WHERE x.k = ? AND {text}"
            rows = f"(SELECT DISTINCT x.pk AS pk FROM {source}) d"
            return Driver(node, rows, "1", (scope.key(node.param), *params), countable=isinstance(node, Prefix))
        case Span():
            return _span(node, scope)
        case LastUpdated(op, low, high):
            text, params = condition(op, low, high, "x.u", "(x.u + 1)")
            source = f"res x INDEXED BY res_u WHERE x.type = ? AND x.d = ? AND x.u BETWEEN ? AND ? AND {text}"
            bounds = lo_range(op, low, high, 1)
            head = (scope.type, int(scope.deleted), *bounds)
            return Driver(node, f"(SELECT x.pk AS pk FROM {source}) d", "1", (*head, *params))
        case Words(param, words):
            if not words:
                return None
            match_text = full_text(param, words, scope)
            return Driver(node, "(SELECT rowid AS pk FROM fts WHERE fts MATCH ?) d", "1", (match_text,))
        case Or(nodes):
            return _union(node, [driver_of(part, scope) for part in nodes])
        case And(nodes):
            return next((_superset(d, node) for part in nodes if (d := driver_of(part, scope)) is not None), None)
        case _:
            return None


def _any_term(node: Node, keys: Sequence[str], scope: Scope) -> Driver:
    dated, plain = split_keys(keys, scope)
    selects, params = [], []
    for table, hashes in (("tl", dated), ("tok", plain)):
        if hashes or not keys:
            selects.append(f"SELECT x.pk AS pk FROM json_each(?) j CROSS JOIN {table} x ON x.k = j.value")
            params.append(json_list(hashes))
    rows = " UNION ".join(selects) if len(selects) > 1 else selects[0].replace("SELECT", "SELECT DISTINCT", 1)
    return Driver(node, f"({rows}) d", "1", tuple(params))


def _span(node: Span, scope: Scope) -> Driver | None:
    classes = ranges(node.op, node.low, node.high)
    if classes is None:
        return None
    values = ", ".join(f"({number}, ?, ?)" for number, _, _ in classes)
    text, params = condition(node.op, node.low, node.high, "x.lo", "x.hi")
    source = (
        f"(SELECT column1 AS w, column2 AS least, column3 AS most FROM (VALUES {values})) c CROSS JOIN span x "
        f"INDEXED BY span_k ON x.k = ? AND x.w = c.w AND x.lo BETWEEN c.least AND c.most AND {text}"
    )
    bounds = tuple(bound for _, least, most in classes for bound in (least, most))
    return Driver(node, f"(SELECT DISTINCT x.pk AS pk FROM {source}) d", "1", (*bounds, scope.key(node.key), *params))


def _superset(driver: Driver, node: Node) -> Driver:
    return replace(driver, node=node, exact=False)


def _union(node: Node, parts: Sequence[Driver | None]) -> Driver | None:
    known = [part for part in parts if part is not None]
    if not known or len(known) != len(parts):
        return None
    rows = " UNION ".join(f"SELECT d.pk AS pk FROM {part.rows} WHERE {part.where}" for part in known)
    params = tuple(param for part in known for param in part.params)
    countable = all(part.countable for part in known)
    return Driver(node, f"({rows}) d", "1", params, exact=False, countable=countable)


class Sizes:
    """How long the long postings are, remembered: it orders the probes, it never decides what is found."""

    #: Longer ones are all alike. Remembered for so many questions, because what is long stays long.
    MOST, ENTRIES, QUESTIONS = 65_536, 4096, 100_000

    def __init__(self) -> None:
        self._known: dict[int, int] = {}
        self._questions = 0

    def known(self, key: int) -> int:
        """Return the length that was measured lately, or 0."""
        self._questions += 1
        if self._questions > self.QUESTIONS or len(self._known) > self.ENTRIES:
            self._known, self._questions = {}, 0
        return self._known.get(key, 0)

    def measure(self, con: sqlite3.Connection, key: int) -> int:
        """Count a posting list up to MOST, and remember it."""
        sql = "SELECT count(*) FROM (SELECT 1 FROM tok WHERE k = ? LIMIT ?)"
        size = self._known[key] = int(con.execute(sql, (key, self.MOST)).fetchone()[0])
        return size


@dataclass(frozen=True, slots=True)
class Choice:
    """How to run a search on one type. driver None: no index helps. rest: what is still to be probed, best first.

    nothing: no row can match. selective: the driver yields so few candidates that any order can be made of them.
    """

    driver: Driver | None
    rest: tuple[Node, ...]
    nothing: bool = False
    selective: bool = False


def conjuncts(node: Node) -> list[Node]:
    """Return what must all hold, flattened."""
    if isinstance(node, And):
        return [inner for part in node.nodes for inner in conjuncts(part)]
    return [] if isinstance(node, Everything) else [node]


def needed(node: Node) -> list[Node]:
    """Return the conjuncts, without those that another one says already.

    A patient by one name or another, for example, beside the patient by the one.
    """
    parts = conjuncts(node)
    terms = {part.key for part in parts if isinstance(part, Term)}
    if not terms:
        return parts
    return [part for part in parts if not (isinstance(part, AnyTerm) and not terms.isdisjoint(part.keys))]


class Chooser:
    """Compares the conditions of searches on one file."""

    def __init__(self, tuning: Tuning = TUNING) -> None:
        self.tuning = tuning
        self.facets = Facets()
        self._sizes = Sizes()

    def choose(self, con: sqlite3.Connection, node: Node, scope: Scope, *, ordered: bool = True) -> Choice:
        """Count the rows of each condition, up to a bound, and choose. ordered: a page in some order is wanted."""
        parts = needed(node)
        if any(isinstance(part, Nothing) for part in parts):
            return Choice(None, (), nothing=True)
        drivers = self._drivers(con, parts, scope)
        undriven = [part for part in parts if all(driver.node is not part for driver in drivers)]
        if not drivers:
            return Choice(None, tuple(undriven))
        best, *others = self._compared(con, drivers) if ordered or len(drivers) > 1 else drivers
        rest = [] if best.exact else [best.node]
        rest += [other.node for other in others]
        selective = best.estimate < self.tuning.many
        return Choice(best, (*rest, *undriven), nothing=best.estimate == 0, selective=selective)

    def _drivers(self, con: sqlite3.Connection, parts: Sequence[Node], scope: Scope) -> list[Driver]:
        """Return what a search may start from.

        The rows of a timeline tell by themselves what sets of tokens tell (facets.py): beside one that is not too long,
        nothing is gained by starting from that.
        """
        timeline = next((part for part in parts if isinstance(part, Term) and scope.token(part.key)[1]), None)
        if timeline is not None and (driver := driver_of(timeline, scope)) is not None:
            counted = self._counted(con, driver, self.tuning.many)
            if counted.estimate < min(LONGEST_TIMELINE, self.tuning.many):
                others = [part for part in parts if part is not timeline and self.facets.test(part, scope) is None]
                return [counted, *(other for part in others if (other := driver_of(part, scope)) is not None)]
        return [driver for part in parts if (driver := driver_of(part, scope)) is not None]

    def _compared(self, con: sqlite3.Connection, drivers: list[Driver]) -> list[Driver]:
        """Return the drivers, counted as far as needed to know which yields the fewest rows; that one first."""
        # A patient has few documents beside what is stored: counting these first bounds all other counts.
        drivers = sorted(drivers, key=lambda driver: (not driver.dated, driver.estimate))
        few, many = self.tuning.few, self.tuning.many
        for bound in (many,) if drivers[0].dated else (few, many):
            least = bound
            counted: list[Driver] = []
            for driver in drivers:
                # A resource or two that are named: they are probed sooner than another condition is counted.
                named = bool(counted) and isinstance(counted[0].node, Ids) and least <= _FEWEST
                counted.append(driver if named else self._counted(con, driver, least))
                least = min(least, max(counted[-1].estimate, 1))
            drivers = sorted(counted, key=lambda driver: driver.estimate)
            if drivers[0].estimate < bound:
                break
        return drivers

    def _counted(self, con: sqlite3.Connection, driver: Driver, bound: int) -> Driver:
        if not driver.countable or driver.estimate < (self.tuning.many if driver.dated else self.tuning.few):
            return driver
        posting = driver.params[0] if driver.rows == "tok d" else None
        if isinstance(posting, int) and (size := self._sizes.known(posting)) >= 2 * bound:
            return replace(driver, estimate=size)
        # DISTINCT would gather everything before the first row comes; duplicates only make the estimate higher.
        rows = driver.rows.replace("SELECT DISTINCT", "SELECT").replace(" UNION ", " UNION ALL ")
        sql = f"SELECT count(*) FROM (SELECT 1 FROM {rows} WHERE {driver.where} LIMIT ?)"
        found = int(con.execute(sql, (*driver.params, bound)).fetchone()[0])
        if found >= bound and isinstance(posting, int):
            found = self._sizes.measure(con, posting)
        return replace(driver, estimate=found)
