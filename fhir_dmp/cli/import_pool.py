"""An import over several processes. When one of them dies, what it was at is tried alone, and the rest goes on."""

from __future__ import annotations

import gc
import os
import signal
import time
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from itertools import islice
from threading import Thread

from fhir_dmp.cli import import_work
from fhir_dmp.cli.import_files import Unit
from fhir_dmp.cli.import_work import Done, Rules
from fhir_dmp.settings import Settings

#: Units handed out for each process: enough to keep it busy, few enough to be tried again one by one.
_AHEAD = 2
#: How often a process looks whether the one that hands out work is still there, in seconds.
_LOOK_S = 1.0
_DIED = "The process that imported this died (out of memory?); what it had stored is kept. Import it again, alone."


def here(units: Sequence[Unit], settings: Settings, rules: Rules) -> Iterator[Done]:
    """Import in this process."""
    import_work.prepare(settings, rules)
    try:
        yield from map(import_work.run, units)
    finally:
        import_work.finish()


def spread(units: Sequence[Unit], settings: Settings, rules: Rules, jobs: int) -> Iterator[Done]:
    """Import over processes, in no particular order.

    Raises:
        StoreUnavailable: as soon as one process meets it.
    """
    pool = partial(ProcessPoolExecutor, initializer=_prepare, initargs=(settings, rules))
    rest = iter(units)
    while suspects := (yield from _together(rest, partial(pool, jobs), jobs)):
        for unit in suspects:
            with pool(1) as alone:
                yield _tried(alone.submit(import_work.run, unit), unit)


def _prepare(settings: Settings, rules: Rules) -> None:
    # The parent hears the keyboard and lets work in progress end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Thread(target=_end_with, args=(os.getppid(),), name="parent", daemon=True).start()
    import_work.prepare(settings, rules)
    # As in a worker of the server: what was loaded stays, and is not looked through again and again for garbage.
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


def _end_with(parent: int) -> None:
    """End this process when the one that hands out work was killed: it would wait for more of it for ever.

    What it had not committed is not there; the next import does it again.
    """
    while os.getppid() == parent:
        time.sleep(_LOOK_S)
    os._exit(1)


def _together(rest: Iterator[Unit], pool: partial[ProcessPoolExecutor], jobs: int) -> Generator[Done, None, list[Unit]]:
    """Import until the end, or until a process dies: return the units whose fate is unknown then."""
    running: dict[Future[Done], Unit] = {}
    with pool() as workers:
        try:
            for unit in islice(rest, jobs * _AHEAD):
                running[_submitted(workers, unit)] = unit
            while running:
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    done = future.result()
                    del running[future]
                    yield done
                    for unit in islice(rest, 1):
                        running[_submitted(workers, unit)] = unit
        except BrokenProcessPool:
            yield from (future.result() for future in running if _is_good(future))
    return [unit for future, unit in running.items() if not _is_good(future)]


def _submitted(workers: ProcessPoolExecutor, unit: Unit) -> Future[Done]:
    """Hand out a unit; a pool that is broken already tells so by the result."""
    try:
        return workers.submit(import_work.run, unit)
    except BrokenProcessPool as error:
        failed: Future[Done] = Future()
        failed.set_exception(error)
        return failed


def _is_good(future: Future[Done]) -> bool:
    return future.done() and not future.cancelled() and future.exception() is None


def _tried(future: Future[Done], unit: Unit) -> Done:
    try:
        return future.result()
    except BrokenProcessPool:
        return Done({"refused": 1}, [import_work.line_of(unit.name, "exception", _DIED)])
