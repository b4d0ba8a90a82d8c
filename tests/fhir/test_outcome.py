"""OperationOutcome: what an issue looks like to people and to software."""

from __future__ import annotations

import pytest

from fhir_dmp import errors
from fhir_dmp.errors import Coding, DmpError, Issue
from fhir_dmp.fhir.outcome import TEXTS, operation_outcome, success, text_for
from fhir_dmp.validation.validate import validate
from tests.structures import STRUCTURES


def test_an_issue_is_written_for_people_and_for_software() -> None:
    issue = Issue(
        code="structure",
        diagnostics="Patient has no element 'nickname'.",
        expression=("Patient.nickname",),
        details=(Coding("urn:oid:1.2.3", "E1"),),
    )
    assert operation_outcome([issue], "fr") == {
        "resourceType": "OperationOutcome",
        "issue": [
            {
                "severity": "error",
                "code": "structure",
                "details": {
                    "coding": [{"system": "urn:oid:1.2.3", "code": "E1"}],
                    "text": "La structure du contenu n'est pas correcte.",
                },
                "diagnostics": "Patient has no element 'nickname'.",
                "expression": ["Patient.nickname"],
            }
        ],
    }


@pytest.mark.parametrize(
    ("language", "expected"),
    [("fr", "Ressource introuvable."), ("fr-FR", "Ressource introuvable."), ("FR", "Ressource introuvable."),
     ("en", "The resource was not found."), ("de", "The resource was not found."), ("", "The resource was not found.")],
)  # fmt: skip
def test_the_language_is_french_or_english(language: str, expected: str) -> None:
    assert text_for("not-found", language) == expected


def test_a_text_of_its_own_wins() -> None:
    (issue,) = operation_outcome([Issue(code="value", diagnostics="", text="Matricule inconnu.")])["issue"]
    assert issue == {"severity": "error", "code": "value", "details": {"text": "Matricule inconnu."}}


def test_no_issue_is_an_information() -> None:
    (issue,) = operation_outcome([])["issue"]
    assert (issue["severity"], issue["code"]) == ("information", "informational")
    (issue,) = operation_outcome([success("Created.", "Ressource créée.")])["issue"]
    assert (issue["details"]["text"], issue["diagnostics"]) == ("Ressource créée.", "Created.")


def test_every_error_of_the_tree_has_a_text_and_makes_a_valid_outcome() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, DmpError)]
    codes = {kind.default_code for kind in kinds}
    assert codes <= set(TEXTS)
    outcome = operation_outcome([Issue(code=code, diagnostics="x") for code in sorted(codes | set(TEXTS))])
    assert validate(outcome, STRUCTURES) == ()


def test_every_text_has_both_languages() -> None:
    assert all(french and english and french != english for french, english in TEXTS.values())
