"""Who is asking: callers, scopes, tokens. No I/O here."""
