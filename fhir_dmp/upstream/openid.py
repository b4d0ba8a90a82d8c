"""A relying party of OpenID Connect: Pro Santé Connect and FranceConnect+ behind one port (ports.IdentityProvider).

OpenID Connect Core 1.0 (authorization code flow), Discovery 1.0, RP-Initiated Logout 1.0, RFC 7636 (PKCE), RFC 9207
(`iss` of the answer). Signatures by joserfc with a fixed list of algorithms, claims by Authlib. Every URL comes from
the operator's configuration or from the discovery document that it names, is https (http on this machine only), is
fetched without following redirects, with a time limit and a size limit.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from math import isfinite
from time import monotonic
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

import requests
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from authlib.oidc.core import CodeIDToken
from joserfc import jws, jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from urllib3.exceptions import HTTPError

from fhir_dmp.errors import ConfigurationError, Problem, Unavailable
from fhir_dmp.identity.upstream import UpstreamIdentity, reaches
from fhir_dmp.ports import Clock, SignInFailed, SignInSecrets

#: Signatures that are accepted: those that the two providers use. Nothing is taken from the token but its `kid`.
ALGORITHMS: Final = ("RS256", "ES256")
#: For each wait, and for the whole of an answer, however slowly it comes.
TIMEOUT_S: Final = 5
MAX_ANSWER_BYTES: Final = 256 * 1024
DISCOVERY_LIFE_S: Final = 24 * 3600
JWKS_LIFE_S: Final = 3600
#: An unknown `kid` causes a fetch of the keys at most so often.
FORCED_FETCH_S: Final = 60
LEEWAY_S: Final = 30
#: How long the answer about a token of somebody else is believed, and how many are remembered.
VOUCHED_S: Final = 60
MOST_VOUCHED: Final = 10_000


@dataclass(frozen=True, slots=True)
class Relation:
    """What the operator agreed upon with a provider.

    name: `psc` or `fc`, as in our callback URL. discovery_url: its discovery document. acr: the class to ask for and
    to insist on. pkce: always, or only where the discovery document announces S256.
    """

    name: str
    discovery_url: str
    client_id: str
    client_secret: str
    scope: str
    acr: str

    def __repr__(self) -> str:
        return f"Relation({self.name}, {self.discovery_url})"


class OpenIdProvider:
    """One provider. Thread safe; keys and discovery are remembered in each worker."""

    def __init__(self, relation: Relation, clock: Clock) -> None:
        _require_safe(relation.discovery_url, f"upstream.{relation.name}_discovery_url")
        self._relation = relation
        self._clock = clock
        self._lock = threading.Lock()
        self._metadata: tuple[float, Mapping[str, Any]] | None = None
        self._keys: tuple[float, KeySet] | None = None
        self._forced_at = float("-inf")
        self._vouched: dict[str, tuple[float, Mapping[str, Any]]] = {}

    @property
    def name(self) -> str:
        """`psc` or `fc`."""
        return self._relation.name

    def begin(self, redirect_uri: str, state: str, secrets: SignInSecrets) -> str:
        """Return the URL to send the browser to.

        Raises:
            SignInFailed: the provider cannot be reached.
        """
        metadata = self._discovered()
        asked = {
            "response_type": "code",
            "client_id": self._relation.client_id,
            "redirect_uri": redirect_uri,
            "scope": self._relation.scope,
            "state": state,
            "nonce": secrets.nonce,
        }
        if self._relation.acr:
            asked["acr_values"] = self._relation.acr
        if "S256" in _strings(metadata.get("code_challenge_methods_supported")):
            asked["code_challenge"] = create_s256_code_challenge(secrets.verifier)
            asked["code_challenge_method"] = "S256"
        return f"{_endpoint(metadata, 'authorization_endpoint')}?{urlencode(asked)}"

    def complete(self, answer: Mapping[str, str], redirect_uri: str, secrets: SignInSecrets) -> UpstreamIdentity:
        """Redeem the code of a callback and return who signed in.

        answer: the parameters of the callback; its state is already known to be ours.

        Raises:
            SignInFailed: refused there, or anything that does not fit: signature, issuer, audience, nonce, class.
        """
        metadata = self._discovered()
        if answer.get("iss") not in (None, metadata["issuer"]):
            raise SignInFailed("The answer names another issuer.")
        if "error" in answer:
            raise SignInFailed("The identity provider refused the sign-in.", refused=answer["error"] == "access_denied")
        tokens = self._redeem(metadata, answer.get("code", ""), redirect_uri, secrets)
        id_token, access_token = tokens.get("id_token"), tokens.get("access_token")
        if not isinstance(id_token, str) or not isinstance(access_token, str):
            raise SignInFailed("The identity provider sent no id_token.")
        claims = self._verified(id_token, access_token, metadata, secrets)
        acr = claims.get("acr")
        if self._relation.acr and not reaches(acr if isinstance(acr, str) else "", self._relation.acr):
            raise SignInFailed("The sign-in did not reach the authentication class that is required.", refused=True)
        info = self._userinfo(metadata, access_token)
        if info.get("sub") != claims["sub"]:
            raise SignInFailed("userinfo speaks of somebody else than the id_token.")
        auth_time = _moment(claims.get("auth_time"))
        return UpstreamIdentity(
            provider=self.name,
            subject=claims["sub"],
            acr=acr if isinstance(acr, str) else "",
            amr=_strings(claims.get("amr")),
            auth_time=int(claims["iat"]) if auth_time is None else auth_time,
            claims=info,
            id_token=id_token,
        )

    def end(self, id_token: str, state: str, return_to: str) -> str | None:
        """Return the URL that ends the sign-in at the provider, None when it has none."""
        try:
            metadata = self._discovered()
        except SignInFailed:
            return None
        if not isinstance(metadata.get("end_session_endpoint"), str):
            return None
        query = {"id_token_hint": id_token, "state": state, "post_logout_redirect_uri": return_to}
        return f"{_endpoint(metadata, 'end_session_endpoint')}?{urlencode(query)}"

    def introspect(self, token: str) -> Mapping[str, Any] | None:
        """Return what the provider says of an access token that somebody else obtained: introspection and userinfo.

        None when it is not active (any more). The answer is remembered for a minute at most.

        Raises:
            Unavailable: the provider does not answer, or speaks of two persons.
        """
        now, key = self._clock.now_ms() / 1000, hashlib.sha256(token.encode()).hexdigest()
        with self._lock:
            known = self._vouched.get(key)
        if known is not None and now < known[0]:
            return known[1]
        try:
            found = self._introspected(token)
        except SignInFailed as error:
            raise Unavailable("The identity provider cannot be asked about the token now.") from error
        if found is None:
            return None
        expires = _moment(found.get("exp"))
        until = min(now + VOUCHED_S, now + VOUCHED_S if expires is None else expires)
        with self._lock:
            self._vouched = {name: kept for name, kept in self._vouched.items() if now < kept[0]}
            if len(self._vouched) < MOST_VOUCHED:
                self._vouched[key] = (until, found)
        return found

    def _introspected(self, token: str) -> Mapping[str, Any] | None:
        metadata = self._discovered()
        told = _fetched(
            "POST",
            _endpoint(metadata, "introspection_endpoint"),
            data={"token": token, "token_type_hint": "access_token"},
            auth=(self._relation.client_id, self._relation.client_secret),
        )
        if told.get("active") is not True:
            return None
        person = self._userinfo(metadata, token)
        if told.get("sub") not in (None, person.get("sub")):
            raise SignInFailed("userinfo speaks of somebody else than the introspection.")
        return {**told, **person}

    # --- what is fetched ---------------------------------------------------------------------------------------------

    def _discovered(self) -> Mapping[str, Any]:
        now = self._clock.now_ms() / 1000
        with self._lock:
            if self._metadata is not None and now < self._metadata[0]:
                return self._metadata[1]
        metadata = _fetched("GET", self._relation.discovery_url)
        for name in ("issuer", "authorization_endpoint", "token_endpoint", "userinfo_endpoint", "jwks_uri"):
            if not isinstance(metadata.get(name), str) or not is_safe(metadata[name]):
                raise SignInFailed(f"The discovery document has no usable {name}.")
        with self._lock:
            self._metadata = (now + DISCOVERY_LIFE_S, metadata)
        return metadata

    def _redeem(
        self, metadata: Mapping[str, Any], code: str, redirect_uri: str, secrets: SignInSecrets
    ) -> Mapping[str, Any]:
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect_uri,
            "client_id": self._relation.client_id,
            "code_verifier": secrets.verifier,
        }
        methods = _strings(metadata.get("token_endpoint_auth_methods_supported"))
        by_form = bool(methods) and "client_secret_basic" not in methods
        if by_form:
            form["client_secret"] = self._relation.client_secret
        basic = None if by_form else (self._relation.client_id, self._relation.client_secret)
        return _fetched("POST", _endpoint(metadata, "token_endpoint"), data=form, auth=basic)

    def _userinfo(self, metadata: Mapping[str, Any], access_token: str) -> Mapping[str, Any]:
        """Return userinfo: plain JSON, or the signed JWT that FranceConnect sends."""
        url = _endpoint(metadata, "userinfo_endpoint")
        content, media_type = _answer("GET", url, headers={"Authorization": f"Bearer {access_token}"})
        if media_type == "application/jwt":
            return self._signed(content.decode("ascii", "replace").strip(), metadata)[1]
        return _object(content)

    # --- what is verified --------------------------------------------------------------------------------------------

    def _verified(
        self, id_token: str, access_token: str, metadata: Mapping[str, Any], secrets: SignInSecrets
    ) -> Mapping[str, Any]:
        header, payload = self._signed(id_token, metadata)
        options = {
            "iss": {"essential": True, "values": [metadata["issuer"]]},
            "aud": {"essential": True, "values": [self._relation.client_id]},
        }
        known = {"nonce": secrets.nonce, "client_id": self._relation.client_id, "access_token": access_token}
        claims = CodeIDToken(payload, header, options, known)
        try:
            claims.validate(now=self._clock.now_ms() // 1000, leeway=LEEWAY_S)
        except (JoseError, TypeError, ValueError, AttributeError) as error:
            raise SignInFailed("The id_token does not fit this sign-in.") from error
        if _moment(payload.get("iat")) is None:
            raise SignInFailed("The id_token does not say when it was made.")
        if not isinstance(payload.get("sub"), str) or not 1 <= len(payload["sub"]) <= 255:
            raise SignInFailed("The id_token names nobody.")
        return payload

    def _signed(self, token: str, metadata: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return header and claims of a token with a good signature."""
        try:
            header = dict(jws.extract_compact(token.encode()).headers())
            kid = header.get("kid")
            if header.get("alg") not in ALGORITHMS or not isinstance(kid, str) or "crit" in header:
                raise SignInFailed("The token is signed in a way that is not accepted.")
            key = self._key(kid, metadata)
            if key is None:
                raise SignInFailed("The token is signed with a key that the provider does not publish.")
            return header, dict(jwt.decode(token, key, algorithms=list(ALGORITHMS)).claims)
        except (JoseError, ValueError, TypeError, AttributeError, RecursionError) as error:
            raise SignInFailed("The signature of the token is not good.") from error

    def _key(self, kid: str, metadata: Mapping[str, Any]) -> Any:
        now = self._clock.now_ms() / 1000
        with self._lock:
            known = self._keys if self._keys is not None and now < self._keys[0] else None
        keys = known[1] if known else self._fetch_keys(metadata, now)
        found = _by_id(keys, kid)
        if found is not None or known is None:
            return found
        with self._lock:
            if now < self._forced_at + FORCED_FETCH_S:
                return None
            self._forced_at = now
        return _by_id(self._fetch_keys(metadata, now), kid)

    def _fetch_keys(self, metadata: Mapping[str, Any], now: float) -> KeySet:
        try:
            told = _fetched("GET", _endpoint(metadata, "jwks_uri"))["keys"]
            # a symmetric key verifies nothing here, whoever publishes it
            keys = KeySet.import_key_set({"keys": [key for key in told if key["kty"] in ("RSA", "EC")]})
        except (JoseError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise SignInFailed("The keys of the identity provider cannot be read.") from error
        with self._lock:
            self._keys = (now + JWKS_LIFE_S, keys)
        return keys


def _by_id(keys: KeySet, kid: str) -> Any:
    """Return the one key of that id; two keys of one id are no key."""
    found = [key for key in keys.keys if key.kid == kid]
    return found[0] if len(found) == 1 else None


def is_safe(url: str) -> bool:
    """Say whether secrets may travel to this URL: https, or http on this machine.

    >>> is_safe("https://auth.example/x"), is_safe("http://127.0.0.1:9/x"), is_safe("http://auth.example/x")
    (True, True, False)
    """
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return False
    if parts.username is not None or not parts.hostname:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and _is_here(parts.hostname))


