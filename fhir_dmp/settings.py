"""The configuration: one typed tree, read once by bootstrap. Defaults are safe; unknown keys stop the start.

`dmp.toml` holds one table for each room (`[store] url = ...`); `DMP_STORE_URL` in the environment wins over it, and
`DMP_STORE_URL_FILE` names a file that holds the value. Each field's documentation is the metadata `doc`, from which
docs/settings.md and `fhir-dmp serve --help` are generated.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from ipaddress import ip_network
from typing import Any, get_type_hints

from fhir_dmp.errors import ConfigurationError, Problem

#: The largest number that any setting takes: what is larger was a slip of the hand.
MOST = 2**31 - 1
_NUMBER = re.compile(r"-?[0-9]{1,18}")
#: Forms of texts: what they are called in a refusal, and their pattern. An empty text is always taken: nothing is set.
_FORMS = {
    "url": ("an http or https URL", re.compile(r"https?://[^\s/?#]+[^\s#]*")),
    "origin": ("an origin such as https://app.example", re.compile(r"https?://[^\s/?#]+")),
    "oid": ("an OID such as 1.2.250.1", re.compile(r"[0-2](\.(0|[1-9]\d*))+")),
    "host": ("a host name or address", re.compile(r"[^\s/]+")),
    "mailbox": ("a mail address", re.compile(r".*[^\s@<]+@[^\s@>]+>?")),
}


def _setting(
    default: Any,
    doc: str,
    *,
    choices: tuple[str, ...] = (),
    secret: bool = False,
    least: int = 0,
    most: int = MOST,
    form: str = "",
) -> Any:
    """Return a field. least, most: bounds of a number; form: a key of _FORMS, or `network`, for each text."""
    metadata = {"doc": doc, "choices": choices, "secret": secret, "least": least, "most": most, "form": form}
    return field(default=default, metadata=metadata)


@dataclass(frozen=True, slots=True)
class Store:
    """Where the record lives."""

    url: str = _setting(
        "sqlite:///var/dmp.sqlite3", "`sqlite:///FILE`, `mongodb://host/db?replicaSet=rs0` or `memory:`"
    )
    allow_standalone: bool = _setting(False, "accept a MongoDB without transactions (no replica set)")
    encryption_keys: str = _setting(
        "", "file of the master keys (`fhir-dmp encryption new-key`): a new store is encrypted; empty: in clear"
    )
    data_keys_url: str = _setting(
        "", "store that holds the data keys of an encrypted store (`sqlite:///FILE`...); empty: the record's own"
    )
    # A shorter time would refuse ordinary reads.
    query_timeout_ms: int = _setting(
        20_000, "longest time of one query in ms, at least 100; a search above it is 422 `too-costly`", least=100
    )

    @property
    def file(self) -> str:
        """The SQLite file, empty when the store is another."""
        scheme, _, rest = self.url.partition(":")
        return rest.removeprefix("///") if scheme == "sqlite" else ""


@dataclass(frozen=True, slots=True)
class Server:
    """How the server is reached, and its limits."""

    host: str = _setting("127.0.0.1", "address to listen on", form="host")
    port: int = _setting(8000, "port to listen on", most=65_535)
    workers: int = _setting(0, "worker processes; 0: one for each processor")
    threads: int = _setting(8, "threads that run requests in each worker", least=1)
    base_url: str = _setting("", "public URL of the FHIR base; empty: from host and port", form="url")
    issuer: str = _setting("", "public URL of the authorization server; empty: from host and port", form="url")
    tls_certificate: str = _setting("", "PEM file of the certificate chain: the server itself speaks TLS 1.2 and 1.3")
    tls_key: str = _setting("", "PEM file of the certificate's private key")
    max_body_bytes: int = _setting(52428800, "largest request body, in bytes; above: 413", least=1)
    max_bundle_entries: int = _setting(1000, "largest batch or transaction", least=1)
    timezone: str = _setting("Europe/Paris", "zone of dates written without offset")
    default_count: int = _setting(20, "page size when _count is absent", least=1)
    max_count: int = _setting(1000, "largest page size", least=1)
    allowed_origins: tuple[str, ...] = _setting((), "origins that browsers may call from (CORS)", form="origin")
    access: str = _setting(
        "enforced", "`open`: no token needed, on a loopback address only", choices=("enforced", "open")
    )
    access_log: bool = _setting(True, "write a line to stderr for each FHIR request")
    types_off: tuple[str, ...] = _setting((), "resource types that are not offered, such as `Claim,Invoice`")
    trusted_proxies: tuple[str, ...] = _setting(
        (), "addresses of proxies whose Forwarded headers are believed", form="network"
    )


@dataclass(frozen=True, slots=True)
class Identity:
    """The national health identity."""

    ins_key_check: str = _setting("strict", "control key of the INS", choices=("strict", "warn", "off"))
    ins_test_allowed: bool = _setting(False, "accept INS of the test and demonstration authorities")
    status_required: str = _setting(
        "QUAL", "weakest identity status that may open a dossier; empty: any", choices=("QUAL", "VALI", "")
    )
    traits_check: bool = _setting(True, "refuse a submission whose traits contradict the dossier's")


@dataclass(frozen=True, slots=True)
class Documents:
    """Rules of documents."""

    author_check: str = _setting("strict", "caller must be an author of what it submits", choices=("strict", "warn"))
    verify_hash: str = _setting("strict", "attachment hash and size", choices=("strict", "warn"))
    cda_metadata: str = _setting(
        "strict", "type, class and format of a published CDA are those of its header", choices=("strict", "warn")
    )
    mask_plus_invisible: bool = _setting(True, "allow MASQUE_PS and INVISIBLE_PATIENT together")
    clock_skew_minutes: int = _setting(5, "how far in the future a submission may be dated")
    fhir_documents: bool = _setting(True, "accept native FHIR documents (Bundle of type document)")
    extract: bool = _setting(False, "store what a submitted CDA says as resources of its own, beside it")
    operator_name: str = _setting("Opérateur du DMP", "name of the organisation that keeps the record")
    operator_oid: str = _setting(
        "2.25.287306243198211374602197231406178533376", "OID of this system (ihe-sourceId)", form="oid"
    )
    default_count: int = _setting(50, "page size of document searches when _count is absent", least=1)
    max_count: int = _setting(500, "largest page size of document searches", least=1)
    minors: bool = _setting(True, "manage INVISIBLE_REPRESENTANTS_LEGAUX")
    age_of_majority: int = _setting(18, "in years", least=1)
    content_search_ms: int = _setting(
        2000, "longest time to read the words of a PDF for `_content`, in ms; 0: contents are not searched"
    )
    scanner_url: str = _setting(
        "",
        "virus scanner that every content is shown to: `clamd://host:3310` or `clamd:///run/clamav/clamd.ctl`; "
        "empty: none, scan in the proxy or on the host",
    )
    scanner_down: str = _setting(
        "refuse",
        "content that the scanner cannot judge: 503, or stored and not delivered until it was scanned",
        choices=("refuse", "quarantine"),
    )
    retention_years: int = _setting(10, "years that content is kept after closing")


@dataclass(frozen=True, slots=True)
class Access:
    """Who may see what."""

    care_team_initial_consent_required: bool = _setting(True, "team access needs a recorded consent of the patient")
    matrix: str = _setting("", "path of a habilitation matrix (CSV); empty: the packaged one")
    authorisation_default_days: int = _setting(0, "length of an authorisation without end; 0: unlimited")
    mask_visible_in_btg: bool = _setting(False, "show masked documents in an emergency")
    author_sees_masked: bool = _setting(True, "an author keeps seeing the own document when it is masked")
    btg_overrides_block: bool = _setting(False, "break-glass is open to a professional whom the patient blocked")
    announce_days: int = _setting(
        30, "days from its deposit in which a document may still be hidden from the patient (INVISIBLE_PATIENT)"
    )
    minor_own_access_min_age: int = _setting(16, "age from which a minor has access of the own, in years")
    training_like_profession: bool = _setting(True, "the matrix treats a profession in training like the profession")
    btg_professions: tuple[str, ...] = _setting(
        ("10", "21", "40", "50", "60", "69"), "professions allowed to break the glass"
    )
    regulation_centres: tuple[str, ...] = _setting((), "structures (StructIdNat) whose professionals may be regulators")


@dataclass(frozen=True, slots=True)
class Audit:
    """The audit trail."""

    durability: str = _setting("before-answer", "when a read's record is durable", choices=("before-answer", "batched"))
    seal_every_s: int = _setting(
        10, "longest time between two signed checkpoints while records come in, in seconds", least=1
    )
    checkpoints: str = _setting(
        "", "file that checkpoints are copied to, best on another machine; empty: beside the SQLite file or the keys"
    )


@dataclass(frozen=True, slots=True)
class Security:
    """Tokens and keys."""

    keys_dir: str = _setting("", "folder of the signing keys; empty: beside the SQLite file, or var/keys")
    token_leeway_s: int = _setting(30, "clock difference accepted on tokens, in seconds")
    local_professionals: bool = _setting(
        False, "let professionals sign in with local accounts, without Pro Santé Connect (demonstrations)"
    )
    registration_token: str = _setting(
        "", "initial access token of /auth/register (RFC 7591); empty: nobody registers there", secret=True
    )
    assertion_aud_issuer: bool = _setting(
        True, "a client's assertion may name the issuer as its audience, not the token endpoint alone"
    )
    refresh_grace_s: int = _setting(
        0, "for how many seconds (at most 10) a replaced refresh token still gives its successor", most=10
    )
    client_certificate_header: str = _setting(
        "", "header in which a trusted proxy hands on the client's certificate (`Client-Cert`); empty: none"
    )
    allowed_private_hosts: tuple[str, ...] = _setting(
        (), "hosts on private addresses whose key sets (JWKS) may be fetched"
    )
    ca_file: str = _setting("", "certificates (PEM) to trust when fetching key sets, beside the usual ones")
    token_ttl_s: int = _setting(3600, "lifetime of tokens printed by `fhir-dmp token`, in seconds", least=1)


@dataclass(frozen=True, slots=True)
class Mail:
    """Notices to patients."""

    smtp_url: str = _setting(
        "",
        "`smtp://user:password@host:port` or `smtps://...`, `?tls=required`, `?ca=FILE`; empty: notices stay queued",
        secret=True,
    )
    sender: str = _setting(
        "Dossier médical partagé <ne-pas-repondre@localhost>", "From of every message", form="mailbox"
    )


@dataclass(frozen=True, slots=True)
class Upstream:
    """Identity providers that people sign in with."""

    psc_discovery_url: str = _setting("", "discovery document of Pro Santé Connect; empty: not offered", form="url")
    psc_client_id: str = _setting("", "our client_id at Pro Santé Connect")
    psc_client_secret: str = _setting("", "our secret at Pro Santé Connect", secret=True)
    psc_scope: str = _setting("openid scope_all", "scopes asked for")
    psc_acr: str = _setting("eidas1", "weakest authentication class of a professional")
    fc_discovery_url: str = _setting("", "discovery document of FranceConnect+; empty: not offered", form="url")
    fc_client_id: str = _setting("", "our client_id at FranceConnect+")
    fc_client_secret: str = _setting("", "our secret at FranceConnect+", secret=True)
    fc_scope: str = _setting("openid identite_pivot email", "scopes asked for")
    fc_acr: str = _setting("eidas2", "weakest authentication class of a patient")


@dataclass(frozen=True, slots=True)
class Notices:
    """What people are told."""

    portal_url: str = _setting("", "address of the portal, named in messages; empty: none is named", form="url")
    digest_hour: int = _setting(18, "local hour at which digests are sent", most=23)
    most_at_once: int = _setting(10, "immediate messages to a person in a day; more wait for the digest")
    delay_centre15: bool = _setting(False, "tell of accesses by regulation centres a day later")


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one caller may ask; 0: any amount. Counted together by all workers of a machine."""

    requests_per_minute: int = _setting(0, "FHIR requests of one client, whoever its users are")
    reads_per_minute: int = _setting(0, "reads of one user of one client")
    searches_per_minute: int = _setting(0, "searches and histories of one user of one client")
    writes_per_minute: int = _setting(0, "creates, changes and submissions of one client")
    existence_per_hour: int = _setting(0, "times that one professional may look a patient up")
    existence_per_hour_structure: int = _setting(0, "times that one structure may look a patient up")
    access_history_per_minute: int = _setting(0, "histories of accesses ($access-history) of one user")
    tokens_per_minute: int = _setting(0, "requests of one client to the token, introspection and revocation endpoints")
    failures_per_minute: int = _setting(0, "requests without a usable token from one address")
    break_glass_per_day: int = _setting(0, "emergency accesses (tokens) of one professional in a day")


