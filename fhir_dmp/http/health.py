"""Is the process alive, and can it serve? For load balancers and supervisors; no detail for strangers."""

from __future__ import annotations

from fhir_dmp.errors import StoreUnavailable
from fhir_dmp.http.services import Services

Health = tuple[dict[str, str], int]


def live() -> Health:
    """Say that the process answers."""
    return {"status": "up"}, 200


def ready(services: Services) -> Health:
    """Say whether requests can be served: the store answers."""
    try:
        services.store.ping()
    except StoreUnavailable:
        return {"status": "down", "store": "down"}, 503
    return {"status": "up", "store": "up"}, 200
