"""What follows from the settings: URLs, zone, rules of documents, matrix, types that are off, identity providers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from fhir_dmp import definitions, keyring
from fhir_dmp.access.matrix import Matrix, parse_matrix
from fhir_dmp.documents.rules import Rules as DocumentRules
from fhir_dmp.errors import ConfigurationError, Problem
from fhir_dmp.fhir.structure import Structures
from fhir_dmp.patients.ins import InsRules
from fhir_dmp.ports import Clock, IdentityProvider, Scanner
from fhir_dmp.settings import Settings
from fhir_dmp.terminology.codes import Codes


def zone_of(name: str) -> ZoneInfo:
    """Return the time zone.

    Raises:
        ConfigurationError: no such zone.
    """
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise ConfigurationError(Problem("server.timezone", f"no time zone '{name}'")) from error


def public_urls(settings: Settings) -> tuple[str, str]:
    """Return the public FHIR base and the issuer, from the settings or from host and port."""
    server = settings.server
    here = f"{'https' if server.tls_certificate else 'http'}://{server.host}:{server.port}"
    return (server.base_url or f"{here}/fhir").rstrip("/"), (server.issuer or f"{here}/auth").rstrip("/")


def witness_of(settings: Settings, *, given: bool = False) -> Path | None:
    """Return the file that keeps checkpoints outside of the store; given: the store is not that of the settings."""
    if settings.audit.checkpoints:
        return Path(settings.audit.checkpoints)
    if given or settings.store.url.startswith("memory:"):
        return None
    if settings.store.file:
        path = Path(settings.store.file)
        return path.with_name(path.name + "-checkpoints.jsonl")
    return keyring.folder_of(settings) / f"checkpoints-{urlsplit(settings.store.url).path.strip('/') or 'dmp'}.jsonl"


def providers(settings: Settings, clock: Clock) -> dict[str, IdentityProvider]:
    """Return the identity providers that are configured."""
    from fhir_dmp.upstream.openid import OpenIdProvider, Relation

    found: dict[str, IdentityProvider] = {}
    for name in ("psc", "fc"):
        given = {key: getattr(settings.upstream, f"{name}_{key}") for key in
                 ("discovery_url", "client_id", "client_secret", "scope", "acr")}  # fmt: skip
        if given["discovery_url"]:
            found[name] = OpenIdProvider(Relation(name, **given), clock)
    return found


def scanner(url: str) -> Scanner | None:
    """Return the virus scanner that is configured.

    Raises:
        ConfigurationError: not the URL of one.
    """
    if not url:
        return None
    from fhir_dmp.upstream.clamd import clamd_of

    return clamd_of(url)


def document_rules(settings: Settings, base: str, ins: InsRules) -> DocumentRules:
    documents = settings.documents
    return DocumentRules(
        fhir_base=base,
        codes=Codes.load(definitions.load_json),
        ins=ins,
        author_check=documents.author_check,
        verify_hash=documents.verify_hash,
        cda_metadata=documents.cda_metadata,
        traits_check="strict" if settings.identity.traits_check else "off",
        profiles=settings.validation.mode,
        mask_plus_invisible=documents.mask_plus_invisible,
        minors=documents.minors,
        age_of_majority=documents.age_of_majority,
        skew_ms=documents.clock_skew_minutes * 60_000,
        fhir_documents=documents.fhir_documents,
        zone=zone_of(settings.server.timezone),
        operator_name=documents.operator_name,
        operator_oid=documents.operator_oid,
    )


def matrix(settings: Settings) -> Matrix:
    path, training = settings.access.matrix, settings.access.training_like_profession
    if not path:
        return parse_matrix(definitions.read("mappings/habilitation-matrix.csv"), training_like_profession=training)
    try:
        return parse_matrix(Path(path).read_bytes(), training_like_profession=training)
    except OSError as error:
        raise ConfigurationError(Problem("access.matrix", f"cannot read {path}", "correct the path")) from error


#: What the record itself is made of: these types cannot be switched off.
_RECORD = """AuditEvent Basic Binary Bundle CareTeam Consent DocumentReference List OperationOutcome Organization
    Parameters Patient Person Practitioner PractitionerRole Provenance RelatedPerson"""


NEEDED = frozenset(_RECORD.split())


def switched_off(settings: Settings, structures: Structures) -> frozenset[str]:
    """Return the resource types that this deployment does not offer.

    Raises:
        ConfigurationError: something that is no resource type, or one that the record is made of.
    """
    for name in settings.server.types_off:
        if not structures.is_resource(name):
            raise ConfigurationError(Problem("server.types_off", f"'{name}' is no resource type of FHIR R4"))
        if name in NEEDED:
            raise ConfigurationError(Problem("server.types_off", f"{name} is part of the record and stays on"))
    return frozenset(settings.server.types_off)


#: Variables by which libraries switch protections off, for development: never beside a record.
DEVELOPMENT_SWITCHES = ("AUTHLIB_INSECURE_TRANSPORT", "FLASK_DEBUG", "WERKZEUG_DEBUG_PIN", "PYTHONHTTPSVERIFY")


def refuse_development_switches(environ: Mapping[str, str]) -> None:
    """Refuse to start where the environment switches a protection off. [security H-21]

    Raises:
        ConfigurationError: names the variable.
    """
    for name in DEVELOPMENT_SWITCHES:
        harmless = environ.get(name, "") in (("1", "") if name == "PYTHONHTTPSVERIFY" else ("0", ""))
        if not harmless:
            raise ConfigurationError(Problem(name, "switches a protection off", "remove it from the environment"))
