"""CDA data types as FHIR: II to Identifier, CD to CodeableConcept, TS to date, names. [cda 2.8, 3.2]"""

from __future__ import annotations

import re
from datetime import date, datetime, time, tzinfo
from urllib.parse import quote

from fhir_dmp.cda.header import Concept, Id, Name
from fhir_dmp.fhir.resource import Json
from fhir_dmp.terminology.codes import Codes
from fhir_dmp.terminology.national import RFC_3986

_UUID = re.compile(r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
_OID = re.compile(r"[0-9]+(?:\.[0-9]+)*")
_TIME = re.compile(r"(\d{4})(\d\d)?(\d\d)?(?:(\d\d)(\d\d)?(\d\d)?(?:\.\d+)?)?([+-]\d{4})?")
#: Largest offset of a FHIR time, as hours and minutes.
_FARTHEST = 1400
ABSENT = {"extension": [{"url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason", "valueCode": "unknown"}]}


def uri_of(root: str) -> str:
    """Return the URI of an OID or UUID.

    >>> uri_of("D394EF1B-D193-42D2-A0DF-8E6C563C6D04")
    'urn:uuid:d394ef1b-d193-42d2-a0df-8e6c563c6d04'
    >>> uri_of("1.2.250.1.71.4.2.1")
    'urn:oid:1.2.250.1.71.4.2.1'
    >>> uri_of("../x")  # what is neither is no OID because somebody wrote it in the place of one
    'urn:x-cda-root:..%2Fx'
    """
    if _UUID.fullmatch(root):
        return f"urn:uuid:{root.lower()}"
    return f"urn:oid:{root}" if _OID.fullmatch(root) else f"urn:x-cda-root:{quote(root, safe='')}"


def pair_of(id_: Id) -> tuple[str, str]:
    """Return (system, value) of an instance identifier: a root alone is itself the value."""
    return (RFC_3986, uri_of(id_.root)) if id_.extension is None else (uri_of(id_.root), id_.extension)


def identifier(id_: Id, **more: object) -> Json:
    """Return the FHIR Identifier."""
    system, value = pair_of(id_)
    return {**more, "system": system, "value": value}


def coding(concept: Concept, codes: Codes) -> Json:
    """Return the FHIR Coding of a coded value, translations left out."""
    found = {"system": codes.system_of(concept.system), "code": concept.code}
    return {**found, "display": concept.display} if concept.display else found


def codeable(concept: Concept, codes: Codes) -> Json:
    """Return the FHIR CodeableConcept: translations become further codings."""
    return {"coding": [coding(one, codes) for one in (concept, *concept.translations)]}


def human_name(name: Name, use: str | None = None) -> Json:
    """Return the FHIR HumanName."""
    found: Json = {"use": use} if use else {}
    if name.family:
        found["family"] = name.family
    if name.given:
        found["given"] = [name.given]
    if name.prefix:
        found["prefix"] = [name.prefix]
    if name.suffix:
        found["suffix"] = [name.suffix]
    return found


def date_time(text: str | None, zone: tzinfo) -> str | None:
    """Return the FHIR dateTime of a TS, at its own precision; a time without offset is read in `zone`.

    None for what is no time, or none of any calendar.

    >>> from datetime import UTC
    >>> date_time("20240106113623+0100", UTC), date_time("202401", UTC), date_time("20240106", UTC)
    ('2024-01-06T11:36:23+01:00', '2024-01', '2024-01-06')
    >>> date_time("197900", UTC), date_time("2024010611", UTC), date_time("x", UTC)
    ('1979', '2024-01-06T11:00:00+00:00', None)
    >>> date_time("20230231", UTC), date_time("202313", UTC), date_time("20240106113623+9900", UTC)
    (None, None, None)
    """
    match = _TIME.fullmatch(text or "")
    if match is None:
        return None
    year, month, day, hour, minute, second, offset = match.groups()
    month, day = (None if part == "00" else part for part in (month, day))
    try:
        day_of_all = date(int(year), int(month or 1), int(day or 1))
        moment = datetime.combine(day_of_all, time(int(hour or 0), int(minute or 0), int(second or 0)), tzinfo=zone)
    except ValueError:
        return None
    if offset is not None and (int(offset[1:]) > _FARTHEST or int(offset[3:]) >= 60):
        return None
    if month is None or day is None:
        return f"{year}-{month}" if month else year
    if hour is None:
        return f"{year}-{month}-{day}"
    # isoformat of the zone gives seconds for historical local times; FHIR offsets have minutes.
    suffix = f"{offset[:3]}:{offset[3:]}" if offset else moment.strftime("%z")[:5]
    suffix = suffix if ":" in suffix else f"{suffix[:3]}:{suffix[3:]}"
    return moment.isoformat(timespec="seconds")[:19] + suffix


def instant(text: str | None, zone: tzinfo) -> str | None:
    """Return the FHIR instant of a TS: the first moment that a partial date covers."""
    found = date_time(text, zone)
    if found is None or "T" in found:
        return found
    digits = found.replace("-", "")
    return date_time(digits + {4: "0101000000", 6: "01000000", 8: "000000"}[len(digits)], zone)
