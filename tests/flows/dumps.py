"""Everything that a store keeps, as somebody sees it who holds its files: raw bytes, and every value unpacked."""

from __future__ import annotations

import base64
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import zstandard

_ZSTD = b"\x28\xb5\x2f\xfd"


def of_folder(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Yield (where, bytes) of every file below a folder, and of every value of those that are SQLite databases."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            data = path.read_bytes()
            yield path.name, data
            if data.startswith(b"SQLite format 3"):
                yield from _of_sqlite(path)


def _of_sqlite(path: Path) -> Iterator[tuple[str, bytes]]:
    con = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    con.text_factory = bytes
    names = [name.decode() for (name,) in con.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    for name in names:
        for row in con.execute(f'SELECT * FROM "{name}"'):
            for value in row:
                yield from _unpacked(f"{path.name}: {name}", value)
    con.close()


def of_mongo(database: Any) -> Iterator[tuple[str, bytes]]:
    """Yield (collection, bytes) of every name and value of every document of a database."""
    for name in database.list_collection_names():
        for document in database[name].find({}):
            yield from _of_value(name, document)


def _of_value(where: str, value: Any) -> Iterator[tuple[str, bytes]]:
    if isinstance(value, dict):
        for name, part in value.items():
            yield where, name.encode()
            yield from _of_value(where, part)
    elif isinstance(value, list):
        for part in value:
            yield from _of_value(where, part)
    else:
        yield from _unpacked(where, value)


def _unpacked(where: str, value: object) -> Iterator[tuple[str, bytes]]:
    data = value if isinstance(value, bytes) else str(value).encode()
    yield where, data
    if data.startswith(_ZSTD):
        yield where, zstandard.ZstdDecompressor().decompressobj().decompress(data)


def _spellings(text: str) -> Iterator[bytes]:
    """Yield how a text may stand in bytes: plain, folded, in hexadecimal digits, and inside of base64."""
    plain = text.encode()
    yield from (plain, text.lower().encode(), plain.hex().encode())
    for shift in range(3):
        inside = base64.b64encode(b"\0" * shift + plain)
        yield inside[4 if shift else 0 : len(inside) // 4 * 4 - 4]


def found(texts: Iterable[str], dump: Iterable[tuple[str, bytes]]) -> set[tuple[str, str]]:
    """Return (text, where) of each text that can be read in a dump."""
    wanted = [(text, spelling) for text in texts for spelling in set(_spellings(text)) if spelling]
    return {(text, where) for where, data in dump for text, spelling in wanted if spelling in data}
