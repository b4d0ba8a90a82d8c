"""What a token exchange needs of the identity provider that issued the subject token (RFC 7662, OpenID userinfo)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

#: Token -> claims of its introspection and userinfo together, None when it is not active. Raises Unavailable.
Introspect = Callable[[str], Mapping[str, Any] | None]
