"""`fhir-dmp client`: the registry of software and catalogue applications, on the server's machine."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from fhir_dmp.bootstrap import Wired

_KINDS = ("lps", "proxy", "catalogue-app", "feeder", "resource-server", "auditor-ui", "admin-ui")
_AUTH = {
    "none": "none",
    "secret": "client_secret_basic",
    "private_key_jwt": "private_key_jwt",
    "mtls": "tls_client_auth",
}
_USERS = ("patient", "professional", "auditor", "admin")
_OPERATOR = "fhir-dmp"


@click.group("client")
def command() -> None:
    """Register, list, suspend clients, or give one a new secret.

    Example: fhir-dmp client list
    """


@command.command("add")
@click.option("--id", "client_id", required=True, help="Its client_id.")
@click.option("--name", required=True, help="Its name, as people see it.")
@click.option("--kind", type=click.Choice(_KINDS), required=True, help="What kind of software it is.")
@click.option("--type", "type_", type=click.Choice(["public", "confidential"]), default=None, help="Public: no proof.")
@click.option("--auth", type=click.Choice(list(_AUTH)), default=None, help="How it proves itself.")
@click.option("--jwks", default="", metavar="FILE|URL", help="Its public keys.")
@click.option("--certificate", type=click.Path(exists=True, dir_okay=False), help="Its client certificate (PEM).")
@click.option("--redirect-uri", multiple=True, metavar="URL", help="Where codes are sent.")
@click.option("--launch-uri", multiple=True, metavar="URL", help="Where an EHR opens it.")
@click.option("--post-logout-uri", multiple=True, metavar="URL", help="Where people go after signing out.")
@click.option("--origin", multiple=True, metavar="URL", help="Origin of its pages (CORS).")
@click.option("--scope", default="", metavar="SCOPES", help="The most it may ask for.")
@click.option("--grant", multiple=True, metavar="GRANT", help="Grants.  [by redirect URIs]")
@click.option("--user", multiple=True, type=click.Choice(_USERS), help="Who signs in.  [by kind]")
@click.option("--structure", default="", metavar="FINESS", help="The institution it speaks for.")
@click.option("--structure-name", default="", help="The name of the institution.")
@click.option("--finality", default="", help="Of a catalogue application: prevention, diagnosis, care, follow-up.")
@click.option("--decision", default="", help="Reference of the referencing decision.")
@click.option("--read-class", multiple=True, metavar="CODE", help="Document class it may read (TRE_A03).  [all]")
@click.option("--write-class", multiple=True, metavar="CODE", help="Document class it may write.  [all]")
@click.option("--contact", multiple=True, help="Whom to write to.")
@click.option("--introspects", is_flag=True, help="It may introspect tokens of every client.")
def add(**given: Any) -> None:
    """Register a client and print what it needs as JSON; a secret is shown once.

    Example: fhir-dmp client add --id carnet --name Carnet --kind lps --type public --redirect-uri
    https://carnet.example/callback --scope "openid launch/patient patient/*.rs"
    """
    from fhir_dmp import configuration
    from fhir_dmp.cli.opening import opened
    from fhir_dmp.oauth.authority import Request
    from fhir_dmp.oauth.registration import register, shown, with_secret

    values = _values(given)
    with opened(configuration.load()) as services:
        client, secret = with_secret(values)
        register(services.authority, client, _OPERATOR, Request({}))
        told = {**shown(client), **_addresses(services)}
        if secret:
            told["client_secret"] = secret
        click.echo(json.dumps(told, indent=2, ensure_ascii=False))


def _addresses(services: Wired) -> dict[str, str]:
    return {"fhir_base": services.base, "token_endpoint": services.authority.token_endpoint}


def _values(given: dict[str, Any]) -> dict[str, Any]:
    """Turn the options into the members of a client."""
    redirects = list(given["redirect_uri"])
    grants = list(given["grant"]) or (["authorization_code", "refresh_token"] if redirects else ["client_credentials"])
    people = [given["kind"].partition("-")[0]] if given["kind"] in ("auditor-ui", "admin-ui") else ["professional"]
    users = list(given["user"]) or (["patient"] if given["kind"] == "catalogue-app" else people)
    values: dict[str, Any] = {
        "client_id": given["client_id"],
        "client_name": given["name"],
        "kind": given["kind"],
        "user_classes": users if "authorization_code" in grants else [],
        "token_endpoint_auth_method": _AUTH[_method(given)],
        "grant_types": grants,
        "scope": given["scope"],
        "redirect_uris": redirects,
        "launch_uris": list(given["launch_uri"]),
        "post_logout_redirect_uris": list(given["post_logout_uri"]),
        "allowed_origins": list(given["origin"]),
        "structure": _structure(given["structure"]),
        "structure_name": given["structure_name"],
        "contacts": list(given["contact"]),
        "introspects": given["introspects"],
    }
    if given["finality"] or given["kind"] == "catalogue-app":
        values["referencing"] = _referencing(given)
    if given["certificate"]:
        values["certificate"] = {"sha256": _thumbprint(Path(given["certificate"]))}
    return {**values, **_keys(given["jwks"])}


def _method(given: dict[str, Any]) -> str:
    if given["auth"] is None:
        chosen = "private_key_jwt" if given["jwks"] else "mtls" if given["certificate"] else ""
        return chosen or ("secret" if given["type_"] == "confidential" else "none")
    if (given["type_"] == "public") is not (given["auth"] == "none") and given["type_"]:
        raise click.UsageError("a public client has --auth none, a confidential one another")
    return str(given["auth"])


def _structure(text: str) -> str:
    from fhir_dmp.terminology.numbers import structure_id

    number = structure_id(text) if text else ""
    if number is None:
        raise click.UsageError("--structure: a FINESS has 9 characters")
    return number


def _referencing(given: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {"decision": given["decision"], "finality": given["finality"]}
    if given["read_class"]:
        found["read_classes"] = list(given["read_class"])
    if given["write_class"]:
        found["write_classes"] = list(given["write_class"])
    return found


def _thumbprint(path: Path) -> str:
    from fhir_dmp.oauth.certificates import presented

    found = presented(path.read_text(encoding="utf-8"))
    if found is None:
        raise click.ClickException(f"{path} holds no certificate in PEM")
    return found.sha256.hex()


def _keys(source: str) -> dict[str, Any]:
    if not source:
        return {}
    if source.startswith("https://"):
        return {"jwks_uri": source}
    try:
        return {"jwks": json.loads(Path(source).read_text(encoding="utf-8"))}
    except (OSError, ValueError) as error:
        raise click.ClickException(f"--jwks: {source} is no file with a JWK Set, nor an https URL") from error


@command.command("list")
@click.option("--json", "as_json", is_flag=True, help="Everything, as JSON.")
def list_(as_json: bool) -> None:
    """List the registered clients.

    Example: fhir-dmp client list
    """
    from fhir_dmp import configuration
    from fhir_dmp.cli.opening import opened
    from fhir_dmp.oauth.registration import shown

    with opened(configuration.load()) as services:
        clients = services.clients.all()
    if as_json:
        click.echo(json.dumps([shown(client) for client in clients], indent=2, ensure_ascii=False))
        return
    for client in clients:
        click.echo(f"{client.client_id:24} {client.status:9} {client.kind:15} {client.method:20} {client.name}")


@contextmanager
def _registered() -> Iterator[None]:
    """Say where to look when there is no such client."""
    from fhir_dmp.errors import NotFound

    try:
        yield
    except NotFound as error:
        raise click.ClickException(f"{error} (see: fhir-dmp client list)") from error


def _set_status(client_id: str, status: str) -> None:
    from fhir_dmp import configuration
    from fhir_dmp.cli.opening import opened
    from fhir_dmp.oauth.authority import Request
    from fhir_dmp.oauth.clients import Status
    from fhir_dmp.oauth.registration import set_status

    with _registered(), opened(configuration.load()) as services:
        set_status(services.authority, client_id, Status(status), _OPERATOR, Request({}))
    click.echo(f"{client_id}: {status}")


@command.command("disable")
@click.argument("client_id")
def disable(client_id: str) -> None:
    """Suspend a client: its tokens are refused within seconds, its authorizations end.

    Example: fhir-dmp client disable carnet
    """
    _set_status(client_id, "suspended")


@command.command("enable")
@click.argument("client_id")
def enable(client_id: str) -> None:
    """Restore a suspended client, or approve a pending one.

    Example: fhir-dmp client enable carnet
    """
    _set_status(client_id, "active")


@command.command("rotate")
@click.argument("client_id")
def rotate(client_id: str) -> None:
    """Give a client a new secret and print it; the old one stops working.

    Example: fhir-dmp client rotate portail
    """
    from fhir_dmp import configuration
    from fhir_dmp.cli.opening import opened
    from fhir_dmp.oauth.authority import Request
    from fhir_dmp.oauth.registration import new_secret

    with _registered(), opened(configuration.load()) as services:
        secret = new_secret(services.authority, client_id, _OPERATOR, Request({}))
    click.echo(json.dumps({"client_id": client_id, "client_secret": secret}))
