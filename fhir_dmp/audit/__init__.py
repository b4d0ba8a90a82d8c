"""What happened, as records and as AuditEvent resources. No I/O here."""
