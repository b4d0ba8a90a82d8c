"""CDA R2 documents of the CI-SIS: reading, checking, mapping. No I/O here."""
