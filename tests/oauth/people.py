"""The authorization server for a test: a real server, registered clients with real keys, and what they send."""

from __future__ import annotations

import datetime as dt
import json
import secrets
from base64 import b64decode, b64encode, urlsafe_b64encode
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any
from urllib.parse import urlencode

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from joserfc.jwk import ECKey, RSAKey

from fhir_dmp.identity.caller import Actor, Caller
from fhir_dmp.oauth.authenticate import hash_secret
from fhir_dmp.oauth.clients import Certificate, Client, Finality, Kind, Method, Referencing, UserClass
from fhir_dmp.oauth.codes import Authorization, challenge_of, issue_code
from tests import samples
from tests.world import Client as Bearer
from tests.world import Response, World

Json = dict[str, Any]
Key = RSAKey | ECKey

VERIFIER = "verifier-" + "v" * 40
CALLBACK = "https://carnet.example/callback"
SECRET = "s" * 43  # of 256 bits, were it not written here
ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"
JWT = "urn:ietf:params:oauth:token-type:jwt"
PATIENT_SCOPE = (
    "openid fhirUser profile launch launch/patient offline_access online_access patient/*.rs patient/Binary.c"
)


@cache
def rsa_key() -> RSAKey:
    """The RSA key of test clients."""
    return RSAKey.generate_key(2048, {"kid": "rsa-1", "use": "sig"})


@cache
def ec_key() -> ECKey:
    """The P-384 key of test clients."""
    return ECKey.generate_key("P-384", {"kid": "ec-1", "use": "sig"})


def jwks(*keys: Key) -> Json:
    """Return the public key set of these keys."""
    return {"keys": [key.as_dict(private=False) for key in keys]}


