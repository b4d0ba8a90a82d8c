"""Who may do and see what, as pure decisions and as narrower queries. No I/O here."""
