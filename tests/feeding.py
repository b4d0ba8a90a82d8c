"""What the health insurance fund deposits each month: the care of the last 24 months, and vaccinations. All invented.

The numbers (uniqueId) are made of the person, the kind and the month, so that a campaign may be repeated, and so that
the next month knows what it replaces.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Sequence
from random import Random

from fhir_dmp.identity.caller import Actor, Caller
from tests import samples
from tests.samples import Json
from tests.world import Client, World

FUND = "1750000001"
#: Arc of the fund's documents: .kind.person.month
ROOT = "1.2.250.1.999.60"
URI = "urn:ietf:rfc:3986"
A00 = f"{samples.NOS}/TRE_A00-ProducteurDocNonPS/FHIR/TRE-A00-ProducteurDocNonPS"
A05 = f"{samples.NOS}/TRE_A05-TypeDocComplementaire/FHIR/TRE-A05-TypeDocComplementaire"
#: Kind -> (type, class, number in ROOT, title)
KINDS = {
    "care": ((A05, "REMB"), "60", 1, "Historique de remboursements"),
    "vaccination": ((samples.LOINC, "87273-9"), "52", 2, "Certificat de vaccination"),
}
_ACTS = ("Consultation", "Analyses", "Pharmacie", "Kinésithérapie", "Radiologie", "Optique")


def feeder(world: World) -> Client:
    """The fund's own client."""
    role = ("urn:oid:1.2.250.1.213.1.1.4.6", "ALIM_AM")
    return world.as_(Caller(Actor.FEEDER, "cnam", client="feeder", structure=FUND, roles=(role,)))


def unique(kind: str, ins: str, month: int) -> str:
    """Return the uniqueId (an OID) of a person's document of a month; months count from any start."""
    return f"{ROOT}.{KINDS[kind][2]}.{int(ins.replace('A', '0').replace('B', '0'))}.{month}"


def care(ins: str, month: int) -> bytes:
    """Return 24 lines, one for each month up to this one; the same for the same person and month."""
    lines = []
    for each in range(month - 23, month + 1):
        dice = Random(f"{ins}/{each}")
        lines.append(f"mois {each} {dice.choice(_ACTS)} {dice.randrange(10, 400)} EUR")
    return "\n".join(lines).encode()


def deposit(kind: str, ins: str, month: int, *, after: int | None = None, content: bytes | None = None) -> Json:
    """Return a simplified publication. after: the month whose document it replaces."""
    type_, class_, _, title = KINDS[kind]
    date = f"{2024 + month // 12}-{month % 12 + 1:02d}-05T04:00:00+02:00"
    data = content or (care(ins, month) if kind == "care" else f"Vaccination {ins} {month}".encode())
    made = samples.document(
        unique(kind, ins, month), ins=ins, content=data, type_=type_, class_=class_, date=date, authenticator=None
    )
    made["meta"] = {"profile": [f"{samples.PDSM}/pdsm-simplified-publish"]}
    made["contained"] = [
        {
            "resourceType": "Organization",
            "id": "fund",
            "identifier": [{"system": "urn:oid:1.2.250.1.71.4.2.2", "value": FUND}],
            "name": "Caisse fictive d'assurance maladie",
        },
        {
            "resourceType": "Device",
            "id": "feed",
            "type": {"coding": [{"system": A00, "code": "ALIM_AM"}]},
            "deviceName": [{"name": "Alimentation automatique", "type": "user-friendly-name"}],
            "owner": {"reference": "#fund"},
        },
        {"resourceType": "Patient", "id": "source", "identifier": [{"system": samples.INS, "value": ins}]},
    ]
    made["author"] = [{"reference": "#feed"}]
    del made["authenticator"]
    made["context"]["facilityType"] = {"coding": [{"system": samples.SECTORS, "code": "SA24"}]}
    attachment = made["content"][0]["attachment"]
    attachment["data"], attachment["title"] = base64.b64encode(data).decode(), title
    del attachment["size"], attachment["hash"]
    if after is not None:
        target = {"identifier": {"system": URI, "value": f"urn:oid:{unique(kind, ins, after)}"}}
        made["relatesTo"] = [{"code": "replaces", "target": target}]
    return made


def entry(document: Json) -> Json:
    """Return the entry of a batch that publishes a document unless it is there."""
    number = document["masterIdentifier"]["value"]
    criterion = f"identifier={URI}|{number}"
    return {"resource": document, "request": {"method": "POST", "url": "DocumentReference", "ifNoneExist": criterion}}


def batches(documents: Iterable[Json], size: int = 200) -> Iterator[Json]:
    """Yield batches of publications."""
    held: list[Json] = []
    for document in documents:
        held.append(entry(document))
        if len(held) == size:
            yield {"resourceType": "Bundle", "type": "batch", "entry": held}
            held = []
    if held:
        yield {"resourceType": "Bundle", "type": "batch", "entry": held}


def campaign(client: Client, documents: Iterable[Json], size: int = 200) -> list[str]:
    """Send documents in batches; return the status of each."""
    statuses = []
    for batch in batches(documents, size):
        answer = client.post("", batch)
        assert answer.status == 200, answer.body
        statuses += [each["response"]["status"][:3] for each in answer.json["entry"]]
    return statuses


def monthly(people: Sequence[str], month: int, *, after: int | None = None) -> Iterator[Json]:
    """Yield the care history of everybody for a month."""
    return (deposit("care", ins, month, after=after) for ins in people)
