"""A Client as JSON values and back, and what is wrong with values that are none. [security 2.9], RFC 7591 section 2."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import Any, Final, TypeVar

from fhir_dmp.errors import Issue, Unprocessable
from fhir_dmp.oauth.clients import (
    AUTHORIZATION_CODE,
    GRANT_TYPES,
    REFRESH_TOKEN,
    Certificate,
    Client,
    Finality,
    Kind,
    Method,
    Referencing,
    Status,
    UserClass,
)
from fhir_dmp.oauth.uris import origin_of, problem_of

_CODES = TypeVar("_CODES", bound=StrEnum)
#: Grants for which software is by itself, and must prove who it is.
_OWN_GRANTS: Final = frozenset(GRANT_TYPES) - {AUTHORIZATION_CODE, REFRESH_TOKEN}
#: Bounds of lifetimes, in seconds: [security 2.5].
MOST_ACCESS_S: Final = 3600
MOST_REFRESH_S: Final = 180 * 24 * 3600
_MEMBERS: Final = frozenset(
    (
        *("client_id", "client_name", "kind", "user_classes", "token_endpoint_auth_method", "grant_types", "scope"),
        *("redirect_uris", "launch_uris", "post_logout_redirect_uris", "allowed_origins", "secret_hash", "jwks"),
        *("jwks_uri", "certificate", "structure", "structure_name", "software", "referencing", "access_token_s"),
        *("refresh_idle_s", "refresh_absolute_s", "contacts", "legal_entity", "introspects", "bulk", "status"),
    )
)


def client_json(client: Client) -> dict[str, Any]:
    """Return the client as JSON values, for the store; what people are shown has no `secret_hash`."""
    certificate, referencing = client.certificate, client.referencing
    values: dict[str, Any] = {
        "client_id": client.client_id,
        "client_name": client.name,
        "kind": client.kind.value,
        "user_classes": sorted(each.value for each in client.user_classes),
        "token_endpoint_auth_method": client.method.value,
        "grant_types": list(client.grant_types),
        "scope": client.scope,
        "redirect_uris": list(client.redirect_uris),
        "launch_uris": list(client.launch_uris),
        "post_logout_redirect_uris": list(client.post_logout_redirect_uris),
        "allowed_origins": list(client.allowed_origins),
        "secret_hash": client.secret_hash,
        "jwks": None if client.jwks is None else dict(client.jwks),
        "jwks_uri": client.jwks_uri,
        "certificate": certificate
        and {"subject": certificate.subject, "issuer": certificate.issuer, "sha256": certificate.sha256},
        "structure": client.structure,
        "structure_name": client.structure_name,
        "software": dict(client.software),
        "referencing": None if referencing is None else _referencing_json(referencing),
        "access_token_s": client.access_token_s,
        "refresh_idle_s": client.refresh_idle_s,
        "refresh_absolute_s": client.refresh_absolute_s,
        "contacts": list(client.contacts),
        "legal_entity": client.legal_entity,
        "introspects": client.introspects,
        "bulk": client.bulk,
        "status": client.status.value,
    }
    return {name: value for name, value in values.items() if value not in (None, "", [], {}, False)}


def _referencing_json(referencing: Referencing) -> dict[str, Any]:
    values = {
        "decision": referencing.decision,
        "date": referencing.date,
        "finality": referencing.finality.value,
        "read_classes": None if referencing.read_classes is None else list(referencing.read_classes),
        "write_classes": None if referencing.write_classes is None else list(referencing.write_classes),
        "hds": referencing.hds,
        "review_date": referencing.review_date,
        "evidence": dict(referencing.evidence),
    }
    return {name: value for name, value in values.items() if value is not None}


class _Reading:
    """Takes members out of values and collects what is wrong with them, so that all of it is told at once."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = values
        self.issues: list[Issue] = []

    def problem(self, name: str, what: str) -> None:
        self.issues.append(Issue("value", f"{name}: {what}", expression=(name,)))

    def text(self, name: str, *, required: bool = False, most: int = 2000) -> str:
        value = self._values.get(name, "")
        if not isinstance(value, str) or len(value) > most or (required and not value.strip()):
            self.problem(name, f"a text of 1 to {most} characters is required" if required else "must be a text")
            return ""
        return value

    def texts(self, name: str) -> tuple[str, ...]:
        value = self._values.get(name, ())
        if not isinstance(value, list | tuple) or not all(isinstance(each, str) and each for each in value):
            self.problem(name, "must be a list of texts")
            return ()
        return tuple(dict.fromkeys(value))

    def uris(self, name: str, problem: Callable[[str], str | None] = problem_of) -> tuple[str, ...]:
        found = self.texts(name)
        for uri in found:
            if what := problem(uri):
                self.problem(name, f"{uri[:200]} {what}")
        return found

    def code(self, name: str, codes: type[_CODES], default: _CODES | None = None) -> _CODES:
        value = self._values.get(name, default)
        try:
            return codes(value)
        except ValueError:
            self.problem(name, f"must be one of {', '.join(codes)}")
            return next(iter(codes))

    def codes(self, name: str, codes: type[_CODES]) -> frozenset[_CODES]:
        found = self.texts(name)
        known = {each.value for each in codes}
        if not known.issuperset(found):
            self.problem(name, f"must be among {', '.join(codes)}")
        return frozenset(codes(each) for each in found if each in known)

    def flag(self, name: str) -> bool:
        value = self._values.get(name, False)
        if not isinstance(value, bool):
            self.problem(name, "must be true or false")
        return value is True

    def seconds(self, name: str, most: int) -> int | None:
        value = self._values.get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
            self.problem(name, f"must be a number of seconds up to {most}")
            return None
        return value

    def mapping(self, name: str) -> Mapping[str, Any] | None:
        value = self._values.get(name)
        if value is not None and not isinstance(value, Mapping):
            self.problem(name, "must be an object")
            return None
        return value

    def words(self, name: str) -> dict[str, str]:
        found = self.mapping(name) or {}
        if not all(isinstance(value, str) for value in found.values()):
            self.problem(name, "must hold texts")
            return {}
        return dict(found)


