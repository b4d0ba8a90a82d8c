"""The keys of index terms (see search/terms.py): one spelling for what is stored, asked, and demanded by access rules.

A key is `<parameter>=<part>`; the functions here make the parts. System aliases and national identifiers are brought to
one form; codes are folded to lower case unless their system is case sensitive, identifiers never.
"""

from __future__ import annotations

from hashlib import sha256

from fhir_dmp.terminology.aliases import (
    TRE_A07_VISIBILITY,
    TRE_A08_CONFIDENTIALITY,
    UCUM,
    canonical_identifier,
    canonical_system,
)

CASE_SENSITIVE_SYSTEMS = frozenset({UCUM})

#: Stands for "any system" where a logical reference is asked by value alone.
ANY_SYSTEM = "*"

_LONGEST_EXACT = 200


def canonical_code(system: str, code: str) -> tuple[str, str]:
    """Return the one spelling of a coding: preferred system, code in the case that is compared.

    >>> canonical_code("urn:oid:2.16.840.1.113883.6.1", "34133-9")
    ('http://loinc.org', '34133-9')
    >>> canonical_code("http://unitsofmeasure.org", "mL")
    ('http://unitsofmeasure.org', 'mL')
    """
    system = canonical_system(system)
    if system in CASE_SENSITIVE_SYSTEMS:
        return system, code
    folded = code.lower()
    if folded == "n" and system == TRE_A07_VISIBILITY:  # a slip of the published PDSm example
        return TRE_A08_CONFIDENTIALITY, folded
    return system, folded


def token_key(param: str, system: str, code: str) -> str:
    """Return the key of a coding with its system, as stored and as asked.

    >>> token_key("type", "urn:oid:2.16.840.1.113883.6.1", "LP-1")
    'type=s:http://loinc.org|lp-1'
    """
    system, code = canonical_code(system, code)
    return f"{param}=s:{system}|{code}"


def code_key(param: str, code: str) -> str:
    """Return the key of a code in any system or none.

    >>> code_key("status", "Current")
    'status=c:current'
    """
    return f"{param}=c:{code.lower()}"


def identifier_key(param: str, system: str, value: str) -> str:
    """Return the key of an identifier with its system.

    >>> identifier_key("author.identifier", "https://rpps.esante.gouv.fr", "99700218896")
    'author.identifier=s:urn:oid:1.2.250.1.71.4.2.1|899700218896'
    """
    system, value = canonical_identifier(canonical_system(system), value)
    return f"{param}=s:{system}|{value}"


def reference_key(param: str, reference: str) -> str:
    """Return the key of a local reference `Type/id`.

    >>> reference_key("patient", "Patient/p1")
    'patient=r:Patient/p1'
    """
    return f"{param}=r:{reference}"


def coding_parts(system: str | None, code: str | None) -> tuple[str, ...]:
    """Return the parts that index one Coding.

    >>> coding_parts("http://loinc.org", "LA1"), coding_parts(None, "x")
    (('s:http://loinc.org|la1', 'c:la1', 'y:http://loinc.org'), ('n:x', 'c:x'))
    """
    if code is None:
        return (f"y:{canonical_system(system)}",) if system else ()
    if not system:
        return f"n:{code.lower()}", f"c:{code.lower()}"
    system, compared = canonical_code(system, code)
    return f"s:{system}|{compared}", f"c:{code.lower()}", f"y:{system}"


def identifier_parts(system: str | None, value: str | None) -> tuple[str, ...]:
    """Return the parts that index one Identifier; one with two national spellings is found by both values.

    >>> identifier_parts("http://rpps.fr", "99700218896")[0]
    's:urn:oid:1.2.250.1.71.4.2.1|899700218896'
    """
    if value is None:
        return (f"y:{canonical_system(system)}",) if system else ()
    if not system:
        return f"n:{value}", f"c:{value}"
    system = canonical_system(system)
    national, canonical = canonical_identifier(system, value)
    parts = f"s:{national}|{canonical}", f"c:{canonical}", f"y:{national}"
    if (national, canonical) == (system, value):
        return parts
    return (*parts, f"c:{value}", f"y:{system}")


def exact_part(text: str) -> str:
    """Return the part for `:exact`; a long text is represented by its beginning and its digest.

    >>> exact_part("Élodie")
    'e:Élodie'
    """
    if len(text) <= _LONGEST_EXACT:
        return f"e:{text}"
    return f"e:{text[:40]}…{sha256(text.encode()).hexdigest()}"


def contact_value(text: str) -> str:
    """Return a telephone number or mail address as it is compared: no blanks, no punctuation, lower case.

    >>> contact_value("06 12-34.56 78"), contact_value("Anne@Exemple.FR")
    ('0612345678', 'anne@exemplefr')
    """
    return "".join(char for char in text.lower() if char.isalnum() or char in "@+")


def canonical_parts(url: str) -> tuple[str, ...]:
    """Return the parts of a uri or canonical: with and without its version.

    >>> canonical_parts("http://x.example/p|1.0")
    ('u:http://x.example/p|1.0', 'u:http://x.example/p')
    """
    plain, bar, _ = url.partition("|")
    return (f"u:{url}", f"u:{plain}") if bar else (f"u:{url}",)
