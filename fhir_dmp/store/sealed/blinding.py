"""Index terms and queries without their words: what is compared exactly becomes an HMAC-SHA-256 under the index key.

    token        `param=` and the HMAC of its value; local references (`param=r:Type/id`) and `param=0` stay
    business key, claim       their HMAC
    span         `param` stays; the unit, or the other part of a composite, becomes its HMAC; the bounds stay
    text         tokens for its parameter and for its first 3 and 6 characters; the text itself is in the sealed terms
    word         a token for its parameter; the words themselves are in the sealed terms
    sort value   that of `date` stays; all are in the sealed terms

Pure. What this leaves readable is weighed in docs/adr/0071.
"""

from __future__ import annotations

import hmac
from base64 import urlsafe_b64encode
from functools import lru_cache

import orjson

from fhir_dmp.search.query import Contains, Everything, Node, Prefix, Term, Words
from fhir_dmp.search.terms import Terms, is_kept
from fhir_dmp.store.sealed.packing import packed, unpacked

#: Criteria on texts, which an index of HMACs can only prepare.
Text = Prefix | Contains | Words

#: Beginnings of texts that are found from the index alone.
BEGINNINGS = (3, 6)
#: The HMAC is cut to so many bytes: no two of the values of a country fall together.
_BYTES = 16
_DATE = "date"


class Blinding:
    """The HMACs of one store."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        #: value(text): its HMAC; remembered for those that come again.
        self.value = lru_cache(maxsize=1 << 15)(self.digest)

    def digest(self, text: str) -> str:
        """Return the HMAC of a text that will hardly come again."""
        digest = hmac.digest(self._key, text.encode("utf-8", "surrogatepass"), "sha256")
        return "h:" + urlsafe_b64encode(digest[:_BYTES]).decode().rstrip("=")

    def token(self, token: str) -> str:
        """Return a token as it is stored and asked."""
        param, equals, value = token.partition("=")
        if equals and (value == "0" or value.startswith("r:")):
            return token
        if equals:
            return f"{param}={self.value(value)}"
        return f"~{self.value(token)}" if is_kept(token) else self.value(token)

    def span_key(self, key: str) -> str:
        """Return the key of a span."""
        head = _head(key)
        return key if head == key else f"{head}|{self.value(key)}"

    def some(self, param: str) -> str:
        """Return the token of a resource that holds any text or word of the parameter."""
        return f"{_head(param)}#={self.value(f'some {param}')}"

    def beginning(self, param: str, text: str) -> str:
        """Return the token of a text that starts so; `text` has a length of BEGINNINGS."""
        return f"{_head(param)}#={self.value(f'start {param} {text}')}"

    def terms(self, terms: Terms, sealed: bytes) -> Terms:
        """Return terms as they are stored; `sealed` holds what `hidden` gave."""
        found = dict.fromkeys(map(self.token, terms.tokens))
        for param in dict.fromkeys(param for param, _ in (*terms.strings, *terms.words)):
            found[self.some(param)] = None
        for param, text in terms.strings:
            for length in BEGINNINGS:
                if len(text) >= length:
                    found[self.beginning(param, text[:length])] = None
        return Terms(
            tokens=tuple(found),
            spans=tuple((self.span_key(key), low, high) for key, low, high in terms.spans),
            sort={_DATE: terms.sort[_DATE]} if _DATE in terms.sort else {},
            patient=terms.patient,
            date=terms.date,
            uniques=tuple(map(self.value, terms.uniques)),
            sealed=sealed,
        )

    def candidates(self, leaf: Text) -> tuple[Node, bool]:
        """Return what finds at least the resources that satisfy a text criterion, and whether it finds no others."""
        if isinstance(leaf, Prefix):
            lengths = [length for length in BEGINNINGS if length <= len(leaf.text)]
            if lengths:
                start = leaf.text[: lengths[-1]]
                return Term(self.beginning(leaf.param, start)), start == leaf.text
            return Term(self.some(leaf.param)), not leaf.text
        if isinstance(leaf, Words) and not leaf.words:
            return Everything(), True
        return Term(self.some(leaf.param)), False


def _head(key: str) -> str:
    """Return the parameter's code of a key of a string or span.

    >>> _head("birthdate"), _head("code-value-string$s:x|y"), _head("value-quantity|http://u|mg"), _head("name#")
    ('birthdate', 'code-value-string', 'value-quantity', 'name')
    """
    for number, character in enumerate(key):
        if character in "$|#":
            return key[:number]
    return key


def hidden(terms: Terms) -> bytes:
    """Return what of the terms is kept sealed; b"" when there is nothing."""
    if not (terms.strings or terms.words or terms.sort):
        return b""
    return packed(orjson.dumps([terms.strings, terms.words, terms.sort]))


def shown(data: bytes) -> Terms:
    """Return terms with the texts, words and sort values that `hidden` kept, and nothing else."""
    strings, words, sort = orjson.loads(unpacked(data))
    # Pairs stay the lists that JSON knows: whoever judges only takes them apart, and there are thousands.
    return Terms(strings=strings, words=words, sort=sort)
