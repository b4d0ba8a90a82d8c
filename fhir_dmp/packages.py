"""FHIR packages on disk: reading one (.tgz or folder), keeping those that were added, writing our own.

A package is a gzipped tar with `package/package.json` and one JSON file for each resource
(https://confluence.hl7.org/display/FHIR/NPM+Package+Specification). Added packages lie in one folder, one file each;
a running server sees a change of the folder at its next judgement.
"""

from __future__ import annotations

import gzip
import io
import os
import tarfile
import tempfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

import orjson

from fhir_dmp.errors import BadRequest
from fhir_dmp.settings import Settings

Json = dict[str, Any]

#: What a package brings to the server; examples and texts are left out.
TERMINOLOGY = ("ValueSet", "CodeSystem", "ConceptMap", "NamingSystem")
TYPES = frozenset((*TERMINOLOGY, "StructureDefinition", "SearchParameter", "OperationDefinition"))
MAX_FILE_BYTES = 50 * 1024 * 1024
MAX_TOTAL_BYTES = 1024 * 1024 * 1024
MAX_FILES = 100_000
#: Characters of a package's name: as many as npm allows, and fewer than file systems do.
MAX_NAME = 200


@dataclass(frozen=True, slots=True)
class Package:
    """One package: its name and version, and its conformance resources."""

    name: str
    version: str
    resources: tuple[Json, ...]

    @property
    def counts(self) -> dict[str, int]:
        """How many resources of each type it has."""
        found: dict[str, int] = {}
        for each in self.resources:
            found[each["resourceType"]] = found.get(each["resourceType"], 0) + 1
        return dict(sorted(found.items()))


def folder_of(settings: Settings, beside: Path) -> Path:
    """Return where added packages lie: as configured, or beside the keys."""
    return Path(settings.validation.packages) if settings.validation.packages else beside.parent / "packages"


def read_package(path: Path) -> Package:
    """Read a package.

    Raises:
        BadRequest: neither a package file nor a folder with JSON resources, or damaged. OSError: it cannot be read.
    """
    files = dict(_of_folder(path) if path.is_dir() else _of_archive(path))
    about = files.pop("package.json", None)
    about = about if isinstance(about, dict) else {}
    resources = tuple(each for _, each in sorted(files.items()) if _is_conformance(each))
    if not resources:
        wanted = ", ".join(sorted(TYPES))
        raise BadRequest(f"{path.name} holds no conformance resource ({wanted}); give a FHIR package or its folder.")
    name = str(about.get("name") or path.name.removesuffix(".tgz").removesuffix(".tar.gz"))
    return Package(name, str(about.get("version") or "0"), resources)


def _is_conformance(resource: Any) -> bool:
    if not isinstance(resource, dict) or resource.get("resourceType") not in TYPES:
        return False
    return isinstance(resource.get("url"), str) or resource["resourceType"] == "NamingSystem"


def _of_folder(path: Path) -> Iterator[tuple[str, Any]]:
    inner = path / "package" if (path / "package").is_dir() else path
    for each in sorted(inner.rglob("*.json")):
        if each.stat().st_size <= MAX_FILE_BYTES and "node_modules" not in each.parts:
            yield from _parsed(each.relative_to(inner).as_posix(), each.read_bytes())


def _of_archive(path: Path) -> Iterator[tuple[str, Any]]:
    """Yield the resources of an archive; nothing of it is ever written to a place that it names."""
    total = 0
    try:
        with path.open("rb") as file, _opened(file) as inner, tarfile.open(fileobj=inner, mode="r:") as archive:
            for number, member in enumerate(archive):
                total += member.size  # what is skipped is unpacked, too
                if total > MAX_TOTAL_BYTES or number >= MAX_FILES:
                    text = f"{path.name} unpacks to more than {MAX_TOTAL_BYTES} bytes or {MAX_FILES} files."
                    raise BadRequest(text, code="too-costly")
                if not member.isfile() or not member.name.endswith(".json") or member.size > MAX_FILE_BYTES:
                    continue
                held = archive.extractfile(member)
                if held is not None:
                    yield from _parsed(member.name.removeprefix("package/"), held.read())
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise BadRequest(f"{path.name} is no package: a .tgz was expected.") from error


