"""How values become columns: hashed keys, compressed bodies, packed terms, index rows, full-text words. Pure.

Keys of terms are 63-bit BLAKE2b hashes under a secret of the file, so that nobody outside can craft two terms that
fall together. The upper bits of a token's key come from its value alone: `identifier=s:x|1` and `identifier=c:1`, or
`patient=r:Patient/1` and `subject=r:Patient/1`, are neighbours in the index and share its pages.
"""

from __future__ import annotations

import hashlib
import struct
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

import orjson
import zstandard

from fhir_dmp.search.query import PLUS_INFINITY, SortValue
from fhir_dmp.search.terms import Terms
from fhir_dmp.store.sqlite.schema import NO_DATE

#: Bodies and terms above this size are compressed.
COMPRESS_ABOVE = 1024
_MAGIC = b"\x28\xb5\x2f\xfd"
_LEVEL = 1

#: Parameters whose tokens name the patient: their postings are timelines, in order of date.
_PATIENT_PARAMS = frozenset(("patient", "subject", "patient.identifier", "subject.identifier"))

#: Parameters that narrow a patient's resources, above all those of the access decision: their tokens are kept beside
#: the timelines, as one set for each resource (docs/adr/0080). Few values, or the same ones again and again.
_FACETS = frozenset(
    ("status", "type", "category", "security-label", "security-label.unknown", "isArchived", "author",
     "author.identifier", "author.organization.identifier", "authenticator", "authenticator.identifier")
)  # fmt: skip

#: Widths of spans are sorted into classes, so that a bound on `hi` is also a bound on `lo` (see spans.py).
WIDTHS: tuple[float, ...] = (1.0, 1e3, 6.1e4, 8.7e7, 2.7e9, 3.2e10, 1e12)

#: Lower bits of a token's key, which come from all of it; the upper ones only make neighbours.
_OWN_BITS = 39
_OWN = (1 << _OWN_BITS) - 1


class _Zstd(threading.local):
    """One compressor for each thread: making one costs more than using it on a small body."""

    def __init__(self) -> None:
        self.compressor = zstandard.ZstdCompressor(level=_LEVEL)
        self.decompressor = zstandard.ZstdDecompressor()


_zstd = _Zstd()


def pack(data: bytes) -> bytes:
    """Return the bytes as they are stored: compressed when large (or when they could be taken for compressed)."""
    if len(data) <= COMPRESS_ABOVE and not data.startswith(_MAGIC):
        return data
    return _zstd.compressor.compress(data)


def unpack(data: bytes) -> bytes:
    """Return the bytes that were packed."""
    return _zstd.decompressor.decompress(data) if data.startswith(_MAGIC) else data


def pack_terms(terms: Terms) -> bytes:
    """Return terms as stored bytes."""
    row = [terms.tokens, terms.strings, terms.spans, terms.words, terms.sort, terms.patient, terms.date, terms.uniques]
    return pack(orjson.dumps(row))


def unpack_terms(data: bytes) -> Terms:
    """Return the terms of stored bytes."""
    tokens, strings, spans, words, sort, patient, date, uniques = orjson.loads(unpack(data))
    return Terms(
        tokens=tuple(tokens),
        strings=tuple((param, text) for param, text in strings),
        spans=tuple((key, low, high) for key, low, high in spans),
        words=tuple((param, text) for param, text in words),
        sort={param: (low, high) for param, (low, high) in sort.items()},
        patient=patient,
        date=date,
        uniques=tuple(uniques),
    )


def names_patient(token: str) -> bool:
    """Say whether the postings of this token are kept as a timeline.

    >>> names_patient("patient=r:Patient/x"), names_patient("status=c:current"), names_patient("patient=0")
    (True, False, False)
    """
    param, _, value = token.partition("=")
    return param in _PATIENT_PARAMS and value != "0"


def is_facet(token: str) -> bool:
    """Say whether this token is of a facet (timeline.py).

    >>> is_facet("type=c:1"), is_facet("identifier=c:1")
    (True, False)
    """
    return token.partition("=")[0] in _FACETS


def value_of(token: str) -> str:
    """Return what is left of a token without its parameter, kind and system.

    >>> value_of("type=s:http://loinc.org|1"), value_of("type=c:1"), value_of("subject=r:Patient/1"), value_of("a=0")
    ('1', '1', 'Patient/1', '0')
    """
    value = token.partition("=")[2]
    return value.rpartition("|")[2] if "|" in value else value.partition(":")[2] or value


def width_class(low: float, high: float) -> int:
    """Return the class of the width of [low, high): the first of WIDTHS that holds it, or one more."""
    width = high - low
    for number, most in enumerate(WIDTHS):
        if width <= most:
            return number
    return len(WIDTHS)