@dataclass(frozen=True, slots=True)
class Validation:
    """How strictly resources are judged."""

    mode: str = _setting("enforce", "base definitions and declared profiles", choices=("enforce", "warn", "off"))
    types: tuple[str, ...] = _setting((), "another mode for a type, as `Type=mode` (`Observation=warn`)")
    minimum: tuple[str, ...] = _setting(
        (), "profile that every resource of a type must have, as `Type=URL`, whatever it declares"
    )
    packages: str = _setting("", "folder of the added packages; empty: `packages` beside the signing keys")


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings, one room each."""

    store: Store = field(default_factory=Store)
    server: Server = field(default_factory=Server)
    identity: Identity = field(default_factory=Identity)
    documents: Documents = field(default_factory=Documents)
    access: Access = field(default_factory=Access)
    audit: Audit = field(default_factory=Audit)
    security: Security = field(default_factory=Security)
    mail: Mail = field(default_factory=Mail)
    notices: Notices = field(default_factory=Notices)
    limits: Limits = field(default_factory=Limits)
    upstream: Upstream = field(default_factory=Upstream)
    validation: Validation = field(default_factory=Validation)
    canonical_base: str = _setting(
        "https://dmp-fhir.example/ig", "namespace of the artefacts that this project defines", form="url"
    )

    @classmethod
    def load(cls, environ: Mapping[str, str], toml: str = "") -> Settings:
        """Return defaults, overridden by the TOML text, overridden by `DMP_*` of the environment. Pure.

        Raises:
            ConfigurationError: an unknown key, or a value of the wrong type or outside its choices.
        """
        try:
            tree = tomllib.loads(toml)
        except tomllib.TOMLDecodeError as error:
            raise ConfigurationError(Problem("dmp.toml", f"not TOML: {error}", "correct the file")) from error
        _refuse_unknown(environ)
        settings: Settings = _build(cls, tree, "DMP", environ, "")
        return settings


ROOMS = tuple(f.name for f in fields(Settings) if f.name != "canonical_base")
_KINDS = {name: kind for name, kind in get_type_hints(Settings).items() if name in ROOMS}


def _build(kind: Any, table: Any, prefix: str, environ: Mapping[str, str], path: str) -> Any:
    if not isinstance(table, dict):
        raise ConfigurationError(Problem(path or "dmp.toml", "must be a table"))
    hints = get_type_hints(kind)
    known = {f.name: f for f in fields(kind)}
    for key in table:
        if key not in known:
            where = f"{path}.{key}" if path else key
            raise ConfigurationError(Problem(where, "unknown setting", f"known here: {', '.join(sorted(known))}"))
    values: dict[str, Any] = {}
    for name, item in known.items():
        where = f"{path}.{name}" if path else name
        variable = f"{prefix}_{name.upper()}"
        if name in ROOMS and not path:
            values[name] = _build(hints[name], table.get(name, {}), variable, environ, name)
        elif variable in environ:
            values[name] = _value(environ[variable], hints[name], item.metadata, variable)
        elif name in table:
            values[name] = _value(table[name], hints[name], item.metadata, where)
    return kind(**values)


def _value(raw: Any, kind: Any, metadata: Mapping[str, Any], where: str) -> Any:
    value: Any = raw
    if kind is bool and isinstance(raw, str):
        if raw.lower() not in ("true", "false", "1", "0", "yes", "no"):
            raise ConfigurationError(Problem(where, f"'{raw}' is neither true nor false"))
        value = raw.lower() in ("true", "1", "yes")
    elif kind is int and isinstance(raw, str):
        if not _NUMBER.fullmatch(raw):
            raise ConfigurationError(Problem(where, f"'{raw}' is not a whole number"))
        value = int(raw)
    elif kind not in (bool, int, str):
        value = tuple(part.strip() for part in raw.split(",") if part.strip()) if isinstance(raw, str) else raw
        if not isinstance(value, tuple | list):
            raise ConfigurationError(Problem(where, "must be a list"))
        value = tuple(value)
    if kind in (bool, int, str) and type(value) is not kind:
        raise ConfigurationError(Problem(where, f"must be of type {kind.__name__}"))
    if kind not in (bool, int, str) and not all(isinstance(each, str) for each in value):
        raise ConfigurationError(Problem(where, "must be a list of texts"))
    if metadata.get("choices") and value not in metadata["choices"]:
        choices = ", ".join(repr(choice) for choice in metadata["choices"])
        raise ConfigurationError(Problem(where, f"'{value}' is not one of {choices}"))
    for each in value if isinstance(value, tuple) else (value,):
        _fits(each, metadata, where)
    return value


def _fits(value: object, metadata: Mapping[str, Any], where: str) -> None:
    """Check the bounds of a number and the form of a text.

    Raises:
        ConfigurationError: it is outside of them.
    """
    if type(value) is int and not metadata["least"] <= value <= metadata["most"]:
        todo = f"from {metadata['least']} to {metadata['most']}"
        raise ConfigurationError(Problem(where, f"{value} is out of range", todo))
    if not isinstance(value, str) or not value:
        return
    if any(char < " " for char in value):
        raise ConfigurationError(Problem(where, "holds a control character", "remove it"))
    form = metadata["form"]
    if form == "network":
        try:
            ip_network(value, strict=False)
        except ValueError as error:
            what = f"'{value}' is no address or network"
            raise ConfigurationError(Problem(where, what, "as 10.0.0.1 or 10.0.0.0/24")) from error
    elif form and not _FORMS[form][1].fullmatch(value):
        raise ConfigurationError(Problem(where, f"'{value}' is not {_FORMS[form][0]}"))


def _refuse_unknown(environ: Mapping[str, str]) -> None:
    """Refuse a variable of a room that names no setting: a slip of the hand would leave the default in force.

    Raises:
        ConfigurationError: names the variable, and the one that is most like it.
    """
    known = {f"DMP_{room.upper()}_{item.name.upper()}" for room in ROOMS for item in fields(_KINDS[room])}
    rooms = tuple(f"DMP_{room.upper()}_" for room in ROOMS)
    for name in sorted(environ):
        if name.startswith(rooms) and name not in known and name.removesuffix("_FILE") not in known:
            like = get_close_matches(name, known, 1)
            raise ConfigurationError(Problem(name, "unknown setting", f"did you mean {like[0]}?" if like else ""))