class _Gunzipped(gzip.GzipFile):
    """A gzip stream that is never read in one piece so large that it would fill the memory."""

    def read(self, size: int | None = -1) -> bytes:
        """Return the next bytes.

        Raises:
            BadRequest: the archive asks for more than a file may have: a header that lies about its length.
        """
        if size is None or not 0 <= size <= MAX_FILE_BYTES:
            raise BadRequest("The package has an entry that is too large to be read.", code="too-costly")
        return super().read(size)


def _opened(file: BinaryIO) -> BinaryIO:
    """Return the bytes of the tar: what is gzipped, unpacked as it is read."""
    magic = file.read(2)
    file.seek(0)
    return cast("BinaryIO", _Gunzipped(fileobj=file, mode="rb")) if magic == b"\x1f\x8b" else file


def _parsed(name: str, body: bytes) -> Iterator[tuple[str, Any]]:
    """Yield the resource of a file; those of a Bundle one by one. A hidden index is no resource."""
    if name.rpartition("/")[2].startswith("."):
        return
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BadRequest(f"{name} of the package is not JSON: {error}.") from error
    if isinstance(content, dict) and content.get("resourceType") == "Bundle":
        for index, entry in enumerate(content.get("entry") or ()):
            if isinstance(entry, dict):
                yield f"{name}#{index:06}", entry.get("resource")
        return
    yield name, content


def keep(package: Package, folder: Path) -> Path:
    """Keep a package among the added ones, in place of another version of it; return its file.

    Raises:
        OSError: the folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{_safe(package.name)}.json"
    content = {"name": package.name, "version": package.version, "resources": package.resources}
    handle, draft = tempfile.mkstemp(dir=folder, prefix=".", suffix=".part")
    with os.fdopen(handle, "wb") as file:
        file.write(orjson.dumps(content))
    Path(draft).replace(target)
    return target


def _safe(name: str) -> str:
    plain = "".join(char if char.isalnum() or char in "-._" else "_" for char in name[:MAX_NAME]).lstrip(".")
    return plain or "package"


def drop(name: str, folder: Path) -> bool:
    """Forget an added package; return whether there was one."""
    path = folder / f"{_safe(name)}.json"
    if not path.is_file():
        return False
    path.unlink()
    return True


def added(folder: Path) -> Iterator[Package]:
    """Yield the added packages, in the order of their names.

    Raises:
        BadRequest: a file of the folder is damaged.
    """
    for path in sorted(folder.glob("*.json")) if folder.is_dir() else ():
        try:
            content = orjson.loads(path.read_bytes())
            yield Package(content["name"], content["version"], tuple(content["resources"]))
        except (orjson.JSONDecodeError, KeyError, TypeError) as error:
            raise BadRequest(f"{path} is damaged ({error}): remove it and add the package again.") from error


def stamp(folder: Path) -> tuple[tuple[str, int, int], ...]:
    """Return what changes when a package is added, replaced or dropped."""
    if not folder.is_dir():
        return ()
    found = []
    for path in sorted(folder.glob("*.json")):
        about = path.stat()
        found.append((path.name, about.st_mtime_ns, about.st_size))
    return tuple(found)


def write_package(file: IO[bytes], about: Json, resources: Iterable[Json]) -> int:
    """Write a package to a file; the same content gives the same bytes. Return how many resources it holds."""
    files = {"package.json": orjson.dumps(about, option=orjson.OPT_INDENT_2)}
    listed = []
    for each in resources:
        name = f"{each['resourceType']}-{each['id']}.json"
        files[name] = orjson.dumps(each, option=orjson.OPT_INDENT_2)
        kept = ("resourceType", "id", "url", "version", "kind", "type", "supplements", "content", "derivation")
        listed.append({"filename": name, **{key: each[key] for key in kept if key in each}})
    files[".index.json"] = orjson.dumps({"index-version": 2, "files": listed}, option=orjson.OPT_INDENT_2)
    with tarfile.open(fileobj=file, mode="w:gz", format=tarfile.PAX_FORMAT) as archive:
        for name, body in sorted(files.items()):
            entry = tarfile.TarInfo(f"package/{name}")
            entry.size = len(body)
            archive.addfile(entry, io.BytesIO(body))
    return len(listed)
