"""What a national identity provider says about somebody, as values: who, how well authenticated, in which practices.

Pro Santé Connect: claims of userinfo, [security 1.3]. Every claim is optional and read with care: what is absent is
unknown, what is malformed is left out, and nothing is trusted to be of the type that the documentation says.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from fhir_dmp.terminology.aliases import PROFESSION, TRAINING
from fhir_dmp.terminology.numbers import professional_id, structure_id

SPECIALITY: Final = "urn:oid:1.2.250.1.71.4.2.5"
PHARMACIST_SECTION: Final = "urn:oid:1.2.250.1.71.4.2.6"
#: codeCategorieProfessionnelle of a student: the profession is then one of TRE_G16.
_STUDENT = "E"
#: Authentication classes, weakest first.
LEVELS: Final = ("eidas1", "eidas2", "eidas3")
_MAX_PRACTICES = 50
_MAX_TEXT = 200


@dataclass(frozen=True, slots=True)
class UpstreamIdentity:
    """A person as an identity provider vouches for them.

    provider: `psc` or `fc`. subject: its name of the person. acr: the class that was reached. auth_time: seconds since
    the epoch. claims: of userinfo, unread. id_token: kept for the logout.
    """

    provider: str
    subject: str
    acr: str
    amr: tuple[str, ...]
    auth_time: int
    claims: Mapping[str, Any]
    id_token: str


@dataclass(frozen=True, slots=True)
class Practice:
    """One work situation. structure: StructIdNat, None outside any structure; sector: TRE_R02 code.

    work_situation: codeProfession + codeCategorieProfessionnelle, by which a proxy chooses [security 1.3].
    """

    profession: tuple[str, str]
    work_situation: str
    speciality: tuple[str, str] | None = None
    structure: str | None = None
    structure_name: str = ""
    sector: str = ""

    @property
    def roles(self) -> tuple[tuple[str, str], ...]:
        """Profession, then speciality or section: claim subject_role."""
        return (self.profession,) if self.speciality is None else (self.profession, self.speciality)


@dataclass(frozen=True, slots=True)
class ProfessionalIdentity:
    """A health professional. number: PSIdNat. regulator: may claim the mode of a regulation centre."""

    number: str
    family: str
    given: str
    practices: tuple[Practice, ...]
    regulator: bool = False

    @property
    def name(self) -> str:
        """The name for people and for the audit trail."""
        return f"{self.family} {self.given}".strip()


@dataclass(frozen=True, slots=True)
class PivotIdentity:
    """The identity that FranceConnect vouches for: birth names, date, `female` or `male`, INSEE code."""

    family: str
    given: tuple[str, ...]
    birth_date: str
    gender: str
    birth_place: str = ""


def reaches(acr: str, required: str) -> bool:
    """Say whether an authentication class is at least the required one; a class that nobody knows reaches itself only.

    >>> reaches("eidas2", "eidas1"), reaches("eidas1", "eidas2"), reaches("", "eidas1"), reaches("own", "own")
    (True, False, False, True)
    """
    if acr in LEVELS and required in LEVELS:
        return LEVELS.index(acr) >= LEVELS.index(required)
    return bool(acr) and acr == required


def professional_of(claims: Mapping[str, Any]) -> ProfessionalIdentity | None:
    """Read the userinfo of Pro Santé Connect; None when it names no professional."""
    number = next(
        (n for key in ("SubjectNameID", "preferred_username") if (n := professional_id(_text(claims.get(key))))), None
    )
    if number is None:
        return None
    return ProfessionalIdentity(
        number=number,
        family=_text(claims.get("family_name")),
        given=_text(claims.get("given_name")),
        practices=_practices(claims),
        regulator=_is_true(claims.get("Acces_Regulation_Medicale")),
    )


def pivot_of(claims: Mapping[str, Any]) -> PivotIdentity | None:
    """Read the pivot identity of FranceConnect; None when a part that identifies is missing."""
    given = claims.get("given_name_array")
    names = tuple(map(_text, given)) if isinstance(given, list) else tuple(_text(claims.get("given_name")).split())
    pivot = PivotIdentity(
        family=_text(claims.get("family_name")),
        given=tuple(name for name in names if name),
        birth_date=_text(claims.get("birthdate")),
        gender=_text(claims.get("gender")),
        birth_place=_text(claims.get("birthplace")),
    )
    return pivot if pivot.family and pivot.given and len(pivot.birth_date) == 10 else None


def _practices(claims: Mapping[str, Any]) -> tuple[Practice, ...]:
    """Return every work situation, each once, in the order told; of SubjectRole alone when no record is given."""
    record = claims.get("SubjectRefPro")
    found: dict[Practice, None] = {}
    for exercise in _objects(record.get("exercices") if isinstance(record, Mapping) else None):
        for practice in _of_exercise(exercise):
            found.setdefault(practice)
    if not found:
        found = dict.fromkeys(_of_roles(claims))
    return tuple(found)[:_MAX_PRACTICES]


def _of_exercise(exercise: Mapping[str, Any]) -> Iterator[Practice]:
    code, category = _code(exercise.get("codeProfession")), _code(exercise.get("codeCategorieProfessionnelle"))
    if not code:
        return
    profession = (TRAINING if category == _STUDENT else PROFESSION, code)
    skill = _code(exercise.get("codeSavoirFaire"))
    speciality = (SPECIALITY, skill) if skill else None
    activities = list(_objects(exercise.get("activities"))) or [{}]
    for activity in activities:
        section = _code(activity.get("codeSectionPharmacien"))
        yield Practice(
            profession,
            code + category,
            speciality or ((PHARMACIST_SECTION, section) if section else None),
            _structure(activity),
            _text(activity.get("raisonSocialeSite")),
            _code(activity.get("codeSecteurDactivite")),
        )


def _structure(activity: Mapping[str, Any]) -> str | None:
    """Return the StructIdNat: FINESS of the site, else SIRET, else the technical identifier."""
    for name, digits in (("numeroFinessSite", 9), ("numeroSiretSite", 14)):
        number = _text(activity.get(name))
        if len(number) == digits and (found := structure_id(number)):
            return found
    return structure_id(_text(activity.get("identifiantTechniqueDeLaStructure")))


def _of_roles(claims: Mapping[str, Any]) -> Iterator[Practice]:
    roles = claims.get("SubjectRole")
    codes = [_code(role) for role in roles if isinstance(role, str)] if isinstance(roles, list) else []
    if codes and codes[0]:
        yield Practice(
            (PROFESSION, codes[0]),
            codes[0],
            (SPECIALITY, codes[1]) if len(codes) > 1 and codes[1] else None,
            structure_id(_text(claims.get("SubjectOrganizationID"))),
            _text(claims.get("SubjectOrganization")),
            _code(claims.get("Secteur_Activite")),
        )


def _objects(value: object) -> Iterator[Mapping[str, Any]]:
    if isinstance(value, list):
        yield from (each for each in value[:_MAX_PRACTICES] if isinstance(each, Mapping))


def _code(value: object) -> str:
    """Return the code of `code^system`."""
    return _text(value).partition("^")[0]


def _text(value: object) -> str:
    if not isinstance(value, str):
        return ""
    return "".join(c for c in value.strip() if c.isprintable())[:_MAX_TEXT]


def _is_true(value: object) -> bool:
    return value is True or (isinstance(value, str) and value.lower() == "true")
