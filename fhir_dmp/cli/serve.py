"""`fhir-dmp serve`: the server, with one worker for each processor."""

from __future__ import annotations

import os
import socket
import ssl
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from pathlib import Path
from shlex import quote
from typing import Any

import click


class _WithSettings(click.Command):
    """Ends its help with the settings."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the table of settings."""
        from fhir_dmp.configuration import rows

        with formatter.section("Settings (dmp.toml, or the environment)"):
            formatter.write_dl([(row.variable, f"{row.doc} [{row.default}]") for row in rows()])


@click.command("serve", cls=_WithSettings)
@click.option("--host", help="Address to listen on.  [127.0.0.1]")
@click.option("--port", type=click.IntRange(0, 65535), help="Port to listen on; 0 takes a free one.  [8000]")
@click.option("--workers", type=click.IntRange(1), help="Worker processes.  [one for each processor]")
@click.option("--store", metavar="URL", help="Where the record lives.  [sqlite:///var/dmp.sqlite3]")
@click.option("--demo", is_flag=True, help="Load the demonstration record; test identities are accepted.")
@click.option("--access", type=click.Choice(["enforced", "open"]), help="open: no token needed, on loopback only.")
def command(
    host: str | None, port: int | None, workers: int | None, store: str | None, demo: bool, access: str | None
) -> None:
    """Run the server.

    Example: fhir-dmp serve --demo --port 9000
    """
    given = {"HOST": host, "PORT": port, "WORKERS": workers, "ACCESS": access}
    # The workers are other processes and read the environment: an option is a variable that wins.
    os.environ.update({f"DMP_SERVER_{name}": str(value) for name, value in given.items() if value is not None})
    if store is not None:
        os.environ["DMP_STORE_URL"] = store
    if demo:
        os.environ.setdefault("DMP_IDENTITY_INS_TEST_ALLOWED", "true")
        os.environ.setdefault("DMP_SECURITY_LOCAL_PROFESSIONALS", "true")
        _declare_regulators()
    _run(demo)


def _declare_regulators() -> None:
    """Let the regulator of the demonstration be one, where no centre is configured."""
    from fhir_dmp import configuration
    from fhir_dmp.demo.people import HOSPITAL

    if not configuration.load().access.regulation_centres:
        os.environ["DMP_ACCESS_REGULATION_CENTRES"] = HOSPITAL


def _run(demo: bool) -> None:
    from fhir_dmp import bootstrap, configuration
    from fhir_dmp.cli.opening import opened

    settings = configuration.load()
    _check_open_access(settings.server.access, settings.server.host)
    _check_tls(settings.server.tls_certificate, settings.server.tls_key)
    port = _free_port(settings.server.host, settings.server.port)
    if port != settings.server.port:
        os.environ["DMP_SERVER_PORT"] = str(port)
        settings = configuration.load()
    in_memory = settings.store.url.startswith("memory:")
    if in_memory and settings.server.workers > 1:
        raise click.UsageError("a store in memory belongs to one process: use --workers 1, or another --store")
    if demo and in_memory:
        os.environ["FHIR_DMP_DEMO"] = "load"
    with _shared_metrics(settings.server.workers), _shared_meters(settings.server.workers):
        with opened(settings) as services:
            if demo and not in_memory:
                bootstrap.load_demo(services)
            _announce(services.base, demo, settings.server.access == "open")
        server = settings.server
        tls = (Path(server.tls_certificate), Path(server.tls_key)) if server.tls_certificate else None
        wsgi_server("fhir_dmp.wsgi:application", server.host, port, server.workers, server.threads, tls).serve()


@contextmanager
def _shared_metrics(workers: int) -> Iterator[None]:
    """Let one scrape of /metrics show all workers; must be set before the metrics library is imported."""
    if workers == 1:
        yield
        return
    with tempfile.TemporaryDirectory(prefix="fhir-dmp-metrics-") as folder:
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder
        yield


@contextmanager
def _shared_meters(workers: int) -> Iterator[None]:
    """Let rate limits count what all workers see."""
    if workers == 1:
        yield
        return
    with tempfile.TemporaryDirectory(prefix="fhir-dmp-meters-") as folder:
        os.environ["FHIR_DMP_METERS"] = str(Path(folder) / "meters")
        yield


