"""The command line of the measurements."""

from __future__ import annotations

import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import click

from tests.benchmarks import (
    coding,
    converting,
    crashing,
    enforcing,
    feeding,
    importing,
    issuing,
    querying,
    reading,
    report,
    sealing,
    searching,
    starting,
    storing,
    submitting,
    validating,
    verifying,
)


@dataclass(frozen=True, slots=True)
class Options:
    """What all measurements share."""

    write: bool
    folder: Path
    rounds: int
    seconds: float

    @property
    def command(self) -> str:
        """The command as it was typed, for the page of figures; a folder or file of this machine by its last name."""
        typed = (part for part in sys.argv[1:] if part != "--write")
        return " ".join(["scripts/bench", *(Path(part).name if Path(part).is_absolute() else part for part in typed)])

    def show(self, table: report.Table) -> None:
        """Print a table, and keep it when asked."""
        report.show(table, write=self.write)


documents = click.option("--documents", default=1_000_000, show_default=True, help="Documents in the large store.")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--write", is_flag=True, help="Put the figures into docs/benchmarks.md.")
@click.option("--folder", type=click.Path(path_type=Path), help="Where records are made, and kept.  [a temporary one]")
@click.option("--rounds", default=3, show_default=True, help="How often each measurement is repeated.")
@click.option("--seconds", default=4.0, show_default=True, help="How long each lasts.")
@click.pass_context
def group(context: click.Context, write: bool, folder: Path | None, rounds: int, seconds: float) -> None:
    """Measure the real server: granian, SQLite with synchronous=FULL, audit on, two workers, 16 connections.

    Example: scripts/bench --folder /var/tmp/bench search --documents 100000
    """
    if folder is None:
        folder = Path(context.with_resource(tempfile.TemporaryDirectory(prefix="fhir-dmp-bench-")))
    folder.mkdir(parents=True, exist_ok=True)
    context.obj = Options(write, folder.resolve(), rounds, seconds)


@group.command()
@click.pass_obj
def read(options: Options) -> None:
    """Read one document, against bare WSGI on the same server."""
    options.show(reading.measure(options.folder, options.command, rounds=options.rounds, seconds=options.seconds))


@group.command()
@click.pass_obj
def validate(options: Options) -> None:
    """Judge a document and a submission by their profiles, and compile every profile."""
    options.show(validating.measure(options.command, rounds=options.rounds, seconds=options.seconds))


@group.command()
@documents
@click.pass_obj
def search(options: Options, documents: int) -> None:
    """Find a patient's newest documents by type, at 10,000 and at N stored documents."""
    options.show(
        searching.measure(
            options.folder, options.command, documents=documents, rounds=options.rounds, seconds=options.seconds
        )
    )


@group.command()
@documents
@click.pass_obj
def query(options: Options, documents: int) -> None:
    """Compare forms of a search: chained, with includes, page 500, nothing found."""
    options.show(querying.measure(options.folder, options.command, documents=documents))


@group.command()
@documents
@click.pass_obj
def enforce(options: Options, documents: int) -> None:
    """Search and read a patient's documents with the access decision and without."""
    options.show(
        enforcing.measure(
            options.folder, options.command, documents=documents, rounds=options.rounds, seconds=options.seconds
        )
    )


@group.command()
@click.pass_obj
def submit(options: Options) -> None:
    """Submit documents of 100 KB (ITI-65)."""
    options.show(submitting.measure(options.folder, options.command, rounds=options.rounds, seconds=options.seconds))


@group.command()
@click.pass_obj
def atrest(options: Options) -> None:
    """Compare an encrypted store with one in clear, in processor time."""
    options.show(sealing.measure(options.command, rounds=options.rounds, seconds=options.seconds))


@group.command()
@click.pass_obj
def oauth(options: Options) -> None:
    """Issue tokens to software, judge them, revoke them."""
    options.show(issuing.measure(options.folder, options.command, rounds=options.rounds, seconds=options.seconds))


@group.command()
@click.option("--people", default=2_000, show_default=True, help="How many dossiers are fed.")
@click.pass_obj
def feed(options: Options, people: int) -> None:
    """Deposit the monthly documents of the insurance fund."""
    options.show(feeding.measure(options.folder, options.command, people=people))


@group.command("import")
@click.option("--resources", default=30_000, show_default=True, help="How many resources.")
@click.option(
    "--cda",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="A folder of CDA files to import instead, with extraction.",
)
@click.option("--copies", default=1, show_default=True, help="How often each CDA is imported, under ids of its own.")
@click.pass_obj
def import_(options: Options, resources: int, cda: Path | None, copies: int) -> None:
    """Import NDJSON, or CDA documents with what they say."""
    if cda is None:
        options.show(importing.measure(options.folder, options.command, resources=resources))
    else:
        options.show(importing.measure_cda(options.folder, options.command, documents=cda, copies=copies))


@group.command()
@click.pass_obj
def start(options: Options) -> None:
    """Start the server: time to the first answer, memory of a worker."""
    options.show(starting.measure(options.folder, options.command, rounds=options.rounds, seconds=options.seconds))


@group.command()
@click.option("--documents", default=100_000, show_default=True, help="Documents in the largest store.")
@click.option("--url", help="An empty store to measure instead of SQLite, such as mongodb://host/name.")
@click.pass_obj
def store(options: Options, documents: int, url: str | None) -> None:
    """Measure a store alone."""
    options.show(
        storing.measure(options.folder, options.command, documents=documents, seconds=options.seconds, url=url)
    )


@group.command()
@click.option("--kills", default=20, show_default=True, help="How often the server is killed.")
@click.option("--seed", default=20261122, show_default=True, help="What the writers write.")
@click.pass_obj
def crash(options: Options, kills: int, seed: int) -> None:
    """Kill the server under write load, and prove that nothing was lost."""
    options.show(crashing.measure(options.folder, options.command, rounds=kills, seconds=options.seconds, seed=seed))


@group.command()
@click.option("--entries", default=200_000, show_default=True, help="Records in the trail.")
@click.option("--url", help="An empty store to measure instead of SQLite, such as mongodb://host/name.")
@click.pass_obj
def audit(options: Options, entries: int, url: str | None) -> None:
    """Seal and verify an audit trail."""
    options.show(verifying.measure(options.folder, options.command, entries=entries, url=url))


@group.command()
@click.option(
    "--documents",
    "folder",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    required=True,
    help="A folder of CDA files, such as the public examples of the ANS.",
)
@click.option("--schema", type=click.Path(exists=True, path_type=Path), help="CDA_extended.xsd, to check what is made.")
@click.option("--page", is_flag=True, help="Write docs/cda-coverage.md.")
def cda(folder: Path, schema: Path | None, page: bool) -> None:
    """Convert CDA files both ways: coverage, losses, validity, round trip, time and memory."""
    text = converting.measure(folder, schema)
    click.echo(text)
    if page:
        converting.PAGE.write_text(text, encoding="utf-8")


@group.command()
@click.option("--codes", default=100_000, show_default=True, help="How many codes the code system has.")
@click.pass_obj
def terms(options: Options, codes: int) -> None:
    """Ask about a code of a large code system."""
    options.show(coding.measure(options.command, codes=codes, rounds=options.rounds))


@group.command("all")
@documents
@click.pass_context
def everything(context: click.Context, documents: int) -> None:
    """Run all of them."""
    for command in (read, submit, feed, oauth, import_, start, crash):
        context.invoke(command)
    context.invoke(search, documents=documents)
    context.invoke(query, documents=documents)
    context.invoke(enforce, documents=documents)
    context.invoke(store)


if __name__ == "__main__":
    group()