def _is_here(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _require_safe(url: str, where: str) -> None:
    if not is_safe(url):
        raise ConfigurationError(Problem(where, "must be an https URL", "http is for this machine only"))


def _endpoint(metadata: Mapping[str, Any], name: str) -> str:
    url = metadata.get(name)
    if not isinstance(url, str) or not is_safe(url):
        raise SignInFailed(f"The discovery document has no usable {name}.")
    return url


def _fetched(method: str, url: str, **more: Any) -> dict[str, Any]:
    return _object(_answer(method, url, **more)[0])


def _object(content: bytes) -> dict[str, Any]:
    try:
        value = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise SignInFailed("The identity provider did not answer in JSON.") from error
    if not isinstance(value, dict):
        raise SignInFailed("The identity provider did not answer with an object.")
    return value


def _answer(method: str, url: str, **more: Any) -> tuple[bytes, str]:
    """Return body and media type of a 200 answer; compressed ones are not asked for and not undone."""
    headers = {"Accept-Encoding": "identity", **more.pop("headers", {})}
    try:
        with requests.request(
            method, url, timeout=TIMEOUT_S, allow_redirects=False, stream=True, headers=headers, **more
        ) as response:
            if response.status_code != 200:
                raise SignInFailed(f"The identity provider answered {response.status_code}.")
            media_type = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
            return _body(response), media_type
    except (requests.RequestException, HTTPError, OSError) as error:
        raise SignInFailed("The identity provider does not answer.") from error


def _body(response: requests.Response) -> bytes:
    """Read an answer within its size and its time: a host that sends a byte now and then is given up, too."""
    content, deadline = bytearray(), monotonic() + TIMEOUT_S
    while chunk := response.raw.read1(16 * 1024, decode_content=False):
        content += chunk
        if len(content) > MAX_ANSWER_BYTES:
            raise SignInFailed("The answer of the identity provider is too long.")
        if monotonic() > deadline:
            raise SignInFailed("The answer of the identity provider comes too slowly.")
    return bytes(content)


def _moment(value: object) -> int | None:
    """Return the seconds since the epoch that a claim holds; None when it is no such number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if isfinite(value) and 0 <= value < 1 << 40 else None


def _strings(value: object) -> tuple[str, ...]:
    return tuple(each for each in value if isinstance(each, str)) if isinstance(value, list) else ()