def _check_open_access(access: str, host: str) -> None:
    if access == "open" and not is_loopback(host):
        raise click.UsageError(f"--access open is refused on {host}: bind to 127.0.0.1, or keep access enforced")


def _check_tls(certificate: str, key: str) -> None:
    """Refuse what would start without TLS, or not at all.

    Raises:
        ConfigurationError: one of the two files is missing or cannot be used.
    """
    from fhir_dmp.errors import ConfigurationError, Problem

    if not certificate and not key:
        return
    if not certificate or not key:
        missing = "server.tls_key" if certificate else "server.tls_certificate"
        raise ConfigurationError(Problem(missing, "is not set", "name both files, or none behind a proxy"))
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key)
    except (OSError, ValueError) as error:
        what = f"cannot be used with its key ({error.strerror or error})" if isinstance(error, OSError) else str(error)
        raise ConfigurationError(Problem("server.tls_certificate", what, "name a PEM chain and its key")) from error


def is_loopback(host: str) -> bool:
    """Say whether only this machine can reach the address."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _free_port(host: str, port: int) -> int:
    """Return the port, or a free one for 0; say so in words when it is taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise click.ClickException(
                f"cannot listen on {host}:{port} ({error.strerror}): choose another --host or --port"
            ) from error
        bound: int = probe.getsockname()[1]
        return bound


def _announce(base: str, demo: bool, is_open: bool) -> None:
    home = base.removesuffix("/fhir")
    click.echo(f"FHIR      {base}")
    click.echo(f"Browser   {home}/")
    click.echo(f"Health    {home}/health/ready    Metrics {home}/metrics    OpenAPI {home}/openapi.json")
    if is_open:
        click.echo("Access    open: no token is needed, everything is still checked and audited")
    if demo:
        _announce_demo(base, is_open)


def _announce_demo(base: str, is_open: bool) -> None:
    from fhir_dmp import bootstrap

    for line in bootstrap.demo_accounts():
        click.echo(line)
    authorization = "" if is_open else f' -H "Authorization: Bearer $({_token_command()})"'
    click.echo(f"Try       curl{authorization} '{base}/Patient?_pretty=true'")


#: What another terminal must know to find the same store and keys.
_SHARED = (
    "DMP_CONFIG",
    "DMP_STORE_URL",
    "DMP_STORE_ENCRYPTION_KEYS",
    "DMP_STORE_DATA_KEYS_URL",
    "DMP_SECURITY_KEYS_DIR",
    "DMP_SERVER_BASE_URL",
    "DMP_SERVER_ISSUER",
)


def _token_command() -> str:
    """Return a shell command that prints a token, from any folder: same store and configuration as this server."""
    program = Path(sys.argv[0])
    found = program.stem == "fhir-dmp" and program.is_file()
    words = [str(program.absolute())] if found else [sys.executable, "-m", "fhir_dmp.cli"]
    given = [f"{name}={quote(os.environ[name])}" for name in _SHARED if name in os.environ]
    return f"cd {quote(str(Path.cwd()))} && {' '.join([*given, *map(quote, words)])} token --as admin"


def wsgi_server(
    application: str, host: str, port: int, workers: int, threads: int, tls: tuple[Path, Path] | None = None
) -> Any:
    """Return granian with our options for a WSGI application `module:name`; `serve()` runs it until it is stopped.

    tls: certificate chain and key. TLS 1.0 and 1.1 do not exist in its library. [security S-11]
    """
    # Read by the allocator of granian in each worker: what large answers took goes back to the system after a second,
    # where it would keep tens of MB for each thread.
    os.environ.setdefault("_RJEM_MALLOC_CONF", "narenas:2,dirty_decay_ms:1000,muzzy_decay_ms:0")
    from granian import Granian
    from granian.constants import Interfaces, SSLProtocols
    from granian.log import LogLevels

    return Granian(
        application,
        address=host,
        port=port,
        interface=Interfaces.WSGI,
        workers=workers,
        blocking_threads=threads,
        respawn_failed_workers=True,
        respawn_interval=0.5,
        workers_kill_timeout=30,
        backpressure=max(threads * 16, 64),
        websockets=False,
        log_level=LogLevels.error,
        ssl_cert=tls[0] if tls else None,
        ssl_key=tls[1] if tls else None,
        ssl_protocol_min=SSLProtocols.tls12,
    )