def client_of(values: Mapping[str, Any]) -> Client:
    """Read a client from JSON values.

    Raises:
        Unprocessable: one issue for each member that cannot be used, the member's name as its expression.
    """
    reading = _Reading(values)
    for name in values.keys() - _MEMBERS:
        reading.problem(name[:60], "is no member of a client")
    client = Client(
        client_id=reading.text("client_id", required=True, most=100),
        name=reading.text("client_name", required=True, most=200),
        kind=reading.code("kind", Kind),
        user_classes=reading.codes("user_classes", UserClass),
        method=reading.code("token_endpoint_auth_method", Method, Method.NONE),
        grant_types=reading.texts("grant_types"),
        scope=reading.text("scope", most=8192),
        redirect_uris=reading.uris("redirect_uris"),
        launch_uris=reading.uris("launch_uris"),
        post_logout_redirect_uris=reading.uris("post_logout_redirect_uris"),
        allowed_origins=reading.uris("allowed_origins", _origin_problem),
        secret_hash=reading.text("secret_hash"),
        jwks=reading.mapping("jwks"),
        jwks_uri=reading.text("jwks_uri"),
        certificate=_certificate(reading),
        structure=reading.text("structure"),
        structure_name=reading.text("structure_name"),
        software=reading.words("software"),
        referencing=_referencing(reading),
        access_token_s=reading.seconds("access_token_s", MOST_ACCESS_S),
        refresh_idle_s=reading.seconds("refresh_idle_s", MOST_REFRESH_S),
        refresh_absolute_s=reading.seconds("refresh_absolute_s", MOST_REFRESH_S),
        contacts=reading.texts("contacts"),
        legal_entity=reading.text("legal_entity"),
        introspects=reading.flag("introspects"),
        bulk=reading.flag("bulk"),
        status=reading.code("status", Status, Status.ACTIVE),
    )
    if not reading.issues:
        _check(client, reading)
    if reading.issues:
        raise Unprocessable(issues=tuple(reading.issues))
    return client


