"""What an import finds on disk: files of known kinds, large NDJSON files cut in pieces, lines with their numbers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from lxml import etree

from fhir_dmp.errors import BadRequest, DmpError
from fhir_dmp.fhir.resource import Json, parse

#: NDJSON files are cut in pieces of about so many bytes, at line ends.
PIECE = 4 * 1024 * 1024
#: What is picked up in folders.
SUFFIXES = (".json", ".ndjson", ".xml", ".zip")
_FHIR = "{http://hl7.org/fhir}"
_WIDE_MARKS = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True, slots=True)
class Unit:
    """A file, or the bytes [start, end) of an NDJSON file; `line` is the number of its first line."""

    path: Path
    start: int = 0
    end: int | None = None
    line: int = 1

    @property
    def name(self) -> str:
        """The file for a report, with the first line of a piece."""
        return f"{self.path}:{self.line}" if self.start else str(self.path)


def units(paths: Iterable[Path], piece: int = PIECE) -> Iterator[Unit]:
    """Yield the work: every known file below the paths, large NDJSON files in pieces."""
    for path in paths:
        if path.is_dir():
            yield from units(sorted(each for each in path.rglob("*") if _is_known(each)), piece)
        elif path.suffix.lower() == ".ndjson":
            yield from _pieces(path, piece)
        else:
            yield Unit(path)


def _is_known(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and path.is_file()


def _pieces(path: Path, piece: int) -> Iterator[Unit]:
    start, line = 0, 1
    try:
        with path.open("rb") as file:
            while chunk := file.read(piece):
                rest = file.readline()
                end = start + len(chunk) + len(rest)
                yield Unit(path, start, end, line)
                line += chunk.count(b"\n") + rest.count(b"\n")
                start = end
    except OSError:
        # Whoever reads the piece says why it cannot be read.
        yield Unit(path, start, None, line)


def lines(unit: Unit) -> Iterator[tuple[str, Json | DmpError]]:
    """Yield (file:line, resource or why it is none) of a piece of NDJSON."""
    number = unit.line
    with unit.path.open("rb") as file:
        file.seek(unit.start)
        while unit.end is None or file.tell() < unit.end:
            line = file.readline()
            if not line:
                return
            if line.strip():
                yield f"{unit.path}:{number}", parsed(line)
            number += 1


def parsed(line: bytes) -> Json | DmpError:
    """Return the resource of a line, or why there is none: one bad line must not stop the others."""
    try:
        return parse(line)
    except BadRequest as error:
        return error


def kind_of(path: Path) -> str:
    """Return how a file is read: ndjson, zip, cda, xml (FHIR) or json; by its first bytes but for NDJSON."""
    if path.suffix.lower() == ".ndjson":
        return "ndjson"
    with path.open("rb") as file:
        head = file.read(512)
    if head.startswith(b"PK"):
        return "zip"
    if head.startswith(_WIDE_MARKS) or head.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"<"):
        return "xml" if _root(path).startswith(_FHIR) else "cda"
    return "json"


def _root(path: Path) -> str:
    """Return `{namespace}name` of the root element; nothing of a file that is no XML, whose reader tells why."""
    with path.open("rb") as file:
        try:
            for _, element in etree.iterparse(file, events=("start",), resolve_entities=False, no_network=True):
                return str(element.tag)
        except etree.XMLSyntaxError:
            pass
    return ""
