"""A document written to replace another keeps its setId and has the next versionNumber. [cda 2.3]"""

from __future__ import annotations

from typing import Any

import pytest

from fhir_dmp.cda.elements import first
from fhir_dmp.cda.xml import Element, clinical_document, parse
from tests import samples
from tests.cda.making import document
from tests.cda.test_writing import bundle, reference
from tests.flows.steps import Dossier, next_oid
from tests.samples import Json
from tests.world import Client, World

XML = "application/xml"
VERSION = "http://hl7.org/fhir/StructureDefinition/composition-clinicaldocument-versionNumber"


def root_of(unique: str) -> Json:
    """Return the identifier of a document."""
    return {"system": "urn:ietf:rfc:3986", "value": f"urn:oid:{unique}"}


def stored(dossier: Dossier, version: int = 4, **more: Any) -> str:
    """Store a CDA with a uniqueId, a setId and a version; return the uniqueId."""
    unique = next_oid()
    content = document(
        id=f'<id root="{unique}"/>', set=f'<setId root="1.2.250.1.999.9.1"/><versionNumber value="{version}"/>'
    )
    dossier.submit(unique=unique, content=content, content_type=XML, **more)
    return unique


def replacing(unique: str, **composition: Any) -> Json:
    """Return a FHIR document that replaces another."""
    found = bundle()
    found["entry"][0]["resource"].update(
        relatesTo=[{"code": "replaces", "targetIdentifier": root_of(unique)}], **composition
    )
    return found


def written(client: Client, resource: Json) -> Element:
    """Return the CDA of a resource."""
    answer = client.post(f"/{resource['resourceType']}/$fhir-to-cda", resource, Accept=XML)
    assert answer.status == 200, answer.body
    return clinical_document(parse(answer.body))


def set_and_version(root: Element) -> tuple[str | None, str | None]:
    """Return the root of setId and the versionNumber."""
    set_id, version = first(root, "setId"), first(root, "versionNumber")
    assert set_id is not None
    assert version is not None
    return set_id.get("root"), version.get("value")


@pytest.mark.statement("cda F101", "cda F102")
def test_the_set_is_kept_and_the_version_is_the_next(dossier: Dossier) -> None:
    unique = stored(dossier)
    root = written(dossier.world.doctor(), replacing(unique))
    assert set_and_version(root) == ("1.2.250.1.999.9.1", "5")
    parent = first(root, "relatedDocument", "parentDocument")
    assert parent is not None
    assert [child.get("root") or child.get("value") for child in parent] == [unique, "1.2.250.1.999.9.1", "4"]


@pytest.mark.statement("cda F101")
def test_a_pdf_that_replaces_a_stored_document_does_the_same(dossier: Dossier) -> None:
    unique = stored(dossier)
    id_ = dossier.found(dossier.world.admin, f"identifier=urn:ietf:rfc:3986|urn:oid:{unique}")[0]
    for target in ({"identifier": root_of(unique)}, {"reference": f"DocumentReference/{id_}"}):
        root = written(dossier.world.doctor(), reference(relatesTo=[{"code": "replaces", "target": target}]))
        assert set_and_version(root) == ("1.2.250.1.999.9.1", "5")
        parent = first(root, "relatedDocument", "parentDocument", "id")
        assert parent is not None
        assert parent.get("root") == unique


@pytest.mark.statement("cda F101")
def test_a_stated_version_that_is_too_low_is_raised_and_a_higher_one_stays(dossier: Dossier) -> None:
    unique = stored(dossier)
    for stated, wanted in (("4", "5"), ("9", "9")):
        given = replacing(unique)
        given["entry"][0]["resource"]["extension"].append({"url": VERSION, "valueString": stated})
        assert set_and_version(written(dossier.world.doctor(), given))[1] == wanted


def test_what_the_caller_may_not_see_is_as_unknown(world: World, dossier: Dossier) -> None:
    unique = stored(dossier, labels=((samples.CONFIDENTIALITY, "N"), (samples.VISIBILITY, "MASQUE_PS")))
    world.authorise(dossier.ins, samples.OTHER_DOCTOR)
    other = world.doctor(samples.OTHER_DOCTOR, samples.CLINIC)
    hidden = written(other, replacing(unique))
    unknown = written(other, replacing("1.2.250.1.999.9.404"))
    assert set_and_version(hidden) == set_and_version(unknown)
    assert set_and_version(unknown)[1] == "2"


@pytest.mark.statement("cda F101")
def test_what_was_read_from_the_document_that_it_replaces_has_the_next_version(world: World) -> None:
    converted = world.doctor().post("/Binary/$cda-to-fhir", document(), Content_Type=XML, Prefer="return=minimal").json
    converted["entry"][0]["resource"]["relatesTo"] = [{"code": "replaces", "targetIdentifier": converted["identifier"]}]
    converted["identifier"] = root_of(next_oid())
    root = written(world.doctor(), converted)
    set_id, version = first(root, "setId"), first(root, "versionNumber")
    assert set_id is not None
    assert version is not None
    assert (set_id.get("extension"), version.get("value")) == ("2026", "3")
