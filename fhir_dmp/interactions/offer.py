"""What is offered on which type: one table, from which routes, 405 answers and the CapabilityStatement come."""

from __future__ import annotations

from fhir_dmp.errors import MethodNotAllowed

ALL = frozenset({"read", "vread", "history", "search", "create", "update", "patch", "delete"})

#: Types of the record that nobody deletes physically (dmp-fhir 3.0), and what else is not offered on a type.
WITHHELD: dict[str, frozenset[str]] = {
    "Patient": frozenset({"delete"}),
    "DocumentReference": frozenset({"delete"}),
    "List": frozenset({"delete"}),
    "Consent": frozenset({"delete"}),
    "Binary": frozenset({"delete", "search", "patch"}),
    "AuditEvent": frozenset({"delete", "update", "patch", "vread", "history"}),
    "Provenance": frozenset({"delete"}),
}

#: Types whose updates name the version that they were made on (If-Match): two people who change the same right at the
#: same time must not overwrite each other unseen. [security 5.1]
VERSION_AWARE = frozenset({"Consent"})

_METHOD_OF = {"read": "GET", "update": "PUT", "patch": "PATCH", "delete": "DELETE"}


def offered(type_: str) -> frozenset[str]:
    """Return the interactions offered on a type."""
    return ALL - WITHHELD.get(type_, frozenset())


def allow_instance(type_: str) -> str:
    """Return the Allow header of an instance URL of the type."""
    here = offered(type_)
    methods = ["GET", "HEAD", *(method for name, method in _METHOD_OF.items() if name in here and name != "read")]
    return ", ".join([*methods, "OPTIONS"])


def allow_type(type_: str) -> str:
    """Return the Allow header of a type URL."""
    here = offered(type_)
    methods = ["GET", "HEAD"] if "search" in here else []
    methods += [
        m
        for name, m in (("create", "POST"), ("update", "PUT"), ("patch", "PATCH"), ("delete", "DELETE"))
        if name in here
    ]
    return ", ".join([*methods, "OPTIONS"])


def offers(type_: str, interaction: str) -> None:
    """Check that the interaction is offered on the type.

    Raises:
        MethodNotAllowed: 405 with Allow.
    """
    if interaction not in offered(type_):
        raise MethodNotAllowed(f"{interaction} is not offered on {type_}.", headers={"Allow": allow_instance(type_)})
