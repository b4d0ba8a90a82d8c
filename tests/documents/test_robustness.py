"""Whatever the shape of what is sent, a decision ends in a plan or in a refusal with a place; nothing else."""

from __future__ import annotations

import base64
import copy
from collections.abc import Callable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from fhir_dmp.documents.plans import Plan
from fhir_dmp.errors import DmpError
from fhir_dmp.fhir.resource import Json
from tests.documents import build
from tests.documents.record import Record

scalars = st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(["", "#", "x", "urn:uuid:1", "List?", "a|b"])
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(["reference", "identifier", "coding", "code", "id", "resourceType"]), inner)
    ),
    max_leaves=4,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place of a JSON value where something else may be put."""
    found = [path] if path else []
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in pairs:
        if key != "data":
            found += places(part, (*path, key))
    return found


def spoiled(sent: Json, path: tuple[Any, ...], value: Any) -> Json:
    changed = copy.deepcopy(sent)
    holder: Any = changed
    for step in path[:-1]:
        holder = holder[step]
    holder[path[-1]] = value
    return changed


def planned(decide: Callable[[], Plan]) -> Plan | DmpError:
    try:
        return decide()
    except DmpError as error:
        return error


def assert_sound(outcome: Plan | DmpError, *, replies: int) -> None:
    if isinstance(outcome, DmpError):
        assert all(issue.diagnostics and issue.severity == "error" for issue in outcome.issues)
    else:
        assert len(outcome.replies) == replies


def record() -> Record:
    known = Record()
    known.dossier(build.INS, "anouk", birthDate="1985-04-17")
    known.submit(build.submission(build.docref("1.2.3")))
    return known


KNOWN = record()
OLD = next(held.reference for held in KNOWN.held.values() if held.type == "DocumentReference")
SUBMISSION = build.submission(
    build.docref(relatesTo=build.replaces(OLD)),
    build.entry(build.superseding_patch(), method="PATCH", target=OLD),
    build.entry(build.folder(build.DOCUMENT_URL), build.FOLDER_URL),
)
PUBLICATION = build.publication(relatesTo=build.replaces(OLD))


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(places(SUBMISSION)), values)
def test_a_spoiled_submission_is_planned_or_refused(path: tuple[Any, ...], value: Any) -> None:
    outcome = planned(lambda: KNOWN.plan(spoiled(SUBMISSION, path, value)))
    assert_sound(outcome, replies=5)


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(places(PUBLICATION)), values)
def test_a_spoiled_publication_is_planned_or_refused(path: tuple[Any, ...], value: Any) -> None:
    outcome = planned(lambda: KNOWN.plan_publication(spoiled(PUBLICATION, path, value)))
    assert_sound(outcome, replies=1)


@settings(max_examples=30, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_may_be_a_content(data: bytes) -> None:
    plan = KNOWN.plan(build.submission(data=data))
    blob = plan.drafts[2].blob
    assert blob is not None
    assert base64.b64encode(blob.sha1).decode() == plan.drafts[1].resource["content"][0]["attachment"]["hash"]
