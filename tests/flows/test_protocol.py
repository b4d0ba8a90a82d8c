"""What every FHIR client relies on, whatever it does. [dmp-fhir 9.1]"""

from __future__ import annotations

import io
import json
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from fhir_dmp.http.access_log import AccessLog
from fhir_dmp.http.app import Wsgi
from fhir_dmp.http.fhir import FhirApplication
from tests import samples
from tests.flows.steps import Dossier, assert_refused, next_oid, nothing_stored, publication
from tests.world import World

NAMESPACE = "{http://hl7.org/fhir}"


@pytest.mark.statement("dmp-fhir 9.1/1")
def test_the_capability_statement_needs_no_token_and_states_r4(world: World) -> None:
    answer = world.nobody.get("/metadata")
    assert answer.status == 200
    assert answer.json["resourceType"] == "CapabilityStatement"
    assert answer.json["fhirVersion"] == "4.0.1"


@pytest.mark.statement("dmp-fhir 9.1/2")
def test_the_capability_statement_lists_transaction_and_the_interactions_on_documents(world: World) -> None:
    (rest,) = world.nobody.get("/metadata").json["rest"]
    assert "transaction" in {each["code"] for each in rest["interaction"]}
    (document,) = [each for each in rest["resource"] if each["type"] == "DocumentReference"]
    assert {"patch", "create", "search-type", "read"} <= {each["code"] for each in document["interaction"]}


PDSM = "https://interop.esante.gouv.fr/ig/fhir/pdsm/SearchParameter"
MHD = "https://profiles.ihe.net/ITI/MHD/SearchParameter"


@pytest.mark.statement("dmp-fhir 9.1/3")
@pytest.mark.parametrize(
    ("type_", "name", "definition"),
    [
        ("DocumentReference", "isArchived", f"{PDSM}/PDSm-isArchived"),
        ("DocumentReference", "period-start", f"{PDSM}/PDSm-DocumentReference-period-start"),
        ("DocumentReference", "period-end", f"{PDSM}/PDSm-DocumentReference-period-end"),
        ("DocumentReference", "creation", f"{MHD}/DocumentReference-Creation"),
        ("List", "isArchived", f"{PDSM}/PDSm-isArchived"),
        ("List", "designationType", f"{MHD}/List-DesignationType"),
        ("List", "sourceId", f"{MHD}/List-SourceId"),
        ("List", "authorOrg", f"{PDSM}/PDSm-List-authorOrg"),
    ],
)
def test_the_capability_statement_defines_the_parameters_of_pdsm(
    world: World, type_: str, name: str, definition: str
) -> None:
    (rest,) = world.nobody.get("/metadata").json["rest"]
    (resource,) = [each for each in rest["resource"] if each["type"] == type_]
    assert [each["definition"] for each in resource["searchParam"] if each["name"] == name] == [definition]


@pytest.mark.statement("dmp-fhir 9.1/4")
def test_json_and_xml_are_accepted_and_produced(world: World) -> None:
    body = b'<Practitioner xmlns="http://hl7.org/fhir"><active value="true"/><gender value="other"/></Practitioner>'
    made = world.admin.call("POST", "/Practitioner", body, {"content-type": "application/fhir+xml"})
    assert made.status == 201, made.body
    place = made.headers["Location"].split("/fhir")[1].split("/_history")[0]
    as_json = world.admin.get(place, Accept="application/fhir+json")
    assert as_json.headers["Content-Type"].startswith("application/fhir+json")
    assert as_json.json["gender"] == "other"
    as_xml = world.admin.get(place, Accept="application/fhir+xml")
    assert as_xml.headers["Content-Type"].startswith("application/fhir+xml")
    gender = ET.fromstring(as_xml.body).find(f"{NAMESPACE}gender")
    assert gender is not None
    assert gender.get("value") == "other"
    again = world.admin.post("/Practitioner", {"resourceType": "Practitioner", "gender": "male"}, Accept="text/xml")
    assert again.status == 201
    assert ET.fromstring(again.body).tag == f"{NAMESPACE}Practitioner"


@pytest.mark.statement("dmp-fhir 9.1/5")
@pytest.mark.parametrize("path", ["/metadata", "/Practitioner", "/DocumentReference/nobody"])
def test_an_accept_that_cannot_be_produced_is_406(world: World, path: str) -> None:
    assert_refused(world.admin.get(path, Accept="image/png"), 406, "not-supported")


@pytest.mark.statement("dmp-fhir 9.1/6")
def test_an_unsupported_content_type_is_415(world: World) -> None:
    with nothing_stored(world):
        for path in ("/DocumentReference", "", "/Practitioner"):
            answer = world.admin.call("POST", path, b"a,b", {"content-type": "text/csv"})
            assert_refused(answer, 415)