#: Characters that the tokenizer would split at or fold: moved to a private area, one by one, so prefixes stay prefixes.
_ESCAPES = {code: 0xE000 + code for code in range(128) if not (chr(code).islower() or chr(code).isdigit())}
_ALPHABET = "abcdefghijklmnopqrstuvwxyz012345"


@lru_cache(maxsize=1 << 12)
def column_of(key: int) -> str:
    """Return the six letters that start every indexed word of a (type, param) with this key."""
    return "".join(_ALPHABET[(key >> shift) & 31] for shift in range(0, 30, 5))


def index_word(column: str, word: str) -> str:
    """Return a word as the full-text index holds it."""
    return column + word.translate(_ESCAPES)


#: A set of facet keys: the hash of the set, and the packed keys.
Facet = tuple[int, bytes]


@dataclass(frozen=True, slots=True)
class IndexRows:
    """The index rows of one version, without its pk. facet: the set of keys that its timelines name, None without."""

    toks: frozenset[int]
    timelines: frozenset[tuple[int, SortValue, int, int]]
    spans: frozenset[tuple[int, int, float, float]]
    strings: frozenset[tuple[int, str]]
    text: str
    facet: Facet | None = None


NO_ROWS = IndexRows(frozenset(), frozenset(), frozenset(), frozenset(), "")


def pack_keys(keys: Iterable[int]) -> bytes:
    """Return a set of hashes as stored bytes, in order."""
    found = sorted(keys)
    return struct.pack(f">{len(found)}q", *found)


def unpack_keys(data: bytes) -> frozenset[int]:
    """Return the hashes of stored bytes."""
    return frozenset(struct.unpack(f">{len(data) // 8}q", data))


def indexed_type(type_: str, deleted: bool) -> str:
    """Return the type under which terms are hashed: tombstones are indexed apart, for the history alone."""
    return "-" + type_ if deleted else type_


def sort_date(terms: Terms) -> SortValue:
    """Return the value of a descending sort by `date`, NO_DATE when there is none."""
    pair = terms.sort.get("date")
    return NO_DATE if pair is None else pair[1]


class Codec:
    """The hashes of one file."""

    def __init__(self, secret: bytes) -> None:
        self._seed = hashlib.blake2b(key=secret, digest_size=8)
        #: key(type, name): the hash of a parameter's name, or of a patient.
        self.key = lru_cache(maxsize=1 << 12)(self._key)
        #: token(type, token): the hash, and whether it is kept in a timeline; remembered for those that come again.
        self.token = lru_cache(maxsize=1 << 15)(self._key_and_kind)

    def _key(self, type_: str, term: str) -> int:
        state = self._seed.copy()
        state.update(f"{type_}\n{term}".encode())
        return int.from_bytes(state.digest(), "big") >> 1

    def _key_and_kind(self, type_: str, token: str) -> tuple[int, bool]:
        near = self._key("", value_of(token)) >> _OWN_BITS << _OWN_BITS
        return near | (self._key(type_, token) & _OWN), names_patient(token)

    def rows(self, type_: str, terms: Terms, updated_ms: int) -> IndexRows:
        """Return the index rows of a version; `type_` is the indexed type."""
        key = self.key
        date = sort_date(terms)
        toks: set[int] = set()
        patients: set[int] = set()
        keys: set[int] = set()
        for token in terms.tokens:
            hashed, dated = self.token(type_, token)
            (patients if dated else toks).add(hashed)
            if is_facet(token):
                keys.add(hashed)
        facet = self._facet(keys) if patients else None
        return IndexRows(
            frozenset(toks),
            frozenset((k, date, updated_ms, facet[0]) for k in patients) if facet else frozenset(),
            frozenset((key(type_, p), width_class(lo, hi), whole(lo), whole(hi)) for p, lo, hi in terms.spans),
            frozenset((key(type_, param), text) for param, text in terms.strings),
            " ".join(self._words(type_, terms.words)),
            facet,
        )

    def _facet(self, keys: Iterable[int]) -> Facet:
        packed = pack_keys(keys)
        state = self._seed.copy()
        state.update(packed)
        return int.from_bytes(state.digest(), "big") >> 1, packed

    def _words(self, type_: str, words: Iterable[tuple[str, str]]) -> Iterable[str]:
        found: dict[str, None] = {}
        for param, text in words:
            column = column_of(self.key(type_, param))
            found.update(dict.fromkeys(index_word(column, word) for word in text.split()))
        return found


def whole(number: float) -> float:
    """Return an integer where it says the same, because SQLite stores it in fewer bytes."""
    return int(number) if isinstance(number, float) and abs(number) <= PLUS_INFINITY and number.is_integer() else number
