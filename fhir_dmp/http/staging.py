"""Bodies that are too big for memory: a FHIR resource whose long base64 contents go to the store's staging."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import ExitStack

from fhir_dmp.errors import TooLarge
from fhir_dmp.fhir.draft import Blob
from fhir_dmp.fhir.ingest import Diverter
from fhir_dmp.fhir.resource import Json, parse
from fhir_dmp.http.spool import Spool
from fhir_dmp.ports import BlobStore

#: What remains without its contents is parsed in memory: never more than this.
MAX_JSON = 20 << 20


def divert(chunks: Iterator[bytes], blobs: BlobStore) -> tuple[Json, dict[str, Blob]]:
    """Read a resource while it arrives; return it with markers for its long contents, and what they stand for.

    Raises:
        BadRequest: no JSON, or a content that is no base64. TooLarge: too much beside the contents.
    """
    with ExitStack() as stack:

        def open_sink() -> Spool:
            # Decoding is driven by the client, staging by the store: a file stands between them.
            return stack.enter_context(Spool())

        diverter = Diverter(open_sink, nonce=secrets.token_hex(16))
        for chunk in chunks:
            diverter.feed(chunk)
        body, sinks = diverter.finish()
        if len(body) > MAX_JSON:
            raise TooLarge(f"The resource has more than {MAX_JSON} bytes beside its contents.")
        resource = parse(body)
        return resource, {marker: blobs.stage(spool.chunks()) for marker, spool in sinks.items()}
