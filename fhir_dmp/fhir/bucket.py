"""The bucket of an id: 12 bits that keep one patient's resources together when a database is spread over shards.

Ids made here are UUIDs of version 7 (RFC 9562) whose field `rand_a` carries the bucket of the patient that the
resource belongs to, so the place of a resource is known from its id alone. Pure.
"""

from __future__ import annotations

import hashlib
import re

BUCKETS = 4096

_UUID7 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7([0-9a-f]{3})-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


def bucket(id_: str) -> int:
    """Return 0 to 4095: the bits that a UUID of version 7 carries, or a hash of any other id.

    >>> bucket("01890a5d-ac96-7b3f-8cce-1f1c2d3e4f50") == 0xB3F
    True
    """
    carried = _UUID7.fullmatch(id_)
    if carried is not None:
        return int(carried[1], 16)
    return int.from_bytes(hashlib.sha256(id_.encode("utf-8", "replace")).digest()[:2]) % BUCKETS
