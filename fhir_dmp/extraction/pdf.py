"""The process that reads PDF files for their text: one after the other from standard input, until nobody sends any.

A file is hostile until proven otherwise: the memory of this process is bounded here, its time by whoever waits
(extraction/reader.py), and it ends by itself when its owner does. A message is its length in eight bytes, then bytes.
"""

from __future__ import annotations

import contextlib
import io
import logging
import select
from io import FileIO

MEMORY_BYTES = 1 << 30
IDLE_S = 60.0
MOST_PAGES = 300
LONGEST = 1_000_000
_HEAD = 8


def text_of(content: bytes) -> str:
    """Return the text of a PDF, page by page; "" when it is none, is encrypted, or holds only images."""
    import pypdf

    pieces: list[str] = []
    length = 0
    try:
        for page in pypdf.PdfReader(io.BytesIO(content)).pages[:MOST_PAGES]:
            pieces.append(page.extract_text())
            length += len(pieces[-1])
            if length > LONGEST:
                break
    except Exception:  # a broken file fails anywhere in the library, in many ways; none is ours to tell
        return " ".join(pieces)
    return " ".join(pieces)


def serve(source: FileIO, sink: FileIO) -> None:
    """Answer each file with its text, until the source ends or nothing comes for a while. Neither is buffered."""
    while select.select([source], [], [], IDLE_S)[0]:
        head = _exactly(source, _HEAD)
        if len(head) < _HEAD:
            return
        reply = text_of(_exactly(source, int.from_bytes(head, "big"))).encode("utf-8", "replace")
        left = memoryview(len(reply).to_bytes(_HEAD, "big") + reply)
        while left:
            left = left[sink.write(left) :]


def _exactly(source: FileIO, size: int) -> bytes:
    """Read so many bytes, fewer only when the source ends."""
    pieces = []
    while size and (piece := source.read(min(size, 1 << 20))):
        pieces.append(piece)
        size -= len(piece)
    return b"".join(pieces)


def main() -> None:
    """Bound the memory, then serve standard input."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    logging.disable(logging.CRITICAL)  # the library tells what it finds in files
    with open(0, "rb", buffering=0) as source, open(1, "wb", buffering=0) as sink:
        serve(source, sink)


if __name__ == "__main__":
    main()
