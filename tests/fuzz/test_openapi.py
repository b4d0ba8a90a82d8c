"""The server against its own description: what schemathesis makes of /openapi.json never meets a defect.

Only some types and a few examples for each operation: the rest of the description is made by the same table.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from schemathesis.core.result import Ok

from fhir_dmp.store.memory import MemoryStore
from tests.world import World, make_world

from .answers import judge

TYPES = ("Patient", "DocumentReference", "List", "Binary", "Consent", "AuditEvent", "Observation")
EXAMPLES = 6


def _chosen(path: str) -> bool:
    first = path.strip("/").split("/")[0]
    return first in (*TYPES, "", "metadata", "_history", "_search") or first.startswith("$")


def _app(world: World) -> Callable[..., Iterable[bytes]]:
    """Return the application, whose description is cut to the chosen paths."""
    described = world.nobody.world.request("GET", "/openapi.json", b"", {}).json
    described["paths"] = {path: item for path, item in described["paths"].items() if _chosen(path)}
    content = json.dumps(described).encode()

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ["PATH_INFO"] == "/openapi.json":
            start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(content)))])
            return [content]
        found: Iterable[bytes] = world.app(environ, start_response)
        return found

    return app


@pytest.fixture(scope="module")
def world() -> World:
    made = make_world(MemoryStore())
    made.open()
    made.authorise()
    made.submit("1.2.250.1.999.8.1")
    return made


def _operations(world: World) -> Iterator[Any]:
    schema = schemathesis.openapi.from_wsgi("/openapi.json", _app(world))
    for found in schema.get_all_operations():
        assert isinstance(found, Ok), found
        yield found.ok()


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_no_operation_of_the_description_meets_a_defect(world: World) -> None:
    operations = list(_operations(world))
    assert len(operations) > 40
    authorizations = [{"Authorization": f"Bearer {each.token}"} for each in (world.admin, world.doctor())]
    for operation in operations:
        _try(operation, authorizations)
    assert world.admin.get("/metadata").status == 200


def _try(operation: Any, authorizations: list[dict[str, str]]) -> None:
    @seed(20261122)
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(operation.as_strategy(), st.sampled_from(authorizations))
    def one(case: Any, authorization: dict[str, str]) -> None:
        answer = case.call(headers=authorization)
        judge(answer.status_code, {k.lower(): v[0] for k, v in answer.headers.items()}, answer.content, case.method)

    one()
