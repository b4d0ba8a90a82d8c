"""Import of batches, transactions and submissions: through the server's door, made repeatable, told entry by entry."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from types import MappingProxyType

import orjson

from fhir_dmp.documents.submission import is_submission
from fhir_dmp.errors import DmpError, StoreUnavailable
from fhir_dmp.fhir.dates import instant
from fhir_dmp.fhir.draft import Blob
from fhir_dmp.fhir.resource import Json
from fhir_dmp.interactions.bundle_entries import payload_of
from fhir_dmp.interactions.import_outcome import Importer, Outcome, derived_id
from fhir_dmp.interactions.import_repeats import repeated

_NOTHING: Mapping[str, Blob] = MappingProxyType({})


def import_bundle(importer: Importer, name: str, bundle: Json) -> Iterator[Outcome]:
    """Carry out a batch (one outcome for each entry that writes) or a transaction (one outcome).

    Raises:
        DmpError: nothing of it was stored.
    """
    if is_submission(bundle):
        yield submission(importer, name, bundle)
        return
    since = instant(importer.services.clock.now_ms())
    responses = _sent(importer, repeatable(bundle))
    if bundle.get("type") == "transaction":
        changed = any(_changed(response, since) for response in responses)
        yield Outcome(name, "stored" if changed else "unchanged", warnings=_warnings(responses))
        return
    for index, (entry, response) in enumerate(zip(bundle.get("entry", ()), responses, strict=True)):
        if _writes(entry):
            yield _entry(f"{name}#entry[{index}]", response, since)


def _writes(entry: object) -> bool:
    """Say whether a batch entry is more than a read; a malformed one is told, too."""
    request = entry.get("request") if isinstance(entry, dict) else None
    return not isinstance(request, dict) or request.get("method") not in ("GET", "HEAD")


def submission(importer: Importer, name: str, bundle: Json, staged: Mapping[str, Blob] = _NOTHING) -> Outcome:
    """Store one submission (ITI-65). staged: contents behind markers in `data`."""
    try:
        return Outcome(name, "stored", warnings=_warnings(_sent(importer, bundle, staged)))
    except StoreUnavailable:
        raise
    except DmpError as error:
        return repeated(importer, name, bundle, error, staged)


def _sent(importer: Importer, bundle: Json, staged: Mapping[str, Blob] = _NOTHING) -> list[Json]:
    """Hand a bundle to the server and return its responses, entry by entry."""
    answer = importer.handle(replace(importer.call, path=(), payload=payload_of(bundle, staged)))
    return [entry["response"] for entry in orjson.loads(answer.body or b"{}").get("entry", ())]


def _warnings(responses: list[Json]) -> tuple[tuple[str, str], ...]:
    issues = [issue for response in responses for issue in response.get("outcome", {}).get("issue", ())]
    return tuple((_codes(each)[0], each.get("diagnostics", "")) for each in issues if each["severity"] == "warning")


def _codes(issue: Json) -> list[str]:
    """Return the codes that software acts upon, the issue type when there is no other."""
    return [coding["code"] for coding in issue.get("details", {}).get("coding", ())] or [issue["code"]]


def repeatable(bundle: Json) -> Json:
    """Return the bundle with its plain creates turned into updates under ids made of the words of the bundle.

    A create is another resource each time; an update of what is already so changes nothing.
    """
    entries = bundle.get("entry")
    if not isinstance(entries, list):
        return bundle
    salt = derived_id(bundle)
    return {**bundle, "entry": [_repeatable(entry, f"{salt}/{index}/") for index, entry in enumerate(entries)]}


def _repeatable(entry: Json, salt: str) -> Json:
    request = entry.get("request") if isinstance(entry, dict) else None
    resource = entry.get("resource") if isinstance(entry, dict) else None
    if not isinstance(request, dict) or not isinstance(resource, dict) or "ifNoneExist" in request:
        return entry
    type_ = resource.get("resourceType")
    # A document has its uniqueId, and the trail takes no updates.
    if request.get("method") != "POST" or request.get("url") != type_ or type_ in ("DocumentReference", "AuditEvent"):
        return entry
    id_ = derived_id(resource, salt)
    put = {**request, "method": "PUT", "url": f"{type_}/{id_}"}
    return {**entry, "resource": {**resource, "id": id_}, "request": put}


def _changed(response: Json, since: str) -> bool:
    """Say whether an entry wrote something: a version that is older than the call was there before."""
    return str(response["status"]).startswith("204") or str(response.get("lastModified", "")) >= since


def _entry(name: str, response: Json, since: str) -> Outcome:
    if int(response["status"][:3]) < 400:
        status = "stored" if _changed(response, since) else "unchanged"
        return Outcome(name, status, response.get("location", ""))
    issue = response["outcome"]["issue"][0]
    codes = _codes(issue)
    if "doublon-uniqueid" in codes:
        return Outcome(name, "unchanged", reason="already stored")
    return Outcome(name, "refused", reason=f"{response['status'][:3]} {issue.get('diagnostics', '')}", code=codes[0])
