"""From a request to the Call that the use cases understand: conditions, preferences, parameters, body."""

from __future__ import annotations

from fhir_dmp.http import conditional, payload
from fhir_dmp.http.body import Body
from fhir_dmp.http.negotiation import negotiate
from fhir_dmp.http.request import Request
from fhir_dmp.identity.caller import Caller
from fhir_dmp.interactions.exchange import Call, Payload
from fhir_dmp.ports import RequestInfo

#: Where the FHIR API is mounted (part of the contract of URLs).
MOUNT = "/fhir"
#: Headers that use cases may need, beside those that have their own field.
_PASSED = (
    ("HTTP_USER_AGENT", "user-agent"),
    ("HTTP_ACCEPT_LANGUAGE", "accept-language"),
    ("HTTP_PREFER", "prefer"),
    ("HTTP_RANGE", "range"),
    ("HTTP_X_SECURITY_CONTEXT", "x-security-context"),
)
_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})


def call_of(request: Request, caller: Caller, intake: payload.Intake) -> Call:
    """Read the rest of the request; nothing has been decided or written when this fails.

    Raises:
        DmpError: the request cannot be understood or answered acceptably.
    """
    sent: Payload | None = None
    form = ""
    returned, strict = _preferences(request) if "HTTP_PREFER" in request.environ else (None, False)
    if request.method in _WITH_BODY:
        request.body = body = Body(request.environ, intake.max_body_bytes)
        if request.method == "POST" and request.segments[-1:] == ("_search",):
            form = _read_form(request, body)
        else:
            _check_acceptable(request)
            sent = payload.read_payload(request, body, intake, strict)
    _check_acceptable(request)
    wanted = request.wanted
    info = _info(request, form, returned, strict)
    return Call(
        request.method,
        request.segments,
        caller,
        info,
        request.query,
        sent,
        wanted.accept_raw,
        wanted.accepts,
        wanted.page,
    )


def bare(request: Request, caller: Caller) -> Call:
    """Return the call as far as it could be read, for the audit of its refusal: nothing of its body."""
    parameters = f"?{request.raw_query}" if request.raw_query else ""
    raw = f"{request.method} {MOUNT}{request.environ.get('PATH_INFO', '')}{parameters}"
    info = RequestInfo(request.request_id, request.address, request.base, raw)
    return Call(request.method, request.segments, caller, info, request.query)


def _read_form(request: Request, body: Body) -> str:
    """Merge the form of a POST _search into the parameters; return it as sent."""
    form, pairs = payload.read_form(request, body)
    if pairs:
        request.query += pairs
        request.wanted = negotiate(request.header("ACCEPT"), request.query)
    return form


def _check_acceptable(request: Request) -> None:
    """Refuse before anything is done; only a Binary and an archive may have a type of their own."""
    own = request.segments[-1:] == ("$xdm",) or (request.method == "GET" and request.segments[:1] == ("Binary",))
    if request.wanted.format is None and not own:
        request.wanted.acceptable()


def _preferences(request: Request) -> tuple[str | None, bool]:
    found = conditional.preferences(request.header("PREFER"))
    returned = conditional.wanted_return(found)
    writes = request.method != "GET" and request.segments[-1:] != ("_search",)
    if returned and writes:
        request.applied.append(f"return={returned}")
    handling = found.get("handling", "").lower()
    if handling in ("strict", "lenient"):
        request.applied.append(f"handling={handling}")
    return returned, handling == "strict"


def _info(request: Request, form: str, returned: str | None, strict: bool) -> RequestInfo:
    environ = request.environ
    versions, any_version = conditional.if_match(environ) if "HTTP_IF_MATCH" in environ else (None, False)
    parameters = f"{request.raw_query}&{form}" if form and request.raw_query else form or request.raw_query
    raw = f"{request.method} {MOUNT}{environ.get('PATH_INFO', '')}"
    return RequestInfo(
        request_id=request.request_id,
        address=request.address,
        base=request.base,
        raw=f"{raw}?{parameters}" if parameters else raw,
        prefer_return=returned or "representation",
        prefer_stated=returned is not None,
        strict=strict,
        if_match=versions,
        if_match_any=any_version,
        if_none_match_any="HTTP_IF_NONE_MATCH" in environ and conditional.if_none_match_any(environ),
        if_none_exist=environ.get("HTTP_IF_NONE_EXIST"),
        headers={name: environ[key] for key, name in _PASSED if key in environ},
    )
