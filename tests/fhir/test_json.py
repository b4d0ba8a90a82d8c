"""JSON rules that the parser and the writer keep (fhir-rest 2)."""

from __future__ import annotations

import pytest

from fhir_dmp.errors import BadRequest
from fhir_dmp.fhir.resource import dump, parse


@pytest.mark.statement("fhir-rest A12")
@pytest.mark.parametrize("body", [b'{"resourceType":"Patient","id":"a","id":"b"}', b'{"a":{"b":1,"b":1}}'])
def test_a_duplicate_key_is_a_bad_request(body: bytes) -> None:
    with pytest.raises(BadRequest) as caught:
        parse(body)
    assert caught.value.issues[0].code == "structure"


@pytest.mark.statement("fhir-rest A15")
@pytest.mark.parametrize("digits", ["1.00", "1.10", "0.0", "1E+3", "12345678901234567890", "-0.0"])
def test_a_decimal_comes_back_with_its_digits(digits: str) -> None:
    body = b'{"resourceType":"Observation","valueQuantity":{"value":' + digits.encode() + b"}}"
    assert dump(parse(body)) == body


@pytest.mark.statement("fhir-rest B32")
@pytest.mark.parametrize("body", [b"[]", b"7", b'"x"', b"null", b"", b"{", b"\xff", b"\xef\xbb\xbf{}", b'{"a":NaN}'])
def test_a_body_that_is_no_json_object_is_a_bad_request(body: bytes) -> None:
    with pytest.raises(BadRequest):
        parse(body)
