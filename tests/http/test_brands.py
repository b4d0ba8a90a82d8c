"""The brand bundle: public, small, and validated like any resource."""

from __future__ import annotations

import pytest

from fhir_dmp.store.memory import MemoryStore
from tests.world import World, make_world


@pytest.fixture(scope="module")
def world() -> World:
    return make_world(MemoryStore())


@pytest.mark.statement("security S-13")
def test_the_brands_are_a_public_collection_with_a_weak_etag(world: World) -> None:
    answer = world.request("GET", "/fhir/brands", b"", {"Origin": "https://any.example"})
    assert (answer.status, answer.headers["Content-Type"]) == (200, "application/fhir+json")
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    bundle = answer.json
    assert (bundle["resourceType"], bundle["type"], bool(bundle["timestamp"])) == ("Bundle", "collection", True)
    assert [issue for issue in world.services.validate(bundle) if issue.severity != "warning"] == []
    assert answer.headers["ETag"].startswith('W/"')
    again = world.request("GET", "/fhir/brands", b"", {"If-None-Match": answer.headers["ETag"]})
    assert (again.status, again.body) == (304, b"")
    assert world.request("POST", "/fhir/brands", b"{}", {}).status == 405


def test_the_brand_leads_to_the_fhir_base_and_the_configuration_to_the_brand(world: World) -> None:
    bundle = world.request("GET", "/fhir/brands", b"", {}).json
    kinds = {entry["resource"]["resourceType"]: entry["resource"] for entry in bundle["entry"]}
    assert kinds["Endpoint"]["address"] == world.services.base
    smart = world.request("GET", "/fhir/.well-known/smart-configuration", b"", {}).json
    assert smart["user_access_brand_bundle"] == world.services.base + "/brands"
    assert smart["user_access_brand_identifier"] == kinds["Organization"]["identifier"][0]
