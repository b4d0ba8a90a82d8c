"""Contents that no document points to yet belong to whoever sent them. [dmp-fhir 3.6]"""

from __future__ import annotations

from tests import samples
from tests.world import World


def binary(world: World) -> str:
    """Store a content as the doctor and return its path."""
    answer = world.doctor().call("POST", "/Binary", b"bonjour", {"Content-Type": "text/plain"})
    assert answer.status == 201, answer.body
    return f"/Binary/{answer.json['id']}"


def test_only_its_creator_reads_a_content_that_no_document_points_to(world: World) -> None:
    path = binary(world)
    assert world.doctor().get(path).body == b"bonjour"
    assert world.doctor(samples.OTHER_DOCTOR).get(path).status == 404


def test_a_reindex_leaves_a_content_to_its_creator(world: World) -> None:
    path = binary(world)
    assert world.services.store.reindex("Binary", world.services.terms, None, 1000) is None
    assert world.doctor().get(path).body == b"bonjour"
    assert world.doctor(samples.OTHER_DOCTOR).get(path).status == 404
