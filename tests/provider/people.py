"""Who can sign in at the provider, with the claims of userinfo. Fictitious people."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]


def _activity(finess: str, name: str, sector: str) -> Json:
    return {"numeroFinessSite": finess, "raisonSocialeSite": name, "codeSecteurDactivite": sector}


def _exercise(profession: str, *activities: Json, skill: str = "") -> Json:
    more = {"codeTypeSavoirFaire": "S", "codeSavoirFaire": skill} if skill else {}
    return {"codeProfession": profession, "codeCategorieProfessionnelle": "C", "activities": list(activities), **more}


def _professional(number: str, family: str, given: str, *exercises: Json, **more: Any) -> Json:
    return {
        "sub": f"f:psc:{number}",
        "preferred_username": number,
        "SubjectNameID": number,
        "family_name": family,
        "given_name": given,
        "SubjectRole": [f"{exercises[0]['codeProfession']}^1.2.250.1.213.1.1.5.5"] if exercises else [],
        "SubjectRefPro": {"codeCivilite": "MME", "exercices": list(exercises)},
        **more,
    }


CANAL = _activity("750999013", "Cabinet médical du Canal", "SA07")
TILLEULS = _activity("750999021", "Hôpital des Tilleuls", "SA01")

#: login -> claims
PEOPLE: dict[str, Json] = {
    "carlier": _professional("810100000016", "CARLIER", "Hippolyte", _exercise("10", CANAL, skill="SM54")),
    "oudart": _professional("810100000024", "OUDART", "Maïwenn", _exercise("60", CANAL)),
    "maillard": _professional("810100000040", "MAILLARD", "Edwige", _exercise("10", TILLEULS)),
    "fouquet": _professional(
        "810100000057", "FOUQUET", "Aurélien", _exercise("10", TILLEULS), Acces_Regulation_Medicale="true"
    ),
    "tremblay": _professional(
        "810100000065", "TREMBLAY", "Sidonie", _exercise("10", TILLEULS, skill="SM44"), _exercise("10", CANAL)
    ),
    "sans-lieu": _professional("810100000073", "GARNIER", "Lucie"),
    "anouk": {
        "sub": "fc-3f1c",
        "family_name": "BELLANGER",
        "given_name": "Anouk",
        "given_name_array": ["Anouk"],
        "birthdate": "1985-04-17",
        "gender": "female",
        "birthplace": "75112",
        "email": "anouk@example.org",
    },
    "inconnue": {
        "sub": "fc-77aa",
        "family_name": "PERSONNE",
        "given_name": "Aline",
        "given_name_array": ["Aline"],
        "birthdate": "1991-01-02",
        "gender": "female",
        "birthplace": "99100",
    },
}
