"""$xdm: one document as an IHE_XDM.ZIP, to be sent by secure messaging. [docs/cda.md]"""

from __future__ import annotations

import base64

from fhir_dmp.cda.xdm_writing import Sending, archive
from fhir_dmp.documents.links import literal
from fhir_dmp.errors import TooLarge, Unprocessable
from fhir_dmp.fhir.dates import instant
from fhir_dmp.fhir.elements import object_of, objects_of
from fhir_dmp.fhir.resource import dump, parse_stored
from fhir_dmp.interactions import read
from fhir_dmp.interactions.exchange import Answer, Call, Content
from fhir_dmp.interactions.services import Services

_MEDIA_TYPE = "application/zip"


def xdm(call: Call, services: Services) -> Answer:
    """Answer with the archive of a document, under the rights and the record of reading it and its content.

    Raises:
        Unprocessable: the content is no Binary of this server. TooLarge: longer than `server.max_body_bytes`.
    """
    shown = read.read(Call("GET", call.path[:2], call.caller, call.info), services)
    reference = parse_stored(shown.body or b"{}")
    contents = [object_of(one.get("attachment")).get("url") for one in objects_of(reference.get("content"))]
    place = literal(contents[0], call.info.base) if len(contents) == 1 and isinstance(contents[0], str) else None
    if place is None or place[0] != "Binary":
        text = "Only a document whose content is one Binary of this server goes into an archive."
        raise Unprocessable(text, code="not-supported", expression="DocumentReference.content")
    answer = read.read(Call("GET", place, call.caller, call.info, accept_raw=True), services)
    limit = services.settings.server.max_body_bytes
    if answer.content is None or answer.content.size > limit:
        raise TooLarge(f"A document of an archive has 1 to {limit} bytes.")
    data = b"".join(answer.content.chunks)
    sending = Sending(services.documents.operator_oid, instant(services.clock.now_ms()))
    return _written(archive(reference, data, sending, services.cda()), call)


def _written(data: bytes, call: Call) -> Answer:
    if call.accept_raw or not call.accepts:
        content = Content(iter((data,)), _MEDIA_TYPE, len(data), end=len(data), filename="IHE_XDM.ZIP")
        return Answer(content=content)
    binary = {"resourceType": "Binary", "contentType": _MEDIA_TYPE, "data": base64.b64encode(data).decode("ascii")}
    return Answer(body=dump(binary))
