"""The CapabilityStatement cannot lie: it is valid, complete, and every claim is carried out. fhir-rest 13.1, J."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fhir_dmp.validation.validate import errors_in, validate
from tests.rest.conftest import EMBEDDED, opened
from tests.rest.generate import TYPES, minimal
from tests.rest.shapes import bundle, entry, made, named, organization, patient
from tests.structures import STRUCTURES
from tests.world import Client, Json, World

JSON_PATCH = "application/json-patch+json"


@pytest.fixture(scope="module", params=EMBEDDED)
def shared(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One server for all the types."""
    yield from opened(request.param, tmp_path_factory.mktemp("claims"))


def _rest(client: Client) -> Json:
    found: Json = client.get("/metadata").json["rest"][0]
    return found


def _claims(world: World, type_: str) -> Json:
    return next(each for each in _rest(world.admin)["resource"] if each["type"] == type_)


@pytest.mark.statement("fhir-rest J211")
def test_the_statement_is_valid_in_json_and_xml(admin: Client) -> None:
    statement = admin.get("/metadata").json
    assert errors_in(validate(statement, STRUCTURES)) == ()
    body = admin.get("/metadata?_format=xml").body
    stored = admin.call("POST", "/CapabilityStatement", body, {"Content-Type": "application/fhir+xml"})
    assert stored.status == 201, stored.body
    for resource in statement["rest"][0]["resource"]:
        names = [each["name"] for each in resource.get("searchParam", ())]
        assert len(names) == len(set(names))
        assert resource["interaction"]


def test_the_statement_says_what_runs(admin: Client) -> None:
    statement = admin.get("/metadata").json
    assert (statement["status"], statement["kind"], statement["fhirVersion"]) == ("active", "instance", "4.0.1")
    assert {"json", "xml"} <= set(statement["format"])
    assert statement["patchFormat"] == [
        JSON_PATCH,
        "application/fhir+json",
        "application/fhir+xml",
        "application/xml-patch+xml",
    ]
    assert {each["type"] for each in statement["rest"][0]["resource"]} == set(TYPES)
    assert statement["rest"][0]["security"]["service"][0]["coding"][0]["code"] == "SMART-on-FHIR"
    terminology = admin.get("/metadata?mode=terminology").json
    assert terminology["resourceType"] == "TerminologyCapabilities"
    assert errors_in(validate(terminology, STRUCTURES)) == ()
    assert admin.get("/metadata?mode=unheard").status == 400


@pytest.mark.statement("fhir-rest J213")
def test_metadata_needs_no_token_and_is_cacheable(wide: World) -> None:
    answer = wide.nobody.get("/metadata")
    assert answer.status == 200
    assert "max-age" in answer.headers["Cache-Control"]
    again = wide.nobody.get("/metadata", If_None_Match=answer.headers["ETag"])
    assert (again.status, again.body) == (304, b"")
    assert wide.nobody.get("/metadata", If_None_Match='W/"1"').status == 200
    assert wide.nobody.get("/metadata?_pretty=true").headers["ETag"] == answer.headers["ETag"]


@pytest.mark.statement("fhir-rest J212")
def test_what_the_store_cannot_do_is_not_claimed(wide: World) -> None:
    codes = {each["code"] for each in _rest(wide.admin)["interaction"]}
    assert ("transaction" in codes) is wide.services.store.transactional
    assert {"batch", "search-system", "history-system"} <= codes


