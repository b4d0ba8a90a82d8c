"""A second opinion from fhir.resources: both verdicts agree, except where one of them knows more.

The models are R4B (R4 has no models of that quality); a few rare R4 types are missing there. They are only asked
whether a resource is valid; what they would write is never looked at.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from fhir.resources.R4B import get_fhir_model_class

from fhir_dmp.fhir.resource import Json, parse
from fhir_dmp.validation.validate import errors_in, validate
from tests import samples
from tests.structures import PDSM_EXAMPLES, R4_EXAMPLES, STRUCTURES

DIV = '<div xmlns="http://www.w3.org/1999/xhtml">x</div>'
EXTENSION = {"extension": [{"url": "http://example.org/e", "valueString": "x"}]}


def ours(resource: Json) -> bool:
    return not errors_in(validate(resource, STRUCTURES))


def theirs(resource: Json) -> bool:
    try:
        get_fhir_model_class(resource["resourceType"]).model_validate(resource)
    except ValueError:
        return False
    return True


def patient(**more: Any) -> Json:
    return {"resourceType": "Patient", **more}


BOTH_ACCEPT: dict[str, Json] = {
    "a patient": patient(name=[{"family": "Fictif"}]),
    "a French patient": samples.patient(),
    "a null with a twin": patient(name=[{"given": ["a", None], "_given": [None, EXTENSION]}]),
    "a mandatory value told absent": {"resourceType": "Observation", "_status": EXTENSION, "code": {"text": "x"}},
    "a leap second": patient(deceasedDateTime="2016-12-31T23:59:60Z"),
}
BOTH_REFUSE: dict[str, Json] = {
    "unknown type": {"resourceType": "Nope"},
    "unknown property": patient(nickname="x"),
    "array for one": patient(birthDate=["2024"]),
    "one for an array": patient(name={"family": "x"}),
    "31 February": patient(birthDate="2024-02-31"),
    "two types of a choice": patient(deceasedBoolean=True, deceasedDateTime="2024"),
    "number for a string": patient(name=[{"family": 7}]),
    "underscore in an id": patient(id="a_b"),
    "mandatory element absent": {"resourceType": "Observation", "status": "final"},
    "extension without url": patient(extension=[{"valueString": "x"}]),
    "empty string": patient(name=[{"family": ""}]),
    "code with white space": patient(language=" fr"),
    "time without zone": patient(deceasedDateTime="2024-02-01T10:00:00"),
    "not base64": patient(photo=[{"contentType": "image/png", "data": "x"}]),
    "positiveInt of zero": patient(telecom=[{"system": "phone", "value": "1", "rank": 0}]),
    "not an OID": patient(extension=[{"url": "u", "valueOid": "1.2"}]),
    "partial instant": patient(meta={"lastUpdated": "2024-01-01"}),
    "modifier extension on a data type": patient(name=[{"modifierExtension": [{"url": "u", "valueCode": "x"}]}]),
}
#: What only we refuse, and why the other does not.
ONLY_WE_REFUSE: dict[str, Json] = {
    "empty array (it reads it as absent)": patient(name=[]),
    "empty object (it reads it as absent)": patient(name=[{}]),
    "null (it reads it as absent)": patient(birthDate=None),
    "null in an array without twin (it does not compare the arrays)": patient(name=[{"given": ["a", None]}]),
    "boolean in quotes (it converts)": patient(active="true"),
    "id of 65 characters (it has no limit)": patient(id="x" * 65),
    "code outside a required binding (it ignores bindings)": patient(gender="M"),
    "white space in a URI (it has no pattern)": patient(implicitRules="a b"),
    "control character (it has no rule)": patient(name=[{"family": "a\x01"}]),
    "ext-1 both (it has no constraints)": patient(extension=[{"url": "u", "valueString": "x", **EXTENSION}]),
    "ext-1 neither (it has no constraints)": patient(extension=[{"url": "u"}]),
    "per-1 (it has no constraints)": patient(identifier=[{"period": {"start": "2024-02", "end": "2024-01"}}]),
    "ref-1 (it has no constraints)": patient(managingOrganization={"reference": "#a"}),
    "dom-3 (it has no constraints)": patient(contained=[{"resourceType": "Device", "id": "a"}]),
    "contained without id (it has no constraints)": patient(contained=[{"resourceType": "Device"}]),
    "script (it does not read the narrative)": patient(
        text={"status": "generated", "div": DIV.replace("x<", "<script>x</script><")}
    ),
}


@pytest.mark.parametrize("resource", BOTH_ACCEPT.values(), ids=BOTH_ACCEPT)
def test_both_accept(resource: Json) -> None:
    assert (ours(resource), theirs(resource)) == (True, True)


@pytest.mark.parametrize("resource", BOTH_REFUSE.values(), ids=BOTH_REFUSE)
def test_both_refuse(resource: Json) -> None:
    assert (ours(resource), theirs(resource)) == (False, False)


@pytest.mark.parametrize("resource", ONLY_WE_REFUSE.values(), ids=ONLY_WE_REFUSE)
def test_only_we_refuse(resource: Json) -> None:
    assert (ours(resource), theirs(resource)) == (False, True)


@pytest.mark.skipif(not R4_EXAMPLES, reason="the shared folder with the public R4 examples is absent")
@pytest.mark.parametrize("path", R4_EXAMPLES + PDSM_EXAMPLES, ids=lambda path: path.name)
def test_verdicts_on_the_public_examples_agree(path: Path) -> None:
    resource = parse(path.read_bytes())
    assert ours(resource) == theirs(resource)