@cache
def certificate(name: str = "sih") -> x509.Certificate:
    """Return a self-signed client certificate."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, samples.HOSPITAL),
                         x509.NameAttribute(NameOID.COMMON_NAME, name)])  # fmt: skip
    begin = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
    builder = builder.serial_number(7).not_valid_before(begin).not_valid_after(begin + dt.timedelta(days=365))
    return builder.sign(key, hashes.SHA256())


def signed(header: Json, claims: Json, key: Key) -> str:
    """Return a JWT with whatever header, signed by hand: a library would refuse to make most of them."""
    text = ".".join(encoded(json.dumps(part).encode()) for part in (header, claims))
    private: Any = key.private_key
    if isinstance(key, ECKey):
        r, s = decode_dss_signature(private.sign(text.encode(), ec.ECDSA(hashes.SHA384())))
        size = (private.key_size + 7) // 8
        return f"{text}.{encoded(r.to_bytes(size, 'big') + s.to_bytes(size, 'big'))}"
    digest = hashes.SHA384() if header.get("alg") == "RS384" else hashes.SHA256()
    pss = padding.PSS(padding.MGF1(digest), digest.digest_size)
    scheme = pss if str(header.get("alg")).startswith("PS") else padding.PKCS1v15()
    return f"{text}.{encoded(private.sign(text.encode(), scheme, digest))}"


def header_of(given: x509.Certificate) -> str:
    """Return the certificate as RFC 9440 hands it on."""
    return f":{b64encode(given.public_bytes(Encoding.DER)).decode()}:"


APP = Client(
    "carnet",
    "Carnet de route",
    Kind.LPS,
    user_classes=frozenset({UserClass.PATIENT}),
    grant_types=("authorization_code", "refresh_token"),
    scope=PATIENT_SCOPE,
    redirect_uris=(CALLBACK,),
    allowed_origins=("https://carnet.example",),
)
#: A confidential web application, known by a secret.
PORTAL = replace(
    APP, client_id="portail", method=Method.BASIC, secret_hash=hash_secret(SECRET), redirect_uris=(CALLBACK,)
)
CATALOGUE = replace(
    APP,
    client_id="tension",
    kind=Kind.APP,
    referencing=Referencing("REF-7", "2026-01-15", Finality.PREVENTION),
)


def backend(**more: Any) -> Client:
    """Return the software of the hospital: it feeds."""
    values: Json = {
        "client_id": "sih",
        "name": "Dossier de l'hôpital",
        "kind": Kind.LPS,
        "method": Method.JWT,
        "grant_types": ("client_credentials",),
        "scope": "system/DocumentReference.cus system/Binary.c system/List.c system/Patient.rs __launch.create",
        "jwks": jwks(rsa_key(), ec_key()),
        "structure": samples.HOSPITAL,
        "structure_name": "Hôpital des Tilleuls",
        "software": {"nom": "SIH", "version": "3"},
    }
    return Client(**{**values, **more})


def exchanger(**more: Any) -> Client:
    """Return the software of the hospital that exchanges tokens for its professionals."""
    more.setdefault("client_id", "sih-ps")
    more.setdefault("method", Method.TLS)
    more.setdefault("certificate", Certificate(sha256=certificate().fingerprint(hashes.SHA256()).hex()))
    more.setdefault("scope", "user/*.rs patient/*.rs user/DocumentReference.crud __access_mode.bris_de_glace")
    return backend(grant_types=(EXCHANGE,), **more)


@dataclass
class Auth:
    """The authorization server of a world, as clients see it."""

    world: World
    patient: str = ""
    made: dict[str, Client] = field(default_factory=dict)

    @property
    def endpoint(self) -> str:
        """URL of the token endpoint."""
        return f"{self.world.services.issuer}/token"

    @property
    def now_s(self) -> int:
        """The time of the server's clock."""
        return self.world.clock.time_ms // 1000

    def register(self, client: Client) -> Client:
        """Register a client, or give it what this test wants of it."""
        registry = self.world.services.clients
        if registry.get(client.client_id) is None:
            registry.add(client)
        else:
            registry.change(client)
        return client

    def post(self, path: str, form: Json | str, **headers: str) -> Response:
        """Send a form to an endpoint."""
        body = form if isinstance(form, str) else urlencode(form)
        given = {"content-type": "application/x-www-form-urlencoded"}
        given.update({name.replace("_", "-"): value for name, value in headers.items()})
        return self.world.request("POST", f"/auth/{path}", body.encode(), given)

    def token(self, form: Json | str, **headers: str) -> Response:
        """Ask for a token."""
        return self.post("token", form, **headers)

    def assertion(
        self, client_id: str = "sih", key: Key | None = None, header: Json | None = None, **claims: Any
    ) -> str:
        """Return an assertion by which a client proves who it is."""
        signer = key or rsa_key()
        head = {"typ": "JWT", "alg": "ES384" if isinstance(signer, ECKey) else "RS384", "kid": signer.kid}
        body = {
            "iss": client_id,
            "sub": client_id,
            "aud": self.endpoint,
            "exp": self.now_s + 300,
            "jti": secrets.token_hex(8),
            **claims,
        }
        told = {name: value for name, value in {**head, **(header or {})}.items() if value is not None}
        return signed(told, {name: value for name, value in body.items() if value is not None}, signer)

    def proof(self, assertion: str | None = None, **more: Any) -> Json:
        """Return the parameters of client authentication by assertion."""
        return {
            "client_assertion_type": ASSERTION_TYPE,
            "client_assertion": self.assertion(**more) if assertion is None else assertion,
        }

    def by_client(self, scope: str = "system/Patient.rs", **more: Any) -> Response:
        """Ask for a token by client_credentials."""
        return self.token({"grant_type": "client_credentials", "scope": scope, **self.proof(**more)})

    def authorization(self, client_id: str = "carnet", scope: str = PATIENT_SCOPE, **more: Any) -> Authorization:
        """Return what somebody has authorised on the consent page."""
        values: Json = {
            "caller": Caller(Actor.PATIENT, "sub-anouk", name="Anouk Bellanger", patient=self.patient),
            "auth_time_s": self.now_s - 5,
            "acr": "mfa",
            "amr": ("pwd", "otp"),
            "sid": "login-1",
            "nonce": "n-1",
            "redirect_uri": CALLBACK,
            "code_challenge": challenge_of(VERIFIER),
            "context": {"patient": self.patient, "need_patient_banner": True, "fhirContext": []},
            "profile": {"name": "Anouk Bellanger", "given_name": "Anouk", "family_name": "Bellanger"},
        }
        return Authorization(client_id=client_id, scope=scope, **{**values, **more})

    def code(self, authorization: Authorization | None = None, **more: Any) -> str:
        """Return a code, as the consent page gives it."""
        state = self.world.services.store.state
        return issue_code(state, authorization or self.authorization(**more), self.world.clock.now_ms())

    def redeem(self, code: str, client_id: str = "carnet", headers: Any = None, **more: Any) -> Response:
        """Redeem a code."""
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": CALLBACK,
            "code_verifier": VERIFIER,
            "client_id": client_id,
            **more,
        }
        return self.token({name: value for name, value in form.items() if value is not None}, **(headers or {}))

    def refresh(self, token: str, client_id: str = "carnet", **more: Any) -> Response:
        """Renew a token."""
        return self.token({"grant_type": "refresh_token", "refresh_token": token, "client_id": client_id, **more})

    def signed_in(self, **more: Any) -> Json:
        """Return the token response of a patient who signed in."""
        answer = self.redeem(self.code(**more), client_id=more.get("client_id", "carnet"))
        assert answer.status == 200, answer.body
        return answer.json

    def bearer(self, token: str) -> Bearer:
        """Return a client of the FHIR API with this token."""
        return Bearer(self.world, token)

    def read(self, token: str, **headers: str) -> Response:
        """Read the patient with a token."""
        return self.bearer(token).get(f"/Patient/{self.patient}", **headers)

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.world.clock.time_ms += int(seconds * 1000)


def claims_of(token: str) -> Json:
    """Return the claims of a JWT, unverified."""
    payload = token.split(".")[1]
    found: Json = json.loads(b64decode(payload + "=" * (-len(payload) % 4), altchars=b"-_"))
    return found


def basic(client_id: str, secret: str) -> str:
    """Return the header of client_secret_basic."""
    return "Basic " + b64encode(f"{client_id}:{secret}".encode()).decode()


def encoded(text: bytes) -> str:
    """Return base64url without padding."""
    return urlsafe_b64encode(text).rstrip(b"=").decode()
