"""Index terms: what of a resource is found again, as plain values shared by all stores.

Shapes of a token (Terms.tokens), where `p` is the search parameter's code:

    p=s:<system>|<code>    token with system          p=c:<code>      token in any system (or none)
    p=n:<code>             token without system       p=y:<system>    any code of this system
    p=r:<Type>/<id>        local reference            p=u:<uri>       absolute reference, canonical or uri, as written
    p=d:<system>|<value>   Reference.identifier       p=e:<text>      raw string, for :exact
    p=0                    the resource has no value for p (for :missing)
    p=k:<term>$<term>      composite of two exact terms (their parts after `=`)
    p=t:<Type>             reference to a contained resource of this type
    p=d:*|<value>          Reference.identifier in any system
    p:of-type=s:<type system>|<type code>|<value>             typed identifier
    _compartment=r:<Type>/<id>                                each compartment that the resource belongs to

A plain code whose element implies its system (`status`) has only `p=c:`; asking for that system asks for the code.
A token that starts with `~` tells what only the moment of writing knew (who created a content): it is not made from the
resource, and a reindex keeps it (`recomputed`).
String entries: `p` for values (uris too, for `:below`), `p#` for the words of `:text`, `p$<term>` inside a composite.
Span keys: `p`; of a quantity also `p|<system>|<code>` (UCUM: the canonical unit) and `p||<code or unit>`; inside a
composite `p$<term>` comes first. The keys are made by search/keys.py and search/values.py, and nowhere else.

Codes are folded to lower case unless their system is case sensitive; identifiers never are. System aliases are
normalised (terminology/aliases.py), so the stored resource keeps what was sent and the index speaks one language.
The extractor itself is search/extract.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from fhir_dmp.search.query import SortValue


@dataclass(frozen=True, slots=True)
class Terms:
    """Everything a store indexes for one version of one resource.

    tokens: exact terms, unique. strings: (param, folded value), one entry for each place where a search may start.
    spans: (key, low, high), half open, ms since the epoch for dates. words: (param, text) for full text.
    sort: param -> (value when ascending, value when descending). patient: `Patient/id` of the patient compartment.
    date: the promoted main date of the type in ms, for the patient timeline.
    uniques: business keys that at most one current resource of the server may hold. sealed: bytes kept beside them for
    an encrypted store, which alone can read them; no store searches them, and they are no part of what terms say.
    """

    tokens: tuple[str, ...] = ()
    strings: tuple[tuple[str, str], ...] = ()
    spans: tuple[tuple[str, float, float], ...] = ()
    words: tuple[tuple[str, str], ...] = ()
    sort: Mapping[str, tuple[SortValue, SortValue]] = field(default_factory=dict)
    patient: str | None = None
    date: int | None = None
    uniques: tuple[str, ...] = ()
    sealed: bytes = field(default=b"", compare=False)


NO_TERMS = Terms()

_KEPT = "~"


def is_kept(token: str) -> bool:
    """Say whether a token survives the recomputation of terms."""
    return token.startswith(_KEPT)


def recomputed(new: Terms, old: Iterable[str]) -> Terms:
    """Return the terms made again from a resource, with those of its old tokens that cannot be made again."""
    kept = tuple(token for token in old if is_kept(token) and token not in new.tokens)
    return replace(new, tokens=(*new.tokens, *kept)) if kept else new
