"""Odd values, names and headers out of which almost right requests are made."""

from __future__ import annotations

from typing import Any

JSON, XML, FORM, PATCH = (
    "application/fhir+json", "application/fhir+xml", "application/x-www-form-urlencoded", "application/json-patch+json",
)  # fmt: skip
ODD_TEXTS = (
    "", " ", "\x00", "\ud800", "é" * 50, "𝔘", "a" * 70, "../../etc/passwd", "$ne", "urn:uuid:", "urn:oid:", "#", "#x",
    "Patient/", "Patient/x", "Patient/x/_history/0", "http://[", "https://example.org/fhir/Patient/1", "%", "%zz", "|",
    "||", "a|b|c", "\\", "\\,", ",", "null", "NaN", "1e999", "-0", "0001-01-01", "9999-12-31", "2024-02-31", "2024-13",
    "24:00:00", "2026-06-12T25:00:00Z", "2026-06-12T10:00:00+99:00", "AAAA", "A===", "<div>", "<script>", "ap",
    "' OR 1=1 --", "*", "**", "..", ".", "-1", "9" * 40, "1.10", "true", "\u202e", "\ufeff", "\r\n", "${x}", "{{x}}",
)  # fmt: skip
ODD_VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1.5, 1e300, 10**30, [], {}, [[]], [None], [{}], {"": ""}, {"reference": 5}, "x", [1, "a"],
    {"resourceType": "Patient"}, {"coding": None}, {"extension": [{}]}, {"_x": 1}, {"$ne": None},
)  # fmt: skip
TYPES = (
    "Patient", "DocumentReference", "List", "Binary", "Consent", "AuditEvent", "Organization", "Observation", "Bundle",
    "Practitioner", "PractitionerRole", "Subscription", "CapabilityStatement", "SearchParameter", "Nonsense", "patient",
)  # fmt: skip
SEGMENTS = ("_history", "_search", "$validate", "$meta", "$dmp-ouvrir", "$x", "metadata", "*", "1", "0", "x", "..", "é")
PARAMETERS = (
    "_id", "_lastUpdated", "_count", "_sort", "_include", "_revinclude", "_elements", "_summary", "_total", "_format",
    "_page", "_has:List:item:status", "_filter", "_content", "_text", "_list", "_type", "_since", "_at", "_pretty",
    "identifier", "patient", "patient.identifier", "patient.name", "subject", "subject:Patient.birthdate", "type",
    "date", "period", "status", "security-label", "related", "author.family", "relation", "category", "code",
    "value-quantity", "component-code-value-quantity", "birthdate", "name", "near", "probability", "url", "location",
    "contenttype", "entity", "agent", "combo-code-value-quantity", "", "a.b.c.d.e",
    "patient.patient.patient", "x" * 300,
)  # fmt: skip
MODIFIERS = (
    "", ":missing", ":exact", ":contains", ":not", ":text", ":in", ":below", ":above", ":of-type", ":identifier",
    ":Patient", ":iterate", ":", ":x", ":not:missing",
)  # fmt: skip
HEADERS: dict[str, tuple[str, ...]] = {
    "accept": (
        JSON,
        XML,
        "text/html",
        "*/*",
        "application/pdf",
        "q",
        ";;;",
        "a/b;q=x",
        f"{JSON};fhirVersion=5.0",
        "," * 300,
    ),
    "content-type": (
        JSON,
        XML,
        PATCH,
        FORM,
        "text/plain",
        "",
        "x",
        f"{JSON};charset=latin-1",
        "application/pdf",
        "a" * 400,
    ),
    "content-length": ("0", "1", "-1", "x", "99999999999", "1e3", " "),
    "content-encoding": ("gzip", "identity", "br", "", "gzip, gzip"),
    "if-match": ('W/"1"', '"1"', "*", "x", 'W/"99999999999999999999"', 'W/"-1"', ",,,", '""'),
    "if-none-match": ("*", 'W/"1"', "x", '"é"'),
    "if-modified-since": ("Thu, 01 Jan 2026 10:00:00 GMT", "x", "Thu, 99 Xxx 99999 99:99:99", "\xff"),
    "if-none-exist": ("identifier=a|b", "", "x=y", "&&", "_id=1&_id=2", "%zz", "identifier=" + "a," * 400),
    "prefer": ("return=minimal", "return=OperationOutcome", "handling=strict", "respond-async", "=", ";", ","),
    "range": ("bytes=0-", "bytes=-1", "bytes=5-1", "bytes=99999-", "x", "bytes=0-1,2-3", "bytes=" + "9" * 30 + "-"),
    "authorization": ("", "Bearer", "Bearer x", "Bearer a.b.c", "Basic eDp5", "bearer é", "Bearer " + "e" * 5000),
    "x-request-id": ("a", "é", "x" * 100, "285047511200314"),
    "origin": ("https://example.org", "null", "x"),
    "x-security-context": ("x", "{}"),
}
