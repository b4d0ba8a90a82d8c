"""What the patient is told, as values. No I/O here."""
