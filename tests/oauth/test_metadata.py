"""Discovery: the documents say the same, and what they say is served."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from authlib.oauth2.rfc8414 import AuthorizationServerMetadata
from authlib.oidc.discovery import OpenIDProviderMetadata

from fhir_dmp.oauth import offer
from tests.oauth.people import Auth, backend

Json = dict[str, Any]
TESTS = Path(__file__).resolve().parents[1]
OAUTH_URIS = "http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris"


def document(auth: Auth, path: str, **headers: str) -> Any:
    """Fetch a public document."""
    return auth.world.request("GET", path, b"", headers)


@pytest.mark.statement("security S-1", "security S-6")
def test_the_smart_configuration_is_json_for_everybody(auth: Auth) -> None:
    answer = document(auth, "/fhir/.well-known/smart-configuration", accept="text/html", origin="https://any.example")
    assert (answer.status, answer.headers["Content-Type"]) == (200, "application/json")
    assert answer.headers["Access-Control-Allow-Origin"] == "*"


@pytest.mark.statement("security S-7")
def test_the_capability_statement_is_for_every_origin(auth: Auth) -> None:
    answer = document(auth, "/fhir/metadata", origin="https://any.example")
    assert answer.headers["Access-Control-Allow-Origin"] == "*"


@pytest.mark.statement("security S-2")
def test_every_url_is_absolute_and_https_once_the_base_is() -> None:
    found = {
        **offer.smart_configuration("https://dmp.example/auth"),
        **offer.openid_configuration("https://dmp.example/auth"),
    }
    urls = [value for name, value in found.items() if name.endswith(("_endpoint", "_uri")) or name == "issuer"]
    assert len(urls) >= 5
    assert all(url.startswith("https://dmp.example/auth") for url in urls)


@pytest.mark.statement("security S-3", "security S-4", "security S-5")
def test_the_smart_configuration_has_what_is_required(auth: Auth) -> None:
    found = document(auth, "/fhir/.well-known/smart-configuration").json
    for name in ("issuer", "jwks_uri", "token_endpoint", "introspection_endpoint", "revocation_endpoint"):
        assert isinstance(found[name], str), name
    for name in ("grant_types_supported", "capabilities", "scopes_supported", "code_challenge_methods_supported"):
        assert isinstance(found[name], list), name
    assert found["code_challenge_methods_supported"] == ["S256"]
    assert "private_key_jwt" in found["token_endpoint_auth_methods_supported"]
    assert found["token_endpoint_auth_signing_alg_values_supported"] == ["RS384", "ES384"]
    if "launch-standalone" in found["capabilities"]:
        assert isinstance(found["authorization_endpoint"], str)


@pytest.mark.statement("security S-8")
def test_the_capability_statement_names_the_same_endpoints(auth: Auth) -> None:
    smart = document(auth, "/fhir/.well-known/smart-configuration").json
    security = document(auth, "/fhir/metadata").json["rest"][0]["security"]
    assert security["cors"] is True
    assert security["service"][0]["coding"][0]["code"] == "SMART-on-FHIR"
    (extension,) = [each for each in security["extension"] if each["url"] == OAUTH_URIS]
    told = {each["url"]: each["valueUri"] for each in extension["extension"]}
    assert told == {short: smart[name] for name, short in offer.OAUTH_URIS.items() if name in smart}
    assert len(told) >= 3


@pytest.mark.statement("security S-9")
@pytest.mark.parametrize("path", ["/auth/.well-known/openid-configuration", "/.well-known/openid-configuration"])
def test_the_metadata_of_the_openid_provider_is_valid(auth: Auth, path: str) -> None:
    assert document(auth, path).json["issuer"] == auth.world.services.issuer
    if offer.AUTHORIZES:
        OpenIDProviderMetadata(offer.openid_configuration("https://dmp.example/auth")).validate()


@pytest.mark.statement("security S-10")
@pytest.mark.parametrize(
    "path", ["/.well-known/oauth-authorization-server/auth", "/auth/.well-known/oauth-authorization-server"]
)
def test_the_metadata_of_the_server_is_at_both_paths(auth: Auth, path: str) -> None:
    answer = document(auth, path)
    assert answer.json["issuer"] == auth.world.services.issuer
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    metadata = AuthorizationServerMetadata(offer.server_metadata("https://dmp.example/auth"))
    for name in ("issuer", "token_endpoint", "jwks_uri", "scopes_supported", "token_endpoint_auth_methods_supported",
                 "revocation_endpoint", "introspection_endpoint", "code_challenge_methods_supported"):  # fmt: skip
        getattr(metadata, f"validate_{name}")()


@pytest.mark.parametrize("path", ["token", "introspect", "revoke", "userinfo"])
def test_every_endpoint_that_is_told_answers(auth: Auth, path: str) -> None:
    for name, url in offer.openid_configuration(auth.world.services.issuer).items():
        if name.endswith("_endpoint") and url.endswith(f"/{path}"):
            assert auth.post(path, "").status in (400, 401)
            return
    raise AssertionError(path)


@pytest.mark.statement("security S-15")
def test_the_key_set_holds_public_members_only(auth: Auth) -> None:
    for path in ("/auth/jwks", "/auth/jwks.json"):
        answer = document(auth, path)
        assert (answer.headers["Cache-Control"], answer.headers["Access-Control-Allow-Origin"]) == ("max-age=3600", "*")
        keys = answer.json["keys"]
        assert len({key["kid"] for key in keys}) == len(keys) >= 2
        for key in keys:
            assert set(key) <= {"kty", "n", "e", "kid", "use", "alg"}


@pytest.mark.statement("security TH25", "security H-18")
def test_access_tokens_and_id_tokens_are_signed_with_different_keys(auth: Auth) -> None:
    services = auth.world.services
    access = {key.kid for key in services.verifier.keys.keys}
    assert access.isdisjoint(key.kid for key in services.authority.id_keys.keys)


@pytest.mark.statement("security S-12")
def test_plain_http_gets_no_token_from_a_server_that_is_https(tmp_path: Any) -> None:
    from fhir_dmp.store.memory import MemoryStore
    from tests.world import make_world

    world = make_world(
        MemoryStore(),
        None,
        DMP_SERVER_BASE_URL="https://dmp.example/fhir",
        DMP_SERVER_ISSUER="https://dmp.example/auth",
        DMP_SERVER_TRUSTED_PROXIES="127.0.0.1",
        DMP_SECURITY_KEYS_DIR=str(tmp_path),
    )
    there = Auth(world)
    there.register(backend())

    def asked(**headers: str) -> int:
        form = {"grant_type": "client_credentials", "scope": "system/Patient.rs", **there.proof()}
        return there.token(form, x_forwarded_for="203.0.113.9", **headers).status

    assert asked(x_forwarded_proto="http") == 400
    assert asked(x_forwarded_proto="https") == 200


#: What is said to be offered -> the test that goes through it.
PROOFS = {
    "launch-standalone": "signin/test_standalone.py::test_a_patient_signs_in_agrees_and_the_application_gets_a_code",
    "launch-ehr": "signin/test_ehr_launch.py::test_an_application_is_launched_on_the_patient_that_is_open",
    "authorize-post": "signin/test_standalone.py::test_the_request_may_come_as_a_form_too",
    "client-public": "oauth/test_token_code.py::test_a_code_gives_a_token_with_its_context",
    "client-confidential-symmetric": "oauth/test_token_code.py::test_a_secret_proves_a_client",
    "client-confidential-asymmetric": "oauth/test_client_assertions.py::test_software_proves_itself_with_rs384",
    "sso-openid-connect": "oauth/test_token_code.py::test_the_id_token_says_who_signed_in",
    "context-standalone-patient": "signin/test_standalone.py::test_a_patient_scope_alone_still_yields_a_patient",
    "context-ehr-patient": "signin/test_ehr_launch.py::test_the_patient_may_be_named_by_ins",
    "context-ehr-encounter": "signin/test_ehr_launch.py::test_an_application_is_launched_on_the_patient_that_is_open",
    "context-banner": "signin/test_ehr_launch.py::test_an_application_is_launched_on_the_patient_that_is_open",
    "context-style": "signin/test_ehr_launch.py::test_an_application_is_launched_on_the_patient_that_is_open",
    "permission-offline": "signin/test_manage.py::test_what_was_granted_offline_survives_signing_out",
    "permission-online": "signin/test_manage.py::test_signing_out_ends_the_login_and_what_lives_with_it",
    "permission-patient": "identity/test_scopes.py::test_a_patient_never_gets_the_scopes_of_a_user",
    "permission-user": "oauth/test_scopes_gate.py::test_a_constraint_narrows_a_search_and_its_total",
    "permission-v1": "identity/test_scopes.py::test_a_scope_of_the_grammar_is_read",
    "permission-v2": "oauth/test_scopes_gate.py::test_a_constraint_narrows_a_search_and_its_total",
}


@pytest.mark.statement("security S-14")
def test_each_capability_that_is_listed_has_a_test_that_goes_through_it(auth: Auth) -> None:
    assert set(document(auth, "/fhir/.well-known/smart-configuration").json["capabilities"]) == PROOFS.keys()
    for proof in PROOFS.values():
        file, _, name = proof.partition("::")
        assert f"def {name}(" in (TESTS / file).read_text(encoding="utf-8"), proof