@pytest.mark.statement("dmp-fhir 9.1/7")
@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/fhir+json", b'{"resourceType": "DocumentReference", '),
        ("application/fhir+json", b"not json"),
        ("application/fhir+xml", b"<DocumentReference xmlns='http://hl7.org/fhir'><status"),
        ("application/json-patch+json", b"[{"),
    ],
)
def test_a_broken_body_is_400(world: World, content_type: str, body: bytes) -> None:
    method, path = ("PATCH", "/DocumentReference/x") if "patch" in content_type else ("POST", "/DocumentReference")
    with nothing_stored(world):
        assert_refused(world.doctor().call(method, path, body, {"content-type": content_type}), 400)


@pytest.mark.statement("dmp-fhir 9.1/8")
def test_every_refusal_carries_an_operation_outcome(world: World, dossier: Dossier) -> None:
    doctor, admin = world.doctor(), world.admin
    id_ = dossier.submit()
    refusals = [
        (400, admin.get("/DocumentReference?date=yesterday")),
        (401, world.nobody.get("/Patient/x")),
        (403, world.structure().get(f"/DocumentReference?{dossier.criterion}")),
        (404, admin.get("/DocumentReference/absent")),
        (404, admin.get("/Nonsense")),
        (405, admin.delete(f"/DocumentReference/{id_}")),
        (406, admin.get("/Patient", Accept="image/png")),
        (409, doctor.post("", samples.submission(dossier.read(id_)["masterIdentifier"]["value"][8:], ins=dossier.ins))),
        (410, admin.get(f"/Practitioner/{_deleted(world)}")),
        (412, admin.patch(f"/DocumentReference/{id_}", [], If_Match='W/"99"')),
        (415, admin.call("POST", "/Patient", b"x", {"content-type": "text/csv"})),
        (422, doctor.post("", {**samples.submission(next_oid(), ins=dossier.ins), "entry": []})),
    ]
    for status, answer in refusals:
        assert_refused(answer, status)


def _deleted(world: World) -> str:
    id_: str = world.admin.post("/Practitioner", {"resourceType": "Practitioner"}).json["id"]
    assert world.admin.delete(f"/Practitioner/{id_}").status == 204
    return id_


@pytest.mark.statement("dmp-fhir 9.1/9")
@pytest.mark.parametrize("authorization", [None, "Bearer nonsense", "Basic Zm9vOmJhcg==", "Bearer ", "Bearer a.b.c"])
@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/Patient"), ("GET", "/DocumentReference/x"), ("POST", ""), ("PATCH", "/List/x")]
)
def test_a_call_without_a_valid_token_is_401(world: World, method: str, path: str, authorization: str | None) -> None:
    headers = {"authorization": authorization} if authorization else {}
    answer = world.nobody.call(method, path, {"resourceType": "Bundle"} if method != "GET" else None, headers)
    assert_refused(answer, 401, "login")
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.statement("dmp-fhir 9.1/10")
@pytest.mark.parametrize("type_", ["DocumentReference", "List", "Binary", "Patient", "Consent"])
def test_delete_is_not_offered_on_the_record_and_removes_nothing(world: World, dossier: Dossier, type_: str) -> None:
    id_ = dossier.submit()
    consent = dossier.authorise()
    place = {
        "DocumentReference": f"/DocumentReference/{id_}",
        "List": f"/List/{dossier.found(world.admin, type_='List')[0]}",
        "Binary": dossier.path(id_),
        "Patient": f"/Patient/{dossier.id}",
        "Consent": f"/Consent/{consent}",
    }[type_]
    for client in (world.admin, world.doctor(), dossier.holder):
        with nothing_stored(world):
            answer = client.delete(place)
            assert_refused(answer, 405, "not-supported")
            assert "GET" in answer.headers["Allow"]
            assert "DELETE" not in answer.headers["Allow"]
    assert_refused(world.admin.delete(f"/{type_}?_id={place.rsplit('/', 1)[1]}"), 405)
    assert world.admin.get(place).status == 200


@pytest.mark.statement("dmp-fhir 9.1/11")
def test_every_write_gives_an_etag_and_the_resource_its_version_and_time(world: World, dossier: Dossier) -> None:
    made = world.doctor().post("/DocumentReference", publication(next_oid(), ins=dossier.ins))
    patched = world.doctor().patch(
        f"/DocumentReference/{made.json['id']}",
        [{"op": "replace", "path": "/status", "value": "superseded"}],
    )
    updated = world.admin.put(
        f"/Patient/{dossier.id}", {**world.admin.get(f"/Patient/{dossier.id}").json, "gender": "unknown"}
    )
    for answer, status, version in ((made, 201, "1"), (patched, 200, "2"), (updated, 200, "2")):
        assert answer.status == status, answer.body
        assert answer.headers["ETag"] == f'W/"{version}"'
        assert answer.json["meta"]["versionId"] == version
        assert answer.json["meta"]["lastUpdated"].startswith("2026-06-12T")
    bundle = world.doctor().post("", samples.submission(next_oid(), ins=dossier.ins)).json
    assert [entry["response"]["etag"] for entry in bundle["entry"]] == ['W/"1"'] * 3
    assert all(entry["response"]["lastModified"].startswith("2026-06-12T") for entry in bundle["entry"])


