"""The few sentences that leave this server outside its pages. No medical data, no name, no link."""

from __future__ import annotations

from typing import Final

#: language -> subject and text of the message that brings a sign-in code.
CODE_MAIL: Final = {
    "fr": (
        "Votre code de connexion",
        "Bonjour,\n\nVotre code de connexion est {code}. Il est valable {minutes} minutes.\n\n"
        "Ne le communiquez à personne. Si vous n'essayez pas de vous connecter, changez votre mot de passe.\n",
    ),
    "en": (
        "Your sign-in code",
        "Hello,\n\nYour sign-in code is {code}. It is valid for {minutes} minutes.\n\n"
        "Do not give it to anybody. If you are not trying to sign in, change your password.\n",
    ),
}