@pytest.mark.statement("fhir-rest J211")
@pytest.mark.parametrize("type_", TYPES)
def test_every_interaction_that_is_claimed_is_offered_and_no_other(shared: World, type_: str) -> None:
    admin, claims = shared.admin, _claims(shared, type_)
    codes = {each["code"] for each in claims["interaction"]}
    id_ = f"claim-{type_}"
    body = {**minimal(type_), "id": id_}
    first = admin.put(f"/{type_}/{id_}", body)
    assert (first.status == 405) is ("update" not in codes), first.body
    if "update" in codes:
        assert first.status == 201, first.body
        # Only the operator may give a document its id.
        assert claims["updateCreate"] is (type_ != "DocumentReference")
    tag = {"system": "https://example.org/t", "code": "x"}
    aware = claims["versioning"] == "versioned-update"
    at: list[dict[str, str]] = [{"If_Match": f'W/"{number}"'} if aware else {} for number in range(3)]
    done = {
        "create": admin.post(f"/{type_}", minimal(type_)).status,
        "update": admin.put(f"/{type_}/{id_}", {**body, "meta": {"tag": [tag]}}, **at[1]).status,
        "read": admin.get(f"/{type_}/{id_}").status,
        "vread": admin.get(f"/{type_}/{id_}/_history/1").status,
        "history-instance": admin.get(f"/{type_}/{id_}/_history").status,
        "history-type": admin.get(f"/{type_}/_history?_count=1").status,
        "search-type": admin.get(f"/{type_}?_id={id_}").status,
        "patch": admin.patch(f"/{type_}/{id_}", [{"op": "remove", "path": "/meta/tag"}], **at[2]).status,
        "delete": admin.delete(f"/{type_}/{id_}").status,
    }
    if type_ == "AuditEvent":
        done["read"] = 200 if admin.get("/AuditEvent?_count=1").entries else 404
    if type_ == "DocumentReference":
        done["create"] = 201  # it needs a dossier: tests/flows
    offered = {code for code, status in done.items() if status < 300}
    assert offered == codes, done
    assert {status for code, status in done.items() if code not in codes} <= {405}, done
    assert claims["readHistory"] is ("history-instance" in codes)


@pytest.mark.statement("fhir-rest J211")
@pytest.mark.parametrize("type_", TYPES)
def test_every_search_parameter_and_include_that_is_claimed_works(shared: World, type_: str) -> None:
    admin, claims = shared.admin, _claims(shared, type_)
    if {"code": "search-type"} not in claims["interaction"]:
        assert admin.get(f"/{type_}").status == 405
        return
    if type_ == "AuditEvent":
        return  # its searches need a date or a patient: tests/audit
    common = _rest(admin)["searchParam"]
    for parameter in [*claims.get("searchParam", ()), *common]:
        path = f"/{type_}?_count=1&{parameter['name']}="
        answer = admin.get(path + VALUES[parameter["type"]], **STRICT)
        if answer.status == 400 and b"expected true or false" in answer.body:
            answer = admin.get(f"{path}true", **STRICT)
        assert answer.status == 200, (parameter, answer.body)
        if ":missing" in parameter.get("documentation", ""):
            answer = admin.get(f"/{type_}?{parameter['name']}:missing=true&_count=1", **STRICT)
            assert answer.status == 200, (parameter, answer.body)
    for name, key in (("_include", "searchInclude"), ("_revinclude", "searchRevInclude")):
        listed = claims.get(key, ())
        for start in range(0, len(listed), 40):
            query = "&".join(f"{name}={each}" for each in listed[start : start + 40])
            answer = admin.get(f"/{type_}?{query}&_count=1", **STRICT)
            assert answer.status == 200, answer.body
    for parameter in common:
        assert parameter["definition"]


STRICT = {"Prefer": "handling=strict"}


VALUES = {
    "string": "abc",
    "token": "abc",
    "reference": "abc",
    "uri": "https://example.org/x",
    "date": "2026-06",
    "number": "1.0",
    "quantity": "1.0||mg",
    "composite": "",
    "special": "mot",
}


@pytest.mark.statement("fhir-rest J211")
@pytest.mark.parametrize("type_", ["Patient", "Organization", "Observation", "Basic", "ValueSet", "Binary", "Consent"])
def test_the_conditional_interactions_that_are_claimed_work(shared: World, type_: str) -> None:
    admin, claims = shared.admin, _claims(shared, type_)
    criteria = "_id=none-such"
    if claims["conditionalCreate"]:
        answer = admin.post(f"/{type_}", minimal(type_), If_None_Exist=criteria)
        assert answer.status == (201 if type_ != "Binary" else answer.status), answer.body
    if claims["conditionalUpdate"]:
        answer = admin.put(f"/{type_}?{criteria}", {**minimal(type_), "id": f"cond-{type_}"})
        assert answer.status in (200, 201), answer.body
    assert (admin.delete(f"/{type_}?{criteria}").status == 204) is ("conditionalDelete" in claims)
    stored = admin.get(f"/{type_}/cond-{type_}", If_None_Match='W/"1"')
    assert stored.status == 304
    assert claims["conditionalRead"] == "full-support"


