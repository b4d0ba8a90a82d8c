"""The command line called in this process: fast, and with the coverage of everything behind it.

tests/cli/test_commands.py starts real processes.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fhir_dmp import configuration
from fhir_dmp.bootstrap import Wired, build
from fhir_dmp.cli import main
from tests.world import FixedClock, World


@dataclass(frozen=True)
class Done:
    """What a command said and how it ended."""

    status: int
    out: str
    err: str

    @property
    def counts(self) -> dict[str, int]:
        """`stored: 3` and the like."""
        pairs = (line.partition(": ") for line in self.out.splitlines())
        return {name: int(value) for name, _, value in pairs if value.isdigit()}


@dataclass
class CommandLine:
    """`fhir-dmp` in a folder of its own, over a store of its own."""

    folder: Path
    environ: dict[str, str]

    def __call__(self, *arguments: object, store: str | None = None, **environ: str) -> Done:
        """Run a command; variables as `DMP_*`."""
        with self._inside({**environ, **self._store(store)}):
            out, err = io.StringIO(), io.StringIO()
            status = 0
            with redirect_stdout(out), redirect_stderr(err):
                try:
                    main([str(each) for each in arguments])
                except SystemExit as stop:
                    status = int(stop.code or 0)
        return Done(status, out.getvalue(), err.getvalue())

    def imported(self, *arguments: object, **environ: Any) -> Done:
        """Run `import` in this process alone, unless told otherwise."""
        jobs = () if "--jobs" in arguments else ("--jobs", 1)
        return self("import", *jobs, *arguments, **environ)

    @property
    def refusals(self) -> list[dict[str, str]]:
        """The report of the last import."""
        text = (self.folder / "import-report.ndjson").read_text(encoding="utf-8")
        return [json.loads(line) for line in text.splitlines()]

    @contextmanager
    def services(self, store: str | None = None, **environ: str) -> Iterator[Wired]:
        """Open the store as the commands do."""
        with self._inside({**environ, **self._store(store)}), closing(build(configuration.load())) as services:
            yield services

    @contextmanager
    def world(self, store: str | None = None, **environ: str) -> Iterator[World]:
        """Serve the store to HTTP clients."""
        with self.services(store, **environ) as services:
            yield World(services, FixedClock(services.clock.now_ms()))

    def write(self, name: str, content: object) -> Path:
        """Write a file: bytes, text, or anything else as JSON."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
        return path

    def _store(self, name: str | None) -> dict[str, str]:
        return {} if name is None else {"DMP_STORE_URL": f"sqlite:///{self.folder}/{name}.sqlite3"}

    @contextmanager
    def _inside(self, more: Mapping[str, str]) -> Iterator[None]:
        before, here = dict(os.environ), Path.cwd()
        for name in [name for name in os.environ if name.startswith("DMP_")]:
            del os.environ[name]
        os.environ.update(self.environ | dict(more))
        os.chdir(self.folder)
        try:
            yield
        finally:
            os.chdir(here)
            os.environ.clear()
            os.environ.update(before)
