"""Is this a unit of UCUM? The grammar and the table of units are those of the library ucumvert, read when first asked.

https://ucum.org/ucum
"""

from __future__ import annotations

from functools import cache, lru_cache
from typing import Any

#: Longer texts are no unit of anything.
MAX_LENGTH = 200


@lru_cache(maxsize=4096)
def is_unit(code: str) -> bool:
    """Say whether a code is a valid unit, in the case-sensitive form.

    >>> is_unit("mm[Hg]"), is_unit("10*9/L"), is_unit("{score}"), is_unit("bpm"), is_unit("")
    (True, True, True, False, False)
    """
    from lark.exceptions import LarkError

    if not code or len(code) > MAX_LENGTH or not code.isascii():
        return False
    try:
        _parser().parse(code)
    except (LarkError, RecursionError):
        return False
    return True


@cache
def _parser() -> Any:
    """Return the parser; making it takes some tenths of a second."""
    from ucumvert import get_ucum_parser

    return get_ucum_parser()
