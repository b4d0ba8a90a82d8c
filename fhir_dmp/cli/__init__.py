"""The command line `fhir-dmp`: one module for each command, imported when it is called.

Exit status 0: done; 1: the work failed; 2: bad usage or configuration. Errors are one line on stderr that says what to
do.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from keyword import iskeyword

import click

from fhir_dmp import __version__

#: Command -> what it does, in one line. The module of the same name (`import_` for import) holds `command`.
COMMANDS = {
    "serve": "Run the server.",
    "token": "Print an access token signed with this server's key.",
    "client": "Register, list, suspend clients, or give one a new secret.",
    "encryption": "Make, rotate and look at the keys of encryption at rest.",
    "keys": "List or rotate the keys that sign tokens.",
    "account": "Add, list or disable local accounts.",
    "check": "Check configuration, store, keys, clock and mail.",
    "migrate": "Bring the store's schema up to date.",
    "reindex": "Recompute the search index.",
    "copy": "Copy the whole store into another one, of another kind or encrypted.",
    "import": "Import resources, bundles, CDA documents and exported records.",
    "scan": "Scan the contents that wait in quarantine.",
    "deliver": "Send queued notices by SMTP.",
    "audit": "Prove that the audit trail is whole, and export it.",
    "access": "Explain access decisions; show, compare and activate the habilitation matrix.",
    "cda": "Convert and check CDA documents, without a server.",
    "export": "Export the whole record of a patient.",
    "dossiers": "Open dossiers for a whole population.",
    "report": "Count the documents whose deposit is compulsory.",
    "retention": "Destroy closed dossiers whose time is over.",
    "validate": "Judge files as R4 and as profiles.",
    "profiles": "List the server's profiles, or write them as a FHIR package.",
    "packages": "Add, list and remove FHIR packages.",
}


class LazyGroup(click.Group):
    """Lists commands from the table above, so that `--help` imports none of them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names, in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command."""
        if cmd_name not in COMMANDS:
            return None
        name = cmd_name.replace("-", "_") + ("_" if iskeyword(cmd_name) else "")
        module = importlib.import_module(f"fhir_dmp.cli.{name}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the table."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="fhir-dmp")
def group() -> None:
    """FHIR R4 server for the French shared medical record.

    Example: fhir-dmp serve --demo
    """


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit."""
    from fhir_dmp.errors import ConfigurationError, DmpError

    try:
        # click returns the status of an Exit here; commands themselves return nothing.
        status = group.main(args=list(sys.argv[1:] if arguments is None else arguments), standalone_mode=False)
        sys.exit(status or 0)
    except click.Abort:
        _fail("interrupted", 130)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        sys.exit(2)
    except click.UsageError as error:
        hint = f" (see: {error.ctx.command_path} --help)" if error.ctx else ""
        _fail(error.format_message() + hint, 2)
    except click.ClickException as error:
        _fail(error.format_message(), error.exit_code)
    except ConfigurationError as error:
        _fail(str(error), 2)
    except DmpError as error:
        _fail(str(error), 1)
    except OSError as error:
        # A full disk, a file without rights, a closed output: what is named is what the operator must look at.
        _drop_output()
        _fail(": ".join(part for part in (error.filename, error.strerror or str(error)) if part), 1)


def _drop_output() -> None:
    """Give up what cannot be written: at exit the interpreter would try again, and say so in its own words."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _fail(message: str, status: int) -> None:
    one_line = " ".join(message.split())
    click.echo(f"fhir-dmp: {one_line}", err=True)
    sys.exit(status)
