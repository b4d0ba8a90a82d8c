"""Clinical statements of the tests, as CDA: problems, treatments, results."""

from __future__ import annotations

from fhir_dmp.cda.xml import clinical_document, parse
from tests.cda.invariants import facts
from tests.cda.making import (
    back,
    code,
    document,
    entry,
    observation,
    related,
    section,
    templates,
)

DONE = '<statusCode code="completed"/>'
CIM = "2.16.840.1.113883.6.3"
ABSENT = "2.16.840.1.113883.5.1150.1"
SNOMED = "2.16.840.1.113883.6.96"
PROBLEM = ("2.16.840.1.113883.10.20.1.28", "1.3.6.1.4.1.19376.1.5.3.1.4.5", "E37")
NOTE = (
    '<act classCode="ACT" moodCode="EVN">'
    + templates("1.3.6.1.4.1.19376.1.5.3.1.4.2", "E32")
    + code("48767-8")
    + "<text>À revoir</text>"
    + DONE
    + "</act>"
)
CIS = "1.2.250.1.213.2.3.1"


def value(code_: str, system: str = CIM, type_: str = "CD") -> str:
    """Return a coded value."""
    return f'<value xsi:type="{type_}" code="{code_}" codeSystem="{system}"/>'


def status(root: str, code_: str, system: str = SNOMED) -> str:
    """Return an observation that says something of its parent."""
    return related(observation(code("X") + DONE + value(code_, system), root), "REFR", ' inversionInd="false"')


def listed(*acts: str, roots: tuple[str, ...] = ("1.3.6.1.4.1.19376.1.5.3.1.4.5.2", "E39"), id_: str = "C-1") -> str:
    """Return the entry of a list of problems or allergies."""
    inside = "".join(related(act, "SUBJ", ' inversionInd="false"') for act in acts)
    return entry(
        f'<act classCode="ACT" moodCode="EVN">{templates(*roots)}<id root="1.2.250.1.999.8" extension="{id_}"/>'
        f'<code nullFlavor="NA"/><statusCode code="active"/><effectiveTime><low value="2026"/></effectiveTime>{inside}</act>'
    )


def problem(id_: str, code_: str, more: str = "", negated: str = "false", system: str = CIM) -> str:
    """Return a problem."""
    return observation(
        f'<id root="1.2.250.1.999.8" extension="{id_}"/>'
        + code("282291009", SNOMED)
        + DONE
        + '<effectiveTime><low value="201903"/><high value="20260110"/></effectiveTime>'
        + value(code_, system)
        + more,
        *PROBLEM,
        more=f' negationInd="{negated}"',
    )


def said(*entries: str) -> bytes:
    """Return the document of these entries."""
    return document(section("".join(entries)))


def returns(data: bytes) -> None:
    """Check that the document comes back with every fact of it."""
    assert facts(back(data)) == facts(clinical_document(parse(data)))


PRODUCT = (
    '<consumable><manufacturedProduct classCode="MANU"><manufacturedMaterial>'
    + code("60234100", CIS, displayName="PARACETAMOL 500 mg")
    + "<name>PARACETAMOL 500 mg</name><lotNumberText>L-77</lotNumberText></manufacturedMaterial></manufacturedProduct></consumable>"
)


def treatment(inside: str, *roots: str, mood: str = "EVN", more: str = "") -> str:
    """Return a substanceAdministration."""
    return f'<substanceAdministration classCode="SBADM" moodCode="{mood}"{more}>{templates(*roots)}{inside}</substanceAdministration>'


def act(inside: str, *roots: str, mood: str = "EVN") -> str:
    """Return an act."""
    return f'<act classCode="ACT" moodCode="{mood}">{templates(*roots)}{inside}</act>'


def organizer(inside: str, *roots: str, class_: str = "BATTERY") -> str:
    """Return an organizer."""
    return f'<organizer classCode="{class_}" moodCode="EVN">{templates(*roots)}{inside}</organizer>'


def component(act_: str) -> str:
    """Return a component."""
    return f"<component>{act_}</component>"


RESULT = observation(
    '<id root="1.2.250.1.999.8" extension="R-1"/>'
    + code("2339-0")
    + DONE
    + '<effectiveTime value="20260611080000+0200"/><value xsi:type="PQ" value="7.20" unit="mmol/L"/>'
    + '<interpretationCode code="H" codeSystem="2.16.840.1.113883.5.83"/>'
    + '<methodCode code="SP" codeSystem="1.2.250.1.213.2.3.5"/>'
    + '<participant typeCode="AUTHEN"><time value="20260611"/><participantRole>'
    + '<id root="1.2.250.1.71.4.2.1" extension="899700218904"/><playingEntity><name><family>MOREL</family></name></playingEntity>'
    + "</participantRole></participant>"
    + '<referenceRange><observationRange><value xsi:type="IVL_PQ"><low value="3.90" unit="mmol/L"/>'
    + '<high value="5.50" unit="mmol/L"/></value></observationRange></referenceRange>',
    "1.3.6.1.4.1.19376.1.3.1.6",
    "E80",
)
