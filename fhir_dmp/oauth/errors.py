"""What the authorization server refuses, in the words of RFC 6749, section 5.2, with the status of [security 2.5]."""

from __future__ import annotations

from collections.abc import Mapping

#: Errors that have another status than 400.
_STATUS: Mapping[str, int] = {
    "invalid_client": 401,
    "invalid_token": 401,
    "insufficient_scope": 403,
    "slow_down": 429,
    "server_error": 500,
    "temporarily_unavailable": 503,
}


class OAuthError(Exception):
    """A refusal: `error` for software, `description` for developers (never a token, a secret or data of a person)."""

    def __init__(self, error: str, description: str, *, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(f"{error}: {description}")
        self.error = error
        self.description = description
        self.headers: Mapping[str, str] = dict(headers or {})

    @property
    def status(self) -> int:
        """HTTP status of the refusal where it is answered directly (at a redirect, the browser gets 303)."""
        return _STATUS.get(self.error, 400)

    @property
    def body(self) -> dict[str, str]:
        """The JSON object to answer."""
        return {"error": self.error, "error_description": self.description}