@pytest.mark.statement("fhir-rest J211")
def test_every_operation_that_is_claimed_runs(shared: World) -> None:
    admin = shared.admin
    rest = _rest(admin)
    stored = made(admin, patient())
    for operation in rest["operation"]:
        answer = admin.get(f"/${operation['name']}")
        assert answer.status == 200, answer.body
        assert operation["definition"]
    for claims in rest["resource"]:
        for operation in claims.get("operation", ()):
            answer = admin.call("POST", f"/{claims['type']}/${operation['name']}")
            assert answer.status in (200, 400, 404, 422), (claims["type"], operation, answer.body)
            if answer.status == 404:  # on instances only
                path = f"/{claims['type']}/nobody/${operation['name']}"
                assert admin.call("POST", path, {"resourceType": "Parameters"}).status in (400, 404)
    for path in ("/$meta", "/Patient/$meta", f"/{named(stored)}/$meta"):
        assert admin.get(path).json["parameter"][0]["name"] == "return"


@pytest.mark.statement("fhir-rest J211")
def test_the_system_interactions_that_are_claimed_work(shared: World) -> None:
    admin = shared.admin
    codes = {each["code"] for each in _rest(admin)["interaction"]}
    assert codes == {"transaction", "batch", "search-system", "history-system"}
    for kind in ("transaction", "batch"):
        assert admin.post("/", bundle(kind, entry("POST", "Organization", organization()))).status == 200
    assert admin.get("/?_type=Patient").status == 200
    assert admin.get("/_history?_count=1").status == 200
    for url in _rest(admin)["compartment"]:
        type_ = {"relatedperson": "RelatedPerson"}.get(name := url.rpartition("/")[2], name.capitalize())
        assert admin.get(f"/{type_}/nobody/*?_count=1").status == 200, url


@pytest.mark.statement("fhir-rest J211")
def test_the_openapi_document_keeps_step_with_the_statement(world: World) -> None:
    answer = world.request("GET", "/openapi.json", b"", {})
    assert answer.status == 200
    paths = answer.json["paths"]
    rest = _rest(world.admin)
    for claims in rest["resource"]:
        type_, codes = claims["type"], {each["code"] for each in claims["interaction"]}
        for code, path, method in (
            ("read", f"/{type_}/{{id}}", "get"),
            ("update", f"/{type_}/{{id}}", "put"),
            ("patch", f"/{type_}/{{id}}", "patch"),
            ("delete", f"/{type_}/{{id}}", "delete"),
            ("create", f"/{type_}", "post"),
            ("search-type", f"/{type_}", "get"),
            ("vread", f"/{type_}/{{id}}/_history/{{vid}}", "get"),
            ("history-instance", f"/{type_}/{{id}}/_history", "get"),
            ("history-type", f"/{type_}/_history", "get"),
        ):
            assert (method in paths.get(path, {})) is (code in codes), (type_, code)
        for operation in claims.get("operation", ()):
            name = operation["name"]
            on_type, on_instance = f"/{type_}/${name}" in paths, f"/{type_}/{{id}}/${name}" in paths
            on_instances_only = (
                "meta-add", "meta-delete", "everything", "document", "access-history", "notifications", "xdm",
            )  # fmt: skip
            assert on_type is (name not in on_instances_only), name
            assert on_instance is (
                name not in ("dmp-ouvrir", "docref", "lookup", "fhir-to-cda", "generate-metadata")
            ), name


@pytest.mark.statement("fhir-rest J210")
def test_an_unknown_operation_is_404_and_a_changing_one_is_not_called_by_get(admin: Client) -> None:
    stored = made(admin, patient())
    for path in ("/$unheard", "/Patient/$unheard", f"/{named(stored)}/$unheard", "/Organization/$dmp-ouvrir", "/$"):
        for method in ("GET", "POST"):
            answer = admin.call(method, path, {"resourceType": "Parameters"} if method == "POST" else None)
            assert (answer.status, answer.codes) == (404, {"not-supported"}), path
    for path in ("/Patient/$dmp-ouvrir", f"/{named(stored)}/$meta-add", f"/{named(stored)}/$meta-delete"):
        answer = admin.get(path)
        assert (answer.status, answer.headers["Allow"]) == (405, "POST, OPTIONS")
