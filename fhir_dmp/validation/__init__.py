"""Whether a resource obeys the base definitions and its profiles. No I/O here."""