@pytest.mark.statement("dmp-fhir 9.1/12")
def test_a_stale_if_match_is_412_and_changes_nothing(world: World, dossier: Dossier) -> None:
    id_ = dossier.submit()
    dossier.archive(id_)
    patch = [{"op": "replace", "path": "/status", "value": "entered-in-error"}]
    with nothing_stored(world):
        answer = world.doctor().patch(f"/DocumentReference/{id_}", patch, If_Match='W/"1"')
        assert_refused(answer, 412)
        assert answer.headers["ETag"] == 'W/"2"'
        stale = world.admin.get(f"/Patient/{dossier.id}").json
        assert_refused(world.admin.put(f"/Patient/{dossier.id}", {**stale, "gender": "unknown"}, If_Match='W/"7"'), 412)
    assert world.doctor().patch(f"/DocumentReference/{id_}", patch, If_Match='W/"2"').status == 200


@pytest.mark.statement("dmp-fhir 9.1/13")
def test_the_request_id_comes_back(world: World) -> None:
    assert world.nobody.get("/metadata", X_Request_Id="correlation-42").headers["X-Request-Id"] == "correlation-42"
    assert world.nobody.get("/Patient/x", X_Request_Id="refused-43").headers["X-Request-Id"] == "refused-43"


@pytest.mark.statement("dmp-fhir 9.1/14")
def test_a_batch_of_reads_answers_in_order(world: World, dossier: Dossier) -> None:
    dossier.authorise()
    contents = [b"premier", b"second"]
    paths = [dossier.path(dossier.submit(content=content)) for content in contents]
    urls = [paths[1][1:], "DocumentReference/absent", paths[0][1:]]
    batch = {
        "resourceType": "Bundle",
        "type": "batch",
        "entry": [{"request": {"method": "GET", "url": url}} for url in urls],
    }
    answer = world.doctor().post("", batch)
    assert answer.status == 200, answer.body
    assert answer.json["type"] == "batch-response"
    second, absent, first = answer.json["entry"]
    assert [each["response"]["status"][:3] for each in (second, absent, first)] == ["200", "404", "200"]
    assert absent["response"]["outcome"]["resourceType"] == "OperationOutcome"
    assert [second["resource"]["data"], first["resource"]["data"]] == ["c2Vjb25k", "cHJlbWllcg=="]


@pytest.mark.statement("dmp-fhir 9.1/15")
def test_no_ins_appears_in_the_access_log(world: World, dossier: Dossier) -> None:
    written = io.StringIO()
    logged = FhirApplication(world.services, log=AccessLog(written, background=False))
    quiet, world.app = world.app, _mounted(logged)
    try:
        dossier.found(world.admin)
        world.admin.get(f"/Patient/{dossier.ins}")
        world.admin.get(f"/Patient/{samples.INS}|{dossier.ins}/_history/{dossier.ins}")
        world.admin.get("/Patient", X_Request_Id=dossier.ins)
        body = f"identifier={samples.INS}|{dossier.ins}".encode()
        world.doctor().call("POST", "/Patient/_search", body, {"content-type": "application/x-www-form-urlencoded"})
    finally:
        world.app = quiet
    lines = written.getvalue().splitlines()
    assert len(lines) == 5
    assert json.loads(lines[0])["status"] == 200
    assert not [line for line in lines if dossier.ins in line or dossier.ins[:13] in line]


def _mounted(fhir: FhirApplication) -> Wsgi:
    def call(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        environ["SCRIPT_NAME"], environ["PATH_INFO"] = "/fhir", environ["PATH_INFO"].removeprefix("/fhir")
        return fhir(environ, start_response)

    return call


@pytest.mark.statement("dmp-fhir 9.1/15", "dmp-fhir 9.7/127")
def test_no_ins_appears_in_paging_links(world: World, dossier: Dossier) -> None:
    for _ in range(3):
        dossier.submit()
    pages = dossier.search(world.admin, "_count=1")
    links = {link["relation"]: link["url"] for link in pages.json["link"]}
    followed = world.admin.get(links["next"].split("/fhir")[1])
    again = {link["relation"]: link["url"] for link in followed.json["link"]}
    paging = [url for name, url in (*links.items(), *again.items()) if name != "self"]
    assert len(paging) >= 3
    assert not [url for url in paging if dossier.ins in url]
