"""Which names have words that begin so: an index over the folded words of many names, made once."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Sequence

from fhir_dmp.fhir.fold import fold

_LAST = "\U0010ffff"


class WordIndex:
    """The words of numbered items, without regard to case and accents. Safe to share between threads."""

    def __init__(self, items: Iterable[Iterable[str]]) -> None:
        found: dict[str, array[int]] = {}
        for number, names in enumerate(items):
            # One folding for all names of an item: what separates them is folded like any other space.
            for word in set(fold("\n".join(names)).split()):
                found.setdefault(word, array("I")).append(number)
        self._words = sorted(found)
        self._items = [found[word] for word in self._words]

    def hits(self, word: str) -> set[int]:
        """Return the numbers of the items that have a word with this folded beginning."""
        start = bisect_left(self._words, word)
        end = bisect_left(self._words, word + _LAST)
        return set().union(*self._items[start:end])

    def find(self, words: Sequence[str]) -> list[int]:
        """Return the numbers of the items of which every word begins some word, ascending.

        >>> WordIndex([["Œdème aigu"], ["Aigu"], ["Chronique"]]).find(["aig"])
        [0, 1]
        """
        found: set[int] | None = None
        for word in sorted(words, key=len, reverse=True):  # the longest first: it leaves the fewest
            found = self.hits(word) if found is None else found & self.hits(word)
            if not found:
                return []
        return sorted(found or ())


def has_words(names: Iterable[str], words: Sequence[str]) -> bool:
    """Say whether every folded word begins a word of one of the names.

    >>> has_words(["SYNTH", "Synthèse médicale"], ["med", "synt"]), has_words(["Aigu"], ["igu"])
    (True, False)
    """
    parts = fold("\n".join(names)).split()
    return all(any(part.startswith(word) for part in parts) for word in words)
