"""Codes, value sets, OIDs and the aliases under which they are written. No I/O here."""