def _origin_problem(text: str) -> str | None:
    return None if origin_of(text) == text else "is no origin (scheme, host and port, nothing more)"


def _certificate(reading: _Reading) -> Certificate | None:
    values = reading.mapping("certificate")
    if values is None:
        return None
    inner = _Reading(values)
    found = Certificate(inner.text("subject"), inner.text("issuer"), inner.text("sha256").lower().replace(":", ""))
    if inner.issues or not (found.subject or found.sha256) or values.keys() - {"subject", "issuer", "sha256"}:
        reading.problem("certificate", "needs the texts subject or sha256, and optionally issuer")
    return found


def _referencing(reading: _Reading) -> Referencing | None:
    values = reading.mapping("referencing")
    if values is None:
        return None
    inner = _Reading(values)
    found = Referencing(
        decision=inner.text("decision"),
        date=inner.text("date", most=10),
        finality=inner.code("finality", Finality),
        read_classes=inner.texts("read_classes") if "read_classes" in values else None,
        write_classes=inner.texts("write_classes") if "write_classes" in values else None,
        hds=inner.text("hds"),
        review_date=inner.text("review_date", most=10),
        evidence=inner.words("evidence"),
    )
    for issue in inner.issues:
        reading.problem(f"referencing.{issue.expression[0]}", issue.diagnostics.partition(": ")[2])
    return found


def _check(client: Client, reading: _Reading) -> None:
    """Judge members against each other."""
    if unknown := set(client.grant_types) - set(GRANT_TYPES):
        reading.problem("grant_types", f"{', '.join(sorted(unknown))[:200]} is not offered")
    if client.may_use(AUTHORIZATION_CODE):
        _check_signing_in(client, reading)
    elif client.redirect_uris:
        reading.problem("redirect_uris", "only with the grant authorization_code")
    if client.may_use(REFRESH_TOKEN) and not client.may_use(AUTHORIZATION_CODE):
        reading.problem("grant_types", "refresh_token comes with authorization_code")
    if client.is_public and (own := _OWN_GRANTS & set(client.grant_types)):
        reading.problem("grant_types", f"{', '.join(sorted(own))} needs a client that proves who it is")
    if client.kind is Kind.APP and client.referencing is None:
        reading.problem("referencing", "a catalogue application needs its referencing decision")
    _check_proof(client, reading)


def _check_signing_in(client: Client, reading: _Reading) -> None:
    if not client.redirect_uris:
        reading.problem("redirect_uris", "the grant authorization_code needs at least one")
    if not client.user_classes:
        reading.problem("user_classes", "the grant authorization_code needs at least one")


def _check_proof(client: Client, reading: _Reading) -> None:
    keys: Sequence[object] = [each for each in (client.jwks, client.jwks_uri) if each]
    if client.method is Method.JWT and not keys:
        reading.problem("jwks", "private_key_jwt needs either jwks or jwks_uri")
    if client.method not in (Method.JWT, Method.TLS) and keys:
        reading.problem("jwks", "only with private_key_jwt or tls_client_auth")
    if len(keys) > 1:
        reading.problem("jwks", "give either jwks or jwks_uri")
    if client.jwks_uri and not client.jwks_uri.startswith("https://"):
        reading.problem("jwks_uri", "must be https")
    if client.method is Method.TLS and client.certificate is None:
        reading.problem("certificate", "tls_client_auth needs it")
    if client.method is Method.BASIC and not client.secret_hash:
        reading.problem("secret_hash", "client_secret_basic needs a secret; it is made by the registry")
