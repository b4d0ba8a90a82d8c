"""A scripted server for a real process: echoes what reached the use case, streams what is asked."""

from __future__ import annotations

import hashlib
import os
import resource as limits
import sys
from collections.abc import Iterator

import orjson

from fhir_dmp.http.app import application as web
from fhir_dmp.interactions.exchange import Answer, Call, Content
from fhir_dmp.settings import Settings
from tests.http.world import World

_PEAK_UNIT = 1 if sys.platform == "darwin" else 1024


def peak() -> int:
    """Return the largest resident size of this process so far, in bytes."""
    return limits.getrusage(limits.RUSAGE_SELF).ru_maxrss * _PEAK_UNIT


def echo(call: Call) -> Answer:
    if call.path[:1] == ("Binary",) and call.method == "GET":
        size = int(call.path[1])
        return Answer(content=Content(_zeros(size), "application/pdf", size), version=1)
    told: dict[str, object] = {
        "method": call.method,
        "path": call.path,
        "query": call.query,
        "address": call.info.address,
    }
    payload = call.payload
    if payload is not None:
        blob = payload.blob
        told |= {"blob": blob.sha256 if blob else None, "staged": [each.sha256 for each in payload.staged.values()]}
    return Answer(
        body=orjson.dumps({"resourceType": "Basic", "text": {"div": orjson.dumps({**told, "peak": peak()}).decode()}})
    )


def _zeros(size: int) -> Iterator[bytes]:
    block = bytes(65_536)
    for start in range(0, size, len(block)):
        yield block[: size - start]


def sha256_of_zeros(size: int) -> str:
    """Return the hash of so many zero bytes."""
    return hashlib.sha256(bytes(size)).hexdigest()


world = World(settings=Settings.load({"DMP_SERVER_ACCESS": os.environ.get("SCRIPTED_ACCESS", "open")}), answer=echo)
application = web(world)
