"""The provider: discovery, keys, authorization with PKCE, token, userinfo, logout, and a page to choose a person."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from html import escape
from typing import Any

from authlib.integrations.flask_oauth2 import AuthorizationServer
from authlib.oauth2.rfc6749 import grants
from authlib.oauth2.rfc6749.models import AuthorizationCodeMixin, ClientMixin
from authlib.oauth2.rfc7636 import CodeChallenge
from authlib.oidc.core import OpenIDCode, UserInfo
from flask import Flask, Response, jsonify, redirect, request
from joserfc import jwt
from joserfc.jwk import Key, KeySet, RSAKey

from tests.provider.people import PEOPLE

CLIENT_ID, CLIENT_SECRET = "dmp", "secret-of-the-tests-only"
FAULTS = ("nonce", "acr", "userinfo", "unknown-kid", "rotate", "alg", "issuer", "audience", "expired", "large", "jwt")


class Client(ClientMixin):  # type: ignore[misc]
    """The one client; its redirect URIs are whatever the tests serve on this machine."""

    client_id = CLIENT_ID

    def get_client_id(self) -> str:
        return CLIENT_ID

    def get_default_redirect_uri(self) -> str:
        return ""

    def get_allowed_scope(self, scope: str) -> str:
        return scope

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        return redirect_uri.startswith("http://127.0.0.1:") and redirect_uri.endswith("/callback")

    def check_client_secret(self, client_secret: str) -> bool:
        return client_secret == CLIENT_SECRET

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        return method == "client_secret_basic"

    def check_response_type(self, response_type: str) -> bool:
        return response_type == "code"

    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type == "authorization_code"


@dataclass
class Code(AuthorizationCodeMixin):  # type: ignore[misc]
    """One authorization code."""

    code: str
    login: str
    redirect_uri: str
    scope: str
    nonce: str | None
    acr: str | None
    code_challenge: str | None
    code_challenge_method: str | None
    auth_time: int = field(default_factory=lambda: int(time.time()))

    def get_redirect_uri(self) -> str:
        return self.redirect_uri

    def get_scope(self) -> str:
        return self.scope

    def get_nonce(self) -> str | None:
        return self.nonce

    def get_auth_time(self) -> int:
        return self.auth_time

    def get_acr(self) -> str | None:
        return self.acr

    def get_amr(self) -> list[str]:
        return ["hwk"]


@dataclass
class Provider:
    """State of the provider, and the faults that it was told to make."""

    issuer: str
    keys: list[Key] = field(default_factory=lambda: [RSAKey.generate_key(2048, auto_kid=True)])
    codes: dict[str, Code] = field(default_factory=dict)
    tokens: dict[str, str] = field(default_factory=dict)
    faults: set[str] = field(default_factory=set)
    fetches: int = 0

    def id_token_key(self) -> Key:
        """Return the key to sign with: one that nobody publishes, when told so."""
        return RSAKey.generate_key(2048, auto_kid=True) if "unknown-kid" in self.faults else self.keys[0]


def _grants(provider: Provider) -> tuple[type[Any], list[Any]]:
    class CodeGrant(grants.AuthorizationCodeGrant):  # type: ignore[misc]
        TOKEN_ENDPOINT_AUTH_METHODS = ["client_secret_basic"]

        def save_authorization_code(self, code: str, request: Any) -> None:
            asked = request.payload
            acr = asked.data.get("acr_values")
            provider.codes[code] = Code(
                code=code,
                login=request.user,
                redirect_uri=asked.redirect_uri,
                scope=asked.scope,
                nonce="other" if "nonce" in provider.faults else asked.data.get("nonce"),
                acr="eidas0" if "acr" in provider.faults else acr,
                code_challenge=asked.data.get("code_challenge"),
                code_challenge_method=asked.data.get("code_challenge_method"),
            )

        def query_authorization_code(self, code: str, client: Client) -> Code | None:
            return provider.codes.get(code)

        def delete_authorization_code(self, authorization_code: Code) -> None:
            provider.codes.pop(authorization_code.code, None)

        def authenticate_user(self, authorization_code: Code) -> str:
            return authorization_code.login

    class IdToken(OpenIDCode):  # type: ignore[misc]
        def exists_nonce(self, nonce: str, request: Any) -> bool:
            return False

        def resolve_client_private_key(self, client: Client) -> Key:
            return provider.id_token_key()

        def get_client_algorithm(self, client: Client) -> str:
            return "RS512" if "alg" in provider.faults else "RS256"

        def get_encode_header(self, client: Client) -> dict[str, Any]:
            return {"alg": self.get_client_algorithm(client), "kid": self.resolve_client_private_key(client).kid}

        def get_compatible_claims(self, request: Any) -> dict[str, Any]:
            now = int(time.time()) - (7200 if "expired" in provider.faults else 0)
            return {
                "iss": "https://elsewhere.example" if "issuer" in provider.faults else provider.issuer,
                "aud": ["somebody-else"] if "audience" in provider.faults else [CLIENT_ID],
                "iat": now,
                "exp": now + 300,
            }

        def generate_user_info(self, user: str, scope: str) -> UserInfo:
            return UserInfo(sub=PEOPLE[user]["sub"])

    return CodeGrant, [CodeChallenge(required=True), IdToken()]


def create(issuer: str) -> Flask:
    """Return the application of a provider that is known as `issuer`."""
    provider = Provider(issuer)
    app = Flask("tests.provider")
    client = Client()

    def save_token(token: dict[str, Any], asked: Any) -> None:
        provider.tokens[token["access_token"]] = asked.user

    server = AuthorizationServer(app, lambda id_: client if id_ == CLIENT_ID else None, save_token)
    grant, extensions = _grants(provider)
    server.register_grant(grant, extensions)

    @app.get("/.well-known/wallet-openid-configuration")
    @app.get("/.well-known/openid-configuration")
    def discovery() -> Response:
        return jsonify(
            {
                "issuer": issuer,
                "authorization_endpoint": f"{issuer}/auth",
                "token_endpoint": f"{issuer}/token",
                "userinfo_endpoint": f"{issuer}/userinfo",
                "jwks_uri": f"{issuer}/certs",
                "introspection_endpoint": f"{issuer}/introspect",
                "end_session_endpoint": f"{issuer}/logout",
                "response_types_supported": ["code"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["RS256"],
                "code_challenge_methods_supported": ["S256"],
                "token_endpoint_auth_methods_supported": ["client_secret_basic"],
            }
        )

    @app.get("/certs")
    def certs() -> Response:
        provider.fetches += 1
        return jsonify(KeySet(provider.keys).as_dict(private=False))

    @app.route("/auth", methods=["GET", "POST"])
    def authorize() -> Any:
        chosen = request.form.get("login") or request.args.get("login_hint")
        if chosen == "refuse":
            return redirect(f"{request.args['redirect_uri']}?error=access_denied&state={request.args.get('state', '')}")
        if chosen in PEOPLE:
            consent = server.get_consent_grant(end_user=chosen)
            return server.create_authorization_response(grant_user=chosen, grant=consent)
        choices = "".join(
            f'<button name="login" value="{escape(login)}">{escape(one["given_name"])} '
            f"{escape(one['family_name'])}</button> "
            for login, one in PEOPLE.items()
        )
        form = f'<form method="post">{choices}<button name="login" value="refuse">Refuser</button></form>'
        page = f"<h1>Fournisseur d’identité</h1>{form}"
        return Response(f'<!DOCTYPE html><html lang="fr"><title>Fournisseur</title>{page}</html>')

    @app.post("/token")
    def token() -> Any:
        return server.create_token_response()

    @app.get("/userinfo")
    def userinfo() -> Any:
        login = provider.tokens.get(request.headers.get("Authorization", "").removeprefix("Bearer "))
        if login is None:
            return Response(status=401)
        claims = PEOPLE["inconnue"] if "userinfo" in provider.faults else PEOPLE[login]
        if "large" in provider.faults:
            claims = {**claims, "padding": "x" * 300_000}
        if "jwt" in provider.faults:
            key = provider.keys[0]
            return Response(jwt.encode({"alg": "RS256", "kid": key.kid}, claims, key), mimetype="application/jwt")
        return jsonify(claims)

    @app.post("/introspect")
    def introspect() -> Any:
        sent = request.authorization
        if sent is None or (sent.username, sent.password) != (CLIENT_ID, CLIENT_SECRET):
            return Response(status=401)
        login = provider.tokens.get(request.form.get("token", ""))
        if login is None or "expired" in provider.faults:
            return jsonify({"active": False})
        acr = "eidas0" if "acr" in provider.faults else "eidas1"
        return jsonify({"active": True, "sub": PEOPLE[login]["sub"], "acr": acr})

    @app.get("/logout")
    def logout() -> Any:
        return redirect(f"{request.args['post_logout_redirect_uri']}?state={request.args.get('state', '')}")

    @app.post("/control")
    def control() -> Response:
        """Set the faults to make; `rotate` replaces the key once."""
        asked = request.get_json()
        if "token" in asked:  # an access token of somebody who signed in to another software
            provider.tokens[asked["token"]] = asked["login"]
            return jsonify({})
        provider.faults = set(asked.get("faults", ()))
        if "rotate" in provider.faults:
            provider.keys.insert(0, RSAKey.generate_key(2048, auto_kid=True))
            del provider.keys[2:]
        return jsonify({"fetches": provider.fetches})

    return app
